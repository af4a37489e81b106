"""Which file belongs to whom: one for each account on this phone, at one server.

A small file names the slot in use. The others stay where they are, with their trips and keys, until they are chosen
again: records never go out under another account.
"""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path

from greentrip.errors import InvalidInput

SLOTS_MAX = 100


class Slots:
    """The files in `folder` of the server with this name."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._pointer = folder / f"{name}.slot"

    @property
    def current(self) -> int:
        """The slot in use; 0 on a phone that never had another."""
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
            account = _account_of(self.path(slot))
            if account is not None:
                found[account] = slot
        return found

    def choose(self, account: str | None) -> int:
        """Use the slot of an account from now on; None: one for an account that is not here yet.

        Raises `InvalidInput` where no slot has that account.
        """
        known = self.accounts()
        if account is not None and account not in known:
            raise InvalidInput(
                "account", "this phone has no such account: see accounts()", "本机没有该账户：请查看账户列表"
            )
        slot = known[account] if account is not None else self._empty(set(known.values()))
        draft = self._pointer.with_suffix(".new")
        with draft.open("w") as file:
            file.write(str(slot))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._pointer)
        return slot

    def _empty(self, taken: set[int]) -> int:
        for slot in range(SLOTS_MAX):
            if slot not in taken:
                return slot
        raise InvalidInput(
            "account", f"this phone keeps {SLOTS_MAX} accounts at most", f"本机最多保存 {SLOTS_MAX} 个账户"
        )

    def _all(self) -> list[int]:
        numbered = re.compile(rf"{re.escape(self._name)}(?:-(\d+))?\.sqlite3")
        matches = [numbered.fullmatch(path.name) for path in self._folder.glob(f"{self._name}*.sqlite3")]
        return sorted(int(match[1] or 0) for match in matches if match)


def _account_of(path: Path) -> str | None:
    try:
        with closing(sqlite3.connect(path)) as db:
            row = db.execute("SELECT value FROM meta WHERE name = 'account'").fetchone()
    except sqlite3.Error:
        return None
    return str(row[0]) if row else None
