"""What goes into the store and comes out of it: plain frozen data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from greentrip.record import Evidence
from greentrip.states import State
from greentrip.wire import sha256_hex


def is_id(text: object) -> bool:
    """Whether this can be a record's id."""
    try:
        return isinstance(text, str) and str(UUID(text)) == text
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a trip in progress has come: the number of its events and fixes, and its first event."""

    events: int
    fixes: int
    first: str | None


@dataclass(frozen=True, slots=True)
class NewTrip:
    """A trip that is about to be kept: what is shown, the evidence, and the record's line (None: not sent).

    With `ask_until_ms` the record waits for an answer until then. `likenesses` are the fingerprints of its tracks. By
    itself the phone sends the record only after `send_after_ms`; a person who taps "sync" does not wait for it.
    """

    id: str
    recorded_ms: int
    summary: Mapping[str, object]
    evidence: Evidence
    line: bytes | None
    ask_until_ms: int | None = None
    likenesses: Sequence[str] = ()
    send_after_ms: int = 0


@dataclass(frozen=True, slots=True)
class TripRow:
    """A finished trip: what the person sees (`summary`), and where its record stands."""

    id: str
    summary: dict[str, object]
    state: State
    record: bytes | None
    result: dict[str, object] | None
    why: dict[str, object] | None = None
    """What the server said of a record that is set aside."""


@dataclass(frozen=True, slots=True)
class QueuedRecord:
    """A leased record: the exact bytes to send."""

    id: str
    line: bytes
    sha256: str


@dataclass(frozen=True, slots=True)
class Settlement:
    """What the server said of one record, and when the phone may ask again (None: final)."""

    sha256: str
    state: State
    result_line: bytes
    ask_again_ms: int | None


@dataclass(frozen=True, slots=True)
class Receipt:
    """A server's signature over an answer, kept with all that is needed to check it offline."""

    jws: str
    device: str
    request_lines: tuple[str, ...]
    answer_lines: tuple[str, ...]
    at: str


def is_whole(line: object, digest: object) -> bool:
    """Whether a record's stored bytes are those that its hash was made of."""
    return isinstance(line, bytes) and sha256_hex(line) == digest
