"""Promise 4: a file for each account, and no record ever goes out under another."""

import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from greentrip import GreenTrip, InvalidInput, NotEnrolled, State, StorageError, TripRunning, Untrusted
from greentrip.report import Stop
from greentrip.testing import FakeClock, FakeServer, problem
from support.disk import FAULTS, Disk
from support.refusals import refused
from support.trips import HOME, ride

OpenPhone = Callable[..., GreenTrip]
CONSENTS = {"location": "2026-03", "sync": "2026-03"}
PHONES = {"account-1": "13800000000", "account-2": "13900000000"}


def _enrol(phone: GreenTrip, number: str) -> str:
    phone.request_code(number)
    return phone.enrol("123456", CONSENTS)


@pytest.fixture
def two(enrolled: GreenTrip, clock: FakeClock) -> GreenTrip:
    """A phone with two accounts, on which the second is in use."""
    enrolled.switch_account()
    assert _enrol(enrolled, PHONES["account-2"]) == "account-2"
    return enrolled


def _owners(server: FakeServer) -> dict[str, set[str]]:
    return {name: set(account.trips) for name, account in server.accounts.items()}


def test_trips_wait_for_their_own_account(enrolled: GreenTrip, server: FakeServer, clock: FakeClock):
    first = {ride(enrolled, clock).id for _ in range(2)}
    enrolled.switch_account()
    assert (enrolled.trips(), enrolled.account_id) == ([], None)
    assert enrolled.sync().stop is Stop.NOT_ENROLLED
    _enrol(enrolled, PHONES["account-2"])
    second = {ride(enrolled, clock).id}
    enrolled.sync()
    assert _owners(server) == {"account-1": set(), "account-2": second}
    assert enrolled.accounts() == ["account-1", "account-2"]
    enrolled.switch_account("account-1")
    assert enrolled.account_id == "account-1"
    assert {trip.id for trip in enrolled.trips()} == first
    enrolled.sync()
    assert _owners(server) == {"account-1": first, "account-2": second}
    assert {trip.state for trip in enrolled.trips()} == {State.ACCEPTED}


def test_the_account_in_use_outlives_the_process(open_phone: OpenPhone, two: GreenTrip, server, clock: FakeClock):
    trip = ride(two, clock)
    two.close(timeout=0)
    phone = open_phone()
    assert phone.account_id == "account-2"
    phone.sync()
    assert _owners(server)["account-2"] == {trip.id}


def test_each_account_has_a_key_of_its_own(two: GreenTrip, server: FakeServer, tmp_path: Path):
    assert len(list((tmp_path / "phone").rglob("*.key"))) == 2
    assert all(len(account.devices) == 1 for account in server.accounts.values())
    assert not set.intersection(*(account.devices for account in server.accounts.values()))


def test_in_turn_a_hundred_times_nothing_is_mixed(two: GreenTrip, server: FakeServer, clock: FakeClock):
    mine: dict[str, set[str]] = {"account-1": set(), "account-2": set()}
    for turn in range(20):
        account = f"account-{turn % 2 + 1}"
        two.switch_account(account)
        mine[account].add(ride(two, clock).id)
        if turn % 3 == 0:
            two.sync()
    for account in mine:
        two.switch_account(account)
        two.sync()
    assert _owners(server) == mine


def test_a_request_under_way_is_the_old_accounts_and_settles_nothing_of_the_new(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock
):
    trip = ride(enrolled, clock)
    came, go = threading.Event(), threading.Event()

    def hold(request: httpx.Request) -> httpx.Response:
        came.set()
        go.wait(10)
        return server.serve(request)

    server.plan(hold)
    syncing = threading.Thread(target=lambda: enrolled.sync(timeout=20))
    syncing.start()
    assert came.wait(10)
    enrolled.switch_account()
    go.set()
    syncing.join()
    assert enrolled.trips() == []
    enrolled.switch_account("account-1")
    clock.tick(600)
    enrolled.sync()
    assert [(one.id, one.state) for one in enrolled.trips()] == [(trip.id, State.ACCEPTED)]
    assert server.balance_mg == trip.reduction_mg


def test_an_unknown_account_changes_nothing(enrolled: GreenTrip, server: FakeServer, clock: FakeClock):
    ride(enrolled, clock)
    with refused(InvalidInput, "account", "see accounts"):
        enrolled.switch_account("account-9")
    assert enrolled.account_id == "account-1"
    assert enrolled.sync().settled == {State.ACCEPTED: 1}


def test_not_in_the_middle_of_a_trip(two: GreenTrip, clock: FakeClock):
    two.start("walk", HOME)
    with refused(TripRunning):
        two.switch_account("account-1")
    assert two.account_id == "account-2"
    assert two.active is not None


def test_to_itself_is_nothing(two: GreenTrip, clock: FakeClock, server: FakeServer):
    trip = ride(two, clock)
    two.switch_account("account-2")
    assert [one.id for one in two.trips()] == [trip.id]
    assert two.sync().settled == {State.ACCEPTED: 1}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_disk_that_fails_while_it_switches_leaves_the_account_in_use(
    open_phone: OpenPhone, two: GreenTrip, server: FakeServer, clock: FakeClock, tmp_path: Path, fault: str
):
    two.close(timeout=0)
    books = server.backup()
    for number in range(150):
        server.restore(books)
        folder = tmp_path / f"{fault}-{number}"
        shutil.copytree(tmp_path / "phone", folder)
        disk = Disk()
        phone = open_phone(folder, connection=disk)
        disk.fail(fault, number)
        try:
            phone.switch_account("account-1")
            now = "account-1"
        except StorageError:
            now = "account-2"
        hit = disk.mend()
        assert phone.account_id == now
        trip = ride(phone, clock)
        assert phone.sync().settled == {State.ACCEPTED: 1}
        assert _owners(server)[now] == {trip.id}
        phone.close(timeout=0)
        assert open_phone(folder).account_id == now
        if not hit:
            return
    raise AssertionError("more statements than a switch has")


def test_where_the_note_of_the_account_cannot_be_kept_nothing_is_switched(
    two: GreenTrip, server: FakeServer, clock: FakeClock, tmp_path: Path
):
    (note,) = (tmp_path / "phone").glob("*.slot")
    note.with_suffix(".new").mkdir()
    with pytest.raises(StorageError):
        two.switch_account("account-1")
    trip = ride(two, clock)
    assert two.sync().settled == {State.ACCEPTED: 1}
    assert _owners(server)["account-2"] == {trip.id}


# A phone that lost something


def test_a_lost_key_means_enrolling_again_and_the_trips_go_on(
    open_phone: OpenPhone, enrolled: GreenTrip, server: FakeServer, clock: FakeClock, tmp_path: Path
):
    trips = {ride(enrolled, clock).id for _ in range(2)}
    enrolled.close(timeout=0)
    for key in (tmp_path / "phone").rglob("*.key"):
        key.unlink()
    phone = open_phone()
    assert phone.sync().stop is Stop.NOT_ENROLLED
    assert phone._next_due_ms() is None, "nothing wakes up for what cannot be sent"
    assert _enrol(phone, PHONES["account-1"]) == "account-1"
    assert phone.sync().settled == {State.ACCEPTED: 2}
    assert _owners(server) == {"account-1": trips}


def test_a_lost_key_and_another_person_is_not_believed(
    open_phone: OpenPhone, enrolled: GreenTrip, server: FakeServer, clock: FakeClock, tmp_path: Path
):
    ride(enrolled, clock)
    enrolled.close(timeout=0)
    for key in (tmp_path / "phone").rglob("*.key"):
        key.unlink()
    phone = open_phone()
    phone.request_code(PHONES["account-2"])
    with refused(Untrusted, says="another account"):
        phone.enrol("123456", CONSENTS)
    phone.sync()
    assert _owners(server) == {"account-1": set(), "account-2": set()}


def test_a_key_that_was_ended_is_made_anew(enrolled: GreenTrip, server: FakeServer, clock: FakeClock):
    trip = ride(enrolled, clock)
    server.end_device(enrolled._remote.device)
    assert enrolled.sync().stop in (Stop.PAUSED, Stop.LOGIN)
    assert _enrol(enrolled, PHONES["account-1"]) == "account-1"
    assert enrolled.sync().settled == {State.ACCEPTED: 1}
    assert _owners(server) == {"account-1": {trip.id}}


def test_a_key_that_is_ended_on_the_way_pauses_and_costs_nothing(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock
):
    ride(enrolled, clock)
    server.plan(problem(403, "device_ended"))
    assert enrolled.sync().stop is Stop.PAUSED
    assert {trip.state for trip in enrolled.trips()} == {State.PENDING}


def test_a_damaged_key_says_what_to_do(open_phone: OpenPhone, enrolled: GreenTrip, clock: FakeClock, tmp_path: Path):
    ride(enrolled, clock)
    enrolled.close(timeout=0)
    (key,) = (tmp_path / "phone").rglob("*.key")
    key.write_bytes(b"short")
    with refused(StorageError, says="enrol again; trips are kept"):
        open_phone()
    key.unlink()
    assert len(open_phone().trips()) == 1


def test_a_key_that_cannot_be_read_is_a_storage_error(
    open_phone: OpenPhone, enrolled: GreenTrip, clock: FakeClock, tmp_path: Path
):
    enrolled.close(timeout=0)
    (key,) = (tmp_path / "phone").rglob("*.key")
    key.unlink()
    key.mkdir()
    with refused(StorageError, says="cannot be used"):
        open_phone()
    key.rmdir()
    open_phone()


# Erasing one


def test_erasing_one_account_leaves_the_other(two: GreenTrip, server: FakeServer, clock: FakeClock):
    ride(two, clock)
    two.sync()
    two.switch_account("account-1")
    kept = ride(two, clock)
    two.switch_account("account-2")
    assert two.erase()
    assert two.accounts() == ["account-1"]
    two.switch_account("account-1")
    assert [trip.id for trip in two.trips()] == [kept.id]
    assert two.sync().settled == {State.ACCEPTED: 1}
    assert [account.erased for account in server.accounts.values()] == [False, True]


def test_an_erased_accounts_file_is_used_again(two: GreenTrip, server: FakeServer, tmp_path: Path):
    two.erase()
    two.switch_account("account-1")
    two.switch_account()
    _enrol(two, PHONES["account-2"])
    assert len(list((tmp_path / "phone").glob("*.sqlite3"))) == 2


def test_a_damaged_file_of_another_account_is_nobody_elses(
    two: GreenTrip, server: FakeServer, clock: FakeClock, tmp_path: Path
):
    """It may hold trips: a new account gets another file."""
    two.close(timeout=0)
    slots = sorted((tmp_path / "phone").glob("*.sqlite3"))
    assert len(slots) == 2
    for path in slots:
        with closing(sqlite3.connect(path)) as db:
            (count,) = db.execute("SELECT count(*) FROM meta WHERE value = 'account-1'").fetchone()
        if count:
            path.write_bytes(b"garbage " * 1000)
    phone = GreenTrip.open(
        tmp_path / "phone",
        server="https://greentrip.example",
        root_key=server.root_key,
        clock=clock,
        transport=server.transport,
    )
    assert phone.accounts() == ["account-2"]
    phone.switch_account()
    assert phone.recovered is None
    assert len(list((tmp_path / "phone").glob("*.sqlite3"))) == 3
    phone.close(timeout=0)


def test_trips_that_no_account_has_yet_are_not_left_behind(phone: GreenTrip, server: FakeServer, clock: FakeClock):
    """Nobody could switch back to them."""
    ride(phone, clock)
    with pytest.raises(NotEnrolled):
        phone.switch_account()
    assert phone.stats().waiting == 1
