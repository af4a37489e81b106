"""Tracks: noise is not distance, gaps and jumps count nothing, and what was walked is measured."""

import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greentrip.distance.length import CURVE_SHARE_MAX, EXTRAPOLATED_SHARE_MAX
from greentrip.distance.sphere import great_circle_m, moved
from greentrip.distance.standing import STAY_M_MIN
from greentrip.distance.track import ACCURACY_M_MAX, SPEED_MPS_MAX, measure_track, usable, without_jumps
from greentrip.replay import read_tracks
from greentrip.trip import Estimate, Fix, GapCause, Method, Mode, Point
from support.rides import ride

HOME = Point(39.9, 116.4)
modes = st.sampled_from(Mode)
wild_fixes = st.lists(
    st.builds(
        Fix,
        st.builds(Point, st.floats(39.8, 40), st.floats(116.3, 116.5)),
        st.floats(0, 5000) | st.floats(),
        st.none() | st.floats(-1, 200) | st.just(math.nan),
    ),
    max_size=40,
)


def straight(count: int, step_m: float, step_s: float = 5.0, accuracy_m: float = 5.0) -> list[Fix]:
    return [Fix(moved(HOME, i * step_m, 0), i * step_s, accuracy_m) for i in range(count)]


def measured(mode: Mode, fixes: Sequence[Fix]) -> Estimate:
    estimate = measure_track(mode, fixes)
    assert estimate is not None
    return estimate


def test_a_straight_walk_is_as_long_as_it_is():
    estimate = measured(Mode.WALK, straight(201, 5))
    assert estimate.metres == pytest.approx(1000, abs=20)
    assert estimate.low_m <= 1000 <= estimate.high_m
    assert estimate.method is Method.TRACK
    assert not estimate.gap


@pytest.mark.parametrize("count", [0, 1, 2])
def test_fewer_than_three_fixes_are_no_track(count: int):
    assert measure_track(Mode.WALK, straight(count, 5)) is None


@given(modes, wild_fixes)
def test_any_fixes_give_a_sound_interval_or_none(mode: Mode, fixes: list[Fix]):
    estimate = measure_track(mode, fixes)
    kept = usable(fixes)
    if estimate is None:
        assert max((len(chain) for chain in without_jumps(mode, kept)), default=0) < 3
    else:
        assert 0 <= estimate.low_m <= estimate.metres <= estimate.high_m
        assert estimate.metres <= sum(great_circle_m(a.point, b.point) for a, b in pairwise(kept)) + 1


@given(modes, wild_fixes)
def test_what_is_kept_is_in_order_and_accurate_and_possible(mode: Mode, fixes: list[Fix]):
    for chain in without_jumps(mode, usable(fixes)):
        for a, b in pairwise(chain):
            assert a.at < b.at
            slack_m = 2 * ACCURACY_M_MAX
            assert great_circle_m(a.point, b.point) <= SPEED_MPS_MAX[mode] * (b.at - a.at) + slack_m


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 2 * math.pi)), min_size=3, max_size=200), st.floats(1, 50))
def test_noise_within_the_accuracy_around_a_standing_point_is_no_distance(
    noise: list[tuple[float, float]], accuracy_m: float
):
    fixes = [
        Fix(moved(HOME, accuracy_m * r * math.cos(angle), accuracy_m * r * math.sin(angle)), float(i), accuracy_m)
        for i, (r, angle) in enumerate(noise)
    ]
    assert measured(Mode.WALK, fixes).metres == 0


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("accuracy_m", [5.0, 10.0, 30.0])
def test_an_hour_of_gaussian_noise_is_no_distance(correlation: float, accuracy_m: float):
    fixes = noisy_walk(random.Random(7), seconds=3600, speed_mps=0, accuracy_m=accuracy_m, correlation=correlation)
    raw_m = sum(great_circle_m(a.point, b.point) for a, b in pairwise(fixes))
    assert raw_m > 1500
    assert measured(Mode.WALK, fixes).metres <= accuracy_m


def noisy_walk(dice: random.Random, seconds: int, speed_mps: float, accuracy_m: float, correlation: float) -> list[Fix]:
    """A walk with a right-angled corner every 100 m, one fix a second, under Gaussian noise."""
    sigma_m = accuracy_m / 1.515  # 68 % of a two-dimensional normal distribution lie within 1.515 sigma
    fresh = math.sqrt(1 - correlation**2) * sigma_m
    east_m = north_m = noise_e = noise_n = 0.0
    fixes = []
    for second in range(seconds):
        noise_e = correlation * noise_e + dice.gauss(0, fresh)
        noise_n = correlation * noise_n + dice.gauss(0, fresh)
        fixes.append(Fix(moved(HOME, east_m + noise_e, north_m + noise_n), float(second), accuracy_m))
        if int(second * speed_mps / 100) % 2:
            north_m += speed_mps
        else:
            east_m += speed_mps
    return fixes


@pytest.mark.parametrize(("accuracy_m", "short"), [(5.0, 0.04), (10.0, 0.05), (20.0, 0.07)])
def test_a_noisy_walk_round_many_corners_is_never_much_too_long_nor_too_short(accuracy_m: float, short: float):
    dice = random.Random(11)
    true_m = 1.4 * 1199
    estimates = [measured(Mode.WALK, noisy_walk(dice, 1200, 1.4, accuracy_m, 0.9)) for _ in range(25)]
    assert 1 - short <= statistics.mean(e.metres for e in estimates) / true_m <= 1.02


@pytest.mark.parametrize("mode", Mode)
def test_a_simulated_trip_knows_its_length_and_is_the_same_for_the_same_seed(mode: Mode):
    exact = ride(mode, random.Random(1), 600, accuracy_m=1e-6)
    assert exact.metres == pytest.approx(
        sum(great_circle_m(a.point, b.point) for a, b in pairwise(exact.fixes)), rel=1e-3
    )
    assert ride(mode, random.Random(1), 600, accuracy_m=1e-6) == exact


@pytest.mark.parametrize("step_s", [1, 10, 30, 60])
def test_simulated_trips_are_mostly_within_their_intervals(step_s: int):
    dice = random.Random(17)
    inside = 0
    for mode in Mode:
        for accuracy_m in (5.0, 10.0, 20.0):
            trip = ride(mode, dice, 1201, accuracy_m)
            estimate = measured(mode, trip.fixes[::step_s])
            inside += estimate.low_m <= trip.metres <= estimate.high_m
            assert estimate.metres == pytest.approx(trip.metres, rel=0.15)
    assert inside >= 11  # of 15


@pytest.mark.parametrize("mode", Mode)
def test_one_fix_a_minute_gives_nearly_the_length_of_one_a_second_and_no_gap(mode: Mode):
    dice = random.Random(23)
    changes = []
    for _ in range(8):
        trip = ride(mode, dice, 1801)
        sparse = measured(mode, trip.fixes[::60])
        assert not sparse.gap
        changes.append(sparse.metres / measured(mode, trip.fixes).metres - 1)
    assert abs(statistics.median(changes)) <= 0.06


@pytest.mark.parametrize("accuracy_m", [0.0, None])
def test_noise_is_no_distance_when_the_phone_claims_perfection_or_nothing(accuracy_m: float | None):
    noisy = noisy_walk(random.Random(7), seconds=3600, speed_mps=0, accuracy_m=3.0, correlation=0.9)
    assert measured(Mode.WALK, [replace(fix, accuracy_m=accuracy_m) for fix in noisy]).metres == 0


def test_duplicates_and_old_fixes_change_nothing():
    fixes = straight(100, 6)
    again = [fix for fix in fixes for _ in range(2)]
    late = [*fixes[:50], fixes[10], *fixes[50:]]
    assert measure_track(Mode.WALK, again) == measure_track(Mode.WALK, fixes)
    assert measured(Mode.WALK, late).metres == pytest.approx(measured(Mode.WALK, fixes).metres, abs=6)


@pytest.mark.parametrize("at", [0, 50])
@pytest.mark.parametrize("wrong_at", [0.0, 4e9, math.nan, math.inf])
def test_one_wrong_clock_costs_one_fix(at: int, wrong_at: float):
    fixes = [replace(fix, at=fix.at + 1e6) for fix in straight(100, 6)]
    broken = [*fixes[:at], replace(fixes[at], at=wrong_at), *fixes[at + 1 :]]
    assert len(usable(broken)) >= 98
    assert measured(Mode.WALK, broken).metres == pytest.approx(594, abs=24)


def test_inaccurate_fixes_are_left_out():
    fixes = straight(100, 6)
    fixes[40] = Fix(moved(HOME, 0, 3000), fixes[40].at, ACCURACY_M_MAX + 1)
    fixes[41] = replace(fixes[41], accuracy_m=-1.0)  # iOS: the position is not valid
    assert measured(Mode.WALK, fixes).metres == pytest.approx(594, abs=20)
    assert measure_track(Mode.WALK, [replace(fix, accuracy_m=ACCURACY_M_MAX + 1) for fix in fixes]) is None


@pytest.mark.parametrize("where", [range(1), range(3), range(40, 41), range(40, 43), range(98, 100)])
@pytest.mark.parametrize("off_m", [900.0, 30_000.0])
def test_jumps_are_dropped_wherever_they_stand(where: range, off_m: float):
    fixes = straight(100, 6)
    for i in where:
        fixes[i] = replace(fixes[i], point=moved(fixes[i].point, 0, off_m))
    estimate = measured(Mode.WALK, fixes)
    assert estimate.metres == pytest.approx(594, abs=45)
    assert not estimate.gap


def test_a_track_that_goes_on_elsewhere_has_a_gap_there():
    here = straight(100, 6)
    there = [replace(fix, point=moved(fix.point, 0, 30_000), at=fix.at + 510) for fix in here]
    estimate = measured(Mode.WALK, [*here, *there])
    assert estimate.gap
    assert estimate.metres == pytest.approx(2 * 594, abs=60)
    assert estimate.high_m > 30_000


def test_a_pause_with_movement_is_a_gap_that_adds_nothing():
    here = straight(100, 6)
    there = [replace(fix, point=moved(fix.point, 594, 1000), at=fix.at + 495 + 301) for fix in here]
    estimate = measured(Mode.CYCLE, [*here, *there])
    assert estimate.gap
    assert estimate.metres == pytest.approx(2 * 594, abs=60)
    assert estimate.high_m > 2 * 594 + 1000


def test_a_pause_in_one_place_is_no_gap():
    here = straight(100, 6)
    there = [replace(fix, point=moved(fix.point, 594, 0), at=fix.at + 495 + 3600) for fix in here]
    estimate = measured(Mode.CYCLE, [*here, *there])
    assert not estimate.gap
    assert estimate.metres == pytest.approx(2 * 594, abs=40)


def test_a_short_outage_is_bridged_by_the_straight_line():
    fixes = straight(101, 6)
    estimate = measured(Mode.WALK, [*fixes[:30], *fixes[70:]])
    assert not estimate.gap
    assert estimate.metres == pytest.approx(600, abs=20)


def test_a_long_outage_is_bridged_by_no_more_than_the_straight_line():
    here = straight(20, 60, 5.0)
    there = [replace(fix, point=moved(fix.point, 1140, 800), at=fix.at + 95 + 200) for fix in here]
    estimate = measured(Mode.BUS, [*here, *there])
    assert not estimate.gap
    assert estimate.metres <= 2 * 1140 + 800 + 10


def test_a_gap_says_when_how_far_and_why():
    here = straight(100, 6)
    late = [replace(fix, point=moved(fix.point, 594, 1000), at=fix.at + 495 + 600) for fix in here]
    (silence,) = measured(Mode.CYCLE, [*here, *late]).gaps
    assert (silence.from_at, silence.to_at, silence.cause) == (495.0, 1095.0, GapCause.SILENCE)
    assert silence.straight_m == pytest.approx(1000, abs=2)
    elsewhere = [replace(fix, point=moved(fix.point, 0, 30_000), at=fix.at + 510) for fix in here]
    (jump,) = measured(Mode.CYCLE, [*here, *elsewhere]).gaps
    assert jump.cause is GapCause.JUMP
    assert jump.straight_m == pytest.approx(30_000, abs=600)


def test_a_wait_is_no_distance_and_the_way_before_and_after_is():
    dice = random.Random(5)
    trip = ride(Mode.WALK, dice, 900)
    stop = trip.fixes[-1]
    waiting = [
        Fix(moved(stop.point, dice.gauss(0, 5), dice.gauss(0, 5)), stop.at + 1 + i, stop.accuracy_m)
        for i in range(1800)
    ]
    with_wait = measured(Mode.WALK, [*trip.fixes, *waiting])
    assert with_wait.metres == pytest.approx(measured(Mode.WALK, trip.fixes).metres, abs=30)


def test_null_island_and_whatever_is_not_a_number_cost_only_themselves():
    fixes = straight(100, 6)
    broken = list(fixes)
    broken[10] = replace(fixes[10], point=Point(0.0, 0.0))
    broken[30] = replace(fixes[30], at=math.nan)
    broken[50] = replace(fixes[50], accuracy_m=math.nan)
    broken[70] = replace(fixes[70], accuracy_m=-1.0)
    assert len(usable(broken)) == 96
    assert measured(Mode.WALK, broken).metres == pytest.approx(594, abs=6)


trips = st.tuples(modes, st.integers(0, 10_000), st.sampled_from([1, 3, 10, 30, 60]))
"""The mode and the seed of a simulated trip, and the seconds between its fixes."""


def fixes_of(trip: tuple[Mode, int, int]) -> list[Fix]:
    mode, seed, step_s = trip
    return list(ride(mode, random.Random(seed), 600).fixes[::step_s])


@given(trips)
def test_the_track_backwards_is_as_long(trip: tuple[Mode, int, int]):
    mode, fixes = trip[0], fixes_of(trip)
    backwards = [replace(fix, at=600 - fix.at) for fix in reversed(fixes)]
    there, back = measured(mode, fixes).metres, measured(mode, backwards).metres
    # Whether a wait of two minutes is long enough to be a stay may depend on where one comes from.
    assert back == pytest.approx(there, rel=0.05, abs=3 * STAY_M_MIN)


@given(trips)
def test_said_twice_or_late_it_is_the_same_track(trip: tuple[Mode, int, int]):
    mode, fixes = trip[0], fixes_of(trip)
    assert measure_track(mode, [fix for fix in fixes for _ in range(2)]) == measure_track(mode, fixes)
    late = [*fixes[:4], fixes[0], *fixes[4:]]
    assert len(usable(late)) >= len(fixes) - 1


@given(trips, st.floats(-1, 1), st.floats(0, 1e8))
def test_elsewhere_and_at_another_time_it_is_as_long(trip: tuple[Mode, int, int], lon: float, later_s: float):
    mode, fixes = trip[0], fixes_of(trip)
    shifted = [replace(fix, point=Point(fix.point.lat, fix.point.lon + lon), at=fix.at + later_s) for fix in fixes]
    here, there = measured(mode, fixes), measured(mode, shifted)
    assert there.metres == pytest.approx(here.metres, abs=1)
    assert there.high_m == pytest.approx(here.high_m, abs=2)


@given(trips)
def test_it_is_never_much_longer_than_the_fixes_in_a_row(trip: tuple[Mode, int, int]):
    mode, fixes = trip[0], fixes_of(trip)
    raw_m = sum(great_circle_m(a.point, b.point) for a, b in pairwise(fixes))
    assert measured(mode, fixes).metres <= raw_m * (1 + CURVE_SHARE_MAX) * (1 + EXTRAPOLATED_SHARE_MAX) + 1


def test_real_phone_tracks_are_shorter_than_their_raw_sum_and_longer_than_nothing(shared_data: Path):
    ratios = []
    for track in read_tracks(shared_data / "ssi_open_geodata" / "segments.jsonl.gz"):
        if track.mode is None:
            continue
        estimate = measured(track.mode, track.fixes)
        raw_m = sum(great_circle_m(a.point, b.point) for a, b in pairwise(track.fixes))
        assert estimate.metres <= raw_m + 1
        ratios.append(estimate.metres / raw_m)
    assert len(ratios) == 127
    assert 0.75 < statistics.median(ratios) < 0.98
