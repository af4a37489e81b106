"""The datums of Chinese maps: WGS-84 (satellites, OpenStreetMap), GCJ-02 (maps sold in China), BD-09 (Baidu).

The same two numbers mean places up to 1.5 km apart, so each datum is a type of its own: `Point` is WGS-84 and the only
one that distances are made of; `Gcj02Point` and `Bd09Point` must be converted first.

GCJ-02 shifts a place by 20 to 700 m, by a formula that its makers never published; the one used here is what the
open implementations agree on (eviltransform, coordtransform and others). It stands on the Krasovsky ellipsoid of 1940.
BD-09 shifts that again, by the formula on which the same implementations agree. How near both are to what the map
makers use was not measured; that the way there and back is exact is tested.

The shift ends where the maps of its makers end: Amap's documentation names the mainland, Hong Kong and Macau
(`CoordinateConverter.isAMapDataAvailable`). In Taiwan and abroad all three datums are the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import overload

from greentrip.distance.outline import holds
from greentrip.trip import Datum, Place, Point, Station, check_degrees

STEPS_MAX = 20
"""Each step of the inverse leaves at most a fortieth of the error, so 5 to 8 are enough; this is only a limit."""
INVERSE_DEG_MAX = 1e-11
"""The inverse ends when a step moves it by less: a micrometre."""

_KRASOVSKY_M = 6_378_245.0
_KRASOVSKY_E2 = 0.00669342162296594323
"""The half-axis and the squared eccentricity of the ellipsoid of 1940."""

_CHINA = (
    # By hand from general geographic knowledge, rather some 20 km outside of the border than inside; clockwise.
    (38.6, 73.4), (39.5, 73.2), (40.1, 73.6), (40.7, 74.6), (40.8, 75.7), (40.7, 76.4), (41.2, 77.0), (41.3, 78.0),
    (42.3, 79.9), (43.1, 80.2), (44.2, 80.1), (44.8, 79.6), (45.2, 79.8), (45.5, 81.7), (45.6, 82.2), (46.6, 82.3),
    (47.3, 82.7), (47.4, 83.3), (47.2, 84.6), (47.2, 85.3), (48.3, 85.3), (48.7, 86.2), (49.3, 87.0), (49.4, 88.0),
    (48.8, 88.4), (48.2, 89.4), (48.0, 90.3), (47.1, 90.9), (46.6, 91.3), (45.6, 91.2), (45.3, 91.2), (45.2, 92.2),
    (45.2, 93.6), (44.6, 95.3), (44.4, 95.7), (43.4, 96.3), (42.9, 96.6), (42.9, 99.6), (42.8, 100.4), (42.7, 101.9),
    (42.4, 102.3), (42.1, 103.5), (42.0, 104.6), (41.8, 105.0), (42.6, 107.2), (42.7, 109.6), (42.9, 110.2),
    (43.4, 110.8), (43.7, 111.6), (44.2, 111.2), (45.0, 111.3), (45.3, 112.2), (45.0, 113.5), (45.6, 114.4),
    (45.9, 116.1), (46.6, 116.5), (47.0, 118.0), (46.9, 119.6), (47.4, 119.4), (47.8, 118.7), (47.6, 118.2),
    (47.4, 117.3), (47.4, 116.2), (47.6, 115.5), (48.1, 115.1), (48.7, 115.6), (49.9, 116.4), (50.1, 116.9),
    (49.8, 117.9), (50.3, 119.0), (51.6, 119.8), (52.6, 119.8), (53.4, 120.6), (53.8, 122.8), (53.8, 124.0),
    (53.4, 125.9), (52.6, 126.7), (51.4, 127.2), (50.4, 127.8), (49.8, 128.0), (49.7, 129.2), (49.2, 130.3),
    (48.9, 131.0), (48.0, 131.2), (48.0, 132.4), (48.4, 133.3), (48.6, 134.8), (48.6, 135.3), (48.1, 135.2),
    (47.4, 134.8), (45.9, 134.1), (45.0, 133.4), (44.7, 131.7), (44.0, 131.6), (43.5, 131.5), (42.9, 131.4),
    (42.5, 130.8), (42.2, 130.6), (42.6, 130.0), (42.2, 129.7), (41.9, 129.0), (41.9, 128.3), (41.2, 128.4),
    (41.2, 127.0), (40.8, 126.4), (40.3, 125.2), (39.9, 124.6), (39.0, 124.2), (37.8, 123.2), (36.6, 123.1),
    (35.0, 120.8), (33.6, 121.6), (31.9, 122.6), (30.0, 123.4), (28.0, 122.6), (26.2, 120.4), (24.4, 119.0),
    (22.4, 117.0), (21.6, 114.8), (20.8, 112.2), (19.6, 111.5), (18.0, 110.4), (17.8, 108.7), (19.4, 108.2),
    (20.8, 108.6), (21.3, 107.9), (21.7, 106.6), (22.7, 106.2), (23.0, 105.3), (22.6, 104.4), (22.4, 103.4),
    (22.2, 102.5), (22.1, 101.9), (21.0, 101.9), (20.9, 101.1), (21.3, 100.1), (21.9, 98.9), (22.9, 99.1), (23.0, 98.6),
    (23.8, 98.3), (23.7, 97.5), (24.8, 97.3), (25.6, 97.9), (26.9, 98.4), (27.4, 98.1), (27.8, 97.3), (27.2, 96.6),
    (26.6, 94.0), (26.6, 92.0), (27.6, 91.4), (27.9, 90.4), (28.0, 89.6), (27.0, 89.0), (27.6, 88.0), (27.6, 86.9),
    (27.7, 86.0), (28.1, 85.0), (28.9, 83.9), (29.9, 82.0), (30.0, 80.9), (30.6, 79.4), (31.2, 78.5), (32.3, 78.1),
    (33.0, 78.8), (34.3, 78.3), (35.3, 77.5), (35.6, 76.1), (36.6, 74.9), (37.0, 74.2), (38.3, 73.6),
)  # fmt: skip


_NORTH, _EAST = (15, 56), (70, 138)
"""Degrees that hold China with room for every shift. Far outside the formula has no inverse."""


@dataclass(frozen=True, slots=True)
class Gcj02Point:
    """A place as Amap, Tencent and other maps sold in China give it, in degrees, latitude first.

    Raises `InvalidInput` when out of range or not a number.
    """

    lat: float
    lon: float

    def __post_init__(self) -> None:
        check_degrees(self.lat, self.lon)

    @property
    def datum(self) -> Datum:
        """GCJ-02."""
        return Datum.GCJ02


@dataclass(frozen=True, slots=True)
class Bd09Point:
    """A place as Baidu's maps give it, in degrees, latitude first. Raises `InvalidInput` as `Gcj02Point` does."""

    lat: float
    lon: float

    def __post_init__(self) -> None:
        check_degrees(self.lat, self.lon)

    @property
    def datum(self) -> Datum:
        """BD-09."""
        return Datum.BD09


AnyPoint = Point | Gcj02Point | Bd09Point
AnyPlace = AnyPoint | Station
"""What the recorder takes: it converts at once, so that inside there are only WGS-84 points."""


def to_wgs84(point: AnyPoint) -> Point:
    """The same place in WGS-84: within a millimetre of the exact inverse in China, outside the same numbers.

    A place within 2 km outside the (coarse) border may be taken for one inside: the numbers fit both.

    >>> place = to_wgs84(Gcj02Point(39.913345, 116.384047))
    >>> round(place.lat, 5), round(place.lon, 5), to_wgs84(Gcj02Point(48.8584, 2.2945))
    (39.91195, 116.37782, Point(lat=48.8584, lon=2.2945))
    """
    if isinstance(point, Point):
        return point
    if _NORTH[0] < point.lat < _NORTH[1] and _EAST[0] < point.lon < _EAST[1]:
        shift = _gcj02_of_wgs84 if isinstance(point, Gcj02Point) else _bd09_of_wgs84
        lat, lon = _inverse(shift, point.lat, point.lon)
        if in_china(lat, lon):
            return Point(lat, lon)
    return Point(point.lat, point.lon)


@overload
def wgs84_of(place: AnyPoint) -> Point: ...
@overload
def wgs84_of(place: AnyPlace) -> Place: ...
def wgs84_of(place: AnyPlace) -> Place:
    """The place as the recorder keeps it: a point in WGS-84, a station as it is."""
    return to_wgs84(place) if isinstance(place, Gcj02Point | Bd09Point) else place


def to_gcj02(point: AnyPoint) -> Gcj02Point:
    """The same place in GCJ-02; outside China the same numbers.

    >>> place = to_gcj02(Point(39.911954, 116.377817))
    >>> round(place.lat, 5), round(place.lon, 5)
    (39.91335, 116.38405)
    """
    if isinstance(point, Gcj02Point):
        return point
    place = to_wgs84(point)
    lat, lon = place.lat, place.lon
    return Gcj02Point(*_gcj02_of_wgs84(lat, lon)) if in_china(lat, lon) else Gcj02Point(lat, lon)


def to_bd09(point: AnyPoint) -> Bd09Point:
    """The same place in BD-09; outside China the same numbers.

    >>> place = to_bd09(Gcj02Point(39.915, 116.404))
    >>> round(place.lat, 5), round(place.lon, 5)
    (39.92134, 116.41037)
    """
    if isinstance(point, Bd09Point):
        return point
    place = to_wgs84(point)
    lat, lon = place.lat, place.lon
    return Bd09Point(*_bd09_of_wgs84(lat, lon)) if in_china(lat, lon) else Bd09Point(lat, lon)


def in_china(lat: float, lon: float) -> bool:
    """Whether a place (WGS-84) lies where Chinese maps are shifted: coarsely, rather some 20 km too far out.

    Hainan, Hong Kong and Macau are in; Taiwan (without the islands off Fujian) and the South China Sea are out.
    """
    return holds(_CHINA, lat, lon)


def _inverse(shift: Callable[[float, float], tuple[float, float]], lat: float, lon: float) -> tuple[float, float]:
    """What `shift` moves to (lat, lon). The shift is nearly the same everywhere nearby, so the steps shrink fast."""
    from_lat, from_lon = lat, lon
    for _ in range(STEPS_MAX):
        at_lat, at_lon = shift(from_lat, from_lon)
        from_lat, from_lon = from_lat + lat - at_lat, from_lon + lon - at_lon
        if abs(lat - at_lat) < INVERSE_DEG_MAX and abs(lon - at_lon) < INVERSE_DEG_MAX:
            break
    return from_lat, from_lon


def _gcj02_of_wgs84(lat: float, lon: float) -> tuple[float, float]:
    east, north = lon - 105, lat - 35
    root, product = 0.1 * math.sqrt(abs(east)), 0.1 * east * north
    common = _waves(20, 6 * east) + _waves(20, 2 * east)
    north_m = 2 * east + 3 * north + 0.2 * north * north + product + 2 * root - 100
    north_m += common + _waves(20, north) + _waves(40, north / 3) + _waves(160, north / 12) + _waves(320, north / 30)
    east_m = east + 2 * north + 0.1 * east * east + product + root + 300
    east_m += common + _waves(20, east) + _waves(40, east / 3) + _waves(150, east / 12) + _waves(300, east / 30)
    phi = math.radians(lat)
    squeeze = 1 - _KRASOVSKY_E2 * math.sin(phi) ** 2
    meridian_m = _KRASOVSKY_M * (1 - _KRASOVSKY_E2) / squeeze**1.5
    parallel_m = _KRASOVSKY_M / math.sqrt(squeeze) * math.cos(phi)
    return lat + math.degrees(north_m / meridian_m), lon + math.degrees(east_m / parallel_m)


def _waves(amplitude_m: float, half_turns: float) -> float:
    return amplitude_m * 2 / 3 * math.sin(half_turns * math.pi)


def _bd09_of_wgs84(lat: float, lon: float) -> tuple[float, float]:
    lat, lon = _gcj02_of_wgs84(lat, lon)
    turns = math.pi * 3000 / 180
    radius = math.hypot(lon, lat) + 0.00002 * math.sin(lat * turns)
    angle = math.atan2(lat, lon) + 0.000003 * math.cos(lon * turns)
    return radius * math.sin(angle) + 0.006, radius * math.cos(angle) + 0.0065
