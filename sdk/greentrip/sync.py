"""Sending what waits: exact bytes in signed batches, settled one by one by the server's signed results only."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time
from functools import partial
from typing import cast

from greentrip import retry
from greentrip.clock import Clock
from greentrip.errands import LATER_S, SOON_S, UNANSWERED_S, Errand, Errands
from greentrip.errors import NotEnrolled, ServerError, Unreachable, Untrusted
from greentrip.events import Event, Paused, RecordDamaged, RecordSetAside, RecordSettled
from greentrip.health import SyncNote
from greentrip.http import Answer
from greentrip.remote import TRIPS_TARGET, Call, Remote, line_hashes, problem_kind, problem_of, read_object
from greentrip.report import Stop, SyncReport, Trigger
from greentrip.retry import Action, Answered, Asked, NoAnswer, Read, RetryState, Send, SetAside, Verdict, Wait
from greentrip.states import State
from greentrip.store import OPTED_OUT, QueuedRecord, Receipt, Settlement, Store
from greentrip.trip import CHINA_TIME
from greentrip.wire import BATCH_BYTES_MAX, BATCH_LINES_MAX, NDJSON, RECEIPT_HEADER, join_lines, split_lines

LEASE_S = 120.0
REQUEST_TIMEOUT_S = 30.0
ASK_AGAIN_S = 24 * 3600.0
ASK_AGAIN_S_MIN = 60.0
NAP_S = 0.25
"""While it waits within a pass, it looks up so often whether it is to stop."""
PRUNE_S = 24 * 3600.0
FINAL = frozenset({State.ACCEPTED, State.REJECTED, State.CONFLICT, State.ERASED})
WAITING = frozenset({State.HELD, State.UNSUPPORTED})
_RETRY = "retry"
_PRUNED = "pruned_ms"


class Sender:
    """Sends the queue of one store to one server. One pass at a time, in the thread that calls."""

    def __init__(
        self,
        store: Store,
        remote: Remote,
        clock: Clock,
        dice: Callable[[], float],
        tell: Callable[[Event], None] = lambda _: None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        """`stopping` is asked between requests and while waiting: the pass ends when it says so."""
        self._store = store
        self._remote = remote
        self._clock = clock
        self._dice = dice
        self._tell = tell
        self._stopping = stopping
        self.errands = Errands(store, remote, tell)

    def run(self, trigger: Trigger, timeout_s: float) -> SyncReport:
        """Send what is due until it is sent or the time is up. Network and server faults never raise."""
        this = _Pass(trigger, self._clock.monotonic() + timeout_s)
        if trigger is Trigger.PERSON:
            self._store.hurry(self._now_ms())
        try:
            stop, detail = self._run(this)
        except NotEnrolled:
            stop, detail = Stop.NOT_ENROLLED, ""
        return self._report(this, stop, detail)

    def network(self, online: bool) -> None:
        """The app says whether there is a network; time without one counts as no failure."""
        self._step(retry.Network(online))

    def enrolled(self) -> None:
        """The person has enrolled: nothing is paused any more, and a server that had lost us may have lost more."""
        self._step(retry.Enrolled())
        self.keys_changed()

    def keys_changed(self) -> None:
        """The server's keys have: it may have been restored from a backup, after which operators rotate them."""
        if self._store.has_told():
            self.errands.check_in_now()

    def next_due_ms(self) -> int | None:
        """When a pass has something to do by itself (Unix ms by the phone's clock); None while there is nothing."""
        now_ms = self._now_ms()
        enrolled = self._remote.signer is not None
        times = [self.errands.next_due_ms(now_ms, signed=enrolled)]
        if enrolled:
            times.append(self._store.next_due_ms(now_ms))
        due = [at_ms for at_ms in times if at_ms is not None]
        return max(min(due), retry.next_try_ms(self._state(), now_ms)) if due else None

    # One pass

    def _run(self, this: _Pass) -> tuple[Stop, str]:
        """One call after the other, as the machine of `retry` says."""
        action = self._step(Asked(this.trigger))
        while True:
            if isinstance(action, Wait):
                this.waited_for = action.stop, action.detail
                if this.no_word and not self._is_due():
                    return Stop.WAIT, retry.NO_RESULT
                if not self._slept(this, action.until_ms):
                    return (Stop.SUSPENDED, "") if self._stopping() else (action.stop, action.detail)
                action = self._step(Asked(Trigger.TIMER))
                continue
            if self._stopping():
                return Stop.SUSPENDED, ""
            if this.requests and self._clock.monotonic() >= this.deadline and self._is_due():
                # That nobody answered says more than that the time is up.
                return this.waited_for or (Stop.TIME, "")
            following = self._next_call(this, cast("Send", action))
            if isinstance(following, Stop):
                return following, retry.NO_RESULT if following is Stop.WAIT else ""
            action = following

    def _next_call(self, this: _Pass, send: Send) -> Action | Stop:
        """Erasures, records, then what is due now and then; the stop when nothing is left to do.

        Where a person asks, records go first, and then also what was put off: it may be in trouble, and a person who
        never lets the app run by itself would otherwise wait for ever.
        """
        person, opted_out = this.trigger is Trigger.PERSON, self._store.get(OPTED_OUT) is not None
        errand = None if person else self._errand(self.errands.urgent)
        if errand is not None:
            return self._run_errand(this, errand)
        lease = self._store.new_lease()
        batch = [] if opted_out else self._lease(lease, send.rows_max)
        if batch:
            return self._send(this, lease, batch)
        if person and not this.hurried:
            this.hurried = True
            self.errands.hurry()
        errand = self._errand(self.errands.urgent) if person else None
        if errand is None and not opted_out:
            errand = self._errand(self.errands.routine)
        if errand is not None:
            return self._run_errand(this, errand)
        return Stop.OPTED_OUT if opted_out else self._end(this)

    def _end(self, this: _Pass) -> Stop:
        """Why a pass ends that has nothing left to send."""
        if self._remote.signer is None:
            return this.failed_errand or Stop.NOT_ENROLLED
        if this.no_word:
            return Stop.WAIT
        if self._store.states().get(State.LEASED):
            return Stop.BUSY
        return this.failed_errand or Stop.DONE

    def _errand(self, find: Callable[[int], Errand | None]) -> Errand | None:
        errand = find(self._now_ms())
        return None if errand is None or (errand.signed and self._remote.signer is None) else errand

    def _lease(self, lease: str, rows_max: int) -> list[QueuedRecord]:
        if self._remote.signer is None:
            return []
        now_ms, rows_max = self._now_ms(), min(rows_max, BATCH_LINES_MAX)
        until_ms = now_ms + round(LEASE_S * 1000)
        take = partial(self._store.lease, lease, now_ms, until_ms, rows_max, BATCH_BYTES_MAX, on_damaged=self._damaged)
        # Another process may hold them, and it may have been killed.
        return take() or (take() if self._store.bury_dead() else [])

    def _send(self, this: _Pass, lease: str, batch: Sequence[QueuedRecord]) -> Action:
        """Send one batch and settle what came back. Whatever happens, nothing is left under the lease."""
        if self._stopping() or self._store.get(OPTED_OUT):  # since the lease
            self._store.release(lease)
            return self._step(Asked(Trigger.TIMER))
        this.requests += 1
        body = join_lines(record.line for record in batch)
        try:
            call = self._remote.call("POST", TRIPS_TARGET, body, media_type=NDJSON, timeout_s=self._time_left_s(this))
            if retry.classify(call.answer.status) is Verdict.READ:
                count = self._settle(this, lease, batch, call)
                this.no_word += len(batch) - count
                this.waited_for = None
                return self._step(Read(len(batch), count))
        except NotEnrolled:
            self._store.release(lease)
            raise
        except Unreachable as error:
            action = self._step(self._unanswered(error))
        except Untrusted as error:
            action = self._step(retry.Untrusted(str(error)))
        else:
            action = self._step(self._answered(call.answer, len(batch)))
            this.problem = problem_kind(call.answer)
            if isinstance(action, SetAside):
                return self._set_aside(lease, call.answer)
        self._store.release(lease)
        return action

    def _set_aside(self, lease: str, answer: Answer) -> Action:
        problem = problem_of(answer)
        en = str(problem.get("detail") or problem.get("title"))
        why = {"en": en, "zh": str(problem.get("detail_zh") or problem.get("title_zh") or en)}
        for trip_id in self._store.set_aside(lease, why, self._now_ms() + round(ASK_AGAIN_S * 1000)):
            self._tell(RecordSetAside(trip_id, why["en"]))
        return self._step(Asked(Trigger.TIMER))

    def _settle(self, this: _Pass, lease: str, batch: Sequence[QueuedRecord], call: Call) -> int:
        if call.answer.media_type != NDJSON:
            raise Unreachable(f"an answer of type {call.answer.media_type or 'unknown'}")
        at = self._remote.verify(call, ndjson=True)
        at_ms = round(datetime.fromisoformat(at).timestamp() * 1000)
        found = read_results(call.answer.body, {record.sha256 for record in batch}, self._now_ms(), at_ms)
        receipt = Receipt(
            jws=call.answer.headers[RECEIPT_HEADER.lower()],
            device=self._remote.device,
            request_lines=tuple(record.sha256 for record in batch),
            answer_lines=line_hashes(call.answer.body),
            at=at,
        )
        settled = self._store.settle(lease, found, receipt, at_ms, self._now_ms())
        states = {record.id: item.state for record in batch for item in found if item.sha256 == record.sha256}
        this.settled.update(states[trip_id] for trip_id in settled)
        for trip_id in settled:
            self._tell(RecordSettled(trip_id, states[trip_id]))
        self._prune(at_ms)
        return len(settled)

    def _run_errand(self, this: _Pass, errand: Errand) -> Action:
        this.requests += 1
        time_left_s = self._time_left_s(this)
        media_type = "application/json" if errand.body else ""
        try:
            if errand.signed:
                call = self._remote.call(
                    errand.method, errand.target, errand.body, media_type=media_type, timeout_s=time_left_s
                )
                answer = call.answer
                if retry.classify(answer.status) is Verdict.READ:
                    self._remote.verify(call, ndjson=False)
            else:
                answer = self._remote.send_plain(errand.method, errand.target, errand.body, time_left_s)
        except (Unreachable, Untrusted) as error:
            # Records go first when there is a next time: this call alone may be in trouble.
            self.errands.put_off(errand, self._now_ms(), UNANSWERED_S)
            untrusted = isinstance(error, Untrusted)
            this.failed_errand = Stop.UNTRUSTED if untrusted else Stop.OFFLINE
            return self._step(retry.Untrusted(str(error)) if untrusted else self._unanswered(error))
        verdict = retry.classify(answer.status, problem_kind(answer))
        if verdict is Verdict.READ and self._is_done(errand, answer):
            return self._step(retry.Served())
        this.problem = problem_kind(answer)
        this.failed_errand = Stop.WAIT if verdict is Verdict.RETRY else Stop.PAUSED
        # An order may be that of a device which the server lost; it says nothing about this one.
        if verdict is Verdict.RETRY or (verdict is Verdict.LOGIN and errand.signed):
            # A server that fails at this call alone must not hold up the records.
            self.errands.put_off(errand, self._now_ms(), SOON_S)
            return self._step(self._answered(answer, 1))
        # What nobody signed may be a captive portal's.
        unsure = verdict is Verdict.READ and not errand.signed
        self.errands.put_off(errand, self._now_ms(), SOON_S if unsure else LATER_S)
        return self._step(Asked(Trigger.TIMER))

    def _is_done(self, errand: Errand, answer: Answer) -> bool:
        """Do what the answer says; False for one that is none of this protocol."""
        try:
            errand.done(read_object(answer))
        except (Unreachable, Untrusted):
            return False
        return True

    # Small steps

    def _step(self, event: retry.Event) -> Action:
        kept = self._store.get(_RETRY)
        now_ms = self._now_ms()
        state, action = retry.step(retry.state_from_json(kept, now_ms), event, now_ms, self._dice())
        if state.to_json() != kept and (kept or state != RetryState()):
            self._store.put(_RETRY, state.to_json())
        if isinstance(action, Wait) and action.stop in (Stop.LOGIN, Stop.PAUSED) and isinstance(event, Answered):
            until = datetime.fromtimestamp(action.until_ms / 1000, UTC)
            self._tell(Paused(action.stop, action.detail, None if action.stop is Stop.LOGIN else until))
        return action

    def _unanswered(self, error: ServerError) -> retry.Event:
        """That nobody answered; a call that we cut ourselves is no failure."""
        return Asked(Trigger.TIMER) if self._stopping() else NoAnswer(str(error))

    def _answered(self, answer: Answer, rows: int) -> Answered:
        problem = problem_of(answer)
        detail = str(problem.get("detail") or problem.get("title"))
        after_s = retry.retry_after_s(answer.headers, self._clock.now())
        return Answered(answer.status, rows, problem_kind(answer), detail, after_s)

    def _slept(self, this: _Pass, until_ms: int) -> bool:
        """Whether the wait is over; False, without waiting, when the pass ends before that."""
        wait_s = (until_ms - self._now_ms()) / 1000
        if self._clock.monotonic() + wait_s >= this.deadline:
            return False
        while wait_s > 0:
            if self._stopping():
                return False
            nap_s = min(NAP_S, wait_s)
            self._clock.sleep(nap_s)
            wait_s -= nap_s
        return True

    def _is_due(self) -> bool:
        now_ms = self._now_ms()
        due_ms = self._store.next_due_ms(now_ms)
        return due_ms is not None and due_ms <= now_ms

    def _prune(self, at_ms: int) -> None:
        """Once a day, by the server's time: the phone's may be years ahead."""
        if abs(at_ms - self._store.number(_PRUNED)) >= PRUNE_S * 1000:
            self._store.prune(at_ms)
            self._store.put(_PRUNED, str(at_ms))

    def _damaged(self, trip_id: str) -> None:
        self._tell(RecordDamaged(trip_id))

    def _report(self, this: _Pass, stop: Stop, detail: str) -> SyncReport:
        states = self._store.states()
        report = SyncReport(
            settled=dict(this.settled),
            left=self._store.waiting(),
            stop=stop,
            detail=detail,
            requests=this.requests,
            asked=states.get(State.ASKED, 0),
            set_aside=states.get(State.SET_ASIDE, 0),
        )
        if this.requests:
            hour_ms = self._now_ms() // 3_600_000 * 3_600_000
            settled = report.settled
            note = SyncNote(hour_ms, this.trigger, stop, report.requests, report.left, settled, this.problem)
            self._store.note_sync(note)
        return report

    def _state(self) -> RetryState:
        """The plan. After the clock jumped back it is moved once and kept; else it would move on with the time."""
        kept = self._store.get(_RETRY)
        state = retry.state_from_json(kept, self._now_ms())
        if kept and state.to_json() != kept:
            self._store.put(_RETRY, state.to_json())
        return state

    def _time_left_s(self, this: _Pass) -> float:
        return min(REQUEST_TIMEOUT_S, this.deadline - self._clock.monotonic())

    def _now_ms(self) -> int:
        return round(self._clock.now() * 1000)


class _Pass:
    """What one pass has done so far."""

    def __init__(self, trigger: Trigger, deadline: float) -> None:
        self.trigger = trigger
        self.deadline = deadline
        """By the clock's `monotonic`."""
        self.settled: Counter[State] = Counter()
        self.requests = 0
        self.no_word = 0
        """Records that were sent and on which the answer had no word."""
        self.problem = ""
        """The kind of the last problem."""
        self.waited_for: tuple[Stop, str] | None = None
        """Why the last call has to be repeated; None when it was answered."""
        self.hurried = False
        self.failed_errand: Stop | None = None
        """Why an errand was put off: told when nothing worse is to be told."""


def read_results(body: bytes, sent: set[str], now_ms: int, at_ms: int) -> list[Settlement]:
    """The results that settle something. Unknown statuses, foreign hashes and contradictions leave a record pending.

    `now_ms` is the time by the phone's clock, `at_ms` by the server's.
    """
    by_hash: dict[str, list[Settlement]] = {}
    for line in split_lines(body):
        item = _read_result(line, now_ms, at_ms)
        if item is not None and item.sha256 in sent:
            by_hash.setdefault(item.sha256, []).append(item)
    return [items[0] for items in by_hash.values() if len({item.state for item in items}) == 1]


def _read_result(line: bytes, now_ms: int, at_ms: int) -> Settlement | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    result = cast("dict[str, object]", value)
    digest, status = result.get("sha256"), result.get("status")
    if not isinstance(digest, str) or not isinstance(status, str) or status not in (FINAL | WAITING):
        return None
    state = State(status)
    return Settlement(digest, state, line, None if state in FINAL else now_ms + _ask_again_in_ms(result, at_ms))


def _ask_again_in_ms(result: dict[str, object], at_ms: int) -> int:
    """How long until the phone asks again: to the day that the server names, a day at most. By the server's time: a
    phone whose clock is ahead would take that day for over, and ask at once, and again."""
    day_ms = round(ASK_AGAIN_S * 1000)
    try:
        day = date.fromisoformat(str(result.get("held_until", "")))
    except ValueError:
        return day_ms
    wait_ms = round(datetime.combine(day, time(), CHINA_TIME).timestamp() * 1000) - at_ms
    return max(round(ASK_AGAIN_S_MIN * 1000), min(wait_ms, day_ms)) if wait_ms > 0 else day_ms
