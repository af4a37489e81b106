"""Signed calls to the pinned server: requests under the device's key, answers under the server's."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from greentrip.clock import Clock
from greentrip.errors import InvalidInput, NotEnrolled, Refused, Unreachable, Untrusted
from greentrip.http import Answer, Http
from greentrip.signing import KEY_BYTES, Signer, thumbprint
from greentrip.signing.jws import BadToken
from greentrip.store import Receipt, Store
from greentrip.trust import KeyList, RequestClaims, open_kept_receipt, open_key_list, open_receipt, signer_id
from greentrip.trust import sign_request as sign
from greentrip.wire import (
    NDJSON,
    RECEIPT_HEADER,
    SIGNATURE_HEADER,
    base64url_decode,
    body_digest,
    digest_of,
    sha256_hex,
    split_lines,
)

KEYS_TARGET = "/.well-known/greentrip-keys"
TRIPS_TARGET = "/v1/trips"
PROBLEM = "application/problem+json"
CALL_TIMEOUT_S = 20.0
_HASH = re.compile(r"[0-9a-f]{64}")


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
        self._root_key = root_key
        self._store = store
        self._clock = clock
        self.signer: Signer | None = None

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
        headers = {"Content-Type": "application/json"} if body else {}
        answer = self._http.send(method, target, body, headers, CALL_TIMEOUT_S)
        check_status(answer)
        return read_object(answer)

    def verify(self, call: Call, *, ndjson: bool) -> str:
        """The server's time in the answer's receipt (RFC 3339). Raises `Untrusted`. Learns the clock's offset."""
        token = call.answer.headers.get(RECEIPT_HEADER.lower())
        if token is None:
            raise Untrusted("no receipt")
        try:
            at = open_receipt(
                token,
                self._keys_for(token, call.deadline),
                call.claims,
                digest=body_digest(call.answer.body, ndjson=ndjson),
            )
        except BadToken as error:
            raise Untrusted(str(error)) from None
        self._store.put("clock_offset_s", str(round(at.timestamp() - self._clock.now())))
        return at.isoformat()

    def verify_kept(self, record: bytes, result_line: bytes, receipt: Receipt) -> datetime:
        """When the server signed for a record, from what the phone keeps. Raises `Untrusted`."""
        if sha256_hex(record) not in receipt.request_lines or sha256_hex(result_line) not in receipt.answer_lines:
            raise Untrusted("the receipt is for other bytes")
        if json.loads(result_line).get("sha256") != sha256_hex(record):
            raise Untrusted("the result is for another record")
        if not all(map(_HASH.fullmatch, (*receipt.request_lines, *receipt.answer_lines))):
            raise Untrusted("the receipt's hashes are damaged")
        keys = self._stored_keys()
        if keys is None:
            raise Untrusted("no key list is kept")
        try:
            return open_kept_receipt(
                receipt.jws,
                keys,
                device=receipt.device,
                method="POST",
                target=TRIPS_TARGET,
                request_digest=digest_of(receipt.request_lines),
                digest=digest_of(receipt.answer_lines),
            )
        except BadToken as error:
            raise Untrusted(str(error)) from None

    def server_now(self) -> int:
        """The time by the phone's clock, corrected by what the last verified answer taught."""
        return int(self._clock.now()) + int(self._store.get("clock_offset_s") or 0)

    def _call_once(self, method: str, target: str, body: bytes, media_type: str, deadline: float) -> Call:
        if self.signer is None:
            raise NotEnrolled
        digest = body_digest(body, ndjson=media_type == NDJSON)
        claims = RequestClaims(thumbprint(self._root_key), self.device, method, target, self.server_now(), digest)
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

    def _keys_for(self, token: str, deadline: float) -> KeyList:
        """The key list that knows the token's signer: the stored one, else a fresh one."""
        stored = self._stored_keys()
        try:
            kid = signer_id(token)
        except BadToken as error:
            raise Untrusted(str(error)) from None
        if stored is not None and stored.find(kid) is not None:
            return stored
        answer = self._http.send("GET", KEYS_TARGET, b"", {}, deadline - self._clock.monotonic())
        if answer.status != 200:
            raise Unreachable(f"no key list, HTTP {answer.status}")
        try:
            text = answer.body.decode("ascii").strip()
            fresh = open_key_list(text, self._root_key)
        except (BadToken, UnicodeDecodeError) as error:
            raise Untrusted(f"key list: {error}") from None
        if stored is not None and fresh.seq < stored.seq:
            raise Untrusted("an older key list than one seen before")
        self._store.put("key_list", text)
        return fresh

    def _stored_keys(self) -> KeyList | None:
        text = self._store.get("key_list")
        return open_key_list(text, self._root_key) if text else None


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


def field_of(answer: Mapping[str, object], name: str) -> object:
    """A field that an answer must have. Raises `Unreachable`: without it, it is not an answer of this protocol."""
    if name not in answer:
        raise Unreachable(f"the answer has no {name!r}")
    return answer[name]


def line_hashes(body: bytes) -> tuple[str, ...]:
    """The SHA-256 of each line of an NDJSON body."""
    return tuple(sha256_hex(line) for line in split_lines(body))
