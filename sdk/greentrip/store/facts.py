"""Small facts by name, and counters that outlive their rows."""

from __future__ import annotations

import re
import secrets
import sqlite3
from contextlib import suppress

from greentrip.errors import StorageError
from greentrip.store.file import StoreFile

SALT_BYTES = 16
_SALT = re.compile(f"[0-9a-f]{{{2 * SALT_BYTES}}}")
OPTED_OUT = "opted_out"
"""The fact that is there while the person has opted out."""


class Facts(StoreFile):
    """A value for a name; a count for a reason."""

    def get(self, name: str) -> str | None:
        """A small fact by name."""
        return next((str(value) for (value,) in self._read("SELECT value FROM meta WHERE name = ?", (name,))), None)

    def number(self, name: str) -> int:
        """A small whole number by name; 0 where there is none, or what is kept is none."""
        try:
            return int(self.get(name) or 0)
        except ValueError:
            return 0

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
            salt = fact(db, "salt") or ""
            if not _SALT.fullmatch(salt):
                salt = secrets.token_hex(SALT_BYTES)
                keep(db, "salt", salt)
            return salt

    def tallies(self) -> dict[str, int]:
        """Counters that outlive their rows: recorded, local, cancelled, damaged, refused, erased, killed."""
        return dict(self._read("SELECT reason, count FROM tally WHERE typeof(count) = 'integer'"))

    def count_quietly(self, reason: str) -> None:
        """Count something that left no row; when even that cannot be written, the caller's own error says why."""
        with suppress(StorageError), self._write() as db:
            count(db, reason)


def fact(db: sqlite3.Connection, name: str) -> str | None:
    """A small fact, inside a transaction."""
    row = db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return str(row[0]) if row else None


def keep(db: sqlite3.Connection, name: str, value: str) -> None:
    """Keep a small fact, inside a transaction."""
    upsert = "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
    db.execute(upsert, (name, value))


def count(db: sqlite3.Connection, reason: str, by: int = 1) -> None:
    """Add to a counter, inside a transaction."""
    upsert = "INSERT INTO tally VALUES (?, ?) ON CONFLICT (reason) DO UPDATE SET count = count + excluded.count"
    db.execute(upsert, (reason, by))
