"""The phone's end of the way to the server: what is counted of it, and what a person does meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import httpx

from greentrip.remote import TRIPS_TARGET


@dataclass
class PhoneLine(httpx.BaseTransport):
    """Counts every request that the phone makes, whatever becomes of it."""

    inner: httpx.BaseTransport
    sent: Callable[[int], None]
    """Told of each request: how many record lines it carries."""
    meanwhile: Callable[[], None]
    """Called before a request leaves and after its answer came: the app is in the middle of it."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        body = request.read()
        self.sent(body.count(b"\n") if request.url.path == TRIPS_TARGET else 0)
        self.meanwhile()
        answer = self.inner.handle_request(request)
        self.meanwhile()
        return answer
