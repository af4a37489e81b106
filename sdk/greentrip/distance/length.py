"""The length of a smoothed course: curved where it turns, nothing where it stands, and with the detail that rare
measurements cannot show.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from greentrip.distance.plane import Columns
from greentrip.distance.smoothing import Course, smoothed
from greentrip.distance.standing import Stay, stands, stays

BRIDGE_S_MIN = 75.0
"""A longer pause is an outage: it is bridged by the straight line. Sampling once a minute, a little late, is none."""
CURVE_SHARE_MAX = 0.25
"""A step's curve is at most this much longer than its chord: a quarter of a circle is 0.11, a corner of a street 0.41,
and what is more would be the receiver's noise."""
DENSE_S = 8.0
"""Measurements as dense as this show every corner: nothing is extrapolated."""
EXTRAPOLATED_SHARE = 0.5
"""Of what is lost when every second measurement is left out. A curve through points loses h to the power of 1.5 at
corners: half of the step loses 1 / (2 ** 1.58 - 1) = 0.5 times as much as the step from half to whole."""
EXTRAPOLATED_SHARE_MAX = 0.08
"""Never more than this part of the length."""
ROWS_MIN = 6
"""Fewer measurements say nothing about lost detail."""
ERROR_S = 30.0
"""About how long a receiver's error lasts before it is another one."""


@dataclass(frozen=True, slots=True)
class Length:
    """Metres of a course, and two measures of how well they are known, also in metres.

    `lost_m`: what leaving out every second measurement would lose; 0 where they are dense. `blur_m`: the geometric mean
    of the metres and of an error's 68 % radius for each ERROR_S in motion.
    """

    metres: float
    lost_m: float
    blur_m: float


def length_of(measured: Columns) -> Length:
    """How far the measurements of one uninterrupted part of a track went.

    Never more than the straight steps between the smoothed places (or into the middle of a stay), times
    1 + CURVE_SHARE_MAX, times 1 + EXTRAPOLATED_SHARE_MAX.
    """
    at, count = measured.at, len(measured.at)
    if count < 2 or stands(measured):
        return Length(0.0, 0.0, 0.0)
    radius_m = sum(measured.radius_m) / count
    course = smoothed(measured)
    steps_m = curves_m(course)
    standing = stays(course, radius_m)
    metres = without_stays(standing, course, steps_m)
    moving_s = at[-1] - at[0] - sum(at[stay.last] - at[stay.first] for stay in standing)
    blur_m = math.sqrt(metres * radius_m * moving_s / ERROR_S)
    sparse = min(1.0, max(0.0, (at[-1] - at[0]) / (count - 1) / DENSE_S - 1))
    if not sparse or count < ROWS_MIN:
        return Length(metres, 0.0, blur_m)
    lost = _lost_share(measured, sum(steps_m))
    longer = min(EXTRAPOLATED_SHARE_MAX, EXTRAPOLATED_SHARE * sparse * lost)
    return Length(metres * (1 + longer), metres * lost, blur_m)


def _lost_share(measured: Columns, whole_m: float) -> float:
    """Which part of `whole_m` is lost when every second measurement is left out, 0 to 1: the mean of both halves."""
    last = len(measured.at) - 1
    halves = [measured.pick(sorted({0, *range(offset, last, 2), last})) for offset in (0, 1)]
    halves_m = [sum(curves_m(smoothed(half))) for half in halves]
    return max(0.0, 1 - sum(halves_m) / 2 / whole_m) if whole_m else 0.0


def curves_m(course: Course) -> list[float]:
    """Metres of each step of a course: of the cubic curve through both places with both velocities.

    To second order in how far the velocities point aside of the chord, so speeding up and braking add nothing.
    """
    steps_m = []
    rows = zip(course.at, course.east_m, course.north_m, course.east_mps, course.north_mps, strict=True)
    at, east_m, north_m, east_mps, north_mps = next(rows)
    for now, x, y, u, v in rows:
        dt, dx, dy = now - at, x - east_m, y - north_m
        chord2_m2 = dx * dx + dy * dy
        if chord2_m2 and dt <= BRIDGE_S_MIN:
            scale = dt / chord2_m2
            aside, aside_after = (dx * north_mps - dy * east_mps) * scale, (dx * v - dy * u) * scale
            longer = (2 * aside * aside - aside * aside_after + 2 * aside_after * aside_after) / 30
            steps_m.append(math.sqrt(chord2_m2) * (1 + (longer if longer < CURVE_SHARE_MAX else CURVE_SHARE_MAX)))
        else:
            steps_m.append(math.sqrt(chord2_m2))
        at, east_m, north_m, east_mps, north_mps = now, x, y, u, v
    return steps_m


def without_stays(standing: Sequence[Stay], course: Course, steps_m: Sequence[float]) -> float:
    """The sum of the steps, where each stay is one place: its middle."""
    counted_m, row = 0.0, 0
    for stay in standing:
        counted_m += sum(steps_m[row : max(row, stay.first - 1)])
        row = stay.last + 1
    counted_m += sum(steps_m[row:])
    for before, after in pairwise([None, *standing, None]):
        counted_m += _way_m(before, after, course)
    return counted_m


def _way_m(before: Stay | None, after: Stay | None, course: Course) -> float:
    """The straight ways out of one stay and into the next."""
    if before is not None and after is not None and before.last + 1 == after.first:
        return math.hypot(after.east_m - before.east_m, after.north_m - before.north_m)
    way_m = 0.0
    if before is not None and before.last + 1 < len(course.at):
        way_m += _off_m(before, course, before.last + 1)
    if after is not None and after.first > 0:
        way_m += _off_m(after, course, after.first - 1)
    return way_m


def _off_m(stay: Stay, course: Course, row: int) -> float:
    return math.hypot(course.east_m[row] - stay.east_m, course.north_m[row] - stay.north_m)
