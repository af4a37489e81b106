"""A fake server on a real socket, for phones in other processes and for connections that a fork inherits."""

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a phone may hang up
            super().handle_error(request, client_address)


@contextmanager
def served(transport: httpx.BaseTransport) -> Iterator[str]:
    """The URL at which `transport` answers on loopback while the block runs. Connections are kept open."""

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            url = f"http://{self.headers['Host']}{self.path}"
            request = httpx.Request(self.command, url, headers=dict(self.headers.items()), content=body)
            with closing(transport.handle_request(request)) as answer:
                answer.read()
                self.send_response(answer.status_code)
                for name, value in answer.headers.items():
                    if name != "content-length":
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

        do_POST = do_GET

        def log_message(self, *arguments: object) -> None:
            """Nothing is said."""

    server = _Quiet(("127.0.0.1", 0), Answers)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
