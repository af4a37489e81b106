"""What the simulator asks of a server: any that runs in this process, on the world's clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import httpx


@dataclass(frozen=True, slots=True)
class ServerTrip:
    """A trip as the server knows it: its status in the protocol's words, what it counts for, and its stored bytes."""

    status: str
    mg: int = 0
    line: bytes | None = None
    """None when the bytes were erased, or this server keeps none."""


@dataclass(frozen=True, slots=True)
class ServerAccount:
    """An account as the server knows it. `trips` by id, with those that were erased."""

    trips: Mapping[str, ServerTrip]
    balance_mg: int


class Backend(Protocol):
    """A server under simulation. One object serves one seed after the other, one request at a time."""

    interrupt: Callable[[], bool]
    """Set by the simulator. Ask it wherever your process may die: at every await (`AsgiTransport` does) and at every
    statement. Once it says true nothing more of the request may run, and the caller must get `httpx.ReadError`."""

    @property
    def root_key(self) -> str:
        """The public root key, as base64url."""

    @property
    def transport(self) -> httpx.BaseTransport:
        """What phones talk to: `AsgiTransport(app)` for an ASGI application."""

    def begin(self, now: Callable[[], datetime]) -> None:
        """Forget everything: an empty server whose clock is `now`."""

    def end(self) -> None:
        """Let go of everything."""

    def last_code(self) -> str:
        """The newest one-time code that was sent to a phone number."""

    def kill(self) -> None:
        """The process dies: connections drop, what was not committed is lost."""

    def start(self) -> None:
        """Start it again after a kill."""

    def set_database(self, up: bool) -> None:
        """Take the database away from the server, or give it back. Calls must be answered 503 meanwhile."""

    def backup(self) -> None:
        """Keep a copy of all data."""

    def restore(self) -> None:
        """Go back to the copy; called only after `backup`, while the process is dead."""

    def rotate_keys(self, *, stolen: bool) -> None:
        """Sign with a new online key from now on. `stolen`: the one before leaves the list."""

    def maintain(self) -> None:
        """What operators run daily: judge held trips again whose day has come."""

    def accounts(self) -> Mapping[str, ServerAccount]:
        """Everything that counts, by account id."""

    def findings(self) -> Sequence[str]:
        """What the server's own audit finds wrong: an unbalanced ledger, a fault in its log."""
