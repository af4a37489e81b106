"""Every rule both ways and at its borders, and none of them falls over."""

import re
from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greentrip.evidence import Features
from greentrip.methodology import bundled as methodology_file
from greentrip.methodology import reduce_trip
from greentrip.record import RecordInvalid, RecordLeg, TripRecord, decode, duration_min
from greentrip.trip import Flag, Method, Mode, Route
from greentrip_server.checks import policy as policy_module
from greentrip_server.checks.outcome import Outcome, Severity, Status, verdict
from greentrip_server.checks.overlap import Occupied, occupied
from greentrip_server.checks.policy import bundled
from greentrip_server.checks.rules import RULES, Context, Others, run, shape_outcome

NOTE, HOLD, REJECT = Severity.NOTE, Severity.HOLD, Severity.REJECT
DAY = date(2026, 3, 5)
METHODOLOGY = methodology_file()
POLICY = bundled()


def leg(mode: str, metres: int, minutes: int, method: Method | None = None) -> RecordLeg:
    how = method or (Method.RAIL if mode == "rail" else Method.TRACK)
    return RecordLeg(Mode(mode), metres, minutes, how, Route.SHORTEST if how is Method.RAIL else None)


def features(index: int) -> Features:
    return Features(index, median_kmh=12, p85_kmh=16, p95_kmh=20, moving_kmh=14, stopped_percent=10, fixes=2)


def record(*legs: RecordLeg, **changes) -> TripRecord:
    made = TripRecord(
        id="1b4e28ba-2fa1-4d3b-883f-0016d3cca427",
        day=DAY.isoformat(),
        slot=16,
        province=11,
        legs=legs or (leg("cycle", 4000, 20),),
        features=(),
        flags=(),
        methodology=METHODOLOGY.reference,
        reduction_mg=0,
        commitment="0" * 64,
    )
    made = replace(made, **changes)
    if "reduction_mg" in changes:
        return made
    return replace(made, reduction_mg=official_mg(made))


def official_mg(made: TripRecord) -> int:
    return reduce_trip(METHODOLOGY, date.fromisoformat(made.day), [item.facts() for item in made.legs]).mg


def context(made: TripRecord | None = None, **changes) -> Context:
    made = made or record()
    base = Context(
        record=made,
        today=DAY,
        methodology=METHODOLOGY,
        official_mg=official_mg(made),
        same_file=True,
        others=Others(),
        policy=POLICY,
        environment="production",
        provinces_served=METHODOLOGY.provinces,
    )
    return replace(base, **changes)


def said(found: list[Outcome]) -> list[tuple[str, Severity]]:
    return [(outcome.rule, outcome.severity) for outcome in found]


def fast(mode: str, metres: int, minutes: int, method: Method | None = None) -> Context:
    return context(record(leg(mode, metres, minutes, method)))


def shared(accounts: int, *legs: RecordLeg, tracked: tuple[int, ...] = (0,)) -> Context:
    made = record(*legs, features=tuple(features(i) for i in tracked))
    return context(made, others=Others(accounts_with_equal_features=accounts))


def flagged(flag: Flag, environment: str = "production") -> Context:
    return context(record(flags=(flag,)), environment=environment)


def seen(found: Features, mode: str, metres: int, minutes: int) -> Context:
    return context(record(leg(mode, metres, minutes), features=(found,)))


def beside(*trips: tuple[int, int, int], legs: tuple[RecordLeg, ...] = ()) -> Context:
    accepted = tuple(Occupied(DAY + timedelta(days), slot, low) for days, slot, low in trips)
    return context(record(*legs), others=Others(same_account=accepted))


STROLL = Features(0, median_kmh=4, p85_kmh=6, p95_kmh=6, moving_kmh=4, stopped_percent=10, fixes=2)
QUICK = Features(0, median_kmh=18, p85_kmh=22, p95_kmh=26, moving_kmh=20, stopped_percent=5, fixes=2)
BUS = Features(0, median_kmh=18, p85_kmh=32, p95_kmh=38, moving_kmh=22, stopped_percent=25, fixes=2)
CAR = Features(0, median_kmh=36, p85_kmh=56, p95_kmh=66, moving_kmh=42, stopped_percent=20, fixes=2)
ENDED = replace(METHODOLOGY, valid_until=DAY - timedelta(1))
OTHER_FILE = replace(METHODOLOGY, sha256="f" * 64)
NO_TRACK = Method.ENDPOINTS
LONG_BUS, BUS_AT_5_KM = leg("bus", 5100, 20), leg("bus", 5000, 20)

CASES = {
    # shape
    "an ordinary trip": (context(), []),
    "features on a leg with a track": (context(record(features=(features(0),))), []),
    "features on a rail leg": (
        context(record(leg("rail", 9000, 20), features=(features(0),))),
        [("shape", REJECT)],
    ),
    "features on end points": (
        context(record(leg("bus", 9000, 30, NO_TRACK), features=(features(0),))),
        [("shape", REJECT)],
    ),
    "features of no leg": (context(record(features=(features(1),))), [("shape", REJECT)]),
    "a rail leg without a route": (
        context(record(replace(leg("rail", 9000, 20), route=None))),
        [("shape", REJECT)],
    ),
    "a route on a track": (
        context(record(replace(leg("bus", 9000, 30), route=Route.NAMED))),
        [("shape", REJECT)],
    ),
    # 1435 min are read as 1430 at least, 11 min as 10: just 1440.
    "as long as a trip can be": (
        context(record(leg("cycle", 90_000, 1435), leg("walk", 1000, 11))),
        [],
    ),
    "a minute longer than a trip can be": (
        context(record(leg("cycle", 90_000, 1435), leg("walk", 1000, 12))),
        [("shape", REJECT)],
    ),
    "only shape speaks when it rejects": (
        context(record(leg("cycle", 90_000, 1440), leg("walk", 1000, 12), province=44, flags=(Flag.MOCK,))),
        [("shape", REJECT)],
    ),
    # province
    "another served province": (context(record(province=13)), []),
    "not a province of the methodology": (context(record(province=31)), [("province", REJECT)]),
    "a province that nothing serves": (
        context(record(province=31), methodology=None, same_file=False),
        [("province", REJECT)],
    ),
    "no methodology, and nobody said what is served": (
        context(methodology=None, same_file=False, provinces_served=frozenset()),
        [("province", REJECT)],
    ),
    # methodology
    "a served province without a methodology that day": (
        context(methodology=None, same_file=False),
        [("methodology", HOLD)],
    ),
    "a methodology that has ended": (context(methodology=ENDED), [("methodology", HOLD)]),
    "its last day": (context(methodology=replace(ENDED, valid_until=DAY)), []),
    "the phone used another file": (
        context(methodology=OTHER_FILE, same_file=False, official_mg=7),
        [("methodology", NOTE)],
    ),
    # phone_figure
    "one milligram more": (context(record(reduction_mg=official_mg(record()) + 1)), [("phone_figure", HOLD)]),
    "one milligram less": (context(record(reduction_mg=official_mg(record()) - 1)), [("phone_figure", HOLD)]),
    # day_future, day_old
    "tomorrow": (context(today=DAY - timedelta(1)), [("day_future", HOLD)]),
    "in 100 years": (context(record(day="2126-03-05")), [("day_future", HOLD)]),
    "180 days old": (context(today=DAY + timedelta(180)), []),
    "181 days old": (context(today=DAY + timedelta(181)), [("day_old", HOLD)]),
    # speed: at the limit, and one step of the rounding above it
    "walk at 20 km/h": (fast("walk", 10_000, 30), []),
    "walk faster": (fast("walk", 10_100, 30), [("speed", HOLD)]),
    "cycle at 35 km/h": (fast("cycle", 17_500, 30), []),
    "cycle faster": (fast("cycle", 17_600, 30), [("speed", HOLD)]),
    "bus at 80 km/h": (fast("bus", 40_000, 30), []),
    "bus faster": (fast("bus", 40_100, 30), [("speed", HOLD)]),
    "bus between end points is slower than it was": (fast("bus", 40_100, 30, NO_TRACK), [("speed", HOLD)]),
    "carpool at 120 km/h": (fast("carpool", 60_000, 30), []),
    "carpool faster": (fast("carpool", 60_100, 30), [("speed", HOLD)]),
    # 80 000 m in 30 min are 160 km/h, and 80 010 m may be 80 005 before rounding to the nearest 10 m.
    "rail at 160 km/h": (fast("rail", 80_000, 30), []),
    "rail faster by the rounding alone": (fast("rail", 80, 1), []),
    "rail faster": (fast("rail", 80_010, 30), [("speed", HOLD)]),
    "the airport line as announced": (fast("rail", 41_360, 19), []),
    "long minutes are read as the longest": (fast("walk", 40_000, 120), []),
    "each fast leg is named": (
        context(record(leg("walk", 10_100, 30), leg("cycle", 4000, 20), leg("bus", 40_100, 30))),
        [("speed", HOLD), ("speed", HOLD)],
    ),
    "a leg of no length": (fast("walk", 0, 1), []),
    # 900 m may be 1000 m, in 60 min at least: 1 km/h.
    "walk at 1 km/h": (fast("walk", 900, 65), []),
    "walk slower": (fast("walk", 800, 65), [("speed", NOTE)]),
    "rail at 4 km/h": (fast("rail", 4000, 65), []),
    "rail slower": (fast("rail", 3990, 65), [("speed", NOTE)]),
    "slow between end points": (fast("bus", 100, 65, NO_TRACK), []),
    "slow after a gap": (context(record(leg("walk", 800, 65), flags=(Flag.GAP,))), [("flags", NOTE)]),
    "a mode that the methodology does not have": (
        context(
            record(leg("rail", 80_010, 30)),
            methodology=replace(METHODOLOGY, modes={}),
            official_mg=official_mg(record(leg("rail", 80_010, 30))),
        ),
        [("speed", HOLD)],
    ),
    # length
    "walk of 45 km": (fast("walk", 45_000, 600), []),
    "longer walk": (fast("walk", 45_100, 600), [("length", HOLD)]),
    "cycle of 100 km": (fast("cycle", 100_000, 600), []),
    "longer cycle": (fast("cycle", 100_100, 600), [("length", HOLD)]),
    "bus of 150 km": (fast("bus", 150_000, 300), []),
    "longer bus": (fast("bus", 150_100, 300), [("length", HOLD)]),
    "rail of 150 km": (fast("rail", 150_000, 300), []),
    "longer rail": (fast("rail", 150_010, 300), [("length", HOLD)]),
    "carpool of 300 km": (fast("carpool", 300_000, 300), []),
    "longer carpool": (fast("carpool", 300_100, 300), [("length", HOLD)]),
    "trip of 400 km": (context(record(leg("carpool", 300_000, 300), leg("rail", 100_000, 120))), []),
    "longer trip": (
        context(record(leg("carpool", 300_000, 300), leg("rail", 100_010, 120))),
        [("length", HOLD)],
    ),
    "leg and trip too long": (
        context(record(leg("carpool", 300_100, 300), leg("rail", 100_000, 120))),
        [("length", HOLD), ("length", HOLD)],
    ),
    # trips_a_day
    "the 20th trip": (context(others=Others(trips_that_day=19)), []),
    "the 21st trip": (context(others=Others(trips_that_day=20)), [("trips_a_day", HOLD)]),
    # overlap: this trip starts in slot 16 (08:00) and lasts 19 min at least
    "the accepted one may have ended": (beside((0, 15, 59)), []),
    "the accepted one has not ended": (beside((0, 15, 60)), [("overlap", HOLD)]),
    "it may have ended before the next": (beside((0, 17, 60)), []),
    "it has not ended before the next": (
        beside((0, 17, 5), legs=(leg("cycle", 9000, 65),)),
        [("overlap", HOLD)],
    ),
    "a long trip since yesterday": (beside((-1, 47, 540)), [("overlap", HOLD)]),
    "the same half-hour, one after the other": (beside((0, 16, 29)), []),
    # equal_features
    "two friends on one metro": (
        context(record(leg("rail", 20_000, 40)), others=Others(accounts_with_equal_features=99)),
        [],
    ),
    "nobody else": (shared(0, LONG_BUS), []),
    "one other": (shared(1, LONG_BUS), [("equal_features", NOTE)]),
    "two others": (shared(2, LONG_BUS), [("equal_features", NOTE)]),
    "three others": (shared(3, LONG_BUS), [("equal_features", HOLD)]),
    "three others on a short way": (shared(3, BUS_AT_5_KM), [("equal_features", NOTE)]),
    "metro and a short ride together": (
        shared(9, leg("cycle", 500, 3), leg("rail", 20_000, 40)),
        [("equal_features", NOTE)],
    ),
    "two tracks together are long": (
        shared(3, leg("cycle", 2600, 12), leg("rail", 9000, 20), leg("cycle", 2500, 12), tracked=(0, 2)),
        [("equal_features", HOLD)],
    ),
    # mode_fit
    "a car claimed as a walk": (seen(CAR, "walk", 1000, 3), [("mode_fit", HOLD)]),
    "a car claimed as a walk below 1 km": (seen(CAR, "walk", 900, 3), [("mode_fit", NOTE)]),
    "a car claimed as cycling": (seen(CAR, "cycle", 6000, 15), [("mode_fit", HOLD)]),
    "a car claimed as a bus": (seen(CAR, "bus", 6000, 15), [("mode_fit", HOLD)]),
    "a car that nobody shares claimed as shared": (seen(CAR, "carpool", 6000, 15), []),
    "a bus claimed as a bus": (seen(BUS, "bus", 6000, 20), []),
    "a bus claimed as cycling": (seen(BUS, "cycle", 6000, 20), [("mode_fit", HOLD)]),
    "a doubt that is only just one": (seen(QUICK, "cycle", 6000, 20), [("mode_fit", NOTE)]),
    "a walk claimed as a bus gives something away": (seen(STROLL, "bus", 1500, 20), [("mode_fit", NOTE)]),
    "a walk claimed as a shared car": (seen(STROLL, "carpool", 1500, 20), [("mode_fit", NOTE)]),
    "too short to judge": (seen(CAR, "walk", 300, 1), []),
    "no track, no judgement": (fast("bus", 9000, 20, NO_TRACK), []),
    "no methodology, no hold of the mode": (
        replace(seen(CAR, "cycle", 6000, 15), methodology=None),
        [("methodology", HOLD), ("mode_fit", NOTE)],
    ),
    # flags
    "an even track": (flagged(Flag.EVEN), [("flags", HOLD)]),
    "a repeated track": (flagged(Flag.REPEAT), [("flags", HOLD)]),
    "mock location": (flagged(Flag.MOCK), [("flags", HOLD)]),
    "mock location in development": (flagged(Flag.MOCK, "development"), [("flags", HOLD)]),
    "a gap": (flagged(Flag.GAP), [("flags", NOTE)]),
    "a replay": (flagged(Flag.REPLAY), [("flags", HOLD)]),
    "a replay in development": (flagged(Flag.REPLAY, "development"), [("flags", NOTE)]),
    "all flags": (
        context(record(flags=tuple(Flag))),
        [("flags", NOTE if flag is Flag.GAP else HOLD) for flag in Flag],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_rule(name: str):
    given_context, expected = CASES[name]
    assert said(run(given_context)) == expected


def assert_readable(outcome: Outcome):
    """Both languages, different, each a sentence that says what is wrong and what to do."""
    assert outcome.en.isascii()
    assert outcome.en.endswith(".")
    assert re.search(r"[\u4e00-\u9fff]", outcome.zh)
    assert outcome.zh.endswith("。")
    assert min(outcome.en.count(". ") + 1, outcome.zh.count("。")) >= 2, "what is wrong, and what to do"
    for text in (outcome.en, outcome.zh):
        assert not re.search(r"[{}]|None|Mode\.|  |\.\.|。。", text), text
    assert all(isinstance(value, int | str) for value in outcome.details.values())


@pytest.mark.parametrize("name", [name for name, (_, expected) in CASES.items() if expected])
def test_texts_say_what_is_wrong_in_both_languages(name: str):
    for outcome in run(CASES[name][0]):
        assert_readable(outcome)


def test_every_rule_is_tried_both_ways():
    speaking = {rule for _, expected in CASES.values() for rule, _ in expected}
    assert speaking == {rule.id for rule in RULES}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_the_table_is_complete(rule):
    graver = {REJECT: 2, HOLD: 1, NOTE: 0}
    given_severities = [severity for _, expected in CASES.values() for name, severity in expected if name == rule.id]
    assert max(given_severities, key=graver.__getitem__) is rule.severity
    assert rule.en.endswith(".")
    assert rule.zh.endswith("。")
    spoken = [outcome.rule for given_context, _ in CASES.values() for outcome in rule.check(given_context)]
    assert set(spoken) == {rule.id}, "a rule speaks under its own name only"


def test_ids_are_unique():
    assert len({rule.id for rule in RULES}) == len(RULES)


@pytest.mark.parametrize("day", ["2026-03-06", "9999-12-31"])
def test_a_future_day_is_held_until_that_day(day: str):
    found = run(context(record(day=day)))
    result = verdict(found)
    assert (result.status, result.held_until) == (Status.HELD, date.fromisoformat(day))


def test_the_hold_of_a_future_day_ends_on_it():
    made = record(day="2026-03-06")
    assert said(run(context(made, today=date(2026, 3, 6)))) == []


def test_another_hold_keeps_a_future_trip_with_the_staff():
    made = record(day="2026-03-06", flags=(Flag.MOCK,))
    assert verdict(run(context(made))).held_until is None


@pytest.mark.parametrize(("severity", "follows"), [("reject", "does not count"), ("hold", "staff")])
def test_what_follows_a_flag_is_in_its_text(severity: str, follows: str):
    text = POLICY.text.replace('gap = { value = "note"', f'gap = {{ value = "{severity}"')
    (outcome,) = run(context(record(flags=(Flag.GAP,)), policy=policy_module.parse(text.encode())))
    assert outcome.severity == severity
    assert follows in outcome.en
    assert_readable(outcome)


def test_details_carry_the_numbers():
    (outcome,) = run(fast("walk", 10_100, 30))
    assert outcome.details == {"leg": 0, "distance_m": 10_100, "duration_min": 30, "kmh_max": 20}
    assert "Leg 1 (walk): 10.1 km in 30 min" in outcome.en
    assert "第 1 段（步行）：30 分钟内行进 10.1 公里" in outcome.zh


def test_a_limit_is_never_rounded_to_look_like_the_value():
    (outcome,) = run(fast("rail", 150_010, 300))
    assert "150.01 km is longer than 150 km" in outcome.en


def test_bytes_that_the_sdk_refuses_get_an_outcome():
    with pytest.raises(RecordInvalid) as caught:
        decode(b'{"v":1}')
    outcome = shape_outcome(caught.value)
    assert (outcome.rule, outcome.severity, outcome.details) == ("shape", REJECT, {"field": "id"})
    assert "id: missing" in outcome.en
    assert_readable(outcome)


def test_a_changed_policy_changes_the_outcome():
    text = POLICY.text.replace("carpool = { value = 120,", "carpool = { value = 90,")
    strict = policy_module.parse(text.encode())
    made = record(leg("carpool", 50_000, 30))
    assert said(run(context(made))) == []
    assert said(run(context(made, policy=strict))) == [("speed", HOLD)]


# Whatever the format allows.


@st.composite
def legs(draw) -> RecordLeg:
    mode = draw(st.sampled_from(Mode))
    method = draw(st.sampled_from([m for m in Method if mode is Mode.RAIL or m is not Method.RAIL]))
    minutes = draw(st.one_of(st.integers(1, 59), st.integers(12, 288).map(lambda n: n * 5)))
    route = draw(st.sampled_from(Route)) if method is Method.RAIL else None
    return RecordLeg(mode, draw(st.integers(0, 1_000_000)), minutes, method, route)


@st.composite
def records(draw) -> TripRecord:
    chosen = tuple(draw(st.lists(legs(), min_size=1, max_size=12)))
    tracked = sorted(draw(st.sets(st.integers(0, len(chosen) - 1))))
    if draw(st.booleans()):  # mostly what a phone would send, else nearly everything is refused for its shape
        tracked = [i for i in tracked if chosen[i].method is Method.TRACK]
    even_speeds = st.integers(0, 200).map(lambda n: n * 2)
    return TripRecord(
        id=str(draw(st.uuids(version=4))),
        day=draw(st.dates()).isoformat(),
        slot=draw(st.integers(0, 47)),
        province=draw(st.sampled_from([11, 12, 13, 31, 82])),
        legs=chosen,
        features=tuple(
            Features(
                i,
                *sorted(draw(st.tuples(even_speeds, even_speeds, even_speeds))),
                draw(even_speeds),
                draw(st.integers(0, 20)) * 5,
                draw(st.integers(0, 3)),
            )
            for i in tracked
        ),
        flags=tuple(sorted(draw(st.sets(st.sampled_from(Flag))))),
        methodology=METHODOLOGY.reference,
        reduction_mg=draw(st.integers(0, 10**12)),
        commitment="0" * 64,
    )


contexts = st.builds(
    Context,
    record=records(),
    today=st.dates(),
    methodology=st.sampled_from([None, METHODOLOGY, ENDED, methodology_file("shenzhen-public-transport")]),
    official_mg=st.integers(0, 10**12),
    same_file=st.booleans(),
    others=st.builds(
        Others,
        same_account=st.lists(
            st.builds(Occupied, st.dates(), st.integers(0, 47), st.integers(0, 1440)), max_size=5
        ).map(tuple),
        trips_that_day=st.integers(0, 100),
        accounts_with_equal_features=st.integers(0, 10),
    ),
    policy=st.just(POLICY),
    environment=st.sampled_from(["development", "production"]),
    provinces_served=st.sampled_from([frozenset(), METHODOLOGY.provinces]),
)


@settings(max_examples=300)
@given(contexts)
def test_no_record_makes_a_rule_fall_over(any_context: Context):
    assert decode(any_context.record.to_bytes()) == any_context.record, "the format allows it"
    found = run(any_context)
    for outcome in found:
        assert_readable(outcome)
        assert outcome.to_json()
    assert found == run(any_context), "a rule depends on its context alone"
    assert verdict(found).status in Status


@given(
    st.sampled_from(Mode),
    st.floats(60, 7200),
    st.floats(0.0, 1.0),
)
def test_speeds_inside_the_band_are_silent(mode: Mode, seconds: float, share: float):
    """Whatever the phone rounds, a leg inside the band is neither held nor noted for its speed."""
    low, high = POLICY.speed.kmh_min.of(mode), POLICY.speed.kmh_max.of(mode)
    true_m = int((low + share * (high - low)) / 3.6 * seconds)
    step, half = (10, 5) if mode is Mode.RAIL else (100, 0)
    metres = min((true_m + half) // step * step, POLICY.length.leg_m_max.of(mode))
    found = run(context(record(leg(mode, metres, duration_min(seconds)))))
    assert "speed" not in [outcome.rule for outcome in found]


@given(records())
def test_a_trip_beside_itself_is_held_when_two_do_not_fit_a_half_hour(made: TripRecord):
    mine = occupied(made)
    rules = [outcome.rule for outcome in run(context(made, others=Others(same_account=(mine,))))]
    assert ("overlap" in rules) == (mine.low_min >= 30 and "shape" not in rules)
