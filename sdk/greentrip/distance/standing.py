"""Where somebody stood still: noise there wanders from metre to metre, and none of it is distance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from greentrip.distance.plane import Columns
from greentrip.distance.smoothing import Course

STAY_M_MIN = 25.0
"""Who keeps within so far of one place is there: at a stop, in a shop, at a desk."""
STAY_RADII = 1.5
"""Or within so many 68 % radii of the fixes: 80 % of one-off errors, and nearly all once they are smoothed."""
STAY_MPS_MAX = 0.2
"""Long enough to be no slow walk: through STAY_M_MIN in 125 s. Nobody goes along so slowly."""
RETURN_S_MAX = 120.0
"""Back at the same place so soon: the receiver was away, not the person."""
NOISE_RADII_MAX = 2.0
"""A whole track within so many radii around one place shows no movement."""


@dataclass(frozen=True, slots=True)
class Stay:
    """Standing from row `first` to row `last` of a course, in the middle `east_m`, `north_m` of its states there."""

    first: int
    last: int
    east_m: float
    north_m: float


def stands(measured: Columns) -> bool:
    """Whether all measurements may be noise around one place."""
    count = len(measured.at)
    middle_e, middle_n = sum(measured.east_m) / count, sum(measured.north_m) / count
    reach_m = NOISE_RADII_MAX * sum(measured.radius_m) / count
    return all(
        math.hypot(east_m - middle_e, north_m - middle_n) <= reach_m
        for east_m, north_m in zip(measured.east_m, measured.north_m, strict=True)
    )


def stays(course: Course, radius_m: float) -> list[Stay]:
    """The stays of a course in order of time; `radius_m`: the mean 68 % radius of its measurements."""
    at, east_m, north_m = course.at, course.east_m, course.north_m
    reach_m = max(STAY_M_MIN, STAY_RADII * radius_m)
    reach2_m2 = reach_m * reach_m
    stay_s = reach_m / STAY_MPS_MAX
    found: list[Stay] = []
    first, enough, count = 0, 0, len(at)
    while first < count - 1:
        while at[enough] - at[first] < stay_s:
            enough += 1
            if enough == count:
                return found
        off_e, off_n = east_m[enough] - east_m[first], north_m[enough] - north_m[first]
        if off_e * off_e + off_n * off_n > 4 * reach2_m2:  # a quick look: nearly all rows of a moving course end here
            first += 1
            continue
        last, middle_e, middle_n = first, east_m[first], north_m[first]
        while last + 1 < count:
            off_e, off_n = east_m[last + 1] - middle_e, north_m[last + 1] - middle_n
            if off_e * off_e + off_n * off_n > reach2_m2:
                break
            last += 1
            middle_e += off_e / (last - first + 1)
            middle_n += off_n / (last - first + 1)
        if last >= enough:
            _add(found, Stay(first, last, middle_e, middle_n), at, reach_m)
            first = last
        first += 1
    return found


def _add(found: list[Stay], stay: Stay, at: Sequence[float], reach_m: float) -> None:
    """Adds a stay, joined with the one before where only the receiver was away in between."""
    if found:
        before = found[-1]
        way_m = math.hypot(stay.east_m - before.east_m, stay.north_m - before.north_m)
        if at[stay.first] - at[before.last] <= RETURN_S_MAX and way_m <= reach_m:
            found[-1] = Stay(before.first, stay.last, before.east_m, before.north_m)
            return
    found.append(stay)
