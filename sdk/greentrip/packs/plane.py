"""Small distances on a plane that touches the earth where one looks."""

from __future__ import annotations

import math

from greentrip.trip import Point

M_PER_DEGREE = 111_195
"""Of latitude, on the sphere of `great_circle_m`."""


def foot_of(place: Point, one: Point, other: Point) -> tuple[float, float]:
    """Metres from a place to a straight piece, and where its foot lies on it: 0 at `one` to 1 at `other`."""
    shrink = math.cos(math.radians(place.lat))
    x, y = (other.lon - one.lon) * shrink, other.lat - one.lat
    px, py = (place.lon - one.lon) * shrink, place.lat - one.lat
    share = min(1.0, max(0.0, (px * x + py * y) / (x * x + y * y))) if x or y else 0.0
    return math.hypot(px - share * x, py - share * y) * M_PER_DEGREE, share
