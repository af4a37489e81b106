"""The trip in progress: its steps and fixes, on disk as they come."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from greentrip.errors import InvalidInput, NoTrip, OptedOut, StorageError, TripRunning
from greentrip.recorder import START, Event
from greentrip.store.facts import OPTED_OUT, count, fact
from greentrip.store.file import StoreFile
from greentrip.store.rows import Mark
from greentrip.trip import Fix, Point

FIXES_A_TRIP_MAX = 200_000
"""Two days at one fix a second."""

MARK = (
    "SELECT (SELECT count(*) FROM event), (SELECT count(*) FROM fix),"
    " (SELECT at || body FROM event ORDER BY seq LIMIT 1)"
)


class Journal(StoreFile):
    """Fixes are written without waiting for the disk: they survive the death of the process, which is what kills
    recordings, and cost no fsync a second."""

    def append_event(self, event: Event) -> None:
        """Put a step of the trip in progress on disk. Raises `TripRunning` for a second start, `NoTrip` without one.

        Asked here, under the write lock: another process may have started or finished a trip meanwhile.
        """
        with self._write() as db:
            running = db.execute("SELECT count(*) FROM event").fetchone()[0] > 0
            if running and event.kind == START:
                raise TripRunning
            if not running and event.kind != START:
                raise NoTrip
            if fact(db, OPTED_OUT) is not None:
                raise OptedOut
            step = (event.kind, event.at, event.monotonic, event.boot, json.dumps(dict(event.body)))
            db.execute(
                "INSERT INTO event (kind, at, monotonic, boot, body, crc) VALUES (?, ?, ?, ?, ?, ?)",
                (*step, _crc(step)),
            )

    def mark(self) -> Mark:
        """How far the trip in progress has come; `commit_trip` refuses one that went on since."""
        ((events, fixes, first),) = self._read(MARK)
        return Mark(events, fixes, first)

    def events(self) -> list[Event]:
        """The steps of the trip in progress, in order; empty when there is none.

        Raises `StorageError` where one cannot be read: the others say nothing without it.
        """
        found = []
        for *step, crc in self._read("SELECT kind, at, monotonic, boot, body, crc FROM event ORDER BY seq"):
            if crc not in (None, _crc(step)):  # None: of an older version
                raise StorageError(
                    "the trip in progress is damaged on this phone: cancel() it; finished trips are kept",
                    "进行中的出行数据已损坏：请取消该出行；已完成的出行均已保留",
                )
            kind, at, monotonic, boot, body = step
            found.append(Event(kind, at, monotonic, boot, json.loads(body)))
        return found

    def append_fix(self, fix: Fix) -> None:
        """Put a fix of the trip in progress on disk (survives SIGKILL; a power cut may take the last seconds)."""
        row = (fix.at, fix.point.lat, fix.point.lon, fix.accuracy_m, fix.mock)
        with self._write_quickly() as db:
            (newest,) = db.execute("SELECT coalesce(max(seq), 0) FROM fix").fetchone()
            if newest >= FIXES_A_TRIP_MAX:
                raise InvalidInput("fix", f"more than {FIXES_A_TRIP_MAX} fixes: finish()", "轨迹点过多：请结束出行")
            # In one statement: another process may have finished the trip, or the person may have opted out.
            added = db.execute(
                "INSERT INTO fix (at, lat, lon, accuracy_m, mock) SELECT ?, ?, ?, ?, ?"
                f" WHERE EXISTS (SELECT 1 FROM event) AND NOT EXISTS (SELECT 1 FROM meta WHERE name = '{OPTED_OUT}')",
                row,
            ).rowcount
            if not added:
                raise NoTrip if fact(db, OPTED_OUT) is None else OptedOut

    def fixes(self, since: float = 0.0) -> list[Fix]:
        """The fixes of the trip in progress, as they came; with `since` (Unix seconds) only those made from then on."""
        rows = self._read("SELECT at, lat, lon, accuracy_m, mock FROM fix WHERE at >= ? ORDER BY seq", (since,))
        return _fixes(rows)

    def fixes_after(self, seen: int) -> tuple[list[Fix], int]:
        """The fixes of the trip in progress with a higher number than `seen`, as they came, and the highest number."""
        rows = self._read("SELECT seq, at, lat, lon, accuracy_m, mock FROM fix WHERE seq > ? ORDER BY seq", (seen,))
        return _fixes([row[1:] for row in rows]), rows[-1][0] if rows else seen

    def last_fix(self) -> Fix | None:
        """The newest fix, without reading them all."""
        rows = self._read("SELECT at, lat, lon, accuracy_m, mock FROM fix ORDER BY seq DESC LIMIT 1")
        return next(iter(_fixes(rows)), None)

    def fix_count(self) -> int:
        """How many fixes the trip in progress has."""
        return int(self._read("SELECT count(*) FROM fix")[0][0])

    def discard_trip(self) -> None:
        """Forget the trip in progress."""
        with self._write() as db:
            clear_trip(db)
            count(db, "cancelled")


def clear_trip(db: sqlite3.Connection) -> None:
    """Empty the tables of the trip in progress."""
    db.execute("DELETE FROM event")
    db.execute("DELETE FROM fix")


def _crc(step: Sequence[object]) -> int:
    """A checksum of a step: one that was damaged on the disk would make another trip of it."""
    return zlib.crc32(repr(tuple(step)).encode(errors="replace"))


def _fixes(rows: Sequence[tuple[Any, ...]]) -> list[Fix]:
    """Rows as fixes; one that is damaged is left out, as a receiver's nonsense is."""
    found = []
    for at, lat, lon, accuracy_m, mock in rows:
        if isinstance(at, float) and isinstance(accuracy_m, float | int | None):
            with suppress(InvalidInput, TypeError):
                found.append(Fix(Point(lat, lon), at, accuracy_m, bool(mock)))
    return found
