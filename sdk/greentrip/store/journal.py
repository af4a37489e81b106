"""The trip in progress: its steps and fixes, on disk as they come."""

from __future__ import annotations

import json
import sqlite3

from greentrip.errors import InvalidInput, NoTrip, OptedOut, TripRunning
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
            if event.kind == START and fact(db, OPTED_OUT):
                raise OptedOut
            db.execute(
                "INSERT INTO event (kind, at, monotonic, boot, body) VALUES (?, ?, ?, ?, ?)",
                (event.kind, event.at, event.monotonic, event.boot, json.dumps(dict(event.body))),
            )

    def mark(self) -> Mark:
        """How far the trip in progress has come; `commit_trip` refuses one that went on since."""
        ((events, fixes, first),) = self._read(MARK)
        return Mark(events, fixes, first)

    def events(self) -> list[Event]:
        """The steps of the trip in progress, in order; empty when there is none."""
        rows = self._read("SELECT kind, at, monotonic, boot, body FROM event ORDER BY seq")
        return [Event(kind, at, monotonic, boot, json.loads(body)) for kind, at, monotonic, boot, body in rows]

    def append_fix(self, fix: Fix) -> None:
        """Put a fix of the trip in progress on disk (survives SIGKILL; a power cut may take the last seconds)."""
        row = (fix.at, fix.point.lat, fix.point.lon, fix.accuracy_m, fix.mock)
        with self._write_quickly() as db:
            (newest,) = db.execute("SELECT coalesce(max(seq), 0) FROM fix").fetchone()
            if newest >= FIXES_A_TRIP_MAX:
                raise InvalidInput("fix", f"more than {FIXES_A_TRIP_MAX} fixes: finish()", "轨迹点过多：请结束出行")
            added = db.execute(
                "INSERT INTO fix (at, lat, lon, accuracy_m, mock)"
                " SELECT ?, ?, ?, ?, ? WHERE EXISTS (SELECT 1 FROM event)",
                row,
            ).rowcount
            if not added:
                raise NoTrip  # another process finished it

    def fixes(self, since: float = 0.0) -> list[Fix]:
        """The fixes of the trip in progress, as they came; with `since` (Unix seconds) only those made from then on."""
        rows = self._read("SELECT at, lat, lon, accuracy_m, mock FROM fix WHERE at >= ? ORDER BY seq", (since,))
        return [_fix(*row) for row in rows]

    def fixes_after(self, seen: int) -> tuple[list[Fix], int]:
        """The fixes of the trip in progress with a higher number than `seen`, as they came, and the highest number."""
        rows = self._read("SELECT seq, at, lat, lon, accuracy_m, mock FROM fix WHERE seq > ? ORDER BY seq", (seen,))
        return [_fix(*row[1:]) for row in rows], rows[-1][0] if rows else seen

    def last_fix(self) -> Fix | None:
        """The newest fix, without reading them all."""
        rows = self._read("SELECT at, lat, lon, accuracy_m, mock FROM fix ORDER BY seq DESC LIMIT 1")
        return next((_fix(*row) for row in rows), None)

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


def _fix(at: float, lat: float, lon: float, accuracy_m: float | None, mock: int) -> Fix:
    return Fix(Point(lat, lon), at, accuracy_m, bool(mock))
