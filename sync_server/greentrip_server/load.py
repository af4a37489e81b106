"""What one server process takes on: so many requests at once, whole bodies in good time, and none once it goes down."""

from __future__ import annotations

import math
import random
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

from anyio import fail_after
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, ReceiveMessage, Scope, Send

from greentrip.wire import canonical
from greentrip_server.errors import PROBLEM_MEDIA_TYPE, Problem, timeout, unavailable

RETRY_AFTER_S_MIN = 5
RETRY_AFTER_S_MAX = 30
"""Who is sent away comes back after a time between these, by dice: not all at the same moment."""
ALWAYS_OPEN = "/health/live"
"""Whoever watches the process must not take a busy one for a dead one."""


_DICE = random.SystemRandom()


class Gate:
    """Lets at most `in_flight_max` requests in at once, and none after `close()`. It belongs to one event loop."""

    def __init__(self, in_flight_max: int, dice: Callable[[], float] = _DICE.random) -> None:
        self._in_flight_max = in_flight_max
        self._in_flight = 0
        self._closed = False
        self._dice = dice

    def close(self) -> None:
        """Begin no request any more; those that began go on. May be called by a signal."""
        self._closed = True

    def enter(self) -> None:
        """Begin a request. Raises `unavailable`."""
        if self._closed or self._in_flight >= self._in_flight_max:
            raise unavailable(self._retry_after_s())
        self._in_flight += 1

    def leave(self) -> None:
        """End a request that began."""
        self._in_flight -= 1

    def _retry_after_s(self) -> int:
        return RETRY_AFTER_S_MIN + math.floor(self._dice() * (RETRY_AFTER_S_MAX - RETRY_AFTER_S_MIN + 1))


def gated(gate: Gate) -> Callable[[ASGIApp], ASGIApp]:
    """A middleware: requests pass the gate, or are told when to come again before anything of them is read."""

    def wrap(app: ASGIApp) -> ASGIApp:
        async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != ScopeType.HTTP or scope["path"] == ALWAYS_OPEN:
                await app(scope, receive, send)
                return
            try:
                gate.enter()
            except Problem as problem:
                await _turn_away(problem, scope, send)
                return
            try:
                await app(scope, receive, send)
            finally:
                gate.leave()

        return middleware

    return wrap


def timed(body_timeout_s: float) -> Callable[[ASGIApp], ASGIApp]:
    """A middleware: a request's body must be complete within so many seconds, or it is answered `timeout`."""

    def wrap(app: ASGIApp) -> ASGIApp:
        async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
            is_http = scope["type"] == ScopeType.HTTP
            await app(scope, _in_time(receive, body_timeout_s) if is_http else receive, send)

        return middleware

    return wrap


def close_on_signals(gate: Gate) -> None:
    """Close the gate as soon as the process is asked to end, then go on as before (the web server has a handler)."""
    if threading.current_thread() is not threading.main_thread():
        return  # only that thread may: a server inside of another program is that program's affair
    for number in (signal.SIGINT, signal.SIGTERM):
        _chain(number, gate)


def _chain(number: signal.Signals, gate: Gate) -> None:
    before = signal.getsignal(number)

    def close(got: int, frame: FrameType | None) -> None:
        gate.close()
        if callable(before):
            before(got, frame)

    signal.signal(number, close)


def _in_time(receive: Receive, body_timeout_s: float) -> Receive:
    until: float | None = None
    complete = False

    async def receive_in_time() -> ReceiveMessage:
        nonlocal until, complete
        if complete:
            return await receive()
        if until is None:
            # From when it is first asked for: that a database kept the request waiting is not the phone's delay.
            until = time.monotonic() + body_timeout_s
        try:
            with fail_after(until - time.monotonic()):
                message = await receive()
        except TimeoutError:
            raise timeout(RETRY_AFTER_S_MIN) from None
        complete = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    return receive_in_time


async def _turn_away(problem: Problem, scope: Scope, send: Send) -> None:
    scope["state"]["problem"] = problem.kind
    body = canonical(problem.document())
    # The body was not read, and may be large: the connection ends with the answer.
    headers = {
        **problem.headers(),
        "Content-Type": PROBLEM_MEDIA_TYPE,
        "Content-Length": str(len(body)),
        "Connection": "close",
    }
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": raw})
    await send({"type": "http.response.body", "body": body, "more_body": False})
