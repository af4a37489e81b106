"""A commute from the phone's first tap to the official statement: real processes, a real cut, a real SIGKILL."""

import random
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from greentrip import GreenTrip, Mode, Network, Point, State, Stop, Untrusted
from greentrip.methodology import Reason
from greentrip.testing import Relay
from support.child_phone import PhoneDied, child_phone
from support.commuting import local, reopened
from support.server import ServerProcess, commute, new_number, phone, server_process

COMMUTE_MG = 2_517_120


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server for all tests of this file; each has people of its own."""
    folder = tmp_path_factory.mktemp("server")
    with server_process(f"sqlite:///{folder / 'server.sqlite3'}", folder) as running:
        yield running


@pytest.fixture
def number() -> str:
    """The phone number of somebody new."""
    return new_number()


@contextmanager
def network_to(server: ServerProcess) -> Iterator[tuple[Relay, ServerProcess]]:
    """The network between phones and the server, and the server as they see it."""
    with Relay(int(server.url.rsplit(":", 1)[1])) as relay:
        yield relay, replace(server, facts=server.facts | {"url": f"http://127.0.0.1:{relay.port}"})


def bus_ride(green: GreenTrip, days_ago: int, hour: int) -> str:
    """A ride by bus of some kilometres; 20 of them a day do not meet."""
    at = local(days_ago, hour)
    green.start(Mode.BUS, Point(39.90, 116.40), at=at)
    return green.finish(Point(39.93, 116.43), at=at + timedelta(minutes=20)).id


def test_the_published_commute_earns_2517_g(database_url: str, tmp_path: Path):
    with (
        server_process(database_url, tmp_path) as server,
        network_to(server) as (network, seen),
        phone(seen, tmp_path / "phone") as green,
    ):
        network.cut()
        trip = commute(green, local(2, 7, 40))
        assert [leg.mode for leg in trip.legs] == [Mode.WALK, Mode.RAIL, Mode.WALK]
        assert [leg.reasons for leg in trip.legs] == [(Reason.NO_TRACK,), (Reason.EARNS,), (Reason.NO_TRACK,)]
        assert [leg.ug for leg in trip.legs] == [0, COMMUTE_MG * 1000, 0]
        assert trip.legs[0].reasons[0].en.startswith("no track was recorded, so this leg earns nothing")
        assert "没有轨迹" in trip.legs[2].reasons[0].zh
        offline = green.sync(2)
        assert (offline.stop, offline.left, offline.settled) == (Stop.OFFLINE, 1, {})
        assert green.trips()[0].state is State.PENDING

        network.restore()
        report = green.sync(20)
        assert (report.stop, report.left, report.settled) == (Stop.DONE, 0, {State.ACCEPTED: 1})
        (entry,) = green.statement()
        assert (entry.trip, entry.mg, entry.balance_mg) == (trip.id, COMMUTE_MG, COMMUTE_MG)
        account = green.account()
        assert (account.balance_mg, account.waiting, account.trips["accepted"]) == (COMMUTE_MG, 0, 1)
        assert green.trips()[0].official_mg == COMMUTE_MG

        network.cut()  # the receipt needs no network
        assert abs(green.verify_receipt(trip.id) - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_cut_in_the_middle_of_a_sync_costs_nothing(server: ServerProcess, number: str, tmp_path: Path):
    with network_to(server) as (network, seen), phone(seen, tmp_path / "phone", number=number) as green:
        commute(green, local(3, 8))
        # The server has the request and cannot answer: the phone learns nothing, and the server credits all the same.
        server.process.send_signal(signal.SIGSTOP)
        asked = threading.Timer(1.0, network.cut)
        asked.start()
        try:
            report = green.sync(3)
        finally:
            asked.join()
            server.process.send_signal(signal.SIGCONT)
        assert (report.stop, report.left) == (Stop.OFFLINE, 1)
        network.restore()
        assert green.sync(20).settled == {State.ACCEPTED: 1}
        assert [entry.mg for entry in green.statement()] == [COMMUTE_MG]


# A phone that is killed


STEPS = 8
QUEUED = 20


def play_until(step: int, folder: Path, seen: ServerProcess) -> None:
    """Record two trips while more wait in the queue, and die after so many steps."""
    at = time.time() - 3 * 3600
    orders = [
        ("start", ("walk", [39.8890, 116.3790]), {"at": at}),
        ("fix", ([39.8890, 116.3790],), {"at": at + 5}),
        ("fix", ([39.8887, 116.3780],), {"at": at + 95}),
        ("switch", ("rail", "虎坊桥"), {"at": at + 480}),
        ("switch", ("walk", "东夏园"), {"changes": ["双井", "呼家楼"], "at": at + 4680}),
        ("finish", ([39.9055, 116.7272],), {"at": at + 5220}),
        ("start", ("cycle", [39.9055, 116.7272]), {"at": at + 8000}),
        ("fix", ([39.9056, 116.7273],), {"at": at + 8010}),
    ]
    assert len(orders) == STEPS
    with child_phone(folder, seen.url, seen.root_key) as child:
        for do, arguments, named in orders[:step]:
            child.call(do, *arguments, **named)
        child.kill()


@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_a_killed_phone_goes_on_where_it_was(step: int, server: ServerProcess, number: str, tmp_path: Path):
    folder = tmp_path / "phone"
    with network_to(server) as (network, seen):
        with phone(seen, folder, number=number) as green:
            network.cut()
            queued = [bus_ride(green, 2 + count // 15, 5 + count % 15) for count in range(QUEUED)]
        play_until(step, folder, seen)
        with reopened(folder, seen) as green:
            assert {trip.id for trip in green.trips()} >= set(queued)
            assert green.stats().recorded == green.stats().waiting == QUEUED + (step >= 6)
            active, fixes = green.active, {1: 0, 2: 1}.get(step, 2) if step < 6 else step - 7
            if step == 6:  # the first trip is finished, the second not begun
                assert active is None
            else:
                assert active is not None
                assert active.interrupted
                assert (active.fixes, active.legs) == (fixes, {4: 2, 5: 3}.get(step, 1))
                green.resume()
                last = green.finish("国贸" if step < 5 else Point(39.9100, 116.7300))
                assert last.state is State.PENDING
                assert b'"gap"' in (last.record or b"")
            network.restore()
            report = green.sync(30)
            assert (report.stop, report.left) == (Stop.DONE, 0)
            trips = green.trips()
            assert [trip.rules for trip in trips if trip.state is not State.ACCEPTED] == []
            assert all(trip.official_mg == trip.reduction_mg for trip in trips)
            assert green.account().balance_mg == sum(trip.reduction_mg for trip in trips)
            assert all(green.verify_receipt(trip.id) for trip in trips)
            if step >= 6:
                assert COMMUTE_MG in [entry.mg for entry in green.statement()]


def test_what_finish_returned_survives_a_kill_at_any_moment(server: ServerProcess, number: str, tmp_path: Path):
    """Killed four times while it records as fast as it can: every trip that it told of is there, once."""
    folder, dice, told = tmp_path / "phone", random.Random(20241001), set()
    with phone(server, folder, number=number):
        pass
    begins = [local(1 + count // 16, 5 + count % 16).timestamp() for count in range(2000)]  # more than 1.2 s can hold
    for _ in range(4):
        with child_phone(folder, server.url, server.root_key) as child:
            child.tell("stats")
            child.answer()  # it is up
            threading.Timer(dice.uniform(0.01, 0.3), child.kill).start()
            try:
                while True:
                    at = begins.pop()
                    child.tell("start", "bus", [39.90, 116.40], at=at)
                    child.tell("finish", [39.93, 116.43], at=at + 1200)
                    child.answer()
                    told.add(child.answer())
            except (PhoneDied, BrokenPipeError):
                pass
        with reopened(folder, server) as green:
            if green.active is not None:
                green.cancel()
            kept = {trip.id for trip in green.trips()}
            assert told <= kept
            told = kept  # at most the one whose finish() was cut short is more
    with reopened(folder, server) as green:
        assert green.sync(30).settled == {State.ACCEPTED: len(told)}
        assert {entry.trip for entry in green.statement()} == told
        assert len(green.statement()) == len(told) > 4


def test_a_phone_killed_while_it_sends_is_credited_once(server: ServerProcess, number: str, tmp_path: Path):
    folder = tmp_path / "phone"
    with network_to(server) as (network, seen):
        with phone(seen, folder, number=number) as green:
            trips = {bus_ride(green, 2, 6 + count) for count in range(12)}
        already = sum(map(len, network.sent))
        with child_phone(folder, seen.url, seen.root_key) as child:
            server.process.send_signal(signal.SIGSTOP)
            try:
                child.tell("sync", 30)
                # The whole batch is on its way, and the server sleeps.
                wait_for(lambda: sum(map(len, network.sent)) > already + 12 * 300)
                child.kill()
            finally:
                server.process.send_signal(signal.SIGCONT)
        with reopened(folder, seen) as green:
            assert green.stats().waiting == 12
            report = green.sync(20)  # the dead one's lease ended with it
            assert (report.stop, report.settled) == (Stop.DONE, {State.ACCEPTED: 12})
            assert {entry.trip for entry in green.statement()} == trips
            assert len(green.statement()) == 12
            assert all(green.verify_receipt(trip) for trip in trips)


def wait_for(condition) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# Receipts


EVIDENCE = {
    "record": ("queue", "line"),
    "result": ("queue", "result_line"),
    "request hashes": ("receipt", "request_lines"),
    "answer hashes": ("receipt", "answer_lines"),
    "signature": ("receipt", "jws"),
    "device": ("receipt", "device"),
}


def test_a_receipt_fails_when_any_byte_is_changed(server: ServerProcess, number: str, tmp_path: Path):
    """Every byte of everything that a receipt rests on, one at a time, in the phone's own file; with no server."""
    with network_to(server) as (network, seen), phone(seen, tmp_path / "phone", number=number) as green:
        bus_ride(green, 3, 7)
        trip = commute(green, local(2, 8)).id
        bus_ride(green, 3, 9)
        green.sync(20)
        network.cut()
        (file,) = (tmp_path / "phone").glob("*.sqlite3")
        with closing(sqlite3.connect(file, isolation_level=None)) as db:
            changed = [found for what in EVIDENCE for found in changes(db, what, trip, green)]
        assert green.verify_receipt(trip)  # all is as it was
    unnoticed = [f"{what}[{at}] {old:#04x} -> {new:#04x}" for what, at, old, new, caught in changed if not caught]
    assert unnoticed == []
    assert len(changed) > 1500


def changes(
    db: sqlite3.Connection, what: str, trip: str, green: GreenTrip
) -> Iterator[tuple[str, int, int, int, bool]]:
    """Change each byte of one kind of evidence in turn; says where, what, and whether it was noticed."""
    table, column = EVIDENCE[what]
    (receipt,) = db.execute("SELECT receipt FROM queue WHERE id = ?", (trip,)).fetchone()
    name = trip if table == "queue" else receipt
    select, update = f"SELECT {column} FROM {table} WHERE id = ?", f"UPDATE {table} SET {column} = ? WHERE id = ?"  # noqa: S608
    (original,) = db.execute(select, (name,)).fetchone()
    content = original if isinstance(original, bytes) else original.encode()
    for at, old in enumerate(content):
        # To another letter of the same kind where there is one, so that the change is not merely unreadable.
        new = old ^ 1 if at % 3 else old ^ 0x20
        altered = bytes([*content[:at], new, *content[at + 1 :]])
        db.execute(update, (altered if isinstance(original, bytes) else altered.decode(), name))
        try:
            green.verify_receipt(trip)
            caught = False
        except Untrusted:
            caught = True
        yield what, at, old, new, caught
    db.execute(update, (original, name))


def test_a_receipt_is_no_other_trips_receipt(server: ServerProcess, number: str, tmp_path: Path):
    with phone(server, tmp_path / "phone", number=number) as green:
        first, second = bus_ride(green, 3, 7), bus_ride(green, 3, 9)
        green.sync(20)
        (file,) = (tmp_path / "phone").glob("*.sqlite3")
        with closing(sqlite3.connect(file, isolation_level=None)) as db:
            db.execute(
                "UPDATE queue SET result_line = (SELECT result_line FROM queue WHERE id = ?) WHERE id = ?",
                (first, second),
            )
        assert green.verify_receipt(first)
        with pytest.raises(Untrusted, match="another record"):
            green.verify_receipt(second)


# Two phones


def test_two_phones_of_one_account(server: ServerProcess, number: str, tmp_path: Path):
    with phone(server, tmp_path / "one", number=number) as one, phone(server, tmp_path / "two", number=number) as two:
        assert one.account_id == two.account_id
        first = commute(one, local(2, 8))
        same_time = commute(two, local(2, 8))
        evening = commute(two, local(2, 18))
        assert one.sync(20).settled == {State.ACCEPTED: 1}
        assert two.sync(20).settled == {State.ACCEPTED: 1, State.HELD: 1}
        held = next(trip for trip in two.trips() if trip.id == same_time.id)
        assert (held.state, [rule.id for rule in held.rules]) == (State.HELD, ["overlap"])
        assert "same time" in held.rules[0].en
        assert "同一时间" in held.rules[0].zh
        assert one.statement() == two.statement()
        assert [entry.trip for entry in one.statement()] == [first.id, evening.id]
        assert one.account().balance_mg == two.account().balance_mg == 2 * COMMUTE_MG
        # Each keeps its own receipts only.
        assert one.receipt(evening.id) is None
        with phone(server, tmp_path / "other") as other:
            assert other.account_id != one.account_id
            assert other.statement() == []


# The milligram


@pytest.mark.parametrize("seed", range(3))
def test_phone_and_server_agree_to_the_milligram(seed: int, server: ServerProcess, number: str, tmp_path: Path):
    """Random trips through the public API, in all modes and by all methods: whatever is decided, the figure is one."""
    dice = random.Random(seed)
    with phone(server, tmp_path / "phone", number=number) as green:
        for count in range(60):
            random_trip(green, dice, local(1 + count // 3, 5 + 6 * (count % 3)).timestamp())
        report = green.sync(30)
        assert (report.stop, report.left) == (Stop.DONE, 0)
        trips = [trip for trip in green.trips() if trip.state is not State.LOCAL]
        assert len(trips) > 50
        assert [(trip.reduction_mg, trip.official_mg) for trip in trips] == [(t.reduction_mg,) * 2 for t in trips]
        assert "phone_figure" not in green.stats().rules
        accepted = {trip.id: trip.reduction_mg for trip in trips if trip.state is State.ACCEPTED}
        credited = {entry.trip: entry.mg for entry in green.statement()}
        assert credited == {trip: mg for trip, mg in accepted.items() if mg}
        assert green.account().balance_mg == sum(accepted.values()) > 0
        assert len(accepted) > 25
        legs = [leg for trip in trips for leg in trip.legs]
        assert {leg.mode for leg in legs} == set(Mode)
        assert {leg.method for leg in legs} == {"rail", "track", "endpoints"}
        assert all(trip.rules for trip in trips if trip.state is not State.ACCEPTED)


SPEEDS_KMH = {Mode.WALK: 5, Mode.CYCLE: 14, Mode.BUS: 20, Mode.RAIL: 40, Mode.CARPOOL: 40}


def random_trip(green: GreenTrip, dice: random.Random, at: float) -> None:
    """One to four legs; each with a track, or end points alone, or from station to station."""
    place: Point | str = Point(39.9 + dice.uniform(-0.1, 0.1), 116.4 + dice.uniform(-0.1, 0.1))
    stations = dice.sample(Network.sample().stations, 5)
    count, mode = dice.randint(1, 4), Mode.WALK
    for index in range(count):
        # From rail to rail would be a change of lines, not a leg.
        mode = dice.choice([other for other in Mode if (other, mode) != (Mode.RAIL, Mode.RAIL)])
        if mode is Mode.RAIL and dice.random() < 0.7:
            place = stations[index]
        if index:
            green.switch(mode, place, at=at)
        else:
            green.start(mode, place, at=at)
        start = Network.sample().point_of(place) if isinstance(place, str) else place
        by_stations = mode is Mode.RAIL and isinstance(place, str)
        end = Network.sample().point_of(stations[index + 1]) if by_stations else moved(start, dice)
        seconds = 400 + metres(start, end) / SPEEDS_KMH[mode] * 3.6 * dice.uniform(0.4, 2.5)
        if dice.random() < 0.6:
            for step in range(31):
                share = step / 31
                sway = dice.uniform(-2e-5, 2e-5)  # nobody goes as straight as a ruler
                point = Point(*(a + (b - a) * share + sway for a, b in ((start.lat, end.lat), (start.lon, end.lon))))
                green.fix(point, at=at + seconds * share, accuracy_m=dice.choice([None, 5.0, 40.0]))
        at += seconds
        place = stations[index + 1] if by_stations else end
    trip = green.finish(place, at=at)
    if trip.question is not None:
        green.answer(trip.id, trip.question.claimed)


def moved(start: Point, dice: random.Random) -> Point:
    return Point(start.lat + dice.uniform(0.003, 0.05), start.lon + dice.uniform(-0.05, 0.05))


def metres(a: Point, b: Point) -> float:
    return (((a.lat - b.lat) * 111_195) ** 2 + ((a.lon - b.lon) * 85_000) ** 2) ** 0.5
