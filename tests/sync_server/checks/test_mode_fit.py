"""The server judges by the phone's own scorecard: what it says of a leg is what the phone said."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from greentrip.evidence import Features, Verdict, fit, question_of
from greentrip.methodology import bundled as methodology_file
from greentrip.trip import Mode
from greentrip_server.checks import policy as policy_module
from greentrip_server.checks.mode_fit import check_mode_fit
from greentrip_server.checks.outcome import Severity
from sync_server.checks.test_rules import METHODOLOGY, POLICY, context, leg, record

steps = st.integers(0, 80).map(lambda n: 2 * n)
seen_on_a_track = st.builds(
    lambda speeds, moving, stopped, fixes: Features(0, *speeds, moving, stopped, fixes),
    st.tuples(steps, steps, steps).map(sorted),
    steps,
    st.integers(0, 20).map(lambda n: 5 * n),
    st.integers(0, 3),
)
cases = (st.sampled_from(Mode), seen_on_a_track, st.integers(0, 10**5), st.integers(1, 59))


@given(*cases)
def test_server_and_phone_say_the_same(mode: Mode, seen: Features, metres: int, minutes: int):
    found = check_mode_fit(context(record(leg(mode, metres, minutes), features=(seen,))))
    on_the_phone = fit(mode, seen, metres, minutes)
    assert bool(found) == (on_the_phone.verdict is Verdict.ASK)
    assert bool(found) == (question_of(mode, seen, metres, minutes) is not None)
    for outcome in found:
        assert outcome.details == {"leg": 0, "points": on_the_phone.points, "better": on_the_phone.better[0]}
        assert outcome.severity is not Severity.REJECT


@given(*cases)
def test_nobody_is_held_for_earning_less(mode: Mode, seen: Features, metres: int, minutes: int):
    found = check_mode_fit(context(record(leg(mode, metres, minutes), features=(seen,))))
    best = {Mode.WALK: 104, Mode.CYCLE: 95, Mode.RAIL: 72, Mode.BUS: 52, Mode.CARPOOL: 0}
    worth = {"walk": 104, "cycle": 95, "rail": 72, "bus": 52, "car": 0, "ebike": 0}
    for outcome in found:
        if outcome.severity is Severity.HOLD:
            better = fit(mode, seen, metres, minutes).better
            assert min(worth[kind] for kind in better) < best[mode]
            assert metres >= POLICY.mode_fit.leg_m_min.value
            assert int(outcome.details["points"]) >= POLICY.mode_fit.points_min.value


def test_when_to_hold_stands_in_the_policy():
    text = POLICY.text.replace(
        'points_min = { value = 10, unit = "points"', 'points_min = { value = 45, unit = "points"'
    )
    lenient = policy_module.parse(text.encode())
    car = Features(0, 36, 56, 66, 42, 20, 2)
    held = context(record(leg("cycle", 6000, 15), features=(car,)))
    assert [outcome.severity for outcome in check_mode_fit(held)] == [Severity.HOLD]
    assert [outcome.severity for outcome in check_mode_fit(replace(held, policy=lenient))] == [Severity.NOTE]


def test_every_leg_is_named_by_its_number():
    car, legs = Features(1, 36, 56, 66, 42, 20, 2), (leg("walk", 1500, 20), leg("cycle", 6000, 15))
    (outcome,) = check_mode_fit(context(record(*legs, features=(car,))))
    assert outcome.en.startswith("Leg 2 (cycle): its speeds fit a ride by rail or a ride by car better, since")
    assert outcome.zh.startswith("第 2 段（骑行）：速度特征更像乘轨道交通或乘小汽车，因为")


def test_a_methodology_without_the_mode_holds_nothing():
    shenzhen = methodology_file("shenzhen-public-transport")
    assert Mode.WALK not in shenzhen.modes
    car = Features(0, 36, 56, 66, 42, 20, 2)
    claimed = context(record(leg("walk", 6000, 15), features=(car,)), methodology=shenzhen)
    assert [outcome.severity for outcome in check_mode_fit(claimed)] == [Severity.NOTE]
    assert METHODOLOGY.modes[Mode.WALK]
