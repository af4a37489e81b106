"""A server that the test plays: real keys and real signatures, and any answer that a test thinks of."""

import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import httpx

from greentrip.signing import Signer, signer_of, thumbprint
from greentrip.testing import FakeClock
from greentrip.trust import KeyList, OnlineKey, RequestClaims, open_request, sign_key_list, sign_receipt
from greentrip.wire import (
    NDJSON,
    RECEIPT_HEADER,
    SIGNATURE_HEADER,
    base64url,
    base64url_decode,
    body_digest,
    canonical,
    sha256_hex,
    split_lines,
)

PROBLEM = "application/problem+json"
Handler = Callable[[httpx.Request], httpx.Response]


def problem(status: int, kind: str = "about:blank", headers: dict | None = None, **fields) -> httpx.Response:
    """An RFC 9457 answer, unsigned."""
    document = {"type": f"https://greentrip.example/problems/{kind}", "title": kind, "status": status, **fields}
    return httpx.Response(status, headers={"Content-Type": PROBLEM, **(headers or {})}, content=json.dumps(document))


@dataclass
class FakeServer:
    """Answers on an httpx transport. `script` holds handlers for the next calls of /v1/trips; then all is accepted."""

    clock: FakeClock
    requests: list[httpx.Request] = field(default_factory=list)
    script: deque[Handler] = field(default_factory=deque)
    account: str = "account-1"
    ahead_s: float = 0
    """The server's clock is ahead of the phone's by this much."""

    def __post_init__(self) -> None:
        self._root = signer_of(b"\1" * 32)
        self.voucher = self._root
        """Who signs the key list."""
        self.keys: list[OnlineKey] = []
        self.seq = 0
        self.devices: dict[str, bytes] = {}
        self.online: Signer = self._root
        self.transport = httpx.MockTransport(self._handle)
        self.rotate()

    @property
    def root_key(self) -> str:
        return base64url(self._root.public_key)

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(int(self.clock.now() + self.ahead_s), UTC)

    def rotate(self, *, keep_old: bool = True) -> None:
        """A new online key from now on, on a new list."""
        self.seq += 1
        self.online = signer_of(bytes([100 + self.seq]) * 32)
        era = timedelta(days=20_000)  # clocks jump by years in tests
        key = OnlineKey(self.online.public_key, self.now - era, self.now + era)
        self.keys = [*(self.keys if keep_old else []), key]

    def key_list(self, seq: int | None = None) -> str:
        return sign_key_list(self.voucher, KeyList(self.seq if seq is None else seq, self.now, tuple(self.keys)))

    # What passed

    @property
    def posted(self) -> list[bytes]:
        """The bodies that were posted as trips, in order."""
        return [request.content for request in self.requests if request.url.path == "/v1/trips"]

    def plan(self, *handlers: Handler | httpx.Response) -> None:
        """What the next calls of /v1/trips are answered with."""
        self.script.extend((lambda _, fixed=h: fixed) if isinstance(h, httpx.Response) else h for h in handlers)

    # Answers

    def sign(
        self, request: httpx.Request, response: httpx.Response, answered: dict | None = None, **changes
    ) -> httpx.Response:
        """Put a receipt on an answer; `answered` spoils what it says of the request, `changes` the rest."""
        answered_ndjson = response.headers.get("content-type") == NDJSON
        parts = {
            "signer": self.online,
            "answered": replace(self.claims(request), **(answered or {})),
            "digest": body_digest(response.content, ndjson=answered_ndjson),
            "at": self.now,
        } | changes
        response.headers[RECEIPT_HEADER] = sign_receipt(parts.pop("signer"), **parts)
        return response

    def lines(self, request: httpx.Request, lines: Sequence[object], **changes) -> httpx.Response:
        """A signed answer of these lines (bytes as they are, the rest as JSON)."""
        body = b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)
        response = httpx.Response(200, headers={"Content-Type": NDJSON}, content=body)
        return self.sign(request, response, **changes)

    def results(self, status: str = "accepted", **fields) -> Handler:
        """Answers every line with this status."""
        return lambda request: self.lines(request, [self.result(line, status, **fields) for line in _lines(request)])

    def result(self, line: bytes, status: str = "accepted", **fields) -> dict[str, object]:
        record = json.loads(line)
        return {
            "line": 0,
            "id": record["id"],
            "sha256": sha256_hex(line),
            "status": status,
            "official_mg": record["reduction_mg"],
            "rules": [],
            **fields,
        }

    def clock_problem(self, request: httpx.Request) -> httpx.Response:
        return self.sign(request, problem(401, "clock", now=self.now.isoformat()))

    # Inside

    def _handle(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        path = request.url.path
        if path == "/.well-known/greentrip-keys":
            return httpx.Response(200, text=self.key_list())
        if path == "/v1/enrolments":
            return httpx.Response(201, json={"enrolment": "enrolment-1"})
        if path == "/v1/devices":
            return self._add_device(request)
        self._check_signature(request)
        if path == "/v1/trips":
            return (self.script.popleft() if self.script else self.results())(request)
        return self.json(request, self._account(path, request.url.query))

    def json(self, request: httpx.Request, value: dict, status: int = 200) -> httpx.Response:
        return self.sign(request, httpx.Response(status, content=canonical(value)))

    def _add_device(self, request: httpx.Request) -> httpx.Response:
        key = base64url_decode(json.loads(request.content)["public_key"])
        self.devices[thumbprint(key)] = key
        self._check_signature(request)
        return self.json(request, {"account": self.account}, 201)

    def _account(self, path: str, query: bytes) -> dict:
        if path == "/v1/account":
            return {"account": self.account, "balance_mg": 2_517_120, "trips": {"accepted": 1}}
        entry = {"at": "2026-03-05T09:00:00Z", "kind": "trip", "trip": "t", "mg": 1, "balance_mg": 1}
        if query:
            return {"entries": [entry | {"trip": None, "balance_mg": 2}], "next": None}
        return {"entries": [entry], "next": "cursor"}

    def _device_of(self, request: httpx.Request) -> str:
        header = json.loads(base64url_decode(request.headers[SIGNATURE_HEADER].partition(".")[0]))
        return header["kid"]

    def claims(self, request: httpx.Request) -> RequestClaims:
        """What the phone signed of a request."""
        return open_request(request.headers[SIGNATURE_HEADER], self.devices[self._device_of(request)])

    def _check_signature(self, request: httpx.Request) -> None:
        claims = self.claims(request)
        assert claims.audience == thumbprint(self._root.public_key)
        assert claims.method == request.method
        assert claims.target == request.url.raw_path.decode()
        ndjson = request.headers.get("content-type") == NDJSON
        assert claims.digest == body_digest(request.content, ndjson=ndjson)


def _lines(request: httpx.Request) -> list[bytes]:
    return split_lines(request.content)
