"""From taps and fixes to legs: pure functions over the events of the trip in progress.

The trip in progress is a list of events on disk, so it survives the death of the process; everything else is derived.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast

from greentrip.clock import Clock
from greentrip.errors import InvalidInput, NoTrip
from greentrip.trip import AT_S_MAX, Fix, Leg, Mode, Place, Point, Station
from greentrip.wire import LEG_COUNT_MAX

FUTURE_S_MAX = 300
"""A time given by the app may be ahead of the phone's clock by this much."""
TRIP_HOURS_MAX = 24
CHANGES_MAX = 8
ACCURACY_M_LIMIT = 20_100_000.0
"""Half around the earth, rounded up: nothing is further off than that, whatever a receiver says."""

STOP_S_MIN = 60.0
"""A shorter stop of the app is none: a service restarts within seconds, and no mode gets far."""

START, SWITCH, CHANGE, RESUME, DECLINE = "start", "switch", "change", "resume", "decline"
_STEPS = frozenset({START, SWITCH, CHANGE})
"""What the person says of the way. A time that is given may lie before the other events, never before these."""


@dataclass(frozen=True, slots=True)
class Event:
    """A step of the trip in progress: `at` is Unix seconds, `monotonic` belongs to `boot`."""

    kind: str
    at: float
    monotonic: float
    boot: str
    body: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ActiveTrip:
    """The trip in progress. `interrupted`: the app died since the last event; resume(), finish() or cancel() it."""

    mode: Mode
    started_at: datetime
    legs: int
    fixes: int
    last_seen_at: datetime
    interrupted: bool


def stamp(clock: Clock, events: Sequence[Event], at: datetime | float | None) -> tuple[float, float, str]:
    """When a new event happened: Unix seconds, monotonic seconds and boot id.

    Running timers are monotonic: within one boot the wall clock may jump without changing a trip's duration.
    """
    monotonic, boot = clock.monotonic(), clock.boot_id()
    last = events[-1] if events else None
    if at is not None:
        at_s = _given(clock, events, at)
        # The timer runs from the time that was given: a trip started "ten minutes ago" has lasted ten minutes.
        return at_s, monotonic - max(0.0, clock.now() - at_s), boot
    if last is not None and last.boot == boot and monotonic >= last.monotonic:
        return max(last.at, last.at + monotonic - last.monotonic), monotonic, boot
    if last is not None and clock.now() < last.at:
        raise InvalidInput(
            "clock",
            "the phone's clock stands before the trip's last step: set the clock, or pass at=",
            "手机时间早于本次出行的上一步：请校准时间，或指定 at=",
        )
    return clock.now(), monotonic, boot


def checked_fix(
    clock: Clock, events: Sequence[Event], point: object, at: datetime | float | None, accuracy_m: object, mock: bool
) -> Fix:
    """A fix as the system gave it. Raises `InvalidInput` for what is no position at all."""
    if not isinstance(point, Point):
        raise InvalidInput("point", f"{point!r} is not a Point: pass Point(lat, lon)", "应为坐标点 Point(lat, lon)")
    if accuracy_m is not None:
        accuracy_m = _metres(accuracy_m)
    now_s = stamp(clock, events, None)[0]
    # A late fix may carry a time before the last event. One from the future was made by a clock that is ahead of ours
    # (a satellite's, of a slow phone): it counts from when it came, or it would fall out of its trip.
    at_s = now_s if at is None else min(_seconds(at), now_s)
    return Fix(point, at_s, accuracy_m, bool(mock))


def _metres(accuracy_m: object) -> float:
    """A radius in metres, within ACCURACY_M_LIMIT. Raises `InvalidInput` for what is no number."""
    # Compared rather than math.isfinite(): that fails at an integer too large for a float.
    is_bool = isinstance(accuracy_m, bool)
    if isinstance(accuracy_m, int | float) and not is_bool and -math.inf < accuracy_m < math.inf:
        return float(max(-ACCURACY_M_LIMIT, min(accuracy_m, ACCURACY_M_LIMIT)))
    raise InvalidInput("accuracy_m", f"{accuracy_m!r:.60} is not a number of metres", "应为以米为单位的数值")


def _given(clock: Clock, events: Sequence[Event], at: object) -> float:
    at_s = _seconds(at)
    if at_s > clock.now() + FUTURE_S_MAX:
        raise InvalidInput("at", "lies in the future", "时间在未来")
    if any(event.kind in _STEPS and at_s < event.at for event in events):
        raise InvalidInput("at", "the end lies before the start", "结束时间早于开始时间")
    return at_s


def _seconds(at: object) -> float:
    """Unix seconds of an aware datetime or a number."""
    if isinstance(at, datetime):
        if at.tzinfo is None:
            raise InvalidInput("at", "names no zone: pass an aware datetime", "缺少时区：请传入带时区的时间")
        at = at.timestamp()
    if isinstance(at, bool) or not isinstance(at, int | float) or not 0 <= at <= AT_S_MAX:
        raise InvalidInput("at", f"{at!r} is not a time", f"{at!r} 不是有效时间")
    return float(at)


def check_mode(mode: Mode | str) -> Mode:
    """The mode, or `InvalidInput` that lists the modes there are."""
    try:
        return Mode(mode)
    except ValueError:
        known = ", ".join(Mode)
        raise InvalidInput("mode", f"{mode!r} is not one of {known}", f"{mode!r} 不是有效方式：{known}") from None


def place_to_json(place: Place) -> dict[str, object]:
    """A place as it stands in an event."""
    return {"station": place.name} if isinstance(place, Station) else {"lat": place.lat, "lon": place.lon}


def place_from_json(value: dict[str, object]) -> Place:
    """The reverse of `place_to_json`."""
    if "station" in value:
        return Station(str(value["station"]))
    return Point(float(str(value["lat"])), float(str(value["lon"])))


def _place(event: Event) -> Place:
    return place_from_json(cast("dict[str, object]", event.body["place"]))


def active_trip(events: Sequence[Event], last_fix: Fix | None, fixes: int, alive: bool) -> ActiveTrip | None:
    """What is in progress, or None. `alive` says that this process recorded or resumed it."""
    if not events:
        return None
    modes = [event for event in events if event.kind in (START, SWITCH)]
    last_at = max(events[-1].at, last_fix.at if last_fix else 0.0)
    return ActiveTrip(
        mode=Mode(str(modes[-1].body["mode"])),
        started_at=datetime.fromtimestamp(events[0].at, UTC),
        legs=len(modes),
        fixes=fixes,
        last_seen_at=datetime.fromtimestamp(last_at, UTC),
        interrupted=not alive,
    )


def last_step(events: Sequence[Event]) -> Event:
    """The newest step of the way: what the app or a question did since is none."""
    return next(event for event in reversed(events) if event.kind in _STEPS)


def resumed(clock: Clock, events: Sequence[Event], last_fix: Fix | None, at_s: float) -> Event:
    """The event that says: the app runs again. `seen` is when it was last heard of, before it stopped."""
    seen = max(events[-1].at, last_fix.at if last_fix else 0.0)
    return Event(RESUME, at_s, clock.monotonic(), clock.boot_id(), {"seen": seen})


def stops_of(events: Sequence[Event], fixes: Sequence[Fix], ended_at: float, alive: bool) -> list[tuple[float, float]]:
    """When the app was not running, from and to, in order: before each RESUME, and before an end that came without."""
    stops = [(_seen(events, index, fixes), event.at) for index, event in enumerate(events) if event.kind == RESUME]
    if not alive:
        stops.append((_seen(events, len(events), fixes), ended_at))
    return [(seen, at) for seen, at in stops if at - seen >= STOP_S_MIN]


def _seen(events: Sequence[Event], index: int, fixes: Sequence[Fix]) -> float:
    """When the app was last heard of before the event of this index (or before now)."""
    if index < len(events):
        seen = events[index].body.get("seen")
        if isinstance(seen, int | float):
            return float(seen)
    until = events[index].at if index < len(events) else math.inf
    heard = [event.at for event in events[:index]] + [fix.at for fix in fixes if fix.at < until]
    return max(heard)


def check_switch(events: Sequence[Event]) -> None:
    """Refuse a leg more than a record may hold."""
    if not events:
        raise NoTrip
    if sum(event.kind in (START, SWITCH) for event in events) >= LEG_COUNT_MAX:
        raise InvalidInput(
            "mode",
            f"a trip holds at most {LEG_COUNT_MAX} legs: finish() it and start another",
            f"一次出行最多 {LEG_COUNT_MAX} 段：请结束后另开一次出行",
        )


def legs_of(
    events: Sequence[Event],
    fixes: Sequence[Fix],
    end: Place,
    ended_at: float,
    changes: Sequence[str] | None,
    alive: bool = True,
) -> list[Leg]:
    """The legs of a trip that ends now. Fixes go to the leg in whose time they were made; others are left out.

    `changes` are those of the last leg; None stands for those that were named on the way. `alive` says that this
    process recorded or resumed the trip.
    """
    if not events:
        raise NoTrip
    if ended_at - events[0].at > timedelta(hours=TRIP_HOURS_MAX).total_seconds():
        raise InvalidInput(
            "at",
            f"the trip would last over {TRIP_HOURS_MAX} hours: pass the time when it really ended, or cancel()",
            f"出行时长超过 {TRIP_HOURS_MAX} 小时：请指定实际结束时间，或取消出行",
        )
    starts = [index for index, event in enumerate(events) if event.kind in (START, SWITCH)]
    ordered = sorted((fix for fix in fixes if events[0].at <= fix.at <= ended_at), key=lambda fix: fix.at)
    stops = stops_of(events, fixes, ended_at, alive)
    legs = []
    for index, next_index in zip(starts, [*starts[1:], len(events)], strict=True):
        event = events[index]
        following = events[next_index] if next_index < len(events) else None
        until = following.at if following else ended_at
        on_the_way = [str(e.body["station"]) for e in events[index:next_index] if e.kind == CHANGE]
        named = _changes(following) if following else changes
        legs.append(
            Leg(
                mode=Mode(str(event.body["mode"])),
                start=_place(event),
                end=_place(following) if following else end,
                started_at=event.at,
                ended_at=until,
                # A fix on the border belongs to the leg that begins there, so that no metre is counted twice.
                fixes=tuple(f for f in ordered if event.at <= f.at and (f.at < until or following is None)),
                changes=_checked_changes(on_the_way if named is None else named),
                stops=_within(stops, event.at, until),
            )
        )
    return legs


def _within(stops: Sequence[tuple[float, float]], since: float, until: float) -> tuple[tuple[float, float], ...]:
    """The parts of the stops that lie in a leg's time."""
    parts = [(max(since, begin), min(until, end)) for begin, end in stops]
    return tuple((begin, end) for begin, end in parts if end - begin >= STOP_S_MIN)


def _changes(event: Event) -> list[str] | None:
    return cast("list[str] | None", event.body.get("changes"))


def _checked_changes(changes: Sequence[str]) -> tuple[str, ...]:
    if isinstance(changes, str) or not all(isinstance(name, str) for name in changes):
        raise InvalidInput("changes", "must be a list of station names", "应为站名列表")
    if len(changes) > CHANGES_MAX:
        raise InvalidInput("changes", f"more than {CHANGES_MAX}", f"换乘超过 {CHANGES_MAX} 次")
    return tuple(changes)
