"""Promise 20: what the person erases is gone here at once, without a trace, and at the server as soon as it hears."""

import json
import random
import shutil
import sqlite3
import uuid
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import httpx
import pytest

from greentrip import FileSecrets, GreenTrip, InvalidInput, State, StorageError, TripView
from greentrip.errors import Unreachable
from greentrip.events import Erased, TripErased
from greentrip.record import Evidence
from greentrip.store import NewTrip, Store
from greentrip.testing import FakeClock, FakeServer, problem
from support.disk import Disk, Killed
from support.refusals import refused
from support.traces import found_in
from support.trips import HOME, UTRECHT, ride, walk

OpenPhone = Callable[..., GreenTrip]
ERASURES, ORDERS = "/v1/trip-erasures", "/v1/erasure"
DAY_S = 24 * 3600


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "phone"


def _traces(phone: GreenTrip, trip: TripView) -> list[str | bytes]:
    """What would tell of a trip: its bytes, their commitment and hash, its evidence, its id."""
    found: list[str | bytes] = [trip.id]
    if trip.record:
        value = json.loads(trip.record)
        found += [trip.record, value["commitment"], trip.record[40:80]]
    with closing(sqlite3.connect(phone._store.path)) as db:
        salts, levels = db.execute("SELECT salts, levels FROM trip WHERE id = ?", (trip.id,)).fetchone()
        found += [salts, levels]
        found += [digest for (digest,) in db.execute("SELECT sha256 FROM queue WHERE id = ?", (trip.id,))]
    return found


def _drifting(phone: GreenTrip, clock: FakeClock) -> TripView:
    """A trip by points, whose places stand in its summary."""
    phone.start("walk", HOME)
    return phone.finish(walk(phone, clock, 1200))


def _ask(phone: GreenTrip, trip: TripView) -> None:
    phone._store._durable.execute("UPDATE queue SET state = 'asked', ask_again_ms = 1 << 60 WHERE id = ?", (trip.id,))


def _pending(phone: GreenTrip, clock: FakeClock, server: FakeServer) -> TripView:
    return _drifting(phone, clock)


def _settled(status: str) -> Callable[[GreenTrip, FakeClock, FakeServer], TripView]:
    def settle(phone: GreenTrip, clock: FakeClock, server: FakeServer) -> TripView:
        trip = _drifting(phone, clock)
        server.plan(server.results(status))
        phone.sync()
        return next(one for one in phone.trips() if one.id == trip.id)

    return settle


def _accepted(phone: GreenTrip, clock: FakeClock, server: FakeServer) -> TripView:
    trip = _drifting(phone, clock)
    phone.sync()
    return next(one for one in phone.trips() if one.id == trip.id)


def _asked(phone: GreenTrip, clock: FakeClock, server: FakeServer) -> TripView:
    trip = _drifting(phone, clock)
    _ask(phone, trip)
    return trip


def _local(phone: GreenTrip, clock: FakeClock, server: FakeServer) -> TripView:
    phone.start("walk", UTRECHT)
    return phone.finish(walk(phone, clock, 1200, UTRECHT))


def _leased(phone: GreenTrip, clock: FakeClock, server: FakeServer) -> TripView:
    trip = _drifting(phone, clock)
    now_ms = round(clock.now() * 1000)
    phone._store.hurry(now_ms)
    phone._store.lease("another", now_ms, now_ms + 60_000, 500, 10**9)
    return trip


def _withdrawn(phone: GreenTrip, clock: FakeClock, server: FakeServer) -> TripView:
    trip = _drifting(phone, clock)
    phone._store._durable.execute("UPDATE queue SET state = 'withdrawn' WHERE id = ?", (trip.id,))
    return trip


def _set_aside(phone: GreenTrip, clock: FakeClock, server: FakeServer) -> TripView:
    trip = _drifting(phone, clock)
    server.plan(*[problem(400, "malformed", detail="no") for _ in range(3)])
    phone.sync()
    return next(one for one in phone.trips() if one.id == trip.id)


MAKERS = {
    State.PENDING: _pending,
    State.ASKED: _asked,
    State.LEASED: _leased,
    State.ACCEPTED: _accepted,
    State.HELD: _settled("held"),
    State.REJECTED: _settled("rejected"),
    State.UNSUPPORTED: _settled("unsupported"),
    State.CONFLICT: _settled("conflict"),
    State.SET_ASIDE: _set_aside,
    State.LOCAL: _local,
    State.WITHDRAWN: _withdrawn,
}
TOLD = set(MAKERS) - {State.PENDING, State.ASKED, State.LOCAL, State.WITHDRAWN}
"""In these the server may have the record."""


@pytest.mark.parametrize("state", MAKERS)
def test_a_trip_is_erased_in_every_state_and_no_byte_of_it_is_left(
    enrolled: GreenTrip, folder: Path, clock: FakeClock, server: FakeServer, state: State
):
    trip = MAKERS[state](enrolled, clock, server)
    if state is not State.ASKED:
        assert {one.state for one in enrolled.trips()} <= {state}
    kept = ride(enrolled, clock)
    traces = _traces(enrolled, trip)
    assert found_in(folder, traces[:2]), "it was there"
    enrolled.erase_trip(trip.id)
    assert [one.id for one in enrolled.trips()] == [kept.id]
    told = state in TOLD
    assert found_in(folder, traces[1:]) == []
    assert found_in(folder, [trip.id]) == ([trip.id.encode()] if told else []), "the id alone, to tell the server"
    server.requests.clear()
    clock.tick(DAY_S)
    enrolled.sync()
    asked = [json.loads(request.content)["trips"] for request in server.requests if request.url.path == ERASURES]
    assert asked == ([[trip.id]] if told else [])
    assert server.records.get(trip.id) is None or server.records[trip.id].status is State.ERASED
    assert {one.id: one.state for one in enrolled.trips()} == {kept.id: State.ACCEPTED}
    stats = enrolled.stats()
    assert stats.recorded == stats.local + sum(stats.exits.values())


def test_the_places_of_a_trip_by_points_go_with_it(enrolled: GreenTrip, folder: Path, clock: FakeClock):
    trip = _drifting(enrolled, clock)
    places = [f"{HOME.lat:.5f}, {HOME.lon:.5f}", trip.legs[0].end]
    assert found_in(folder, places)
    enrolled.erase_trip(trip.id)
    assert found_in(folder, places) == []


@pytest.mark.parametrize("seed", range(5))
def test_however_full_the_file_what_is_erased_leaves_nothing(store_path: Path, seed: int):
    """Rows of all sizes move between pages while others come and go; none leaves a copy."""
    dice = random.Random(seed)
    gone: list[bytes] = []
    alive: dict[str, bytes] = {}
    with closing(Store(store_path)) as store:
        for number in range(150):
            if alive and dice.random() < 0.4:
                name = dice.choice(sorted(alive))
                store.erase_trip(name, 0)
                gone.append(alive.pop(name))
                continue
            mark = b"mark-%04d-%08x" % (number, dice.getrandbits(32))
            name = f"{number}-{mark.decode()}"
            levels = Evidence((mark, dice.randbytes(dice.randrange(3000)), b"c"), (mark[:16],) * 3)
            line = mark + b" line " + b"y" * dice.randrange(1500)
            summary = {"place": mark.decode() + "x" * dice.randrange(800)}
            store.commit_trip(NewTrip(name, dice.randrange(1000), summary, levels, line))
            alive[name] = mark
        assert found_in(store_path.parent, gone) == []
        assert len(found_in(store_path.parent, alive.values())) == len(alive)


@pytest.fixture
def store_path(tmp_path: Path) -> Path:
    return tmp_path / "alone" / "store.sqlite3"


def test_an_unknown_trip_cannot_be_erased(enrolled: GreenTrip):
    with refused(InvalidInput, "trip", "see trips"):
        enrolled.erase_trip(str(uuid.uuid4()))


# Telling the server


def test_erased_before_it_arrived_it_never_counts(enrolled: GreenTrip, clock: FakeClock, server: FakeServer):
    """The answer was lost, so the phone cannot know whether it came."""
    trip = ride(enrolled, clock)
    server.plan(server.lose_answer)
    enrolled.sync(timeout=0.5)
    enrolled.erase_trip(trip.id)
    clock.tick(600)
    enrolled.sync()
    assert server.records[trip.id].status is State.ERASED
    assert (server.records[trip.id].line, server.balance_mg) == (None, 0)


def test_erased_after_it_was_credited_the_credit_is_cancelled(
    enrolled: GreenTrip, clock: FakeClock, server: FakeServer
):
    trip = ride(enrolled, clock)
    enrolled.sync()
    assert server.balance_mg == trip.reduction_mg
    enrolled.erase_trip(trip.id)
    enrolled.sync()
    assert server.balance_mg == 0
    assert [entry.mg for entry in enrolled.statement()] == [trip.reduction_mg, -trip.reduction_mg]


def test_an_erasure_whose_answer_was_lost_is_told_again_and_then_no_more(
    enrolled: GreenTrip, clock: FakeClock, server: FakeServer
):
    trip = ride(enrolled, clock)
    enrolled.sync()
    enrolled.erase_trip(trip.id)
    server.requests.clear()
    server.plan(server.lose_answer, problem(503, "unavailable"), path=ERASURES)
    for _ in range(5):
        enrolled.sync()
        clock.tick(3600)
    assert [request.url.path for request in server.requests] == [ERASURES] * 3
    assert server.records[trip.id].status is State.ERASED


def test_an_erasure_is_told_though_the_app_was_closed_meanwhile(
    enrolled: GreenTrip, open_phone: OpenPhone, clock: FakeClock, server: FakeServer
):
    trip = ride(enrolled, clock)
    enrolled.sync()
    enrolled.erase_trip(trip.id)
    enrolled.close(timeout=0)
    open_phone().sync()
    assert server.records[trip.id].status is State.ERASED


def test_a_server_without_that_call_is_asked_daily_and_still_gets_records(
    enrolled: GreenTrip, clock: FakeClock, server: FakeServer
):
    trip = ride(enrolled, clock)
    enrolled.sync()
    enrolled.erase_trip(trip.id)
    server.requests.clear()
    server.plan(*[problem(404, "not_found") for _ in range(3)], path=ERASURES)
    for _ in range(3):
        ride(enrolled, clock)
        assert enrolled.sync().settled == {State.ACCEPTED: 1}
        enrolled.sync()
        clock.tick(DAY_S)
    enrolled.sync()
    told = [request for request in server.requests if request.url.path == ERASURES]
    assert len(told) == 4
    assert server.records[trip.id].status is State.ERASED


def test_many_erasures_go_in_pieces(enrolled: GreenTrip, clock: FakeClock, server: FakeServer):
    ids = [str(uuid.UUID(int=number, version=4)) for number in range(1, 1202)]
    with enrolled._store._write() as db:
        db.executemany("INSERT INTO erasure (trip, asked_ms) VALUES (?, 0)", [(one,) for one in ids])
    assert enrolled.sync().requests == 3
    assert {trip.id for trip in server.records.values()} == set(ids)
    assert enrolled.sync().requests == 0


def test_erased_while_it_is_under_way_the_answer_settles_nothing(
    enrolled: GreenTrip, clock: FakeClock, server: FakeServer
):
    trip = ride(enrolled, clock)

    def erase_meanwhile(request: httpx.Request) -> httpx.Response:
        enrolled.erase_trip(trip.id)
        return server.serve(request)

    server.plan(erase_meanwhile)
    report = enrolled.sync()
    assert report.settled == {}
    enrolled.sync()
    assert enrolled.trips() == []
    assert (server.records[trip.id].status, server.balance_mg) == (State.ERASED, 0)
    assert enrolled.stats().exits == {State.ERASED: 1}


def test_it_is_told_as_an_event(open_phone: OpenPhone, clock: FakeClock):
    told: list[object] = []
    phone = open_phone(observer=told.append)
    trip = ride(phone, clock)
    phone.erase_trip(trip.id)
    assert TripErased(trip.id) in told


# No trace, also where something stands in the way


def test_with_another_process_that_reads_the_bytes_go_with_the_next_pass(
    enrolled: GreenTrip, folder: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
):
    trip = _drifting(enrolled, clock)
    traces = _traces(enrolled, trip)[1:]
    enrolled._store._durable.execute("PRAGMA busy_timeout = 10")
    with closing(sqlite3.connect(enrolled._store.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM trip").fetchall()
        enrolled.erase_trip(trip.id)
        assert found_in(folder, traces), "the log is being read"
    enrolled.sync()
    assert found_in(folder, traces) == []


def test_killed_at_any_statement_it_is_erased_or_there_and_an_erased_one_leaves_no_trace(
    open_phone: OpenPhone, enrolled: GreenTrip, folder: Path, tmp_path: Path, clock: FakeClock
):
    trip = _drifting(enrolled, clock)
    kept = ride(enrolled, clock)
    traces = _traces(enrolled, trip)
    enrolled.close(timeout=0)
    for number in range(100):
        victim = tmp_path / f"victim-{number}"
        shutil.copytree(folder, victim)
        disk = Disk()
        phone = open_phone(victim, connection=disk)
        disk.fail("killed", number)
        with suppress(Killed):
            phone.erase_trip(trip.id)
        hit = disk.mend()
        disk.let_go()
        again = open_phone(victim)
        shown = {one.id for one in again.trips()}
        assert shown in ({kept.id, trip.id}, {kept.id})
        if trip.id not in shown:
            assert found_in(victim, traces) == []
        if not hit:
            return
    raise AssertionError("more statements than an erasure has")


def test_what_is_erased_goes_from_a_damaged_file_that_lies_beside_it_too(
    open_phone: OpenPhone, enrolled: GreenTrip, folder: Path, clock: FakeClock
):
    trip = _drifting(enrolled, clock)
    kept = ride(enrolled, clock)
    traces = _traces(enrolled, trip)
    enrolled.close(timeout=0)
    (file,) = folder.glob("*.sqlite3")
    with closing(sqlite3.connect(file)) as db:
        (root,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'fix'").fetchone()
    content = bytearray(file.read_bytes())
    content[(root - 1) * 4096 : root * 4096] = b"\xa5" * 4096
    file.write_bytes(bytes(content))
    phone = open_phone()
    assert phone.recovered is not None
    phone.erase_trip(trip.id)
    assert found_in(folder, traces) == []
    phone.close(timeout=0)
    assert [one.id for one in open_phone().trips()] == [kept.id]


# Everything


def test_everything_is_erased_here_and_at_the_server(
    enrolled: GreenTrip, folder: Path, clock: FakeClock, server: FakeServer
):
    trips = [_accepted(enrolled, clock, server), _drifting(enrolled, clock)]
    enrolled.start("walk", HOME)
    walk(enrolled, clock, 300)
    traces = [trace for trip in trips for trace in _traces(enrolled, trip)]
    assert enrolled.erase() is True
    assert found_in(folder, [*traces, "account-1", f"{HOME.lat:.5f}"]) == []
    assert list(folder.rglob("*.key")) == []
    assert (enrolled.trips(), enrolled.active, enrolled.account_id, enrolled.accounts()) == ([], None, None, [])
    assert server.accounts["account-1"].erased
    assert server.balance_mg == 0
    assert enrolled.stats().recorded == 0


def test_the_order_is_the_only_row_until_the_certificate_is_here(
    open_phone: OpenPhone, enrolled: GreenTrip, clock: FakeClock, server: FakeServer
):
    """A server that is down for weeks, an app that is opened again and again: the same order, until it is certified."""
    _drifting(enrolled, clock)
    down = [httpx.ConnectError("no route") for _ in range(4)]
    server.plan(*down, path=ORDERS)
    assert enrolled.erase(timeout=0.2) is False
    (order,) = enrolled._store.erasure_orders()
    with closing(sqlite3.connect(enrolled._store.path)) as db:
        for table in ("queue", "trip", "receipt", "event", "fix", "likeness", "tally", "erasure"):
            assert db.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table  # noqa: S608
    phone = enrolled
    for _ in range(3):
        phone.close(timeout=0)
        clock.tick(7 * DAY_S)
        phone = open_phone()
        assert phone._store.erasure_orders() == [order]
        phone.sync(timeout=0.2)
    clock.tick(DAY_S)
    phone.sync()
    assert phone._store.erasure_orders() == []
    assert server.accounts["account-1"].erased
    sent = {json.loads(request.content)["order"] for request in server.requests if request.url.path == ORDERS}
    assert sent == {order}


def test_erased_twice_while_the_server_is_down_the_order_is_not_lost(
    enrolled: GreenTrip, clock: FakeClock, server: FakeServer
):
    server.plan(httpx.ConnectError("no route"), httpx.ConnectError("no route"), path=ORDERS)
    assert enrolled.erase(timeout=0.2) is False
    assert enrolled.erase(timeout=0.2) is False
    clock.tick(DAY_S)
    enrolled.sync()
    assert server.accounts["account-1"].erased


def test_who_enrols_again_before_the_certificate_keeps_the_new_key(
    open_phone: OpenPhone, enrolled: GreenTrip, clock: FakeClock, server: FakeServer
):
    server.plan(*[problem(404, "not_found") for _ in range(3)], path=ORDERS)
    assert enrolled.erase(timeout=0.2) is False
    enrolled.request_code("13900000000")
    assert enrolled.enrol("123456", {"location": "2026-03", "sync": "2026-03"}) == "account-2"
    trip = ride(enrolled, clock)
    enrolled.close(timeout=0)
    phone = open_phone()
    assert phone.sync().settled == {State.ACCEPTED: 1}
    assert trip.id in server.accounts["account-2"].trips
    server.plan(*[problem(404, "not_found") for _ in range(3)], path=ORDERS)
    assert phone.erase(timeout=0.2) is False
    assert len(phone._store.erasure_orders()) == 2
    server.script.clear()
    for _ in range(3):
        clock.tick(2 * DAY_S)
        phone.sync()
    assert [account.erased for account in server.accounts.values()] == [True, True]
    assert phone._store.erasure_orders() == []


def test_a_forged_certificate_ends_nothing(enrolled: GreenTrip, clock: FakeClock, server: FakeServer):
    server.plan(httpx.Response(200, json={"certificate": "a.b.c"}), path=ORDERS)
    assert enrolled.erase(timeout=0.2) is False
    assert enrolled._store.erasure_orders()
    clock.tick(DAY_S)
    enrolled.sync()
    assert enrolled._store.erasure_orders() == []


def test_without_its_key_everything_goes_here_and_the_person_is_told_that_the_server_was_not(
    open_phone: OpenPhone, enrolled: GreenTrip, folder: Path, clock: FakeClock, server: FakeServer
):
    _drifting(enrolled, clock)
    enrolled.close(timeout=0)
    for key in folder.rglob("*.key"):
        key.unlink()
    phone = open_phone()
    assert phone.erase(timeout=0.2) is False
    assert phone.trips() == []
    assert phone.account_id is None
    assert not server.accounts["account-1"].erased


def test_without_an_account_there_is_nobody_to_tell(phone: GreenTrip, clock: FakeClock, server: FakeServer):
    ride(phone, clock)
    assert phone.erase() is True
    assert phone.trips() == []
    assert server.requests == []


def test_killed_between_the_store_and_the_key_the_key_goes_at_the_next_opening(
    open_phone: OpenPhone, enrolled: GreenTrip, folder: Path, clock: FakeClock, server: FakeServer
):
    class Dying(FileSecrets):
        def erase(self, name: str) -> None:
            raise Killed

    enrolled.close(timeout=0)
    (home,) = [path for path in folder.iterdir() if path.is_dir()]
    dying = open_phone(secrets=Dying(home))
    ride(dying, clock)
    with pytest.raises(Killed):
        dying.erase()
    assert list(folder.rglob("*.key"))
    phone = open_phone()
    assert list(folder.rglob("*.key")) == []
    assert phone.trips() == []
    phone.sync()
    assert server.accounts["account-1"].erased


def test_a_key_that_cannot_be_erased_is_a_storage_error_and_the_order_stands(
    open_phone: OpenPhone, enrolled: GreenTrip, folder: Path, server: FakeServer
):
    class Stuck(FileSecrets):
        def erase(self, name: str) -> None:
            raise PermissionError(1, "not permitted")

    enrolled.close(timeout=0)
    (home,) = [path for path in folder.iterdir() if path.is_dir()]
    phone = open_phone(secrets=Stuck(home))
    with refused(StorageError, says="not permitted"):
        phone.erase()
    phone.sync()
    assert server.accounts["account-1"].erased


def test_both_halves_are_told(open_phone: OpenPhone, clock: FakeClock):
    told: list[object] = []
    phone = open_phone(observer=told.append)
    phone.request_code("13800000000")
    phone.enrol("123456", {"location": "2026-03", "sync": "2026-03"})
    assert phone.erase()
    assert [event for event in told if isinstance(event, Erased)] == [Erased(certified=False), Erased(certified=True)]


def test_no_record_leaves_after_everything_was_erased(enrolled: GreenTrip, clock: FakeClock, server: FakeServer):
    ride(enrolled, clock)
    enrolled.erase()
    before = len(server.posted)
    clock.tick(30 * DAY_S)
    enrolled.sync()
    assert len(server.posted) == before == 0
    with suppress(Unreachable):
        enrolled.request_code("13800000000")
