"""The published vectors hold, and what holds for every reduction: never negative, monotone, additive, order-free."""

import json
from datetime import date
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greentrip.methodology import (
    LegFacts,
    Methodology,
    Reason,
    bundled,
    bundled_ids,
    distance_to_record,
    parse,
    reduce_leg,
    reduce_trip,
    round_distance,
)
from greentrip.trip import Estimate, Method, Mode

VECTORS = json.loads((resources.files("greentrip.methodology") / "vectors.json").read_text("utf-8"))
DAY = date(2026, 3, 5)

methodologies = st.sampled_from([bundled(name) for name in bundled_ids()])
metres = st.integers(0, 1_000_000)
facts = st.builds(
    LegFacts, st.sampled_from(Mode), metres, st.sampled_from(Method), st.none() | st.integers(0, 12)
)  # fmt: skip
trips = st.lists(facts, min_size=1, max_size=12)


def _methodology(name: str) -> Methodology:
    inline = VECTORS["methodologies"].get(name)
    return parse(inline.encode(), name) if inline else bundled(name)


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda vector: vector["name"])
def test_vector(vector: dict):
    legs = [LegFacts(Mode(e["mode"]), e["distance_m"], Method(e["method"]), e.get("people")) for e in vector["legs"]]
    found = reduce_trip(_methodology(vector["methodology"]), date.fromisoformat(vector["day"]), legs)
    assert found.mg == vector["expect"]["mg"]
    parts = [{"counted_m": e.counted_m, "ug": e.ug, "reasons": list(e.reasons)} for e in found.legs]
    assert parts == vector["expect"]["legs"]


def test_the_vectors_meet_every_reason_mode_method_and_file():
    vectors = VECTORS["vectors"]
    reasons = {reason for v in vectors for leg in v["expect"]["legs"] for reason in leg["reasons"]}
    # Place and route decide those two on the phone; the formula is not asked.
    assert reasons == set(Reason) - {Reason.OUTSIDE, Reason.NAMED_TOO_LONG}
    assert {leg["mode"] for v in vectors for leg in v["legs"]} == set(Mode)
    assert {leg["method"] for v in vectors for leg in v["legs"]} == set(Method)
    assert {v["methodology"] for v in vectors} == {*bundled_ids(), *VECTORS["methodologies"]}
    names = [v["name"] for v in vectors]
    assert len(names) == len(set(names))


def test_the_vectors_agree_with_themselves():
    """Whoever mends a vector by hand mends all of it: the sum of its legs is its total, floored once."""
    for vector in VECTORS["vectors"]:
        total = sum(leg["ug"] for leg in vector["expect"]["legs"])
        assert vector["expect"]["mg"] == max(0, total) // 1000, vector["name"]


@given(methodologies, trips)
def test_a_trip_is_never_negative_and_is_the_sum_of_its_legs(methodology: Methodology, legs: list[LegFacts]):
    found = reduce_trip(methodology, DAY, legs)
    assert found.mg == max(0, sum(reduce_leg(methodology, DAY, leg).ug for leg in legs)) // 1000
    assert found.mg >= 0


@given(methodologies, trips, st.randoms(use_true_random=False))
def test_the_order_of_legs_does_not_matter(methodology: Methodology, legs: list[LegFacts], dice):
    shuffled = list(legs)
    dice.shuffle(shuffled)
    assert reduce_trip(methodology, DAY, shuffled).mg == reduce_trip(methodology, DAY, legs).mg


@given(methodologies, facts, metres)
def test_more_metres_never_earn_less_where_the_margin_is_not_negative(
    methodology: Methodology, leg: LegFacts, more_m: int
):
    nearer, further = sorted((leg.distance_m, more_m))
    ug = [reduce_leg(methodology, DAY, LegFacts(leg.mode, m, leg.method, leg.people)).ug for m in (nearer, further)]
    assert 0 <= ug[0] <= ug[1]  # every margin in the bundled files is positive, a carpool of two included


@given(methodologies, trips, trips)
def test_two_trips_earn_what_their_legs_earn_together_but_for_one_milligram(
    methodology: Methodology, first: list[LegFacts], second: list[LegFacts]
):
    apart = reduce_trip(methodology, DAY, first).mg + reduce_trip(methodology, DAY, second).mg
    assert reduce_trip(methodology, DAY, first + second).mg - apart in (0, 1)


@given(methodologies, st.sampled_from(Mode), metres)
def test_rounding_twice_is_rounding_once(methodology: Methodology, mode: Mode, distance_m: int):
    rules = methodology.modes.get(mode)
    if rules is None:
        return
    once = round_distance(rules, distance_m)
    assert round_distance(rules, once) == once
    assert once % rules.step_m == 0
    assert abs(once - distance_m) < rules.step_m
    assert rules.nearest or once <= distance_m


@given(methodologies, st.sampled_from(Mode), st.lists(metres, min_size=3, max_size=3).map(sorted), st.data())
def test_what_is_recorded_earns_on_the_server_what_it_earned_on_the_phone(
    methodology: Methodology, mode: Mode, interval: list[int], data: st.DataObject
):
    """Rounded once on the phone, rounded again by the formula: the same metres, and never above the estimate's step."""
    low, middle, high = interval
    estimate = Estimate(middle, low, high, data.draw(st.sampled_from(Method)))
    recorded = distance_to_record(methodology, mode, estimate)
    rules = methodology.modes.get(mode)
    step = rules.step_m if rules else 100
    assert recorded % step == 0
    assert recorded <= middle + step // 2
    if rules and estimate.method is Method.ENDPOINTS and Method.ENDPOINTS in rules.earns_by:
        assert recorded <= low
    leg = reduce_leg(methodology, DAY, LegFacts(mode, recorded, estimate.method))
    assert leg.counted_m in (0, recorded) or Reason.LENGTH_CAPPED in leg.reasons


def test_a_negative_distance_is_a_mistake_of_the_program():
    with pytest.raises(ValueError, match="never negative"):
        reduce_leg(bundled(), DAY, LegFacts(Mode.WALK, -1, Method.TRACK))


def test_every_reason_has_two_texts():
    for reason in Reason:
        assert reason.text("en") == reason.en
        assert reason.text("zh-CN") == reason.zh
        assert reason.en.isascii()
        assert not reason.zh.isascii()
