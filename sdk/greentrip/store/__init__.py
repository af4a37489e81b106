"""The phone's durable store: one SQLite file for trips, their records and the queue.

What `finish()` promises is made here: one transaction holds the trip, its record's exact bytes, their hash and the
queue entry (WAL, synchronous=FULL). Bytes, id and hash never change afterwards; the hash is checked on write and again
before every send.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from greentrip.store.erasing import ERASURE_ORDER, Erasing
from greentrip.store.facts import OPTED_OUT
from greentrip.store.file import MakeConnection
from greentrip.store.rows import Mark, NewTrip, QueuedRecord, Receipt, Settlement, TripRow
from greentrip.store.sessions import Sessions

__all__ = [
    "ERASURE_ORDER",
    "OPTED_OUT",
    "MakeConnection",
    "Mark",
    "NewTrip",
    "QueuedRecord",
    "Receipt",
    "Settlement",
    "Store",
    "TripRow",
]


class Store(Erasing, Sessions):
    """One file for one server and one account. Thread-safe; other processes may use the same file.

    Each base class is one idea: `Journal` the trip in progress, `Trips` the finished ones, `Queue` what waits,
    `Erasing`, `Facts` and `Sessions`; `StoreFile` is the file below them.
    """

    def __init__(self, path: Path, connection: MakeConnection = sqlite3.Connection) -> None:
        super().__init__(path, connection)
        self.begin_session()
        self.scrub()

    def suspend(self) -> None:
        """Let go of the file until `resume`. To end there is no kill: systems end what they suspended."""
        if not self._suspended:
            self.end_session()
        super().suspend()

    def resume(self) -> None:
        """Open the file again. Raises `StorageError`."""
        if self._suspended:
            super().resume()
            self.begin_session()
            self.scrub()

    def _adopted(self) -> None:
        # The session is the parent's: to end it here would let a kill of the parent go unseen.
        self.begin_session()

    def close(self) -> None:
        """Let go of the file."""
        if not self._suspended:
            self.end_session()
        super().close()
