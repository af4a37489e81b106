"""Promise 18: a clock that jumps leaves nothing stuck, loses nothing and moves no trip to another day."""

import json
import random
import time
from collections.abc import Callable, Iterator

import pytest

from greentrip import GreenTrip, State
from greentrip.report import Stop
from greentrip.testing import FakeClock, FakeServer, problem
from support.trips import FAR_END, ride

OpenPhone = Callable[..., GreenTrip]
DAY_S = 24 * 3600
YEARS_S = 10 * 365.25 * DAY_S
JUMPS = {"ten years back": -YEARS_S, "ten years on": YEARS_S, "an hour back": -3600, "an hour on": 3600}


def _day(record: bytes | None) -> str:
    return json.loads(record or b"{}")["day"]


def _jump(clock: FakeClock, jump: str) -> None:
    clock.wall = 0.0 if jump == "to 1970" else clock.wall + JUMPS[jump]


@pytest.fixture
def true_time(server: FakeServer, clock: FakeClock) -> FakeClock:
    """The server's own clock, which does not jump with the phone's."""
    server.clock = FakeClock()
    return server.clock


jumps = pytest.mark.parametrize("jump", [*JUMPS, "to 1970"])


@jumps
def test_what_was_recorded_before_a_jump_is_sent_after_it_as_it_was(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock, true_time: FakeClock, jump: str
):
    trip = ride(enrolled, clock)
    _jump(clock, jump)
    assert enrolled.sync().settled == {State.ACCEPTED: 1}
    assert server.records[trip.id].line == trip.record
    assert enrolled.trips()[0].day == trip.day == _day(trip.record)


@jumps
def test_by_itself_too_and_within_a_day_by_the_new_clock(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock, true_time: FakeClock, jump: str
):
    """Random delays, back-offs and leases of before the jump are times like 2036 or 2016 now."""
    trip = ride(enrolled, clock)
    server.plan(problem(503, "unavailable"))
    enrolled._worker.run_due()
    _jump(clock, jump)
    for _ in range(24):
        clock.tick(3600)
        true_time.tick(3600)
        enrolled._worker.run_due()
    assert server.records[trip.id].line == trip.record


@jumps
def test_a_jump_while_a_request_is_under_way(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock, true_time: FakeClock, jump: str
):
    trip = ride(enrolled, clock)

    def jumping(request):
        _jump(clock, jump)
        return server.serve(request)

    server.plan(jumping)
    enrolled.sync()
    clock.tick(600)
    enrolled.sync()
    assert [(one.id, one.state) for one in enrolled.trips()] == [(trip.id, State.ACCEPTED)]
    assert server.balance_mg == trip.reduction_mg


@jumps
def test_a_lease_of_a_process_that_died_before_a_jump_ends(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock, true_time: FakeClock, jump: str
):
    ride(enrolled, clock)
    now_ms = round(clock.now() * 1000)
    enrolled._store.hurry(now_ms)
    assert enrolled._store.lease("dead", now_ms, now_ms + 120_000, 500, 10**9)
    _jump(clock, jump)
    clock.tick(121)
    if jump == "an hour back":
        clock.tick(3600)
    assert enrolled.sync().settled == {State.ACCEPTED: 1}


@jumps
def test_a_held_trip_is_asked_about_after_a_jump(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock, true_time: FakeClock, jump: str
):
    ride(enrolled, clock)
    server.plan(server.results("held"))
    enrolled.sync()
    _jump(clock, jump)
    for _ in range(5):
        clock.tick(DAY_S)
        true_time.tick(DAY_S)
        enrolled.sync()
    assert enrolled.trips()[0].state is State.ACCEPTED


@jumps
def test_a_trip_over_a_jump_takes_as_long_as_it_took(enrolled: GreenTrip, clock: FakeClock, jump: str):
    enrolled.start("rail", "虎坊桥")
    clock.tick(1800)
    day = enrolled._store.events()[0].at
    _jump(clock, jump)
    clock.tick(1800)
    trip = enrolled.finish(FAR_END)
    assert trip.legs[0].minutes == 60
    assert trip.started_at.timestamp() == pytest.approx(day)


def test_a_reboot_in_the_middle_of_a_trip(enrolled: GreenTrip, clock: FakeClock, open_phone: OpenPhone):
    enrolled.start("rail", "虎坊桥")
    clock.tick(1800)
    enrolled.close(timeout=0)
    clock.reboot()
    clock.tick(1800)
    phone = open_phone()
    trip = phone.finish(FAR_END)
    assert trip.legs[0].gap
    assert phone.sync().settled == {State.ACCEPTED: 1}


def test_a_reboot_frees_what_the_process_before_it_had_leased(
    enrolled: GreenTrip, clock: FakeClock, open_phone: OpenPhone
):
    ride(enrolled, clock)
    now_ms = round(clock.now() * 1000)
    enrolled._store.hurry(now_ms)
    enrolled._store.lease(enrolled._store.new_lease(), now_ms, now_ms + 120_000, 500, 10**9)
    enrolled._store._durable.execute("UPDATE session SET boot = 'the boot before'")
    again = open_phone()
    assert again._store.tallies()["killed"] == 1
    assert again.sync().settled == {State.ACCEPTED: 1}


@pytest.fixture(params=["Europe/Amsterdam", "America/New_York", "Asia/Shanghai", "Pacific/Apia"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("wall", [1_774_747_000, 1_792_893_000, 1_793_512_000], ids=["spring", "autumn", "new york"])
def test_the_phones_zone_and_its_summer_time_change_nothing(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock, zone: str, wall: int
):
    """A night in which clocks are changed: the day of a trip is China's, its length is real."""
    clock.wall = float(wall)
    trip = ride(enrolled, clock)
    china = time.strftime("%Y-%m-%d", time.gmtime(wall + 8 * 3600))
    assert (trip.day, _day(trip.record)) == (china, china)
    assert trip.legs[0].minutes == 60
    assert enrolled.sync().settled == {State.ACCEPTED: 1}


def test_a_clock_that_jumps_about_for_a_week_loses_nothing(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock, true_time: FakeClock
):
    dice = random.Random(7)
    lines = {}
    for _ in range(30):
        trip = ride(enrolled, clock)
        lines[trip.id] = trip.record
        _jump(clock, dice.choice([*JUMPS, "to 1970"]))
        if dice.random() < 0.3:
            clock.reboot()
        enrolled._worker.run_due()
        true_time.tick(3600)
    for _ in range(10):
        clock.tick(7 * 3600)
        true_time.tick(7 * 3600)
        report = enrolled.sync()
    assert report.stop is Stop.DONE
    assert {one: record.line for one, record in server.records.items()} == lines
