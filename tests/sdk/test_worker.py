"""The worker: triggers fold, every `sync()` returns by its time, and no fault gets out or ends it."""

import math
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue

import pytest

from greentrip import worker as worker_module
from greentrip.errors import StorageFull
from greentrip.events import Event, SyncEnded, SyncStarted, Teller
from greentrip.report import Stop, SyncReport, Trigger
from greentrip.states import State
from greentrip.testing import FakeClock
from greentrip.worker import PASS_S_MAX, SPARE_S, Worker

WAIT_S = 30.0
"""For what must happen; a test that waits so long has failed."""
NAME = "greentrip-sync"


class Killed(BaseException):
    """A simulated kill."""


class Passes:
    """Plays `run` and `next_due_ms`: each pass says what it was asked, and does what the test says."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.begun: SimpleQueue[Trigger] = SimpleQueue()
        self.triggers: list[Trigger] = []
        self.timeouts: list[float] = []
        self.threads: set[str] = set()
        self.reads = 0
        self.plan: Callable[[], int | None] = lambda: None
        self.act: Callable[[Trigger, float], SyncReport] = lambda trigger, timeout_s: SyncReport(requests=1)

    def run(self, trigger: Trigger, timeout_s: float) -> SyncReport:
        self.triggers.append(trigger)
        self.timeouts.append(timeout_s)
        self.threads.add(threading.current_thread().name)
        self.begun.put(trigger)
        return self.act(trigger, timeout_s)

    def next_due_ms(self) -> int | None:
        self.reads += 1
        return self.plan()

    def due_in(self, seconds: float) -> None:
        due_ms = round((self.clock.now() + seconds) * 1000)
        self.plan = lambda: due_ms


class Gate:
    """A pass that blocks until the test lets it go."""

    def __init__(self, report: SyncReport | None = None) -> None:
        self.report = report or SyncReport(requests=1)
        self.reached = threading.Event()
        self.opened = threading.Event()

    def __call__(self, trigger: Trigger, timeout_s: float) -> SyncReport:
        self.reached.set()
        assert self.opened.wait(WAIT_S)
        return self.report


@pytest.fixture
def passes(clock: FakeClock) -> Passes:
    return Passes(clock)


@pytest.fixture
def seen() -> list[Event]:
    return []


@pytest.fixture
def worker(passes: Passes, clock: FakeClock, seen: list[Event]) -> Iterator[Worker]:
    made = Worker(passes.run, passes.next_due_ms, clock, seen.append)
    yield made
    assert made.stop(WAIT_S)
    assert not _threads()


class Ticking(FakeClock):
    """Its wall clock stands still, and its time passes: what a deadline is measured by."""

    def monotonic(self) -> float:
        return time.monotonic()


@pytest.fixture
def in_real_time(passes: Passes, seen: list[Event]) -> Iterator[Worker]:
    made = Worker(passes.run, passes.next_due_ms, Ticking(), seen.append)
    yield made
    assert made.stop(WAIT_S)
    assert not _threads()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hardly a gap and no rest, for tests of what comes after them."""
    monkeypatch.setattr(worker_module, "GAP_S_MIN", 0.002)
    monkeypatch.setattr(worker_module, "REST_S", 0.0)


def _threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == NAME]


def _until(true: Callable[[], object]) -> None:
    """Wait for what must become true."""
    give_up = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < give_up
        time.sleep(0.002)


@contextmanager
def _calling(worker: Worker, timeout_s: float = WAIT_S) -> Iterator[list[SyncReport]]:
    """A `sync()` in a thread of its own; its report is in the list afterwards."""
    reports: list[SyncReport] = []
    thread = threading.Thread(target=lambda: reports.append(worker.sync(timeout_s)))
    thread.start()
    _until(lambda: worker._desk.calls or reports)
    yield reports
    thread.join(WAIT_S)
    assert not thread.is_alive()


# A person's sync


def test_a_sync_is_one_pass_in_the_workers_thread_and_leaves_no_thread(worker: Worker, passes: Passes):
    passes.act = lambda trigger, timeout_s: SyncReport({State.ACCEPTED: 2}, left=3, requests=1)
    assert worker.sync(10) == SyncReport({State.ACCEPTED: 2}, left=3, requests=1)
    assert (passes.triggers, passes.threads) == ([Trigger.PERSON], {NAME})
    assert passes.timeouts == [10 - SPARE_S], "the same in every run"
    _until(lambda: not _threads())
    assert passes.reads == 0, "without a background the plan is nobody's business"


def test_nothing_runs_while_nobody_calls_and_there_is_no_background(worker: Worker, passes: Passes):
    passes.due_in(-1)
    for trigger in Trigger:
        worker.trigger(trigger)
    worker.start(background=False)
    assert (passes.reads, passes.triggers, _threads()) == (0, [], [])


@pytest.mark.parametrize("timeout_s", [0.0, -1.0, math.nan, 0.05])
def test_whatever_blocks_a_sync_returns_with_the_time_and_what_is_known(
    in_real_time: Worker, passes: Passes, timeout_s: float
):
    worker = in_real_time
    passes.act = lambda trigger, timeout_s: SyncReport(left=7, requests=1, asked=1)
    worker.sync(WAIT_S)
    gate = Gate()
    passes.act = gate
    assert worker.sync(timeout_s) == SyncReport(left=7, stop=Stop.TIME, asked=1)
    gate.opened.set()


@pytest.mark.parametrize("timeout_s", [math.inf, 1e300])
def test_no_timeout_is_too_long_to_wait_for(worker: Worker, timeout_s: float):
    assert worker.sync(timeout_s).stop is Stop.DONE


def test_two_calls_at_once_share_a_failure_and_each_is_told(worker: Worker, passes: Passes):
    gate = Gate(SyncReport(left=4, stop=Stop.OFFLINE, detail="ConnectError", requests=1))
    passes.act = gate
    with _calling(worker) as first:
        assert gate.reached.wait(WAIT_S)
        with _calling(worker) as second:
            _until(lambda: len(worker._desk.calls) == 2)
            gate.opened.set()
    assert first == second == [gate.report]
    assert passes.triggers == [Trigger.PERSON], "nobody is asked twice"


@pytest.mark.parametrize("stop", [Stop.DONE, Stop.TIME])
def test_who_came_too_late_for_a_pass_that_sent_has_another_after_it(worker: Worker, passes: Passes, stop: Stop):
    """What was recorded just before the second call may have been too late for the first one's last look."""
    gate = Gate(SyncReport({State.ACCEPTED: 2}, left=1, stop=stop, requests=1))
    passes.act = gate
    with _calling(worker) as first:
        assert gate.reached.wait(WAIT_S)
        with _calling(worker) as second:
            _until(lambda: len(worker._desk.calls) == 2)
            passes.act = lambda trigger, timeout_s: SyncReport({State.ACCEPTED: 1, State.HELD: 1}, requests=1)
            gate.opened.set()
    assert first == [gate.report]
    assert second == [SyncReport({State.ACCEPTED: 3, State.HELD: 1}, requests=2)], "all that settled while it waited"
    assert passes.triggers == [Trigger.PERSON] * 2


def test_many_that_wait_share_the_next_pass(worker: Worker, passes: Passes):
    gate = Gate()
    passes.act = gate
    with _calling(worker):
        assert gate.reached.wait(WAIT_S)
        threads = [threading.Thread(target=worker.sync, args=(WAIT_S,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        _until(lambda: len(worker._desk.calls) == 9)
        gate.opened.set()
    for thread in threads:
        thread.join(WAIT_S)
    assert passes.triggers == [Trigger.PERSON] * 2


def test_behind_a_background_pass_a_persons_follows_at_once(worker: Worker, passes: Passes):
    gate = Gate(SyncReport({State.ACCEPTED: 1}, left=5, stop=Stop.OFFLINE, requests=1))
    passes.act = gate
    worker.start()
    worker.trigger(Trigger.NETWORK)
    assert gate.reached.wait(WAIT_S)
    with _calling(worker) as reports:
        passes.act = lambda trigger, timeout_s: SyncReport(requests=1)
        gate.opened.set()
    assert passes.triggers == [Trigger.NETWORK, Trigger.PERSON]
    assert reports == [SyncReport({State.ACCEPTED: 1}, requests=2)]


def test_behind_a_background_pass_that_blocks_a_sync_has_its_deadline(in_real_time: Worker, passes: Passes):
    gate, worker = Gate(), in_real_time
    passes.act = gate
    worker.start()
    worker.trigger(Trigger.APP)
    assert gate.reached.wait(WAIT_S)
    assert worker.sync(0.05).stop is Stop.TIME
    gate.opened.set()
    assert worker.sync(WAIT_S).stop is Stop.DONE
    assert passes.triggers == [Trigger.APP, Trigger.PERSON], "the call that gave up asks for nothing more"


@pytest.mark.parametrize(
    ("error", "stop", "detail"),
    [
        (StorageFull(), Stop.STORAGE, StorageFull().en),
        (KeyError("39.9,116.4"), Stop.FAULT, "KeyError at test_worker.py"),
    ],
)
def test_a_fault_is_told_and_not_raised(
    worker: Worker, passes: Passes, seen: list[Event], error: Exception, stop: Stop, detail: str
):
    passes.act = lambda trigger, timeout_s: SyncReport(left=3, requests=1)
    worker.sync(WAIT_S)
    passes.act = _raising(error)
    report = worker.sync(WAIT_S)
    assert (report.stop, report.left, report.requests) == (stop, 3, 0)
    assert report.detail.startswith(detail)
    assert "39.9" not in report.detail
    assert seen[-1] == SyncEnded(Trigger.PERSON, report)
    passes.act = lambda trigger, timeout_s: SyncReport()
    assert worker.sync(WAIT_S).stop is Stop.DONE, "and the next one works"


def _raising(error: BaseException) -> Callable[[Trigger, float], SyncReport]:
    def act(trigger: Trigger, timeout_s: float) -> SyncReport:
        raise error

    return act


@pytest.mark.parametrize("error", [Killed(), KeyboardInterrupt(), SystemExit(3)])
def test_what_is_no_exception_goes_to_the_caller(worker: Worker, passes: Passes, error: BaseException):
    passes.act = _raising(error)
    with pytest.raises(type(error)):
        worker.sync(WAIT_S)
    passes.act = lambda trigger, timeout_s: SyncReport()
    assert worker.sync(WAIT_S).stop is Stop.DONE


def test_control_c_ends_the_wait_and_the_pass_goes_on(worker: Worker, passes: Passes):
    main = threading.main_thread()
    if threading.current_thread() is not main:
        pytest.skip("signals come to the main thread")
    gate = Gate()
    passes.act = gate

    def press() -> None:
        assert gate.reached.wait(WAIT_S)
        signal.pthread_kill(main.ident, signal.SIGINT)

    pressing = threading.Thread(target=press)
    pressing.start()
    with pytest.raises(KeyboardInterrupt):
        worker.sync(WAIT_S)
    pressing.join()
    assert worker._desk.calls == []
    gate.opened.set()
    assert worker.sync(WAIT_S).stop is Stop.DONE


def test_a_call_that_waited_has_only_the_rest_of_its_time(worker: Worker, passes: Passes, clock: FakeClock):
    gate = Gate()
    passes.act = gate
    with _calling(worker, 40):
        assert gate.reached.wait(WAIT_S)
        with _calling(worker, 20):
            _until(lambda: len(worker._desk.calls) == 2)
            clock.tick(15)
            gate.opened.set()
    assert passes.timeouts == [40 - SPARE_S, 5 - SPARE_S]


# Triggers


@pytest.mark.parametrize("seed", range(20))
def test_triggers_fold_into_one_pass_and_the_strongest_counts(worker: Worker, passes: Passes, seed: int):
    dice = random.Random(seed)
    said = dice.choices([Trigger.RECORD, Trigger.TIMER, Trigger.NETWORK, Trigger.APP], k=dice.randint(1, 30))
    for trigger in said:
        worker.trigger(trigger)
    order = [Trigger.TIMER, Trigger.NETWORK, Trigger.APP]
    strongest = max((trigger for trigger in said if trigger is not Trigger.RECORD), key=order.index, default=None)
    report = worker.run_due()
    assert passes.triggers == ([strongest] if strongest else [])
    assert (report is None) == (strongest is None)
    assert worker.run_due() is None, "and they are used up"


def test_a_record_only_makes_it_read_its_plan_again(worker: Worker, passes: Passes):
    worker.start()
    _until(lambda: passes.reads == 1)
    worker.trigger(Trigger.RECORD)
    _until(lambda: passes.reads == 2)
    assert passes.triggers == []
    passes.due_in(-1)
    passes.act = lambda trigger, timeout_s: _done(passes)
    worker.trigger(Trigger.RECORD)
    assert passes.begun.get(timeout=WAIT_S) is Trigger.TIMER


def _done(passes: Passes) -> SyncReport:
    """All is sent: nothing is due any more."""
    passes.plan = lambda: None
    return SyncReport(requests=1)


def test_a_trigger_during_a_pass_makes_another(worker: Worker, passes: Passes, quick: None):
    """The network that came back during a pass that failed for want of it."""
    gate = Gate()
    passes.act = gate
    worker.start()
    worker.trigger(Trigger.APP)
    assert gate.reached.wait(WAIT_S)
    for _ in range(5):
        worker.trigger(Trigger.NETWORK)
    gate.opened.set()
    _until(lambda: passes.triggers == [Trigger.APP, Trigger.NETWORK])
    _until(lambda: not worker._desk.wanted)
    assert worker.sync(WAIT_S).stop is Stop.DONE
    assert passes.triggers == [Trigger.APP, Trigger.NETWORK, Trigger.PERSON]


def test_a_persons_pass_answers_the_triggers_before_it(worker: Worker, passes: Passes):
    worker.trigger(Trigger.APP)
    worker.sync(WAIT_S)
    assert passes.triggers == [Trigger.PERSON]
    assert worker.run_due() is None


def test_triggers_from_many_threads_neither_raise_nor_wait(worker: Worker, passes: Passes, quick: None):
    gate = Gate()
    passes.act = gate
    worker.start()
    worker.trigger(Trigger.NETWORK)
    assert gate.reached.wait(WAIT_S)
    threads = [
        threading.Thread(target=lambda: [worker.trigger(trigger) for trigger in Trigger for _ in range(200)])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    gate.opened.set()
    assert worker.sync(WAIT_S).stop is Stop.DONE
    assert len(passes.triggers) <= 3, "8000 triggers are one pass"


# The plan


def test_in_the_background_what_is_due_is_sent_without_being_asked(worker: Worker, passes: Passes):
    passes.due_in(-1)
    passes.act = lambda trigger, timeout_s: _done(passes)
    worker.start()
    assert passes.begun.get(timeout=WAIT_S) is Trigger.TIMER
    assert (passes.threads, passes.timeouts) == ({NAME}, [PASS_S_MAX])


def test_it_waits_until_the_plans_time(worker: Worker, passes: Passes, clock: FakeClock, monkeypatch):
    monkeypatch.setattr(worker_module, "LOOK_AGAIN_S", 0.01)
    passes.due_in(3600)
    passes.act = lambda trigger, timeout_s: _done(passes)
    worker.start()
    _until(lambda: passes.reads >= 3)
    assert passes.triggers == []
    clock.wall += 3600  # the wall clock jumps; nobody says so
    assert passes.begun.get(timeout=WAIT_S) is Trigger.TIMER


def test_what_another_process_recorded_is_found(worker: Worker, passes: Passes, monkeypatch):
    monkeypatch.setattr(worker_module, "LOOK_AGAIN_S", 0.01)
    worker.start()
    _until(lambda: passes.reads >= 2)
    passes.act = lambda trigger, timeout_s: _done(passes)
    passes.due_in(-1)
    assert passes.begun.get(timeout=WAIT_S) is Trigger.TIMER


def test_a_plan_that_is_not_due_for_long_is_not_read_all_the_time(worker: Worker, passes: Passes):
    passes.due_in(3600)
    worker.start()
    _until(lambda: passes.reads == 1)
    _until(lambda: not worker._desk.look)
    time.sleep(0.1)
    assert passes.reads == 1


@pytest.mark.parametrize("due_ms", [0, -(10**18), -1])
def test_a_plan_in_the_past_is_now_and_never_spins(worker: Worker, passes: Passes, due_ms: int):
    passes.plan = lambda: due_ms
    worker.start()
    assert passes.begun.get(timeout=WAIT_S) is Trigger.TIMER
    _until(lambda: worker._desk.gap_until)
    time.sleep(0.1)
    assert len(passes.triggers) == 1, "there is a gap before the next"


@pytest.mark.parametrize(
    "act", [_raising(KeyError()), _raising(StorageFull()), lambda trigger, timeout_s: SyncReport()]
)
def test_a_pass_that_asked_nobody_rests_until_something_happens(worker: Worker, passes: Passes, act, monkeypatch):
    monkeypatch.setattr(worker_module, "GAP_S_MIN", 0.0)
    passes.due_in(-1)
    passes.act = act
    worker.start()
    assert passes.begun.get(timeout=WAIT_S) is Trigger.TIMER
    _until(lambda: worker._desk.rest_until)
    time.sleep(0.1)
    assert len(passes.triggers) == 1
    worker.trigger(Trigger.APP)
    assert passes.begun.get(timeout=WAIT_S) is Trigger.APP


@pytest.mark.parametrize("error", [KeyError(), StorageFull(), Killed(), SystemExit(3)])
def test_after_any_fault_of_a_pass_or_of_the_plan_the_next_is_planned(
    worker: Worker, passes: Passes, seen: list[Event], error: BaseException, quick: None
):
    passes.plan = _raising_plan(error)
    passes.act = _raising(error)
    worker.start()
    worker.trigger(Trigger.NETWORK)
    _until(lambda: len(passes.triggers) >= (3 if isinstance(error, Exception) else 1))
    passes.act = lambda trigger, timeout_s: _done(passes)
    passes.due_in(-1)
    _until(lambda: SyncEnded(Trigger.TIMER, SyncReport(requests=1)) in seen)
    told = {event.report.stop for event in seen if isinstance(event, SyncEnded)}
    expected = {StorageFull: {Stop.STORAGE}, KeyError: {Stop.FAULT}}.get(type(error), set())
    assert told - {Stop.DONE} == expected


def _raising_plan(error: BaseException) -> Callable[[], int | None]:
    def plan() -> int | None:
        raise error

    return plan


@pytest.mark.parametrize("seed", range(5))
def test_no_clock_and_no_fault_keeps_what_is_due_waiting_for_ever(
    worker: Worker, passes: Passes, clock: FakeClock, seed: int, quick: None, monkeypatch
):
    monkeypatch.setattr(worker_module, "LOOK_AGAIN_S", 0.01)
    dice = random.Random(seed)
    left = 20

    def act(trigger: Trigger, timeout_s: float) -> SyncReport:
        nonlocal left
        clock.wall += dice.choice([-3.2e8, -3600, 0, 1, 3600, 3.2e8])
        if dice.random() < 0.3:
            raise dice.choice([KeyError(), StorageFull(), Killed()])
        left -= 1
        passes.due_in(dice.choice([-1e6, -1, 0, 0.005]))
        if left == 0:
            passes.plan = lambda: None
        return SyncReport(left=left, requests=dice.randint(0, 1))

    passes.act = act
    passes.due_in(0)
    worker.start()
    while left:
        worker.trigger(dice.choice(list(Trigger)))
        clock.wall += dice.choice([-60, 0, 60])
        time.sleep(0.001)
        if passes.plan() is not None and passes.plan() > clock.now() * 1000 + 1000:
            passes.due_in(0)  # what `next_due_ms` clamps after a jump


# Events and observers


def test_the_events_of_a_pass_are_told_before_its_sync_returns(worker: Worker, passes: Passes, seen: list[Event]):
    report = worker.sync(WAIT_S)
    assert seen == [SyncStarted(Trigger.PERSON), SyncEnded(Trigger.PERSON, report)]


def test_an_observer_may_call_back(passes: Passes, clock: FakeClock, quick: None):
    back: list[SyncReport | bool] = []

    def observer(event: Event) -> None:
        if isinstance(event, SyncEnded) and len(back) < 2:
            worker.trigger(Trigger.RECORD)
            back.append(worker.sync(WAIT_S))

    worker = Worker(passes.run, passes.next_due_ms, clock, observer)
    passes.act = lambda trigger, timeout_s: SyncReport(left=2, requests=1)
    assert worker.sync(WAIT_S) == SyncReport(left=2, requests=1)
    _until(lambda: not _threads())
    assert back == [SyncReport(left=2, stop=Stop.BUSY)] * 2
    assert passes.triggers == [Trigger.PERSON] * 3, "and what it asked for followed, without a background"


def test_an_observer_may_stop_the_worker(passes: Passes, clock: FakeClock):
    back: list[bool] = []

    def observer(event: Event) -> None:
        if isinstance(event, SyncStarted):
            back.append(worker.stop(WAIT_S))

    worker = Worker(passes.run, passes.next_due_ms, clock, observer)
    assert worker.sync(WAIT_S).stop is Stop.SUSPENDED
    assert back == [False], "it ends when the observer has returned"
    assert worker.stop(WAIT_S)


@pytest.mark.parametrize("error", [ValueError(), SystemExit(3)])
def test_an_observer_that_raises_in_the_background_ends_nothing(
    passes: Passes, clock: FakeClock, error: BaseException, quick: None
):
    def observer(event: Event) -> None:
        raise error

    worker = Worker(passes.run, passes.next_due_ms, clock, Teller(observer))
    worker.start()
    for _ in range(3):
        if isinstance(error, Exception):
            worker.trigger(Trigger.NETWORK)
            passes.begun.get(timeout=WAIT_S)
        else:
            worker.trigger(Trigger.NETWORK)
            _until(lambda: not worker._desk.wanted)
    (thread,) = _threads()
    assert thread.is_alive()
    assert worker.stop(WAIT_S)


def test_an_observer_that_blocks_holds_up_no_sync_beyond_its_time(passes: Passes):
    inside, may_go = threading.Event(), threading.Event()

    def observer(event: Event) -> None:
        if isinstance(event, SyncEnded):
            inside.set()
            assert may_go.wait(WAIT_S)

    worker = Worker(passes.run, passes.next_due_ms, Ticking(), observer)
    passes.act = lambda trigger, timeout_s: SyncReport({State.ACCEPTED: 1}, requests=1)
    assert worker.sync(0.5) == SyncReport({State.ACCEPTED: 1}, requests=1), "what was done is known all the same"
    assert inside.is_set()
    may_go.set()
    assert worker.stop(WAIT_S)


# Stop and start


def test_stop_wakes_who_waits_and_tells_the_pass(worker: Worker, passes: Passes):
    gate = Gate(SyncReport({State.ACCEPTED: 1}, stop=Stop.SUSPENDED, requests=1))
    passes.act = gate
    assert not worker.stopping
    with _calling(worker) as reports:
        assert gate.reached.wait(WAIT_S)
        assert not worker.stop(0), "the pass is still there"
        assert worker.stopping
    assert [report.stop for report in reports] == [Stop.SUSPENDED]
    gate.opened.set()
    assert worker.stop(WAIT_S)
    assert not _threads()


def test_stop_cuts_what_the_pass_waits_for(passes: Passes, clock: FakeClock):
    gate = Gate()
    passes.act = gate
    told: list[bool] = []

    def cut() -> None:
        told.append(worker.stopping)
        gate.opened.set()

    worker = Worker(passes.run, passes.next_due_ms, clock, lambda event: None, cut)
    with _calling(worker) as reports:
        assert gate.reached.wait(WAIT_S)
        assert worker.stop(WAIT_S)
    assert told == [True], "the pass begins nothing new once it is cut"
    assert [report.stop for report in reports] == [Stop.SUSPENDED]


def test_stopped_it_takes_nothing_until_it_is_started_again(worker: Worker, passes: Passes):
    passes.due_in(-1)
    passes.act = lambda trigger, timeout_s: _done(passes)
    assert worker.stop(0)
    for trigger in Trigger:
        worker.trigger(trigger)
    assert worker.sync(WAIT_S).stop is Stop.SUSPENDED
    assert worker.run_due() is None
    assert (passes.reads, passes.triggers, _threads()) == (0, [], [])
    worker.start(background=False)
    assert worker.sync(WAIT_S).stop is Stop.DONE
    passes.due_in(-1)
    worker.stop(WAIT_S)
    worker.start()
    _until(lambda: passes.triggers == [Trigger.PERSON, Trigger.TIMER])


def test_started_again_while_a_pass_still_blocks_there_is_one_thread(worker: Worker, passes: Passes, quick: None):
    gate = Gate()
    passes.act = gate
    worker.start()
    worker.trigger(Trigger.APP)
    assert gate.reached.wait(WAIT_S)
    assert not worker.stop(0)
    worker.start()
    assert len(_threads()) == 1
    worker.trigger(Trigger.NETWORK)
    gate.opened.set()
    _until(lambda: passes.triggers == [Trigger.APP, Trigger.NETWORK])
    assert len(_threads()) == 1


@pytest.mark.parametrize("seed", range(3))
def test_calls_of_every_kind_from_eight_threads_end(worker: Worker, passes: Passes, seed: int, quick: None):
    passes.plan = lambda: 0
    passes.act = lambda trigger, timeout_s: SyncReport({State.ACCEPTED: 1}, requests=1)
    at_once = []
    lock = threading.Lock()

    def act(trigger: Trigger, timeout_s: float) -> SyncReport:
        assert lock.acquire(blocking=False), "two passes at once"
        at_once.append(trigger)
        lock.release()
        return SyncReport(requests=1)

    passes.act = act

    def play(dice: random.Random) -> None:
        for _ in range(60):
            dice.choice(
                [
                    lambda: worker.sync(dice.choice([0, 0.001, 1])),
                    lambda: worker.trigger(dice.choice(list(Trigger))),
                    lambda: worker.start(background=dice.random() < 0.5),
                    lambda: worker.stop(dice.choice([0, 0.001])),
                ]
            )()

    threads = [threading.Thread(target=play, args=(random.Random(8 * seed + number),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
        assert not thread.is_alive()
    worker.start(background=False)
    assert worker.sync(WAIT_S).stop is Stop.DONE
    assert at_once


# Where there is no thread


def test_run_due_is_one_background_pass_in_the_callers_thread(worker: Worker, passes: Passes, clock: FakeClock):
    passes.due_in(60)
    assert worker.run_due() is None
    clock.tick(60)
    passes.act = lambda trigger, timeout_s: _done(passes)
    assert worker.run_due() == SyncReport(requests=1)
    assert (passes.triggers, passes.timeouts) == ([Trigger.TIMER], [PASS_S_MAX])
    assert passes.threads == {threading.current_thread().name}
    assert worker.run_due() is None


def test_run_due_tells_a_fault_and_raises_a_kill(worker: Worker, passes: Passes):
    passes.due_in(-1)
    passes.act = _raising(KeyError())
    report = worker.run_due()
    assert report is not None
    assert report.stop is Stop.FAULT
    passes.act = _raising(Killed())
    with pytest.raises(Killed):
        worker.run_due()
    passes.plan = _raising_plan(Killed())
    with pytest.raises(Killed):
        worker.run_due()


def test_where_no_thread_can_be_had_nobody_waits_for_one(worker: Worker, passes: Passes, monkeypatch):
    """As at the interpreter's exit: "can't create new thread at interpreter shutdown"."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as broken:
        broken.setattr(threading.Thread, "start", refuse)
        worker.start()
        worker.trigger(Trigger.APP)
        assert worker.sync(WAIT_S).stop is Stop.SUSPENDED
    assert passes.triggers == []
    worker.trigger(Trigger.RECORD)
    assert passes.begun.get(timeout=WAIT_S) is Trigger.APP, "it was kept"


def test_importing_the_sdk_starts_no_thread():
    code = "import threading, greentrip, greentrip.worker; print(threading.active_count())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("1\n", "")
