"""Province outlines from boundary relations: holes, exclaves, and what is not whole."""

from datetime import date
from pathlib import Path

import pytest

from greentrip.distance.rail.pack import Polygon, Ring
from greentrip.errors import BadFile
from greentrip.packs.assemble import Choices, assemble
from greentrip.packs.osm import read_osm
from greentrip.packs.osm_outlines import read_outlines
from support.osm_city import ORIGIN, STEP_DEGREES, OsmCity

DAY = date(2026, 11, 24)


def is_inside(polygons: tuple[Polygon, ...], north: float, east: float) -> bool:
    """Even-odd rule over all rings, written apart from the code under test."""
    lat, lon = ORIGIN[0] + north * STEP_DEGREES, ORIGIN[1] + east * STEP_DEGREES
    return sum(_crosses(ring, lat, lon) for polygon in polygons for ring in polygon) % 2 == 1


def _crosses(ring: Ring, lat: float, lon: float) -> int:
    crossed = 0
    for (lat1, lon1), (lat2, lon2) in zip(ring, ring[1:] + ring[:1], strict=True):
        if (lat1 > lat) != (lat2 > lat):
            crossed += lon < lon1 + (lat - lat1) / (lat2 - lat1) * (lon2 - lon1)
    return crossed % 2


def province_city(city: OsmCity) -> OsmCity:
    """Beijing with a piece of Hebei in it that again holds a piece of Beijing, and a piece of Beijing far off."""
    outer, hebei, island, exclave = (city.square(*at) for at in ((0, 0, 100), (30, 30, 40), (45, 45, 10), (0, 200, 20)))
    city.province("北京市", [outer, hebei, island, exclave])
    city.province("河北省", [hebei, island])
    return city


def test_enclaves_and_exclaves_come_out_right(tmp_path: Path):
    outlines, notes = read_outlines(province_city(OsmCity()).write(tmp_path / "city.osm"), lambda what: None)
    places = {
        "town": (10, 10),
        "enclave": (35, 35),
        "in the enclave": (50, 50),
        "exclave": (10, 210),
        "none": (10, 150),
    }
    beijing = {name for name, place in places.items() if is_inside(outlines[11], *place)}
    hebei = {name for name, place in places.items() if is_inside(outlines[13], *place)}
    assert beijing == {"town", "in the enclave", "exclave"}
    assert hebei == {"enclave"}
    assert notes == []


def test_an_outline_that_is_not_whole_is_left_out_and_named(tmp_path: Path):
    city = OsmCity()
    city.province("北京市", [city.square(0, 0, 10)])
    city.province("天津市", [city.way([city.node(0, 20), city.node(0, 30), city.node(10, 30)])])
    city.province("河北省", [city.square(0, 40, 10), 999_999])
    outlines, notes = read_outlines(city.write(tmp_path / "city.osm"), lambda what: None)
    assert outlines.keys() == {11}
    assert [code for code in ("12", "13") if not any(code in en and code in zh for en, zh in notes)] == []


def test_an_extract_without_outlines_says_so(tmp_path: Path):
    with pytest.raises(BadFile, match="no whole province outline"):
        read_outlines(OsmCity().write(tmp_path / "city.osm"), lambda what: None)


def test_they_go_into_the_pack_with_the_rails(tmp_path: Path):
    city = province_city(OsmCity())
    stops = [city.stop("甲", 5, 5), city.stop("乙", 5, 25)]
    city.both_ways("1号线", stops, [city.way(stops)])
    draft = read_osm(city.write(tmp_path / "city.osm"), DAY, lambda what: None)
    pack, notes = assemble(draft, Choices("Toy", "toy", DAY, provinces=(11,)))
    assert pack.outlines.keys() == {11}
    assert is_inside(pack.outlines[11], 10, 10)
    assert not is_inside(pack.outlines[11], 35, 35)
    assert any("simplified" in en for en, _ in notes)
    assert pack.sources[0].licence == "ODbL-1.0"
