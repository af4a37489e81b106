"""Phones that are opened again, and rides that do not meet: many a day, over many days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from greentrip import GreenTrip, Mode, Network, Point, SystemClock, TripView
from greentrip.trip import CHINA_TIME

if TYPE_CHECKING:
    from support.server import ServerProcess  # heavy, and not needed by a phone in a process of its own

RIDES_A_DAY = 16
RIDE_FROM, RIDE_TO = Point(39.90, 116.40), Point(39.93, 116.43)
RIDE_S = 20 * 60


class LaterClock(SystemClock):
    """The time so much later: what a phone sees that is opened again after a while."""

    def __init__(self, later_s: float) -> None:
        self._later_s = later_s

    def now(self) -> float:
        return super().now() + self._later_s


def reopened(folder: Path, server: ServerProcess, later_s: float = 0.0, **settings) -> GreenTrip:
    """The phone of a folder, so many seconds later."""
    given = {"network": Network.sample(), "clock": LaterClock(later_s), "dice": lambda: 0.0} | settings
    return GreenTrip.open(folder, server=server.url, root_key=server.root_key, **given)


def local(days_ago: int, hour: int, minute: int = 0) -> datetime:
    """A time of a past day, by the clocks of Beijing."""
    day = datetime.now(CHINA_TIME).replace(hour=hour, minute=minute, second=0, microsecond=0)
    return (day - timedelta(days=days_ago)).astimezone(UTC)


def ride_at(number: int) -> datetime:
    """When the ride of this number begins: 0 is the first of yesterday."""
    return local(1 + number // RIDES_A_DAY, 5 + number % RIDES_A_DAY)


def ride(green: GreenTrip, number: int) -> TripView:
    """A ride by bus of some kilometres, entered afterwards."""
    at = ride_at(number)
    green.start(Mode.BUS, RIDE_FROM, at=at)
    return green.finish(RIDE_TO, at=at + timedelta(seconds=RIDE_S))
