"""Is it alive, and can it work: for whoever runs the server."""

from __future__ import annotations

import msgspec
from anyio import to_thread
from litestar import Router, get
from litestar.di import NamedDependency

from greentrip_server.openapi import problems
from greentrip_server.runtime import Runtime


class HealthAnswer(msgspec.Struct):
    """`status` is "ok"; trouble is a problem document instead."""

    status: str


@get("/live", summary="The process answers", tags=["health"], responses=problems())
async def get_live() -> HealthAnswer:
    return HealthAnswer("ok")


@get("/ready", summary="The database answers too; else 503", tags=["health"], responses=problems())
async def get_ready(runtime: NamedDependency[Runtime]) -> HealthAnswer:
    await to_thread.run_sync(runtime.database.ping)
    return HealthAnswer("ok")


routes = Router("/health", route_handlers=[get_live, get_ready])
