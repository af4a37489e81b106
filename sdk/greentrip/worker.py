"""The one thread that sends: triggers fold into one pass, every `sync()` returns by its time, and no fault gets out.

It decides only when a pass begins. What a pass does is `run`'s; when the next one is due is `next_due_ms`'s.
"""

from __future__ import annotations

import atexit
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from traceback import extract_tb
from weakref import WeakSet

from greentrip import fork
from greentrip.clock import Clock
from greentrip.errors import StorageError
from greentrip.events import Event, SyncEnded, SyncStarted
from greentrip.report import Stop, SyncReport, Trigger

PASS_S_MAX = 120.0
"""A background pass ends after this and looks up again."""
GAP_S_MIN = 1.0
"""Between a pass and the next that nobody waits for, whatever asks for it."""
REST_S = 60.0
"""After a pass that asked no server anything, for lack of a store or by a bug: a plan that still says "now" is wrong.
A trigger ends it."""
LOOK_AGAIN_S = 300.0
"""The plan is read again at least so often: the wall clock may have jumped, another process may have recorded."""
SPARE_S = 0.25
"""Kept of the time of a `sync()`, so that its pass can end by itself: its own report says more."""
SYNC_S_MAX = 7 * 24 * 3600.0
EXIT_S_MAX = 0.5
"""What a pass gets to give its records back when the interpreter exits."""

_STRENGTH = (Trigger.RECORD, Trigger.TIMER, Trigger.NETWORK, Trigger.APP, Trigger.PERSON)
"""Of triggers that fold, the later one counts."""

Run = Callable[[Trigger, float], SyncReport]


@dataclass(slots=True, eq=False)
class _Call:
    """A `sync()` that waits."""

    pass_ends_at: float
    """By the clock's `monotonic`, so that a simulation's passes do not depend on how fast its machine is."""
    known: SyncReport | None = None
    """What the passes have done that ended meanwhile; `final` when no other is waited for."""
    final: bool = False
    error: BaseException | None = None


@dataclass(slots=True, eq=False)
class _Desk:
    """What the callers' threads and the worker's share, under the lock of `changed`. Times by `time.monotonic`."""

    changed: threading.Condition = field(default_factory=threading.Condition)
    thread: threading.Thread | None = None
    calls: list[_Call] = field(default_factory=list)
    wanted: Trigger | None = None
    look: bool = False
    """Something has happened since the plan was read."""
    gap_until: float = 0.0
    rest_until: float = 0.0


class Worker:
    """Runs the passes over one queue, one at a time, in the thread "greentrip-sync" (daemon).

    The thread is there while it plans by itself or a `sync()` waits, and never otherwise. Every method may be called
    from any thread and from an observer. In a child after a fork nothing runs until its first `trigger` or `sync`. When
    the interpreter exits, the worker stops: its records are given back, and the next run of the app need not wait for
    the end of a lease.
    """

    def __init__(
        self,
        run: Run,
        next_due_ms: Callable[[], int | None],
        clock: Clock,
        tell: Callable[[Event], None],
        cut: Callable[[], None] = lambda: None,
    ) -> None:
        """`run(trigger, timeout_s)` makes one pass; `cut` ends at once whatever that waits for. `next_due_ms` is when
        the plan wants the next one, in Unix milliseconds by `clock`, None when nothing waits. All of them are called
        without a lock held."""
        self._run = run
        self._next_due_ms = next_due_ms
        self._clock = clock
        self._tell = tell
        self._cut = cut
        self._desk = _Desk()
        self._background = False
        self._stopped = False
        self._last = SyncReport()
        fork.watch(self)
        _workers.add(self)

    @property
    def stopping(self) -> bool:
        """Whether the pass under way must end. `run` asks between its requests and between the slices of its waits."""
        return self._stopped

    def start(self, *, background: bool = True) -> None:
        """Take calls, also again after `stop`; with `background`, plan by itself from now on."""
        with self._desk.changed:
            self._stopped, self._background = False, background
            self._wake()

    def trigger(self, trigger: Trigger) -> None:
        """Say that something has happened. It neither waits nor raises; many fold into one, and the strongest counts.

        `RECORD` only makes the worker read its plan again. Without a background it is kept for `start` or `run_due`.
        """
        with self._desk.changed:
            if self._stopped:
                return
            if trigger is not Trigger.RECORD:
                self._desk.wanted = max(trigger, self._desk.wanted or trigger, key=_STRENGTH.index)
            self._desk.rest_until = 0.0
            self._wake()

    def sync(self, timeout_s: float) -> SyncReport:
        """Send everything now. Returns within `timeout_s`, whatever blocks, with what is known by then.

        It joins a pass that is under way: when that was another person's and failed, its report is the answer; after
        any other, a pass of its own follows. From an observer on the worker's own thread it returns `Stop.BUSY` at once
        and the pass follows. Raises only what is no `Exception`, such as `KeyboardInterrupt`.
        """
        timeout_s = max(0.0, min(timeout_s, SYNC_S_MAX))
        call = _Call(self._clock.monotonic() + timeout_s - min(SPARE_S, timeout_s / 2))
        desk = self._desk
        if desk.thread is threading.current_thread():
            self.trigger(Trigger.PERSON)
            return self._nothing(Stop.BUSY)
        with desk.changed:
            if not self._stopped:
                desk.calls.append(call)
                self._wake()
            try:
                in_time = self._waited(desk, call, timeout_s)
            finally:
                with suppress(ValueError):
                    desk.calls.remove(call)
        if call.error is not None:
            raise call.error
        if call.final and call.known is not None:
            return call.known
        return _together(call.known, self._nothing(Stop.SUSPENDED if in_time else Stop.TIME))

    def _waited(self, desk: _Desk, call: _Call, timeout_s: float) -> bool:
        """Whether the call was served, or nobody will serve it, within the time by the clock; under the lock.

        A clock that a test holds still lets a pass end, however slow the machine is.
        """
        ends_at = self._clock.monotonic() + timeout_s
        while call in desk.calls:
            left_s = ends_at - self._clock.monotonic()
            if left_s <= 0:
                return False
            desk.changed.wait(left_s)
        return True

    def run_due(self) -> SyncReport | None:
        """One background pass in the caller's own thread, or None when none is due: for simulations without threads.

        Raises only what is no `Exception`, such as a simulated kill.
        """
        if self._stopped:
            return None
        with self._desk.changed:
            trigger, self._desk.wanted = self._desk.wanted, None
        if trigger is None and self._due_in_s() > 0:
            return None
        return self._pass(trigger or Trigger.TIMER, PASS_S_MAX)

    def stop(self, timeout_s: float) -> bool:
        """End the thread, and wake whoever waits with `Stop.SUSPENDED`. Nothing runs until `start`.

        The pass under way learns it from `stopping`, and what it waits for is cut. Returns whether the thread has ended
        in time; it may be called again to wait longer.
        """
        with self._desk.changed:
            self._stopped, self._background, self._desk.wanted = True, False, None
            self._desk.calls.clear()
            self._wake()
            thread = self._desk.thread
        self._cut()
        if thread is None:
            return True
        if thread is threading.current_thread():
            return False  # an observer calls: the thread ends when that has returned
        thread.join(max(0.0, min(timeout_s, SYNC_S_MAX)))
        return not thread.is_alive()

    def after_fork(self) -> None:
        """In the child: the thread and whoever waits are the parent's, and its lock may be held by nobody."""
        self._desk = _Desk()

    def _wake(self) -> None:
        """Under the lock: let the thread look, and begin one when it has something to run for."""
        desk = self._desk
        desk.look = True
        if desk.thread is None and (self._background or desk.calls):
            desk.thread = threading.Thread(target=self._work, args=(desk,), name="greentrip-sync", daemon=True)
            try:
                desk.thread.start()
            except RuntimeError:
                # None can be had, as at the interpreter's exit. What waits is kept; nobody needs to wait for it.
                desk.thread = None
                desk.calls.clear()
        desk.changed.notify_all()

    # In the thread

    def _work(self, desk: _Desk) -> None:
        # Another desk: this is a fork's child, and the thread was its parent's.
        while desk is self._desk:
            try:
                trigger = self._next(desk)
                if trigger is None:
                    return
                if trigger is Trigger.PERSON and desk.calls:
                    self._pass_for_callers(desk)
                else:
                    self._rest_after(desk, self._pass(trigger, PASS_S_MAX))
            except BaseException:
                # A simulated kill, or an observer that calls sys.exit(): nobody above could catch it.
                self._rest_after(desk, SyncReport())

    def _next(self, desk: _Desk) -> Trigger | None:
        """Wait until a pass is to begin, and say what asks for it; None when there is nothing more to run for."""
        while True:
            with desk.changed:
                if desk.calls:
                    desk.wanted = None
                    return Trigger.PERSON
                if not self._background and desk.wanted is not Trigger.PERSON:
                    desk.thread = None
                    return None
                desk.look, asked = False, desk.wanted is not None
            due_in_s = 0.0 if asked else self._due_in_s()
            with desk.changed:
                wait_s = max(due_in_s, max(desk.gap_until, desk.rest_until) - time.monotonic())
                if wait_s <= 0:
                    trigger, desk.wanted = desk.wanted, None
                    return trigger or Trigger.TIMER
                desk.changed.wait_for(lambda: desk.look, min(wait_s, LOOK_AGAIN_S))

    def _due_in_s(self) -> float:
        """Seconds until the plan's next pass. A plan that cannot be read is due: the pass will say what is wrong."""
        try:
            due_ms = self._next_due_ms()
        except Exception:
            return 0.0
        # In whole milliseconds, as the plan is: one that says "now" must not lie a fraction ahead.
        return math.inf if due_ms is None else (due_ms - round(self._clock.now() * 1000)) / 1000

    def _pass_for_callers(self, desk: _Desk) -> None:
        with desk.changed:
            served = list(desk.calls)
        ends_at = max((call.pass_ends_at for call in served), default=0.0)
        try:
            self._rest_after(desk, self._pass(Trigger.PERSON, max(0.0, ends_at - self._clock.monotonic()), served))
        except BaseException as error:  # whatever it is belongs to the callers
            for call in served:
                call.error = error
        finally:
            with desk.changed:
                desk.calls[:] = [call for call in desk.calls if not call.final and call.error is None]
                desk.changed.notify_all()

    def _pass(self, trigger: Trigger, timeout_s: float, served: Sequence[_Call] = ()) -> SyncReport:
        self._tell(SyncStarted(trigger))
        try:
            report = self._run(trigger, timeout_s)
        except StorageError as error:
            report = self._nothing(Stop.STORAGE, error.en)
        except Exception as error:
            report = self._nothing(Stop.FAULT, _where(error))
        with self._desk.changed:
            self._last = report
            # A failure holds for those who came meanwhile. After a success something may have been recorded too late.
            shared = trigger is Trigger.PERSON and report.stop not in (Stop.DONE, Stop.TIME)
            for call in self._desk.calls:
                call.known, call.final = _together(call.known, report), shared or call in served
        self._tell(SyncEnded(trigger, report))
        return report

    def _nothing(self, stop: Stop, detail: str = "") -> SyncReport:
        """The report of what did nothing; what is left is what was left last, for the store may not answer."""
        return replace(self._last, settled={}, requests=0, stop=stop, detail=detail)

    def _rest_after(self, desk: _Desk, report: SyncReport) -> None:
        with desk.changed:
            desk.gap_until = time.monotonic() + GAP_S_MIN
            if not report.requests and not desk.look:
                desk.rest_until = time.monotonic() + REST_S


def _together(before: SyncReport | None, last: SyncReport) -> SyncReport:
    """Two passes as one report: what both have done, and how the last one ended."""
    if before is None:
        return last
    settled = dict(Counter(before.settled) + Counter(last.settled))
    return SyncReport(settled, last.left, last.stop, last.detail, before.requests + last.requests, last.asked)


def _where(error: Exception) -> str:
    """The kind of an error and the line that raised it; its text might hold a place."""
    frame = extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"


_workers: WeakSet[Worker] = WeakSet()


@atexit.register
def _stop_all() -> None:
    for worker in list(_workers):
        worker.stop(0.0)
    for worker in list(_workers):
        worker.stop(EXIT_S_MAX)
