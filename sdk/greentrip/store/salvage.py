"""A damaged file is set aside, never deleted; and what can still be read of it goes into the clean one."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from greentrip.recorder import START
from greentrip.store.rows import is_whole
from greentrip.store.shape import mend_notes

_WAL, _SHM = "-wal", "-shm"
_ENDS = ("", _WAL, _SHM)
SALVAGED = "salvaged"
"""The fact that names the newest damaged file whose rows were copied."""
UNREADABLE = (sqlite3.Error, UnicodeDecodeError)
"""What a damaged file raises; the second where SQLite's own words on the damage hold some of it."""
_PAGE_BYTES = 4096
"""A file of one empty page is enough for SQLite to read the write-ahead log beside it."""
# In an order that keeps what refers after what is referred to; with the columns that name a row.
_TABLES = (
    ("meta", "name"),
    ("trip", "id"),
    ("likeness", "fingerprint"),
    ("receipt", "id"),
    ("queue", "seq"),
    ("erasure", "trip"),
    ("tally", "reason"),
)

Row = dict[str, Any]


def move_aside(path: Path) -> Path:
    """Rename a damaged file, with its write-ahead log, to `<name>.corrupt-<time>`. Returns its new path."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    aside = path.with_name(f"{path.name}.corrupt-{stamp}")
    for end in reversed(_ENDS):
        # Another process may have been faster.
        with suppress(FileNotFoundError):
            path.with_name(path.name + end).rename(aside.with_name(aside.name + end))
    if not _size(aside) and _size(aside, _WAL):
        aside.write_bytes(bytes(_PAGE_BYTES))
    return aside


def ends_with_its_log(path: Path) -> bool:
    """Whether a file is there if it has a write-ahead log. SQLite would drop the log of a file that is gone or empty,
    and with it what was committed last."""
    # In this order: the file is never empty once it has a log.
    if not _size(path, _WAL):
        return True
    return _size(path) > 0


def moved_aside(path: Path) -> list[Path]:
    """The damaged files that were moved aside and still lie there, without their logs."""
    return [one for one in path.parent.glob(f"{path.name}.corrupt-*") if not one.name.endswith((_WAL, _SHM))]


def forget_aside(path: Path) -> None:
    """Remove the damaged files and their logs: what the person erases is in them too."""
    for one in path.parent.glob(f"{path.name}.corrupt-*"):
        one.unlink(missing_ok=True)


def salvage(asides: Collection[Path], db: sqlite3.Connection) -> Path | None:
    """Copy into `db`, inside its transaction, every row of damaged files that can be read and is whole, each file once.

    Returns the newest that was copied. An older one has something only where a process died before it came to this.
    """
    found = None
    for aside in sorted(asides, reverse=True):
        row = db.execute("SELECT value FROM meta WHERE name = ?", (SALVAGED,)).fetchone()
        if row is not None and aside.name <= row[0]:
            break
        _copy_all(aside, db)
        found = found or aside
    if found is not None:
        db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (SALVAGED, found.name))
    return found


def _copy_all(damaged: Path, db: sqlite3.Connection) -> None:
    try:
        old = sqlite3.connect(damaged, isolation_level=None)
    except sqlite3.Error:
        return
    old.text_factory = text_of
    with closing(old):
        with suppress(*UNREADABLE):
            mend_notes(old, db)
        for table, key in _TABLES:
            wanted = {str(column[1]) for column in db.execute(f"PRAGMA table_info({table})")}
            for row in _rows_of(old, table, key):
                if table == "queue":
                    _queue_row(db, row)
                _insert(db, table, {name: value for name, value in row.items() if name in wanted})
        _trip_in_progress(old, db)
    # Damage may have taken counters and rows alike: what was recorded is what is here, or was erased.
    db.execute(
        "INSERT OR REPLACE INTO tally SELECT 'recorded', (SELECT count(*) FROM queue)"
        " + coalesce((SELECT count FROM tally WHERE reason = 'erased'), 0)"
    )
    db.execute("INSERT OR REPLACE INTO tally SELECT 'local', count(*) FROM trip WHERE id NOT IN (SELECT id FROM queue)")


def _queue_row(db: sqlite3.Connection, row: Row) -> None:
    """Mend what a row refers to: a record counts by its bytes, whatever else was lost."""
    if row.get("state") == "leased":
        row["state"], row["lease"] = row.get("prior") or "pending", None
    if row.get("line") != b"" and not is_whole(row.get("line"), row.get("sha256")):
        row["state"] = "damaged"
    db.execute(
        "INSERT OR IGNORE INTO trip (id, recorded_ms, summary, salts, levels) VALUES (?, 0, '', x'', x'')",
        (row.get("id"),),
    )
    if not db.execute("SELECT count(*) FROM receipt WHERE id = ?", (row.get("receipt"),)).fetchone()[0]:
        row["receipt"] = None


def _trip_in_progress(old: sqlite3.Connection, db: sqlite3.Connection) -> None:
    events = list(_rows_of(old, "event", "seq"))
    if not events or min(events, key=lambda row: row["seq"]).get("kind") != START:
        return  # without its start it cannot go on
    for event in events:
        _insert(db, "event", event)
    for fix in _rows_of(old, "fix", "seq"):
        _insert(db, "fix", fix)


def _rows_of(old: sqlite3.Connection, table: str, key: str) -> Iterator[Row]:
    """The rows that can be read: from the first up to the damage, and from the last down to it."""
    seen: set[object] = set()
    for order in ("ASC", "DESC"):
        with suppress(*UNREADABLE):
            cursor = old.execute(f"SELECT * FROM {table} ORDER BY {key} {order}")
            names = [column[0] for column in cursor.description]
            for values in cursor:
                row = dict(zip(names, values, strict=True))
                if row[key] not in seen:
                    seen.add(row[key])
                    yield row


def _insert(db: sqlite3.Connection, table: str, row: Row) -> None:
    marks = ", ".join("?" * len(row))
    # A row that breaks a rule of its table is damaged, and costs its neighbours nothing.
    with suppress(sqlite3.IntegrityError, sqlite3.InterfaceError):
        db.execute(f"INSERT OR IGNORE INTO {table} ({', '.join(row)}) VALUES ({marks})", list(row.values()))


def text_of(raw: bytes) -> str:
    """A text of a file; what is no UTF-8 in it becomes U+FFFD, which fits no hash."""
    return raw.decode(errors="replace")


def _size(path: Path, end: str = "") -> int:
    try:
        return path.with_name(path.name + end).stat().st_size
    except FileNotFoundError:
        return 0
