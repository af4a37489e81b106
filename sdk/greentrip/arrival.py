"""From the fixes of the leg in progress, a suggestion that it ended ("you arrived") or that its mode changed, and when.

Pure functions with plain rules on speeds over windows of time, so that jitter and sampling matter little:
* an end: the newest fixes stand within `STAND_M` for as long as no stop on the way takes in that mode (`STAND_S`);
* a change from foot or bicycle to something faster: `FASTER_M` in `RIDE_S`, which nobody makes on foot or by bicycle;
* a change to walking: after a ride, `WALK_S` of a walker's steady pace, which stop-and-go traffic does not have.
The change began where the slower way was last seen (two thresholds: to enter, and to look back).

A suggestion is only ever a question. Nothing ends by itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from statistics import median

from greentrip.distance.cleaning import clean
from greentrip.distance.rail import Network
from greentrip.distance.sphere import great_circle_m
from greentrip.trip import CHINA_TIME, Fix, Mode, Place, Point, Station

STAND_S: dict[Mode, float] = {
    Mode.WALK: 300.0,  # longer than any light; who waits for a bus has ended the walk
    Mode.CYCLE: 300.0,
    Mode.BUS: 480.0,  # a jam or a change of driver takes minutes
    Mode.RAIL: 600.0,  # a regional train that waits for another; a metro stops for one minute
    Mode.CARPOOL: 480.0,
}
"""A stand of this length is no stop on the way."""
STATION_STAND_S = 300.0
"""On a rail leg, at a station of the network: a metro stops there for one minute."""
STAND_M = 60.0
"""A phone that rests indoors wanders about so far."""
STAND_FIXES_MIN = 3
OUTLIERS_MAX = 1
"""So many fixes in a row may lie outside a stand: a reflection, not a departure."""
MOVED_M_MIN = 150.0
"""A leg that never got this far from where it stands has not begun; who waits for a bus has not arrived."""
STEP_S = 5.0
"""Denser fixes say nothing more here."""
RIDE_S = 180.0
FASTER_M: dict[Mode, float] = {
    Mode.WALK: 540.0,  # 3.0 m/s = 11 km/h over three minutes; half of all walks are below 5.5 km/h
    Mode.CYCLE: 1620.0,  # 9 m/s = 32 km/h; 99 % of Beijing's bicycle rides are below 18 km/h on the mean
}
"""Straight metres in RIDE_S that are too many for the mode."""
SLOW_MPS: dict[Mode, float] = {
    Mode.WALK: 2.0,  # a brisk walker
    Mode.CYCLE: 6.0,  # 22 km/h
}
"""Looking back from there, the ride began where one was last as slow as this over WINDOW_S."""
WINDOW_S = 60.0
WALK_S = 240.0
WALK_STEP_S = 15.0
"""Over longer steps, stop and go looks like a walk. Fixes each 30 s (a phone that saves its battery) cannot tell."""
WALK_MPS = (0.4, 2.5)
"""A walker's pace over a step, with the noise of two fixes in it."""
WALK_STEPS_SHARE = 0.7
"""So many of the steps have a walker's pace; in a jam nearly all are faster, or stand."""
FASTER_STEPS_SHARE = 0.1
"""No more than this are faster."""
WALK_M_MIN = 150.0
"""Straight metres of the walk: about a parked car one walks to and fro."""
RODE_MPS = 3.5
"""Faster over WALK_STEP_S is a ride; before it, a walk to the stop is no end of the ride."""
AWAY_M = 150.0
"""A stop that was declined is over once the phone was so far from it."""
STATION_M = 300.0
"""An end so near to a station is at the station: exits lie about so far from the platforms' middle."""


class SuggestionKind(StrEnum):
    """What a suggestion is about."""

    END = "end"
    SWITCH = "switch"


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A question to the person: did the trip end (or the mode change) at `place`, at that time?

    `mode` is what a switch would go on in; None where only the person knows (a ride: by what?).
    """

    kind: SuggestionKind
    at: datetime
    place: Place
    mode: Mode | None = None

    def text(self, lang: str = "en") -> str:
        """The question in Chinese (`lang` begins with "zh") or English; the time at UTC+8."""
        zh = lang.startswith("zh")
        time = self.at.astimezone(CHINA_TIME).strftime("%H:%M")
        if self.kind is SuggestionKind.END:
            where = self.place.name if isinstance(self.place, Station) else ""
            at_en, at_zh = (f" at {where}", f"在{where}") if where else ("", "")
            return (
                f"您似乎已到达：{time} 起{at_zh}没有移动。是否在此结束出行？"
                if zh
                else f"You seem to have arrived: not moving{at_en} since {time}. End the trip there?"
            )
        if self.mode is Mode.WALK:
            return (
                f"{time} 起您似乎在步行。是否改为步行？"
                if zh
                else f"You seem to be walking since {time}. Go on as a walk from there?"
            )
        return (
            f"{time} 起您似乎在骑行或乘车。是哪种方式？"
            if zh
            else f"You seem to be riding since {time}. By what do you go on from there?"
        )


@dataclass(frozen=True, slots=True)
class Declined:
    """A suggestion to which the person said no, at `at` (Unix seconds), about `point`."""

    kind: SuggestionKind
    mode: Mode | None
    at: float
    point: Point


def suggest(
    mode: Mode,
    fixes: Sequence[Fix],
    *,
    network: Network | None = None,
    start: Place | None = None,
    declined: Sequence[Declined] = (),
) -> Suggestion | None:
    """What the fixes of a leg in progress suggest, or None.

    `fixes` are the leg's own, as they came; what is no position is left out. With a `network`, a rail leg ends at a
    station other than its `start`. What was declined is not suggested again.
    """
    path = _path(fixes)
    if len(path) < STAND_FIXES_MIN:
        return None
    at_station = _station(mode, path[-1].point, network) is not None
    found = _change(mode, path) or _stand(path, STATION_STAND_S if at_station else STAND_S[mode])
    if found is None:
        return None
    kind, fix, to = found
    if _was_declined(kind, to, fix, path, declined):
        return None
    place = _station(mode, fix.point, network) or fix.point
    if kind is SuggestionKind.END and mode is Mode.RAIL and isinstance(place, Station) and place == start:
        return None
    return Suggestion(kind, datetime.fromtimestamp(fix.at, UTC), place, to)


_Found = tuple[SuggestionKind, Fix, Mode | None]


def _path(fixes: Sequence[Fix]) -> list[Fix]:
    """The fixes in order, without jumps of the receiver, at least STEP_S apart."""
    ordered = sorted((fix for fix in fixes if math.isfinite(fix.at)), key=lambda fix: fix.at)
    path: list[Fix] = []
    for fix in (fix for chain in clean(ordered) for fix in chain):
        if not path or fix.at - path[-1].at >= STEP_S:
            path.append(fix)
    return path


def _stand(path: Sequence[Fix], stand_s: float) -> _Found | None:
    """An end where the newest fixes stand still, at the first of them."""
    recent = [fix for fix in path if fix.at >= path[-1].at - stand_s]
    centre = Point(median(fix.point.lat for fix in recent), median(fix.point.lon for fix in recent))
    first, outside, inside = len(path), 0, 0
    for index in range(len(path) - 1, -1, -1):
        if great_circle_m(path[index].point, centre) <= STAND_M:
            first, outside, inside = index, 0, inside + 1
        elif (outside := outside + 1) > OUTLIERS_MAX:
            break
    if inside < STAND_FIXES_MIN or path[-1].at - path[first].at < stand_s:
        return None
    if not any(great_circle_m(fix.point, centre) > MOVED_M_MIN for fix in path[:first]):
        return None
    return SuggestionKind.END, path[first], None


def _change(mode: Mode, path: Sequence[Fix]) -> _Found | None:
    """The first change of mode that the speeds show, where it began."""
    if mode in FASTER_M:
        ride = _ride(mode, path)
        if ride is not None:
            return SuggestionKind.SWITCH, ride, None
    walk = None if mode is Mode.WALK else _walk(path)
    return (SuggestionKind.SWITCH, walk, Mode.WALK) if walk else None


def _ride(mode: Mode, path: Sequence[Fix]) -> Fix | None:
    """Where a ride began that is too fast for the mode."""
    behind = 0
    for index, fix in enumerate(path):
        while path[behind + 1].at <= fix.at - RIDE_S and behind + 1 < index:
            behind += 1
        if fix.at - path[behind].at < RIDE_S:
            continue
        metres = great_circle_m(path[behind].point, fix.point)
        if metres >= FASTER_M[mode] * (fix.at - path[behind].at) / RIDE_S:
            return _last_slow(mode, path, index)
    return None


def _last_slow(mode: Mode, path: Sequence[Fix], index: int) -> Fix:
    """The newest fix before `index` that ended a slow window."""
    behind = index
    for here in range(index, 0, -1):
        while behind > 0 and path[here].at - path[behind].at < WINDOW_S:
            behind -= 1
        if _mps(path[behind], path[here]) <= SLOW_MPS[mode]:
            return path[here]
    return path[0]


def _walk(path: Sequence[Fix]) -> Fix | None:
    """Where a walk began after a ride."""
    rode_until: Fix | None = None
    walked: list[tuple[Fix, Fix]] = []  # the steps since the ride, of the last WALK_S
    for begin, end in _steps(path):
        if _mps(begin, end) > RODE_MPS:
            rode_until, walked = end, []
        elif rode_until is not None:
            walked = [step for step in walked if end.at - step[1].at < WALK_S] + [(begin, end)]
            if _is_walk(walked):
                return rode_until
    return None


def _steps(path: Sequence[Fix]) -> list[tuple[Fix, Fix]]:
    """Pairs of fixes, one after another, that are at least WALK_STEP_S apart."""
    steps, begin = [], path[0]
    for fix in path:
        if fix.at - begin.at >= WALK_STEP_S:
            steps.append((begin, fix))
            begin = fix
    return steps


def _is_walk(steps: Sequence[tuple[Fix, Fix]]) -> bool:
    first, last = steps[0][0], steps[-1][1]
    if last.at - first.at < WALK_S or great_circle_m(first.point, last.point) < WALK_M_MIN:
        return False
    speeds = [_mps(*step) for step in steps]
    steady = sum(WALK_MPS[0] <= speed <= WALK_MPS[1] for speed in speeds)
    faster = sum(speed > WALK_MPS[1] for speed in speeds)
    return steady >= WALK_STEPS_SHARE * len(speeds) and faster <= FASTER_STEPS_SHARE * len(speeds)


def _mps(a: Fix, b: Fix) -> float:
    return great_circle_m(a.point, b.point) / (b.at - a.at) if b.at > a.at else 0.0


def _station(mode: Mode, point: Point, network: Network | None) -> Station | None:
    name = network.nearest(point, STATION_M) if network and mode is Mode.RAIL else None
    return Station(name) if name else None


def _was_declined(
    kind: SuggestionKind, mode: Mode | None, fix: Fix, path: Sequence[Fix], declined: Sequence[Declined]
) -> bool:
    """Whether the person said no to this already: to such a change in this leg, or to this stop."""
    for no in declined:
        if no.kind is not kind:
            continue
        if kind is SuggestionKind.SWITCH:
            if no.mode is mode:
                return True
            continue
        left = any(no.at < other.at < fix.at and great_circle_m(no.point, other.point) > AWAY_M for other in path)
        if not left:
            return True
    return False
