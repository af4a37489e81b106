"""Processes and threads share a store: one sends at a time, the dead hold nobody up, who comes late settles nothing."""

import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from greentrip import GreenTrip, Network, State, Stop, SystemClock
from greentrip.testing import FakeServer, Loopback
from greentrip.wire import split_lines
from support.child_phone import ChildPhone, child_phone
from support.commuting import LaterClock, ride, ride_at
from support.points import AFTER, BEFORE, Point, wait_until_stopped
from support.server import CONSENTS

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs SIGSTOP and SIGKILL")

CHILD = Path(__file__).with_name("crowd_child.py")
RIDES = 3
RIDES_A_PROCESS = 60
SYNC_S = 20
WAIT_S = 60.0
LEASE_IS_OVER_S = 121.0
ANSWER_S = 0.01
"""How long the server thinks, so that two calls at once would be seen."""


class Counted(httpx.BaseTransport):
    """Counts how many batches the server has at once."""

    def __init__(self, server: FakeServer) -> None:
        self.most = 0
        self._server = server
        self._now = 0
        self._lock = threading.Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path != "/v1/trips":
            return self._server.transport.handle_request(request)
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        time.sleep(ANSWER_S)
        try:
            return self._server.transport.handle_request(request)
        finally:
            with self._lock:
                self._now -= 1


class Held:
    """Plan it: the server has taken the batch in, and its answer waits until the test lets it go."""

    def __init__(self, server: FakeServer) -> None:
        self._server = server
        self.reached = threading.Event()
        self.opened = threading.Event()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        answer = self._server.serve(request)
        self.reached.set()
        assert self.opened.wait(2 * WAIT_S)
        return answer


@dataclass
class World:
    """A server in this process, and one folder for all phones."""

    server: FakeServer
    counted: Counted
    url: str
    folder: Path

    def open(self, later_s: float = 0.0) -> GreenTrip:
        """The phone in this process, so many seconds later."""
        return GreenTrip.open(
            self.folder,
            server=self.url,
            root_key=self.server.root_key,
            network=Network.sample(),
            clock=LaterClock(later_s),
            dice=lambda: 0.0,
        )

    @contextmanager
    def child(self) -> Iterator[ChildPhone]:
        """The phone in a process of its own, which has it open."""
        with child_phone(self.folder, self.url, self.server.root_key) as started:
            started.call("stats")
            yield started

    def held(self) -> Held:
        """What happens to the next batch."""
        made = Held(self.server)
        self.server.plan(made)
        return made

    def drained(self, ids: set[str]) -> None:
        """Everything is settled, here and there, and counts once."""
        with self.open() as green:
            trips = green.trips()
            assert {trip.id: trip.state for trip in trips} == dict.fromkeys(ids, State.ACCEPTED)
            assert all(green.verify_receipt(id) for id in ids)
            assert self.server.balance_mg == sum(trip.reduction_mg for trip in trips)
            entries = green.statement()
            assert Counter(entry.trip for entry in entries) == Counter(ids)
        assert set(self.server.records) == ids

    @property
    def posts(self) -> Counter[bytes]:
        """How often each record was sent."""
        return Counter(line for body in self.server.posted for line in split_lines(body))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    server = FakeServer(SystemClock())
    counted = Counted(server)
    with Loopback(counted) as loopback:
        made = World(server, counted, loopback.url, tmp_path / "phone")
        with made.open() as green:
            green.request_code("13800000000")
            green.enrol(server.code, CONSENTS)
        yield made


def recorded(world: World) -> set[str]:
    """Rides that wait."""
    with world.open() as green:
        return {ride(green, count).id for count in range(RIDES)}


def test_two_processes_of_eight_threads_send_one_batch_at_a_time(world: World):
    # Each process has days of its own.
    first = [ride_at(16 * days).timestamp() for days in (3, 9)]
    children = [
        subprocess.Popen(
            [sys.executable, CHILD, world.folder, world.url, world.server.root_key, str(at), str(RIDES_A_PROCESS)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for at in first
    ]
    try:
        said = [child.communicate(timeout=WAIT_S)[0].splitlines() for child in children]
    finally:
        for child in children:
            child.kill()
            child.communicate()
    assert [lines[-1] for lines in said] == ["done", "done"]
    told = {line.split()[1]: bytes.fromhex(line.split()[2]) for lines in said for line in lines[:-1]}
    assert len(told) == 2 * RIDES_A_PROCESS
    assert world.counted.most == 1
    assert world.posts == Counter(told.values())  # each exactly once
    with world.open() as green:
        assert {trip.id: trip.record for trip in green.trips()} == told
        assert green.diagnose()["store"]["kills"] == 0
    world.drained(set(told))


def test_while_another_process_sends_a_phone_says_so(world: World):
    ids, held = recorded(world), world.held()
    with world.open() as green, world.child() as child:
        child.tell("sync", SYNC_S)
        assert held.reached.wait(WAIT_S)
        report = green.sync(SYNC_S)
        assert (report.stop, report.requests, report.left) == (Stop.BUSY, 0, RIDES)
        held.opened.set()
        child.answer()
        assert green.sync(SYNC_S).stop is Stop.DONE
    world.drained(ids)
    assert set(world.posts.values()) == {1}


def test_one_is_killed_while_it_sends_and_the_other_goes_on_at_once(world: World):
    """It had the store open long before, and does not wait for the lease to end."""
    ids, held = recorded(world), world.held()
    with world.open() as green, world.child() as child:
        child.tell("sync", SYNC_S)
        assert held.reached.wait(WAIT_S)
        child.kill()
        report = green.sync(SYNC_S)
        assert (report.stop, report.settled) == (Stop.DONE, {State.ACCEPTED: RIDES})
        assert green.diagnose()["store"]["kills"] == 1
        held.opened.set()
    world.drained(ids)


# Asleep for longer than the lease


def test_the_late_answer_of_a_phone_that_slept_settles_nothing_that_is_settled(world: World):
    ids, held = recorded(world), world.held()
    with world.child() as child:
        child.tell("sync", SYNC_S)
        assert held.reached.wait(WAIT_S)
        _stop(child)
        with world.open(LEASE_IS_OVER_S) as green:
            assert green.sync(SYNC_S).settled == {State.ACCEPTED: RIDES}
            receipts = {id: green.receipt(id) for id in ids}
            held.opened.set()
            _go_on(child)
            assert "settled={}" in child.answer()
            assert {id: green.receipt(id) for id in ids} == receipts
    world.drained(ids)
    assert set(world.posts.values()) == {2}


def test_the_late_answer_of_a_phone_that_slept_settles_nothing_that_is_under_way(world: World):
    ids, held, other = recorded(world), world.held(), world.held()
    with world.child() as child:
        child.tell("sync", SYNC_S)
        assert held.reached.wait(WAIT_S)
        _stop(child)
        with world.open(LEASE_IS_OVER_S) as green:
            sending = threading.Thread(target=green.sync, args=(SYNC_S,))
            sending.start()
            assert other.reached.wait(WAIT_S)
            held.opened.set()
            _go_on(child)
            assert "settled={}" in child.answer()
            assert green.stats().states == {State.LEASED: RIDES}
            other.opened.set()
            sending.join()
            assert green.stats().states == {State.ACCEPTED: RIDES}
    world.drained(ids)
    assert set(world.posts.values()) == {2}


def test_a_phone_that_slept_before_it_sent_settles_nothing_that_is_settled(world: World):
    ids = recorded(world)
    with world.child() as child:
        leased = "UPDATE queue SET prior = state"
        child.strike(Point(AFTER, "COMMIT", since=leased, signal=signal.SIGSTOP))
        child.tell("sync", SYNC_S)
        wait_until_stopped(child.pid)
        with world.open(LEASE_IS_OVER_S) as green:
            assert green.sync(SYNC_S).settled == {State.ACCEPTED: RIDES}
        _go_on(child)
        assert "settled={}" in child.answer()
    world.drained(ids)


def test_a_phone_that_sleeps_with_the_store_locked_is_waited_for_no_longer_than_asked(world: World):
    ids = recorded(world)
    with world.child() as child, world.open(LEASE_IS_OVER_S) as green:
        settle = "UPDATE queue SET state = ?, result_line"
        child.strike(Point(BEFORE, "COMMIT", since=settle, signal=signal.SIGSTOP))
        child.tell("sync", SYNC_S)
        wait_until_stopped(child.pid)
        report = green.sync(1)
        assert report.stop in (Stop.TIME, Stop.STORAGE)
        assert report.settled == {}
        _go_on(child)
        assert f"{State.ACCEPTED!r}: {RIDES}" in child.answer()
        while green.sync(SYNC_S).stop is Stop.STORAGE:
            pass  # the pass that began meanwhile gives up on the lock
    world.drained(ids)
    assert set(world.posts.values()) == {1}


def _stop(child: ChildPhone) -> None:
    child.signal(signal.SIGSTOP)
    wait_until_stopped(child.pid)


def _go_on(child: ChildPhone) -> None:
    child.signal(signal.SIGCONT)
