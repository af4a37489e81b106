"""A TCP relay between phones and a server: a real network that can be cut, and that remembers what passed below TLS."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

CHUNK_BYTES = 64 * 1024
CAPTURE_BYTES_MAX = 64 * 1024 * 1024


class Relay:
    """Listens on a free loopback port and passes bytes to `target_port` while the network is up.

    `cut()` refuses new connections and breaks the open ones; `restore()` brings the network back on the same port.
    `sent` and `received` hold, for each connection, the bytes that the phone sent and got.
    """

    def __init__(self, target_port: int, host: str = "127.0.0.1") -> None:
        self._target = (host, target_port)
        self._host = host
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._captured = 0
        self.sent: list[bytearray] = []
        self.received: list[bytearray] = []
        self._listener: socket.socket | None = None
        self.port = self._listen(0)

    def cut(self) -> None:
        """Take the network down."""
        with self._lock:
            listener, self._listener = self._listener, None
            doomed = list(self._open)
        if listener is not None:
            # shutdown wakes the accept() of the other thread; close alone would not.
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for connection in doomed:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def restore(self) -> None:
        """Bring the network back."""
        if self._listener is None:
            self._listen(self.port)

    close = cut

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()

    def _listen(self, port: int) -> int:
        listener = socket.create_server((self._host, port))
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return int(listener.getsockname()[1])

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                phone, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target, timeout=5)
            except OSError:
                phone.close()
                continue
            server.settimeout(None)
            sent, received = bytearray(), bytearray()
            with self._lock:
                self._open |= {phone, server}
                self.sent.append(sent)
                self.received.append(received)
            for source, target, capture in ((phone, server, sent), (server, phone, received)):
                threading.Thread(target=self._pass, args=(source, target, capture), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, capture: bytearray) -> None:
        with suppress(OSError):
            while chunk := source.recv(CHUNK_BYTES):
                with self._lock:
                    if self._captured < CAPTURE_BYTES_MAX:
                        capture += chunk
                        self._captured += len(chunk)
                target.sendall(chunk)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)
        with self._lock:
            # Each direction closes the socket that it reads from, once nothing more can come.
            self._open.discard(source)
        source.close()
