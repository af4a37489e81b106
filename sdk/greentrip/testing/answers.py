"""Answers that a test may plan: what servers say when they refuse, and what is no server of ours at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import cast

import httpx

Handler = Callable[[httpx.Request], httpx.Response]
PROBLEM = "application/problem+json"
PORTAL_PAGE = b"<!doctype html><title>Wi-Fi</title><p>Please log in to use this network.</p>"
PORTAL_ADDRESS = "http://wifi.example/login"


def problem(
    status: int, kind: str = "about:blank", headers: Mapping[str, str] | None = None, **fields: object
) -> httpx.Response:
    """An RFC 9457 answer, unsigned: `problem(503, "unavailable", {"Retry-After": "120"})`."""
    document = {"type": f"https://greentrip.example/problems/{kind}", "title": kind, "status": status, **fields}
    return httpx.Response(status, headers={"Content-Type": PROBLEM, **(headers or {})}, content=json.dumps(document))


def portal(*, redirect: bool = False) -> httpx.Response:
    """What a Wi-Fi network answers before somebody has logged in: a page with status 200, or the way to one."""
    if redirect:
        return httpx.Response(302, headers={"Location": PORTAL_ADDRESS})
    return httpx.Response(200, headers={"Content-Type": "text/html"}, content=PORTAL_PAGE)


def raw_body(answer: httpx.Response) -> bytes:
    """The body of a transport's answer as it came, maybe compressed; it can be read once."""
    try:
        # Not by `iter_raw()`: it refuses an answer that was made with its content, as those of tests are.
        return b"".join(cast("Iterable[bytes]", answer.stream))
    finally:
        answer.close()
