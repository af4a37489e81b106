"""A disk that fails and a process that dies at any statement, as an app's tests use them."""

import random
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from greentrip import GreenTrip, Network, State, StorageError, StorageFull
from greentrip.testing import DiskFaults, FakeClock, FakeServer, FlakyDisk, Killed
from support.trips import FAR_END, ride

OpenOn = Callable[[FlakyDisk], GreenTrip]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def open_on(tmp_path: Path, clock: FakeClock) -> OpenOn:
    """Opens the phone on a disk; each disk is a process of its own."""
    server, rails = FakeServer(clock), Network.sample()

    def open_it(disk: FlakyDisk) -> GreenTrip:
        return GreenTrip.open(
            tmp_path,
            server="https://greentrip.example",
            root_key=server.root_key,
            network=rails,
            clock=clock,
            transport=server.transport,
            connection=disk,
        )

    return open_it


def disk_of(**faults: float) -> FlakyDisk:
    return FlakyDisk(DiskFaults(**faults), random.Random(0), Counter())


def test_without_faults_it_is_a_disk(open_on: OpenOn, clock: FakeClock):
    with open_on(disk_of()) as phone:
        assert ride(phone, clock).state is State.PENDING


@pytest.mark.parametrize(
    ("fault", "error"), [("full", StorageFull), ("io_error", StorageError), ("busy", StorageError)]
)
def test_a_fault_is_a_typed_error_and_is_counted(open_on: OpenOn, clock: FakeClock, fault: str, error: type[Exception]):
    disk = disk_of()
    with open_on(disk) as phone:
        phone.start("rail", "虎坊桥")
        clock.tick(3600)
        disk.faults = DiskFaults(**{fault: 1.0})
        with pytest.raises(error):
            phone.finish(FAR_END)
        disk.mend()
        assert phone.finish(FAR_END).record is not None, "and it can be finished later"
    assert sum(disk._counts.values()) >= 1


@pytest.mark.parametrize("seed", range(40))
def test_killed_at_any_statement_of_finish_the_trip_is_there_once_or_goes_on(
    open_on: OpenOn, clock: FakeClock, seed: int
):
    disk = FlakyDisk(DiskFaults(), random.Random(seed), Counter())
    phone = open_on(disk)
    phone.start("rail", "虎坊桥")
    clock.tick(3600)
    disk.plan_kill()
    told = None
    with suppress(Killed):
        told = phone.finish(FAR_END)
        while not disk.dead:
            phone.trips()
    assert disk.dead
    disk.abandon(alone=True)
    with open_on(disk_of()) as again:
        assert len(again.trips()) == (again.active is None)
        assert told is None or again.trips() == [told]


def test_a_dead_process_commits_and_rolls_back_nothing(open_on: OpenOn, clock: FakeClock):
    disk = disk_of()
    phone = open_on(disk)
    trip = ride(phone, clock)
    disk.dead = True
    for act in (phone.trips, lambda: phone.start("bus", "虎坊桥"), lambda: phone.erase_trip(trip.id)):
        with pytest.raises(Killed):
            act()
    disk.abandon(alone=True)
    with open_on(disk_of()) as again:
        assert again.trips() == [trip]


def test_the_write_ahead_log_is_left_as_a_kill_leaves_it(tmp_path: Path):
    path = tmp_path / "some.sqlite3"
    disk = disk_of()
    db = sqlite3.connect(path, isolation_level=None, factory=disk)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("CREATE TABLE t (x)")
    db.execute("INSERT INTO t VALUES (1)")
    db.execute("BEGIN IMMEDIATE")
    db.execute("INSERT INTO t VALUES (2)")
    disk.abandon(alone=True)
    assert path.with_name("some.sqlite3-wal").stat().st_size > 0
    again = sqlite3.connect(path)
    assert again.execute("SELECT x FROM t").fetchall() == [(1,)]
    again.close()
