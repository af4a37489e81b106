"""Datums: there and back to the millimetre inside China, the same numbers outside, and no way to mix them up."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from greentrip.distance.datum import Bd09Point, Gcj02Point, in_china, to_bd09, to_gcj02, to_wgs84
from greentrip.distance.province import province_of
from greentrip.distance.rail import Network
from greentrip.distance.sphere import east_north_m, great_circle_m, moved
from greentrip.errors import InvalidInput
from greentrip.trip import Datum, Fix, Point

BACK_M_MAX = 0.001
PLACES = {
    # Hong Kong and Macau lie within the maps that are shifted.
    "Beijing": (39.904, 116.407),
    "Yanjiao": (39.945, 116.820),
    "Tianjin": (39.118, 117.215),
    "Shijiazhuang": (38.043, 114.515),
    "Shanghai": (31.230, 121.474),
    "Shenzhen": (22.543, 114.058),
    "Hong Kong": (22.280, 114.160),
    "Macau": (22.190, 113.540),
    "Sanya": (18.250, 109.510),
    "Kunming": (25.040, 102.710),
    "Lhasa": (29.650, 91.120),
    "Kashgar": (39.470, 75.990),
    "Ürümqi": (43.830, 87.620),
    "Mohe": (52.970, 122.530),
    "Fuyuan": (48.360, 134.290),
    "Dandong": (40.130, 124.380),
}
ABROAD = {
    "Taipei": (25.033, 121.565),
    "Kaohsiung": (22.620, 120.310),
    "Seoul": (37.566, 126.978),
    "Pyongyang": (39.020, 125.750),
    "Tokyo": (35.690, 139.690),
    "Vladivostok": (43.120, 131.890),
    "Ulaanbaatar": (47.920, 106.920),
    "Almaty": (43.240, 76.890),
    "Hanoi": (21.030, 105.850),
    "Kathmandu": (27.710, 85.320),
    "Delhi": (28.610, 77.210),
    "Utrecht": (52.090, 5.121),
    "New York": (40.713, -74.006),
    "Sydney": (-33.870, 151.210),
    "the North Pole": (90.0, 0.0),
    "Null Island": (0.0, 0.0),
}
SHIFTED = [
    # WGS-84 and GCJ-02, from the tests of eviltransform, which takes the ellipsoid 108 m smaller: a centimetre.
    pytest.param(Point(31.1774276, 121.5272106), Gcj02Point(31.17530398364597, 121.531541859215), id="Shanghai"),
    pytest.param(Point(22.543847, 113.912316), Gcj02Point(22.540796131694766, 113.9171764808363), id="Shenzhen"),
    pytest.param(Point(39.911954, 116.377817), Gcj02Point(39.91334545536069, 116.38404722455657), id="Beijing"),
]

latitudes, longitudes = st.floats(-90, 90), st.floats(-180, 180)
anywhere = st.builds(Point, st.floats(-89, 89), longitudes)
inside = st.builds(Point, st.floats(18, 53.5), st.floats(73.5, 135)).filter(lambda p: in_china(p.lat, p.lon))


def apart_m(a: Point | Gcj02Point | Bd09Point, b: Point | Gcj02Point | Bd09Point) -> float:
    """How far apart two pairs of numbers are, whatever they count from."""
    return great_circle_m(Point(a.lat, a.lon), Point(b.lat, b.lon))


def near_border(point: Point, metres: float) -> bool:
    """Whether the border lies within so many metres in one of 8 directions."""
    ways = [(metres * math.cos(turn * math.pi / 4), metres * math.sin(turn * math.pi / 4)) for turn in range(8)]
    there = [moved(point, east_m, north_m) for east_m, north_m in ways]
    return any(in_china(p.lat, p.lon) != in_china(point.lat, point.lon) for p in there)


@pytest.mark.parametrize(("wgs84", "gcj02"), SHIFTED)
def test_known_pairs(wgs84: Point, gcj02: Gcj02Point):
    assert apart_m(to_gcj02(wgs84), gcj02) < 0.02
    assert apart_m(to_wgs84(gcj02), wgs84) < 0.02


def test_the_known_pair_of_baidu():
    """The example that coordtransform, gcoord and others share."""
    assert apart_m(to_bd09(Gcj02Point(39.915, 116.404)), Bd09Point(39.92133699351021, 116.41036949371029)) < 0.01


@given(inside)
def test_there_and_back_inside_china(place: Point):
    assume(not near_border(place, 0.01))
    gcj02, bd09 = to_gcj02(place), to_bd09(place)
    assert apart_m(to_wgs84(gcj02), place) < BACK_M_MAX
    assert apart_m(to_wgs84(bd09), place) < BACK_M_MAX
    assert apart_m(to_gcj02(bd09), gcj02) < BACK_M_MAX
    assert apart_m(to_bd09(gcj02), bd09) < BACK_M_MAX
    assert 20 < apart_m(place, gcj02) < 1000
    assert 300 < apart_m(gcj02, bd09) < 1500


@given(anywhere)
def test_outside_china_the_numbers_stay(place: Point):
    assume(not in_china(place.lat, place.lon))
    gcj02, bd09 = to_gcj02(place), to_bd09(place)
    assert (gcj02.lat, gcj02.lon) == (bd09.lat, bd09.lon) == (place.lat, place.lon)
    assume(not any(near_border(place, metres) for metres in (250, 500, 1000, 1500, 2000)))
    assert to_wgs84(gcj02) == place
    assert to_wgs84(bd09) == place
    assert to_gcj02(bd09) == gcj02


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_the_maps_of_the_mainland_hong_kong_and_macau_are_shifted(place: tuple[float, float]):
    assert apart_m(Point(*place), to_gcj02(Point(*place))) > 20


@pytest.mark.parametrize("place", ABROAD.values(), ids=ABROAD)
def test_taiwan_and_abroad_are_not(place: tuple[float, float]):
    point = Point(*place)
    assert to_gcj02(point) == Gcj02Point(*place)
    assert to_bd09(point) == Bd09Point(*place)
    assert to_wgs84(Gcj02Point(*place)) == to_wgs84(Bd09Point(*place)) == point


@given(latitudes, longitudes)
def test_whatever_was_a_place_is_one_afterwards(lat: float, lon: float):
    for point in (Gcj02Point(lat, lon), Bd09Point(lat, lon)):
        assert isinstance(to_wgs84(point), Point)
    assert to_wgs84(Point(lat, lon)) == Point(lat, lon)
    assert to_gcj02(Gcj02Point(lat, lon)) == Gcj02Point(lat, lon)
    assert to_bd09(Bd09Point(lat, lon)) == Bd09Point(lat, lon)


def test_a_point_says_its_datum_and_equals_none_of_another():
    assert [kind(39.9, 116.4).datum for kind in (Point, Gcj02Point, Bd09Point)] == list(Datum)
    assert len({Point(39.9, 116.4), Gcj02Point(39.9, 116.4), Bd09Point(39.9, 116.4)}) == 3


@pytest.mark.parametrize("other", [Gcj02Point(39.9, 116.4), Bd09Point(39.9, 116.4)], ids=lambda p: p.datum)
def test_no_distance_is_made_of_two_datums(other: Point):
    here = Point(39.9, 116.4)
    for mix in (
        lambda: great_circle_m(here, other),
        lambda: great_circle_m(other, here),
        lambda: east_north_m(here, other),
        lambda: moved(other, 1, 1),
        lambda: Fix(other, 0.0),
        lambda: province_of(other),
        lambda: Network.sample().nearest(other),
    ):
        with pytest.raises(InvalidInput, match=f"{other.datum}.*to_wgs84") as caught:
            mix()
        assert "to_wgs84" in caught.value.message("zh")


@pytest.mark.parametrize("kind", [Point, Gcj02Point, Bd09Point])
def test_a_swapped_pair_is_told_so(kind: type[Point]):
    with pytest.raises(InvalidInput, match="latitude comes first") as caught:
        kind(116.4, 39.9)
    assert "纬度在前" in caught.value.message("zh")
    with pytest.raises(InvalidInput, match="not a number"):
        kind(math.nan, 116.4)
