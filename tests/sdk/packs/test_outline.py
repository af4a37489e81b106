"""Outlines from GeoJSON, and how coarse they may get."""

import json
import math
from pathlib import Path

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from greentrip.errors import BadFile, InvalidInput
from greentrip.packs.outline import read_geojson, simplify
from greentrip.packs.plane import M_PER_DEGREE


def square(west: float, south: float, size: float) -> list[list[float]]:
    ring = [(west, south), (west + size, south), (west + size, south + size), (west, south + size), (west, south)]
    return [list(place) for place in ring]


def write(path: Path, *features: dict) -> Path:
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(features)}), "utf-8")
    return path


def feature(properties: dict, *rings: list[list[float]]) -> dict:
    return {"type": "Feature", "properties": properties, "geometry": {"type": "Polygon", "coordinates": list(rings)}}


def test_features_are_known_by_code_or_name_and_districts_are_joined(tmp_path: Path):
    path = write(
        tmp_path / "map.geojson",
        feature({"adcode": 110101}, square(116, 39, 1)),
        feature({"adcode": "110102"}, square(117, 39, 1)),
        feature({"name": "天津市"}, square(118, 39, 1), square(118.2, 39.2, 0.1)),
        feature({"name": "中国"}, square(70, 20, 60)),
    )
    outlines = read_geojson(path)
    assert outlines.keys() == {11, 12}
    assert [len(polygon) for polygon in outlines[11]] == [1], "two districts, one outline"
    assert [len(polygon) for polygon in outlines[12]] == [2], "with its hole"


@pytest.mark.parametrize(
    ("content", "says", "line"),
    [
        ('{"type": "FeatureCollection",\n "features": [}', "broken JSON", 2),
        ('{"features": 3}', "not a GeoJSON", 0),
        ("[]", "not a GeoJSON", 0),
        ('{"features": []}', "no feature names a province", 0),
        ('{"features": [{"properties": {"name": "北京"}, "geometry": {"type": "Circle"}}]}', "feature 1", 0),
        ('{"features": [{"properties": {"name": "北京"}}]}', "feature 1", 0),
        ('{"features": [{"properties": ["北京"], "geometry": null}]}', "no feature names a province", 0),
        (
            '{"features": [{"properties": {"name": "北京"}, "geometry": {"type": "Point", "coordinates": [1, 2]}}]}',
            "no area",
            0,
        ),
        (json.dumps({"features": [feature({"name": "北京"}, square(12_948_000, 4_840_000, 1000))]}), "in degrees", 0),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, content: str, says: str, line: int):
    path = tmp_path / "map.geojson"
    path.write_text(content, "utf-8")
    with pytest.raises(BadFile, match=says) as caught:
        read_geojson(path)
    assert caught.value.line == line


def wavy(west: float, waves: int, height: float) -> list[tuple[float, float]]:
    """(lat, lon) round a square whose east side is a wave."""
    east = [(39 + i / 200, west + 1 + height * math.sin(i * waves / 10)) for i in range(201)]
    return [(39.0, west), *east, (40.0, west)]


@given(waves=st.integers(1, 20), height=st.floats(0.0, 0.02), tolerance_m=st.floats(20, 2000))
def test_no_simplified_outline_is_further_off_than_allowed(waves: int, height: float, tolerance_m: float):
    west = wavy(116.0, waves, height)
    east = [*west[1:-1], (40.0, 118.0), (39.0, 118.0)]  # the neighbour, along the same wave
    given_ = {11: ((tuple(west),),), 12: ((tuple(east),),)}
    found = simplify(given_, tolerance_m)
    assert found.error_m <= tolerance_m
    shapes = [shapely.MultiPolygon([(rings[0], rings[1:]) for rings in found.outlines[code]]) for code in (11, 12)]
    assert all(shape.is_valid for shape in shapes)
    assert shapely.area(shapely.intersection(*shapes)) < 1e-6, "neighbours keep one border"
    for code, shape in zip((11, 12), shapes, strict=True):
        own = shapely.Polygon(given_[code][0][0])
        assert shapely.hausdorff_distance(own, shape) * M_PER_DEGREE <= tolerance_m * 1.4  # degrees of latitude


def test_fewer_points_remain():
    ring = tuple(wavy(116.0, 7, 0.0005))
    found = simplify({11: ((ring,),)}, 200)
    assert len(found.outlines[11][0][0]) < len(ring) / 4


@pytest.mark.parametrize("tolerance_m", [0, -5, 1e6, math.nan])
def test_a_tolerance_without_sense_is_refused(tolerance_m: float):
    with pytest.raises(InvalidInput, match="--tolerance"):
        simplify({11: ((((39.0, 116.0), (39.0, 117.0), (40.0, 117.0)),),)}, tolerance_m)
