"""Lengths of courses: curves, standing, outages, and the detail between rare measurements."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greentrip.distance.length import CURVE_SHARE_MAX, EXTRAPOLATED_SHARE_MAX, curves_m, length_of, without_stays
from greentrip.distance.plane import Columns
from greentrip.distance.smoothing import Course, smoothed
from greentrip.distance.standing import stands, stays


def circle(step_s: float, seconds: float, radius_m: float = 200.0, speed_mps: float = 5.0) -> Columns:
    at = [step_s * i for i in range(int(seconds / step_s) + 1)]
    angles = [now * speed_mps / radius_m for now in at]
    return Columns(
        at, [radius_m * math.cos(a) for a in angles], [radius_m * math.sin(a) for a in angles], [3.0] * len(at)
    )


@pytest.mark.parametrize(("step_s", "share"), [(5, 0.01), (10, 0.01), (20, 0.03), (30, 0.05)])
def test_a_circle_is_about_as_long_as_it_is(step_s: float, share: float):
    assert length_of(circle(step_s, 1200)).metres == pytest.approx(6000, rel=share)


def test_a_curve_through_exact_states_has_its_length():
    at = [0.0, 10.0, 20.0]
    angles = [now * 5 / 100 for now in at]
    course = Course(
        at,
        [100 * math.cos(a) for a in angles],
        [100 * math.sin(a) for a in angles],
        [-5 * math.sin(a) for a in angles],
        [5 * math.cos(a) for a in angles],
    )
    assert curves_m(course) == pytest.approx([50.0, 50.0], rel=0.002)


def test_braking_and_speeding_up_on_a_straight_way_add_nothing():
    course = Course([0.0, 10.0, 20.0], [0.0, 50.0, 60.0], [0.0, 0.0, 0.0], [9.0, 2.0, 0.0], [0.0, 0.0, 0.0])
    assert curves_m(course) == [50.0, 10.0]


@given(
    st.lists(st.tuples(st.floats(1, 120), st.floats(-500, 500), st.floats(-500, 500), st.floats(3, 100)), min_size=2)
)
def test_extrapolation_and_curves_are_bounded_and_nothing_is_negative(rows: list[tuple[float, float, float, float]]):
    at = [sum(step_s for step_s, *_ in rows[: i + 1]) for i in range(len(rows))]
    measured = Columns(at, *([row[i] for row in rows] for i in (1, 2, 3)))
    length = length_of(measured)
    course = smoothed(measured)
    chords_m = sum(math.dist(a, b) for a, b in zip(places(course), places(course)[1:], strict=False))
    assert 0 <= length.metres <= chords_m * (1 + CURVE_SHARE_MAX) * (1 + EXTRAPOLATED_SHARE_MAX) * 1.2 + 60
    assert 0 <= length.lost_m <= length.metres
    assert length.blur_m >= 0


def places(course: Course) -> list[tuple[float, float]]:
    return list(zip(course.east_m, course.north_m, strict=True))


def test_a_stay_is_one_place():
    # A minute's walk to the east, five minutes of wandering within ten metres, and a minute on.
    walk = [1.5 * 5 * i for i in range(13)]
    wander = [90 + (8 if i % 2 else -8) for i in range(60)]
    east_m = [*walk, *wander, *(90 + metres for metres in walk)]
    at = [5.0 * i for i in range(len(east_m))]
    course = Course(at, east_m, [0.0] * len(at), [0.0] * len(at), [0.0] * len(at))
    (stay,) = stays(course, 5.0)
    assert stay.last - stay.first >= 59
    assert without_stays([stay], course, curves_m(course)) == pytest.approx(180, abs=10)


def test_a_slow_walk_is_no_stay():
    course = Course([5.0 * i for i in range(200)], [2.5 * i for i in range(200)], [0.0] * 200, [0.5] * 200, [0.0] * 200)
    assert stays(course, 5.0) == []


def test_measurements_around_one_place_stand():
    assert stands(Columns([0.0, 60.0, 120.0], [0.0, 15.0, -10.0], [5.0, 0.0, 9.0], [10.0] * 3))
    assert not stands(Columns([0.0, 60.0, 120.0], [0.0, 60.0, 120.0], [5.0, 0.0, 9.0], [10.0] * 3))


def test_one_measurement_has_no_length():
    assert length_of(Columns([0.0], [0.0], [0.0], [5.0])).metres == 0
