"""What of a leg was not recorded, told to the commuter: when, how long, why. Nothing is ever filled in.

The track names the gaps between its fixes. Here come those that it cannot see: before its first fix and after its last,
and the times when the app was not running, which only the recorder knows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from greentrip.distance.cleaning import clean
from greentrip.distance.endpoints import way_between
from greentrip.distance.sphere import great_circle_m
from greentrip.distance.track import GAP_S_MAX
from greentrip.trip import CHINA_TIME, Estimate, Fix, Gap, GapCause, Leg, Method, Mode, Point

MISSED_M_MIN = 50.0
"""Who is so near to a place after a silence was most likely there all the time: a fix indoors is no better."""

MISSED_FAR_M = 500.0
"""So far from the first or last fix the leg began or ended elsewhere, however short the silence: a receiver that woke
late, or an app that died on the last kilometre."""

GAPS_TOLD_MAX = 3
"""Nobody reads a longer list: what matters then is that there are many."""


def with_gaps(leg: Leg, found: Estimate, start: Point, end: Point) -> Estimate:
    """The estimate with all that is missing of the leg, in order of time. `metres` stay what was measured.

    `start` and `end` are where the leg's places lie. Only a track misses metres: a rail network and end points give the
    whole way, so there a stop of the app is told without metres.
    """
    if found.method is not Method.TRACK:
        return replace(found, gaps=tuple(_stopped(stop) for stop in leg.stops))
    ends = _at_the_ends(leg, [fix for chain in clean(leg.fixes) for fix in chain], start, end)
    silent = [*found.gaps, *(gap for gap, _ in ends)]
    gaps = [_caused(gap, leg.stops) for gap in silent]
    gaps += [_stopped(stop) for stop in leg.stops if not any(_overlap(gap, stop) for gap in silent)]
    return replace(
        found,
        high_m=found.high_m + sum(high_m for _, high_m in ends),
        gaps=tuple(sorted(gaps, key=lambda gap: gap.from_at)),
    )


def gap_text(gap: Gap, lang: str = "en") -> str:
    """The sentence for a commuter, in Chinese (`lang` begins with "zh") or English; times at UTC+8."""
    zh = lang.startswith("zh")
    since, until, minutes = _clock_time(gap.from_at), _clock_time(gap.to_at), gap.minutes
    if gap.cause is GapCause.STOPPED and zh:
        text = f"可能漏记 {minutes} 分钟：系统于 {since} 停止了后台服务，{until} 恢复"
    elif gap.cause is GapCause.STOPPED:
        count = f"{minutes} minute" + ("s" if minutes > 1 else "")
        text = f"probably missed {count}: the system stopped the service at {since}, it went on at {until}"
    elif gap.cause is GapCause.JUMP:
        text = f"{since} 至 {until} 定位跳变" if zh else f"the position jumped between {since} and {until}"
    else:
        text = f"{since} 至 {until} 没有定位" if zh else f"no position from {since} to {until}"
    return text + _across(gap.straight_m, zh)


def gap_texts(gaps: Sequence[Gap], lang: str = "en") -> list[str]:
    """Sentences for all gaps of a trip: one for each while they are few, then how many more there are."""
    told = [gap_text(gap, lang) for gap in gaps[:GAPS_TOLD_MAX]]
    rest = gaps[GAPS_TOLD_MAX:]
    if rest:
        minutes = max(1, round(sum(gap.to_at - gap.from_at for gap in rest) / 60))
        more_en, more_zh = (
            f"and {len(rest)} more such gaps, {minutes} min in all",
            f"另有 {len(rest)} 处缺口，共 {minutes} 分钟",
        )
        told.append(more_zh if lang.startswith("zh") else more_en)
    return told


def _across(straight_m: int, zh: bool) -> str:
    if not straight_m:
        return ""
    return f"，直线距离 {straight_m} 米" if zh else f"; {straight_m} m in a straight line"


def _clock_time(at: float) -> str:
    return datetime.fromtimestamp(at, CHINA_TIME).strftime("%H:%M")


def _at_the_ends(leg: Leg, fixes: Sequence[Fix], start: Point, end: Point) -> list[tuple[Gap, int]]:
    """What the track misses before its first fix and after its last, and how many metres that is at most."""
    if not fixes:
        return []
    first, last = fixes[0], fixes[-1]
    sides = ((leg.started_at, start, first.at, first.point), (last.at, last.point, leg.ended_at, end))
    return [_silent(leg.mode, *side) for side in sides if _is_missed(*side)]


def _is_missed(since: float, a: Point, until: float, b: Point) -> bool:
    return great_circle_m(a, b) > (MISSED_M_MIN if until - since > GAP_S_MAX else MISSED_FAR_M)


def _silent(mode: Mode, since: float, a: Point, until: float, b: Point) -> tuple[Gap, int]:
    straight_m = great_circle_m(a, b)
    return Gap(since, until, round(straight_m)), math.ceil(way_between(mode, straight_m).high_m)


def _caused(gap: Gap, stops: Sequence[tuple[float, float]]) -> Gap:
    """The same gap; where the app was not running, that is why there was no position."""
    stopped = gap.cause is GapCause.SILENCE and any(_overlap(gap, stop) for stop in stops)
    return replace(gap, cause=GapCause.STOPPED) if stopped else gap


def _overlap(gap: Gap, stop: tuple[float, float]) -> bool:
    return gap.from_at < stop[1] and stop[0] < gap.to_at


def _stopped(stop: tuple[float, float]) -> Gap:
    return Gap(*stop, 0, GapCause.STOPPED)
