"""The overlap rule is exact: it holds what cannot have happened, and never an honest trip."""

from dataclasses import dataclass
from datetime import date, timedelta
from itertools import combinations, permutations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greentrip.record import RecordLeg, duration_min
from greentrip.trip import Method, Mode, china_day_and_slot
from greentrip_server.checks.overlap import (
    NEIGHBOUR_DAYS,
    SLOT_MIN,
    Occupied,
    feasible,
    low_duration_min,
    overlaps,
)

DAY = date(2026, 3, 5)
GRID_MIN = 10


def leg(minutes: int) -> RecordLeg:
    return RecordLeg(Mode.WALK, 100, minutes, Method.TRACK)


def trip(slot: int, low_min: int, days: int = 0) -> Occupied:
    return Occupied(DAY + timedelta(days), slot, low_min)


# Durations on a grid, so that the brute force may try grid points alone: all bounds are whole steps of it.
grid_trips = st.lists(st.builds(trip, st.integers(14, 17), st.integers(0, 8).map(lambda n: n * GRID_MIN)), max_size=5)
trips = st.lists(st.builds(trip, st.integers(0, 47), st.integers(0, 200), st.integers(-1, 1)), max_size=7)


def feasible_by_starts(chosen: list[Occupied]) -> bool:
    """Every start on the grid for every trip, compared two by two."""
    ranges = [range(t.index * SLOT_MIN, (t.index + 1) * SLOT_MIN, GRID_MIN) for t in chosen]
    return any(
        all(
            a + x.low_min <= b or b + y.low_min <= a
            for (a, x), (b, y) in combinations(zip(starts, chosen, strict=True), 2)
        )
        for starts in product(*ranges)
    )


def feasible_by_orders(chosen: list[Occupied]) -> bool:
    """Every order, each trip as early as it can."""
    return any(_fits(order) for order in permutations(chosen))


def _fits(order: tuple[Occupied, ...]) -> bool:
    free_from = 0
    for item in order:
        begin = max(free_from, item.index * SLOT_MIN)
        if begin >= (item.index + 1) * SLOT_MIN:
            return False
        free_from = begin + item.low_min
    return True


@settings(max_examples=300)
@given(grid_trips)
def test_it_says_what_trying_all_starts_says(chosen: list[Occupied]):
    assert feasible(chosen) == feasible_by_starts(chosen)


@settings(max_examples=200)
@given(st.lists(st.builds(trip, st.integers(46, 47), st.integers(0, 45), st.integers(0, 1)), max_size=6))
def test_it_says_what_trying_all_orders_says(chosen: list[Occupied]):
    assert feasible(chosen) == feasible_by_orders(chosen)


@given(trips, trips)
def test_adding_a_trip_never_makes_it_possible(some: list[Occupied], more: list[Occupied]):
    assert feasible(some) or not feasible([*some, *more])


@given(trips, st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(chosen: list[Occupied], dice):
    shuffled = list(chosen)
    dice.shuffle(shuffled)
    assert feasible(shuffled) == feasible(chosen)


@given(trips, st.builds(trip, st.integers(0, 47), st.integers(0, 200)))
def test_a_new_trip_is_held_only_when_no_starts_fit(accepted: list[Occupied], new: Occupied):
    if feasible([*accepted, new]):
        assert not overlaps(accepted, new)
    elif feasible(accepted):
        assert overlaps(accepted, new)
    else:
        # Blame is optional where staff let excluding trips stand, but must not depend on the order.
        assert overlaps(accepted, new) == overlaps(list(reversed(accepted)), new)


@pytest.mark.parametrize(
    ("chosen", "possible"),
    [
        ([], True),
        ([trip(16, 1440)], True),
        ([trip(16, 29), trip(16, 29)], True),
        ([trip(16, 30), trip(16, 30)], False),  # the second would begin at the half-hour's end, which is not in it
        ([trip(16, 29), trip(16, 1440)], True),  # the longest goes last
        ([trip(16, 0), trip(16, 30), trip(16, 0)], True),
        ([trip(16, 15), trip(16, 15), trip(16, 15)], False),
        ([trip(16, 14), trip(16, 15), trip(16, 15)], True),
        ([trip(16, 59), trip(17, 0)], True),  # 08:00 to 08:59, and a start in 08:30 to 09:00
        ([trip(16, 60), trip(17, 0)], False),
        ([trip(16, 89), trip(18, 5)], True),
        ([trip(16, 90), trip(18, 5)], False),
        ([trip(16, 45), trip(17, 14), trip(17, 1)], True),  # pushed by the half-hour before
        ([trip(16, 46), trip(17, 14), trip(17, 14)], False),
        ([trip(47, 59), trip(0, 10, days=1)], True),  # midnight is a border like any other
        ([trip(47, 60), trip(0, 10, days=1)], False),
        ([trip(47, 60), trip(0, 10)], True),  # the same day's first half-hour is long past
    ],
)
def test_borders(chosen: list[Occupied], possible: bool):
    assert feasible(chosen) is possible
    for new in chosen:
        others = list(chosen)
        others.remove(new)
        if feasible(others):
            assert overlaps(others, new) is not possible


def test_trips_that_staff_let_stand_against_each_other_do_not_block_the_account():
    accepted = [trip(16, 120), trip(16, 120)]
    assert not feasible(accepted)
    assert not overlaps(accepted, trip(30, 20))
    assert overlaps(accepted, trip(17, 20))


def test_midnight_of_a_year_is_seen():
    before, after = Occupied(date(2025, 12, 31), 47, 60), Occupied(date(2026, 1, 1), 0, 10)
    assert overlaps([before], after)


@pytest.mark.parametrize(
    ("minutes", "low"),
    [([1], 0), ([2], 1), ([59], 58), ([60], 59), ([65], 60), ([70], 65), ([1440], 1435), ([1, 5, 65], 64), ([], 0)],
)
def test_the_low_duration(minutes: list[int], low: int):
    assert low_duration_min(map(leg, minutes)) == low


@given(st.floats(0, 86_400))
def test_the_low_duration_lies_below_the_true_one(seconds: float):
    low = low_duration_min([leg(duration_min(seconds))])
    assert low * 60 < seconds or low == 0


@given(st.integers(1, 1435))
def test_the_low_duration_is_the_greatest_that_does(low: int):
    recorded = duration_min(low * 60 + 0.001)
    tightest = low_duration_min([leg(recorded)])
    assert tightest <= low
    assert duration_min(tightest * 60 + 0.001) == recorded, "just above the bound is rounded to the same"
    assert duration_min(tightest * 60) != recorded or tightest == 0, "the bound itself is not"


def test_a_day_of_neighbours_is_enough():
    longest = trip(47, 1440, days=-(NEIGHBOUR_DAYS + 1))
    assert not any(overlaps([longest], trip(slot, 0)) for slot in range(48))


@dataclass(frozen=True)
class Real:
    """What really happened: the start, and the seconds of each leg."""

    start: float
    legs_s: tuple[float, ...]

    def as_recorded(self) -> Occupied:
        day, slot = china_day_and_slot(self.start)
        return Occupied(
            date.fromisoformat(day), slot, low_duration_min(leg(duration_min(seconds)) for seconds in self.legs_s)
        )


def seconds_up_to(most: int) -> st.SearchStrategy[float]:
    """Whole minutes often, since borders are there."""
    whole = st.integers(0, most // 60).map(lambda n: n * 60.0)
    return st.one_of(st.just(0.0), whole, st.integers(0, most).map(float), st.floats(0, most))


@st.composite
def honest_days(draw) -> list[Real]:
    """Trips one after the other, from some moment near midnight on; often without a pause, never two at once."""
    now = 1_772_640_000.0 + draw(seconds_up_to(86_400))
    found = []
    for _ in range(draw(st.integers(1, 8))):
        legs, start = [], now
        for _ in range(draw(st.integers(1, 3))):
            begin = now
            now += draw(seconds_up_to(5_400))
            # The phone rounds the difference of two clock readings, not the number that we drew.
            legs.append(now - begin)
            now += draw(st.one_of(st.just(0.0), st.floats(0, 600)))
        found.append(Real(start, tuple(legs)))
        now += draw(seconds_up_to(3_600))
    return found


@settings(max_examples=500)
@given(honest_days(), st.randoms(use_true_random=False))
def test_honest_trips_are_never_held(real: list[Real], dice):
    arriving = [item.as_recorded() for item in real]
    dice.shuffle(arriving)
    for i, new in enumerate(arriving):
        assert not overlaps(arriving[:i], new)


@settings(max_examples=100)
@given(st.integers(1, 40), st.integers(0, 59), st.integers(2, 59))
def test_honest_short_hops_back_to_back_are_never_held(count: int, second: int, seconds: int):
    start = 1_772_640_000.0 + second
    arriving = [Real(start + i * seconds, (float(seconds),)).as_recorded() for i in range(count)]
    assert not any(overlaps(arriving[:i], new) for i, new in enumerate(arriving))
