"""Who has the file open, which of them ended without closing it, and how the last syncs went."""

from __future__ import annotations

import json
import os
import uuid
from contextlib import suppress

from greentrip.clock import system_boot_id
from greentrip.errors import StorageError
from greentrip.health import SYNC_NOTES_MAX, StoreHealth, SyncNote
from greentrip.report import Stop, Trigger
from greentrip.store.facts import Facts, count
from greentrip.store.queue import RELEASE, Queue
from greentrip.store.salvage import moved_aside
from greentrip.store.trips import state_of

LET_GO_MS = 250
"""How long a lock of another process is waited for when the file is let go of."""


class Sessions(Queue, Facts):
    """A process that died held leases: they are freed, and the kill is counted."""

    _session = ""

    def begin_session(self) -> None:
        """Note that this process has the file open. A disk that cannot take the note does not stop the app."""
        self._session = uuid.uuid4().hex
        with suppress(StorageError):
            self.bury_dead()
            with self._write() as db:
                db.execute("INSERT INTO session VALUES (?, ?, ?)", (self._session, system_boot_id(), os.getpid()))

    def bury_dead(self) -> int:
        """Free what processes had leased that ended without closing the file, and count them. Returns how many."""
        open_by = self._read("SELECT id, boot, pid FROM session")
        dead = [session for session, boot, pid in open_by if boot != system_boot_id() or not _is_alive(pid)]
        return sum(self._bury(session) for session in dead)

    def _bury(self, session: str) -> bool:
        with self._write() as db:
            if not db.execute("DELETE FROM session WHERE id = ?", (session,)).rowcount:
                return False  # another process was first
            db.execute(
                f"{RELEASE} lease LIKE ? || '%'",
                (session,),
            )
            count(db, "killed")
        return True

    def end_session(self) -> None:
        """This process lets go of the file in order. A file that another one holds is not waited for: a note that stays
        is one kill too many in a count, and a system that suspends apps does not wait either."""
        with suppress(StorageError):
            self._wait_at_most(LET_GO_MS)
            with self._write() as db:
                db.execute("DELETE FROM session WHERE id = ?", (self._session,))

    def new_lease(self) -> str:
        """A name for a lease that tells whose it is."""
        return f"{self._session}:{uuid.uuid4().hex}"

    def note_sync(self, note: SyncNote) -> None:
        """Keep how a sync went; the oldest notes go."""
        row = (
            note.at_hour_ms,
            note.trigger,
            note.stop,
            note.requests,
            note.left,
            json.dumps(note.settled),
            note.problem,
        )
        with self._write() as db:
            db.execute(
                "INSERT INTO sync_note (at_hour_ms, trigger, stop, requests, waiting, settled, problem)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                row,
            )
            db.execute("DELETE FROM sync_note WHERE seq <= (SELECT max(seq) FROM sync_note) - ?", (SYNC_NOTES_MAX,))

    def sync_log(self) -> list[SyncNote]:
        """The last syncs, oldest first."""
        query = "SELECT at_hour_ms, trigger, stop, requests, waiting, settled, problem FROM sync_note ORDER BY seq"
        found = []
        for row in self._read(query):
            with suppress(ValueError, TypeError, AttributeError):  # a damaged note is no reason to tell nothing
                found.append(_note(*row))
        return found

    def health(self) -> StoreHealth:
        """Sizes, counts and ages, for a support case."""
        unsent = (
            "SELECT min(recorded_ms), max(recorded_ms) FROM queue JOIN trip USING (id)"
            " WHERE state IN ('pending', 'leased') AND typeof(recorded_ms) = 'integer'"
        )
        ((oldest, newest),) = self._read(unsent)
        tallies = self.tallies()
        return StoreHealth(
            schema=self.schema,
            file_bytes=self.size_bytes,
            wal_bytes=self.wal_bytes,
            integrity=self._integrity(),
            kills=tallies.get("killed", 0),
            tallies=tallies,
            states=self.states(),
            pending_since_ms=None if oldest is None else (oldest, newest),
            corrupt_files=len(moved_aside(self.path)),
        )

    def _integrity(self) -> str:
        try:
            return str(self._read("PRAGMA quick_check(1)")[0][0])
        except StorageError as error:
            return type(error).__name__


def _note(at: int, trigger: str, stop: str, requests: int, left: int, settled: str, problem: str) -> SyncNote:
    counts = {state_of(state): number for state, number in json.loads(settled).items()}
    return SyncNote(at, Trigger(trigger), Stop(stop), requests, left, counts, problem)


def _is_alive(pid: int) -> bool:
    if os.name == "nt":
        return True  # there it is no question but Ctrl+C
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # it is somebody else's, or this system does not tell
    return True
