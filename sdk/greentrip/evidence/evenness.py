"""Whether a track is more even than anything that moves: drawn by a program, not travelled.

A program that plays a route gives equal steps on straight lines. A person's or a vehicle's speed changes by more than
a part in a hundred from step to step, and a receiver's noise bends the line by decimetres at least.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from itertools import pairwise

from greentrip.distance.cleaning import usable
from greentrip.distance.sphere import east_north_m
from greentrip.trip import Fix

STEPS_MIN = 20
"""Fewer moving steps prove nothing."""
STEP_M_MIN = 0.5
"""A shorter step is standing: phones at rest repeat a position to the last digit."""
SPEED_SHARE = 0.01
"""Steps within so much of the median speed are equal; and within ROUNDING_M, where positions have few decimals."""
ROUNDING_M = 0.02
EQUAL_SHARE_MIN = 0.8
"""So many of all moving steps are equal: the others cut a corner of the drawn line."""
BEND_M_MAX = 0.1
"""The median distance of a fix from the middle of its neighbours: a real receiver's noise makes more."""


def is_even(fixes: Sequence[Fix]) -> bool:
    """Whether most steps are equal in speed and lie on straight lines to the decimetre.

    Either alone happens: a train at its top speed, a standing phone. Both together no real track had that was looked
    at (docs/explanation/mode-evidence.md).
    """
    kept = usable(fixes)
    steps = [(*east_north_m(a.point, b.point), b.at - a.at) for a, b in pairwise(kept)]
    moving = [(east, north, dt) for east, north, dt in steps if math.hypot(east, north) >= STEP_M_MIN]
    if len(moving) < STEPS_MIN:
        return False
    speeds = [math.hypot(east, north) / dt for east, north, dt in moving]
    usual = statistics.median(speeds)
    equal = sum(
        abs(speed - usual) <= SPEED_SHARE * usual + ROUNDING_M / dt
        for speed, (_, _, dt) in zip(speeds, moving, strict=True)
    )
    return equal >= EQUAL_SHARE_MIN * len(moving) and statistics.median(_bends(steps)) <= BEND_M_MAX


def _bends(steps: Sequence[tuple[float, float, float]]) -> list[float]:
    """How far each fix lies from where even motion between its neighbours had put it, in metres."""
    bends = []
    for (east, north, dt), (next_east, next_north, next_dt) in pairwise(steps):
        share = dt / (dt + next_dt)
        bends.append(math.hypot(east - share * (east + next_east), north - share * (north + next_north)))
    return bends
