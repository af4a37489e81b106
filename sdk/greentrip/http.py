"""The one place that speaks HTTP: bounded answers, no redirects, no cookies, a neutral user agent."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from greentrip.errors import InvalidInput, Unreachable
from greentrip.wire import ANSWER_BYTES_MAX

if TYPE_CHECKING:
    import httpx

CONNECT_TIMEOUT_S = 5.0
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
        """The server's answer. Raises `Unreachable` when there is none that can be read within the time."""
        import httpx  # heavy, and not needed to record a trip

        timeout_s = max(0.05, timeout_s)
        latest = time.monotonic() + timeout_s
        timeout = httpx.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s))
        try:
            with self._open().stream(
                method, self._server + target, content=body, headers=dict(headers), timeout=timeout
            ) as response:
                received = bytearray()
                for chunk in response.iter_bytes():
                    received += chunk
                    # httpx's own limit begins anew with every byte that drips in.
                    if time.monotonic() > latest:
                        raise Unreachable(f"an answer of over {timeout_s:.0f} s")
                    if len(received) > ANSWER_BYTES_MAX:
                        raise Unreachable(f"an answer over {ANSWER_BYTES_MAX} bytes")
                return Answer(response.status_code, dict(response.headers), bytes(received))
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise Unreachable(type(error).__name__) from error

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
