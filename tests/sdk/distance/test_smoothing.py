"""Smoothing: the course between the fixes, less jittery than they are, the same forwards and backwards."""

import itertools
import math
import random
import statistics
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greentrip.distance.cleaning import clean
from greentrip.distance.smoothing import MERGE_S, State, smooth
from greentrip.distance.sphere import east_north_m, moved
from greentrip.trip import Fix, Mode, Point
from support.rides import ride

HOME = Point(39.9, 116.4)
chains = st.lists(
    st.builds(
        Fix,
        st.builds(Point, st.floats(39.8, 40), st.floats(116.3, 116.5)),
        st.floats(0, 1e4) | st.floats(),
        st.none() | st.floats(0, 100),
    ),
    max_size=40,
)


def straight(count: int, step_m: float, step_s: float, accuracy_m: float | None = 5.0) -> list[Fix]:
    return [Fix(moved(HOME, i * step_m, 0), 1e9 + i * step_s, accuracy_m) for i in range(count)]


@pytest.mark.parametrize("step_s", [1.0, 5.0, 30.0, 60.0])
def test_a_straight_way_at_one_speed_stays_what_it_is(step_s: float):
    for state in smooth(straight(40, 4 * step_s, step_s)):
        assert state.east_m == pytest.approx(4 * (state.at - 1e9), abs=0.5)
        assert state.north_m == pytest.approx(0, abs=0.5)
        assert state.speed_mps == pytest.approx(4, abs=0.05)


@given(chains)
def test_states_are_finite_in_order_and_not_denser_than_said(fixes: list[Fix]):
    for chain in clean(fixes):
        states = smooth(chain)
        assert 1 <= len(states) <= len(chain)
        assert chain[0].at <= states[0].at
        assert states[-1].at <= chain[-1].at + 1e-3 + 1e-9 * abs(chain[-1].at)
        for state in states:
            numbers = (state.at, state.east_m, state.north_m, state.east_mps, state.north_mps)
            assert all(math.isfinite(number) for number in numbers)
        assert all(a.at < b.at for a, b in itertools.pairwise(states))
    assert len(smooth(straight(101, 1, 0.5))) <= 50 / MERGE_S + 1


def test_no_fixes_no_states_and_one_fix_stands_where_it_is():
    assert smooth([]) == []
    assert smooth(straight(1, 0, 1.0)) == [State(1e9, 0.0, 0.0, 0.0, 0.0)]


@given(st.sampled_from(Mode), st.integers(0, 10_000), st.sampled_from([5, 10, 30]))
def test_backwards_the_states_are_the_same_with_opposite_speeds(mode: Mode, seed: int, step_s: int):
    chain = ride(mode, random.Random(seed), 301).fixes[::step_s]
    backwards = [replace(fix, at=-fix.at) for fix in reversed(chain)]
    off_e, off_n = east_north_m(chain[0].point, chain[-1].point)
    for there, back in zip(smooth(chain), reversed(smooth(backwards)), strict=True):
        assert back.east_m + off_e == pytest.approx(there.east_m, abs=0.5)
        assert back.north_m + off_n == pytest.approx(there.north_m, abs=0.5)
        assert -back.east_mps == pytest.approx(there.east_mps, abs=0.3)


def test_noise_of_one_who_stands_becomes_little_speed():
    dice = random.Random(4)
    fixes = [Fix(moved(HOME, dice.gauss(0, 6), dice.gauss(0, 6)), float(i), 9.0) for i in range(1800)]
    raw = [math.hypot(*east_north_m(a.point, b.point)) for a, b in itertools.pairwise(fixes)]
    assert statistics.median(raw) > 5
    assert statistics.median(state.speed_mps for state in smooth(fixes)) < 0.2


def test_an_inaccurate_fix_pulls_less():
    fixes = straight(40, 30, 10.0)
    off = moved(fixes[20].point, 0, 40)
    pulls = []
    for accuracy_m in (3.0, 10.0, 30.0, 90.0):
        chain = [*fixes[:20], Fix(off, fixes[20].at, accuracy_m), *fixes[21:]]
        pulls.append(smooth(chain)[20].north_m)
    assert pulls == sorted(pulls, reverse=True)
    assert pulls[0] > 25
    assert pulls[-1] < 5


def test_the_smoothed_course_lies_nearer_to_the_truth_than_the_fixes():
    dice = random.Random(8)
    fixes = [Fix(moved(HOME, i * 5 + dice.gauss(0, 8), dice.gauss(0, 8)), i * 5.0, 12.0) for i in range(200)]
    raw_m = statistics.mean(abs(east_north_m(HOME, fix.point)[1]) for fix in fixes)
    # The origin of the plane is the first fix, which has noise of its own.
    off_n = east_north_m(HOME, fixes[0].point)[1]
    assert statistics.mean(abs(state.north_m + off_n) for state in smooth(fixes)) < 0.6 * raw_m


def test_across_the_date_line_it_is_one_course():
    fixes = [Fix(Point(10.0, 179.999), 0.0), Fix(Point(10.0, -179.999), 30.0), Fix(Point(10.0, -179.997), 60.0)]
    assert max(abs(state.east_m) for state in smooth(fixes)) < 500
