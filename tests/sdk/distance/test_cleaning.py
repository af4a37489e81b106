"""Cleaning: what a receiver says is taken or left, never believed beyond what can be travelled, and never a crash."""

import itertools
import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greentrip.distance.cleaning import ACCURACY_M_MAX, MOTOR_MPS_MAX, clean, usable, without_jumps
from greentrip.distance.sphere import great_circle_m, moved
from greentrip.trip import Fix, Mode, Point
from support.rides import ride

HOME = Point(39.9, 116.4)
anything = st.lists(
    st.builds(
        Fix,
        st.builds(Point, st.floats(-90, 90), st.floats(-180, 180)) | st.just(Point(0.0, 0.0)) | st.just(HOME),
        st.floats(0, 1e4) | st.floats(),
        st.none() | st.floats(),
    ),
    max_size=40,
)


@given(anything)
def test_chains_hold_what_was_given_in_order_and_within_a_motor_vehicles_reach(fixes: list[Fix]):
    chains = clean(fixes)
    kept = [fix for chain in chains for fix in chain]
    assert all(chains)
    assert all(any(fix is given for given in fixes) for fix in kept)
    assert all(a.at < b.at for a, b in itertools.pairwise(kept))
    assert all(fix.accuracy_m is None or 0 <= fix.accuracy_m <= ACCURACY_M_MAX for fix in kept)


def test_a_car_claimed_as_a_walk_stays_a_car():
    fixes = ride(Mode.CARPOOL, random.Random(3), 600).fixes[::10]
    assert [len(chain) for chain in clean(fixes)] == [60]
    assert max(len(chain) for chain in without_jumps(Mode.WALK, fixes)) < 40


def test_nobody_jumps_faster_than_a_motor_vehicle():
    fixes = [Fix(moved(HOME, i * 10, 0), float(i), 5.0) for i in range(100)]
    for row, off_m in ((20, 500.0), (21, 500.0), (60, -90_000.0)):
        fixes[row] = replace(fixes[row], point=moved(fixes[row].point, 0, off_m))
    (chain,) = clean(fixes)
    assert chain == [fix for row, fix in enumerate(fixes) if row not in (20, 21, 60)]
    for a, b in itertools.pairwise(chain):
        assert great_circle_m(a.point, b.point) <= MOTOR_MPS_MAX * (b.at - a.at) + 10


@given(st.sets(st.integers(0, 199), max_size=12), st.floats(900, 1e6))
def test_jumps_cost_only_themselves(rows: set[int], off_m: float):
    fixes = [Fix(moved(HOME, i * 8, 0), i * 2.0, 5.0) for i in range(200)]
    for row in rows:
        fixes[row] = replace(fixes[row], point=moved(fixes[row].point, 0, off_m if row % 2 else -off_m / 2))
    assert len(max(clean(fixes), key=len)) >= 200 - len(rows) - 1


@pytest.mark.parametrize(
    "fix",
    [
        Fix(Point(0.0, 0.0), 5.0),
        Fix(Point(0.0002, -0.0004), 5.0, 4.0),
        Fix(HOME, math.nan, 4.0),
        Fix(HOME, math.inf, 4.0),
        Fix(HOME, 5.0, math.nan),
        Fix(HOME, 5.0, -1.0),
        Fix(HOME, 5.0, math.inf),
        Fix(HOME, 5.0, ACCURACY_M_MAX + 1),
    ],
)
def test_what_says_nothing_is_left_out(fix: Fix):
    good = [Fix(HOME, float(i) * 10, 4.0) for i in (0, 2, 3)]
    assert usable([good[0], fix, *good[1:]]) == good


def test_the_equator_and_the_prime_meridian_are_places():
    assert len(usable([Fix(Point(0.0, 32.6), 1.0), Fix(Point(51.48, 0.0), 2e5)])) == 2


def test_nothing_gives_nothing():
    assert usable([]) == []
    assert clean([]) == []
    assert without_jumps(Mode.BUS, []) == []
