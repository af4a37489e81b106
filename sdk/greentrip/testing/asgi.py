"""An ASGI application called from synchronous code, in this process: no socket, and it can die at any of its steps."""

from __future__ import annotations

import asyncio
import threading
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator, MutableMapping
from concurrent.futures import Future
from contextlib import nullcontext
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

T = TypeVar("T")
_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
AsgiApp = Callable[[MutableMapping[str, Any], _Receive, _Send], Awaitable[None]]

CLEANUPS_MAX = 100
"""Cleanups that wait for something, in one killed request; more of them would be a loop."""


class Interrupted(BaseException):
    """Raise it in the application, in any of its threads, where its process is to die: the caller gets `ReadError`."""


class AsgiTransport(httpx.BaseTransport):
    """Hand it to `GreenTrip.open(transport=...)` or to an `httpx.Client`: both then talk to `app`.

    The application starts up at once, and runs until `stop()` or until the last `with` that entered the transport ends.
    Raises `RuntimeError` when it does not start. `close()` does nothing: a phone closes its connections when it sleeps,
    and the server lives on. One request runs at a time, so that a seed decides everything; `parallel=True` lets them
    meet. What the application raises is raised here.

    `interrupt` is asked before every step of the application's coroutine, between two of its awaits. Once it says true,
    the request ends there as if the server's process had been killed: what was committed stays, nothing more of it
    runs, and the caller gets `httpx.ReadError`. Tasks and threads that the application has started are not asked; they
    may raise `Interrupted`.
    """

    def __init__(self, app: AsgiApp, *, interrupt: Callable[[], bool] = lambda: False, parallel: bool = False) -> None:
        self.interrupt = interrupt
        self._app = app
        self._life = _Lifespan(app)
        self._asgi = httpx.ASGITransport(self._call)
        self._turn = nullcontext() if parallel else threading.Lock()
        self._users = 0
        self._started: Future[asyncio.AbstractEventLoop] = Future()
        self._ended: Future[None] = Future()
        self._stopping = asyncio.Event()
        threading.Thread(target=self._run, name="greentrip-asgi", daemon=True).start()
        self._loop = self._started.result()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """What the application answers. Raises what it raises; `httpx.ReadError` when it died on the way."""
        request.read()
        with self._turn:
            if self._loop.is_closed():
                raise httpx.ConnectError("the server is stopped", request=request)
            return asyncio.run_coroutine_threadsafe(self._answer(request), self._loop).result()

    def close(self) -> None:
        """Does nothing: see the class."""

    def stop(self) -> None:
        """Shut the application down; requests after it get `httpx.ConnectError`. Raises `RuntimeError` if it fails."""
        with self._turn:
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._stopping.set)
            self._ended.result()

    def __enter__(self) -> Self:
        self._users += 1
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self._users -= 1
        if not self._users:
            self.stop()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # whatever it is belongs to the caller
            (self._ended if self._started.done() else self._started).set_exception(error)
        else:
            self._ended.set_result(None)

    async def _serve(self) -> None:
        await self._life.start()
        self._started.set_result(asyncio.get_running_loop())
        await self._stopping.wait()
        await self._life.stop()

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        answer: httpx.Response | None = None
        try:
            answer = await self._asgi.handle_async_request(request)
        except* Interrupted:  # alone, or in the group of a task group
            pass
        if answer is None:
            raise httpx.ReadError("the server died", request=request)
        body = b"".join([chunk async for chunk in answer.aiter_raw()])
        return httpx.Response(answer.status_code, headers=answer.headers, stream=httpx.ByteStream(body))

    async def _call(self, scope: MutableMapping[str, Any], receive: _Receive, send: _Send) -> None:
        async def work() -> None:
            await self._app({**scope, "state": dict(self._life.state)}, receive, send)

        await _stepped(work(), lambda: self.interrupt())


class _Lifespan:
    """The application's start and end (ASGI lifespan protocol 2.0)."""

    def __init__(self, app: AsgiApp) -> None:
        self.state: dict[str, Any] = {}
        self._app = app
        self._told: asyncio.Queue[_Message] = asyncio.Queue()
        self._heard: asyncio.Queue[_Message] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run())
        await self._pass("startup")

    async def stop(self) -> None:
        if self._task is not None and not self._task.done():
            await self._pass("shutdown")
            await self._task

    async def _pass(self, phase: str) -> None:
        await self._told.put({"type": f"lifespan.{phase}"})
        message = await self._heard.get()
        if message["type"] == f"lifespan.{phase}.failed":
            raise RuntimeError(f"the application failed at {phase}: {message.get('message', '')}")

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        try:
            await self._app(scope, self._told.get, self._heard.put)
        except Exception:  # noqa: S110 - by the specification, an application without a lifespan raises
            pass
        finally:
            self._heard.put_nowait({"type": "lifespan.ended"})


@types.coroutine
def _stepped(work: Coroutine[Any, Any, T], interrupt: Callable[[], bool]) -> Generator[Any, Any, T]:
    """Await `work`, and ask before each of its steps whether it ends there. Raises `Interrupted`."""
    sent: Any = None
    thrown: BaseException | None = None
    while True:
        if interrupt():
            _abandon(work)
            raise Interrupted
        try:
            awaited = work.send(sent) if thrown is None else work.throw(thrown)
        except StopIteration as done:
            result: T = done.value
            return result
        try:
            sent, thrown = (yield awaited), None
        except BaseException as error:
            sent, thrown = None, error


def _abandon(work: Coroutine[Any, Any, Any]) -> None:
    """End a coroutine where it waits. A cleanup may wait again: each turn ends one more of them.

    Not by `close()`: a cleanup that waits turns that into an error, which the application would handle as its own.
    """
    for _ in range(CLEANUPS_MAX):
        try:
            work.throw(Interrupted())
        except BaseException:  # whatever it ends with: a dead process tells nobody
            return
    raise RuntimeError("the application does not let a request end")
