"""The scorecard: bands that add up, verdicts at their borders, and what it makes of legs in Beijing traffic."""

import random
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from accuracy.traffic import simulate
from greentrip.evidence import Features, Fit, Kind, Verdict, features_of, fit, kind_of, question_of
from greentrip.evidence.bands import BANDS, HARDLY, RARE, SELDOM, UNUSUAL, Measure
from greentrip.evidence.scorecard import DISTANCE_M_MIN, POINTS_ALIKE, POINTS_ASK, POINTS_BETTER, points_of
from greentrip.trip import Mode


def features(median: int, p85: int, p95: int, moving: int, stopped: int = 10, fixes: int = 2) -> Features:
    return Features(0, median, p85, p95, moving, stopped, fixes)


WALK, CYCLE, QUICK_CYCLE = features(4, 6, 8, 4), features(12, 14, 16, 12), features(14, 16, 18, 14)
EBIKE = features(20, 24, 26, 20)
BUS, JAM, CAR = features(18, 32, 38, 22), features(4, 22, 28, 16), features(36, 56, 66, 42)
METRO = features(38, 62, 68, 44)

steps = st.integers(0, 100).map(lambda n: 2 * n)
any_features = st.builds(
    lambda speeds, moving, stopped, fixes: Features(0, *speeds, moving, stopped, fixes),
    st.tuples(steps, steps, steps).map(sorted),
    steps,
    st.integers(0, 20).map(lambda n: 5 * n),
    st.integers(0, 3),
)


@pytest.mark.parametrize(
    ("mode", "seen", "better"),
    [
        (Mode.WALK, WALK, None),
        (Mode.WALK, QUICK_CYCLE, Kind.CYCLE),
        (Mode.WALK, CYCLE, None),  # or a runner
        (Mode.WALK, EBIKE, Kind.EBIKE),
        (Mode.WALK, JAM, Kind.BUS),
        (Mode.WALK, CAR, Kind.CAR),
        (Mode.CYCLE, CYCLE, None),
        (Mode.CYCLE, WALK, Kind.WALK),
        (Mode.CYCLE, BUS, Kind.BUS),
        (Mode.CYCLE, JAM, Kind.BUS),
        (Mode.CYCLE, CAR, Kind.CAR),
        (Mode.BUS, BUS, None),
        (Mode.BUS, JAM, None),
        (Mode.BUS, CAR, Kind.CAR),
        (Mode.BUS, WALK, Kind.WALK),
        (Mode.RAIL, METRO, None),
        (Mode.RAIL, WALK, Kind.WALK),
        (Mode.CARPOOL, CAR, None),
        (Mode.CARPOOL, CYCLE, Kind.CYCLE),
    ],
)
def test_what_is_asked(mode: Mode, seen: Features, better: Kind | None):
    found = fit(mode, seen, 3000, 15)
    assert found.verdict is (Verdict.FITS if better is None else Verdict.ASK)
    assert found.claimed is kind_of(mode)
    assert better is None or better in found.better


@pytest.mark.parametrize("mode", [Mode.WALK, Mode.CYCLE, Mode.BUS])
@pytest.mark.parametrize("kmh", [100, 140, 200, 300, 400])
def test_what_fits_nothing_fits_the_fastest_better(mode: Mode, kmh: int):
    found = fit(mode, features(kmh, kmh, kmh, kmh), 50_000, 30)
    assert found.verdict is Verdict.ASK
    assert set(found.better) <= {Kind.RAIL, Kind.CAR}


def test_the_example_of_the_docs_adds_up():
    found = fit(Mode.WALK, JAM, 3000, 15)
    assert (found.points, points_of(JAM)[Kind.BUS]) == (13, 0)
    assert [(reason.measure, reason.points) for reason in found.reasons] == [
        (Measure.MOVING, HARDLY),
        (Measure.P85, UNUSUAL),
        (Measure.P95, UNUSUAL),
        (Measure.SPREAD, RARE),
    ]
    assert found.reasons[0].text() == "the mean speed while moving was 16 km/h"
    assert found.reasons[0].text("zh-CN") == "行进中的平均速度为每小时 16 公里"


@pytest.mark.parametrize(
    "found",
    [
        fit(Mode.WALK, None, 9000, 60),
        fit(Mode.WALK, CAR, 9000, 1),
        fit(Mode.WALK, features(36, 56, 66, 42, stopped=95), DISTANCE_M_MIN - 1, 2),
    ],
    ids=["no features", "a minute", "a short way"],
)
def test_too_little_is_never_against_a_person(found: Fit):
    assert found == Fit(Kind.WALK, Verdict.NO_EVIDENCE, 0)


def test_a_car_that_is_measured_as_a_short_walk_is_still_seen():
    assert fit(Mode.WALK, CAR, 0, 15).verdict is Verdict.ASK


@given(st.sampled_from(Mode), any_features, st.integers(0, 10**6), st.integers(1, 1440))
def test_a_verdict_follows_from_the_points(mode: Mode, seen: Features, distance_m: int, minutes: int):
    found, points = fit(mode, seen, distance_m, minutes), points_of(seen)
    assert found == fit(mode, seen, distance_m, minutes)
    assume(found.verdict is not Verdict.NO_EVIDENCE)
    mine, best = points[kind_of(mode)], min(points.values())
    assert found.points == mine == sum(reason.points for reason in found.reasons)
    assert (found.verdict is Verdict.ASK) == (mine >= POINTS_ASK and mine - best >= POINTS_BETTER)
    assert bool(found.better) == (found.verdict is Verdict.ASK)
    assert all(points[kind] <= best + POINTS_ALIKE for kind in found.better)
    assert [points[kind] for kind in found.better] == sorted(points[kind] for kind in found.better)


@given(any_features, st.tuples(steps, steps, steps).map(sorted))
def test_faster_never_looks_more_like_a_walk(seen: Features, more: list[int]):
    """All speeds higher, and the fastest moments most of all."""
    low, middle, high = more
    quick = features(seen.median_kmh + low, seen.p85_kmh + middle, seen.p95_kmh + high, seen.moving_kmh + low)
    assert points_of(quick)[Kind.WALK] >= points_of(seen)[Kind.WALK]


@pytest.mark.parametrize(("kind", "measure"), [(kind, measure) for kind in Kind for measure in BANDS[kind]])
def test_bands_rise_with_their_distance(kind: Kind, measure: Measure):
    bands = BANDS[kind][measure]
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(bands.high))
    assert all(a[0] > b[0] and a[1] < b[1] for a, b in pairwise(bands.low))
    assert {points for _, points in [*bands.high, *bands.low]} <= {RARE, UNUSUAL, SELDOM, HARDLY}
    assert not bands.low or bands.low[0][0] <= bands.high[0][0], "something is usual"


def test_every_kind_is_judged_by_the_speeds_and_a_bicycle_by_its_unevenness_too():
    for kind in Kind:
        assert set(BANDS[kind]) == set(Measure) - (set() if kind is Kind.CYCLE else {Measure.UNEVEN})


def test_slow_is_not_against_a_bicycle_a_bus_or_a_taxi_by_itself():
    """Beijing's slowest legs: bicycles at 7.4 on average with rests, buses at 10.2, taxis at 9.1, one leg in 20."""
    for mode, slow in (
        (Mode.CYCLE, features(6, 8, 8, 8)),
        (Mode.BUS, features(8, 16, 20, 12)),
        (Mode.CARPOOL, features(8, 18, 22, 12)),
    ):
        assert fit(mode, slow, 3000, 20).verdict is Verdict.FITS


def test_stop_and_go_is_no_bicycle():
    """As slow as a quick rider on average, but it creeps for half of the time and is quick where it can be."""
    even, stop_and_go = features(14, 20, 22, 14), features(6, 20, 22, 14)
    assert fit(Mode.CYCLE, even, 3000, 15).verdict is Verdict.FITS
    assert points_of(stop_and_go)[Kind.CYCLE] - points_of(even)[Kind.CYCLE] == UNUSUAL


ASKED_SHARE_MAX = 0.08
"""5 % is the figure to reach; of 80 legs 8 % is within chance of it."""
LEGS = 80


@pytest.fixture(scope="module")
def traffic() -> dict[str, list[Features]]:
    dice = random.Random(3)
    metres = {"walk": 1500, "cycle": 3000, "bus": 5000, "car": 8000, "taxi": 6000, "rail": 8000}
    return {
        kind: [
            found
            for _ in range(LEGS)
            if (found := features_of(0, simulate(dice, kind, middle_m * dice.uniform(0.7, 1.6)))) is not None
        ]
        for kind, middle_m in metres.items()
    }


def asked_share(mode: Mode, legs: list[Features]) -> float:
    return sum(fit(mode, seen, 2000, 10).verdict is Verdict.ASK for seen in legs) / len(legs)


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("walk", Mode.WALK), ("cycle", Mode.CYCLE), ("bus", Mode.BUS), ("rail", Mode.RAIL), ("car", Mode.CARPOOL)],
)
def test_honest_legs_are_seldom_asked(traffic: dict[str, list[Features]], kind: str, mode: Mode):
    assert asked_share(mode, traffic[kind]) <= ASKED_SHARE_MAX


@pytest.mark.parametrize(
    ("mode", "kinds", "least"),
    [(Mode.WALK, ("bus", "car", "taxi"), 0.95), (Mode.CYCLE, ("bus", "car", "taxi"), 0.95), (Mode.BUS, ("car",), 0.5)],
)
def test_false_claims_are_mostly_seen(
    traffic: dict[str, list[Features]], mode: Mode, kinds: tuple[str, ...], least: float
):
    assert asked_share(mode, [seen for kind in kinds for seen in traffic[kind]]) >= least


@given(st.sampled_from(Mode), any_features, st.integers(0, 10**6), st.integers(1, 1440))
def test_a_question_is_put_exactly_where_the_verdict_is_to_ask(mode: Mode, seen: Features, metres: int, minutes: int):
    found, doubt = fit(mode, seen, metres, minutes), question_of(mode, seen, metres, minutes)
    assert (doubt is not None) == (found.verdict is Verdict.ASK)
    if doubt is not None:
        assert doubt.claimed is mode
        assert doubt.choices[0].value == mode.value
        assert len(set(doubt.choices)) == len(doubt.choices) >= 3
        assert doubt.en.endswith("?")
        assert doubt.text("zh").endswith("？")


def test_a_question_in_both_languages():
    doubt = question_of(Mode.CYCLE, CAR, 3000, 15)
    assert doubt is not None
    assert doubt.text() == (
        "This leg was recorded as a ride by bicycle, but it looks like a ride by rail or a ride by car: "
        "the speed passed for half of the time was 36 km/h. How did you travel?"
    )
    assert doubt.text("zh") == (
        "本段记录为骑自行车，但看起来像乘轨道交通或乘小汽车：有一半时间超过的速度为每小时 36 公里。您实际的出行方式是？"
    )
    assert doubt.choices == ("cycle", "rail", "car", "carpool", "other")
