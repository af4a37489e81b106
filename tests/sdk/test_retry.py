"""When to try again: every status, every form of Retry-After, full jitter, and clocks that jump."""

import json
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greentrip.retry import (
    BASE_S,
    CAP_S,
    PAUSE_S,
    RETRY_AFTER_S_MAX,
    RetryState,
    Verdict,
    after_failure,
    classify,
    retry_after_s,
    state_from_json,
)

NOW = datetime(2026, 3, 5, 8, 0, tzinfo=UTC).timestamp()
NOW_MS = round(NOW * 1000)
DAY_S = 24 * 3600.0

VERDICTS = {
    Verdict.SETTLE: [200, 201, 202, 203, 206, 299],
    Verdict.LOGIN: [401],
    Verdict.PAUSE: [400, 402, 403, 404, 405, 409, 410, 411, 412, 413, 414, 415, 416, 422, 426, 428, 431, 451],
    Verdict.RETRY: [100, 199, 204, 300, 301, 302, 303, 304, 307, 308, 408, 425, 429, 500, 501, 502, 503, 504, 599],
}


@pytest.mark.parametrize(
    ("status", "verdict"), [(status, verdict) for verdict, statuses in VERDICTS.items() for status in statuses]
)
def test_every_status_has_its_verdict(status: int, verdict: Verdict):
    assert classify(status) is verdict


@given(st.integers(100, 599))
def test_no_status_is_left_out_and_only_2xx_settles(status: int):
    assert (classify(status) is Verdict.SETTLE) == (200 <= status <= 299 and status != 204)


def _http_date(seconds: float) -> str:
    return format_datetime(datetime.fromtimestamp(NOW + seconds, UTC), usegmt=True)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("", None),
        ("   ", None),
        ("0", None),
        ("-1", None),
        ("-1e9", None),
        ("NaN", None),
        ("nan", None),
        ("inf", None),
        ("-Infinity", None),
        ("soon", None),
        ("120 seconds", None),
        ("2026-03-05", None),
        ("Thu, 99 Foo 2026 99:99:99 GMT", None),
        ("Thu, 05 Mar", None),
        ("1", 1.0),
        ("120", 120.0),
        (" 120 ", 120.0),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("1e12", DAY_S),
        ("9" * 400, None),
        ("86401", DAY_S),
        (_http_date(90), 90.0),
        (_http_date(0), None),
        (_http_date(-90), None),
        (_http_date(10 * DAY_S), DAY_S),
        ("Thu, 01 Jan 1970 00:00:00 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", DAY_S),
        ("Thursday, 05-Mar-26 08:01:30 GMT", 90.0),
        ("Thu Mar  5 08:01:30 2026", 90.0),
        ("Thu, 05 Mar 2026 16:01:30 +0800", 90.0),
        ("Thu, 05 Mar 2026 08:01:30 -0000", 90.0),
    ],
)
def test_every_form_of_retry_after(text: str | None, seconds: float | None):
    headers = {} if text is None else {"retry-after": text}
    assert retry_after_s(headers, NOW) == seconds


@given(st.text(max_size=40))
def test_no_text_in_retry_after_breaks_anything(text: str):
    found = retry_after_s({"retry-after": text}, NOW)
    assert found is None or 0 < found <= RETRY_AFTER_S_MAX


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_full_jitter_lies_between_nothing_and_the_ceiling(attempts: int, dice: float):
    state = after_failure(RetryState(attempts), Verdict.RETRY, "why", NOW_MS, dice, None)
    wait_s = (state.not_before_ms - NOW_MS) / 1000
    assert 0 <= wait_s <= min(CAP_S, BASE_S * 2 ** min(attempts, 30)) + 0.001
    assert state.attempts == attempts + 1
    assert (state.floor_ms, state.paused) == (0, "")


def test_the_ceiling_doubles_up_to_the_cap():
    waits, state = [], RetryState()
    for _ in range(14):
        state = after_failure(state, Verdict.RETRY, "", NOW_MS, 1.0, None)
        waits.append((state.not_before_ms - NOW_MS) / 1000)
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900, 900]


@given(st.integers(0, 50), st.floats(0, 1), st.floats(0.001, RETRY_AFTER_S_MAX))
def test_what_the_server_asks_for_is_a_floor(attempts: int, dice: float, floor_s: float):
    state = after_failure(RetryState(attempts), Verdict.RETRY, "", NOW_MS, dice, floor_s)
    assert state.floor_ms == NOW_MS + round(floor_s * 1000)
    assert state.not_before_ms >= state.floor_ms


@pytest.mark.parametrize("verdict", [Verdict.PAUSE, Verdict.LOGIN])
def test_a_pause_ends_after_six_hours_and_keeps_its_reason(verdict: Verdict):
    state = after_failure(RetryState(3), verdict, "consent ended", NOW_MS, 1.0, None)
    assert state == RetryState(3, NOW_MS + round(PAUSE_S * 1000), 0, "consent ended")


# What is kept


@given(st.builds(RetryState, st.integers(0, 99), st.integers(0, NOW_MS), st.integers(0, NOW_MS), st.text(max_size=9)))
def test_the_state_survives_the_disk(state: RetryState):
    assert state_from_json(state.to_json(), NOW_MS) == state


def test_without_a_state_there_is_no_wait():
    assert state_from_json(None, NOW_MS) == state_from_json("", NOW_MS) == RetryState()


@given(st.integers(0, 4 * 10**12))
def test_after_a_jump_of_the_clock_no_wait_is_longer_than_a_day(now_ms: int):
    kept = RetryState(5, 4 * 10**12, 4 * 10**12, "").to_json()
    state = state_from_json(kept, now_ms)
    latest_ms = now_ms + round(RETRY_AFTER_S_MAX * 1000)
    assert max(state.not_before_ms, state.floor_ms) <= latest_ms


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "5", '{"attempts":1,"colour":"red"}', '"text"', json.dumps({"attempts": 1, "not_before_ms": None})],
)
def test_a_state_of_another_version_means_no_wait(text: str):
    assert state_from_json(text, NOW_MS) == RetryState()
