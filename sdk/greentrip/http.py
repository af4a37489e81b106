"""The one place that speaks HTTP: bounded answers, no redirects, no cookies, a neutral user agent."""

from __future__ import annotations

import ipaddress
import socket
import threading
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from weakref import WeakSet

from greentrip import fork, threads
from greentrip.errors import InvalidInput, Unreachable
from greentrip.wire import ANSWER_BYTES_MAX

if TYPE_CHECKING:
    import httpx

CONNECT_TIMEOUT_S = 5.0
TIMEOUT_S_MIN = 0.05
GRACE_S = 0.05
"""What httpx's own timeout gets to speak first: its error says more."""
GZIP_WINDOW_BITS = 31
"""zlib's name for "gzip, and nothing else"."""
USER_AGENT = "greentrip"
"""No version and no device: every phone looks alike."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer: lower-case header names, the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def media_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


def check_server(url: str) -> str:
    """The server's base URL without a trailing slash. Raises `InvalidInput`: outside loopback it must be https."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise InvalidInput("server", f"{url!r} is not a URL ({error})", f"{url!r} 不是有效网址") from None
    if parts.scheme not in ("http", "https") or not host:
        raise InvalidInput("server", f"{url!r} must look like https://host", f"{url!r} 应为 https://主机")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise InvalidInput("server", "must hold host and path only", "只能包含主机与路径")
    if parts.scheme == "http" and not _is_loopback(host):
        raise InvalidInput(
            "server",
            f"{url!r} must use https (http is for this machine only)",
            f"{url!r} 必须使用 https（http 仅限本机）",
        )
    return url.rstrip("/")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Http:
    """Calls to one server. Thread-safe, and fork-safe: a child connects anew.

    A `transport` that the app gave is closed when the connections are, as `httpx.Client` does it.
    """

    def __init__(self, server: str, transport: httpx.BaseTransport | None = None) -> None:
        self._server = check_server(server)
        self._transport = transport
        self._lock = threading.Lock()
        self._line: _Line | None = None
        self._closed = False
        fork.watch(self)

    def send(self, method: str, target: str, body: bytes, headers: Mapping[str, str], timeout_s: float) -> Answer:
        """The server's answer. Raises `Unreachable` when there is none that can be read within the time, or `close`
        came first.

        httpx's own limits begin anew with every byte that drips in, and there is none for a name server; so the
        exchange runs in a thread that is left behind when the time is up, and ends with its connection.
        """
        timeout_s = max(TIMEOUT_S_MIN, timeout_s)
        url = self._server + target
        line = self._take_line()
        answered: _Answered = SimpleQueue()
        line.begin(answered)

        def exchange() -> None:
            try:
                answered.put(_exchange(line, method, url, body, headers, timeout_s))
            except BaseException as error:  # whatever it is belongs to the caller
                answered.put(error)
            finally:
                line.end(answered)

        try:
            threads.begin("greentrip-http", exchange)
        except RuntimeError as error:  # the interpreter exits, or the system gives no more
            line.end(answered)
            raise Unreachable("no thread to call in") from error
        try:
            outcome = answered.get(timeout=timeout_s + GRACE_S)
        except Empty:
            self._cut(line)
            raise Unreachable(f"no answer within {timeout_s:.0f} s") from None
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def close(self) -> None:
        """Cut the connections: whoever waits for an answer gets `Unreachable` at once, and so does each call until
        `open`. May be called from any thread, any number of times."""
        with self._lock:
            self._closed = True
        self._cut(self._line)

    def open(self) -> None:
        """Take calls again after `close`."""
        with self._lock:
            self._closed = False

    def after_fork(self) -> None:
        """In the child: the connections are the parent's, and their locks may be held by nobody. They are forgotten."""
        self._lock = threading.Lock()
        if self._line is not None:
            self._line.forget()
            self._line = None

    def _take_line(self) -> _Line:
        with self._lock:
            if self._closed:
                raise Unreachable("the connection was closed")
            if self._line is None:
                self._line = _Line(self._transport)
            return self._line

    def _cut(self, line: _Line | None) -> None:
        with self._lock:
            if line is None:
                return
            if self._line is line:
                self._line = None
        line.cut()


_Answered = SimpleQueue[Answer | BaseException]


class _Line:
    """One httpx client, the sockets that it opened, and the callers that wait for its answers.

    A socket that another thread reads from is shut down, not closed: closing would not wake that thread, and the
    socket's number could be another's when it reads on. The last exchange closes what was cut.
    """

    def __init__(self, transport: httpx.BaseTransport | None) -> None:
        import httpx  # heavy, and not needed to record a trip

        self.client = httpx.Client(
            transport=transport,
            follow_redirects=False,
            trust_env=False,
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "gzip"},
        )
        self._lock = threading.Lock()
        self._sockets: WeakSet[socket.socket] = WeakSet()
        self._waiting: set[_Answered] = set()
        self._was_cut = False

    def begin(self, answered: _Answered) -> None:
        with self._lock:
            self._waiting.add(answered)
            if self._was_cut:
                answered.put(Unreachable("the connection was closed"))
        # A server must not be able to mark a phone.
        self.client.cookies.clear()

    def end(self, answered: _Answered) -> None:
        with self._lock:
            self._waiting.discard(answered)
            last = self._was_cut and not self._waiting
        if last:
            self._close()

    def cut(self) -> None:
        with self._lock:
            first, self._was_cut = not self._was_cut, True
            waiting, sockets = list(self._waiting), list(self._sockets)
        for answered in waiting:
            answered.put(Unreachable("the connection was closed"))
        for opened in sockets:
            _shut(opened)
        if first and not waiting:
            self._close()

    def forget(self) -> None:
        """In a fork's child: let go of its copies of the sockets. That ends nothing: the parent still holds them."""
        for opened in list(self._sockets):
            opened.close()

    def trace(self, event: str, info: Mapping[str, object]) -> None:
        """What httpx tells while it works: here, which sockets it opens."""
        if event not in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            return
        opened = _socket_of(info["return_value"])
        if opened is None:
            return
        with self._lock:
            self._sockets.add(opened)
            was_cut = self._was_cut
        if was_cut:
            _shut(opened)

    def _close(self) -> None:
        with suppress(Exception):  # a transport that the app gave may raise what it likes
            self.client.close()


def _socket_of(stream: object) -> socket.socket | None:
    extra = getattr(stream, "get_extra_info", None)
    found = extra("socket") if callable(extra) else None
    return found if isinstance(found, socket.socket) else None


def _shut(opened: socket.socket) -> None:
    with suppress(OSError):
        # Not ssl's own shutdown, which would change the object under the thread that reads from it.
        socket.socket.shutdown(opened, socket.SHUT_RDWR)


def _exchange(line: _Line, method: str, url: str, body: bytes, headers: Mapping[str, str], timeout_s: float) -> Answer:
    import httpx

    timeout = httpx.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s))
    asked = line.client.stream(
        method, url, content=body, headers=dict(headers), timeout=timeout, extensions={"trace": line.trace}
    )
    try:
        with asked as response:
            return Answer(response.status_code, dict(response.headers), _body_of(response))
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        raise Unreachable(type(error).__name__) from error


def _body_of(response: httpx.Response) -> bytes:
    if response.is_stream_consumed:  # by a test double, which has unpacked it as well
        return unpacked([response.content])
    return unpacked(response.iter_raw(), response.headers.get("content-encoding", ""))


def unpacked(chunks: Iterable[bytes], encoding: str = "") -> bytes:
    """The body of an answer, unpacked as far as `ANSWER_BYTES_MAX` and no further. Raises `Unreachable` for a larger
    one, one that is broken or cut off, and one that is packed as nobody asked for."""
    packing = encoding.strip().lower()
    if packing not in ("", "identity", "gzip"):
        raise Unreachable("an answer in an unknown packing")
    unzip = zlib.decompressobj(GZIP_WINDOW_BITS) if packing == "gzip" else None
    received, packed = bytearray(), 0
    for chunk in chunks:
        packed += len(chunk)
        try:
            received += unzip.decompress(chunk, ANSWER_BYTES_MAX + 1 - len(received)) if unzip else chunk
        except zlib.error:
            raise Unreachable("an answer with broken gzip") from None
        if max(packed, len(received)) > ANSWER_BYTES_MAX:
            raise Unreachable(f"an answer over {ANSWER_BYTES_MAX} bytes")
    if unzip and packed and not unzip.eof:
        raise Unreachable("an answer that was cut off")
    return bytes(received)
