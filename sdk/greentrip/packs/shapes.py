"""Metres along the shapes of GTFS."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from greentrip.distance.sphere import great_circle_m
from greentrip.packs.plane import foot_of
from greentrip.packs.tables import Tables
from greentrip.trip import Point

BESIDE_M_MAX = 300
"""A stop is at most this far from the shape of its trip: stations are points, tracks pass at their side."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A line on the map. `metres` and `travelled` at each point; the latter in the feed's unit, empty if not given."""

    points: tuple[Point, ...]
    metres: tuple[float, ...]
    travelled: tuple[float, ...]

    def places_of(self, stops: Sequence[Point], travelled: Sequence[float | None]) -> list[float] | None:
        """Metres along the shape at which a train calls at each stop, rising; None when they do not lie along it.

        By shape_dist_traveled where both tables have it, else by nearness.
        """
        given = [value for value in travelled if value is not None]
        if self.travelled and len(given) == len(stops):
            places = [self._at(value) for value in given]
            return places if all(one < other for one, other in pairwise(places)) else None
        return _rising([self._near(stop) for stop in stops])

    def _at(self, travelled: float) -> float:
        """Metres at a distance in the feed's unit: so the unit does not matter."""
        after = min(max(bisect_right(self.travelled, travelled), 1), len(self.points) - 1)
        low, high = self.travelled[after - 1], self.travelled[after]
        share = min(1.0, max(0.0, (travelled - low) / (high - low))) if high > low else 0.0
        return self.metres[after - 1] + share * (self.metres[after] - self.metres[after - 1])

    def _near(self, stop: Point) -> list[tuple[float, float]]:
        """(metres along, metres beside) for each piece of the shape that is near enough to a stop."""
        found = []
        for at, (one, other) in enumerate(pairwise(self.points)):
            off_m, share = foot_of(stop, one, other)
            if off_m <= BESIDE_M_MAX:
                found.append((self.metres[at] + share * (self.metres[at + 1] - self.metres[at]), off_m))
        return found


def _rising(choices: Sequence[Sequence[tuple[float, float]]]) -> list[float] | None:
    """One place for each stop, each after the one before, with the least sum of squares beside; or None."""
    best: list[tuple[float, float, list[float]]] = [(0.0, -math.inf, [])]
    for near in choices:
        best = [
            min((cost + off_m**2, along, [*places, along]) for cost, last, places in best if last < along)
            for along, off_m in near
            if any(last < along for _, last, _ in best)
        ]
    return min(best)[2] if best else None


def read_shapes(tables: Tables, ids: Collection[str]) -> dict[str, Shape]:
    """The shapes with these ids that have two points or more."""
    rows: dict[str, list[tuple[float, Point, float | None]]] = defaultdict(list)
    columns = ("shape_id", "shape_pt_lat", "shape_pt_lon", "shape_pt_sequence")
    for row in tables.optional("shapes.txt", columns):
        if row["shape_id"] in ids and (point := row.point("shape_pt_lat", "shape_pt_lon")):
            travelled = row.number("shape_dist_traveled", 0, 1e9) if row["shape_dist_traveled"] else None
            rows[row["shape_id"]].append((row.number("shape_pt_sequence", 0, 1e9), point, travelled))
    return {id: _shape(sorted(found, key=lambda row: row[0])) for id, found in rows.items() if len(found) > 1}


def _shape(rows: Sequence[tuple[float, Point, float | None]]) -> Shape:
    points = tuple(point for _, point, _ in rows)
    steps = (great_circle_m(one, other) for one, other in pairwise(points))
    travelled = tuple(value for _, _, value in rows if value is not None)
    rises = len(travelled) == len(points) and all(one <= other for one, other in pairwise(travelled))
    return Shape(points, tuple(accumulate(steps, initial=0.0)), travelled if rises else ())
