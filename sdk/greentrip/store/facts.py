"""Small facts by name, and counters that outlive their rows."""

from __future__ import annotations

import sqlite3
from contextlib import suppress

from greentrip.errors import StorageError
from greentrip.store.file import StoreFile

OPTED_OUT = "opted_out"
"""The fact that is there while the person has opted out."""


class Facts(StoreFile):
    """A value for a name; a count for a reason."""

    def get(self, name: str) -> str | None:
        """A small fact by name."""
        return next((value for (value,) in self._read("SELECT value FROM meta WHERE name = ?", (name,))), None)

    def put(self, name: str, value: str) -> None:
        """Keep a small fact."""
        with self._write() as db:
            keep(db, name, value)

    def drop(self, name: str) -> None:
        """Forget a small fact."""
        with self._write() as db:
            db.execute("DELETE FROM meta WHERE name = ?", (name,))

    def salt(self) -> str:
        """32 random hex digits of this phone, made at the first need: hashes under it mean nothing elsewhere."""
        with self._write() as db:
            db.execute("INSERT OR IGNORE INTO meta VALUES ('salt', lower(hex(randomblob(16))))")
            return str(db.execute("SELECT value FROM meta WHERE name = 'salt'").fetchone()[0])

    def tallies(self) -> dict[str, int]:
        """Counters that outlive their rows: recorded, local, cancelled, damaged, refused, erased, killed."""
        return dict(self._read("SELECT reason, count FROM tally"))

    def count_quietly(self, reason: str) -> None:
        """Count something that left no row; when even that cannot be written, the caller's own error says why."""
        with suppress(StorageError), self._write() as db:
            count(db, reason)


def fact(db: sqlite3.Connection, name: str) -> str | None:
    """A small fact, inside a transaction."""
    row = db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return row[0] if row else None


def keep(db: sqlite3.Connection, name: str, value: str) -> None:
    """Keep a small fact, inside a transaction."""
    upsert = "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
    db.execute(upsert, (name, value))


def count(db: sqlite3.Connection, reason: str, by: int = 1) -> None:
    """Add to a counter, inside a transaction."""
    upsert = "INSERT INTO tally VALUES (?, ?) ON CONFLICT (reason) DO UPDATE SET count = count + excluded.count"
    db.execute(upsert, (reason, by))
