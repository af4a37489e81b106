"""What the person takes back: one trip, all that was not sent, everything. No bytes of it are left behind."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from contextlib import suppress

from greentrip.errors import StorageError
from greentrip.store.facts import OPTED_OUT, count, fact, keep
from greentrip.store.faults import typed_errors
from greentrip.store.journal import clear_trip
from greentrip.store.queue import Queue, forget_receipt
from greentrip.store.salvage import SALVAGED, forget_aside
from greentrip.store.trips import Trips, no_such_trip

ERASURE_ORDER = "erasure_order"
"""The fact that holds the signed orders to erase an account, one a line, each until its certificate is here."""
_KEPT = (ERASURE_ORDER, "key_list", "clock_offset_s", OPTED_OUT, SALVAGED)
"""What outlives the erasure of everything: what an order needs, the person's no, and what would bring rows back."""
_SCRUB = "scrub"
"""The fact that is there while bytes of what was erased may still lie about."""
_EVERYTHING = "everything"
"""Its value after everything was erased: then the file is written anew, too."""


class Erasing(Trips, Queue):
    """Erases, and remembers which ids the server still has to be told."""

    def erase_trip(self, trip_id: str, now_ms: int) -> None:
        """Erase one finished trip with its record, evidence and receipt. Raises `InvalidInput` when it is not here."""
        with self._write() as db:
            if not db.execute("SELECT count(*) FROM trip WHERE id = ?", (trip_id,)).fetchone()[0]:
                raise no_such_trip(trip_id)
            _erase(db, trip_id, now_ms)
            _scrub_later(db)
        self.scrub()

    def opt_out(self, now_ms: int, *, erase_pending: bool) -> int:
        """Nothing is recorded or leased from here on; `erase_pending` also erases what no result names yet, and the
        trip in progress. Returns how many records were erased."""
        with self._write() as db:
            keep(db, OPTED_OUT, str(now_ms))
            unsettled: list[str] = []
            if erase_pending:
                clear_trip(db)
                states = "('asked', 'pending', 'leased', 'set_aside', 'unsupported')"
                unsettled = [row[0] for row in db.execute(f"SELECT id FROM queue WHERE state IN {states}")]
                _scrub_later(db)
            for trip_id in unsettled:
                _erase(db, trip_id, now_ms)
        self.scrub()
        return len(unsettled)

    def erase_all(self, order: str | None) -> None:
        """Erase everything but the signed order, which stays until its certificate arrives."""
        with self._write() as db:
            clear_trip(db)
            for table in ("queue", "likeness", "trip", "receipt", "tally", "erasure", "sync_note"):
                db.execute(f"DELETE FROM {table}")
            db.execute(f"DELETE FROM meta WHERE name NOT IN ({', '.join('?' * len(_KEPT))})", _KEPT)
            if order is not None:
                # Beside one that waits: who erases, enrols again and erases again has given two.
                keep(db, ERASURE_ORDER, "\n".join(filter(None, (fact(db, ERASURE_ORDER), order))))
            keep(db, _SCRUB, _EVERYTHING)
        self.scrub()

    def scrub(self) -> None:
        """Leave no bytes of what was erased, neither in the file nor in its log nor in one that was moved aside.

        What stands in the way, such as a full disk or another process that reads, undoes no erasure: it is tried again
        with the next pass, and when the file is opened.
        """
        with self._lock, suppress(StorageError):
            due = self.get(_SCRUB)
            if due is None:
                return
            with typed_errors():
                forget_aside(self.path)
                if due == _EVERYTHING:
                    self._durable.execute("VACUUM")
                ((busy, *_),) = self._durable.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            if not busy:
                self.drop(_SCRUB)

    def erasure_orders(self) -> list[str]:
        """The signed orders to erase an account that wait for their certificate, oldest first."""
        return (self.get(ERASURE_ORDER) or "").split()

    def confirm_order(self, order: str) -> None:
        """The server has certified it."""
        with self._write() as db:
            left = [one for one in (fact(db, ERASURE_ORDER) or "").split() if one != order]
            if left:
                keep(db, ERASURE_ORDER, "\n".join(left))
            else:
                db.execute("DELETE FROM meta WHERE name = ?", (ERASURE_ORDER,))

    def has_told(self) -> bool:
        """Whether the server took anything in that it must not forget: a record, or an erasure."""
        told = "SELECT 1 FROM queue WHERE state IN ('accepted', 'held') UNION ALL SELECT 1 FROM erasure LIMIT 1"
        return bool(self._read(told))

    def erasures(self) -> list[str]:
        """The ids that the server still has to be told to erase, oldest first."""
        return [row[0] for row in self._read("SELECT trip FROM erasure WHERE NOT done ORDER BY asked_ms, trip")]

    def confirm_erasures(self, ids: Collection[str]) -> None:
        """The server has signed that these are erased. Their ids stay: they mean nothing to anybody else."""
        with self._write() as db:
            db.executemany("UPDATE erasure SET done = 1 WHERE trip = ?", [(one,) for one in ids])

    def repeat_erasures(self) -> int:
        """Tell the server again: one that was restored from a backup does not know of them. Returns how many."""
        with self._write() as db:
            return db.execute("UPDATE erasure SET done = 0 WHERE done").rowcount


def _erase(db: sqlite3.Connection, trip_id: str, now_ms: int) -> None:
    told = "SELECT sent OR result_line IS NOT NULL, receipt FROM queue WHERE id = ?"
    row = db.execute(told, (trip_id,)).fetchone()
    db.execute("DELETE FROM queue WHERE id = ?", (trip_id,))
    db.execute("DELETE FROM likeness WHERE trip = ?", (trip_id,))
    db.execute("DELETE FROM trip WHERE id = ?", (trip_id,))
    if row is None:
        db.execute("UPDATE tally SET count = count - 1 WHERE reason = 'local'")
        count(db, "erased_local")
        return
    count(db, "erased")
    sent, receipt = row
    forget_receipt(db, receipt)
    if sent:  # it may have arrived, whatever we heard of it
        db.execute("INSERT OR IGNORE INTO erasure (trip, asked_ms) VALUES (?, ?)", (trip_id, now_ms))


def _scrub_later(db: sqlite3.Connection) -> None:
    if fact(db, _SCRUB) is None:
        keep(db, _SCRUB, "")
