"""Which station is near a point: by its position and its entrances."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence

from greentrip.distance.rail.pack_model import PackStation
from greentrip.distance.sphere import EARTH_RADIUS_M, great_circle_m
from greentrip.trip import Point


class Places:
    """Where stations can be entered. Closed ones are not there."""

    def __init__(self, stations: Sequence[PackStation]) -> None:
        doors = [
            (place.lat, number, place)
            for number, station in enumerate(stations)
            if not station.closed
            for place in ((station.point, *station.entrances) if station.point else station.entrances)
        ]
        doors.sort(key=lambda door: door[:2])
        self._doors = doors
        self._lats = [lat for lat, _, _ in doors]

    def nearest(self, point: Point, within_m: float) -> int | None:
        """The station with the nearest position or entrance, or None when all are further than `within_m`."""
        within_deg = math.degrees(within_m / EARTH_RADIUS_M) * 1.001  # a hair more, for rounding
        first = bisect_left(self._lats, point.lat - within_deg)
        best: tuple[float, int] | None = None
        for lat, number, place in self._doors[first:]:
            if lat > point.lat + within_deg:
                break
            found = (great_circle_m(point, place), number)
            if found[0] <= within_m and (best is None or found < best):
                best = found
        return best[1] if best else None
