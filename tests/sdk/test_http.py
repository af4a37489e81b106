"""HTTP over real sockets: bounded answers, true deadlines, and connections that may be cut from anywhere."""

import gzip
import socket
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greentrip.errors import InvalidInput, Unreachable
from greentrip.http import Answer, Http, check_server, unpacked
from greentrip.wire import ANSWER_BYTES_MAX

WAIT_S = 30.0
SHORT_S = 0.3
"""For what ends by its time only."""
Serve = Callable[[socket.socket], None]


class Wire:
    """A server on a loopback socket that plays one script a connection, in its own thread."""

    def __init__(self, *scripts: Serve) -> None:
        self._scripts = scripts
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.connections = 0
        self.asked = threading.Event()
        """A request has come."""
        self.ended = threading.Event()
        """The phone has ended a connection."""
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._start(self._accept)

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        self._threads.append(threading.Thread(target=target, args=arguments))
        self._threads[-1].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._open.append(connection)
                script = self._scripts[min(self.connections, len(self._scripts) - 1)]
                self.connections += 1
                self._start(self._serve, connection, script)

    def _serve(self, connection: socket.socket, script: Serve) -> None:
        with suppress(OSError), connection:
            while connection.recv(65536):
                self.asked.set()
                script(connection)
        self.ended.set()

    def close(self) -> None:
        for opened in (self._listener, *self._open):
            with suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
            opened.close()
        for thread in self._threads:
            thread.join(WAIT_S)
            assert not thread.is_alive()


@contextmanager
def _wire(*scripts: Serve) -> Iterator[tuple[Wire, Http]]:
    wire, http = Wire(*scripts), None
    try:
        http = Http(wire.url)
        yield wire, http
    finally:
        if http is not None:
            http.close()
        wire.close()
    _no_thread_is_left()


def _no_thread_is_left() -> None:
    for thread in threading.enumerate():
        if thread.name == "greentrip-http":
            thread.join(WAIT_S)
            assert not thread.is_alive()


def _says(answer: bytes) -> Serve:
    return lambda connection: connection.sendall(answer)


def _says_and_leaves(answer: bytes) -> Serve:
    def serve(connection: socket.socket) -> None:
        connection.sendall(answer)
        connection.shutdown(socket.SHUT_RDWR)

    return serve


def _ok(body: bytes, *headers: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _get(http: Http, timeout_s: float = WAIT_S) -> Answer:
    return http.send("GET", "/", b"", {}, timeout_s)


def _silence(connection: socket.socket) -> None:
    """Read on and say nothing."""


@contextmanager
def _asking(http: Http) -> Iterator[list[BaseException | Answer]]:
    """A call in a thread of its own, which may take for ever; how it ended is in the list afterwards."""
    ended: list[BaseException | Answer] = []

    def ask() -> None:
        try:
            ended.append(_get(http, 1000))
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    yield ended
    thread.join(WAIT_S)
    assert not thread.is_alive()


# Answers


def test_an_answer_comes_whole_and_the_connection_is_used_again():
    with _wire(_says(_ok(b"{}", "Content-Type: Application/JSON; charset=utf-8"))) as (wire, http):
        for _ in range(3):
            answer = _get(http)
            assert (answer.status, answer.body, answer.media_type) == (200, b"{}", "application/json")
        assert wire.connections == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_answer_and_never_followed(status: int):
    with _wire(_silence) as (elsewhere, _):
        moved = f"HTTP/1.1 {status} Moved\r\nLocation: {elsewhere.url}/\r\nContent-Length: 0\r\n\r\n"
        with _wire(_says(moved.encode())) as (wire, http):
            answer = _get(http)
            assert (answer.status, answer.headers["location"]) == (status, f"{elsewhere.url}/")
            assert (wire.connections, elsewhere.connections) == (1, 0)


def test_a_server_cannot_mark_a_phone():
    asked: list[bytes] = []

    def remember(connection: socket.socket) -> None:
        connection.sendall(_ok(b"", "Set-Cookie: who=me; Path=/"))
        asked.append(connection.recv(65536))
        connection.sendall(_ok(b""))

    with _wire(remember) as (_, http):
        _get(http)
        _get(http)
    (second,) = asked
    assert b"who=me" not in second
    assert b"cookie" not in second.lower()
    assert b"User-Agent: greentrip\r\n" in second


# Packed answers


@given(body=st.binary(max_size=2000), cuts=st.lists(st.integers(0, 3000), max_size=5))
def test_gzip_is_unpacked_however_it_is_cut_into_chunks(body: bytes, cuts: list[int]):
    packed = gzip.compress(body)
    edges = [0, *sorted(min(cut, len(packed)) for cut in cuts), len(packed)]
    chunks = [packed[start:end] for start, end in pairwise(edges)]
    assert unpacked(chunks, "gzip") == unpacked(chunks, " GZip ") == body
    assert unpacked(chunks) == packed


@given(body=st.binary(min_size=1, max_size=2000), end=st.integers(1, 3000))
def test_gzip_that_was_cut_off_is_no_answer(body: bytes, end: int):
    packed = gzip.compress(body)
    with pytest.raises(Unreachable, match="cut off"):
        unpacked([packed[: min(end, len(packed) - 1)]], "gzip")


@pytest.mark.parametrize(
    "broken",
    [
        b"<html>",
        zlib.compress(b"{}"),
        gzip.compress(b"{}" * 99)[:12] + b"\xff" * 20,
        gzip.compress(b"{}")[:-8] + b"\0" * 8,
    ],
    ids=["not gzip", "deflate", "broken inside", "wrong checksum"],
)
def test_broken_gzip_is_no_answer(broken: bytes):
    with _wire(_says(_ok(broken, "Content-Encoding: gzip"))) as (_, http), pytest.raises(Unreachable):
        _get(http)


@pytest.mark.parametrize("packing", ["br", "zstd", "deflate", "gzip, gzip", "x"])
def test_a_packing_that_nobody_asked_for_is_no_answer(packing: str):
    answer = _ok(b"{}", f"Content-Encoding: {packing}")
    with _wire(_says(answer)) as (_, http), pytest.raises(Unreachable, match="packing"):
        _get(http)


def test_an_empty_answer_may_say_that_it_is_packed():
    assert unpacked([], "gzip") == b""


@pytest.mark.parametrize("packing", ["", "gzip"])
def test_an_answer_of_the_largest_size_is_taken_and_one_byte_more_is_not(packing: str):
    for size, fits in ((ANSWER_BYTES_MAX, True), (ANSWER_BYTES_MAX + 1, False)):
        body = b"x" * size
        chunks = [gzip.compress(body, 1) if packing else body]
        if fits:
            assert unpacked(chunks, packing) == body
            continue
        with pytest.raises(Unreachable, match=str(ANSWER_BYTES_MAX)):
            unpacked(chunks, packing)


def test_a_small_answer_that_unpacks_into_a_huge_one_is_not_unpacked():
    """A thousand times its size, all in one chunk."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(bytes(ANSWER_BYTES_MAX)) for _ in range(50)) + packer.flush()
    with pytest.raises(Unreachable, match=str(ANSWER_BYTES_MAX)):
        unpacked([bomb], "gzip")


def test_an_endless_answer_is_cut_off():
    def pour(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b" " * 65536)

    with _wire(pour) as (wire, http):
        with pytest.raises(Unreachable, match=str(ANSWER_BYTES_MAX)):
            _get(http)
        assert wire.ended.wait(WAIT_S), "and its connection is ended"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12",
        b"HTTP/1.1 2",
        b"SSH-2.0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    ],
    ids=["nothing", "cut off", "cut in the header", "no HTTP", "absurd length"],
)
def test_what_is_not_a_whole_answer_is_unreachable(answer: bytes):
    with _wire(_says_and_leaves(answer)) as (_, http), pytest.raises(Unreachable):
        _get(http)


def test_after_any_failure_the_next_call_works():
    broken = _ok(b"x", "Content-Encoding: gzip")
    with _wire(_says_and_leaves(b""), _says_and_leaves(broken), _silence, _says(_ok(b"{}"))) as (_, http):
        for timeout_s in (WAIT_S, WAIT_S, SHORT_S):
            with pytest.raises(Unreachable):
                _get(http, timeout_s)
        assert _get(http).body == b"{}"


# Deadlines


def _drip(first: bytes) -> Serve:
    def drip(connection: socket.socket) -> None:
        connection.sendall(first)
        while True:
            threading.Event().wait(SHORT_S / 10)
            connection.sendall(b"a")

    return drip


@pytest.mark.parametrize(
    "script",
    [_silence, _drip(b"HTTP/1.1 200 OK\r\nServer: "), _drip(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")],
    ids=["silence", "a header that drips", "a body that drips"],
)
def test_a_call_ends_with_its_time_and_so_does_its_connection(script: Serve):
    """Each byte comes well within httpx's own limit."""
    with _wire(script) as (wire, http):
        with pytest.raises(Unreachable):
            _get(http, SHORT_S)
        assert wire.ended.wait(WAIT_S)


def test_a_call_ends_with_its_time_while_a_request_cannot_be_sent():
    def stuck(connection: socket.socket) -> None:
        threading.Event().wait(SHORT_S * 3)  # reads no more

    with _wire(stuck) as (_, http), pytest.raises(Unreachable):
        http.send("POST", "/", bytes(32 * 1024 * 1024), {}, SHORT_S)


def test_a_call_ends_with_its_time_while_a_name_server_is_silent(monkeypatch: pytest.MonkeyPatch):
    may_go = threading.Event()

    def lookup(*arguments: object, **named: object) -> list[object]:
        assert may_go.wait(WAIT_S)
        raise socket.gaierror("no such host")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    http = Http("https://greentrip.example")
    with pytest.raises(Unreachable, match="no answer within"):
        _get(http, SHORT_S)
    may_go.set()
    _no_thread_is_left()


def test_a_connection_that_opens_after_the_time_is_ended(monkeypatch: pytest.MonkeyPatch):
    """Whoever left it behind is gone; it must neither send nor stay."""
    may_go, connect = threading.Event(), socket.create_connection

    def late(*arguments, **named):
        assert may_go.wait(WAIT_S)
        return connect(*arguments, **named)

    with _wire(_says(_ok(b"{}"))) as (wire, http):
        monkeypatch.setattr(socket, "create_connection", late)
        with pytest.raises(Unreachable):
            _get(http, SHORT_S)
        may_go.set()
        assert wire.ended.wait(WAIT_S)
        assert not wire.asked.is_set()


def test_with_no_thread_left_there_is_no_answer(monkeypatch: pytest.MonkeyPatch):
    with _wire(_says(_ok(b"{}"))) as (wire, http):
        with monkeypatch.context() as broken:
            broken.setattr(threading.Thread, "start", _refuse)
            with pytest.raises(Unreachable, match="thread"):
                _get(http)
        assert _get(http).body == b"{}"
        assert wire.connections == 1


def _refuse(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


# Closing


def test_close_ends_a_call_under_way_at_once():
    with _wire(_silence) as (wire, http):
        with _asking(http) as ended:
            assert wire.asked.wait(WAIT_S)
            http.close()
        (error,) = ended
        assert isinstance(error, Unreachable)
        assert "closed" in str(error)
        assert wire.ended.wait(WAIT_S)


def test_close_ends_a_call_that_waits_for_a_name(monkeypatch: pytest.MonkeyPatch):
    asked, may_go = threading.Event(), threading.Event()

    def lookup(*arguments: object, **named: object) -> list[object]:
        asked.set()
        assert may_go.wait(WAIT_S)
        raise socket.gaierror("no such host")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    http = Http("https://greentrip.example")
    with _asking(http) as ended:
        assert asked.wait(WAIT_S)
        http.close()
    assert isinstance(ended[0], Unreachable)
    may_go.set()
    _no_thread_is_left()


def test_closed_it_makes_no_call_until_it_is_opened_again():
    with _wire(_says(_ok(b"{}"))) as (wire, http):
        assert _get(http).body == b"{}"
        for _ in range(2):
            http.close()
        assert wire.ended.wait(WAIT_S)
        for _ in range(2):
            with pytest.raises(Unreachable, match="closed"):
                _get(http)
        assert wire.connections == 1
        http.open()
        assert _get(http).body == b"{}"
        assert wire.connections == 2


def test_closing_from_many_threads_during_many_calls_ends_every_call_one_way_or_another():
    with _wire(_says(_ok(b"{}"))) as (_, http):
        outcomes: list[str] = []

        def ask() -> None:
            for _ in range(30):
                try:
                    outcomes.append(_get(http).body.decode())
                except Unreachable:
                    outcomes.append("unreachable")

        def flap() -> None:
            for _ in range(60):
                http.close()
                http.open()

        threads = [threading.Thread(target=target) for target in (ask, ask, ask, flap, flap)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT_S)
            assert not thread.is_alive()
        assert len(outcomes) == 90
        assert set(outcomes) <= {"{}", "unreachable"}
        assert _get(http).body == b"{}"


# An app's own transport


def test_what_a_double_has_read_already_is_an_answer_too():
    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"Content-Encoding": "gzip"}, content=gzip.compress(b"{}"))

    assert _get(Http("https://greentrip.example", httpx.MockTransport(handle))).body == b"{}"


@pytest.mark.parametrize("error", [httpx.ReadError("cut"), httpx.ConnectTimeout("late"), httpx.DecodingError("packed")])
def test_what_httpx_raises_is_unreachable(error: httpx.RequestError):
    def handle(request: httpx.Request) -> httpx.Response:
        raise error

    with pytest.raises(Unreachable, match=type(error).__name__):
        _get(Http("https://greentrip.example", httpx.MockTransport(handle)))


class Killed(BaseException):
    """A simulated kill."""


def test_what_a_transport_raises_otherwise_is_the_callers():
    def handle(request: httpx.Request) -> httpx.Response:
        raise Killed

    with pytest.raises(Killed):
        _get(Http("https://greentrip.example", httpx.MockTransport(handle)))


class Unruly(httpx.BaseTransport):
    """Raises when it is closed."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=b"{}")

    def close(self) -> None:
        raise RuntimeError("a transport's own affair")


def test_a_transport_that_cannot_be_closed_keeps_nobody():
    http = Http("https://greentrip.example", Unruly())
    assert _get(http).body == b"{}"
    http.close()
    http.open()
    assert _get(http).body == b"{}"


# Addresses


@pytest.mark.parametrize(
    "url", ["https://greentrip.example", "http://127.0.0.1:8000/api/", "http://[::1]:1", "http://localhost"]
)
def test_a_server_is_https_or_on_this_machine(url: str):
    assert check_server(url) == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "greentrip.example",
        "ftp://greentrip.example",
        "http://greentrip.example",
        "http://10.0.0.1",
        "https://",
        "https://a:b@greentrip.example",
        "https://greentrip.example?a=b",
        "https://greentrip.example:port",
        "https://[::1",
    ],
)
def test_any_other_address_is_refused(url: str):
    with pytest.raises(InvalidInput):
        check_server(url)
