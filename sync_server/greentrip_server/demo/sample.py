"""A short ride that this project made up: waypoints, a steady speed, and the noise of a phone, always the same."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from itertools import pairwise

from greentrip.distance.sphere import east_north_m, great_circle_m, moved
from greentrip.trip import Fix, Point
from greentrip.trust import rfc3339

WAYPOINTS = (
    Point(39.9087, 116.4605),
    Point(39.9087, 116.4718),
    Point(39.9168, 116.4720),
    Point(39.9170, 116.4840),
    Point(39.9216, 116.4843),
)
SPEED_MPS = 4.2
STEP_S = 5
NOISE_M = 4.0
NOISE_MEMORY = 0.9
"""A phone's error drifts: it is not drawn anew for each fix."""
SEED = 20241001


def sample_ride(start_at: float, seed: int = SEED) -> tuple[Fix, ...]:
    """The fixes of the made-up ride, one in five seconds, from a Unix time on. Each seed is another day's noise."""
    dice = random.Random(seed)  # noqa: S311  (a picture of noise, not a secret)
    east = north = 0.0
    fixes = []
    for index, point in enumerate(_steady()):
        east, north = (NOISE_MEMORY * e + dice.gauss(0, NOISE_M * (1 - NOISE_MEMORY**2) ** 0.5) for e in (east, north))
        fixes.append(Fix(moved(point, east, north), start_at + index * STEP_S, accuracy_m=NOISE_M))
    return tuple(fixes)


def _steady() -> list[Point]:
    """Points along the waypoints, as far apart as the ride goes in a step."""
    points, left_m = [WAYPOINTS[0]], SPEED_MPS * STEP_S
    for start, end in pairwise(WAYPOINTS):
        length_m, (east, north) = great_circle_m(start, end), east_north_m(start, end)
        at_m = left_m
        while at_m <= length_m:
            points.append(moved(start, east * at_m / length_m, north * at_m / length_m))
            at_m += SPEED_MPS * STEP_S
        left_m = at_m - length_m
    return points


def main() -> None:
    """Print the ride as GPX, as if it began three hours ago: a file to try `greentrip replay` with."""
    print('<?xml version="1.0"?>')
    print('<gpx version="1.1" creator="greentrip" xmlns="http://www.topografix.com/GPX/1/1"><trk>')
    print("<name>sample ride</name><type>cycling</type><trkseg>")
    for fix in sample_ride(time.time() - 3 * 3600):
        at = rfc3339(datetime.fromtimestamp(fix.at, UTC))
        print(f'<trkpt lat="{fix.point.lat:.6f}" lon="{fix.point.lon:.6f}"><time>{at}</time></trkpt>')
    print("</trkseg></trk></gpx>")


if __name__ == "__main__":
    main()
