"""What SQLite and the disk say, as errors that tell the caller what to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from greentrip.errors import StorageCorrupt, StorageError, StorageFull

CORRUPT = ("SQLITE_CORRUPT", "SQLITE_NOTADB")


def name_of(error: BaseException) -> str:
    """SQLite's name of what went wrong, such as SQLITE_FULL."""
    return getattr(error, "sqlite_errorname", type(error).__name__)


@contextmanager
def typed_errors() -> Iterator[None]:
    """Raise `StorageError` and its kinds for whatever the database or the disk raises in the block."""
    try:
        yield
    except sqlite3.ProgrammingError as error:
        raise StorageError(f"the store is closed ({error})", f"存储已关闭（{error}）") from error
    except sqlite3.Error as error:
        name = name_of(error)
        if name.startswith("SQLITE_FULL"):
            raise StorageFull from error
        if name.startswith(CORRUPT):
            raise StorageCorrupt from error
        raise StorageError(
            f"the store cannot be used ({name}): check the folder; what was committed is kept",
            f"本地存储不可用（{name}）：请检查存储目录；已提交的记录均已保留",
        ) from error
    except UnicodeDecodeError as error:  # of SQLite's message, when it holds a damaged text
        raise StorageCorrupt from error
    except OSError as error:
        raise StorageError(
            f"the folder cannot be used ({error.strerror}): choose another",
            f"目录不可用（{error.strerror}）：请更换目录",
        ) from error
