"""A phone's disk that fills, jams and breaks, and a process that dies at any statement."""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
KILL_STATEMENTS_MAX = 60
"""A planned kill strikes within this many statements: a `finish()` has about fifteen, a batch that settles thirty."""
_WRITING = ("BEGIN IMMEDIATE", "INSERT", "UPDATE", "DELETE", "COMMIT", "VACUUM")


class Killed(BaseException):
    """The process was killed here. Raised by every statement from then on: a dead process rolls nothing back."""


@dataclass(frozen=True, slots=True)
class DiskFaults:
    """How often a statement fails, 0 to 1. The process may also be killed before or after one, inside COMMIT too."""

    full: float = 0.0
    """SQLITE_FULL at a statement that writes."""
    busy: float = 0.0
    """SQLITE_BUSY where a transaction begins: another process holds the file for longer than anyone waits."""
    io_error: float = 0.0
    """SQLITE_IOERR at a statement that writes."""
    kill: float = 0.0


class FlakyDisk:
    """What `GreenTrip.open(connection=...)` takes: makes connections of one process, whose statements may fail.

    `counts` says how often each fault was injected, `told` is told of each. After a kill call `abandon()`, and open the
    folder again with a new `FlakyDisk`, as a new process would. Without `waits` no statement waits for another
    connection's lock: where all share one thread, nobody would ever give it back.
    """

    def __init__(
        self,
        faults: DiskFaults,
        dice: random.Random,
        counts: Counter[str],
        *,
        told: Callable[[str], object] = str,
        waits: bool = True,
    ) -> None:
        self.faults = faults
        self.dead = False
        self._dice = dice
        self._counts = counts
        self._tell = told
        self._waits = waits
        self._left: int | None = None
        self._connections: list[_Connection] = []
        self._paths: set[str] = set()

    def __call__(self, *arguments: Any, **named: Any) -> sqlite3.Connection:  # noqa: ANN401 - those of sqlite3.connect
        if not self._waits:
            named["timeout"] = 0.0
        made = _Connection(*arguments, **named)
        self._paths.add(str(arguments[0]))
        made.disk = self
        self._connections.append(made)
        return made

    def plan_kill(self) -> None:
        """Kill the process at one of the next statements."""
        self._left = self._dice.randrange(KILL_STATEMENTS_MAX)

    def mend(self) -> None:
        """No more faults: the disk has room, and nobody kills the process."""
        self.faults, self._left = DiskFaults(), None

    def abandon(self, *, alone: bool) -> None:
        """Let go of the files as the system does after a kill: nothing is committed, rolled back or tidied.

        `alone`: no other process has them open; then the write-ahead log is left as it was, for the next to recover.
        """
        self.dead = True
        kept = {path: path.read_bytes() for path in self._files() if path.exists()} if alone else {}
        for connection in self._connections:
            sqlite3.Connection.close(connection)
        self._connections.clear()
        for path, content in kept.items():
            path.write_bytes(content)

    def _files(self) -> list[Path]:
        return [Path(f"{path}{end}") for path in self._paths for end in ("", "-wal")]

    # Inside

    def run(self, statement: str, work: Callable[[], T]) -> T:
        """Run one statement, or fail it."""
        if self.dead:
            raise Killed
        head = statement.lstrip()[:15].upper()
        if head.startswith("ROLLBACK"):
            return work()
        self._fail(head)
        if not self._is_hit():
            return work()
        # Before the statement, or after it: a COMMIT that arrived and was never told is the worst of both.
        late = self._dice.random() < 0.5
        if late:
            work()
        self.dead = True
        self._counts["disk: killed at a statement"] += 1
        self._tell(f"killed {'after' if late else 'before'} {head.split()[0] if head else 'nothing'}")
        raise Killed

    def _is_hit(self) -> bool:
        if self._left is not None:
            self._left -= 1
            return self._left < 0
        return self._dice.random() < self.faults.kill

    def _fail(self, head: str) -> None:
        faults = self.faults
        if head.startswith("BEGIN") and self._dice.random() < faults.busy:
            self._raise("SQLITE_BUSY", "database is locked")
        if head.startswith(_WRITING):
            die = self._dice.random()
            if die < faults.full:
                self._raise("SQLITE_FULL", "database or disk is full")
            if die < faults.full + faults.io_error:
                self._raise("SQLITE_IOERR_WRITE", "disk I/O error")

    def _raise(self, name: str, text: str) -> None:
        self._counts[f"disk: {name}"] += 1
        self._tell(f"the disk says {name}")
        error = sqlite3.OperationalError(text)
        error.sqlite_errorname = name
        raise error


class _Connection(sqlite3.Connection):
    disk: FlakyDisk | None = None

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:  # noqa: ANN401 - those of sqlite3
        work = super().execute
        if self.disk is None:
            return work(statement, *values)
        return self.disk.run(statement, lambda: work(statement, *values))

    def executemany(self, statement: str, rows: Iterable[Any]) -> sqlite3.Cursor:
        work = super().executemany
        if self.disk is None:
            return work(statement, rows)
        return self.disk.run(statement, lambda: work(statement, rows))

    def close(self) -> None:
        # A dead process closes nothing; `abandon` does.
        if self.disk is None or not self.disk.dead:
            super().close()
