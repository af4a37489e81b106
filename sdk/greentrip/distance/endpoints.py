"""The distance of a leg of which only the two ends are known: the straight line times a detour factor.

The factors stand in detours.csv, by mode and by length of the straight line. `count` is how many cases the row's
dependence on the length stands on; `source` is one or two of these:

    beijing                 path / straight line, 10th, 50th and 90th percentile over the legs of a mode, measured on
                            labelled Beijing tracks of 30 people, 2007 to 2011 (how many legs was not published)
    beijing less jitter     the same divided by 1.2: the sum of a walk's raw fixes is up to 20 % too long
    beijing cars and taxis  half of each: whoever rides along sits in either
    beijing rail pairs      network metres / straight line over all pairs of stations of the Beijing network, by length
    trips                   what short ways add: 95 walked, cycled, bus and tram trips of an open travel survey in the
                            Netherlands and Germany (2024), smoothed, lie about 40 m (median) and 200 m (90th
                            percentile) above a plain proportion, and their 10th percentile is 1.02 up to 2 km;
                            the Beijing level is reached at 0.7 km (walk), 2 (cycle), 4 (bus), 8 (carpool)

That short ways are more roundabout than long ones is also what was found for the roads of 25 Chinese cities (mean
factor 1.32; Annals of GIS, 2021, doi 10.1080/19475683.2021.1966503) and of 51 American ones (Environment and Planning B
42/6, 2015, doi 10.1068/b130131p). In a city of blocks, seen from any angle, the percentiles are 1.08, 1.31 and 1.41.
Decision note 0017 and the accuracy report say how well the intervals cover real ways.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import pairwise

from greentrip.distance.sphere import great_circle_m
from greentrip.trip import Estimate, Method, Mode, Point

TABLE = "detours.csv"


@dataclass(frozen=True, slots=True)
class Detour:
    """Path / straight line for ways about `straight_m` long: 80 % lie between `low` and `high`, half below `middle`."""

    straight_m: int
    low: float
    middle: float
    high: float
    count: int
    source: str


@dataclass(frozen=True, slots=True)
class Way:
    """Metres between two points: 80 % of such ways lie between `low_m` and `high_m`, half of them below `middle_m`."""

    low_m: float
    middle_m: float
    high_m: float


def way_between(mode: Mode, straight_m: float) -> Way:
    """How far one goes in that mode between two points that lie `straight_m` apart.

    Between two rows of the table metres grow evenly, before the first and after the last the factor stays: so a longer
    straight line never means fewer metres.

    >>> way_between(Mode.BUS, 10_000).low_m
    10700.0
    """
    rows = detours(mode)
    if straight_m <= rows[0].straight_m:
        return _times(rows[0], straight_m)
    for a, b in pairwise(rows):
        if straight_m < b.straight_m:
            share = (straight_m - a.straight_m) / (b.straight_m - a.straight_m)
            return _between(_times(a, a.straight_m), _times(b, b.straight_m), share)
    return _times(rows[-1], straight_m)


def estimate_endpoints(leg_mode: Mode, start: Point, end: Point) -> Estimate:
    """Estimates a leg by its end points, in whole metres with a 10..90 % interval.

    `low_m` is rounded up, so it never lies below the straight line.

    >>> estimate_endpoints(Mode.BUS, Point(39.9, 116.4), Point(39.9, 116.4)).metres
    0
    """
    straight_m = great_circle_m(start, end)
    way = way_between(leg_mode, straight_m)
    low_m = math.ceil(max(straight_m, way.low_m))
    metres = max(low_m, round(way.middle_m))
    return Estimate(metres, low_m, max(metres, round(way.high_m)), Method.ENDPOINTS)


@cache
def detours(mode: Mode) -> tuple[Detour, ...]:
    """The rows of a mode, shortest ways first."""
    text = (resources.files("greentrip.distance") / TABLE).read_text("utf-8")
    return tuple(
        Detour(
            straight_m=int(row["straight_m"]),
            low=float(row["low"]),
            middle=float(row["middle"]),
            high=float(row["high"]),
            count=int(row["count"]),
            source=row["source"],
        )
        for row in csv.DictReader(text.splitlines())
        if row["mode"] == mode
    )


def _times(row: Detour, straight_m: float) -> Way:
    return Way(row.low * straight_m, row.middle * straight_m, row.high * straight_m)


def _between(a: Way, b: Way, share: float) -> Way:
    return Way(
        a.low_m + share * (b.low_m - a.low_m),
        a.middle_m + share * (b.middle_m - a.middle_m),
        a.high_m + share * (b.high_m - a.high_m),
    )
