"""Coarse speed features of a recorded leg, and the levels of evidence that stay on the phone.

Features leave the phone: speeds only, never a place, never a heading. The levels stay, under a commitment.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from greentrip.distance.sphere import great_circle_m
from greentrip.distance.track import usable, without_jumps
from greentrip.trip import Fix, Leg

SPEED_STEP_KMH = 2
SPEED_KMH_MAX = 400
STOPPED_STEP_PERCENT = 5
STOPPED_BELOW_KMH = 2.0
FIX_CLASS_LIMITS = (10, 100, 1000)
"""Class 0: fewer than 10 fixes, 1: fewer than 100, 2: fewer than 1000, 3: more."""
CELLS_PER_DEGREE = 100
"""Coarse cells of 0.01 degree, about a kilometre."""
FIXES_MIN = 3


@dataclass(frozen=True, slots=True)
class Features:
    """What a record says of a leg's track. `leg` is its index; speeds in km/h, the stopped share of time in percent."""

    leg: int
    median_kmh: int
    p95_kmh: int
    stopped_percent: int
    fixes: int


def features_of(index: int, leg: Leg) -> Features | None:
    """The features of a leg's fixes, or None where there are too few to tell. Jumps of the receiver are left out."""
    chains = without_jumps(leg.mode, usable(leg.fixes))
    steps = [step for chain in chains for step in _steps(chain)]
    fixes = [fix for chain in chains for fix in chain]
    if len(fixes) < FIXES_MIN or not steps:
        return None
    speeds = sorted(speed for speed, _ in steps)
    total_s = sum(seconds for _, seconds in steps)
    stopped_s = sum(seconds for speed, seconds in steps if speed < STOPPED_BELOW_KMH)
    return Features(
        leg=index,
        median_kmh=_to_step(min(statistics.median(speeds), SPEED_KMH_MAX), SPEED_STEP_KMH),
        p95_kmh=_to_step(min(speeds[int(0.95 * (len(speeds) - 1))], SPEED_KMH_MAX), SPEED_STEP_KMH),
        stopped_percent=_to_step(100 * stopped_s / total_s, STOPPED_STEP_PERCENT),
        fixes=sum(len(fixes) >= limit for limit in FIX_CLASS_LIMITS),
    )


def speeds_by_minute(leg: Leg) -> list[int]:
    """Mean speed in whole km/h of each minute since the leg's start; -1 where nothing was recorded."""
    minutes = int(leg.duration_s // 60) + 1
    metres = [0.0] * minutes
    seconds = [0.0] * minutes
    for before, after in pairwise(leg.fixes):
        minute = int((after.at - leg.started_at) // 60)
        if after.at > before.at and 0 <= minute < minutes:
            metres[minute] += great_circle_m(before.point, after.point)
            seconds[minute] += after.at - before.at
    return [round(min(m / s * 3.6, SPEED_KMH_MAX)) if s else -1 for m, s in zip(metres, seconds, strict=True)]


def coarse_cells(leg: Leg) -> list[tuple[int, int]]:
    """The cells of about a kilometre that the track touched, in order, each once in a row."""
    cells: list[tuple[int, int]] = []
    for fix in leg.fixes:
        cell = (int(fix.point.lat * CELLS_PER_DEGREE // 1), int(fix.point.lon * CELLS_PER_DEGREE // 1))
        if not cells or cells[-1] != cell:
            cells.append(cell)
    return cells


def _steps(fixes: Sequence[Fix]) -> list[tuple[float, float]]:
    """Speed in km/h and seconds between neighbouring fixes."""
    return [
        (great_circle_m(a.point, b.point) / (b.at - a.at) * 3.6, b.at - a.at) for a, b in pairwise(fixes) if b.at > a.at
    ]


def _to_step(value: float, step: int) -> int:
    return int(value / step + 0.5) * step
