""" "You arrived": suggested in time and with the right time, never for a stop on the way, and never twice."""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greentrip import GreenTrip, InvalidInput, Mode, Network, NoTrip, Point, Station, Suggestion, SuggestionKind
from greentrip.arrival import AWAY_M, STAND_S, Declined, suggest
from greentrip.distance.sphere import great_circle_m, moved
from greentrip.testing import FakeClock
from greentrip.trip import Fix
from support.refusals import refused
from support.trips import FAR_END, HOME, north_of

OpenPhone = Callable[..., GreenTrip]
BEGAN = 1_772_671_500.0
SEEDS = range(5)

Part = tuple[float, float]
"""Seconds, and metres a second towards the north-east."""
TRAFFIC: list[Part] = [(25, 9.0), (20, 0.0)]
JAM: list[Part] = [(20, 3.5), (25, 0.0)]


def journey(parts: Sequence[Part], seed: int, step_s: float = 15.0, noise_m: float = 6.0) -> list[Fix]:
    """A trip made of parts with steady speeds. The noise is correlated from fix to fix, as a receiver's is."""
    dice, at, metres, east, north = random.Random(seed), 0.0, 0.0, 0.0, 0.0
    ends = [0.0]
    for seconds, _ in parts:
        ends.append(ends[-1] + seconds)
    fixes = []
    while at <= ends[-1]:
        metres = sum(max(0.0, min(at, b) - a) * mps for (_, mps), (a, b) in zip(parts, pairwise(ends), strict=True))
        east, north = (0.8 * old + 0.6 * dice.gauss(0, noise_m) for old in (east, north))
        point = moved(HOME, metres * 0.6 + east, metres * 0.8 + north)
        fixes.append(Fix(point, BEGAN + at, 10.0))
        at += step_s
    return fixes


def asked(mode: Mode, fixes: Sequence[Fix], **more) -> Iterator[tuple[float, Suggestion | None]]:
    """What is suggested after each fix, with the time of that fix."""
    for count in range(1, len(fixes) + 1):
        yield fixes[count - 1].at, suggest(mode, fixes[:count], **more)


def first(mode: Mode, fixes: Sequence[Fix], **more) -> tuple[float, Suggestion]:
    """When something was suggested first (seconds since the start), and what."""
    for at, suggestion in asked(mode, fixes, **more):
        if suggestion is not None:
            return at - BEGAN, suggestion
    raise AssertionError("nothing was suggested")


def seconds(suggestion: Suggestion) -> float:
    return suggestion.at.timestamp() - BEGAN


# The end

PACE = {Mode.WALK: 1.3, Mode.CYCLE: 3.8}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("step_s", [1.0, 15.0, 30.0, 60.0])
@pytest.mark.parametrize("mode", [Mode.WALK, Mode.CYCLE])
def test_who_stands_at_the_end_is_asked_with_the_time_of_arrival(mode: Mode, step_s: float, seed: int):
    fixes = journey([(900, PACE[mode]), (900, 0.0)], seed, step_s)
    after = [fix for fix in fixes if fix.at >= BEGAN + 900]
    told = next(fix for fix in after if suggest(mode, [f for f in fixes if f.at <= fix.at]))
    found = suggest(mode, [f for f in fixes if f.at <= told.at])
    assert found is not None
    assert (found.kind, found.mode) == (SuggestionKind.END, None)
    assert 900 - 75 <= seconds(found) <= 900 + step_s + 30
    assert told.at - BEGAN <= 900 + STAND_S[mode] + step_s + 30
    assert isinstance(found.place, Point)
    assert great_circle_m(found.place, fixes[-1].point) < 90
    assert all(suggest(mode, [f for f in fixes if f.at <= BEGAN + t]) is None for t in (300, 600, 890))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("mode", "on_the_way"),
    [
        (Mode.WALK, [(400, 1.3), (110, 0.0), (400, 1.3), (120, 0.0)]),  # lights
        (Mode.CYCLE, [(300, 4.0), (120, 0.0), (300, 4.0)]),
        (Mode.BUS, [*TRAFFIC * 10, (360, 0.0), *TRAFFIC * 10]),  # six minutes at a junction
        (Mode.BUS, [*TRAFFIC * 5, *JAM * 40, *TRAFFIC * 5]),  # half an hour of stop and go
        (Mode.CARPOOL, [*TRAFFIC * 5, *JAM * 40]),
        (Mode.BUS, [(900, 0.0), *TRAFFIC * 20]),  # a quarter of an hour at the first stop
        (Mode.RAIL, [(1500, 14.0), (240, 0.0), (1500, 14.0)]),  # a train that waits
        (Mode.BUS, [(300, 1.3), (200, 0.0), *TRAFFIC * 20]),  # started on the way to the stop
    ],
)
def test_a_stop_on_the_way_is_no_arrival(mode: Mode, on_the_way: list[Part], seed: int):
    told = [found for _, found in asked(mode, journey(on_the_way, seed)) if found]
    assert told == []


def test_a_phone_that_reports_no_rest_is_asked_once_it_is_heard_again():
    """A location service with a least distance says nothing while one stands."""
    fixes = journey([(900, 1.3)], 1)
    end = fixes[-1].point
    later = [Fix(end, fixes[-1].at + 600, 10.0), Fix(end, fixes[-1].at + 610, 10.0)]
    _, found = first(Mode.WALK, [*fixes, *later])
    assert found.kind is SuggestionKind.END
    assert 800 <= seconds(found) <= 900


def test_one_reflection_during_the_stand_hides_nothing():
    fixes = journey([(900, 1.3), (420, 0.0)], 2)
    fixes[-8] = Fix(north_of(fixes[-8].point, 250), fixes[-8].at, 10.0)
    found = suggest(Mode.WALK, fixes)
    assert found is not None
    assert seconds(found) <= 960


def test_a_rail_leg_ends_at_a_station_that_is_not_its_start(network: Network):
    exit_ = north_of(network.point_of(FAR_END), 120)
    before = [Fix(north_of(network.point_of("虎坊桥"), 5 * n), BEGAN + 30 * n, 10.0) for n in range(3)]
    there = [Fix(north_of(exit_, (-1) ** n * 4), BEGAN + 3600 + 30 * n, 15.0) for n in range(12)]
    found = suggest(Mode.RAIL, [*before, *there], network=network, start=Station("虎坊桥"))
    assert found is not None
    assert (found.kind, found.place, seconds(found)) == (SuggestionKind.END, Station(FAR_END), 3600)
    assert f"在{FAR_END}" in found.text("zh")
    assert f"at {FAR_END}" in found.text()
    waits = [Fix(before[0].point, BEGAN + 30 * n, 15.0) for n in range(40)]
    arrived = [Fix(north_of(before[0].point, -400), BEGAN - 600, 15.0), *waits]
    assert suggest(Mode.RAIL, arrived, network=network, start=Station("虎坊桥")) is None, "waiting for the train"


# Another mode


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("step_s", [1.0, 15.0, 30.0])
@pytest.mark.parametrize(
    ("mode", "ride"), [(Mode.WALK, TRAFFIC * 20), (Mode.WALK, [(900, 4.0)]), (Mode.CYCLE, [(900, 15.0)])]
)
def test_a_ride_after_a_walk_is_seen_where_it_began(mode: Mode, ride: list[Part], step_s: float, seed: int):
    fixes = journey([(600, PACE[mode]), *ride], seed, step_s)
    told_s, found = first(mode, fixes[:: max(1, round(15 / step_s))])
    assert (found.kind, found.mode) == (SuggestionKind.SWITCH, None)
    assert 600 - 30 <= seconds(found) <= 600 + 75
    assert told_s <= 600 + 240


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("mode", [Mode.BUS, Mode.CARPOOL, Mode.RAIL])
def test_a_walk_after_a_ride_is_seen_where_it_began(mode: Mode, seed: int):
    ride = TRAFFIC * 16
    fixes = journey([*ride, (20, 0.0), (900, 1.3)], seed)
    told_s, found = first(mode, fixes)
    assert (found.kind, found.mode) == (SuggestionKind.SWITCH, Mode.WALK)
    assert 720 - 60 <= seconds(found) <= 720 + 60
    assert told_s <= 720 + 330


@pytest.mark.parametrize("seed", SEEDS)
def test_a_runner_and_a_fast_cyclist_are_what_they_say(seed: int):
    assert all(found is None for _, found in asked(Mode.WALK, journey([(1200, 2.8)], seed)))
    assert all(found is None for _, found in asked(Mode.CYCLE, journey([(1200, 7.5)], seed)))


def test_the_same_change_is_told_as_long_as_it_is_unanswered():
    fixes = journey([(600, 1.3), *TRAFFIC * 30], 3)
    told = {found for _, found in asked(Mode.WALK, fixes) if found}
    assert len({found.at for found in told}) == 1, "more fixes do not move the time"


# No nagging


def test_a_declined_end_is_not_suggested_again_for_the_same_stop():
    fixes = journey([(900, 1.3), (3600, 0.0)], 4)
    told_s, found = first(Mode.WALK, fixes)
    assert isinstance(found.place, Point)
    no = Declined(found.kind, found.mode, BEGAN + told_s + 5, found.place)
    assert all(again is None for _, again in asked(Mode.WALK, fixes, declined=[no]))


def test_but_it_is_for_the_next_stop():
    fixes = journey([(900, 1.3), (600, 0.0), (600, 1.3), (600, 0.0)], 4)
    told_s, found = first(Mode.WALK, fixes)
    assert isinstance(found.place, Point)
    no = Declined(found.kind, found.mode, BEGAN + told_s + 5, found.place)
    _, again = first(Mode.WALK, fixes, declined=[no])
    assert 2100 - 75 <= seconds(again) <= 2100 + 30
    assert great_circle_m(again.place, found.place) > AWAY_M


def test_a_declined_change_is_not_suggested_again_in_this_leg():
    fixes = journey([(600, 1.3), *TRAFFIC * 20, (300, 1.3), *TRAFFIC * 20], 5)
    told_s, found = first(Mode.WALK, fixes)
    assert isinstance(found.place, Point)
    no = Declined(found.kind, found.mode, BEGAN + told_s, found.place)
    assert all(again is None for _, again in asked(Mode.WALK, fixes, declined=[no]))


# Bad input

wild = st.lists(
    st.builds(
        Fix,
        st.builds(Point, st.floats(-90, 90), st.floats(-180, 180)) | st.just(Point(0, 0)) | st.just(HOME),
        st.floats(BEGAN, BEGAN + 7200) | st.sampled_from([math.nan, math.inf, -math.inf, -1.0, BEGAN]),
        st.none() | st.sampled_from([-1.0, 0.0, 5.0, 30.0, 5000.0, math.nan, math.inf]),
    ),
    max_size=60,
)


@given(st.sampled_from(Mode), wild)
def test_bad_fixes_never_crash_and_a_suggestion_lies_in_the_trip(mode: Mode, fixes: list[Fix]):
    found = suggest(mode, fixes)
    if found is not None:
        assert any(found.at == datetime.fromtimestamp(f.at, UTC) for f in fixes if math.isfinite(f.at))
        assert found.place in {fix.point for fix in fixes}


@given(st.sampled_from(Mode), st.randoms(use_true_random=False))
def test_order_and_doubles_of_the_fixes_do_not_matter(mode: Mode, dice: random.Random):
    fixes = journey([(600, 1.3), *TRAFFIC * 10, (600, 1.3), (600, 0.0)], 6)
    mixed = fixes + fixes[::7]
    dice.shuffle(mixed)
    assert suggest(mode, mixed) == suggest(mode, fixes)


def test_a_receiver_that_says_null_island_is_not_believed():
    fixes = journey([(900, 1.3)], 7)
    nowhere = [Fix(Point(0.0, 0.0), BEGAN + 900 + 15 * n, 10.0) for n in range(40)]
    assert suggest(Mode.WALK, [*fixes, *nowhere]) is None
    assert suggest(Mode.WALK, nowhere) is None
    assert suggest(Mode.WALK, []) is None


# Through GreenTrip


def play(phone: GreenTrip, clock: FakeClock, fixes: Sequence[Fix]) -> None:
    for fix in fixes:
        clock.tick(max(0.0, fix.at - clock.now()))
        phone.fix(fix.point, at=fix.at, accuracy_m=fix.accuracy_m)


def shifted(fixes: Sequence[Fix], seconds: float) -> list[Fix]:
    return [Fix(fix.point, fix.at + seconds, fix.accuracy_m) for fix in fixes]


def test_saying_yes_ends_the_trip_when_it_ended(phone: GreenTrip, clock: FakeClock):
    """The fixes after the end were made at the desk: they are left out."""
    with pytest.raises(NoTrip):
        phone.suggestion()
    start = clock.now()
    phone.start("walk", HOME)
    assert phone.suggestion() is None
    play(phone, clock, shifted(journey([(900, 1.3), (1800, 0.0)], 8), start - BEGAN))
    found = phone.suggestion()
    assert found is not None
    trip = phone.finish(found.place, at=found.at)
    assert (trip.ended_at, trip.legs[0].minutes) == (found.at, pytest.approx(15, abs=2))
    assert trip.legs[0].counted_m in (1000, 1100)


def test_saying_yes_to_a_change_makes_two_legs(phone: GreenTrip, clock: FakeClock):
    start = clock.now()
    phone.start("walk", HOME)
    play(phone, clock, shifted(journey([(900, 1.3), *TRAFFIC * 20], 9), start - BEGAN))
    found = phone.suggestion()
    assert found is not None
    phone.switch("bus", found.place, at=found.at)
    assert phone.suggestion() is None
    on_foot, by_bus = phone.finish().legs
    assert (on_foot.mode, on_foot.minutes) == (Mode.WALK, pytest.approx(15, abs=2))
    assert on_foot.metres == pytest.approx(1170, rel=0.12)
    assert by_bus.metres == pytest.approx(20 * 25 * 9, rel=0.12)


def test_a_no_survives_the_death_of_the_app(open_phone: OpenPhone, clock: FakeClock):
    phone, start = open_phone(), clock.now()
    phone.start("walk", HOME)
    play(phone, clock, shifted(journey([(900, 1.3), (600, 0.0)], 10), start - BEGAN))
    found = phone.suggestion()
    assert found is not None
    phone.decline(found)
    assert phone.suggestion() is None
    again = open_phone()
    again.resume()
    assert again.suggestion() is None
    clock.tick(60)
    trip = again.finish()
    assert trip.ended_at.timestamp() == start + 1500, "at the last fix, whatever was answered since"


def test_yes_may_come_after_the_app_was_killed(open_phone: OpenPhone, clock: FakeClock):
    """The arrival lies before the resume, and after the last step of the way."""
    phone, start = open_phone(), clock.now()
    phone.start("walk", HOME)
    play(phone, clock, shifted(journey([(900, 1.3), (600, 0.0)], 11), start - BEGAN))
    clock.tick(3600)
    again = open_phone()
    again.resume()
    found = again.suggestion()
    assert found is not None
    trip = again.finish(found.place, at=found.at)
    assert (trip.ended_at, trip.legs[0].gaps) == (found.at, ())


def test_a_station_is_suggested_by_its_name(phone: GreenTrip, clock: FakeClock, network: Network):
    phone.start("rail", "虎坊桥")
    phone.fix(network.point_of("虎坊桥"), accuracy_m=20)
    clock.tick(3600)
    for _ in range(14):
        phone.fix(north_of(network.point_of(FAR_END), 90), accuracy_m=20)
        clock.tick(30)
    found = phone.suggestion()
    assert found is not None
    assert found.place == Station(FAR_END)
    trip = phone.finish(found.place, changes=["双井", "呼家楼"], at=found.at)
    assert (trip.legs[0].minutes, trip.reduction_mg) == (60, 2_517_120)


@pytest.mark.parametrize("what", [None, "end", HOME])
def test_only_a_suggestion_can_be_declined(phone: GreenTrip, what: object):
    phone.start("walk", HOME)
    with refused(InvalidInput, "suggestion", "pass that"):
        phone.decline(what)  # type: ignore[arg-type]
