"""The file itself: opening it sound, transactions, suspending, and letting nothing of what was erased behind."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, cast

from greentrip import fork
from greentrip.errors import StorageCorrupt, StorageError, StorageNewer, Suspended
from greentrip.store.faults import name_of, typed_errors
from greentrip.store.migrations import MIGRATIONS
from greentrip.store.salvage import ends_with_its_log, move_aside, moved_aside, salvage, text_of
from greentrip.store.shape import has_its_shape

BUSY_TIMEOUT_MS = 5_000
BUSY_PAUSE_S = 0.01
WAL_BYTES_MAX = 4 * 1024 * 1024
"""To this size the write-ahead log is cut back whenever its content has gone into the file."""

MakeConnection = Callable[..., sqlite3.Connection]
"""What `sqlite3.connect` takes as `factory`: tests put their faults there."""

_leaked: list[sqlite3.Connection] = []
"""Connections of a parent process. To use or to close them in the child would harm the parent."""


class StoreFile:
    """One SQLite file: WAL, every commit on disk before it returns. Thread-safe, and fork-safe.

    A file that is damaged is moved aside as `<name>.corrupt-<time>` when it is opened; what can still be read of it
    goes into a clean one, and `recovered` names the old one.
    """

    def __init__(self, path: Path, connection: MakeConnection = sqlite3.Connection) -> None:
        self.path = path
        self.recovered: Path | None = None
        self._make = connection
        self._lock = threading.RLock()
        self._suspended = False
        self._inherited = False
        with typed_errors():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._open_sound()
        fork.watch(self)
        fork.guard(self)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._let_go()

    def suspend(self) -> None:
        """Let go of the file until `resume`: a system that suspends an app kills it for holding one."""
        with self._lock:
            if not self._suspended:
                self._let_go()
                self._suspended = True

    def resume(self) -> None:
        """Open the file again; what happened to it meanwhile is met as when it was opened. Raises `StorageError`."""
        with self._lock:
            if self._suspended:
                self._suspended = False
                try:
                    self._open_sound()
                except BaseException:
                    self._suspended = True
                    raise

    @property
    def suspended(self) -> bool:
        """Whether the file was let go of until `resume`."""
        return self._suspended

    def fork_guard(self) -> threading.RLock:
        """Held by whoever is inside SQLite."""
        return self._lock

    def after_fork(self) -> None:
        """In the child: a lock that nobody holds, and new connections with the first use; most children need none."""
        _leaked.extend((self._durable, self._quick))
        self._lock = threading.RLock()
        self._inherited = not self._suspended

    @property
    def size_bytes(self) -> int:
        """The file, without its write-ahead log."""
        return _size(self.path)

    @property
    def wal_bytes(self) -> int:
        """The write-ahead log."""
        return _size(self.path.with_name(f"{self.path.name}-wal"))

    @property
    def schema(self) -> int:
        """The number of the newest migration that the file has."""
        return _scalar(self._read("PRAGMA user_version"))

    # Reading and writing

    def _read(self, query: str, values: Sequence[object] | Mapping[str, object] = ()) -> list[tuple[Any, ...]]:
        with self._lock, typed_errors():
            self._check_usable()
            return self._durable.execute(query, values).fetchall()

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        """A transaction that is on disk at the end of the block, and undone when the block raises."""
        with self._lock, typed_errors():
            self._check_usable()
            self._durable.execute("BEGIN IMMEDIATE")
            try:
                yield self._durable
                self._check_in_place()
                self._durable.execute("COMMIT")
            except BaseException:
                if self._durable.in_transaction:
                    self._durable.execute("ROLLBACK")
                raise

    @contextmanager
    def _write_quickly(self) -> Iterator[sqlite3.Connection]:
        """For single statements that need not wait for the disk: they survive the process, not a power cut."""
        with self._lock, typed_errors():
            self._check_usable()
            self._check_in_place()
            yield self._quick

    def _wait_at_most(self, busy_ms: int) -> None:
        """For the lock of another process; until the file is opened again."""
        with self._lock, typed_errors():
            self._check_usable()
            self._durable.execute(f"PRAGMA busy_timeout = {busy_ms}")

    def _let_go(self) -> None:
        if not self._inherited:
            self._quick.close()
            self._durable.close()

    def _check_usable(self) -> None:
        if self._suspended:
            raise Suspended
        if self._inherited:
            self._connect()
            self._adopted()
        if self._durable.in_transaction:  # a disk that failed may have refused the ROLLBACK too
            self._durable.execute("ROLLBACK")

    def _adopted(self) -> None:
        """A fork's child has connections of its own now."""

    def _is_in_place(self) -> bool:
        try:
            there = self.path.stat()
        except FileNotFoundError:
            return False
        return (there.st_dev, there.st_ino) == self._place

    def _check_in_place(self) -> None:
        """A file that was removed under us still takes commits, and nobody would ever find them."""
        if not self._is_in_place():
            raise StorageError(
                "the store's file was removed or replaced: close and open again",
                "本地存储文件已被移除或替换：请关闭后重新打开",
            )

    # Opening

    def _open_sound(self) -> None:
        with typed_errors():
            if not ends_with_its_log(self.path):
                move_aside(self.path)
        try:
            self._connect()
            self._migrate()
        except StorageCorrupt:
            # Another process may have been faster: what is there now need not be what was found damaged.
            with typed_errors():
                if self._is_in_place():
                    move_aside(self.path)
            self._connect()
            self._migrate()
        self._salvage()

    def _connect(self) -> None:
        with ExitStack() as opened, typed_errors():
            # Places are for the owner only, whatever the folder allows; the WAL inherits it. A file that is there is
            # not opened: to close it would drop the locks of this process's other stores.
            with suppress(FileExistsError):
                self.path.touch(0o600, exist_ok=False)
            there = self.path.stat()
            self._place = (there.st_dev, there.st_ino)
            self._durable = opened.enter_context(closing(_connect(self.path, "FULL", self._make)))
            self._quick = opened.enter_context(closing(_connect(self.path, "NORMAL", self._make)))
            opened.pop_all()  # they stay open, since nothing went wrong
            self._inherited = False

    def _migrate(self) -> None:
        with self._lock, typed_errors(), ExitStack() as failed:
            failed.callback(self._let_go)
            version = _scalar(self._durable.execute("PRAGMA user_version").fetchall())
            if version > len(MIGRATIONS):
                raise StorageNewer(
                    f"{self.path.name} is of a newer greentrip (schema {version}): update the app; nothing was changed",
                    f"{self.path.name} 由更新版本写入（结构 {version}）：请升级应用；数据未作改动",
                )
            # The whole check, also of the indices: an UPDATE fails for ever where one does not fit its table.
            if self._durable.execute("PRAGMA integrity_check(1)").fetchone() != ("ok",):
                raise StorageCorrupt
            if not has_its_shape(self._durable, version):
                raise StorageCorrupt
            for number, (_, script) in enumerate(MIGRATIONS[version:], start=version + 1):
                with self._write() as db:
                    # Another process may have been first; the version is read again under the write lock.
                    if _scalar(db.execute("PRAGMA user_version").fetchall()) < number:
                        for statement in script.split(";"):
                            db.execute(statement)
                        db.execute(f"PRAGMA user_version = {number}")
            failed.pop_all()

    def _salvage(self) -> None:
        """Copy what can be read of a file that was moved aside, if that was not done: a process may have died between
        the one and the other."""
        asides = moved_aside(self.path)
        if not asides:
            return
        with self._lock, ExitStack() as failed:
            failed.callback(self._let_go)
            with self._write() as db:
                self.recovered = salvage(asides, db) or self.recovered
            failed.pop_all()


def _connect(path: Path, synchronous: str, make: MakeConnection) -> sqlite3.Connection:
    # autocommit: transactions begin where we say, and IMMEDIATE.
    # typeshed wants a class; sqlite3 calls whatever makes a connection.
    db = sqlite3.connect(
        path,
        isolation_level=None,
        check_same_thread=False,
        timeout=BUSY_TIMEOUT_MS / 1000,
        factory=cast("type[sqlite3.Connection]", make),
    )
    try:
        # A flipped bit must not make a whole query fail.
        db.text_factory = text_of
        _into_wal(db)
        db.execute(f"PRAGMA synchronous = {synchronous}")
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("PRAGMA secure_delete = ON")
        db.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_MAX}")
    except BaseException:
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
            if not name_of(error).startswith("SQLITE_BUSY") or time.monotonic() > give_up:
                raise
            time.sleep(BUSY_PAUSE_S)


def _scalar(rows: list[tuple[Any, ...]]) -> int:
    return int(rows[0][0])


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
