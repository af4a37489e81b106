"""The phone's durable store: one SQLite file for trips, their records and the queue.

What `finish()` promises is made here: one transaction holds the trip, its record's exact bytes, their hash and the
queue entry (WAL, synchronous=FULL). Bytes, id and hash never change afterwards; the hash is checked on write and again
before every send. Fixes are written without waiting for the disk: they survive the death of the process, which is what
kills recordings, and cost no fsync a second.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from greentrip.errors import (
    InvalidInput,
    NoQuestion,
    NoTrip,
    QueueFull,
    StorageError,
    StorageFull,
    StorageNewer,
    TripRunning,
)
from greentrip.migrations import MIGRATIONS
from greentrip.record import Evidence
from greentrip.recorder import START, Event
from greentrip.trip import Fix, Point
from greentrip.wire import sha256_hex

BUSY_TIMEOUT_MS = 5_000
BUSY_PAUSE_S = 0.01
QUEUE_ROWS_MAX = 20_000
"""Years of commuting; when full, QueueFull is raised and nothing is evicted."""
FIXES_A_TRIP_MAX = 200_000
"""Two days at one fix a second."""


class State(StrEnum):
    """Where a record stands. `ASKED`, `PENDING`, `LEASED`, `HELD` and `UNSUPPORTED` are not final."""

    ASKED = "asked"
    """The phone asks how a leg was really travelled; it is sent once that is answered, or the question has lapsed."""
    PENDING = "pending"
    LEASED = "leased"
    ACCEPTED = "accepted"
    HELD = "held"
    REJECTED = "rejected"
    CONFLICT = "conflict"
    UNSUPPORTED = "unsupported"
    ERASED = "erased"
    DAMAGED = "damaged"
    """Its bytes no longer match their hash: set aside, never sent."""
    LOCAL = "local"
    """Recorded and explained, but not sent: outside the programme."""
    WITHDRAWN = "withdrawn"
    """The person corrected it before it was sent, and it never will be."""


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a trip in progress has come: the number of its events and fixes, and its first event."""

    events: int
    fixes: int
    first: str | None


@dataclass(frozen=True, slots=True)
class TripRow:
    """A finished trip: what the person sees (`summary`), and where its record stands."""

    id: str
    summary: dict[str, object]
    state: State
    record: bytes | None
    result: dict[str, object] | None


@dataclass(frozen=True, slots=True)
class QueuedRecord:
    """A leased record: the exact bytes to send."""

    id: str
    line: bytes
    sha256: str


@dataclass(frozen=True, slots=True)
class Settlement:
    """What the server said of one record, and when the phone may ask again (None: final)."""

    sha256: str
    state: State
    result_line: bytes
    ask_again_ms: int | None


@dataclass(frozen=True, slots=True)
class Receipt:
    """A server's signature over an answer, kept with all that is needed to check it offline."""

    jws: str
    device: str
    request_lines: tuple[str, ...]
    answer_lines: tuple[str, ...]
    at: str


@dataclass(frozen=True, slots=True)
class NewTrip:
    """A trip that is about to be kept: what is shown, the evidence, and the record's line (None: not sent).

    With `ask_until_ms` the record waits for an answer until then. `likenesses` are the fingerprints of its tracks.
    """

    id: str
    recorded_ms: int
    summary: Mapping[str, object]
    evidence: Evidence
    line: bytes | None
    ask_until_ms: int | None = None
    likenesses: Sequence[str] = ()


class Store:
    """One file for one server and one account. Thread-safe; other processes may use the same file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        with ExitStack() as opened, _typed_errors():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Places are for the owner only, whatever the folder allows; the WAL inherits it. A file that is there is
            # not opened: to close it would drop the locks of this process's other stores.
            with suppress(FileExistsError):
                path.touch(0o600, exist_ok=False)
            self._durable = opened.enter_context(closing(_connect(path, "FULL")))
            self._quick = opened.enter_context(closing(_connect(path, "NORMAL")))
            self._migrate()
            opened.pop_all()  # they stay open, since nothing went wrong

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._quick.close()
            self._durable.close()

    # The trip in progress

    def append_event(self, event: Event) -> None:
        """Put a step of the trip in progress on disk. Raises `TripRunning` for a second start, `NoTrip` without one.

        Asked here, under the write lock: another process may have started or finished a trip meanwhile.
        """
        with self._write() as db:
            running = _scalar(db, "SELECT count(*) FROM event") > 0
            if running and event.kind == START:
                raise TripRunning
            if not running and event.kind != START:
                raise NoTrip
            _insert_event(db, event)

    def mark(self) -> Mark:
        """How far the trip in progress has come; `commit_trip` refuses one that went on since."""
        ((events, fixes, first),) = self._read(_MARK)
        return Mark(events, fixes, first)

    def events(self) -> list[Event]:
        """The steps of the trip in progress, in order; empty when there is none."""
        rows = self._read("SELECT kind, at, monotonic, boot, body FROM event ORDER BY seq")
        return [Event(kind, at, monotonic, boot, json.loads(body)) for kind, at, monotonic, boot, body in rows]

    def append_fix(self, fix: Fix) -> None:
        """Put a fix of the trip in progress on disk (survives SIGKILL; a power cut may take the last seconds)."""
        row = (fix.at, fix.point.lat, fix.point.lon, fix.accuracy_m, fix.mock)
        with self._lock, _typed_errors():
            (count,) = self._quick.execute("SELECT coalesce(max(seq), 0) FROM fix").fetchone()
            if count >= FIXES_A_TRIP_MAX:
                raise InvalidInput("fix", f"more than {FIXES_A_TRIP_MAX} fixes: finish()", "轨迹点过多：请结束出行")
            added = self._quick.execute(
                "INSERT INTO fix (at, lat, lon, accuracy_m, mock)"
                " SELECT ?, ?, ?, ?, ? WHERE EXISTS (SELECT 1 FROM event)",
                row,
            ).rowcount
            if not added:
                raise NoTrip  # another process finished it

    def fixes(self, since: float = 0.0) -> list[Fix]:
        """The fixes of the trip in progress, as they came; with `since` (Unix seconds) only those made from then on."""
        rows = self._read("SELECT at, lat, lon, accuracy_m, mock FROM fix WHERE at >= ? ORDER BY seq", (since,))
        return [Fix(Point(lat, lon), at, accuracy_m, bool(mock)) for at, lat, lon, accuracy_m, mock in rows]

    def fixes_after(self, seen: int) -> tuple[list[Fix], int]:
        """The fixes of the trip in progress with a higher number than `seen`, as they came, and the highest number."""
        rows = self._read("SELECT seq, at, lat, lon, accuracy_m, mock FROM fix WHERE seq > ? ORDER BY seq", (seen,))
        fixes = [Fix(Point(lat, lon), at, accuracy_m, bool(mock)) for _, at, lat, lon, accuracy_m, mock in rows]
        return fixes, rows[-1][0] if rows else seen

    def last_fix(self) -> Fix | None:
        """The newest fix, without reading them all."""
        rows = self._read("SELECT at, lat, lon, accuracy_m, mock FROM fix ORDER BY seq DESC LIMIT 1")
        return next((Fix(Point(lat, lon), at, acc, bool(mock)) for at, lat, lon, acc, mock in rows), None)

    def fix_count(self) -> int:
        """How many fixes the trip in progress has."""
        return _scalar(self._durable, "SELECT count(*) FROM fix", self._lock)

    def discard_trip(self) -> None:
        """Forget the trip in progress."""
        with self._write() as db:
            _clear_trip(db)
            _count(db, "cancelled")

    # Finished trips and their records

    def commit_trip(self, trip: NewTrip, mark: Mark | None = None) -> bool:
        """End the trip in progress: trip, record, hash and queue entry in one transaction, on disk before returning.

        With a `mark`: False, and nothing is done, when the trip went on or was finished since; look at it again.
        """
        with self._write() as db:
            if mark is not None and Mark(*db.execute(_MARK).fetchone()) != mark:
                return False
            _insert_trip(db, trip)
            _clear_trip(db)
        return True

    def knows(self, likenesses: Sequence[str]) -> bool:
        """Whether a finished trip has a track with one of these fingerprints."""
        query = "SELECT count(*) FROM likeness WHERE fingerprint = ?"
        return any(self._read(query, (likeness,))[0][0] for likeness in likenesses)

    # What the person says of a trip that waits for an answer

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
        """Every finished trip, newest first."""
        return [_trip_row(row) for row in self._read(f"{_TRIPS} ORDER BY recorded_ms DESC, trip.id")]

    def trip(self, trip_id: str) -> TripRow:
        """One finished trip. Raises `InvalidInput` where there is none of that id."""
        for row in self._read(f"{_TRIPS} WHERE trip.id = ?", (trip_id,)):
            return _trip_row(row)
        raise _no_such_trip(trip_id)

    def evidence(self, trip_id: str) -> Evidence:
        """The levels and salts of a trip, for opening its commitment. Raises `InvalidInput` as `trip` does."""
        for salts, levels in self._read("SELECT salts, levels FROM trip WHERE id = ?", (trip_id,)):
            one, two, three = (zlib.decompress(level) for level in _unpack(levels))
            size = len(salts) // 3
            return Evidence((one, two, three), (salts[:size], salts[size : 2 * size], salts[2 * size :]))
        raise _no_such_trip(trip_id)

    # The queue

    def lease(self, lease: str, now_ms: int, until_ms: int, rows_max: int, bytes_max: int) -> list[QueuedRecord]:
        """Take the oldest records that are due, in order, for one sender; empty while another sender holds a lease.

        A record whose bytes no longer match their hash is set aside as damaged; its neighbours go on.
        """
        batch: list[QueuedRecord] = []
        size = 0
        with self._write() as db:
            _free_expired(db, now_ms, until_ms - now_ms)
            if _scalar(db, "SELECT count(*) FROM queue WHERE state = 'leased'"):
                return []
            due = db.execute(
                "SELECT id, line, sha256 FROM queue WHERE state = 'pending'"
                " OR (state IN ('asked', 'held', 'unsupported') AND ask_again_ms <= ?) ORDER BY seq",
                (now_ms,),
            )
            for record_id, line, digest in due.fetchall():
                if sha256_hex(line) != digest:
                    db.execute("UPDATE queue SET state = 'damaged' WHERE id = ?", (record_id,))
                    _count(db, "damaged")
                    continue
                if len(batch) == rows_max or size + len(line) + 1 > bytes_max:
                    break
                size += len(line) + 1
                batch.append(QueuedRecord(record_id, line, digest))
            db.executemany(
                "UPDATE queue SET prior = state, state = 'leased', lease = ?, lease_until_ms = ?,"
                " attempts = attempts + 1 WHERE id = ?",
                [(lease, until_ms, record.id) for record in batch],
            )
        return batch

    def release(self, lease: str) -> None:
        """Give the records of a lease back, unsettled."""
        with self._write() as db:
            _release(db, lease)

    def settle(self, lease: str, settlements: Sequence[Settlement], receipt: Receipt) -> int:
        """Keep the server's signed results; the rest of the lease goes back. Returns how many settled."""
        with self._write() as db:
            kept = db.execute(
                "INSERT INTO receipt (jws, device, request_lines, answer_lines, at) VALUES (?, ?, ?, ?, ?)",
                (
                    receipt.jws,
                    receipt.device,
                    json.dumps(receipt.request_lines),
                    json.dumps(receipt.answer_lines),
                    receipt.at,
                ),
            ).lastrowid
            settled = 0
            for item in settlements:
                changed = db.execute(
                    "UPDATE queue SET state = ?, result_line = ?, ask_again_ms = ?, receipt = ?, lease = NULL,"
                    " lease_until_ms = NULL WHERE sha256 = ? AND lease = ?",
                    (item.state, item.result_line, item.ask_again_ms, kept, item.sha256, lease),
                ).rowcount
                settled += changed
            _release(db, lease)
        return settled

    def receipt_of(self, trip_id: str) -> tuple[bytes, Receipt] | None:
        """The result line of a record and the receipt that signs it."""
        rows = self._read(
            "SELECT result_line, jws, device, request_lines, answer_lines, receipt.at FROM queue"
            " JOIN receipt ON receipt.id = queue.receipt WHERE queue.id = ?",
            (trip_id,),
        )
        for line, jws, device, request_lines, answer_lines, at in rows:
            return line, Receipt(jws, device, tuple(json.loads(request_lines)), tuple(json.loads(answer_lines)), at)
        return None

    def waiting(self) -> int:
        """How many records are not settled: pending or under way."""
        return _scalar(self._durable, "SELECT count(*) FROM queue WHERE state IN ('pending', 'leased')", self._lock)

    def states(self) -> dict[State, int]:
        """How many records are in each state."""
        return {State(state): count for state, count in self._read("SELECT state, count(*) FROM queue GROUP BY state")}

    def tallies(self) -> dict[str, int]:
        """Counters that outlive their rows: recorded, local, cancelled, damaged, refused."""
        return dict(self._read("SELECT reason, count FROM tally"))

    def count_quietly(self, reason: str) -> None:
        """Count something that left no row; when even that cannot be written, the caller's own error says why."""
        with suppress(StorageError), self._write() as db:
            _count(db, reason)

    # Small facts

    def get(self, name: str) -> str | None:
        """A small fact by name."""
        return next((value for (value,) in self._read("SELECT value FROM meta WHERE name = ?", (name,))), None)

    def put(self, name: str, value: str) -> None:
        """Keep a small fact."""
        with self._write() as db:
            db.execute(
                "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", (name, value)
            )

    def salt(self) -> str:
        """32 random hex digits of this phone, made at the first need: hashes under it mean nothing elsewhere."""
        with self._write() as db:
            db.execute("INSERT OR IGNORE INTO meta VALUES ('salt', lower(hex(randomblob(16))))")
            return str(db.execute("SELECT value FROM meta WHERE name = 'salt'").fetchone()[0])

    def _migrate(self) -> None:
        with self._lock, _typed_errors():
            (version,) = self._durable.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise StorageNewer(
                f"{self.path.name} is of a newer greentrip (schema {version}): update the app; nothing was changed",
                f"{self.path.name} 由更新版本写入（结构 {version}）：请升级应用；数据未作改动",
            )
        for number, (_, script) in enumerate(MIGRATIONS[version:], start=version + 1):
            with self._write() as db:
                # Another process may have been first; the version is read again under the write lock.
                if _scalar(db, "PRAGMA user_version") < number:
                    for statement in script.split(";"):
                        db.execute(statement)
                    db.execute(f"PRAGMA user_version = {number}")

    def _read(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self._lock, _typed_errors():
            return self._durable.execute(query, values).fetchall()

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with self._lock, _typed_errors():
            self._durable.execute("BEGIN IMMEDIATE")
            try:
                yield self._durable
                self._durable.execute("COMMIT")
            except BaseException:
                if self._durable.in_transaction:
                    self._durable.execute("ROLLBACK")
                raise


def _connect(path: Path, synchronous: str) -> sqlite3.Connection:
    # autocommit: transactions begin where we say, and IMMEDIATE.
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_TIMEOUT_MS / 1000)
    try:
        _into_wal(db)
        db.execute(f"PRAGMA synchronous = {synchronous}")
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("PRAGMA secure_delete = ON")
    except sqlite3.Error:
        db.close()
        raise
    return db


def _into_wal(db: sqlite3.Connection) -> None:
    """The change needs the file alone, and SQLite does not wait for that: two processes may open it at once."""
    give_up = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > give_up:
                raise
            time.sleep(BUSY_PAUSE_S)


@contextmanager
def _typed_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.ProgrammingError as error:
        raise StorageError(f"the store is closed ({error})", f"存储已关闭（{error}）") from error
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorname", "").startswith("SQLITE_FULL"):
            raise StorageFull from error
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        raise StorageError(
            f"the store cannot be used ({name}): check the folder; what was committed is kept",
            f"本地存储不可用（{name}）：请检查存储目录；已提交的记录均已保留",
        ) from error
    except OSError as error:
        raise StorageError(
            f"the folder cannot be used ({error.strerror}): choose another",
            f"目录不可用（{error.strerror}）：请更换目录",
        ) from error


def _no_such_trip(trip_id: str) -> InvalidInput:
    zh = f"本机没有编号为 {trip_id!r} 的出行：请查看出行记录"
    return InvalidInput("trip", f"no trip here has the id {trip_id!r}: see trips()", zh)


_MARK = (
    "SELECT (SELECT count(*) FROM event), (SELECT count(*) FROM fix),"
    " (SELECT at || body FROM event ORDER BY seq LIMIT 1)"
)
_TRIPS = (
    "SELECT trip.id, summary, coalesce(state, 'local'), line, result_line FROM trip"
    " LEFT JOIN queue ON queue.id = trip.id"
)


def _trip_row(row: tuple[Any, ...]) -> TripRow:
    trip_id, summary, state, line, result = row
    return TripRow(trip_id, json.loads(summary), State(state), line, json.loads(result) if result else None)


def _insert_event(db: sqlite3.Connection, event: Event) -> None:
    db.execute(
        "INSERT INTO event (kind, at, monotonic, boot, body) VALUES (?, ?, ?, ?, ?)",
        (event.kind, event.at, event.monotonic, event.boot, json.dumps(dict(event.body))),
    )


def _insert_trip(db: sqlite3.Connection, trip: NewTrip) -> None:
    waiting = "SELECT count(*) FROM queue WHERE state IN ('pending', 'asked')"
    if trip.line is not None and _scalar(db, waiting) >= QUEUE_ROWS_MAX:
        raise QueueFull(QUEUE_ROWS_MAX)
    levels = _pack([zlib.compress(level) for level in trip.evidence.levels])
    db.execute(
        "INSERT INTO trip (id, recorded_ms, summary, salts, levels) VALUES (?, ?, ?, ?, ?)",
        (trip.id, trip.recorded_ms, json.dumps(trip.summary), b"".join(trip.evidence.salts), levels),
    )
    if trip.line is not None:
        state = State.PENDING if trip.ask_until_ms is None else State.ASKED
        db.execute(
            "INSERT INTO queue (id, line, sha256, state, ask_again_ms) VALUES (?, ?, ?, ?, ?)",
            (trip.id, trip.line, sha256_hex(trip.line), state, trip.ask_until_ms),
        )
        written, kept = db.execute("SELECT line, sha256 FROM queue WHERE id = ?", (trip.id,)).fetchone()
        if sha256_hex(written) != kept or written != trip.line:
            raise StorageError("the record did not read back as written", "记录写入校验失败")
    db.executemany("INSERT OR IGNORE INTO likeness VALUES (?, ?)", [(item, trip.id) for item in trip.likenesses])
    _count(db, "recorded" if trip.line is not None else "local")


def _close_question(db: sqlite3.Connection, trip_id: str, state: State) -> None:
    """Under the write lock: the question may have lapsed, or been answered elsewhere, meanwhile."""
    changed = db.execute(
        "UPDATE queue SET state = ?, ask_again_ms = NULL WHERE id = ? AND state = 'asked'", (state, trip_id)
    ).rowcount
    if not changed:
        raise NoQuestion


def _clear_trip(db: sqlite3.Connection) -> None:
    db.execute("DELETE FROM event")
    db.execute("DELETE FROM fix")


def _count(db: sqlite3.Connection, reason: str) -> None:
    db.execute("INSERT INTO tally VALUES (?, 1) ON CONFLICT (reason) DO UPDATE SET count = count + 1", (reason,))


_RELEASE = "UPDATE queue SET state = prior, lease = NULL, lease_until_ms = NULL WHERE state = 'leased' AND "


def _free_expired(db: sqlite3.Connection, now_ms: int, lease_ms: int) -> None:
    # A lease that ends further off than any lease lasts was made before the clock jumped back.
    db.execute(_RELEASE + "(lease_until_ms <= ? OR lease_until_ms > ?)", (now_ms, now_ms + 2 * lease_ms))


def _release(db: sqlite3.Connection, lease: str) -> None:
    db.execute(_RELEASE + "lease = ?", (lease,))


def _scalar(db: sqlite3.Connection, query: str, lock: threading.RLock | None = None) -> int:
    if lock is None:
        return int(db.execute(query).fetchone()[0])
    with lock, _typed_errors():
        return int(db.execute(query).fetchone()[0])


def _pack(parts: Sequence[bytes]) -> bytes:
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _unpack(data: bytes) -> list[bytes]:
    parts = []
    while data:
        size = int.from_bytes(data[:4], "big")
        parts.append(data[4 : 4 + size])
        data = data[4 + size :]
    return parts
