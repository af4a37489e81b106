"""What a way over the network is: rides, and the changes between them."""

from __future__ import annotations

from dataclasses import dataclass

from greentrip.trip import Route

NEAREST_STATION_M_MAX = 1000
"""Who is further from every station than this is at none."""
NAMED_LONGER_MAX = 0.05
"""A route that is named, or shown by the track, counts if at most this share longer than the shortest plausible."""
TRAIN_KMH_MEAN = 35
"""Mean speed with stops where a pack gives no seconds; the median of labelled Beijing rail tracks, 30 people, 2007 to
2011, is 40 km/h."""
CHANGE_MINUTES = 5
"""Walking and waiting at a change where a pack gives no minutes: an assumption."""
CHANGE_WAIT_MINUTES = 2
"""Waiting at a change where a pack gives the minutes of walking: half of 4 minutes between trains, an assumption."""
SLOWER_MINUTES_MAX = 5
"""A plausible route is at most this much slower than the quickest: as much as one change."""
ROUTES_MAX = 3
"""So many plausible routes are told."""
CHANGES_MAX = 8
"""Nobody changes more often than this, and no route search looks further."""


@dataclass(frozen=True, slots=True)
class Ride:
    """One line from one station to another without leaving the train."""

    line: str
    start: str
    end: str
    metres: int
    minutes: float


@dataclass(frozen=True, slots=True)
class RailRoute:
    """The rides from one station to another and why they count; `minutes` with the changes.

    `named_too_long` says that changes were named, but that route is too long: the shortest plausible counts.
    """

    metres: int
    minutes: float
    kind: Route
    rides: tuple[Ride, ...]
    named_too_long: bool = False

    @property
    def changes(self) -> tuple[str, ...]:
        """The stations where one changes from a line to the next."""
        return tuple(ride.start for ride in self.rides[1:])
