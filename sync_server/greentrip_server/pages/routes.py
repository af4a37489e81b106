"""The front page and the pages behind the `type` of every problem. Plain HTML that needs no other host."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, select_autoescape
from litestar import MediaType, Request, Response, Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from greentrip.wire import base64url
from greentrip_server.errors import KINDS, not_found
from greentrip_server.runtime import Runtime

_templates = Environment(loader=PackageLoader("greentrip_server.pages"), autoescape=select_autoescape())
LANGUAGES = ("zh", "en")


@get("/", media_type=MediaType.HTML, include_in_schema=False)
async def get_front_page(request: Request[Any, Any, Any], runtime: NamedDependency[Runtime]) -> Response[str]:
    lang = _language(request, runtime)
    root_key = base64url(runtime.keys.root_public_key)
    files = runtime.rulebook.methodologies.files
    return _page("front.html", lang, root_key=root_key, methodologies=files, policy=runtime.rulebook.policy)


@get("/problems/{kind:str}", media_type=MediaType.HTML, include_in_schema=False)
async def get_problem_page(
    kind: FromPath[str], request: Request[Any, Any, Any], runtime: NamedDependency[Runtime]
) -> Response[str]:
    if kind not in KINDS:
        raise not_found("kind of problem", "错误类型")
    return _page("problem.html", _language(request, runtime), slug=kind, kind=KINDS[kind])


def _page(template: str, lang: str, **values: object) -> Response[str]:
    html = _templates.get_template(template).render(lang=lang, zh=lang == "zh", **values)
    headers = {
        "Content-Language": lang,
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    return Response(html, media_type=MediaType.HTML, headers=headers)


def _language(request: Request[Any, Any, Any], runtime: Runtime) -> str:
    """`?lang=` first, then what the reader's browser prefers, then the setting."""
    asked = request.query_params.get("lang")
    if asked in LANGUAGES:
        return str(asked)
    for part in request.headers.get("accept-language", "").split(","):
        word = part.partition(";")[0].strip().lower()[:2]
        if word in LANGUAGES:
            return word
    return runtime.settings.lang


routes = Router("/", route_handlers=[get_front_page, get_problem_page])
