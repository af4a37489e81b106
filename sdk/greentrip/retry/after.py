"""What a server's `Retry-After` asks for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

RETRY_AFTER_S_MAX = 24 * 3600.0
"""No server can silence a phone for longer than this at a time."""


def retry_after_s(headers: Mapping[str, str], now: float) -> float | None:
    """The seconds that `Retry-After` asks for, clamped to 24 h; None if it is absent or absurd.

    A number, or an HTTP date, which is read against the server's own `Date` if there is one: the phone's clock, `now`
    in Unix seconds, may be wrong. Of several numbers the largest holds. `headers` has lower-case names.
    """
    text = headers.get("retry-after", "").strip()
    numbers = [_number(part) for part in text.split(",")]
    known = [number for number in numbers if number is not None]
    if len(known) == len(numbers):
        return max((floor_s(number) or 0.0 for number in known), default=0.0) or None
    until = _http_date(text)
    if until is None:
        return None
    sent = _http_date(headers.get("date", ""))
    return floor_s(until - (now if sent is None else sent))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _http_date(text: str) -> float | None:
    """Unix seconds. A date without a zone is UTC."""
    try:
        at = parsedate_to_datetime(text.strip())
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError, IndexError):
        return None


def floor_s(seconds: float | None) -> float | None:
    """A floor that a wait can have; None for what is none."""
    if seconds is None or not math.isfinite(seconds) or seconds <= 0:
        return None
    return min(seconds, RETRY_AFTER_S_MAX)
