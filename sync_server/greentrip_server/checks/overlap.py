"""Whether an account's trips can all have happened: nobody is on two trips at once.

A record tells the half-hour in which a trip began and its minutes rounded up, so the truth is a set of possible times.
A trip is held only when no times in that set keep it apart from the accepted trips.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from greentrip.record import LONG_FROM_MIN, LONG_STEP_MIN, RecordLeg, TripRecord

SLOT_MIN = 30
SLOTS_A_DAY = 48
NEIGHBOUR_DAYS = 1
"""The days before and after a trip whose trips matter to it, since a trip lasts a day at most (policy: shape).

A trip from further back can only push one of these later inside its own half-hour; not to see it is to be lenient.
"""


@dataclass(frozen=True, slots=True, order=True)
class Occupied:
    """The time that a trip takes of its account: the half-hour of the start, and at least so many minutes."""

    day: date
    slot: int
    low_min: int

    @property
    def index(self) -> int:
        """The half-hour counted through all days, so that midnight is a border like any other."""
        return self.day.toordinal() * SLOTS_A_DAY + self.slot


def occupied(record: TripRecord) -> Occupied:
    """What a record says of its account's time."""
    return Occupied(date.fromisoformat(record.day), record.slot, low_duration_min(record.legs))


def low_duration_min(legs: Iterable[RecordLeg]) -> int:
    """Minutes that the legs took at least; waiting between them adds to it, and is not known."""
    return sum(_low_min(leg.duration_min) for leg in legs)


def _low_min(duration_min: int) -> int:
    """The greatest lower bound of what `greentrip.record.duration_min` rounds up to this.

    60 is the first long value and stands for (59, 60] alone; from 65 on the step is 5.
    """
    return duration_min - (LONG_STEP_MIN if duration_min > LONG_FROM_MIN else 1)


def feasible(trips: Iterable[Occupied]) -> bool:
    """Whether there are start times, each in its half-hour, at which no two of these trips overlap. Exact.

    Half-hours are disjoint, so trips of an earlier one all come first. Within one, every trip but the last must end
    by the next one's start, which lies before the half-hour's end; when the last one ends does not depend on the
    order, since the sum is the same. So the best order puts the longest last, and each begins as early as it can.

    Borders: a half-hour holds its first moment and not its end, hence `>=` refuses. A trip lasts longer than its lower
    bound by as little as one likes, and every comparison is with an end that is not reached: so what is possible for
    the bounds themselves is possible for times just above them, and nothing else is.
    """
    slots: dict[int, list[int]] = defaultdict(list)
    for trip in trips:
        slots[trip.index].append(trip.low_min)
    free_from = 0
    for index in sorted(slots):
        lows, ends = slots[index], (index + 1) * SLOT_MIN
        begin = max(free_from, index * SLOT_MIN)
        free_from = begin + sum(lows)
        if free_from - max(lows) >= ends:
            return False
    return True


def overlaps(accepted: Iterable[Occupied], new: Occupied) -> bool:
    """Whether the new trip cannot have happened beside the accepted ones.

    Staff may let trips stand that exclude each other. Those must not block every later trip of the account, so the new
    trip is measured against a part of the accepted ones that can have happened.
    """
    others = list(accepted)
    if feasible([*others, new]):
        return False
    return not feasible([*_compatible(others), new])


def _compatible(trips: list[Occupied]) -> list[Occupied]:
    """The trips, less those that exclude an earlier one; all of them when they can all have happened."""
    if feasible(trips):
        return trips
    kept: list[Occupied] = []
    for trip in sorted(trips):
        if feasible([*kept, trip]):
            kept.append(trip)
    return kept
