"""An app ends while its phone sends, and forgets close(): it ends at once and quietly, and nothing is lost."""

import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from greentrip import GreenTrip, Network, State, SystemClock
from greentrip.testing import FakeServer, Loopback

CHILD = Path(__file__).with_name("exiting_child.py")
EXIT_CODE = 3
WAIT_S = 30.0
"""For what must happen. An app that hangs at its end is killed then, and the test fails."""


class App:
    """A process that runs a script of `exiting_child.py`."""

    def __init__(self, folder: Path, url: str, server: FakeServer, script: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, CHILD, str(folder), url, server.root_key, script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.recorded: list[str] = []

    def ready(self) -> None:
        """Until it has recorded."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            word, *rest = line.split()
            self.recorded += rest if word == "recorded" else []
            if word == "ready":
                return
        raise AssertionError(self.process.communicate()[1])

    def end(self) -> tuple[int, str, str]:
        """Let it end; its exit code and what it still said."""
        out, err = self.process.communicate("\n", timeout=WAIT_S)
        return self.process.returncode, out, err


@contextmanager
def _app(folder: Path, url: str, server: FakeServer, script: str) -> Iterator[App]:
    app = App(folder, url, server, script)
    try:
        app.ready()
        yield app
    finally:
        app.process.kill()
        app.process.communicate()


class Held:
    """Plan it: the server has the request and does not answer while the test runs."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.reached.set()
        assert self.opened.wait(2 * WAIT_S)
        return httpx.Response(503)


@pytest.fixture
def server() -> FakeServer:
    return FakeServer(SystemClock())


@pytest.fixture
def url(server: FakeServer) -> Iterator[str]:
    with Loopback(server.transport) as served:
        yield served.url


def _intact(folder: Path) -> None:
    for file in folder.glob("*.sqlite3"):
        with closing(sqlite3.connect(file)) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def _drains(folder: Path, url: str, server: FakeServer, recorded: list[str], *, at_once: bool = False) -> None:
    """The next run of the app finds all that was recorded, and sends it once.

    `at_once`: the one that ended had time to give back what it had leased, so nobody waits for the end of the lease.
    """
    _intact(folder)
    later = SystemClock()
    later.now = lambda: time.time() + (0 if at_once else 600)
    settings = {"server": url, "root_key": server.root_key, "network": Network.sample(), "clock": later}
    with GreenTrip.open(folder, **settings) as phone:
        assert {trip.id for trip in phone.trips()} == set(recorded)
        _until(lambda: phone.sync(WAIT_S).left == 0)
        assert {trip.state for trip in phone.trips()} == {State.ACCEPTED}
        assert server.balance_mg == sum(trip.reduction_mg for trip in phone.trips())
    assert set(server.records) == set(recorded)


def _until(true: Callable[[], object]) -> None:
    give_up = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < give_up
        time.sleep(0.005)


@pytest.mark.parametrize("script", ["background", "background observed", "daemon"])
def test_an_app_that_ends_while_it_sends_ends_at_once_and_quietly(
    tmp_path: Path, server: FakeServer, url: str, script: str
):
    held = Held()
    server.plan(held)
    with _app(tmp_path, url, server, script) as app:
        assert held.reached.wait(WAIT_S)
        code, _, err = app.end()
        assert (code, err) == (EXIT_CODE, "")
    held.opened.set()
    _drains(tmp_path, url, server, app.recorded, at_once=True)


def test_an_app_that_ends_while_its_phone_rests_ends_quietly(tmp_path: Path, server: FakeServer, url: str):
    with _app(tmp_path, url, server, "background") as app:
        _until(lambda: server.records)
        code, _, err = app.end()
        assert (code, err) == (EXIT_CODE, "")
    _drains(tmp_path, url, server, app.recorded)


def test_an_apps_own_fault_is_all_that_it_says(tmp_path: Path, server: FakeServer, url: str):
    held = Held()
    server.plan(held)
    with _app(tmp_path, url, server, "background raise") as app:
        assert held.reached.wait(WAIT_S)
        code, _, err = app.end()
    assert code == 1
    assert err.count("Traceback") == 1
    assert err.strip().endswith('KeyError: "the app\'s own fault"')
    held.opened.set()
    _drains(tmp_path, url, server, app.recorded)


@pytest.mark.parametrize("background", ["", "background "])
def test_an_app_may_close_in_a_handler_of_its_exit(tmp_path: Path, server: FakeServer, url: str, background: str):
    """It was registered after the SDK was imported, so it runs first, and can still send."""
    with _app(tmp_path, url, server, f"{background}handler") as app:
        code, out, err = app.end()
    assert (code, err) == (EXIT_CODE, "")
    assert out.split()[-2:] == ["closed", "done"]
    assert set(server.records) == set(app.recorded)


def test_an_app_that_ends_while_the_store_is_locked_ends_too(tmp_path: Path, server: FakeServer, url: str):
    held = Held()
    server.plan(held)
    with _app(tmp_path, url, server, "background") as app:
        assert held.reached.wait(WAIT_S)
        (file,) = tmp_path.glob("*.sqlite3")
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            held.opened.set()  # the worker has its answer and waits for the lock
            code, _, err = app.end()
            assert (code, err) == (EXIT_CODE, "")
            other.execute("ROLLBACK")
    _drains(tmp_path, url, server, app.recorded)


@pytest.mark.parametrize("seed", range(6))
def test_an_app_that_ends_at_any_moment_loses_nothing(tmp_path: Path, server: FakeServer, url: str, seed: int):
    with _app(tmp_path, url, server, "background observed many") as app:
        time.sleep(random.Random(seed).uniform(0, 0.1))
        code, _, err = app.end()
        assert (code, err) == (EXIT_CODE, ""), f"seed {seed}"
    assert len(app.recorded) == 30
    _drains(tmp_path, url, server, app.recorded)
