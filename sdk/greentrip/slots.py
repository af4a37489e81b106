"""Which file belongs to whom: one for each account on this phone, at one server.

A small file names the slot in use. The others stay where they are, with their trips and keys, until they are chosen
again: records never go out under another account.
"""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from greentrip.errors import InvalidInput
from greentrip.store.faults import typed_errors
from greentrip.wire import sha256_hex

SLOTS_MAX = 100


def name_of(root_key: bytes) -> str:
    """How the files of a phone of the server with this root key begin."""
    return f"greentrip-{sha256_hex(root_key)[:16]}"


class Slots:
    """The files in `folder` of the server with this name."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._pointer = folder / f"{name}.slot"

    @property
    def current(self) -> int:
        """The slot in use; 0 on a phone that never had another."""
        with typed_errors():
            try:
                return int(self._pointer.read_text())
            except (FileNotFoundError, ValueError):
                return 0

    def path(self, slot: int) -> Path:
        """The store's file of a slot."""
        return self._folder / (f"{self._name}-{slot}.sqlite3" if slot else f"{self._name}.sqlite3")

    def key_name(self, slot: int) -> str:
        """Under which name the device's key of a slot is kept."""
        return f"device-{slot}" if slot else "device"

    def accounts(self) -> dict[str, int]:
        """The accounts on this phone, with their slots."""
        found: dict[str, int] = {}
        for slot in self._all():
            with suppress(sqlite3.Error):
                account = _read_account(self.path(slot))
                if account is not None:
                    found[account] = slot
        return found

    def find(self, account: str | None) -> int:
        """The slot of an account; None: one for an account that is not here yet.

        Raises `InvalidInput` where no slot has that account.
        """
        known = self.accounts()
        if account is not None and account not in known:
            raise InvalidInput(
                "account", "this phone has no such account: see accounts()", "本机没有该账户：请查看账户列表"
            )
        return known[account] if account is not None else self._empty()

    def use(self, slot: int) -> None:
        """Use this slot from now on, also after the process has ended. Raises `StorageError`."""
        with typed_errors():
            draft = self._pointer.with_suffix(".new")
            with draft.open("w") as file:
                file.write(str(slot))
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._pointer)

    def _empty(self) -> int:
        for slot in range(SLOTS_MAX):
            # A file that cannot be read may be somebody's.
            with suppress(sqlite3.Error):
                if not self.path(slot).exists() or _read_account(self.path(slot)) is None:
                    return slot
        raise InvalidInput(
            "account", f"this phone keeps {SLOTS_MAX} accounts at most", f"本机最多保存 {SLOTS_MAX} 个账户"
        )

    def _all(self) -> list[int]:
        numbered = re.compile(rf"{re.escape(self._name)}(?:-(\d+))?\.sqlite3")
        matches = [numbered.fullmatch(path.name) for path in self._folder.glob(f"{self._name}*.sqlite3")]
        return sorted(int(match[1] or 0) for match in matches if match)


def _read_account(path: Path) -> str | None:
    with closing(sqlite3.connect(path)) as db:
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
            return None  # its process died before it got that far
        row = db.execute("SELECT value FROM meta WHERE name = 'account'").fetchone()
    return str(row[0]) if row else None
