"""Whatever happens to the retry machine, by whatever clock: it waits a day at most and is never stuck."""

import math

from hypothesis import given
from hypothesis import strategies as st

from greentrip.report import Stop, Trigger
from greentrip.retry import (
    Answered,
    Asked,
    Enrolled,
    Event,
    Network,
    NoAnswer,
    Read,
    RetryState,
    Send,
    Served,
    Untrusted,
    Wait,
    classify,
    next_try_ms,
    state_from_json,
    step,
)
from greentrip.wire import BATCH_LINES_MAX

NOW_MS = 1_772_697_600_000
DAY_MS = 86_400_000
YEARS_MS = 3650 * DAY_MS

_DICE = st.floats(0, 1)
_DETAILS = st.text(max_size=5)
_ROWS = st.integers(-1, BATCH_LINES_MAX + 1)
_EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(Asked, st.sampled_from(Trigger)),
    st.builds(
        Answered,
        st.one_of(st.integers(100, 599), st.sampled_from([400, 401, 403, 413, 422, 429, 503])),
        _ROWS,
        st.sampled_from(["", "clock", "consent"]),
        _DETAILS,
        st.one_of(st.none(), st.floats(), st.floats(0, 10**5)),
    ),
    st.builds(Read, _ROWS, _ROWS),
    st.builds(NoAnswer, _DETAILS),
    st.builds(Untrusted, _DETAILS),
    st.builds(Network, st.booleans()),
    st.just(Enrolled()),
    st.just(Served()),
)
_PASSING = st.one_of(st.integers(0, 2000), st.integers(-DAY_MS, DAY_MS), st.sampled_from([-YEARS_MS, YEARS_MS]))
_HISTORIES = st.lists(st.tuples(_PASSING, _EVENTS, _DICE), max_size=40)


def _is_failure(state: RetryState, event: Event, now_ms: int) -> bool:
    """What may lengthen the back-off, told in other words than the machine's."""
    match event:
        case NoAnswer():
            return state.offline_until_ms <= now_ms
        case Untrusted():
            return True
        case Read(_, settled):
            return settled <= 0
        case Answered(status, _, kind, _, retry_after_s):
            asked = retry_after_s is not None and math.isfinite(retry_after_s) and retry_after_s > 0
            return classify(status, kind) in ("retry", "read") and status != 429 and not asked
        case _:
            return False


@given(_HISTORIES)
def test_whatever_happens_it_waits_a_day_at_most_and_counts_failures_only(history: list[tuple[int, Event, float]]):
    state, now_ms = RetryState(), NOW_MS
    for passed_ms, event, dice in history:
        now_ms = max(0, now_ms + passed_ms)
        before = state_from_json(state.to_json(), now_ms)
        state, action = step(state, event, now_ms, dice)
        if isinstance(action, Wait):
            assert now_ms < action.until_ms <= now_ms + DAY_MS
            assert action.stop is not Stop.DONE
        elif isinstance(action, Send):
            assert 1 <= action.rows_max <= BATCH_LINES_MAX
        else:
            assert isinstance(event, Answered)
            assert event.rows <= 1
        grown = state.attempts - before.attempts
        assert grown == 1 if _is_failure(before, event, now_ms) else grown <= 0
        assert state_from_json(state.to_json(), now_ms) == state, "nothing is lost on the way to the disk"


@given(_HISTORIES)
def test_it_is_never_stuck(history: list[tuple[int, Event, float]]):
    state, now_ms = RetryState(), NOW_MS
    for passed_ms, event, dice in history:
        now_ms = max(0, now_ms + passed_ms)
        state, _ = step(state, event, now_ms, dice)
    due_ms = next_try_ms(state, now_ms)
    assert now_ms <= due_ms <= now_ms + DAY_MS
    if due_ms > now_ms:
        early, action = step(state, Asked(Trigger.TIMER), due_ms - 1, 0.5)
        assert isinstance(action, Wait)
        assert (action.until_ms, early) == (due_ms, state), "asking changes nothing"
    assert isinstance(step(state, Asked(Trigger.TIMER), due_ms, 0.5)[1], Send)
