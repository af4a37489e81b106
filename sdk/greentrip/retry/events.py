"""What the retry machine is told, and what it says."""

from __future__ import annotations

from dataclasses import dataclass

from greentrip.report import Stop, Trigger

# What happens


@dataclass(frozen=True, slots=True)
class Asked:
    """May we send now? A pass asks once with its trigger, and with `TIMER` whenever a wait of its own is over."""

    trigger: Trigger


@dataclass(frozen=True, slots=True)
class Answered:
    """An HTTP answer from which no result was read: another status than 2xx, a 204, or a body that is none."""

    status: int
    rows: int
    """How many records the batch had."""
    kind: str = ""
    """Of the problem, such as `clock`."""
    detail: str = ""
    """The server's words."""
    retry_after_s: float | None = None
    """See `retry_after_s()`."""


@dataclass(frozen=True, slots=True)
class Read:
    """A verified answer whose results were read: of `rows` records sent, `settled` have a result that the phone keeps.

    The others wait behind the rest of the queue, or for a day of their own: they must not stand at its head.
    """

    rows: int
    settled: int


@dataclass(frozen=True, slots=True)
class Served:
    """Another call than that with records was answered as it should be. It says nothing about batches."""


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Nobody answered in time, or not in full."""

    detail: str = ""


@dataclass(frozen=True, slots=True)
class Untrusted:
    """An answer that is not signed as the pinned server signs."""

    detail: str = ""


@dataclass(frozen=True, slots=True)
class Network:
    """The app says whether there is a network."""

    online: bool


@dataclass(frozen=True, slots=True)
class Enrolled:
    """The person has enrolled this phone (again)."""


Event = Asked | Answered | Read | Served | NoAnswer | Untrusted | Network | Enrolled


# What to do


@dataclass(frozen=True, slots=True)
class Send:
    """Send a batch of the oldest records that are due, at most `rows_max` (1..`BATCH_LINES_MAX`)."""

    rows_max: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Send nothing before `until_ms`, because of `stop`; `detail` holds the server's words if there are any."""

    until_ms: int
    stop: Stop
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SetAside:
    """The batch was one record, and it is what the server refuses: set it aside with `detail`, then ask again."""

    detail: str = ""


Action = Send | Wait | SetAside
