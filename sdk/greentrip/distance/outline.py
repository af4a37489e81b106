"""Whether a point lies within an outline drawn on the map."""

from __future__ import annotations

from collections.abc import Sequence

Ring = Sequence[tuple[float, float]]
"""Latitude and longitude of the corners in degrees (WGS-84); the last is joined to the first."""
Polygon = Sequence[Ring]
"""The outer ring, then the holes."""


def holds(ring: Ring, lat: float, lon: float) -> bool:
    """Whether a line from the point to the east crosses the ring an odd number of times.

    >>> holds(((0, 0), (0, 2), (2, 2), (2, 0)), 1, 1), holds(((0, 0), (0, 2), (2, 2), (2, 0)), 1, 3)
    (True, False)
    """
    inside = False
    lat_a, lon_a = ring[-1]
    for lat_b, lon_b in ring:
        if (lat_a > lat) != (lat_b > lat):
            crossing_lon = lon_a + (lat - lat_a) / (lat_b - lat_a) * (lon_b - lon_a)
            inside ^= lon < crossing_lon
        lat_a, lon_a = lat_b, lon_b
    return inside


def within(polygon: Polygon, lat: float, lon: float) -> bool:
    """Whether the point lies within the outer ring and in none of the holes."""
    outer, *holes = polygon
    return holds(outer, lat, lon) and not any(holds(hole, lat, lon) for hole in holes)
