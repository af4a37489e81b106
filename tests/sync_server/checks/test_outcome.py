"""What outcomes decide together, and how they are sent."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greentrip.wire import canonical
from greentrip_server.checks.outcome import Outcome, Severity, Status, Verdict, verdict

DAY = date(2026, 3, 5)
NOTE, HOLD, REJECT = Severity.NOTE, Severity.HOLD, Severity.REJECT


def outcome(severity: Severity, until: date | None = None) -> Outcome:
    return Outcome("day_future", severity, "english", "中文", held_until=until)


dated = st.builds(outcome, st.just(HOLD), st.dates())
outcomes = st.lists(st.one_of(dated, st.builds(outcome, st.sampled_from(Severity))), max_size=6)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([], Verdict(Status.ACCEPTED)),
        ([outcome(NOTE)], Verdict(Status.ACCEPTED)),
        ([outcome(HOLD)], Verdict(Status.HELD)),
        ([outcome(HOLD, DAY)], Verdict(Status.HELD, DAY)),
        ([outcome(HOLD, DAY), outcome(NOTE)], Verdict(Status.HELD, DAY)),
        ([outcome(HOLD, DAY), outcome(HOLD, DAY + timedelta(1))], Verdict(Status.HELD, DAY + timedelta(1))),
        ([outcome(HOLD, DAY), outcome(HOLD)], Verdict(Status.HELD)),
        ([outcome(HOLD, DAY), outcome(REJECT)], Verdict(Status.REJECTED)),
        ([outcome(NOTE), outcome(REJECT)], Verdict(Status.REJECTED)),
    ],
)
def test_the_gravest_decides(found: list[Outcome], expected: Verdict):
    assert verdict(found) == expected
    assert verdict(reversed(found)) == expected


@given(outcomes)
def test_a_date_is_given_only_for_a_hold_that_ends_by_itself(found: list[Outcome]):
    result = verdict(found)
    holds = [item.held_until for item in found if item.severity is HOLD]
    assert (result.held_until is None) or (result.status is Status.HELD and result.held_until == max(holds))
    assert result.status is not Status.HELD or (result.held_until is None) == (None in holds)


def test_an_outcome_can_be_sent():
    sent = Outcome("speed", HOLD, "too fast", "过快", held_until=DAY, details={"leg": 1}).to_json()
    assert canonical(sent)
    assert sent["held_until"] == "2026-03-05"
    assert (sent["rule"], sent["severity"], sent["details"]) == ("speed", "hold", {"leg": 1})
    assert "held_until" not in outcome(HOLD).to_json()


def test_text_by_language():
    assert outcome(NOTE).text("zh-CN") == "中文"
    assert outcome(NOTE).text() == "english"


def test_outcomes_can_stand_in_sets():
    assert len({outcome(NOTE), outcome(NOTE), outcome(HOLD)}) == 2
