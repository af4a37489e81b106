"""Plain geometry on a sphere: the straight line between two points, and small moves east and north."""

from __future__ import annotations

import math

from greentrip.trip import Point, check_wgs84

EARTH_RADIUS_M = 6_371_008.8
"""Mean radius of the earth (IUGG, R1 of WGS-84). Distances are within 0.6 % of the ellipsoid's."""


def great_circle_m(a: Point, b: Point) -> float:
    """Metres along the great circle from `a` to `b` (haversine formula: exact for short ways too).

    Raises `InvalidInput` for a point of another datum.

    >>> round(great_circle_m(Point(39.8884, 116.3775), Point(39.9022, 116.7272)))
    29873
    """
    if type(a) is not Point or type(b) is not Point:  # quicker than the call
        check_wgs84(a, b)
    lat_a, lat_b = math.radians(a.lat), math.radians(b.lat)
    half_north = math.sin((lat_b - lat_a) / 2)
    half_east = math.sin(math.radians(b.lon - a.lon) / 2)
    chord = half_north**2 + math.cos(lat_a) * math.cos(lat_b) * half_east**2
    return 2 * EARTH_RADIUS_M * math.asin(math.sqrt(min(1.0, chord)))


def east_north_m(a: Point, b: Point) -> tuple[float, float]:
    """Metres east and north from `a` to `b`, on the plane at their middle latitude: for steps of some km."""
    if type(a) is not Point or type(b) is not Point:
        check_wgs84(a, b)
    east_deg = (b.lon - a.lon + 180) % 360 - 180
    shrink = math.cos(math.radians((a.lat + b.lat) / 2))
    return math.radians(east_deg) * shrink * EARTH_RADIUS_M, math.radians(b.lat - a.lat) * EARTH_RADIUS_M


def moved(start: Point, east_m: float, north_m: float) -> Point:
    """The point that lies so many metres east and north of `start`: the inverse of `east_north_m`.

    Raises `InvalidInput` when that leads past a pole.
    """
    check_wgs84(start)
    lat = start.lat + math.degrees(north_m / EARTH_RADIUS_M)
    shrink = max(math.cos(math.radians((start.lat + lat) / 2)), 1e-9)
    lon = start.lon + math.degrees(east_m / (EARTH_RADIUS_M * shrink))
    return Point(lat, (lon + 180) % 360 - 180 if abs(lon) > 180 else lon)
