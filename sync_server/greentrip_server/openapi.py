"""The API as a document: what every call may answer, in one place.

`make docs` writes the snapshot that a test compares.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from litestar import Litestar
from litestar.datastructures import ResponseHeader
from litestar.di import Provide
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin, SwaggerRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.types import ControllerRouterHandler

import greentrip
from greentrip.wire import RECEIPT_HEADER, SIGNATURE_HEADER
from greentrip_server.errors import KINDS, PROBLEM_MEDIA_TYPE

ASSETS = "/schema-assets"
SIGNED_BY_DEVICE: list[dict[str, list[str]]] = [{"device": []}]
"""The `security` of a call that a device signs."""
RECEIPT = ResponseHeader(
    name=RECEIPT_HEADER,
    value="",  # tells the document that it is a text
    description="A compact JWS by the server's online key over {sub, htm, htu, iat, request, digest, at, keys}.",
    documentation_only=True,
    required=True,
)


class ProblemAnswer(msgspec.Struct):
    """RFC 9457, in English and Chinese. `type` leads to a page that says what to do; some kinds have more members."""

    type: str
    title: str
    title_zh: str
    status: int
    detail: str
    detail_zh: str


def problems(*kinds: str) -> Mapping[int, ResponseSpec]:
    """The `responses` of a call that may end in these kinds of problem, in a fault of ours, or in "not now"."""
    by_status: dict[int, list[str]] = {}
    for kind in (*kinds, "internal", "unavailable"):
        by_status.setdefault(KINDS[kind].status, []).append(kind)
    return {
        status: ResponseSpec(
            data_container=ProblemAnswer,
            generate_examples=False,
            description="; ".join(f"{KINDS[kind].title_en} (/problems/{kind})" for kind in found),
            media_type=PROBLEM_MEDIA_TYPE,
        )
        for status, found in sorted(by_status.items())
    }


SIGNED_PROBLEMS = (
    "malformed",
    "signature",
    "clock",
    "unknown_device",
    "device_ended",
    "timeout",
    "too_large",
    "too_many",
)
"""What may be wrong with any call that a device signs."""


def config() -> OpenAPIConfig:
    """How the document is made, and where it is shown."""
    plugins = [
        SwaggerRenderPlugin(
            path="/",
            js_url=f"{ASSETS}/swagger-ui-bundle.js",
            css_url=f"{ASSETS}/swagger-ui.css",
            standalone_preset_js_url=f"{ASSETS}/swagger-ui-standalone-preset.js",
            favicon='<link rel="icon" href="data:,">',  # the framework's own comes from another host
        ),
        JsonRenderPlugin(path="/openapi.json"),
    ]
    scheme = SecurityScheme(
        type="apiKey",
        name=SIGNATURE_HEADER,
        security_scheme_in="header",
        description="A compact JWS by the device's Ed25519 key over {aud, sub, htm, htu, iat, digest}.",
    )
    return OpenAPIConfig(
        title="greentrip",
        version=greentrip.__version__,
        description="Low-carbon travel credits: records in, signed results out. Amounts are integers, mg or fen.",
        path="/schema",
        render_plugins=plugins,
        components=Components(security_schemes={"device": scheme}),
    )


def document(routes: Sequence[ControllerRouterHandler]) -> dict[str, Any]:
    """The OpenAPI document of routes; it needs no running server."""
    nothing = Provide(lambda: None, sync_to_thread=False)
    # Without logging_config the framework would set up the root logger of whoever asks.
    app = Litestar(routes, openapi_config=config(), dependencies={"runtime": nothing}, logging_config=None)
    return app.openapi_schema.to_schema()


def snapshot(routes: Sequence[ControllerRouterHandler]) -> str:
    """The document as it is kept in docs/reference/openapi.json."""
    return json.dumps(document(routes), ensure_ascii=False, indent=2, sort_keys=True) + "\n"
