"""Events: what an app is told, and that whatever it does with it stays its own affair."""

import dataclasses
import sys
import threading
import typing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from greentrip import events
from greentrip.events import (
    NESTED_EVENTS_MAX,
    Erased,
    Event,
    KeyListChanged,
    Paused,
    PersonOptedOut,
    RecordDamaged,
    RecordSetAside,
    RecordSettled,
    StoreReplaced,
    SyncEnded,
    SyncStarted,
    Teller,
    TripErased,
    TripRecorded,
)
from greentrip.report import Stop, SyncReport, Trigger
from greentrip.states import State

TRIP = "0b8a3c5e-7f1d-4a52-9f7e-2f5d3f1a6b90"
EXAMPLES: list[Event] = [
    TripRecorded(TRIP, State.PENDING),
    SyncStarted(Trigger.TIMER),
    SyncEnded(Trigger.PERSON, SyncReport()),
    RecordSettled(TRIP, State.ACCEPTED),
    RecordSetAside(TRIP, "Not a record."),
    RecordDamaged(TRIP),
    Paused(Stop.LOGIN, "", datetime(2026, 3, 5, tzinfo=UTC)),
    StoreReplaced(Path("greentrip.sqlite3.corrupt-1")),
    KeyListChanged(2),
    PersonOptedOut(),
    TripErased(TRIP),
    Erased(certified=False),
    Erased(certified=True),
]


def test_the_union_is_closed_and_every_event_has_an_example():
    listed = set(typing.get_args(Event))
    written = {
        thing
        for thing in vars(events).values()
        if dataclasses.is_dataclass(thing) and isinstance(thing, type) and thing.__module__ == events.__name__
    }
    assert listed == written == {type(event) for event in EXAMPLES}


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_an_event_is_a_value_that_speaks_both_languages(event: Event):
    assert dataclasses.replace(event) == event
    assert not hasattr(event, "__dict__"), "it has slots"
    assert type(event).__dataclass_params__.frozen
    english, chinese = event.message(), event.message("zh-CN")
    assert english.isascii()
    assert any("一" <= sign <= "鿿" for sign in chinese)
    assert "thread" in (type(event).__doc__ or ""), "it says on which thread it comes"


def test_no_event_has_room_for_a_place_or_a_secret():
    allowed = {"trip_id", "state", "trigger", "report", "detail", "stop", "until", "path", "seq", "certified"}
    fields = {field.name for kind in typing.get_args(Event) for field in dataclasses.fields(kind)}
    assert fields == allowed
    assert {field.name for field in dataclasses.fields(SyncReport)} == {
        "settled", "left", "stop", "detail", "requests", "asked", "set_aside",
    }  # fmt: skip


def test_without_an_observer_nothing_happens():
    teller = Teller(None)
    for event in EXAMPLES:
        teller(event)
    assert teller.faults == 0


def test_what_an_observer_raises_is_counted_and_goes_no_further():
    seen: list[Event] = []

    def observer(event: Event) -> None:
        seen.append(event)
        raise ValueError(event)

    teller = Teller(observer)
    for event in EXAMPLES:
        teller(event)
    assert seen == EXAMPLES
    assert teller.faults == len(EXAMPLES)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_is_no_exception_is_the_callers_and_the_next_event_is_told(error: type[BaseException]):
    seen: list[Event] = []

    def observer(event: Event) -> None:
        seen.append(event)
        if len(seen) == 1:
            raise error

    teller = Teller(observer)
    with pytest.raises(error):
        teller(PersonOptedOut())
    teller(KeyListChanged(1))
    assert seen == [PersonOptedOut(), KeyListChanged(1)]
    assert teller.faults == 0


def test_an_event_that_an_observer_causes_comes_after_the_one_that_it_is_told():
    order: list[str] = []

    def observer(event: Event) -> None:
        order.append(f"begin {type(event).__name__}")
        if isinstance(event, PersonOptedOut):
            teller(TripErased(TRIP))
            teller(KeyListChanged(1))
        order.append(f"end {type(event).__name__}")

    teller = Teller(observer)
    teller(PersonOptedOut())
    names = ["PersonOptedOut", "TripErased", "KeyListChanged"]
    assert order == [f"{side} {name}" for name in names for side in ("begin", "end")]


def test_an_observer_that_always_causes_another_event_ends_and_is_counted():
    told = []

    def observer(event: Event) -> None:
        told.append(len(told))
        depth = len(_frames())
        assert depth < 200, "events do not nest on the stack"
        teller(KeyListChanged(len(told)))

    teller = Teller(observer)
    teller(PersonOptedOut())
    assert len(told) == 1 + NESTED_EVENTS_MAX
    assert teller.faults == 1
    teller(PersonOptedOut())
    assert len(told) == 2 * (1 + NESTED_EVENTS_MAX), "nothing of the first is left over"


def _frames() -> list[object]:
    frame, found = sys._getframe(), []
    while frame is not None:
        found.append(frame)
        frame = frame.f_back
    return found


def test_each_thread_is_told_its_own_events_while_another_is_inside_the_observer():
    inside, may_go = threading.Event(), threading.Event()
    seen: list[Event] = []

    def observer(event: Event) -> None:
        if event == PersonOptedOut():
            inside.set()
            assert may_go.wait(30)
        seen.append(event)

    teller = Teller(observer)
    slow = threading.Thread(target=teller, args=(PersonOptedOut(),))
    slow.start()
    assert inside.wait(30)
    teller(KeyListChanged(7))
    assert seen == [KeyListChanged(7)]
    may_go.set()
    slow.join()
    assert seen == [KeyListChanged(7), PersonOptedOut()]
