"""End points: the straight line times a detour factor."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greentrip.distance.endpoints import DETOURS, estimate_endpoints
from greentrip.distance.sphere import east_north_m, great_circle_m, moved
from greentrip.trip import Method, Mode, Point

points = st.builds(Point, st.floats(-90, 90), st.floats(-180, 180))
near_points = st.builds(Point, st.floats(39, 41), st.floats(115, 118))
modes = st.sampled_from(Mode)


def test_a_quarter_of_the_meridian_is_10008_km():
    assert great_circle_m(Point(0, 10), Point(90, 10)) == pytest.approx(10_007_557, abs=1)


def test_the_antipode_is_half_a_turn_away():
    assert great_circle_m(Point(0, 0), Point(0, 180)) == pytest.approx(math.pi * 6_371_008.8)


@given(points, points)
def test_the_straight_line_is_never_negative_and_the_same_both_ways(a: Point, b: Point):
    assert great_circle_m(a, b) >= 0
    assert great_circle_m(a, b) == pytest.approx(great_circle_m(b, a), abs=1e-6)
    assert great_circle_m(a, a) == 0


@given(points, points, points)
def test_a_way_over_a_third_point_is_not_shorter(a: Point, b: Point, c: Point):
    assert great_circle_m(a, c) <= great_circle_m(a, b) + great_circle_m(b, c) + 0.5


@given(near_points, st.floats(-5000, 5000), st.floats(-5000, 5000))
def test_moving_is_the_inverse_of_measuring(start: Point, east_m: float, north_m: float):
    there = moved(start, east_m, north_m)
    assert east_north_m(start, there) == pytest.approx((east_m, north_m), abs=1e-3)
    assert great_circle_m(start, there) == pytest.approx(math.hypot(east_m, north_m), rel=1e-5, abs=1e-3)


def test_moving_and_measuring_cross_the_date_line():
    start = Point(10.0, 179.99)
    there = moved(start, 5000.0, 0.0)
    assert there.lon < -179.9
    assert east_north_m(start, there) == pytest.approx((5000.0, 0.0), abs=1e-3)


@given(modes, points, points)
def test_the_interval_holds_and_begins_above_the_straight_line(mode: Mode, start: Point, end: Point):
    estimate = estimate_endpoints(mode, start, end)
    assert 0 <= great_circle_m(start, end) <= estimate.low_m <= estimate.metres <= estimate.high_m
    assert estimate.method is Method.ENDPOINTS
    assert not estimate.gap


@pytest.mark.parametrize("mode", Mode)
def test_every_mode_has_an_ordered_row_of_factors(mode: Mode):
    assert 1 <= DETOURS[mode].low <= DETOURS[mode].middle <= DETOURS[mode].high


def test_a_bus_ride_of_10_km_by_the_table():
    start = Point(39.9, 116.4)
    estimate = estimate_endpoints(Mode.BUS, start, moved(start, 0, 10_000))
    assert (estimate.low_m, estimate.metres, estimate.high_m) == (10_700, 13_400, 16_400)


def test_no_way_is_no_distance():
    here = Point(39.9, 116.4)
    assert estimate_endpoints(Mode.WALK, here, here).high_m == 0
