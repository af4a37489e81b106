"""The Litestar application: `create_app` for tests and embedding, `for_process` and `from_environment` for a server."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any

import structlog
from anyio import to_thread
from litestar import Litestar
from litestar.config.app import AppConfig
from litestar.datastructures import State
from litestar.di import Provide
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.static_files import create_static_files_router
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from greentrip_server import openapi
from greentrip_server.enrolment.routes import routes as enrolment_routes
from greentrip_server.erasures.routes import routes as erasure_routes
from greentrip_server.erasures.routes import signed_routes as trip_erasure_routes
from greentrip_server.errors import Problem
from greentrip_server.health import routes as health_routes
from greentrip_server.http import StrictRequest, on_fault, on_http_exception, on_problem, plain_only
from greentrip_server.load import close_on_signals, gated, timed
from greentrip_server.log import configure
from greentrip_server.methodologies.routes import routes as methodology_routes
from greentrip_server.notices.routes import routes as notice_routes
from greentrip_server.pages.routes import routes as page_routes
from greentrip_server.runtime import Runtime, start
from greentrip_server.settings import Settings
from greentrip_server.sync.routes import get_keys, signed_routes

ROUTES = (
    enrolment_routes,
    signed_routes,
    trip_erasure_routes,
    erasure_routes,
    notice_routes,
    methodology_routes,
    get_keys,
    health_routes,
    page_routes,
)

_log = structlog.get_logger(__name__)


def create_app(runtime: Runtime) -> Litestar:
    """The application of one runtime; the runtime's connections close when it stops."""

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        # A thread that waits for a connection is a request that will be told 503.
        to_thread.current_default_thread_limiter().total_tokens = runtime.settings.database_connections_max
        try:
            yield
        finally:
            runtime.database.close()

    def provide_runtime() -> Runtime:
        return runtime

    return Litestar.from_config(
        AppConfig(
            route_handlers=[*ROUTES, _assets()],
            dependencies={"runtime": Provide(provide_runtime, sync_to_thread=False)},
            exception_handlers={Problem: on_problem, HTTPException: on_http_exception, Exception: on_fault},
            lifespan=[lifespan],
            middleware=[_logged, gated(runtime.gate), timed(runtime.settings.body_timeout_s)],
            openapi_config=openapi.config(),
            request_class=StrictRequest,
            guards=[plain_only],
            request_max_body_size=runtime.settings.body_bytes_max,
            state=State({"runtime": runtime}),
            # The framework would log whole tracebacks, with values; on_fault logs what may be logged.
            logging_config=None,
            debug=False,
        )
    )


def for_process(runtime: Runtime) -> Litestar:
    """The application of a server process. Call it when the web server handles signals already: it listens in."""
    close_on_signals(runtime.gate)
    return create_app(runtime)


def from_environment() -> Litestar:
    """The application of the environment's settings: what each worker process of `greentrip-server run` makes."""
    settings = Settings.read()
    configure(settings.log_level)
    return for_process(start(settings))


def _assets() -> Any:  # noqa: ANN401 - the framework's router
    # Swagger UI from an installed package: the page needs no other host.
    folder = resources.files("litestar_offline_docs") / "static"
    return create_static_files_router(path=openapi.ASSETS, directories=[str(folder)], include_in_schema=False)


def _logged(app: ASGIApp) -> ASGIApp:
    """One line a request: method, route, status, time. No address, no query, no header, no body."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        method = scope["method"]
        began, status = time.perf_counter(), 0

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await app(scope, receive, watch)
        finally:
            route = scope.get("path_template") or "unknown"
            problem = scope["state"].get("problem")
            elapsed_ms = round((time.perf_counter() - began) * 1000)
            _log.info("request", method=method, route=route, status=status, ms=elapsed_ms, problem=problem)

    return middleware
