"""The nouns of the domain: places, fixes, legs and trips. They live on the phone and never leave it as they are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import StrEnum

from greentrip.errors import InvalidInput

AT_S_MAX = 253_402_300_799
"""Unix seconds at the end of the year 9999: what a datetime holds. A later time is none."""

CHINA_TIME = timezone(timedelta(hours=8), "UTC+8")
"""A trip's day and half-hour are taken at fixed UTC+8: phones may lack zone data, and China has one zone."""


class Mode(StrEnum):
    """How somebody travels: the low-carbon modes of DB11/T 3043-2024."""

    WALK = "walk"
    CYCLE = "cycle"
    BUS = "bus"
    RAIL = "rail"
    CARPOOL = "carpool"


class Method(StrEnum):
    """How a distance was found."""

    TRACK = "track"
    RAIL = "rail"
    ENDPOINTS = "endpoints"


class Route(StrEnum):
    """Why a rail leg counts the metres of this route: see methodology.md."""

    SHORTEST = "shortest"
    NAMED = "named"
    TRACK = "track"


class Flag(StrEnum):
    """What a verifier should know about a trip; sent with the record."""

    EVEN = "even"
    """The track is more even than any person or vehicle moves."""
    GAP = "gap"
    MOCK = "mock"
    REPEAT = "repeat"
    """The very track of an earlier trip on this phone, at another time."""
    REPLAY = "replay"


class Datum(StrEnum):
    """What a pair of degrees counts from: see `greentrip.distance.datum`."""

    WGS84 = "WGS-84"
    GCJ02 = "GCJ-02"
    BD09 = "BD-09"


def check_degrees(lat: object, lon: object) -> None:
    """Raises `InvalidInput` when latitude or longitude is out of range or not a number."""
    degrees: tuple[tuple[str, object, int], ...] = (("lat", lat, 90), ("lon", lon, 180))
    for field, value, limit in degrees:
        # Compared rather than math.isfinite(): that fails at an integer too large for a float.
        if isinstance(value, bool) or not isinstance(value, int | float) or not -math.inf < value < math.inf:
            raise InvalidInput(field, f"{value!r} is not a number of degrees", f"{value!r} 不是有效的度数")
        if abs(value) > limit:
            swapped = field == "lat" and abs(value) <= 180
            hint_en, hint_zh = (": latitude comes first", "：纬度在前，经度在后") if swapped else ("", "")
            raise InvalidInput(
                field,
                f"{value!r} lies outside -{limit}..{limit} degrees{hint_en}",
                f"{value!r} 超出 -{limit}..{limit} 度的范围{hint_zh}",
            )


@dataclass(frozen=True, slots=True)
class Point:
    """A place on earth, WGS-84, in degrees, latitude first. Raises `InvalidInput` when out of range or not a number.

    What maps sold in China give is no `Point`: see `Gcj02Point` and `Bd09Point`.
    """

    lat: float
    lon: float

    def __post_init__(self) -> None:
        check_degrees(self.lat, self.lon)

    @property
    def datum(self) -> Datum:
        """WGS-84."""
        return Datum.WGS84


def check_wgs84(*points: object) -> None:
    """Raises `InvalidInput` for whatever is no `Point`: the same numbers mean another place in another datum."""
    for point in points:
        if not isinstance(point, Point):
            kind = f" is {datum}" if (datum := getattr(point, "datum", None)) else " is no Point"
            raise InvalidInput(
                "point",
                f"{point!r}{kind}, a Point (WGS-84) is wanted: convert it with to_wgs84()",
                f"{point!r} 不是 WGS-84 坐标点：请用 to_wgs84() 转换",
            )


@dataclass(frozen=True, slots=True)
class Station:
    """A rail station by name; the network gives its position."""

    name: str


Place = Point | Station


@dataclass(frozen=True, slots=True)
class Fix:
    """One position report: where, when (Unix seconds, UTC), how sure (68 % radius in metres, None if unknown)."""

    point: Point
    at: float
    accuracy_m: float | None = None
    mock: bool = False

    def __post_init__(self) -> None:
        check_wgs84(self.point)


class GapCause(StrEnum):
    """Why a part of the way was not recorded."""

    SILENCE = "silence"
    """The phone gave no position."""
    JUMP = "jump"
    """The positions go on where nobody can have got to in the time."""
    STOPPED = "stopped"
    """The app was not running: the system, or the person, had ended it."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A part of the way that was not recorded: from when to when (Unix seconds), the straight metres across, why.

    The straight metres are 0 where none are missing: the phone was where it is, or the leg is measured otherwise.
    """

    from_at: float
    to_at: float
    straight_m: int
    cause: GapCause = GapCause.SILENCE

    @property
    def minutes(self) -> int:
        """How long it was, rounded, at least 1."""
        return max(1, round((self.to_at - self.from_at) / 60))


@dataclass(frozen=True, slots=True)
class Estimate:
    """A leg's distance: the best value and an interval (about 80 %) in whole metres, and how it was found.

    `route` and `stations` (from, to) are set for the method rail only. `metres` holds what was measured: nothing of
    the `gaps`, which only widen the interval upwards.
    """

    metres: int
    low_m: int
    high_m: int
    method: Method
    route: Route | None = None
    stations: tuple[str, str] | None = None
    changes: tuple[str, ...] = ()
    gaps: tuple[Gap, ...] = ()

    @property
    def gap(self) -> bool:
        """Whether a part of the way was not recorded."""
        return bool(self.gaps)

    def __post_init__(self) -> None:
        if not 0 <= self.low_m <= self.metres <= self.high_m:
            raise ValueError(f"an estimate needs 0 <= low <= metres <= high: {self}")


@dataclass(frozen=True, slots=True)
class Leg:
    """One part of a trip in one mode, from gate to gate. `changes`: the stations where the person says she changed."""

    mode: Mode
    start: Place
    end: Place
    started_at: float
    ended_at: float
    fixes: tuple[Fix, ...] = ()
    changes: tuple[str, ...] = ()
    stops: tuple[tuple[float, float], ...] = ()
    """When the app was not running, from and to in Unix seconds."""

    @property
    def duration_s(self) -> float:
        return self.ended_at - self.started_at


def china_day_and_slot(at: float) -> tuple[str, int]:
    """The local day (ISO 8601) and half-hour (0..47) of a Unix time.

    >>> china_day_and_slot(0.0)
    ('1970-01-01', 16)
    """
    local = datetime.fromtimestamp(at, CHINA_TIME)
    return local.date().isoformat(), local.hour * 2 + local.minute // 30
