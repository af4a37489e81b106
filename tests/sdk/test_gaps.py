"""What was not recorded is told with times and reason, adds no metre to a track, and loses nothing recorded."""

from collections.abc import Callable
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greentrip import Flag, Gap, GapCause, GreenTrip, Method, Mode, Point, gap_text
from greentrip.correction import legs_of_evidence
from greentrip.distance.endpoints import estimate_endpoints
from greentrip.distance.sphere import great_circle_m
from greentrip.gaps import gap_texts, with_gaps
from greentrip.methodology import bundled, distance_to_record
from greentrip.record import MeasuredLeg, MeasuredTrip, decode, desensitise
from greentrip.states import State
from greentrip.store import TripRow
from greentrip.testing import FakeClock
from greentrip.trip import Estimate, Fix, Leg
from greentrip.views import view_of
from support.trips import HOME, METRES_PER_DEGREE, north_of, walk

OpenPhone = Callable[..., GreenTrip]
EIGHT = 1_772_668_800.0  # 08:00 on 5 March 2026 at UTC+8
FOUND = Estimate(1000, 950, 1100, Method.TRACK)


def track(*spans: tuple[float, float]) -> tuple[Fix, ...]:
    """A walk to the north at 1.4 m/s, recorded in these spans of minutes after eight."""
    at = [
        EIGHT + 60 * m for since, until in spans for m in (since + 0.25 * n for n in range(round((until - since) * 4)))
    ]
    return tuple(Fix(north_of(HOME, (t - EIGHT) * 1.4), t, 8.0) for t in at)


def leg(fixes: tuple[Fix, ...], minutes: float, *stops: tuple[float, float], mode: Mode = Mode.WALK) -> Leg:
    seconds = tuple((EIGHT + 60 * since, EIGHT + 60 * until) for since, until in stops)
    return Leg(mode, HOME, north_of(HOME, minutes * 84), EIGHT, EIGHT + 60 * minutes, fixes, stops=seconds)


def told(leg: Leg, found: Estimate = FOUND) -> Estimate:
    assert isinstance(leg.start, Point)
    assert isinstance(leg.end, Point)
    return with_gaps(leg, found, leg.start, leg.end)


def minutes(gap: Gap) -> tuple[float, float]:
    return (gap.from_at - EIGHT) / 60, (gap.to_at - EIGHT) / 60


# Which gaps there are


def test_a_whole_track_has_none():
    assert told(leg(track((0, 30)), 30)) == FOUND


def test_silence_before_the_first_fix_and_after_the_last_is_told():
    found = told(leg(track((12, 20)), 40))
    assert [gap.cause for gap in found.gaps] == [GapCause.SILENCE] * 2
    before, after = found.gaps
    assert minutes(before) == (0, 12)
    assert minutes(after) == (19.75, 40)
    assert (before.straight_m, after.straight_m) == (pytest.approx(12 * 84, abs=2), pytest.approx(20.25 * 84, abs=2))
    assert (found.metres, found.low_m) == (1000, 950), "never filled in"
    ends = ((HOME, north_of(HOME, 12 * 84)), (north_of(HOME, 19.75 * 84), north_of(HOME, 40 * 84)))
    assert found.high_m == pytest.approx(1100 + sum(estimate_endpoints(Mode.WALK, a, b).high_m for a, b in ends), abs=6)


def test_a_last_kilometre_without_a_fix_is_told_however_short():
    """A bus makes it in two minutes; that is no silence, and no metre of it was measured."""
    ride = leg(track((0, 20)), 22, mode=Mode.BUS)
    assert isinstance(ride.start, Point)
    (gap,) = with_gaps(ride, FOUND, ride.start, north_of(ride.fixes[-1].point, 1200)).gaps
    assert (gap.cause, gap.minutes, gap.straight_m) == (GapCause.SILENCE, 2, pytest.approx(1200, abs=2))
    assert with_gaps(ride, FOUND, ride.start, north_of(ride.fixes[-1].point, 400)).gaps == ()


def test_silence_of_who_stayed_is_none():
    stays = leg(track((0, 20)), 60)
    assert isinstance(stays.start, Point)
    assert with_gaps(stays, FOUND, stays.start, stays.fixes[-1].point).gaps == ()


def test_a_gap_of_the_track_has_its_reason_where_the_app_did_not_run():
    silent = Gap(EIGHT + 720, EIGHT + 1440, 1000)
    other = Gap(EIGHT + 3000, EIGHT + 3600, 840)
    found = told(
        leg(track((0, 12), (24, 50), (60, 70)), 70, (12.5, 24)), Estimate(1, 1, 1, Method.TRACK, gaps=(silent, other))
    )
    assert found.gaps == (Gap(silent.from_at, silent.to_at, 1000, GapCause.STOPPED), other)


def test_a_jump_stays_a_jump():
    jump = Gap(EIGHT + 720, EIGHT + 1440, 90_000, GapCause.JUMP)
    assert told(leg(track((0, 70)), 70, (12, 24)), Estimate(1, 1, 1, Method.TRACK, gaps=(jump,))).gaps == (jump,)


def test_a_stop_that_hid_no_way_is_told_without_metres():
    (gap,) = told(leg(track((0, 30)), 30, (10, 14))).gaps
    assert (minutes(gap), gap.straight_m, gap.cause) == ((10, 14), 0, GapCause.STOPPED)


@pytest.mark.parametrize("method", [Method.RAIL, Method.ENDPOINTS])
def test_where_the_whole_way_is_known_a_stop_costs_no_metres(method: Method):
    whole = Estimate(5000, 4800, 5400, method)
    found = told(leg((), 40, (10, 22), mode=Mode.BUS), whole)
    assert (found.metres, found.high_m) == (5000, 5400)
    (gap,) = found.gaps
    assert (gap.straight_m, gap.cause) == (0, GapCause.STOPPED)
    assert distance_to_record(bundled(), Mode.BUS, found) == distance_to_record(bundled(), Mode.BUS, whole)


spans = st.tuples(st.floats(0, 60), st.floats(1, 30)).map(lambda span: (span[0], span[0] + span[1]))


@given(st.lists(spans, max_size=3), st.lists(spans, max_size=3), st.floats(1, 100), st.sampled_from(Mode))
def test_metres_stay_and_gaps_are_in_order(recorded: list, stops: list, minutes: float, mode: Mode):
    fixes = tuple(sorted(track(*recorded), key=lambda fix: fix.at))
    found = told(leg(fixes, minutes, *stops, mode=mode))
    assert (found.metres, found.low_m, found.method) == (FOUND.metres, FOUND.low_m, FOUND.method)
    assert found.high_m >= FOUND.high_m
    assert [gap.from_at for gap in found.gaps] == sorted(gap.from_at for gap in found.gaps)


# What they earn

causes = st.sampled_from(GapCause)
gaps = st.lists(st.builds(Gap, st.just(EIGHT), st.just(EIGHT + 600), st.integers(0, 20_000), causes), max_size=3)


@given(st.integers(0, 50_000), gaps, st.sampled_from(Mode))
def test_a_gap_earns_its_straight_line_at_most_and_only_where_end_points_earn(metres: int, found: list, mode: Mode):
    whole, holed = (Estimate(metres, metres, metres, Method.TRACK, gaps=tuple(g)) for g in ([], found))
    more = distance_to_record(bundled(), mode, holed) - distance_to_record(bundled(), mode, whole)
    across = sum(gap.straight_m for gap in found if gap.cause is not GapCause.JUMP)
    if mode is Mode.BUS:
        assert across - 100 < more < across + 100
    else:
        assert more == 0


# In words


@pytest.mark.parametrize(
    ("gap", "en", "zh"),
    [
        (
            Gap(EIGHT + 720, EIGHT + 1440, 850, GapCause.STOPPED),
            "probably missed 12 minutes: the system stopped the service at 08:12, it went on at 08:24; "
            "850 m in a straight line",
            "可能漏记 12 分钟：系统于 08:12 停止了后台服务，08:24 恢复，直线距离 850 米",
        ),
        (
            Gap(EIGHT + 60, EIGHT + 130, 0, GapCause.STOPPED),
            "probably missed 1 minute: the system stopped the service at 08:01, it went on at 08:02",
            "可能漏记 1 分钟：系统于 08:01 停止了后台服务，08:02 恢复",
        ),
        (
            Gap(EIGHT + 720, EIGHT + 1440, 850),
            "no position from 08:12 to 08:24; 850 m in a straight line",
            "08:12 至 08:24 没有定位，直线距离 850 米",
        ),
        (
            Gap(EIGHT + 720, EIGHT + 730, 9000, GapCause.JUMP),
            "the position jumped between 08:12 and 08:12; 9000 m in a straight line",
            "08:12 至 08:12 定位跳变，直线距离 9000 米",
        ),
    ],
)
def test_a_gap_in_words(gap: Gap, en: str, zh: str):
    assert gap_text(gap) == gap_text(gap, "en") == en
    assert gap_text(gap, "zh-Hans") == zh


# Through GreenTrip


def recorded(phone: GreenTrip, clock: FakeClock, mode: str, metres: int = 1400) -> Point:
    phone.start(mode, HOME)
    return walk(phone, clock, metres)


@pytest.mark.parametrize("way_on", ["resume", "switch", "finish"])
def test_the_time_without_the_app_is_told_whatever_one_does_next(open_phone: OpenPhone, clock: FakeClock, way_on: str):
    began = clock.now()
    end = recorded(open_phone(), clock, "walk")
    last_seen = clock.now() - 10
    clock.tick(710)
    phone, there = open_phone(), north_of(end, 900)
    if way_on == "resume":
        phone.resume()
        walk(phone, clock, 700, there)
        trip = phone.finish()
    elif way_on == "switch":
        phone.switch("bus", there)
        clock.tick(600)
        trip = phone.finish(north_of(there, 3000))
    else:
        trip = phone.finish(there)
    (gap,) = trip.legs[0].gaps
    assert gap.cause is GapCause.STOPPED
    assert (gap.from_at, gap.minutes) == (last_seen, 12)
    assert gap.straight_m == pytest.approx(900, abs=30)
    assert began < gap.from_at < gap.to_at <= clock.now()
    assert trip.legs[0].gap
    assert decode(trip.record or b"").flags == (Flag.GAP,)
    walked = 1400 + (700 if way_on == "resume" else 0)
    assert walked * 0.9 <= trip.legs[0].counted_m <= walked, "what was recorded counts, and nothing across the gap"
    assert phone.trips() == [trip], "as it stands in the store"


def test_a_bus_earns_what_was_recorded_and_the_straight_line_across(open_phone: OpenPhone, clock: FakeClock):
    end = recorded(open_phone(), clock, "bus")
    clock.tick(900)
    phone, there = open_phone(), north_of(end, 5000)
    phone.resume()
    walk(phone, clock, 700, there)
    (leg,) = phone.finish().legs
    assert leg.method is Method.TRACK
    straight = sum(gap.straight_m for gap in leg.gaps)
    assert straight == pytest.approx(5000, abs=40)
    assert leg.metres <= 2100, "the metres that were measured"
    assert leg.counted_m == (leg.metres + straight) // 100 * 100
    assert leg.counted_m <= leg.high_m


def test_a_silence_of_the_receiver_is_told_without_blaming_the_system(phone: GreenTrip, clock: FakeClock):
    end = recorded(phone, clock, "cycle")
    clock.tick(890)
    walk(phone, clock, 700, north_of(end, 3000))
    (leg,) = phone.finish().legs
    assert [(gap.cause, gap.minutes) for gap in leg.gaps] == [(GapCause.SILENCE, 15)]
    assert leg.counted_m <= 2100


def test_a_restart_within_a_minute_is_no_gap(open_phone: OpenPhone, clock: FakeClock):
    end = recorded(open_phone(), clock, "walk")
    clock.tick(40)
    phone = open_phone()
    phone.resume()
    walk(phone, clock, 700, end)
    assert phone.finish().legs[0].gaps == ()


def test_each_leg_has_its_own_part_of_a_stop(open_phone: OpenPhone, clock: FakeClock):
    """Entered afterwards: the bus came while the app was dead."""
    began = clock.now()
    end = recorded(open_phone(), clock, "walk")
    clock.tick(1800)
    phone = open_phone()
    phone.switch("bus", north_of(end, 600), at=began + 1610)
    trip = phone.finish(north_of(end, 5000))
    on_foot, by_bus = trip.legs
    assert [(g.cause, g.minutes, g.straight_m > 0) for g in on_foot.gaps] == [(GapCause.STOPPED, 10, True)]
    assert [(g.cause, g.straight_m) for g in by_bus.gaps] == [(GapCause.STOPPED, 0)]
    assert by_bus.method is Method.ENDPOINTS


def test_a_metro_ride_during_which_the_app_died_is_whole(open_phone: OpenPhone, clock: FakeClock):
    open_phone().start("rail", "虎坊桥")
    clock.tick(1200)
    phone = open_phone()
    phone.resume()
    clock.tick(600)
    (leg,) = phone.finish("双井").legs
    assert (leg.metres, leg.counted_m) == (6801, 6800)
    assert [(gap.cause, gap.minutes, gap.straight_m) for gap in leg.gaps] == [(GapCause.STOPPED, 20, 0)]


def test_the_evidence_keeps_when_the_app_did_not_run():
    """A corrected trip is measured again from it."""
    walked = leg(track((0, 12), (24, 30)), 30, (12, 24))
    trip = MeasuredTrip(
        id="0b9a0c5e-4f39-4d8e-9d0f-1b2c3d4e5f60",
        legs=(MeasuredLeg(walked, told(walked), 1000, None),),
        province=11,
        methodology=bundled().reference,
        reduction_mg=0,
        flags=frozenset(),
    )
    _, evidence = desensitise(trip)
    (again,) = legs_of_evidence(evidence.levels[-1])
    assert again.stops == walked.stops


def test_trips_of_an_older_version_are_still_shown(phone: GreenTrip, clock: FakeClock):
    end = recorded(phone, clock, "walk")
    trip = phone.finish(end)
    older = {key: value for key, value in asdict(trip.legs[0]).items() if key not in ("gaps", "sampling")} | {
        "gap": True
    }
    summary = {"started_at": EIGHT, "ended_at": EIGHT + 600, "reduction_mg": 5, "legs": [older]}
    (leg,) = view_of(TripRow("id", summary, State.ACCEPTED, None, None)).legs
    assert (leg.gap, leg.gaps) == (True, ())


def test_the_straight_line_is_that_of_the_sphere():
    assert great_circle_m(HOME, north_of(HOME, METRES_PER_DEGREE)) == pytest.approx(METRES_PER_DEGREE, abs=5)


def test_many_gaps_are_told_in_a_few_sentences():
    gaps = [Gap(60.0 * 10 * i, 60.0 * 10 * i + 120, 50) for i in range(8)]
    told = gap_texts(gaps)
    assert told[:3] == [gap_text(gap) for gap in gaps[:3]]
    assert told[3:] == ["and 5 more such gaps, 10 min in all"]
    assert gap_texts(gaps, "zh")[3:] == ["另有 5 处缺口，共 10 分钟"]
    assert gap_texts(gaps[:3]) == told[:3]
    assert gap_texts([]) == []
