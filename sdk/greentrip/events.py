"""What an app may be told while it runs: typed events to one observer. No event holds a place or a secret."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from greentrip.report import Stop, SyncReport, Trigger
from greentrip.states import State
from greentrip.words import word

NESTED_EVENTS_MAX = 100
"""Events that one call of an observer may cause; an observer that always causes another would never end."""


def _in(lang: str, en: str, zh: str) -> str:
    return zh if lang.startswith("zh") else en


@dataclass(frozen=True, slots=True)
class TripRecorded:
    """A trip is on disk with its record; `state` says whether it waits, asks or stays here. On the recording thread."""

    trip_id: str
    state: State

    def message(self, lang: str = "en") -> str:
        """The event in Chinese (`lang` begins with "zh") or English."""
        return _in(lang, f"trip recorded: {word(self.state)}", f"出行已记录：{word(self.state, lang)}")


@dataclass(frozen=True, slots=True)
class SyncStarted:
    """A pass over the queue begins. On the thread that sends."""

    trigger: Trigger

    def message(self, lang: str = "en") -> str:
        """The event in Chinese (`lang` begins with "zh") or English."""
        return _in(lang, "sending what waits", "正在上传待上传的记录")


@dataclass(frozen=True, slots=True)
class SyncEnded:
    """A pass has ended, and why; a fault of the store or of this library is told here. On the thread that sends, before
    the `sync()` that asked for it returns."""

    trigger: Trigger
    report: SyncReport

    def message(self, lang: str = "en") -> str:
        """The event in Chinese (`lang` begins with "zh") or English."""
        return self.report.message(lang)


@dataclass(frozen=True, slots=True)
class RecordSettled:
    """A signed result of the server is kept for a trip; `state` may be one that is not final (`HELD`, `UNSUPPORTED`).
    On the thread that sends."""

    trip_id: str
    state: State

    def message(self, lang: str = "en") -> str:
        """The event in Chinese (`lang` begins with "zh") or English."""
        return _in(lang, f"the server's result: {word(self.state)}", f"服务器结果：{word(self.state, lang)}")


@dataclass(frozen=True, slots=True)
class RecordSetAside:
    """The server refused every call that carried this trip and took its neighbours. It is kept and tried again daily.
    `detail` holds the server's words. On the thread that sends."""

    trip_id: str
    detail: str

    def message(self, lang: str = "en") -> str:
        """The event in Chinese (`lang` begins with "zh") or English."""
        return _in(
            lang,
            "the server does not take one trip: it is kept and tried again daily",
            "有一次出行暂时无法上传：记录已保存，每天重试",
        )


@dataclass(frozen=True, slots=True)
class RecordDamaged:
    """A trip's stored bytes no longer match their hash: it is never sent, its neighbours go on. On the thread that
    sends."""

    trip_id: str

    def message(self, lang: str = "en") -> str:
        """The event in Chinese (`lang` begins with "zh") or English."""
        return _in(
            lang,
            "one record is damaged on this phone and cannot be sent; the others are not touched",
            "本机有一条记录已损坏，无法上传；其他记录不受影响",
        )


@dataclass(frozen=True, slots=True)
class Paused:
    """Sending rests; trips are kept. `until` is when it is tried again by itself (UTC), None when it takes a person:
    see `stop`. On the thread that sends."""

    stop: Stop
    detail: str = ""
    until: datetime | None = None

    def message(self, lang: str = "en") -> str:
        """The event in Chinese (`lang` begins with "zh") or English."""
        return SyncReport(stop=self.stop).message(lang)


@dataclass(frozen=True, slots=True)
class StoreReplaced:
    """The store's file was corrupt: it was moved to `path`, and a clean one begun. On the thread that opened it."""

    path: Path

    def message(self, lang: str = "en") -> str:
        """The event in Chinese (`lang` begins with "zh") or English."""
        return _in(
            lang,
            f"the store was damaged: it was kept as {self.path.name}, and a new one begun",
            f"本地存储已损坏：原文件保留为 {self.path.name}，并已新建存储",
        )


@dataclass(frozen=True, slots=True)
class KeyListChanged:
    """The server's root vouches for another list of online keys, number `seq`; a stolen key is no longer on it. On the
    thread that called the server."""

    seq: int

    def message(self, lang: str = "en") -> str:
        """The event in Chinese (`lang` begins with "zh") or English."""
        return _in(lang, "the server's keys were renewed", "服务器密钥已更新")


@dataclass(frozen=True, slots=True)
class PersonOptedOut:
    """The person opted out: nothing is sent from now on. On the thread that called `opt_out()`."""

    def message(self, lang: str = "en") -> str:
        """The event in Chinese (`lang` begins with "zh") or English."""
        return SyncReport(stop=Stop.OPTED_OUT).message(lang)


@dataclass(frozen=True, slots=True)
class TripErased:
    """The person's erasure of a trip is on disk here; the server is told with the next pass. On the thread that called
    `erase_trip()`."""

    trip_id: str

    def message(self, lang: str = "en") -> str:
        """The event in Chinese (`lang` begins with "zh") or English."""
        return _in(lang, "the trip is erased", "出行已删除")


@dataclass(frozen=True, slots=True)
class Erased:
    """Everything of the person is gone from this phone. `certified`: the server has signed that it is gone there too;
    until then the order is kept and repeated. On the thread that called `erase()`, or that got the certificate."""

    certified: bool

    def message(self, lang: str = "en") -> str:
        """The event in Chinese (`lang` begins with "zh") or English."""
        if self.certified:
            return _in(lang, "your data is erased here and on the server", "您的数据已从本机与服务器删除")
        return _in(
            lang,
            "your data is erased here; the server is told as soon as it answers",
            "您的数据已从本机删除；联网后将通知服务器删除",
        )


Event = (
    TripRecorded
    | SyncStarted
    | SyncEnded
    | RecordSettled
    | RecordSetAside
    | RecordDamaged
    | Paused
    | StoreReplaced
    | KeyListChanged
    | PersonOptedOut
    | TripErased
    | Erased
)
Observer = Callable[[Event], None]
"""What an app gives: called on the thread that the event names, with no lock held, so it may call back."""


class Teller:
    """Tells one observer, in order on each thread. What the observer raises ends here and is counted."""

    def __init__(self, observer: Observer | None) -> None:
        self._observer = observer
        self._here = threading.local()
        self.faults = 0
        """How often the observer raised, or caused more events than `NESTED_EVENTS_MAX`."""

    def __call__(self, event: Event) -> None:
        """Tell it now; an event that the observer causes itself is told when it has returned from this one."""
        if self._observer is None:
            return
        waiting: deque[Event] | None = getattr(self._here, "waiting", None)
        if waiting is not None:
            waiting.append(event)
            return
        self._here.waiting = deque([event])
        try:
            self._tell_all(self._observer, self._here.waiting)
        finally:
            self._here.waiting = None

    def _tell_all(self, observer: Observer, waiting: deque[Event]) -> None:
        for _ in range(1 + NESTED_EVENTS_MAX):
            if not waiting:
                return
            try:
                observer(waiting.popleft())
            except Exception:  # an app's fault must not stop the sending
                self.faults += 1
        if waiting:
            self.faults += 1
