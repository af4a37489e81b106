"""A server to play: real keys and signatures, the protocol's rules, no database, and any answer that a test plans."""

from __future__ import annotations

import asyncio
import copy
import json
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, TypedDict, Unpack

import httpx

from greentrip.clock import Clock
from greentrip.record import TripRecord
from greentrip.signing import Signer, signer_of, thumbprint
from greentrip.states import State
from greentrip.testing.answers import Handler, problem, raw_body
from greentrip.testing.fake_books import FakeAccount, FakeBooks, FakeTrip, Judge
from greentrip.testing.fake_calls import BODY_BYTES_MAX, CALLS, PAGE_ROWS_MAX, TRIPS, CallRefused
from greentrip.trust import (
    ONLINE_KEYS_MAX,
    KeyList,
    OnlineKey,
    RequestClaims,
    open_request,
    rfc3339,
    sign_key_list,
    sign_receipt,
    signer_id,
)
from greentrip.wire import (
    NDJSON,
    RECEIPT_HEADER,
    SIGNATURE_HEADER,
    JsonValue,
    base64url,
    body_digest,
    canonical,
    join_lines,
    sha256_hex,
    split_lines,
)

KEY_LIFE = timedelta(days=20_000)
"""Before and after now: clocks jump by years in tests."""

Planned = Handler | httpx.Response | Exception
"""What a call is answered with: an answer, what makes one from the request, or what the caller's network raises."""


class Spoilt(TypedDict, total=False):
    """What a test may make wrong in a receipt."""

    answered: Mapping[str, object]
    """Claims of the request (`RequestClaims`) that it names otherwise."""
    signer: Signer
    at: datetime
    keys: int


@dataclass
class FakeServer:
    """Hand `transport` to `GreenTrip.open`, or `FakeServer` itself, which is an ASGI application, to `AsgiTransport`.

    It keeps records by id for ever, credits each of them once, and signs what it says, as the real one does. It has no
    checks: `judge` says what becomes of a record; without one all are accepted at the phone's own figure. What was
    planned with `plan()` is answered first. Neither pages for people nor methodologies are served.
    """

    clock: Clock
    """The true time; a `FakeClock` that the phone shares, say."""
    ahead_s: float = 0
    """The server's clock is ahead of `clock` by this much."""
    code: str = "123456"
    """The one-time code that every phone number gets."""
    judge: Judge = field(default_factory=lambda: _accept)
    """What becomes of a new record."""
    body_bytes_max: int = BODY_BYTES_MAX
    """A larger body is refused with 413."""
    page_rows_max: int = PAGE_ROWS_MAX
    """Rows on a page of the statement and of the notices."""
    requests: list[httpx.Request] = field(default_factory=list, init=False, repr=False)
    """Everything that arrived, in order."""
    script: dict[str, deque[Planned]] = field(default_factory=dict, init=False, repr=False)
    """What was planned, by path."""
    books: FakeBooks = field(default_factory=FakeBooks, init=False, repr=False)
    """Everything that it would have in a database."""

    def __post_init__(self) -> None:
        self._root = signer_of(b"\1" * 32)
        self._lock = threading.Lock()
        self.voucher = self._root
        """Who signs the key list."""
        self.keys: list[OnlineKey] = []
        """The key list."""
        self.seq = 0
        """The key list's number."""
        self.online: Signer = self._root
        """Who signs receipts."""
        self.transport = httpx.MockTransport(self.answer)
        self.rotate()

    # Keys and time

    @property
    def root_key(self) -> str:
        """For `GreenTrip.open(root_key=...)`."""
        return base64url(self._root.public_key)

    @property
    def audience(self) -> str:
        """The server's name in signatures."""
        return thumbprint(self._root.public_key)

    @property
    def now(self) -> datetime:
        """The time by the server's clock, in whole seconds."""
        return datetime.fromtimestamp(int(self.clock.now() + self.ahead_s), UTC)

    def rotate(self, *, keep_old: bool = True) -> None:
        """Sign with a new online key from now on, on a new list; without the old ones on it they are revoked."""
        self.seq += 1
        self.online = signer_of(sha256(b"online key %d" % self.seq).digest())
        key = OnlineKey(self.online.public_key, self.now - KEY_LIFE, self.now + KEY_LIFE)
        self.keys = [*(self.keys if keep_old else []), key][-ONLINE_KEYS_MAX:]

    def key_list(self, seq: int | None = None) -> str:
        """The signed list, maybe under another number."""
        return sign_key_list(self.voucher, KeyList(self.seq if seq is None else seq, self.now, tuple(self.keys)))

    # What passed, and what is there

    @property
    def posted(self) -> list[bytes]:
        """The bodies that were posted as trips, in order."""
        return [request.content for request in self.requests if request.url.path == TRIPS]

    @property
    def devices(self) -> dict[str, bytes]:
        """The public key of each device."""
        return self.books.devices

    @property
    def accounts(self) -> dict[str, FakeAccount]:
        """The accounts by id: `account-1` is the first."""
        return self.books.accounts

    @property
    def records(self) -> dict[str, FakeTrip]:
        """The trips of all accounts by id."""
        return {trip.id: trip for account in self.accounts.values() for trip in account.trips.values()}

    @property
    def balance_mg(self) -> int:
        """What all accounts have together."""
        return sum(account.balance_mg for account in self.accounts.values())

    # What a test does to it

    def plan(self, *answers: Planned, path: str = TRIPS) -> None:
        """What the next calls of `path` are answered with, one each. They do not reach the server behind: `serve` does.

        `problem(503)`, `portal()`, `server.results("held")`, `server.lose_answer`, `httpx.ConnectError("no route")`.
        """
        self.script.setdefault(path, deque()).extend(answers)

    def decide(self, trip_id: str, status: State, official_mg: int | None = None) -> None:
        """Staff accept or reject a held trip; the phone learns of it when it asks. Raises KeyError, ValueError."""
        account = next((account for account in self.accounts.values() if trip_id in account.trips), None)
        if account is None:
            raise KeyError(f"no account has the trip {trip_id}")
        account.decide(trip_id, status, self.now, official_mg)

    def end_device(self, device: str) -> None:
        """This device may call no more: 403 `device_ended`."""
        self.books.ended.add(device)

    def backup(self) -> FakeBooks:
        """A copy of all that it knows now; keys are kept elsewhere."""
        with self._lock:
            return copy.deepcopy(self.books)

    def restore(self, backup: FakeBooks) -> None:
        """Forget all that came after the backup."""
        with self._lock:
            self.books = copy.deepcopy(backup)

    # Answers

    def answer(self, request: httpx.Request) -> httpx.Response:
        """What was planned for this call, else what `serve` says."""
        request.read()
        self.requests.append(request)
        planned = self.script.get(request.url.path)
        if not planned:
            return self.serve(request)
        answer = planned.popleft()
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else answer(request)

    def serve(self, request: httpx.Request) -> httpx.Response:
        """Do what the call asks for, and answer it."""
        call = CALLS.get((request.method, request.url.path))
        if call is None:
            return problem(404, "not_found")
        if len(request.content) > self.body_bytes_max:
            return problem(413, "too_large", bytes_max=self.body_bytes_max)
        try:
            with self._lock:
                return call(self, request)
        except CallRefused as refused:
            return refused.answer

    def lose_answer(self, request: httpx.Request) -> httpx.Response:
        """Plan it: all is done and kept, and the answer is lost."""
        self.serve(request)
        raise httpx.ReadError("the answer is lost", request=request)

    def cut_answer(self, request: httpx.Request) -> httpx.Response:
        """Plan it: all is done and kept, and half of the answer's body comes."""
        answer = self.serve(request)
        headers = {name: value for name, value in answer.headers.items() if name != "content-length"}
        return httpx.Response(answer.status_code, headers=headers, content=answer.content[: len(answer.content) // 2])

    def clock_problem(self, request: httpx.Request) -> httpx.Response:
        """Plan it: the signed refusal from which a phone learns the server's time."""
        return self.sign(request, problem(401, "clock", server_time=rfc3339(self.now)))

    def results(self, status: str = State.ACCEPTED, **fields: JsonValue) -> Handler:
        """Plan it: a signed answer that gives every line this status.

        It is only said, nothing is kept: a phone that compares later finds that the server has lost what it accepted,
        and sends it again. `judge` makes a server that means it.
        """
        return lambda request: self.lines(
            request, [self.result(line, status, **fields) for line in split_lines(request.content)]
        )

    def result(self, line: bytes, status: str = State.ACCEPTED, **fields: JsonValue) -> dict[str, JsonValue]:
        """A result for a record's bytes, with the phone's own figure."""
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

    def lines(self, request: httpx.Request, lines: Sequence[object], **spoilt: Unpack[Spoilt]) -> httpx.Response:
        """A signed answer of these lines: bytes as they are, the rest as JSON. `spoilt`: see `sign`."""
        body = join_lines(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
        response = httpx.Response(200, headers={"Content-Type": NDJSON}, content=body)
        return self.sign(request, response, **spoilt)

    def json(self, request: httpx.Request, value: Mapping[str, JsonValue], status: int = 200) -> httpx.Response:
        """A signed answer of one object."""
        body = canonical(value)
        return self.sign(request, httpx.Response(status, headers={"Content-Type": "application/json"}, content=body))

    def sign(
        self,
        request: httpx.Request,
        response: httpx.Response,
        claims: RequestClaims | None = None,
        **spoilt: Unpack[Spoilt],
    ) -> httpx.Response:
        """Put a receipt on an answer: to what the phone claims in `request`, unless other `claims` are given."""
        answered: Any = spoilt.get("answered", {})
        response.headers[RECEIPT_HEADER] = sign_receipt(
            spoilt.get("signer", self.online),
            replace(claims or self.claims(request), **answered),
            digest=body_digest(response.content, ndjson=response.headers.get("content-type") == NDJSON),
            at=spoilt.get("at", self.now),
            keys=spoilt.get("keys", self.seq),
        )
        return response

    def claims(self, request: httpx.Request) -> RequestClaims:
        """What a known device signed of a request. Raises KeyError, `BadToken`."""
        token = request.headers[SIGNATURE_HEADER]
        return open_request(token, self.devices[signer_id(token)])

    # As an ASGI application

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        """Each `sleep(0)` is a step at which `AsgiTransport` may kill it: before the work, and before the answer."""
        if scope["type"] != "http":
            raise ValueError("a FakeServer has no lifespan")
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        url = httpx.URL(scheme="http", host="server", raw_path=_raw_path(scope))
        await asyncio.sleep(0)
        response = self.answer(httpx.Request(scope["method"], url, headers=scope["headers"], content=body))
        await asyncio.sleep(0)
        start = {"type": "http.response.start", "status": response.status_code, "headers": response.headers.raw}
        await send(start)
        await send({"type": "http.response.body", "body": raw_body(response)})


def _accept(record: TripRecord) -> State:
    return State.ACCEPTED


def _raw_path(scope: Mapping[str, Any]) -> bytes:
    query = scope["query_string"]
    path: bytes = scope["raw_path"]
    return path + b"?" + query if query else path
