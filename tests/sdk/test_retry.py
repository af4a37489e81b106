"""What an answer means: every status, every form of Retry-After, full jitter, clocks that jump, other versions."""

import json
import re
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greentrip.report import Stop, Trigger
from greentrip.retry import (
    BASE_S,
    CAP_S,
    DETAIL_CHARS_MAX,
    PAUSE_S,
    RATE_LIMITED_S_MIN,
    RETRY_AFTER_S_MAX,
    WAIT_S_MIN,
    Action,
    Answered,
    Asked,
    NoAnswer,
    RetryState,
    Send,
    SetAside,
    Verdict,
    Wait,
    classify,
    next_try_ms,
    retry_after_s,
    state_from_json,
    step,
)
from greentrip.wire import BATCH_LINES_MAX

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "retry.md"
NOW = datetime(2026, 3, 5, 8, 0, tzinfo=UTC).timestamp()
NOW_MS = round(NOW * 1000)
DAY_S = 24 * 3600.0

VERDICTS = {
    Verdict.READ: [200, 201, 202, 203, 205, 206, 299],
    Verdict.LOGIN: [401],
    Verdict.PAUSE: [402, 403, 404, 405, 409, 410, 411, 412, 414, 415, 416, 426, 428, 431, 451, 499],
    Verdict.HALVE: [413],
    Verdict.BISECT: [400, 422],
    Verdict.RETRY: [100, 199, 204, 300, 301, 302, 303, 304, 307, 308, 408, 425, 429, 500, 501, 502, 503, 504, 599],
}


@pytest.mark.parametrize(
    ("status", "verdict"), [(status, verdict) for verdict, statuses in VERDICTS.items() for status in statuses]
)
def test_every_status_has_its_verdict(status: int, verdict: Verdict):
    assert classify(status) is verdict


@given(st.integers(100, 599))
def test_no_status_is_left_out_and_only_2xx_settles(status: int):
    assert (classify(status) is Verdict.READ) == (200 <= status <= 299 and status != 204)


def test_a_clock_that_is_still_wrong_is_no_reason_to_enrol_again():
    assert classify(401, "clock") is Verdict.RETRY
    assert classify(401, "unknown_device") is Verdict.LOGIN
    assert classify(403, "clock") is Verdict.PAUSE


# Retry-After


def _http_date(seconds: float) -> str:
    return format_datetime(datetime.fromtimestamp(NOW + seconds, UTC), usegmt=True)


FORMS: list[tuple[str | None, float | None]] = [
    (None, None),
    ("", None),
    ("   ", None),
    ("0", None),
    ("0.0", None),
    ("-0", None),
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
    (",", None),
    ("0x78", None),
    ("\N{DEGREE SIGN}", None),
    ("1", 1.0),
    ("120", 120.0),
    (" 120 ", 120.0),
    ("+120", 120.0),
    ("1.5", 1.5),
    ("1e3", 1000.0),
    ("1e12", DAY_S),
    ("9" * 400, None),
    ("86401", DAY_S),
    ("120, 60", 120.0),
    ("60,120", 120.0),
    ("-1, 60", 60.0),
    ("nan, 60", 60.0),
    ("60, soon", None),
    (_http_date(90), 90.0),
    (_http_date(0), None),
    (_http_date(-90), None),
    (_http_date(10 * DAY_S), DAY_S),
    ("Thu, 01 Jan 1970 00:00:00 GMT", None),
    ("Mon, 01 Jan 0001 00:00:00 +2359", None),
    ("Fri, 31 Dec 9999 23:59:59 GMT", DAY_S),
    ("Fri, 31 Dec 9999 23:59:59 -2359", DAY_S),
    ("Thursday, 05-Mar-26 08:01:30 GMT", 90.0),
    ("Thu Mar  5 08:01:30 2026", 90.0),
    ("Thu, 05 Mar 2026 16:01:30 +0800", 90.0),
    ("Thu, 05 Mar 2026 08:01:30 -0000", 90.0),
]


@pytest.mark.parametrize(("text", "seconds"), FORMS)
def test_every_form_of_retry_after(text: str | None, seconds: float | None):
    headers = {} if text is None else {"retry-after": text}
    assert retry_after_s(headers, NOW) == seconds


@pytest.mark.parametrize("phone_ahead_s", [-10 * 365 * DAY_S, -3600, 0, 3600, 10 * 365 * DAY_S])
def test_a_date_is_read_by_the_servers_clock_and_not_by_the_phones(phone_ahead_s: float):
    headers = {"retry-after": _http_date(90), "date": _http_date(0)}
    assert retry_after_s(headers, NOW + phone_ahead_s) == 90


@pytest.mark.parametrize("date", ["", "now", "0", "Thu, 99 Foo 2026 99:99:99 GMT"])
def test_without_a_date_of_the_server_the_phones_clock_must_do(date: str):
    assert retry_after_s({"retry-after": _http_date(90), "date": date}, NOW) == 90


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_text_in_retry_after_breaks_anything(text: str, date: str):
    found = retry_after_s({"retry-after": text, "date": date}, NOW)
    assert found is None or 0 < found <= RETRY_AFTER_S_MAX


@given(
    st.lists(st.sampled_from([*"0123456789,:+-. eGMT", "Thu", "Mar", "2026", _http_date(9)]), max_size=12).map("".join)
)
def test_nothing_that_looks_like_a_date_or_a_number_breaks_anything(text: str):
    found = retry_after_s({"retry-after": text, "date": text}, NOW)
    assert found is None or 0 < found <= RETRY_AFTER_S_MAX


# Every status with every form


def _answered(
    status: int, floor_s: float | None = None, *, rows: int = 8, attempts: int = 3, dice: float = 1.0
) -> tuple[RetryState, Action]:
    return step(RetryState(attempts), Answered(status, rows, "", "why", floor_s), NOW_MS, dice)


def _wait_s(action: Action) -> float:
    assert isinstance(action, Wait), action
    return (action.until_ms - NOW_MS) / 1000


# What each verdict comes to with a die of 1 after three failures: seconds to wait, attempts afterwards, and the reason.
OUTCOMES: dict[Verdict, tuple[float, int, Stop]] = {
    Verdict.READ: (8, 4, Stop.OFFLINE),
    Verdict.RETRY: (8, 4, Stop.WAIT),
    Verdict.LOGIN: (PAUSE_S, 3, Stop.LOGIN),
    Verdict.PAUSE: (PAUSE_S, 3, Stop.PAUSED),
    Verdict.HALVE: (0, 3, Stop.WAIT),
    Verdict.BISECT: (0, 3, Stop.WAIT),
}


@pytest.mark.parametrize(("text", "floor_s"), FORMS)
def test_the_whole_table_of_statuses_and_forms(text: str | None, floor_s: float | None):
    asked_s = retry_after_s({} if text is None else {"retry-after": text}, NOW)
    assert asked_s == floor_s
    for status in range(100, 600):
        wait_s, attempts, stop = OUTCOMES[classify(status)] if status != 429 else (CAP_S, 3, Stop.WAIT)
        if floor_s is not None:
            spread_s = max(8, min(CAP_S, floor_s))
            own_s = wait_s if stop in (Stop.LOGIN, Stop.PAUSED) else 0
            wait_s, attempts = max(own_s, min(DAY_S, floor_s + spread_s)), 3
        state, action = _answered(status, asked_s)
        if wait_s:
            assert isinstance(action, Wait), status
            assert (action.stop, action.detail) == (stop, "why"), status
            assert _wait_s(action) == wait_s, status
        else:
            assert action == Send(4), status
        assert state.attempts == attempts, status
        assert state.floor_ms == (NOW_MS + floor_s * 1000 if floor_s else 0), status


@given(st.integers(0, 10_000), st.floats(0, 1), st.sampled_from([408, 500, 503]))
def test_full_jitter_lies_between_nothing_and_the_ceiling(attempts: int, dice: float, status: int):
    state, action = _answered(status, attempts=attempts, dice=dice)
    assert WAIT_S_MIN <= _wait_s(action) <= min(CAP_S, BASE_S * 2 ** min(attempts, 30)) + 0.001
    assert (state.attempts, state.floor_ms) == (attempts + 1, 0)


def test_the_ceiling_doubles_up_to_the_cap():
    waits, state = [], RetryState()
    for _ in range(14):
        state, action = step(state, NoAnswer("timeout"), NOW_MS, 1.0)
        assert isinstance(action, Wait)
        assert (action.stop, action.detail) == (Stop.OFFLINE, "timeout")
        waits.append(_wait_s(action))
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900, 900]


@given(st.integers(0, 50), st.floats(0, 1), st.floats(0.001, RETRY_AFTER_S_MAX), st.sampled_from([403, 413, 429, 503]))
def test_what_the_server_asks_for_is_a_floor(attempts: int, dice: float, floor_s: float, status: int):
    state, action = _answered(status, floor_s, attempts=attempts, dice=dice)
    floor_ms = NOW_MS + round(floor_s * 1000)
    assert state.floor_ms == floor_ms
    if floor_ms > NOW_MS:
        assert NOW_MS + _wait_s(action) * 1000 >= floor_ms
        for trigger in Trigger:
            _, early = step(state, Asked(trigger), floor_ms - 1, dice)
            assert isinstance(early, Wait), trigger
    _, late = step(state, Asked(Trigger.PERSON), floor_ms, dice)
    assert isinstance(late, Send)


@given(st.floats(0, 1))
def test_a_429_that_names_no_time_waits_a_minute_at_least_and_counts_nothing(dice: float):
    state, action = _answered(429, dice=dice)
    assert RATE_LIMITED_S_MIN <= _wait_s(action) <= CAP_S
    assert state.attempts == 3


@pytest.mark.parametrize(("status", "stop"), [(401, Stop.LOGIN), (403, Stop.PAUSED), (410, Stop.PAUSED)])
def test_a_pause_ends_after_six_hours_and_keeps_its_reason(status: int, stop: Stop):
    state, action = _answered(status, attempts=3)
    assert action == Wait(NOW_MS + round(PAUSE_S * 1000), stop, "why")
    assert (state.attempts, state.stop, state.detail) == (3, stop, "why")
    assert step(state, Asked(Trigger.TIMER), action.until_ms, 0.5)[1] == Send(BATCH_LINES_MAX)


# What is kept

_MS = st.integers(0, NOW_MS)
_STATES = st.builds(
    RetryState,
    attempts=st.integers(0, 99),
    not_before_ms=_MS,
    floor_ms=_MS,
    planned_ms=_MS,
    stop=st.sampled_from(Stop),
    detail=st.text(max_size=9),
    offline_until_ms=_MS,
    rows_cap=st.integers(1, BATCH_LINES_MAX),
    rows_cap_until_ms=_MS,
    suspects=st.integers(0, BATCH_LINES_MAX),
    aside=st.integers(0, 3),
)


@given(_STATES)
def test_the_state_survives_the_disk(state: RetryState):
    assert state_from_json(state.to_json(), NOW_MS) == state


def test_without_a_state_there_is_no_wait():
    assert state_from_json(None, NOW_MS) == state_from_json("", NOW_MS) == RetryState()


@given(st.integers(0, 4 * 10**12), st.integers(0, 4 * 10**12), st.integers(0, 4 * 10**12))
def test_after_a_jump_of_the_clock_no_wait_is_longer_than_a_day(now_ms: int, until_ms: int, planned_ms: int):
    kept = RetryState(5, until_ms, until_ms, planned_ms, offline_until_ms=until_ms, rows_cap=7).to_json()
    state = state_from_json(kept, now_ms)
    latest_ms = now_ms + round(DAY_S * 1000)
    assert max(state.not_before_ms, state.floor_ms, state.offline_until_ms, next_try_ms(state, now_ms)) <= latest_ms
    assert state.planned_ms <= now_ms


@given(st.integers(1, NOW_MS))
def test_a_clock_set_back_makes_no_wait_longer_than_it_was_planned(back_ms: int):
    state, action = _answered(503, attempts=6)
    planned_s = _wait_s(action)
    later_ms = NOW_MS - back_ms
    assert next_try_ms(state, later_ms) - later_ms == planned_s * 1000
    kept = state_from_json(state.to_json(), later_ms)
    assert next_try_ms(kept, later_ms) - later_ms == planned_s * 1000


def test_a_state_of_the_version_before_is_read():
    later_ms = NOW_MS + 5000
    kept = {"attempts": 4, "not_before_ms": later_ms, "floor_ms": later_ms, "paused": "consent ended"}
    state = state_from_json(json.dumps(kept), NOW_MS)
    assert state == RetryState(4, later_ms, later_ms, stop=Stop.PAUSED, detail="consent ended")
    assert state_from_json(json.dumps(kept | {"paused": ""}), NOW_MS) == RetryState(4, later_ms, later_ms)


def test_what_a_later_version_added_is_ignored_and_the_rest_is_kept():
    kept = json.loads(RetryState(4, NOW_MS + 5000, aside=2).to_json()) | {"colour": "red", "stop": "moonlight"}
    state = state_from_json(json.dumps(kept), NOW_MS)
    assert state == RetryState(4, NOW_MS + 5000, stop=Stop.WAIT, aside=2)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "5",
        "null",
        '"text"',
        "[" * 100_000,
        '{"attempts":"many","not_before_ms":null,"floor_ms":1.5,"detail":7,"suspects":true,"aside":-1,"rows_cap":0}',
        '{"rows_cap":1e999,"suspects":[],"offline_until_ms":{},"planned_ms":false}',
    ],
)
def test_a_state_that_cannot_be_read_means_no_wait(text: str):
    assert state_from_json(text, NOW_MS) == RetryState()


def test_numbers_and_texts_without_end_are_bounded():
    kept = {"attempts": 10**300, "rows_cap": 10**300, "suspects": 10**300, "aside": 10**300, "detail": "x" * 10**6}
    state, action = step(state_from_json(json.dumps(kept), NOW_MS), Answered(500, 10**9, detail="y" * 10**6), NOW_MS, 1)
    assert _wait_s(action) == CAP_S
    assert (state.rows_cap, state.suspects, len(state.detail)) == (BATCH_LINES_MAX, BATCH_LINES_MAX, DETAIL_CHARS_MAX)


# The page


def _statuses(cell: str) -> list[int]:
    found: list[int] = []
    for first, last in re.findall(r"(\d{3})(?: to (\d{3}))?", cell.replace("5xx", "500 to 599")):
        found += range(int(first), int(last or first) + 1)
    return found


def test_the_page_says_of_every_status_what_the_machine_does():
    rows = re.findall(r"^\| ([\dx, to]+) \| `(\w+)` \| ([^|]+) \| `(\w+)` \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    told = [(status, verdict, stop) for cell, verdict, _, stop in rows for status in _statuses(cell)]
    assert sorted(status for status, _, _ in told) == list(range(100, 600)), "each once"
    for status, verdict, stop in told:
        assert classify(status) == verdict, status
        assert _answered(status)[0].stop == stop, status
    assert {verdict for _, verdict, _ in told} == set(Verdict)


def test_a_record_that_is_refused_alone_and_again_is_set_aside():
    state, action = _answered(400, rows=1)
    assert (_wait_s(action), state.attempts) == (8, 3)
    state, action = step(state, Answered(400, 1, detail="no"), NOW_MS + 8000, 1.0)
    assert action == SetAside("no")
