"""End points: the straight line times a detour factor."""

import math
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greentrip.distance.endpoints import detours, estimate_endpoints, way_between
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
def test_every_mode_has_a_sourced_table_of_ordered_factors(mode: Mode):
    rows = detours(mode)
    assert len(rows) >= 5
    for row in rows:
        assert 1 <= row.low <= row.middle <= row.high
        assert row.count > 0
        assert row.source
    for shorter, longer in pairwise(rows):
        assert shorter.straight_m < longer.straight_m
        assert shorter.high >= longer.high, "short ways are the more roundabout ones"


@given(modes, st.floats(0, 200_000), st.floats(0, 200_000))
def test_a_longer_straight_line_never_gives_fewer_metres(mode: Mode, a_m: float, b_m: float):
    shorter, longer = sorted((a_m, b_m))
    near, far = way_between(mode, shorter), way_between(mode, longer)
    for less_m, more_m in ((near.low_m, far.low_m), (near.middle_m, far.middle_m), (near.high_m, far.high_m)):
        assert less_m <= more_m + 1e-6


@given(modes, st.floats(0, 200_000), st.floats(0, 1))
def test_a_little_longer_line_is_a_little_longer_way(mode: Mode, straight_m: float, more_m: float):
    """No step where one row of the table ends and the next begins."""
    near, far = way_between(mode, straight_m), way_between(mode, straight_m + more_m)
    steepest = 2 * max(row.high for row in detours(mode))
    assert far.high_m - near.high_m <= steepest * more_m + 1e-6
    assert far.low_m - near.low_m <= steepest * more_m + 1e-6


@pytest.mark.parametrize("mode", Mode)
def test_at_a_row_the_factors_are_those_of_the_table(mode: Mode):
    for row in detours(mode):
        way = way_between(mode, row.straight_m)
        expected = [row.low * row.straight_m, row.middle * row.straight_m, row.high * row.straight_m]
        assert [way.low_m, way.middle_m, way.high_m] == pytest.approx(expected)


def test_bus_rides_by_the_table():
    start = Point(39.9, 116.4)
    long, short = (estimate_endpoints(Mode.BUS, start, moved(start, 0, metres)) for metres in (10_000, 500))
    assert (long.low_m, long.metres, long.high_m) == (10_700, 13_300, 16_060)
    assert (short.low_m, short.metres, short.high_m) == (511, 705, 995)


def test_no_way_is_no_distance():
    here = Point(39.9, 116.4)
    assert estimate_endpoints(Mode.WALK, here, here).high_m == 0


def test_the_rows_of_rail_are_those_of_the_beijing_network(shared_data: Path):
    pytest.importorskip("matplotlib")
    from accuracy.endpoints import RAIL_CLASSES_M, by_class, rail_pairs

    measured = by_class(list(rail_pairs(shared_data / "beijing_rail")), RAIL_CLASSES_M)
    for row, (count, straight_m, factors) in zip(detours(Mode.RAIL), measured, strict=True):
        assert row.count == count
        assert row.straight_m == pytest.approx(straight_m, abs=50)
        assert [row.low, row.middle, row.high] == pytest.approx(factors, abs=0.01)
