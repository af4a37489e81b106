"""The one place that speaks HTTP: bounded answers, no redirects, no cookies, a neutral user agent."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from greentrip.errors import InvalidInput, Unreachable
from greentrip.wire import ANSWER_BYTES_MAX

if TYPE_CHECKING:
    import httpx

CONNECT_TIMEOUT_S = 5.0
TIMEOUT_S_MIN = 0.05
GRACE_S = 0.05
"""What httpx's own timeout gets to speak first: its error says more."""
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
    """Calls to one server."""

    def __init__(self, server: str, transport: httpx.BaseTransport | None = None) -> None:
        self._server = check_server(server)
        self._transport = transport
        self._client: httpx.Client | None = None

    def send(self, method: str, target: str, body: bytes, headers: Mapping[str, str], timeout_s: float) -> Answer:
        """The server's answer. Raises `Unreachable` when there is none that can be read within the time.

        httpx's own limits begin anew with every byte that drips in, also within a header; so the exchange runs in a
        thread that is left behind when the time is up, and ends with its connection.
        """
        import httpx  # heavy, and not needed to record a trip

        timeout_s = max(TIMEOUT_S_MIN, timeout_s)
        answered: SimpleQueue[Answer | BaseException] = SimpleQueue()
        client = self._open()

        def exchange() -> None:
            try:
                answered.put(_exchange(client, method, self._server + target, body, headers, timeout_s))
            except BaseException as error:  # whatever it is belongs to the caller
                answered.put(error)

        Thread(target=exchange, name="greentrip-http", daemon=True).start()
        try:
            outcome = answered.get(timeout=timeout_s + GRACE_S)
        except Empty:
            self.close()
            raise Unreachable(f"no answer within {timeout_s:.0f} s") from None
        if isinstance(outcome, httpx.HTTPError | httpx.InvalidURL | httpx.StreamError):
            raise Unreachable(type(outcome).__name__) from outcome
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def _open(self) -> httpx.Client:
        if self._client is None:
            import httpx

            self._client = httpx.Client(
                transport=self._transport,
                follow_redirects=False,
                trust_env=False,
                headers={"User-Agent": USER_AGENT, "Accept-Encoding": "gzip"},
            )
        # A server must not be able to mark a phone.
        self._client.cookies.clear()
        return self._client

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


def _exchange(
    client: httpx.Client, method: str, url: str, body: bytes, headers: Mapping[str, str], timeout_s: float
) -> Answer:
    import httpx

    timeout = httpx.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s))
    with client.stream(method, url, content=body, headers=dict(headers), timeout=timeout) as response:
        received = bytearray()
        for chunk in response.iter_bytes():
            received += chunk
            if len(received) > ANSWER_BYTES_MAX:
                raise Unreachable(f"an answer over {ANSWER_BYTES_MAX} bytes")
        return Answer(response.status_code, dict(response.headers), bytes(received))
