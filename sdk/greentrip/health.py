"""What the store says of itself, for a support case: counts, sizes and words of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from greentrip.report import Stop, Trigger
from greentrip.states import State

SYNC_NOTES_MAX = 20
"""So many of the last syncs are remembered."""


@dataclass(frozen=True, slots=True)
class StoreHealth:
    """What the store says of itself: sizes in bytes, counts, and times in Unix milliseconds."""

    schema: int
    """The version of the file (`PRAGMA user_version`)."""
    file_bytes: int
    wal_bytes: int
    integrity: str
    """`ok`, or what `PRAGMA quick_check` or an error said instead."""
    kills: int
    """How often a process that used the file ended without closing it."""
    tallies: Mapping[str, int]
    """Counters that outlive their rows, by reason."""
    states: Mapping[State, int]
    pending_since_ms: tuple[int, int] | None = None
    """When the oldest and the newest of the records that still wait were recorded; None when none waits."""
    corrupt_files: int = 0
    """Files that were moved aside as corrupt and still lie in the folder."""


@dataclass(frozen=True, slots=True)
class SyncNote:
    """One sync that ended, as the store remembers it."""

    at_hour_ms: int
    """The full hour, Unix milliseconds by the phone's clock."""
    trigger: Trigger
    stop: Stop
    requests: int
    left: int
    settled: Mapping[State, int] = field(default_factory=dict)
    problem: str = ""
    """The kind of the last problem document, such as `unavailable`; never the server's sentences."""
