"""A disk that fails at a statement of one's choice: what `GreenTrip.open(connection=...)` takes."""

import sqlite3
from collections.abc import Iterable
from typing import Any

FAULTS: dict[str, type[sqlite3.DatabaseError]] = {
    "SQLITE_BUSY": sqlite3.OperationalError,
    "SQLITE_FULL": sqlite3.OperationalError,
    "SQLITE_IOERR_WRITE": sqlite3.OperationalError,
    "SQLITE_READONLY": sqlite3.OperationalError,
    "SQLITE_CORRUPT": sqlite3.DatabaseError,
}


class Killed(BaseException):
    """The process died here: nothing that it would have done next is done."""


class Disk:
    """Counts statements, and fails one of them, or all from there on, or kills the process there.

    A killed process runs no further statement, not even ROLLBACK; `let_go()` drops its connections as the system does.
    """

    def __init__(self) -> None:
        self.statements: list[str] = []
        self._fault = ""
        self._at = 0
        self._for_good = False
        self._dead = False
        self._connections: list[_Connection] = []

    def __call__(self, *arguments: Any, **named: Any) -> sqlite3.Connection:
        made = _Connection(*arguments, **named)
        made.disk = self
        self._connections.append(made)
        return made

    def fail(self, fault: str, at: int, *, for_good: bool = False) -> None:
        """Fail the statement number `at` from now, 0 the next one: a name of SQLite's, or "killed"."""
        self.statements.clear()
        self._fault, self._at, self._for_good = fault, at, for_good

    def mend(self) -> bool:
        """No more faults. Returns whether there was one."""
        hit = bool(self._fault) and len(self.statements) > self._at
        self._fault = ""
        return hit

    def let_go(self) -> None:
        """What the system does with the files of a process that died."""
        self._dead = True
        for connection in self._connections:
            sqlite3.Connection.close(connection)

    def before(self, statement: str) -> None:
        if self._dead:
            raise Killed
        self.statements.append(statement.strip())
        number = len(self.statements) - 1
        if not self._fault or number < self._at or (number > self._at and not self._for_good):
            return
        if self._fault == "killed":
            self._dead = True
            raise Killed
        error = FAULTS[self._fault]("the disk of a test")
        error.sqlite_errorname = self._fault
        raise error


class _Connection(sqlite3.Connection):
    disk: Disk | None = None

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        if self.disk is not None:
            self.disk.before(statement)
        return super().execute(statement, *values)

    def executemany(self, statement: str, rows: Iterable[Any]) -> sqlite3.Cursor:
        if self.disk is not None:
            self.disk.before(statement)
        return super().executemany(statement, rows)

    def close(self) -> None:
        if self.disk is None or not self.disk._dead:
            super().close()
