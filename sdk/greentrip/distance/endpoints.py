"""The distance of a leg of which only the two ends are known: the straight line times a detour factor.

The factors are path / straight line of labelled Beijing tracks, 30 people, 2007 to 2011: 10th, 50th and 90th
percentile of the segments of a mode. They are measured on raw fixes, and GPS jitter only ever lengthens a path:
worst for walks, whose row is therefore too long (and no walk earns by its end points). Carpool is the car row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from greentrip.distance.sphere import great_circle_m
from greentrip.trip import Estimate, Method, Mode, Point


@dataclass(frozen=True, slots=True)
class Detour:
    """Path / straight line: 80 % of the ways lie between `low` and `high`, half of them below `middle`."""

    low: float
    middle: float
    high: float


DETOURS: dict[Mode, Detour] = {
    Mode.WALK: Detour(1.16, 1.66, 2.98),  # inflated by jitter, see above
    Mode.CYCLE: Detour(1.14, 1.26, 1.67),
    Mode.BUS: Detour(1.07, 1.34, 1.64),
    Mode.RAIL: Detour(1.02, 1.35, 2.06),
    Mode.CARPOOL: Detour(1.32, 1.65, 2.02),
}


def estimate_endpoints(leg_mode: Mode, start: Point, end: Point) -> Estimate:
    """Estimates a leg by its end points, in whole metres with a 10..90 % interval.

    `low_m` is rounded up, so it never lies below the straight line.

    >>> estimate_endpoints(Mode.BUS, Point(39.9, 116.4), Point(39.9, 116.4)).metres
    0
    """
    straight_m = great_circle_m(start, end)
    detour = DETOURS[leg_mode]
    low_m = math.ceil(straight_m * detour.low)
    metres = max(low_m, round(straight_m * detour.middle))
    return Estimate(metres, low_m, max(metres, round(straight_m * detour.high)), Method.ENDPOINTS)
