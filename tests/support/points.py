"""Points of a process at which a test strikes it: before or after a statement, or a step of a call.

The product knows nothing of them: its statements pass a `sqlite3.Connection` of the tests' own, its calls a transport.
"""

import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

T = TypeVar("T")
BEFORE, AFTER = "before", "after"
STOP_TIMEOUT_S = 30.0
POLL_INTERVAL_S = 0.005


@dataclass(frozen=True, slots=True)
class Point:
    """Where a signal hits: `moment` is "before" or "after" the `nth` step whose text holds `step`.

    A step is a statement, or "send POST /v1/trips" (all of the request is with the system) and "read POST /v1/trips".
    With `since`, steps count only once a step that holds this text is over.
    """

    moment: str
    step: str
    since: str = ""
    nth: int = 1
    signal: int = signal.SIGKILL

    def __str__(self) -> str:
        times = f" ({self.nth})" if self.nth > 1 else ""
        return f"{self.moment} {self.step}{times}" + (f" since {self.since}" if self.since else "")


def around(step: str, since: str = "") -> list[Point]:
    """The points before and after a step."""
    return [Point(moment, step, since) for moment in (BEFORE, AFTER)]


def wait_until_stopped(pid: int) -> None:
    """Return once SIGSTOP has stopped a child of this process."""
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT | os.WNOHANG) is None:
        assert time.monotonic() < deadline
        time.sleep(POLL_INTERVAL_S)


class Fuse:
    """Sends this process the signal of a point when it gets there; once."""

    def __init__(self, point: Point | None = None) -> None:
        self.set(point)

    def set(self, point: Point | None) -> None:
        """Count from now on."""
        self._point = point
        self._left = point.nth if point else 0
        self._counts = point is not None and not point.since

    def passes(self, moment: str, step: str) -> None:
        """The process is here."""
        point = self._point
        if point is None:
            return
        if not self._counts:
            self._counts = moment == AFTER and point.since in step
        elif moment == point.moment and point.step in step:
            self._left -= 1
            if not self._left:
                self._point = None
                os.kill(os.getpid(), point.signal)

    def run(self, step: str, work: Callable[[], T]) -> T:
        """Pass a step."""
        self.passes(BEFORE, step)
        found = work()
        self.passes(AFTER, step)
        return found

    def connection(self, *arguments: Any, **named: Any) -> sqlite3.Connection:
        """What `GreenTrip.open(connection=...)` takes."""
        made = _Connection(*arguments, **named)
        made.fuse = self
        return made

    def transport(self) -> httpx.BaseTransport:
        """What `GreenTrip.open(transport=...)` takes."""
        return _Transport(self)


class _Connection(sqlite3.Connection):
    fuse = Fuse()

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        work = super().execute
        return self.fuse.run(statement, lambda: work(statement, *values))

    def executemany(self, statement: str, rows: Iterable[Any]) -> sqlite3.Cursor:
        work = super().executemany
        return self.fuse.run(statement, lambda: work(statement, rows))


class _Transport(httpx.BaseTransport):
    def __init__(self, fuse: Fuse) -> None:
        self._fuse = fuse
        self._inner = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        call = f"{request.method} {request.url.path}"
        tell = request.extensions.get("trace", lambda event, info: None)

        def trace(event: str, info: Any) -> None:
            tell(event, info)
            if event == "http11.send_request_body.complete":
                self._fuse.passes(AFTER, f"send {call}")

        request.extensions = {**request.extensions, "trace": trace}
        self._fuse.passes(BEFORE, f"send {call}")
        response = self._inner.handle_request(request)
        response.read()
        self._fuse.passes(AFTER, f"read {call}")
        return response

    def close(self) -> None:
        self._inner.close()
