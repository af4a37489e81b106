"""The erasure journal: a file beside the database that names every erased account, for the day of a restored backup.

One canonical JSON object a line. A line that has its end was flushed to the disk before anybody was told of an erasure.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from greentrip.wire import canonical, sha256_hex
from greentrip_server.db import RETRY_LATER_S, hour_of
from greentrip_server.errors import SettingsError, rfc3339, unavailable

LINE_BYTES_MAX = 512


@dataclass(frozen=True, slots=True)
class ErasedAccount:
    """One line: which account was erased by which order. No number, no name, no place."""

    account_id: UUID
    order_sha256: str
    """Of the order of a device as it came, or of the reason that staff gave."""
    kid: str | None
    """The online key that signed the certificate; None when staff erased the account."""
    hour: datetime

    @classmethod
    def by_staff(cls, account_id: UUID, why: str, at: datetime) -> ErasedAccount:
        """What staff erased; of the reason only the hash is kept, since people write names into such texts."""
        return cls(account_id, sha256_hex(why.encode()), None, hour_of(at))

    def to_line(self) -> bytes:
        """The line, with its end."""
        value = {"account": str(self.account_id), "at": rfc3339(self.hour), "kid": self.kid, "order": self.order_sha256}
        return canonical(value) + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> ErasedAccount:
        """Raises ValueError."""
        try:
            value = json.loads(line)
            kid = value["kid"]
            at = datetime.fromisoformat(value["at"])
            return cls(UUID(value["account"]), str(value["order"]), None if kid is None else str(kid), at)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("is no line of an erasure journal") from error


class Journal:
    """The file; made with its first line, readable by its owner only. Processes and threads may append at once."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, erased: ErasedAccount) -> None:
        """Add a line and flush it to the disk. Raises `unavailable`: then nobody may be told of the erasure."""
        try:
            with self._locked() as file:
                _cut_torn_line(file)
                _write_all(file, erased.to_line())
                os.fsync(file)
        except OSError as error:
            raise unavailable(RETRY_LATER_S) from error

    def read(self) -> Iterator[ErasedAccount]:
        """All lines, oldest first; an account may come several times. Raises `SettingsError` for a damaged line.

        A last line without its end is left out: its write was cut short, and nobody was told of that erasure.
        """
        try:
            with self.path.open("rb") as file:
                for number, line in enumerate(file, start=1):
                    if line.endswith(b"\n"):
                        yield self._parse(line, number)
        except FileNotFoundError:
            return

    def _parse(self, line: bytes, number: int) -> ErasedAccount:
        try:
            return ErasedAccount.from_line(line)
        except ValueError:
            why = f"{self.path}, line {number}, is damaged: an erased account may come back; mend the line from a copy"
            raise SettingsError([f"GREENTRIP_ERASURE_JOURNAL_FILE: {why}"]) from None

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """The open file, for one appender at a time. Raises OSError."""
        new = not self.path.exists()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            if new:
                _flush_folder(self.path.parent)
            yield file
        finally:
            os.close(file)  # the lock ends with it


def _cut_torn_line(file: int) -> None:
    """Take away a last line that was cut short, so that the next one does not grow onto it."""
    size = os.fstat(file).st_size
    begin = max(0, size - LINE_BYTES_MAX)
    tail = os.pread(file, LINE_BYTES_MAX, begin)
    if tail and not tail.endswith(b"\n"):
        os.ftruncate(file, begin + tail.rfind(b"\n") + 1)


def _write_all(file: int, line: bytes) -> None:
    while line:
        line = line[os.write(file, line) :]


def _flush_folder(folder: Path) -> None:
    """Make sure that a new file is still in its folder after a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
