"""What a support case needs to know of a phone's queue, and nothing that says who or where: a redacted bundle.

Everything goes through a white list of keys with a pattern for each value. What the list does not know, or what does
not look as it should, becomes "redacted": a fault elsewhere cannot put a place or a name into a bundle.
"""

from __future__ import annotations

import platform
import re
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

from greentrip.health import SyncNote
from greentrip.redaction import REDACTED, Rule, whitelisted
from greentrip.remote import Remote
from greentrip.report import Stop, Trigger
from greentrip.retry import RetryState, state_from_json
from greentrip.states import State
from greentrip.store import OPTED_OUT, Store

BUNDLE_VERSION = "greentrip-diagnosis-1"
HOUR_MS = 3_600_000

TALLIES = ("cancelled", "damaged", "erased", "erased_local", "killed", "local", "recorded", "refused")
"""The counters that the store keeps."""
PROBLEM_KINDS = (
    "about:blank", "clock", "code_expired", "code_wrong", "consent", "device_ended", "internal", "invalid",
    "malformed", "media_type", "method_not_allowed", "not_found", "signature", "timeout", "too_large", "too_many",
    "unavailable", "unknown_device", "upgrade",
)  # fmt: skip
"""The kinds of problem that version 1 of the protocol knows. The word of any other is the server's own."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How the app opened greentrip, as far as it matters for sending."""

    background: bool
    send_delay_s: float


def diagnose(
    store: Store, remote: Remote, exits: Mapping[State, int], settings: Settings, now_ms: int
) -> dict[str, object]:
    """The redacted bundle of a phone, for JSON. `exits` counts how records left the queue. Raises `StorageError`."""
    health = store.health()
    keys = remote.keys.stored()
    told = {
        "bundle": BUNDLE_VERSION,
        "versions": {**_versions(), "schema": health.schema},
        "store": {
            "file_bytes": health.file_bytes,
            "wal_bytes": health.wal_bytes,
            "integrity": health.integrity,
            "corrupt_files": health.corrupt_files,
            "kills": health.kills,
        },
        "queue": {
            "states": health.states,
            "exits": exits,
            "tallies": health.tallies,
            "pending_age_h": _ages_h(health.pending_since_ms, now_ms),
        },
        "syncs": [_told_of(note) for note in store.sync_log()],
        "retry": _retry(state_from_json(store.get("retry"), now_ms), now_ms),
        "clock_offset_s": remote.clock_offset_s,
        "keys": {"seq": keys.seq if keys else None, "age_h": _hours(remote.keys.age_s(remote.server_now()))},
        "phone": {"enrolled": store.get("account") is not None, "opted_out": store.get(OPTED_OUT) is not None},
        "settings": {"background": settings.background, "send_delay_s": round(settings.send_delay_s)},
    }
    return cast("dict[str, object]", whitelisted(told, _ALLOWED))


def _versions() -> dict[str, object]:
    from greentrip import __version__  # the package imports this module

    return {
        "greentrip": __version__,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "system": platform.system(),
    }


def _told_of(note: SyncNote) -> dict[str, object]:
    return {
        "hour": _hour(note.at_hour_ms),
        "trigger": note.trigger,
        "stop": note.stop,
        "requests": note.requests,
        "left": note.left,
        "settled": note.settled,
        "problem": note.problem,
    }


def _retry(state: RetryState, now_ms: int) -> dict[str, object]:
    """How sending stands; the server's sentence (`detail`) is left out."""
    return {
        "stop": state.stop,
        "attempts": state.attempts,
        "wait_s": _until_s(state.not_before_ms, now_ms),
        "silence_s": _until_s(state.floor_ms, now_ms),
        "offline_s": _until_s(state.offline_until_ms, now_ms),
        "rows_cap": state.rows_cap,
        "suspects": state.suspects,
        "aside": state.aside,
    }


def _until_s(then_ms: int, now_ms: int) -> int:
    return max(0, (then_ms - now_ms) // 1000)


def _hour(at_ms: int) -> str:
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%HZ")
    except (OverflowError, TypeError, ValueError, OSError):
        return REDACTED  # no clock shows that


def _hours(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds / 3600)


def _ages_h(since_ms: tuple[int, int] | None, now_ms: int) -> dict[str, int] | None:
    """How long the oldest and the newest record have waited, in hours."""
    if since_ms is None:
        return None
    oldest, newest = (max(0, (now_ms - at_ms) // HOUR_MS) for at_ms in since_ms)
    return {"oldest": oldest, "newest": newest}


def _one_of(words: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, words)))


# No number is as long as a phone number, and no text is free.
_COUNT = re.compile(r"\d{1,8}")
_BYTES = re.compile(r"\d{1,10}")
_SECONDS = re.compile(r"-?\d{1,9}")
_HOURS = re.compile(r"-?\d{1,6}")
_FLAG = re.compile(r"True|False")
_VERSION = re.compile(r"\d{1,4}(\.\d{1,4}){1,3}((a|b|rc|\.dev|\.post)\d{1,4})?\+?")
_STATES: Rule = dict.fromkeys(State, _COUNT)
_ALLOWED: Rule = {
    "bundle": _one_of([BUNDLE_VERSION]),
    "versions": {
        "greentrip": _VERSION,
        "python": _VERSION,
        "sqlite": _VERSION,
        "system": _one_of(["Android", "Darwin", "FreeBSD", "Linux", "Windows", "iOS", "iPadOS"]),
        "schema": _COUNT,
    },
    "store": {
        "file_bytes": _BYTES,
        "wal_bytes": _BYTES,
        "integrity": _one_of(["ok", "StorageCorrupt", "StorageError", "StorageFull", "StorageNewer"]),
        "corrupt_files": _COUNT,
        "kills": _COUNT,
    },
    "queue": {
        "states": _STATES,
        "exits": dict.fromkeys((*State, *TALLIES), _COUNT),
        "tallies": dict.fromkeys(TALLIES, _COUNT),
        "pending_age_h": {"oldest": _HOURS, "newest": _HOURS},
    },
    "syncs": [
        {
            "hour": re.compile(r"\d{4}-\d\d-\d\dT\d\dZ"),
            "trigger": _one_of(Trigger),
            "stop": _one_of(Stop),
            "requests": _COUNT,
            "left": _COUNT,
            "settled": _STATES,
            "problem": _one_of(["", *PROBLEM_KINDS]),
        }
    ],
    "retry": {
        "stop": _one_of(Stop),
        "attempts": _COUNT,
        "wait_s": _SECONDS,
        "silence_s": _SECONDS,
        "offline_s": _SECONDS,
        "rows_cap": _COUNT,
        "suspects": _COUNT,
        "aside": _COUNT,
    },
    "clock_offset_s": _SECONDS,
    "keys": {"seq": _COUNT, "age_h": _HOURS},
    "phone": {"enrolled": _FLAG, "opted_out": _FLAG},
    "settings": {"background": _FLAG, "send_delay_s": _SECONDS},
}
