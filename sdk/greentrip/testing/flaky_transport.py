"""A network that fails by chance, the same way for the same dice: between a phone and any transport."""

from __future__ import annotations

import gzip
import random
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from email.utils import formatdate

import httpx

from greentrip.clock import Clock
from greentrip.testing.answers import PROBLEM, portal, raw_body

TIMEOUT_S = 30.0
"""How long a caller waits who did not say."""
LOG_EXCHANGES_MAX = 10_000

STATUSES = (400, 401, 403, 404, 408, 409, 410, 413, 422, 425, 426, 429, 500, 502, 503, 504, 520)
RETRY_AFTERS: tuple[Callable[[float], str | None], ...] = (
    lambda now: None,
    lambda now: "1",
    lambda now: "120",
    lambda now: formatdate(now + 60, usegmt=True),
    lambda now: formatdate(now - 60, usegmt=True),
    lambda now: "-1",
    lambda now: "NaN",
    lambda now: "1e12",
    lambda now: "later",
    lambda now: "",
)
"""Every form in which a `Retry-After` comes, from the time of the phone's clock: none, seconds, dates, nonsense."""

BODIES = (
    (PROBLEM, b'{"type":"about:blank","title":"the network between answers"}'),
    ("text/html", b"<!doctype html><title>Error</title>"),
    ("text/plain", b""),
)
ARRIVED_ALL_THE_SAME = 0.5
"""How many of the answers from between come although the request arrived."""
GZIP_TRAILER_BYTES = 8


@dataclass(frozen=True, slots=True)
class NetworkFaults:
    """How probable each fault is, 0 to 1. A request meets one at most, so together they are at most 1."""

    drop: float = 0.0
    """The request never arrives: no connection."""
    lose: float = 0.0
    """The request arrives; the connection breaks before the answer does."""
    delay: float = 0.0
    """The request arrives; its answer comes after the caller's time is up, and that time passes."""
    late: float = 0.0
    """The caller's time is up; the request arrives after a later one, or with `deliver_late()`."""
    duplicate: float = 0.0
    """The request arrives twice; the second answer comes back."""
    truncate: float = 0.0
    """The answer's body ends early, told or not, or is gzip that cannot be unpacked."""
    reset: float = 0.0
    """The connection breaks within the answer's body."""
    status: float = 0.0
    """Somebody between answers 4xx or 5xx, with any form of `Retry-After`; the request arrives all the same, or not."""
    portal: float = 0.0
    """A captive portal answers 200 with a page, or 302 to one; the request never arrives."""

    def __post_init__(self) -> None:
        chances = [getattr(self, item.name) for item in fields(self)]
        if not all(0 <= chance <= 1 for chance in chances) or sum(chances) > 1 + 1e-9:
            raise ValueError("each fault has a probability of 0 to 1, and all of them together of at most 1")

    @classmethod
    def none(cls) -> NetworkFaults:
        """A network that works."""
        return cls()

    @classmethod
    def bad(cls) -> NetworkFaults:
        """Every fault at once; two requests in five get through."""
        return cls(
            drop=0.1,
            lose=0.1,
            delay=0.05,
            late=0.05,
            duplicate=0.05,
            truncate=0.05,
            reset=0.05,
            status=0.1,
            portal=0.05,
        )


@dataclass(frozen=True, slots=True)
class Exchange:
    """What became of one request: when (Unix seconds of the clock), the call, the fault if any, and what came back.

    `outcome` is an HTTP status or the name of an httpx exception. No body and no query is kept.
    """

    at: float
    method: str
    path: str
    fault: str
    outcome: str


@dataclass(eq=False)
class FlakyTransport(httpx.BaseTransport):
    """Passes requests on to `inner`, and does to some of them what bad networks do.

    `dice` decide: the same seed and the same requests meet the same faults. A caller that waits in vain spends its own
    timeout on `clock`, so with a `FakeClock` nothing waits. `faults` and `offline` may be changed at any time. Several
    phones may share one; for a seed to decide everything, they take turns.
    """

    inner: httpx.BaseTransport
    faults: NetworkFaults
    dice: random.Random
    clock: Clock
    offline: bool = False
    """No request arrives: `httpx.ConnectError`."""
    counts: Counter[str] = field(default_factory=Counter)
    """Faults so far, by their names in `NetworkFaults`, and `offline`."""
    log: deque[Exchange] = field(default_factory=lambda: deque(maxlen=LOG_EXCHANGES_MAX))
    """What happened, the newest last."""
    _held: list[httpx.Request] = field(default_factory=list, init=False, repr=False)

    @property
    def healthy(self) -> bool:
        """Whether whatever is sent now gets through, and its answer too."""
        return not self.offline and self.faults == NetworkFaults.none()

    def heal(self) -> None:
        """No more faults; what is still on its way arrives."""
        self.faults, self.offline = NetworkFaults.none(), False
        self.deliver_late()

    def deliver_late(self) -> None:
        """Let the requests arrive whose callers have given up."""
        held, self._held = self._held, []
        for request in held:
            self._unheard(request)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The answer of `inner`, or what the network makes of it. Raises `httpx.TransportError`."""
        request.read()
        at, fault, outcome = self.clock.now(), self._draw(), ""
        if fault:
            self.counts[fault] += 1
        try:
            answer = _ACTS[fault](self, request)
            outcome = str(answer.status_code)
            return answer
        except BaseException as error:
            outcome = type(error).__name__
            raise
        finally:
            self.log.append(Exchange(at, request.method, request.url.path, fault, outcome))

    def close(self) -> None:
        """Close `inner`."""
        self.inner.close()

    def _draw(self) -> str:
        """The name of the fault that a request meets; empty for none."""
        if self.offline:
            return "offline"
        drawn = self.dice.random()
        for item in fields(self.faults):
            drawn -= getattr(self.faults, item.name)
            if drawn < 0:
                return item.name
        return ""

    def _arrive(self, request: httpx.Request) -> httpx.Response:
        answer = self.inner.handle_request(request)
        self.deliver_late()
        return answer

    def _unheard(self, request: httpx.Request) -> None:
        """The request arrives, and nobody learns what came of it."""
        with suppress(httpx.TransportError):
            self.inner.handle_request(request).close()

    def _be_offline(self, request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("offline", request=request)

    def _drop(self, request: httpx.Request) -> httpx.Response:
        self._wait(request, "connect")
        raise httpx.ConnectTimeout("dropped", request=request)

    def _lose(self, request: httpx.Request) -> httpx.Response:
        self._arrive(request).close()
        raise httpx.ReadError("the answer is lost", request=request)

    def _delay(self, request: httpx.Request) -> httpx.Response:
        self._arrive(request).close()
        self._wait(request, "read")
        raise httpx.ReadTimeout("the answer is late", request=request)

    def _be_late(self, request: httpx.Request) -> httpx.Response:
        self._held.append(request)
        self._wait(request, "read")
        raise httpx.ReadTimeout("the request is late", request=request)

    def _duplicate(self, request: httpx.Request) -> httpx.Response:
        self._unheard(request)
        return self._arrive(request)

    def _truncate(self, request: httpx.Request) -> httpx.Response:
        answer = self._arrive(request)
        body = raw_body(answer)
        form = self.dice.choice(("unseen", "seen", "gzip"))
        if form == "gzip":
            packed = gzip.compress(body, mtime=0)
            # The check sum is at the end: all of it seems to arrive, and is wrong.
            broken = packed[:-GZIP_TRAILER_BYTES] + bytes(255 - byte for byte in packed[-GZIP_TRAILER_BYTES:])
            return _with_stream(answer, httpx.ByteStream(broken), {"Content-Encoding": "gzip"})
        kept = self._beginning(body)
        if form == "unseen":
            return _with_stream(answer, httpx.ByteStream(kept))
        return _with_stream(answer, _BrokenStream(kept, httpx.RemoteProtocolError("the body ends early")))

    def _reset(self, request: httpx.Request) -> httpx.Response:
        answer = self._arrive(request)
        kept = self._beginning(raw_body(answer))
        return _with_stream(answer, _BrokenStream(kept, httpx.ReadError("connection reset")))

    def _answer_status(self, request: httpx.Request) -> httpx.Response:
        if self.dice.random() < ARRIVED_ALL_THE_SAME:
            self._arrive(request).close()
        status = self.dice.choice(STATUSES)
        retry_after = self.dice.choice(RETRY_AFTERS)(self.clock.now())
        headers = {} if retry_after is None else {"Retry-After": retry_after}
        media_type, body = self.dice.choice(BODIES)
        return httpx.Response(status, headers=headers | {"Content-Type": media_type}, content=body)

    def _answer_portal(self, request: httpx.Request) -> httpx.Response:
        return portal(redirect=self.dice.random() < 0.5)

    def _beginning(self, body: bytes) -> bytes:
        return body[: self.dice.randrange(len(body))] if body else b""

    def _wait(self, request: httpx.Request, phase: str) -> None:
        allowed = request.extensions.get("timeout", {}).get(phase)
        self.clock.sleep(TIMEOUT_S if allowed is None else allowed)


_ACTS: dict[str, Callable[[FlakyTransport, httpx.Request], httpx.Response]] = {
    "": FlakyTransport._arrive,
    "offline": FlakyTransport._be_offline,
    "drop": FlakyTransport._drop,
    "lose": FlakyTransport._lose,
    "delay": FlakyTransport._delay,
    "late": FlakyTransport._be_late,
    "duplicate": FlakyTransport._duplicate,
    "truncate": FlakyTransport._truncate,
    "reset": FlakyTransport._reset,
    "status": FlakyTransport._answer_status,
    "portal": FlakyTransport._answer_portal,
}


@dataclass
class _BrokenStream(httpx.SyncByteStream):
    """The beginning of a body, then an error."""

    beginning: bytes
    error: httpx.TransportError

    def __iter__(self) -> Iterator[bytes]:
        if self.beginning:
            yield self.beginning
        raise self.error


def _with_stream(
    answer: httpx.Response, stream: httpx.SyncByteStream, headers: Mapping[str, str] | None = None
) -> httpx.Response:
    """The same answer with another body, and without a length that would tell."""
    changed = httpx.Headers(answer.headers)
    changed.pop("Content-Length", None)
    changed.update(headers)
    return httpx.Response(answer.status_code, headers=changed, stream=stream)
