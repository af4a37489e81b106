"""A phone in the middle of its life, that a test may have any number of times."""

import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from greentrip import GreenTrip, State
from greentrip.store import Store
from greentrip.testing import FakeClock, FakeServer
from support.trips import FAR_END, ride

OpenPhone = Callable[..., GreenTrip]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    return tmp_path / "store.sqlite3"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with closing(Store(path)) as opened:
        yield opened


MEMORY = Path("/dev/shm")


@pytest.fixture
def quick_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, where there is one: a test that opens a store a thousand times need not wait for a disk."""
    with tempfile.TemporaryDirectory(prefix="greentrip-", dir=MEMORY if MEMORY.is_dir() else tmp_path) as name:
        yield Path(name)


@dataclass
class Template:
    """The folder of an enrolled phone with one trip accepted, two that wait and one in progress."""

    folder: Path
    server: FakeServer
    clock: FakeClock
    open_phone: OpenPhone
    accepted: str
    waiting: list[str]

    def __post_init__(self) -> None:
        self._books = self.server.backup()
        self._time = self.clock.wall, self.clock._monotonic
        self._numbers = itertools.count()

    def copy(self) -> Path:
        """A folder just like it, at a server and at a time just like then."""
        self.server.restore(self._books)
        self.server.requests.clear()
        self.clock.wall, self.clock._monotonic = self._time
        folder = self.folder.with_name(f"phone-{next(self._numbers)}")
        shutil.copytree(self.folder, folder)
        return folder

    def open(self, folder: Path, **changes: Any) -> GreenTrip:
        return self.open_phone(folder, **changes)

    def finish(self, phone: GreenTrip) -> str:
        """End the trip in progress."""
        return phone.finish(FAR_END).id

    def assert_drains(self, phone: GreenTrip, recorded: set[str]) -> None:
        """All that was recorded, and nothing else, is accepted and counted once; no other trigger is needed."""
        assert {trip.id for trip in phone.trips()} == recorded
        self.clock.tick(600)  # a lease of a pass that failed ends
        report = phone.sync()
        assert (report.stop.value, report.left) == ("done", 0), report
        assert {trip.id: trip.state for trip in phone.trips()} == dict.fromkeys(recorded, State.ACCEPTED)
        assert set(self.server.records) == recorded | {self.accepted}
        assert all(self.server.records[trip.id].line == trip.record for trip in phone.trips())
        assert self.server.balance_mg == sum(trip.official_mg for trip in self.server.records.values())
        stats = phone.stats()
        assert stats.recorded == sum(stats.exits.values())


@pytest.fixture
def template(quick_folder: Path, open_phone: OpenPhone, server: FakeServer, clock: FakeClock) -> Template:
    folder = quick_folder / "template"
    phone = open_phone(folder)
    phone.request_code("13800000000")
    phone.enrol("123456", {"location": "2026-03", "sync": "2026-03"})
    accepted = ride(phone, clock).id
    clock.tick(60)
    assert phone.sync().settled == {State.ACCEPTED: 1}
    waiting = [ride(phone, clock).id for _ in range(2)]
    phone.start("rail", "虎坊桥")
    clock.tick(3600)
    phone.close(timeout=0)
    return Template(folder, server, clock, open_phone, accepted, waiting)
