"""Places, tracks and finished trips for tests."""

from greentrip import GreenTrip, Point, TripView
from greentrip.testing import FakeClock

HOME = Point(39.9000, 116.4000)
OFFICE = Point(39.9200, 116.4300)
UTRECHT = Point(52.0907, 5.1214)
FAR_END = "东夏园"
EXAMPLE = ("虎坊桥", FAR_END, ["双井", "呼家楼"])
METRES_PER_DEGREE = 111_195
SWAY_DEGREES = 0.5 / METRES_PER_DEGREE
"""A track without any is more even than a person walks, and flagged."""


def north_of(place: Point, metres: float) -> Point:
    return Point(place.lat + metres / METRES_PER_DEGREE, place.lon)


def ride(phone: GreenTrip, clock: FakeClock, minutes: float = 60) -> TripView:
    """The published example: 34 958 m by metro."""
    start, end, changes = EXAMPLE
    phone.start("rail", start)
    clock.tick(minutes * 60)
    return phone.finish(end, changes=changes)


def walk(phone: GreenTrip, clock: FakeClock, metres: int = 1000, start: Point = HOME) -> Point:
    """Walk north with a fix every 10 s while a trip runs; returns where one is then. Who walks sways a little."""
    steps = max(1, metres // 14)
    for step in range(steps + 1):
        on_line = north_of(start, step * metres / steps)
        phone.fix(Point(on_line.lat, on_line.lon + step % 2 * SWAY_DEGREES), accuracy_m=5.0)
        clock.tick(10)
    return north_of(start, metres)
