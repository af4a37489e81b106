"""When to try again: pure functions of an answer, a stored state, the time and a die. No I/O, no clock of their own."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum

BASE_S = 1.0
CAP_S = 15 * 60.0
WAIT_S_MIN = 0.05
"""Dice may show 0 again and again; even then nobody is asked without a pause."""
RETRY_AFTER_S_MAX = 24 * 3600.0
PAUSE_S = 6 * 3600.0
DOUBLINGS_MAX = 20


class Verdict(StrEnum):
    """What an HTTP status means for the batch. Nothing here ever deletes a record."""

    SETTLE = "settle"
    """Read the results one by one."""
    RETRY = "retry"
    """Passing trouble: back off and send the same bytes again."""
    LOGIN = "login"
    """The server does not know this device's signature: pause until the person enrols again."""
    PAUSE = "pause"
    """The server says no to the whole call: say so, and try again every 6 hours."""


@dataclass(frozen=True, slots=True)
class RetryState:
    """What is kept on disk between attempts; times are Unix milliseconds by the phone's clock."""

    attempts: int = 0
    not_before_ms: int = 0
    floor_ms: int = 0
    """The server asked for silence until then; a person's tap does not override it."""
    paused: str = ""

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def state_from_json(text: str | None, now_ms: int) -> RetryState:
    """The stored state, with absurd times (after a clock jump) clamped to the longest wait there is."""
    if not text:
        return RetryState()
    latest_ms = now_ms + round(RETRY_AFTER_S_MAX * 1000)
    try:
        kept = RetryState(**json.loads(text))
        return replace(kept, not_before_ms=min(kept.not_before_ms, latest_ms), floor_ms=min(kept.floor_ms, latest_ms))
    except (TypeError, ValueError):
        # Written by another version: a wait that cannot be read is over.
        return RetryState()


def classify(status: int) -> Verdict:
    """What to do after an answer with this status. A redirect is never followed: it is somebody else's page."""
    if 200 <= status < 300 and status != 204:
        return Verdict.SETTLE
    if status == 401:
        return Verdict.LOGIN
    if status < 400 or status >= 500 or status in (408, 425, 429):
        return Verdict.RETRY
    return Verdict.PAUSE


def after_failure(
    state: RetryState, verdict: Verdict, why: str, now_ms: int, dice: float, floor_s: float | None
) -> RetryState:
    """The state after an attempt that settled nothing. `dice` lies in 0..1 (full jitter)."""
    if verdict in (Verdict.PAUSE, Verdict.LOGIN):
        return RetryState(state.attempts, now_ms + round(PAUSE_S * 1000), 0, why)
    ceiling_s = min(CAP_S, BASE_S * 2 ** min(state.attempts, DOUBLINGS_MAX))
    wait_s = max(WAIT_S_MIN, dice * ceiling_s, floor_s or 0.0)
    floor_ms = now_ms + round(floor_s * 1000) if floor_s else 0
    return RetryState(state.attempts + 1, now_ms + round(wait_s * 1000), floor_ms, "")


def retry_after_s(headers: Mapping[str, str], now: float) -> float | None:
    """The seconds that `Retry-After` asks for (a number or an HTTP date), clamped to 24 h; None if absent or absurd."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            at = parsedate_to_datetime(text)
        except (TypeError, ValueError):
            return None
        seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now
    if not math.isfinite(seconds) or seconds <= 0:
        return None
    return min(seconds, RETRY_AFTER_S_MAX)
