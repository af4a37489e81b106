"""Signed calls to the pinned server: requests under the device's key, answers under the server's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar, cast

from greentrip.clock import Clock
from greentrip.errors import InvalidInput, NotEnrolled, Refused, Unreachable, Untrusted
from greentrip.http import Answer, Http
from greentrip.keyring import KeyRing
from greentrip.signing import KEY_BYTES, Signer, thumbprint
from greentrip.signing.jws import BadToken
from greentrip.store import Store
from greentrip.trust import KeyList, ReceiptFacts, RequestClaims, open_erasure_certificate, open_receipt, signer_id
from greentrip.trust import sign_request as sign
from greentrip.wire import (
    NDJSON,
    RECEIPT_HEADER,
    SIGNATURE_HEADER,
    base64url_decode,
    body_digest,
    sha256_hex,
    split_lines,
)

TRIPS_TARGET = "/v1/trips"
PROBLEM = "application/problem+json"
CALL_TIMEOUT_S = 20.0

Value = TypeVar("Value")


def check_root_key(text: str) -> bytes:
    """The 32 bytes of the server's pinned root key, given as base64url."""
    try:
        key = base64url_decode(text)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise InvalidInput(
            "root_key",
            "must be the server's root key, 43 characters of base64url (`greentrip-server keys show`)",
            "应为服务器根公钥（43 位 base64url，见 greentrip-server keys show）",
        )
    return key


@dataclass(frozen=True, slots=True)
class Call:
    """An answer, what the phone signed to get it (its receipt must repeat that), and the end of the time for both."""

    answer: Answer
    claims: RequestClaims
    deadline: float
    """By the clock's `monotonic`."""


class Remote:
    """One device's view of one server."""

    def __init__(self, http: Http, root_key: bytes, store: Store, clock: Clock) -> None:
        self._http = http
        self.root_key = root_key
        self._store = store
        self._clock = clock
        self.signer: Signer | None = None
        self.keys = KeyRing(http, root_key, store, clock)

    @property
    def device(self) -> str:
        """The id of this phone's key. Raises `NotEnrolled`."""
        if self.signer is None:
            raise NotEnrolled
        return thumbprint(self.signer.public_key)

    def call(
        self, method: str, target: str, body: bytes = b"", *, media_type: str = "", timeout_s: float = CALL_TIMEOUT_S
    ) -> Call:
        """A signed call. Told that the clock is off, it learns the offset and repeats once within the same time."""
        deadline = self._clock.monotonic() + timeout_s
        call = self._call_once(method, target, body, media_type, deadline)
        if problem_kind(call.answer) == "clock" and self._learn_offset(call):
            call = self._call_once(method, target, body, media_type, deadline)
        return call

    def fetch(self, method: str, target: str, body: bytes = b"") -> dict[str, object]:
        """The verified JSON object that answers a signed call. Raises `Refused`, `Unreachable`, `Untrusted`."""
        call = self.call(method, target, body, media_type="application/json" if body else "")
        check_status(call.answer)
        self.verify(call, ndjson=False)
        return read_object(call.answer)

    def plain(self, method: str, target: str, body: bytes = b"") -> dict[str, object]:
        """The JSON object that answers a call by nobody in particular."""
        answer = self.send_plain(method, target, body, CALL_TIMEOUT_S)
        check_status(answer)
        return read_object(answer)

    def send_plain(self, method: str, target: str, body: bytes, timeout_s: float) -> Answer:
        """The answer to a call that nobody in particular makes."""
        headers = {"Content-Type": "application/json"} if body else {}
        return self._http.send(method, target, body, headers, timeout_s)

    def open_certificate(self, order: str, certificate: str) -> datetime:
        """When the server erased the account, by its certificate for a signed order. Raises `Untrusted`."""
        try:
            device = signer_id(order)
        except BadToken as error:
            raise Untrusted(str(error)) from None

        def read(keys: KeyList) -> ReceiptFacts:
            return ReceiptFacts(open_erasure_certificate(certificate, keys, device=device, order=order), 0)

        return self.keys.open(certificate, read, self._clock.monotonic() + CALL_TIMEOUT_S).at

    def verify(self, call: Call, *, ndjson: bool) -> str:
        """The server's time in the answer's receipt (RFC 3339). Raises `Untrusted`. Learns the clock's offset."""
        token = call.answer.headers.get(RECEIPT_HEADER.lower())
        if token is None:
            raise Untrusted("no receipt")
        digest = body_digest(call.answer.body, ndjson=ndjson)
        facts = self.keys.open(token, lambda keys: open_receipt(token, keys, call.claims, digest=digest), call.deadline)
        offset_s = round(facts.at.timestamp() - self._clock.now())
        if offset_s != self.clock_offset_s:
            self._store.put("clock_offset_s", str(offset_s))
        return facts.at.isoformat()

    def server_now(self) -> int:
        """The time by the phone's clock, corrected by what the last verified answer taught."""
        return int(self._clock.now()) + self.clock_offset_s

    @property
    def clock_offset_s(self) -> int:
        """The server's clock is ahead of the phone's by this much, as far as the phone learnt; 0 where it is lost."""
        try:
            return int(self._store.get("clock_offset_s") or 0)
        except ValueError:
            return 0

    def _call_once(self, method: str, target: str, body: bytes, media_type: str, deadline: float) -> Call:
        if self.signer is None:
            raise NotEnrolled
        digest = body_digest(body, ndjson=media_type == NDJSON)
        claims = RequestClaims(thumbprint(self.root_key), self.device, method, target, self.server_now(), digest)
        headers = {SIGNATURE_HEADER: sign(self.signer, claims)}
        if media_type:
            headers["Content-Type"] = media_type
        answer = self._http.send(method, target, body, headers, deadline - self._clock.monotonic())
        return Call(answer, claims, deadline)

    def _learn_offset(self, call: Call) -> bool:
        """Whether the server's signed time explains the refusal."""
        try:
            self.verify(call, ndjson=False)
        except (Untrusted, Unreachable):
            return False
        return True


def problem_of(answer: Answer) -> dict[str, object]:
    """The RFC 9457 document of an answer, or a stand-in that names the status."""
    if answer.media_type == PROBLEM:
        try:
            return read_object(answer)
        except Unreachable:
            pass
    return {"type": "about:blank", "title": f"HTTP {answer.status}"}


def problem_kind(answer: Answer) -> str:
    """The last part of a problem's type, such as `clock`; empty for other answers."""
    if answer.status < 400 or answer.media_type != PROBLEM:
        return ""
    return str(problem_of(answer).get("type", "")).rsplit("/", 1)[-1]


def check_status(answer: Answer) -> None:
    """Raise `Refused` for a problem, `Unreachable` for what is not this server's answer."""
    if answer.status == 200 or answer.status == 201:
        return
    if answer.media_type == PROBLEM and answer.status < 500:
        raise Refused(answer.status, problem_of(answer))
    raise Unreachable(f"HTTP {answer.status}")


def read_object(answer: Answer) -> dict[str, object]:
    """The JSON object in an answer. Anything else is not this server's (a captive portal, say)."""
    try:
        value = json.loads(answer.body)
    except (ValueError, RecursionError):
        raise Unreachable("the answer is not JSON") from None
    if not isinstance(value, dict):
        raise Unreachable("the answer is not a JSON object")
    return cast("dict[str, object]", value)


def field_of(answer: object, name: str, kind: type[Value]) -> Value:
    """A field of this type that an answer must have. Raises `Unreachable`: else it is no answer of this protocol."""
    value = cast("Mapping[str, object]", answer).get(name) if isinstance(answer, Mapping) else None
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise Unreachable(f"the answer has no {name!r} as it should be")
    return value


def line_hashes(body: bytes) -> tuple[str, ...]:
    """The SHA-256 of each line of an NDJSON body."""
    return tuple(sha256_hex(line) for line in split_lines(body))
