"""Finished trips: what the person sees, the evidence behind it, and what was said about it."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, cast

from greentrip.errors import InvalidInput, NoQuestion, OptedOut, QueueFull, StorageError
from greentrip.record import Evidence
from greentrip.states import State
from greentrip.store.facts import OPTED_OUT, Facts, count, fact
from greentrip.store.journal import MARK, Journal, clear_trip
from greentrip.store.rows import Mark, NewTrip, TripRow
from greentrip.wire import sha256_hex

QUEUE_ROWS_MAX = 20_000
"""Records that wait to be sent, years of commuting; when full, QueueFull is raised and nothing is evicted."""
FILE_BYTES_MAX = 512 * 1024 * 1024
"""What the store may take of the phone's disk."""

UNSENT = (State.ASKED, State.PENDING, State.LEASED, State.SET_ASIDE)
"""States of records that the server has not settled: they count against the cap."""

_TRIPS = (
    "SELECT trip.id, summary, coalesce(state, 'local'), line, result_line, why FROM trip"
    " LEFT JOIN queue ON queue.id = trip.id"
)


class Trips(Journal, Facts):
    """Finished trips, newest first."""

    def commit_trip(self, trip: NewTrip, mark: Mark | None = None) -> TripRow | None:
        """End the trip in progress: trip, record, hash and queue entry in one transaction, on disk before returning.

        With a `mark`: None, and nothing is done, when the trip went on or was finished since; look at it again. Raises
        `OptedOut`, `QueueFull`.
        """
        with self._write() as db:
            if mark is not None and Mark(*db.execute(MARK).fetchone()) != mark:
                return None
            if fact(db, OPTED_OUT) is not None:
                raise OptedOut
            _insert_trip(db, trip)
            clear_trip(db)
            # Read here: once it is committed, nothing may fail any more.
            return _trip_row(db.execute(f"{_TRIPS} WHERE trip.id = ?", (trip.id,)).fetchone())

    def knows(self, likenesses: Sequence[str]) -> bool:
        """Whether a finished trip has a track with one of these fingerprints."""
        query = "SELECT count(*) FROM likeness WHERE fingerprint = ?"
        return any(self._read(query, (likeness,))[0][0] for likeness in likenesses)

    def confirm(self, trip_id: str) -> None:
        """It was as recorded: the record may be sent. Raises `NoQuestion`."""
        with self._write() as db:
            _close_question(db, trip_id, State.PENDING)

    def withdraw(self, trip_id: str, answer: str, corrected: NewTrip | None) -> None:
        """It was not: the record is never sent, and the corrected trip takes its place. Raises `NoQuestion`."""
        with self._write() as db:
            _close_question(db, trip_id, State.WITHDRAWN)
            (summary,) = db.execute("SELECT summary FROM trip WHERE id = ?", (trip_id,)).fetchone()
            told = {**json.loads(summary), "answer": answer, "corrected_by": corrected.id if corrected else None}
            db.execute("UPDATE trip SET summary = ? WHERE id = ?", (json.dumps(told), trip_id))
            if corrected is not None:
                _insert_trip(db, corrected)
                db.execute("UPDATE likeness SET trip = ? WHERE trip = ?", (corrected.id, trip_id))

    def trips(self) -> list[TripRow]:
        """Every finished trip that can be read, newest first: one damaged row costs its neighbours nothing."""
        found = []
        for row in self._read(f"{_TRIPS} ORDER BY recorded_ms DESC, trip.id"):
            with suppress(TypeError, ValueError):
                found.append(_trip_row(row))
        return found

    def trip(self, trip_id: str) -> TripRow:
        """One finished trip. Raises `InvalidInput` where there is none of that id that can be read."""
        for row in self._read(f"{_TRIPS} WHERE trip.id = ?", (trip_id,)):
            with suppress(TypeError, ValueError):
                return _trip_row(row)
        raise no_such_trip(trip_id)

    def evidence(self, trip_id: str) -> Evidence:
        """The levels and salts of a trip, for opening its commitment. Raises `InvalidInput` as `trip` does."""
        for salts, levels in self._read("SELECT salts, levels FROM trip WHERE id = ? AND salts <> x''", (trip_id,)):
            try:
                one, two, three = (zlib.decompress(level) for level in _unpack(levels))
                size = len(salts) // 3
            except (TypeError, ValueError, zlib.error):
                raise StorageError(
                    "what this phone keeps of the trip is damaged: it cannot be corrected any more",
                    "本机保存的出行依据已损坏：无法再更正该出行",
                ) from None
            return Evidence((one, two, three), (salts[:size], salts[size : 2 * size], salts[2 * size :]))
        raise no_such_trip(trip_id)


def no_such_trip(trip_id: str) -> InvalidInput:
    """What is raised where a trip is not here."""
    zh = f"本机没有编号为 {trip_id!r} 的出行：请查看出行记录"
    return InvalidInput("trip", f"no trip here has the id {trip_id!r}: see trips()", zh)


def state_of(text: str) -> State:
    """The state in a row; one that nobody knows is damage."""
    return State(text) if text in tuple(State) else State.DAMAGED


def _trip_row(row: tuple[Any, ...]) -> TripRow:
    trip_id, summary, state, line, result, why = row
    return TripRow(
        id=trip_id,
        summary=_object(summary),
        state=state_of(state),
        record=line or None,
        result=_object_or_none(result),
        why=_object_or_none(why),
    )


def _object_or_none(text: str | bytes | None) -> dict[str, object] | None:
    """What was said of a trip; None as well where it is damaged: the trip itself is to be seen all the same."""
    with suppress(TypeError, ValueError):
        return _object(text) if text else None
    return None


def _object(text: str | bytes) -> dict[str, object]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return cast("dict[str, object]", value)


def _insert_trip(db: sqlite3.Connection, trip: NewTrip) -> None:
    _check_size(db)
    if trip.line is not None:
        _check_rows(db)
    levels = _pack([zlib.compress(level) for level in trip.evidence.levels])
    db.execute(
        "INSERT INTO trip (id, recorded_ms, summary, salts, levels) VALUES (?, ?, ?, ?, ?)",
        (trip.id, trip.recorded_ms, json.dumps(trip.summary), b"".join(trip.evidence.salts), levels),
    )
    if trip.line is not None:
        state = State.PENDING if trip.ask_until_ms is None else State.ASKED
        db.execute(
            "INSERT INTO queue (id, line, sha256, state, ask_again_ms, send_after_ms) VALUES (?, ?, ?, ?, ?, ?)",
            (trip.id, trip.line, sha256_hex(trip.line), state, trip.ask_until_ms, trip.send_after_ms),
        )
        written, kept = db.execute("SELECT line, sha256 FROM queue WHERE id = ?", (trip.id,)).fetchone()
        if sha256_hex(written) != kept or written != trip.line:
            raise StorageError("the record did not read back as written", "记录写入校验失败")
    db.executemany("INSERT OR IGNORE INTO likeness VALUES (?, ?)", [(item, trip.id) for item in trip.likenesses])
    count(db, "recorded" if trip.line is not None else "local")


def _check_rows(db: sqlite3.Connection) -> None:
    marks = ", ".join("?" * len(UNSENT))
    (waiting,) = db.execute(f"SELECT count(*) FROM queue WHERE state IN ({marks})", UNSENT).fetchone()
    if waiting >= QUEUE_ROWS_MAX:
        raise QueueFull(QUEUE_ROWS_MAX)


def _check_size(db: sqlite3.Connection) -> None:
    pages, free, size = (
        db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    if (pages - free) * size > FILE_BYTES_MAX:
        raise QueueFull(FILE_BYTES_MAX, of_bytes=True)


def _close_question(db: sqlite3.Connection, trip_id: str, state: State) -> None:
    """Under the write lock: the question may have lapsed, or been answered elsewhere, meanwhile."""
    changed = db.execute(
        "UPDATE queue SET state = ?, ask_again_ms = NULL WHERE id = ? AND state = 'asked'", (state, trip_id)
    ).rowcount
    if not changed:
        raise NoQuestion


def _pack(parts: Sequence[bytes]) -> bytes:
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _unpack(data: bytes) -> list[bytes]:
    parts = []
    while data:
        size = int.from_bytes(data[:4], "big")
        parts.append(data[4 : 4 + size])
        data = data[4 + size :]
    return parts
