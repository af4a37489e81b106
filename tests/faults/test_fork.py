"""A process forks while its phone sends: the child can go on as a new process would, the parent does, nothing twice."""

import os
import random
import signal
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from greentrip import Closed, GreenTrip, Network, State, Stop, SystemClock, TripView, fork
from greentrip.testing import FakeServer, Loopback, Relay
from greentrip.wire import split_lines
from support.trips import EXAMPLE

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

WAIT_S = 30.0
CONSENTS = {"location": "2026-03", "sync": "2026-03"}
CHILD_S = 60
"""The system ends a child that takes longer: it hangs."""


class Child:
    """A forked child that runs `do` and ends; it may be told to go on."""

    def __init__(self, do: Callable[["Child"], None]) -> None:
        self._said, say = os.pipe()
        hear, self._tell = os.pipe()
        with warnings.catch_warnings():
            # Python 3.12 warns that a fork may find a lock held; that it does no harm is what is tested.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._pid = os.fork()
        if self._pid:
            os.close(say)
            os.close(hear)
            return
        self._say, self._hear = say, hear
        self._run(do)

    def _run(self, do: Callable[["Child"], None]) -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(CHILD_S)
        try:
            do(self)
            os.write(self._say, b"done\n")
        except BaseException:
            os.write(self._say, traceback.format_exc().encode())
        finally:
            os._exit(0)

    # In the child

    def say(self, word: str) -> None:
        os.write(self._say, f"{word}\n".encode())

    def wait(self) -> None:
        """Until the parent says `go_on`."""
        assert os.read(self._hear, 1)

    # In the parent

    def heard(self) -> str:
        """The child's next word."""
        found = b""
        while not found.endswith(b"\n"):
            more = os.read(self._said, 1)
            assert more, f"the child ended: {found.decode()}"
            found += more
        return found.decode().strip()

    def go_on(self) -> None:
        os.write(self._tell, b"g")

    def end(self) -> None:
        """Until it is gone. Fails with what it failed with."""
        said = b""
        while more := os.read(self._said, 65536):
            said += more
        os.close(self._said)
        os.close(self._tell)
        _, status = os.waitpid(self._pid, 0)
        assert (status, said.decode()) == (0, "done\n")


@dataclass
class World:
    """A server in this process, a network that counts connections, and the phones that were opened."""

    server: FakeServer
    relay: Relay
    folder: Path
    opened: list[GreenTrip] = field(default_factory=list)
    network: Network = field(default_factory=Network.sample)

    def open(self, **changes) -> GreenTrip:
        url = f"http://127.0.0.1:{self.relay.port}"
        settings = {"server": url, "root_key": self.server.root_key, "network": self.network, "send_delay_s": 0.0}
        phone = GreenTrip.open(self.folder, **(settings | changes))
        self.opened.append(phone)
        if phone.account_id is None:
            phone.request_code("13800000000")
            phone.enrol(self.server.code, CONSENTS)
        return phone

    @property
    def posts(self) -> Counter[bytes]:
        """How often each record was sent."""
        return Counter(line for body in self.server.posted for line in split_lines(body))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    server = FakeServer(SystemClock())
    with Loopback(server.transport) as served, Relay(served.port) as relay:
        made = World(server, relay, tmp_path / "phone")
        yield made
        for phone in made.opened:
            with suppress(Closed):
                phone.close(timeout=0)


class Held:
    """Plan it: the server has the request, and answers when the test lets it."""

    def __init__(self, server: FakeServer) -> None:
        self._server = server
        self.reached = threading.Event()
        self.opened = threading.Event()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.reached.set()
        assert self.opened.wait(WAIT_S)
        return self._server.serve(request)


def _ride(phone: GreenTrip) -> TripView:
    """A metro ride of the last hour, recorded at once."""
    start, end, changes = EXAMPLE
    began = time.time() - 3600
    phone.start("rail", start, at=began)
    return phone.finish(end, changes=changes, at=began + 3000)


def _until(true: Callable[[], object]) -> None:
    give_up = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < give_up
        time.sleep(0.005)


def _states(phone: GreenTrip) -> dict[str, State]:
    return {trip.id: trip.state for trip in phone.trips()}


def _threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("greentrip-")]


@pytest.mark.parametrize("background", [True, False])
def test_a_fork_while_the_parent_sends(world: World, background: bool):
    held = Held(world.server)
    world.server.plan(held)
    phone = world.open(background=background)
    mine = _ride(phone)
    syncing = threading.Thread(target=phone.sync)
    if not background:
        syncing.start()
    assert held.reached.wait(WAIT_S)

    def child(self: Child) -> None:
        assert _threads() == []
        assert _states(phone) == {mine.id: State.LEASED}
        yours = _ride(phone)
        assert phone.sync(5).stop is Stop.BUSY, "one batch in flight, across processes"
        self.say("busy")
        self.wait()
        phone.sync(WAIT_S)
        # The parent, which was first, may send what the child has recorded as well.
        _until(lambda: _states(phone) == dict.fromkeys((mine.id, yours.id), State.ACCEPTED))
        another = _ride(phone)
        assert phone.sync(WAIT_S).settled == {State.ACCEPTED: 1}
        assert _states(phone)[another.id] is State.ACCEPTED
        phone.close()

    forked = Child(child)
    assert forked.heard() == "busy"
    assert set(world.posts.values()) == {1}
    held.opened.set()
    _until(lambda: _states(phone)[mine.id] is State.ACCEPTED)
    forked.go_on()
    forked.end()
    assert list(_states(phone).values()) == [State.ACCEPTED] * 3
    assert phone.sync(WAIT_S).stop is Stop.DONE
    last = _ride(phone)
    phone.sync(WAIT_S)
    assert _states(phone)[last.id] is State.ACCEPTED, "the parent's own connections are as they were"
    if not background:
        syncing.join(WAIT_S)
    assert set(world.posts.values()) == {1}
    assert len(world.server.records) == 4
    assert len(world.relay.sent) == 2, "a connection for each process"


def _locks_of(phone: GreenTrip) -> list[threading.Lock]:
    """Every lock that a method of the phone takes. The tests of each part know how it guards itself."""
    line = phone._http._line
    assert line is not None
    return [phone._lock, phone._worker._desk.changed, phone._http._lock, line._lock, phone._store._lock]


def test_a_fork_while_every_lock_is_held_by_another_thread(world: World, monkeypatch: pytest.MonkeyPatch):
    """Also the store's, by a thread that a sick disk does not let go: the fork does not wait for ever."""
    monkeypatch.setattr(fork, "HOLD_S_MAX", 0.05)
    phone = world.open()
    mine = _ride(phone)
    assert phone.sync(WAIT_S).stop is Stop.DONE
    waiting = _ride(phone)
    holding, may_go = threading.Event(), threading.Event()

    def hold() -> None:
        with ExitStack() as held:
            for lock in _locks_of(phone):
                held.enter_context(lock)
            holding.set()
            assert may_go.wait(WAIT_S)

    holder = threading.Thread(target=hold)
    holder.start()
    assert holding.wait(WAIT_S)

    def child(self: Child) -> None:
        yours = _ride(phone)
        assert phone.sync(WAIT_S).stop is Stop.DONE
        assert _states(phone) == dict.fromkeys((mine.id, waiting.id, yours.id), State.ACCEPTED)
        phone.close()

    forked = Child(child)
    forked.end()
    may_go.set()
    holder.join(WAIT_S)
    last = _ride(phone)
    assert phone.sync(WAIT_S).settled == {State.ACCEPTED: 1}
    assert _states(phone)[last.id] is State.ACCEPTED
    assert set(world.posts.values()) == {1}


def test_a_fork_waits_for_threads_that_are_inside_sqlite(world: World):
    """SQLite's own locks are the process's: one that a thread held at the fork would be held for ever in the child."""
    phone = world.open()
    _ride(phone)
    ended = threading.Event()

    def read() -> None:
        while not ended.is_set():
            phone.stats()

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for _ in range(40):
            forked = Child(lambda self: phone.stats())
            forked.end()
    finally:
        ended.set()
        for reader in readers:
            reader.join(WAIT_S)


def test_two_threads_may_fork_at_once(world: World):
    phone = world.open()

    def fork_often() -> None:
        for _ in range(10):
            forked = Child(lambda self: phone.stats())
            forked.end()

    forking = [threading.Thread(target=fork_often) for _ in range(3)]
    for thread in forking:
        thread.start()
    for thread in forking:
        thread.join(WAIT_S)
        assert not thread.is_alive()
    assert phone.stats().recorded == 0, "and no lock is left held"


def test_in_a_child_the_background_begins_with_the_first_trip(world: World):
    """As after a server's pre-fork, or a process that leaves its terminal."""
    phone = world.open(background=True)
    _until(lambda: "greentrip-sync" in _threads())

    def child(self: Child) -> None:
        assert _threads() == []
        trip = _ride(phone)
        assert "greentrip-sync" in _threads()
        _until(lambda: _states(phone)[trip.id] is State.ACCEPTED)
        assert phone.close().left == 0

    forked = Child(child)
    forked.end()
    assert set(world.posts.values()) == {1}


def test_a_child_that_does_nothing_harms_nothing(world: World):
    held = Held(world.server)
    world.server.plan(held)
    phone = world.open(background=True)
    trip = _ride(phone)
    assert held.reached.wait(WAIT_S)
    for _ in range(3):
        forked = Child(lambda self: None)
        forked.end()
    held.opened.set()
    _until(lambda: _states(phone)[trip.id] is State.ACCEPTED)
    assert (set(world.posts.values()), len(world.relay.sent)) == ({1}, 1)


@pytest.mark.parametrize("seed", range(3))
def test_forks_at_any_moment_lose_nothing_and_count_nothing_twice(world: World, seed: int):
    """The parent records; it and its children send as they like, and the lease lets one of them send at a time."""
    dice = random.Random(seed)
    phone = world.open(background=True)
    recorded, children = [], []

    def child(self: Child) -> None:
        for _ in range(3):
            phone.sync(2)
        phone.close(timeout=0)

    for _ in range(5):
        recorded += [_ride(phone) for _ in range(dice.randint(1, 3))]
        time.sleep(dice.uniform(0, 0.02))
        children.append(Child(child))
    for forked in children:
        forked.end()
    _until(lambda: phone.sync(WAIT_S).left == 0)
    assert _states(phone) == {trip.id: State.ACCEPTED for trip in recorded}
    assert set(world.server.records) == {trip.id for trip in recorded}
    assert world.server.balance_mg == sum(trip.reduction_mg for trip in recorded)
    assert set(world.posts.values()) == {1}, f"seed {seed}"


def test_the_worker_of_a_child_is_not_its_parents(world: World):
    """A call that waits in the parent is not answered by the child, and the child's is not by the parent."""
    phone = world.open()
    held = Held(world.server)
    world.server.plan(held)
    _ride(phone)
    with _calling(phone) as reports:
        assert held.reached.wait(WAIT_S)

        def child(self: Child) -> None:
            assert phone._worker.stop(WAIT_S), "there is no thread to wait for"
            phone._worker.start(background=False)
            assert phone.sync(0.2).stop in (Stop.BUSY, Stop.TIME)

        forked = Child(child)
        forked.end()
        held.opened.set()
    assert [report.settled for report in reports] == [{State.ACCEPTED: 1}]


@contextmanager
def _calling(phone: GreenTrip) -> Iterator[list]:
    reports: list = []
    thread = threading.Thread(target=lambda: reports.append(phone.sync(WAIT_S)))
    thread.start()
    yield reports
    thread.join(WAIT_S)
    assert not thread.is_alive()
