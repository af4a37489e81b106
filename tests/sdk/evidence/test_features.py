"""The features of a leg: coarse, blind to the claimed mode, and nearly the same however often the phone looked."""

import random
from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accuracy.traffic import TRAFFIC, Receiver, driven, received, simulate
from greentrip.distance.sphere import moved
from greentrip.evidence import SPEED_KMH_MAX, Features, features_of
from greentrip.evidence.pace import SILENCE_S_MAX, paces_kmh
from greentrip.trip import Fix, Leg, Mode, Point

TIANANMEN = Point(39.9087, 116.3975)
NO_NOISE = Receiver(white_m=0.0, slow_m=0.0, every_s=1.0, jumps_per_1000=0.0)


def leg(fixes: list[Fix], mode: Mode = Mode.WALK) -> Leg:
    return Leg(mode, fixes[0].point, fixes[-1].point, fixes[0].at, fixes[-1].at, tuple(fixes))


def steady(kmh: float, seconds: int, every_s: int = 5, start_at: float = 1e9) -> list[Fix]:
    """East from Tiananmen at one speed."""
    return [Fix(moved(TIANANMEN, kmh / 3.6 * s, 0.0), start_at + s, 5.0) for s in range(0, seconds + 1, every_s)]


def test_a_steady_ride_has_its_speed_everywhere():
    assert features_of(3, leg(steady(30.0, 1200))) == Features(3, 30, 30, 30, 30, 0, 2)


def test_a_rest_lowers_the_median_and_not_the_mean_while_moving():
    ride = steady(20.0, 600)
    rest = [replace(ride[-1], at=ride[-1].at + s) for s in range(5, 900, 5)]
    found = features_of(0, leg(ride + rest))
    assert found is not None
    assert found.median_kmh <= 2
    assert 18 <= found.moving_kmh <= 20
    assert found.stopped_percent == 60


@pytest.mark.parametrize("every_s", [1, 5, 10, 30])
@pytest.mark.parametrize("kind", ["walk", "cycle", "car"])
def test_speeds_survive_another_sampling(kind: str, every_s: int):
    dice = random.Random(7)
    way = driven(dice, TRAFFIC[kind], 5000)
    often = features_of(0, leg(received(random.Random(1), way, Receiver())))
    seldom = features_of(0, leg(received(random.Random(1), way, Receiver(every_s=every_s))))
    assert often is not None
    assert seldom is not None
    for name in ("p85_kmh", "moving_kmh"):
        assert abs(getattr(often, name) - getattr(seldom, name)) <= 4 + 0.3 * getattr(often, name), name


@settings(max_examples=25)
@given(st.sampled_from(Mode), st.sampled_from(Mode), st.integers(0, 50))
def test_the_claimed_mode_changes_nothing(one: Mode, other: Mode, seed: int):
    found = simulate(random.Random(seed), "car", 1500)
    assert features_of(0, replace(found, mode=one)) == features_of(0, replace(found, mode=other))


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from(sorted(TRAFFIC)))
def test_features_are_coarse_and_in_order(seed: int, kind: str):
    found = features_of(0, simulate(random.Random(seed), kind, 2500))
    assert found is not None
    assert 0 <= found.median_kmh <= found.p85_kmh <= found.p95_kmh <= SPEED_KMH_MAX
    assert all(getattr(found, item.name) % 2 == 0 for item in fields(Features) if item.name.endswith("_kmh"))
    assert found.stopped_percent in range(0, 101, 5)
    assert found.fixes in range(4)


@given(st.floats(-60, 60), st.floats(-170, 170), st.integers(-(10**6), 10**6))
def test_where_and_when_leave_no_trace(lat: float, lon: float, shift_s: int):
    here = steady(16.4, 400)
    there = [Fix(moved(Point(lat, lon), 16.4 / 3.6 * 5 * n, 0.0), fix.at + shift_s, 5.0) for n, fix in enumerate(here)]
    assert features_of(0, leg(there)) == features_of(0, leg(here))


def test_a_silence_tells_the_least_that_the_speed_was():
    """A metro ride of which the phone saw the stations only."""
    to_the_train, away = steady(4.0, 120), steady(4.0, 120, start_at=1e9 + 1320)
    ride = [replace(fix, point=moved(fix.point, 12_000, 0.0)) for fix in away]
    found = features_of(0, leg([*to_the_train, *ride], Mode.RAIL))
    assert found is not None
    assert found.median_kmh == found.p95_kmh == 36


def test_a_silence_that_is_too_long_tells_nothing():
    ride = steady(36.0, 300)
    later = steady(36.0, 300, start_at=ride[-1].at + SILENCE_S_MAX + 500)
    paces, fixes = paces_kmh([*ride, *later])
    assert len(paces) == 60
    assert fixes == len(ride) + len(later)
    assert min(paces) > 30


BAD = {
    "none": [],
    "two": steady(5.0, 5),
    "less than a minute": steady(30.0, 50),
    "all at one time": [Fix(TIANANMEN, 1e9) for _ in range(50)],
    "not numbers": [Fix(TIANANMEN, float("nan")) for _ in range(50)],
    "inaccurate": [Fix(TIANANMEN, 1e9 + s, 5000.0) for s in range(0, 500, 5)],
    "null island": [Fix(Point(0.0, 0.0), 1e9 + s) for s in range(0, 500, 5)],
}


@pytest.mark.parametrize("what", BAD)
def test_too_little_is_no_evidence(what: str):
    whole = Leg(Mode.WALK, TIANANMEN, TIANANMEN, 1e9, 1e9 + 600, tuple(BAD[what]))
    assert features_of(0, whole) is None


def test_bad_fixes_among_good_ones_change_little():
    good = steady(18.0, 600)
    bad = sorted(
        [
            *good,
            *good[::7],
            Fix(Point(0.0, 0.0), good[20].at + 0.5),
            Fix(moved(TIANANMEN, 9e5, 0.0), good[40].at + 0.5),
            Fix(TIANANMEN, good[60].at + 0.5, -1.0),
        ],
        key=lambda fix: fix.at,
    )
    assert features_of(0, leg([*bad, good[3], good[2]])) == features_of(0, leg(good))


fixes_of_any_kind = st.lists(
    st.builds(
        Fix,
        st.builds(Point, st.floats(-90, 90), st.floats(-180, 180)),
        st.sampled_from([float("nan"), float("inf"), -1e9, 0.0, 1e11]) | st.floats(1e9, 1e9 + 500),
        st.none() | st.floats(allow_nan=True),
    ),
    max_size=40,
)


@given(fixes_of_any_kind)
def test_no_fixes_make_it_fall_over(fixes: list[Fix]):
    features_of(0, Leg(Mode.BUS, TIANANMEN, TIANANMEN, 1e9, 1e9 + 600, tuple(fixes)))
