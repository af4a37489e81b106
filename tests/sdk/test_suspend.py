"""Promise 19: a phone that is put to sleep holds no file and runs nothing; awake again, it goes on."""

import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from greentrip import Closed, GreenTrip, State, StorageError, Suspended
from greentrip.report import Stop
from greentrip.store import file as store_file
from greentrip.testing import FakeClock, FakeServer
from support.refusals import refused
from support.trips import FAR_END, HOME, ride

OpenPhone = Callable[..., GreenTrip]

linux = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="only Linux tells which files are open")


def _open_files(folder: Path) -> list[str]:
    found = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            name = os.readlink(link)  # noqa: PTH115 - a Path would be resolved
        except FileNotFoundError:
            continue
        if name.startswith(str(folder)):
            found.append(name)
    return found


def _threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("greentrip")}


@linux
@pytest.mark.parametrize("background", [False, True])
def test_asleep_it_has_no_file_open_and_no_thread(
    open_phone: OpenPhone, tmp_path: Path, clock: FakeClock, background: bool
):
    phone = open_phone(background=background)
    ride(phone, clock)
    phone.sync()
    assert _open_files(tmp_path)
    phone.suspend()
    assert _open_files(tmp_path) == []
    assert "greentrip-sync" not in _threads()
    phone.wake()
    assert len(phone.trips()) == 1


@linux
def test_asleep_while_it_sends_it_has_no_file_open_either(
    enrolled: GreenTrip, tmp_path: Path, clock: FakeClock, server: FakeServer
):
    trip = ride(enrolled, clock)
    came, go = threading.Event(), threading.Event()

    def hold(request: httpx.Request) -> httpx.Response:
        came.set()
        go.wait(10)
        return server.serve(request)

    server.plan(hold)
    reports: list[object] = []
    syncing = threading.Thread(target=lambda: reports.append(enrolled.sync(timeout=20)))
    syncing.start()
    assert came.wait(10)
    enrolled.suspend()
    assert _open_files(tmp_path) == []
    syncing.join(10)
    assert [report.stop for report in reports] == [Stop.SUSPENDED]  # type: ignore[attr-defined]
    go.set()
    enrolled.wake()
    clock.tick(600)
    assert enrolled.sync().stop is Stop.DONE
    assert [one.state for one in enrolled.trips()] == [State.ACCEPTED]
    assert server.balance_mg == trip.reduction_mg


def test_asleep_every_call_on_the_store_says_so(enrolled: GreenTrip, clock: FakeClock):
    trip = ride(enrolled, clock)
    enrolled.start("walk", HOME)
    enrolled.suspend()
    calls = (
        enrolled.trips,
        enrolled.stats,
        enrolled.cancel,
        enrolled.diagnose,
        enrolled.repair,
        enrolled.opt_in,
        enrolled.erase,
        enrolled.switch_account,
        lambda: enrolled.active,
        lambda: enrolled.account_id,
        lambda: enrolled.fix(HOME),
        lambda: enrolled.finish(HOME),
        lambda: enrolled.opt_out("keep"),
        lambda: enrolled.erase_trip(trip.id),
        lambda: enrolled.receipt(trip.id),
    )
    for call in calls:
        with refused(Suspended, says="wake"):
            call()
    assert enrolled.sync().stop is Stop.SUSPENDED
    enrolled.network_changed(True)
    enrolled.wake()
    assert [one.id for one in enrolled.trips()] == [trip.id]
    assert enrolled.active is not None


def test_a_refused_call_does_not_wake_it(open_phone: OpenPhone, clock: FakeClock):
    phone = open_phone(background=True)
    phone.suspend()
    for call in (lambda: phone.opt_out("keep"), phone.erase, phone.switch_account):
        with pytest.raises(Suspended):
            call()
    assert "greentrip-sync" not in _threads()


def test_twice_is_once(enrolled: GreenTrip, clock: FakeClock):
    trip = ride(enrolled, clock)
    enrolled.suspend()
    enrolled.suspend()
    enrolled.wake()
    enrolled.wake()
    assert [one.id for one in enrolled.trips()] == [trip.id]
    assert enrolled.sync().settled == {State.ACCEPTED: 1}


def test_what_another_process_did_meanwhile_is_seen(open_phone: OpenPhone, enrolled: GreenTrip, clock: FakeClock):
    enrolled.suspend()
    other = open_phone()
    trip = ride(other, clock)
    other.close(timeout=0)
    enrolled.wake()
    assert [one.id for one in enrolled.trips()] == [trip.id]


def test_a_file_that_was_damaged_meanwhile_is_met_as_when_it_is_opened(open_phone: OpenPhone, clock: FakeClock):
    told: list[object] = []
    phone = open_phone(observer=told.append)
    ride(phone, clock)
    phone.suspend()
    phone._store.path.write_bytes(b"garbage " * 1000)
    phone.wake()
    assert phone.recovered is not None
    assert [type(event).__name__ for event in told].count("StoreReplaced") == 1
    assert phone.trips() == []
    ride(phone, clock)
    assert phone.stats().waiting == 1


def test_a_file_that_was_removed_meanwhile_is_a_new_store(enrolled: GreenTrip, clock: FakeClock):
    enrolled.suspend()
    enrolled._store.path.unlink()
    enrolled.wake()
    assert enrolled.trips() == []
    ride(enrolled, clock)


def test_a_folder_that_cannot_be_used_leaves_it_asleep_and_it_wakes_later(enrolled: GreenTrip, clock: FakeClock):
    trip = ride(enrolled, clock)
    enrolled.suspend()
    path = enrolled._store.path
    away = path.with_name("elsewhere")
    path.rename(away)
    path.mkdir()
    with pytest.raises(StorageError):
        enrolled.wake()
    with refused(Suspended):
        enrolled.trips()
    path.rmdir()
    away.rename(path)
    enrolled.wake()
    assert [one.id for one in enrolled.trips()] == [trip.id]


def test_it_can_be_closed_asleep(open_phone: OpenPhone, clock: FakeClock):
    phone = open_phone()
    ride(phone, clock)
    phone.suspend()
    phone.close(timeout=0)
    with refused(Closed):
        phone.wake()
    again = open_phone()
    assert len(again.trips()) == 1
    assert again._store.health().kills == 0


def test_a_system_that_ends_a_sleeping_app_has_not_killed_it(open_phone: OpenPhone, enrolled: GreenTrip, clock):
    ride(enrolled, clock)
    enrolled.suspend()
    again = open_phone()
    assert again._store.tallies().get("killed", 0) == 0
    assert again._store._read("SELECT count(*) FROM session") == [(1,)]


def test_a_trip_goes_on_over_a_sleep(enrolled: GreenTrip, clock: FakeClock):
    enrolled.start("rail", "虎坊桥")
    clock.tick(1800)
    enrolled.suspend()
    clock.tick(1800)
    enrolled.wake()
    assert enrolled.finish(FAR_END).reduction_mg > 0


def test_it_sleeps_though_another_process_holds_the_file(
    open_phone: OpenPhone, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(store_file, "BUSY_TIMEOUT_MS", 50)
    phone = open_phone()
    ride(phone, clock)
    with closing(sqlite3.connect(phone._store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        phone.suspend()
        other.execute("ROLLBACK")
    phone.wake()
    assert len(phone.trips()) == 1
