"""What the retry machine keeps on disk, and how it bears other versions and clocks that jump."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import cast

from greentrip.report import Stop
from greentrip.retry.after import RETRY_AFTER_S_MAX
from greentrip.wire import BATCH_LINES_MAX

PAUSE_S = 6 * 3600.0
"""A paused call, and a network that is said to be away, are tried again after this."""
ROWS_CAP_S = 24 * 3600.0
"""How long a batch size that a 413 taught is kept before a larger one is tried."""
ASIDE_MAX = 3
"""So many records are set aside in a row; if the next is refused too, it is the call that is refused."""
DETAIL_CHARS_MAX = 500


@dataclass(frozen=True, slots=True)
class RetryState:
    """What is kept on disk between events. A time of 0 is in the past: nothing to wait for."""

    attempts: int = 0
    """Failures in a row; it sets the ceiling of the back-off and nothing else."""
    not_before_ms: int = 0
    """The next try that the last failure planned."""
    floor_ms: int = 0
    """The server asked for silence until then; a person's tap does not override it."""
    planned_ms: int = 0
    """When the two times above were planned: a clock that shows less has been set back."""
    stop: Stop = Stop.DONE
    """Why the last call settled less than all, for the person."""
    detail: str = ""
    offline_until_ms: int = 0
    """The app said that there is no network; not believed for longer than this."""
    rows_cap: int = BATCH_LINES_MAX
    """The largest batch that the server takes, as far as 413 taught."""
    rows_cap_until_ms: int = 0
    """From then on success doubles `rows_cap`."""
    suspects: int = 0
    """Among so many records at the head of the queue is one that the server refuses; 0 when none is suspected."""
    aside: int = 0
    """Records set aside since the server last took a batch."""

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def state_from_json(text: str | None, now_ms: int) -> RetryState:
    """The stored state. What cannot be read, or is of a later version, counts as not there."""
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        value = None
    kept = cast("dict[str, object]", value) if isinstance(value, dict) else {}
    paused = text_within(kept.get("paused"))  # of the version before: its `stop` and `detail` in one
    state = RetryState(
        attempts=_whole(kept.get("attempts")),
        not_before_ms=_whole(kept.get("not_before_ms")),
        floor_ms=_whole(kept.get("floor_ms")),
        planned_ms=_whole(kept.get("planned_ms")),
        stop=_stop(kept.get("stop", Stop.PAUSED if paused else Stop.DONE)),
        detail=text_within(kept.get("detail", paused)),
        offline_until_ms=_whole(kept.get("offline_until_ms")),
        rows_cap=rows_within(_whole(kept.get("rows_cap")) or BATCH_LINES_MAX),
        rows_cap_until_ms=_whole(kept.get("rows_cap_until_ms")),
        suspects=min(_whole(kept.get("suspects")), BATCH_LINES_MAX),
        aside=min(_whole(kept.get("aside")), ASIDE_MAX),
    )
    return clamped(state, now_ms)


def clamped(state: RetryState, now_ms: int) -> RetryState:
    """The state by a clock that may have jumped: no wait is longer than it was planned, nor than its limit."""
    back_ms = max(0, state.planned_ms - now_ms)
    return replace(
        state,
        not_before_ms=_at_most(state.not_before_ms - back_ms, now_ms, RETRY_AFTER_S_MAX),
        floor_ms=_at_most(state.floor_ms - back_ms, now_ms, RETRY_AFTER_S_MAX),
        planned_ms=_at_most(state.planned_ms, now_ms, 0),
        offline_until_ms=_at_most(state.offline_until_ms, now_ms, PAUSE_S),
        rows_cap_until_ms=_at_most(state.rows_cap_until_ms, now_ms, ROWS_CAP_S),
    )


def after(now_ms: int, wait_s: float) -> int:
    """Unix milliseconds so many seconds from now."""
    return now_ms + round(wait_s * 1000)


def rows_within(rows: int) -> int:
    """A size that a batch can have."""
    return max(1, min(rows, BATCH_LINES_MAX))


def text_within(value: object) -> str:
    """The server's words, not more than are kept; empty for what is no text."""
    return value[:DETAIL_CHARS_MAX] if isinstance(value, str) else ""


def _at_most(time_ms: int, now_ms: int, ahead_s: float) -> int:
    return max(0, min(time_ms, after(now_ms, ahead_s)))


def _whole(value: object) -> int:
    """A stored count or time; 0 for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _stop(value: object) -> Stop:
    try:
        return Stop(cast("str", value))
    except ValueError:
        return Stop.WAIT
