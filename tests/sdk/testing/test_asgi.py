"""Any ASGI application answers synchronous code, and can die at any of its steps."""

import asyncio
import gzip
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from greentrip.testing import AsgiTransport, Interrupted

URL = "https://app.example"


class App:
    """Does one thing after the other and notes it; fails, waits or cleans up as a test says."""

    def __init__(self, *, lifespan: bool = True, steps: int = 3, fails_at: str = "") -> None:
        self.noted: list[str] = []
        self._lifespan = lifespan
        self._steps = steps
        self._fails_at = fails_at

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] == "lifespan":
            if not self._lifespan:
                raise RuntimeError("what is a lifespan?")
            return await self._live(scope, receive, send)
        await getattr(self, scope["path"].strip("/"))(scope, receive, send)

    async def _live(self, scope, receive, send) -> None:
        scope["state"]["colour"] = "green"
        for phase in ("startup", "shutdown"):
            assert (await receive())["type"] == f"lifespan.{phase}"
            self.noted.append(phase)
            if phase == self._fails_at:
                return await send({"type": f"lifespan.{phase}.failed", "message": "no database"})
            await send({"type": f"lifespan.{phase}.complete"})

    async def steps(self, scope, receive, send) -> None:
        try:
            for number in range(self._steps):
                self.noted.append(f"step {number}")
                await asyncio.sleep(0)
        finally:
            self.noted.append("cleanup")
            await asyncio.sleep(0)
            self.noted.append("slow cleanup")
        await respond(send, b"done")

    async def echo(self, scope, receive, send) -> None:
        body = (await receive())["body"]
        await respond(send, scope["query_string"] + b" " + body + b" " + scope["state"]["colour"].encode())

    async def packed(self, scope, receive, send) -> None:
        await respond(send, gzip.compress(b"unpacked"), (b"content-encoding", b"gzip"))

    async def meet(self, scope, receive, send) -> None:
        self.noted.append("in")
        await asyncio.sleep(0.01)
        self.noted.append("out")
        await respond(send, b"")

    async def die(self, scope, receive, send) -> None:
        def in_a_thread() -> None:
            raise Interrupted

        await asyncio.get_running_loop().run_in_executor(None, in_a_thread)

    async def die_in_a_group(self, scope, receive, send) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.die(scope, receive, send))

    async def stubborn(self, scope, receive, send) -> None:
        while len(self.noted) < 200:
            try:
                await asyncio.sleep(0)
            except Interrupted:
                self.noted.append("no")

    async def fault(self, scope, receive, send) -> None:
        raise ValueError("a bug")


async def respond(send, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def serving(app: App, **settings) -> Iterator[tuple[AsgiTransport, httpx.Client]]:
    with AsgiTransport(app, **settings) as transport:
        yield transport, httpx.Client(transport=transport, base_url=URL)


def test_a_request_reaches_the_application_and_its_answer_comes_back():
    with serving(App()) as (_, client):
        answer = client.post("/echo?a=1", content=b"hello")
        assert (answer.status_code, answer.text) == (200, "a=1 hello green")
        assert client.get("/packed").text == "unpacked"


def test_it_starts_and_stops_with_the_application():
    app = App()
    with serving(app) as (transport, client):
        assert app.noted == ["startup"]
        client.close()
        assert client.is_closed
        assert app.noted == ["startup"], "a phone closes its connections, and the server lives on"
        with httpx.Client(transport=transport, base_url=URL) as another:
            assert another.get("/echo").status_code == 200
        assert app.noted == ["startup"], "and somebody else has entered it"
    assert app.noted == ["startup", "shutdown"]
    transport.stop()
    with pytest.raises(httpx.ConnectError, match="stopped"):
        httpx.Client(transport=transport, base_url=URL).get("/echo")


def test_an_application_without_a_lifespan_is_served_too():
    with serving(App(lifespan=False)) as (_, client):
        assert client.get("/steps").text == "done"


def test_an_application_that_does_not_start_is_an_error():
    with pytest.raises(RuntimeError, match="startup: no database"):
        AsgiTransport(App(fails_at="startup"))
    transport = AsgiTransport(App(fails_at="shutdown"))
    with pytest.raises(RuntimeError, match="shutdown: no database"):
        transport.stop()


def test_a_bug_of_the_application_is_raised_here():
    with serving(App()) as (_, client), pytest.raises(ValueError, match="a bug"):
        client.get("/fault")


def test_it_can_be_killed_at_every_step():
    """Asked before each step: nothing of that step, or of a later one, has run; no cleanup that waits ends."""
    steps = 3
    for kill_at in range(steps + 3):
        app, asked = App(steps=steps), iter(range(100))
        with serving(app) as (transport, client):
            transport.interrupt = lambda asked=asked, kill_at=kill_at: next(asked) == kill_at
            if kill_at == steps + 2:
                assert client.get("/steps").text == "done"
                continue
            with pytest.raises(httpx.ReadError, match="died"):
                client.get("/steps")
            ran = [f"step {number}" for number in range(min(kill_at, steps))]
            cleaned = ["cleanup"] if kill_at else []
            assert app.noted == ["startup", *ran, *cleaned]
            transport.interrupt = lambda: False
            assert client.get("/steps").text == "done", "the next request finds it alive"


@pytest.mark.parametrize("path", ["/die", "/die_in_a_group"])
def test_it_may_say_itself_where_it_dies(path: str):
    with serving(App()) as (_, client):
        with pytest.raises(httpx.ReadError, match="died"):
            client.get(path)
        assert client.get("/steps").text == "done"


def test_a_request_that_cannot_be_killed_is_an_error():
    asked = iter(range(100))
    with (
        serving(App(), interrupt=lambda: next(asked) == 1) as (_, client),
        pytest.raises(RuntimeError, match="does not let a request end"),
    ):
        client.get("/stubborn")


@pytest.mark.parametrize(("parallel", "noted"), [(False, ["in", "out"] * 3), (True, ["in"] * 3 + ["out"] * 3)])
def test_requests_take_turns_unless_they_may_meet(parallel: bool, noted: list[str]):
    app = App()
    with serving(app, parallel=parallel) as (_, client), ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda _: client.get("/meet").status_code, range(3)))
        assert answers == [200] * 3
        assert app.noted[1:] == noted
