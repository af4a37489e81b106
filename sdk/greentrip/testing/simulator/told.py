"""What people were told and what they asked for: to this the phones and the server are held at the end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum


class Wish(StrEnum):
    """What the person wants of a record."""

    COUNT = "count"
    ERASE = "erase"
    """They erased it, and were told that it is done."""
    EITHER = "either"
    """They asked to erase it, and the app died or said no: done or not, but not half."""
    WITHDRAW = "withdraw"
    """They answered that it was no such trip: it stays on the phone and never counts."""


@dataclass
class Record:
    """A record that `finish()` returned, or that was found after a `finish()` that was not heard of."""

    line: bytes
    wish: Wish = Wish.COUNT
    rotten: bool = False
    """A bit of its stored bytes was flipped before it was settled."""


@dataclass
class Member:
    """One person's account on one phone, and everything that was recorded for it there."""

    number: str
    """The phone number by which the server knows the person."""
    account: str | None = None
    records: dict[str, Record] = field(default_factory=dict)
    doubts: int = 0
    """How often `finish()` or `answer()` did not return: for each, one trip may be there that nobody was told of."""

    answered: set[str] = field(default_factory=set)
    """Trips of which they said how it really was: those may be withdrawn."""

    def heard(self, trip_id: str, line: bytes) -> None:
        """`finish()` returned this record."""
        self.records[trip_id] = Record(line)

    def asked_to_erase(self, ids: Iterable[str], wish: Wish) -> None:
        """These are erased, or maybe."""
        for trip_id in ids:
            self.records[trip_id].wish = wish
