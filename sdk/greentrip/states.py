"""Where a record stands."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a record stands. `ASKED`, `PENDING`, `LEASED`, `HELD`, `UNSUPPORTED` and `SET_ASIDE` are not final."""

    ASKED = "asked"
    """The phone asks how a leg was really travelled; it is sent once that is answered, or the question has lapsed."""
    PENDING = "pending"
    LEASED = "leased"
    ACCEPTED = "accepted"
    HELD = "held"
    REJECTED = "rejected"
    CONFLICT = "conflict"
    UNSUPPORTED = "unsupported"
    SET_ASIDE = "set_aside"
    """The server refused every call that carried it, and took its neighbours: it stays here with the server's words and
    is tried again daily. No signed result names it, so it is not final."""
    ERASED = "erased"
    """The server says that the person erased it, maybe from another device: it never counts."""
    DAMAGED = "damaged"
    """Its bytes no longer match their hash: set aside, never sent."""
    LOCAL = "local"
    """Recorded and explained, but not sent: outside the programme."""
    WITHDRAWN = "withdrawn"
    """The person corrected it before it was sent, and it never will be."""


NOT_FINAL = frozenset({State.ASKED, State.PENDING, State.LEASED, State.HELD, State.UNSUPPORTED, State.SET_ASIDE})
"""More is to come of these; the other states say how a record left the queue."""
