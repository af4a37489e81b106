"""Any transport behind a real socket: for a `Relay`, and for phones that are processes of their own."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

import httpx

from greentrip.testing.answers import raw_body
from greentrip.wire import ANSWER_BYTES_MAX

HOST = "127.0.0.1"
POLL_S = 0.01
"""How long `close()` may take."""


class Loopback:
    """Listens on a free port of this machine, and lets `transport` answer: `Loopback(FakeServer(clock).transport)`.

    Where the transport raises `httpx.TransportError`, the caller's connection breaks. Requests may come at once, and
    connections stay open until their callers close them.
    """

    def __init__(self, transport: httpx.BaseTransport) -> None:
        self._server = _Listener((HOST, 0), _Handler)
        self._server.transport = transport
        self.port = int(self._server.server_address[1])
        self.url = f"http://{HOST}:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(POLL_S,), name="greentrip-loopback", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    transport: httpx.BaseTransport

    def handle_error(self, request: object, client_address: object) -> None:
        """A caller that hangs up is no error here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Listener

    def do_GET(self) -> None:
        body = self.rfile.read(min(int(self.headers.get("Content-Length", 0)), ANSWER_BYTES_MAX))
        url = f"http://{self.headers.get('Host', HOST)}{self.path}"
        request = httpx.Request(self.command, url, headers=list(self.headers.items()), content=body)
        try:
            answer = self.server.transport.handle_request(request)
            self._respond(answer, raw_body(answer))
        except httpx.TransportError:
            self.close_connection = True

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """A test's output is its own."""

    def _respond(self, answer: httpx.Response, body: bytes) -> None:
        self.send_response_only(answer.status_code)
        for name, value in answer.headers.items():
            if name != "content-length":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
