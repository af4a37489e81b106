"""Sending what waits: exact bytes in signed batches, settled one by one by the server's signed results only."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import cast

from greentrip import retry
from greentrip.clock import Clock
from greentrip.errors import NotEnrolled, Unreachable, Untrusted
from greentrip.http import Answer
from greentrip.remote import TRIPS_TARGET, Call, Remote, line_hashes, problem_of
from greentrip.retry import RetryState, Verdict
from greentrip.store import QueuedRecord, Receipt, Settlement, State, Store
from greentrip.trip import CHINA_TIME
from greentrip.wire import BATCH_BYTES_MAX, BATCH_LINES_MAX, NDJSON, RECEIPT_HEADER, join_lines, split_lines

LEASE_S = 120.0
REQUEST_TIMEOUT_S = 30.0
ASK_AGAIN_S = 24 * 3600.0
FINAL = frozenset({State.ACCEPTED, State.REJECTED, State.CONFLICT})
WAITING = frozenset({State.HELD, State.UNSUPPORTED})


class Stop(StrEnum):
    """Why a sync ended."""

    DONE = "done"
    NOT_ENROLLED = "not_enrolled"
    OFFLINE = "offline"
    WAIT = "wait"
    """The server asked for silence."""
    LOGIN = "login"
    PAUSED = "paused"
    UNTRUSTED = "untrusted"
    BUSY = "busy"
    """Another thread or process is sending."""
    TIME = "time"
    """The timeout has passed."""
    STORAGE = "storage"
    """The phone's store could not be used: see `detail`."""


_STOP_TEXTS: dict[Stop, tuple[str, str]] = {
    Stop.DONE: ("everything that was due is sent", "待上传的记录均已上传"),
    Stop.NOT_ENROLLED: ("no account yet: enrol first; trips are kept", "尚未开户：请先开户，记录已保存"),
    Stop.OFFLINE: (
        "the server did not answer: trips are kept and sent later",
        "暂时无法连接服务器：记录已保存，稍后上传",
    ),
    Stop.WAIT: ("the server asked to wait: trips are kept and sent later", "服务器繁忙：记录已保存，稍后上传"),
    Stop.LOGIN: (
        "the server does not know this phone: enrol again; trips are kept",
        "服务器不认识本机：请重新开户，记录已保存",
    ),
    Stop.PAUSED: (
        "the server refused the call: trips are kept and tried again",
        "服务器拒绝了请求：记录已保存，稍后重试",
    ),
    Stop.UNTRUSTED: (
        "the answer was not signed by the pinned server: nothing was settled",
        "服务器应答未通过验证：未作任何结算",
    ),
    Stop.BUSY: ("another part of the app is sending", "应用的其他部分正在上传"),
    Stop.TIME: ("the time was up: the rest is kept and sent later", "时间已到：其余记录已保存，稍后上传"),
    Stop.STORAGE: (
        "the phone's store cannot be used: make room and sync again; trips are kept",
        "本地存储不可用：请清理空间后重试，记录已保存",
    ),
}


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What a sync did: records settled by state, how many still wait, why it ended, and the server's words if any."""

    settled: dict[State, int] = field(default_factory=dict)
    left: int = 0
    stop: Stop = Stop.DONE
    detail: str = ""
    requests: int = 0
    asked: int = 0
    """Trips that are not sent yet because they wait for an answer: see `TripView.question`."""

    def message(self, lang: str = "en") -> str:
        """The reason in Chinese (`lang` begins with "zh") or English."""
        zh = lang.startswith("zh")
        text = _STOP_TEXTS[self.stop][1 if zh else 0]
        if not self.asked:
            return text
        return text + (f"；{self.asked} 次出行待您回答" if zh else f"; {self.asked} wait for your answer")


@dataclass(frozen=True, slots=True)
class _Outcome:
    verdict: Verdict
    stop: Stop
    detail: str = ""
    settled: int = 0
    floor_s: float | None = None


class Sender:
    """Sends the queue of one store to one server."""

    def __init__(self, store: Store, remote: Remote, clock: Clock, dice: Callable[[], float]) -> None:
        self._store = store
        self._remote = remote
        self._clock = clock
        self._dice = dice

    def sync(self, timeout_s: float) -> SyncReport:
        """Send what is due until it is sent or the time is up. Network and server faults never raise."""
        deadline = self._clock.monotonic() + timeout_s
        settled: Counter[State] = Counter()
        requests = 0
        failure: _Outcome | None = None  # of the last request
        state = self._state()
        if state.floor_ms > self._now_ms():
            return self._report(settled, Stop.WAIT, "", requests)
        while True:
            if requests and self._clock.monotonic() >= deadline and self._store.waiting():
                # That nobody answered says more than that the time is up.
                stop, detail = (failure.stop, failure.detail) if failure else (Stop.TIME, "")
                return self._report(settled, stop, detail, requests)
            lease = uuid.uuid4().hex
            batch = self._lease(lease)
            if not batch:
                stop = Stop.BUSY if self._store.states().get(State.LEASED) else Stop.DONE
                return self._report(settled, stop, "", requests)
            requests += 1
            outcome = self._send(lease, batch, settled, deadline)
            if outcome.settled == len(batch):
                state = RetryState()
                self._keep(state)
                failure = None
                continue
            failure = outcome
            state = retry.after_failure(
                state, outcome.verdict, outcome.detail, self._now_ms(), self._dice(), outcome.floor_s
            )
            self._keep(state)
            wait_s = (state.not_before_ms - self._now_ms()) / 1000
            if outcome.verdict is not Verdict.RETRY or self._clock.monotonic() + wait_s >= deadline:
                return self._report(settled, outcome.stop, outcome.detail, requests)
            self._clock.sleep(max(0.0, wait_s))

    def _lease(self, lease: str) -> list[QueuedRecord]:
        now_ms = self._now_ms()
        return self._store.lease(lease, now_ms, now_ms + round(LEASE_S * 1000), BATCH_LINES_MAX, BATCH_BYTES_MAX)

    def _send(self, lease: str, batch: Sequence[QueuedRecord], settled: Counter[State], deadline: float) -> _Outcome:
        body = join_lines(record.line for record in batch)
        remaining_s = min(REQUEST_TIMEOUT_S, deadline - self._clock.monotonic())
        try:
            call = self._remote.call("POST", TRIPS_TARGET, body, media_type=NDJSON, timeout_s=remaining_s)
            verdict = retry.classify(call.answer.status)
            if verdict is Verdict.SETTLE:
                count = self._settle(lease, batch, call, settled)
                return _Outcome(Verdict.RETRY, Stop.WAIT, "some records have no final result yet", count)
        except NotEnrolled:
            self._store.release(lease)
            return _Outcome(Verdict.LOGIN, Stop.NOT_ENROLLED)
        except Unreachable as error:
            self._store.release(lease)
            return _Outcome(Verdict.RETRY, Stop.OFFLINE, str(error))
        except Untrusted as error:
            self._store.release(lease)
            return _Outcome(Verdict.RETRY, Stop.UNTRUSTED, str(error))
        self._store.release(lease)
        return self._refused(verdict, call.answer)

    def _refused(self, verdict: Verdict, answer: Answer) -> _Outcome:
        problem = problem_of(answer)
        detail = str(problem.get("detail") or problem.get("title"))
        stop = {Verdict.LOGIN: Stop.LOGIN, Verdict.PAUSE: Stop.PAUSED}.get(verdict, Stop.WAIT)
        return _Outcome(verdict, stop, detail, floor_s=retry.retry_after_s(answer.headers, self._clock.now()))

    def _settle(self, lease: str, batch: Sequence[QueuedRecord], call: Call, settled: Counter[State]) -> int:
        if call.answer.media_type != NDJSON:
            raise Unreachable(f"an answer of type {call.answer.media_type or 'unknown'}")
        at = self._remote.verify(call, ndjson=True)
        found = read_results(call.answer.body, {record.sha256 for record in batch}, self._now_ms())
        receipt = Receipt(
            jws=call.answer.headers[RECEIPT_HEADER.lower()],
            device=self._remote.device,
            request_lines=tuple(record.sha256 for record in batch),
            answer_lines=line_hashes(call.answer.body),
            at=at,
        )
        count = self._store.settle(lease, found, receipt)
        settled.update(item.state for item in found)
        return count

    def _report(self, settled: Counter[State], stop: Stop, detail: str, requests: int) -> SyncReport:
        asked = self._store.states().get(State.ASKED, 0)
        return SyncReport(dict(settled), self._store.waiting(), stop, detail, requests, asked)

    def _state(self) -> RetryState:
        kept = self._store.get("retry")
        state = retry.state_from_json(kept, self._now_ms())
        if kept and state.to_json() != kept:
            # Clamped after a clock jump: kept at once, or it would be a whole day ahead for ever.
            self._keep(state)
        return state

    def _keep(self, state: RetryState) -> None:
        self._store.put("retry", state.to_json())

    def _now_ms(self) -> int:
        return round(self._clock.now() * 1000)


def read_results(body: bytes, sent: set[str], now_ms: int) -> list[Settlement]:
    """The results that settle something. Unknown statuses, foreign hashes and contradictions leave a record pending."""
    by_hash: dict[str, list[Settlement]] = {}
    for line in split_lines(body):
        item = _read_result(line, now_ms)
        if item is not None and item.sha256 in sent:
            by_hash.setdefault(item.sha256, []).append(item)
    return [items[0] for items in by_hash.values() if len({item.state for item in items}) == 1]


def _read_result(line: bytes, now_ms: int) -> Settlement | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    if not isinstance(value, dict):
        return None
    result = cast("dict[str, object]", value)
    digest, status = result.get("sha256"), result.get("status")
    if not isinstance(digest, str) or not isinstance(status, str) or status not in (FINAL | WAITING):
        return None
    state = State(status)
    return Settlement(digest, state, line, None if state in FINAL else _ask_again_ms(result, now_ms))


def _ask_again_ms(result: dict[str, object], now_ms: int) -> int:
    """When to ask again: on the day that the server names, at the latest tomorrow."""
    tomorrow_ms = now_ms + round(ASK_AGAIN_S * 1000)
    try:
        day = date.fromisoformat(str(result.get("held_until", "")))
    except ValueError:
        return tomorrow_ms
    named_ms = round(datetime.combine(day, time(), CHINA_TIME).timestamp() * 1000)
    return max(now_ms + round(timedelta(minutes=1).total_seconds() * 1000), min(named_ms, tomorrow_ms))
