"""Outlines of provinces: read from GeoJSON, and made coarse enough for a phone."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from greentrip.distance.rail.pack import Polygon, Ring
from greentrip.errors import BadFile, InvalidInput
from greentrip.packs.extra import needed
from greentrip.packs.plane import M_PER_DEGREE
from greentrip.packs.provinces import code_of

if TYPE_CHECKING:
    from shapely import LinearRing
    from shapely.geometry.base import BaseGeometry

Outlines = Mapping[int, tuple[Polygon, ...]]

TOLERANCE_M = 100
"""How far a simplified outline may lie from the surveyed one: a tenth of a kilometre, as much as a position at the
border of a phone in a town is off in bad cases."""
TOLERANCE_M_MIN, TOLERANCE_M_MAX = 1, 5000
FIRST_ATTEMPT, NEXT_ATTEMPT, ATTEMPTS_MAX = 2.0, 0.75, 20
"""Of the tolerance, the side of the square whose area GEOS may cut off: at most, then by so much less each time."""
FILE_BYTES_MAX = 500_000_000
DIGITS = 5
ROUNDED_M = 1
"""Outlines are kept to 1e-5 degrees, which moves a corner by less than 0.8 m and takes a sixth less room."""


def read_geojson(path: Path) -> Outlines:
    """The provinces of a GeoJSON file in WGS-84 (RFC 7946): features with a code or a name, see `code_of`.

    Several features of one province, such as its districts, are joined. Raises `BadFile`.
    """
    found: dict[int, list[BaseGeometry]] = {}
    for number, feature in enumerate(_features(path), start=1):
        properties = feature.get("properties")
        code = code_of(properties) if isinstance(properties, dict) else None
        if code is not None:
            found.setdefault(code, []).append(_geometry(path, number, feature))
    if not found:
        raise BadFile(
            path,
            0,
            "no feature names a province by code (GB/T 2260) or name",
            "没有要素以行政区划代码（GB/T 2260）或名称注明省份",
        )
    return {code: rings_of(needed("shapely").union_all(shapes)) for code, shapes in found.items()}


def _geometry(path: Path, number: int, feature: Mapping[str, object]) -> BaseGeometry:
    """The area of one feature, which must lie on the earth."""
    shapely = needed("shapely")
    try:
        shape = shapely.make_valid(shapely.from_geojson(json.dumps(feature.get("geometry"))))
        west, south, east, north = shape.bounds
    except shapely.errors.GEOSException as why:
        en = f"feature {number} has no valid geometry ({why})"
        raise BadFile(path, 0, en, f"第 {number} 个要素的几何无效（{why}）") from why
    if not (shape.area > 0 and -180 <= west <= east <= 180 and -90 <= south <= north <= 90):
        en = f"feature {number} is no area in degrees of longitude and latitude (WGS-84)"
        raise BadFile(path, 0, en, f"第 {number} 个要素不是以经纬度（WGS-84）表示的面")
    return shape


def _features(path: Path) -> list[dict[str, Any]]:
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise BadFile(path, 0, f"larger than {FILE_BYTES_MAX} bytes", f"文件超过 {FILE_BYTES_MAX} 字节")
        value = json.loads(path.read_bytes())
    except OSError as why:
        raise BadFile(path, 0, f"cannot be read: {why.strerror}", f"无法读取：{why.strerror}") from why
    except json.JSONDecodeError as why:
        raise BadFile(path, why.lineno, f"broken JSON: {why.msg}", f"JSON 格式有误：{why.msg}") from why
    except (UnicodeDecodeError, RecursionError) as why:
        raise BadFile(path, 0, "not UTF-8 JSON", "不是 UTF-8 编码的 JSON") from why
    features = value.get("features") if isinstance(value, dict) else None
    if not isinstance(features, list) or not all(isinstance(feature, dict) for feature in features):
        raise BadFile(path, 0, "not a GeoJSON FeatureCollection", "不是 GeoJSON FeatureCollection")
    return features


@dataclass(frozen=True, slots=True)
class Simplified:
    """Coarser outlines, and how far they lie from the ones they were made of at the worst place."""

    outlines: Outlines
    error_m: float


def simplify(outlines: Outlines, tolerance_m: float = TOLERANCE_M) -> Simplified:
    """Fewer points, nowhere further than `tolerance_m` from the given outlines; neighbours keep one common border.

    GEOS simplifies by the area that is cut off; that is made smaller until the distance is within the tolerance.
    Raises `InvalidInput` for a tolerance outside TOLERANCE_M_MIN..TOLERANCE_M_MAX.
    """
    if not TOLERANCE_M_MIN <= tolerance_m <= TOLERANCE_M_MAX:
        limits = f"{TOLERANCE_M_MIN}..{TOLERANCE_M_MAX}"
        raise InvalidInput("--tolerance", f"not within {limits} m", f"不在 {limits} 米之内")
    if not outlines:
        return Simplified({}, 0.0)
    shapely = needed("shapely")
    shrink = math.cos(math.radians(_middle_lat(outlines)))
    shapes = [_shape(shapely, polygons, shrink) for polygons in outlines.values()]
    for attempt in range(ATTEMPTS_MAX):
        simpler = shapely.coverage_simplify(shapes, FIRST_ATTEMPT * NEXT_ATTEMPT**attempt * tolerance_m)
        error_m = max(_furthest_m(shapely, *pair) for pair in zip(shapes, simpler, strict=True))
        if error_m + ROUNDED_M <= tolerance_m:
            break
    else:
        simpler, error_m = shapes, 0.0
    plain = (_to_degrees(shapely, shape, shrink) for shape in simpler)
    return Simplified({code: rings_of(shape) for code, shape in zip(outlines, plain, strict=True)}, error_m + ROUNDED_M)


def _furthest_m(shapely: ModuleType, shape: BaseGeometry, simpler: BaseGeometry) -> float:
    """How far a corner of a shape lies from the border of a simpler one: that is where two borders differ most."""
    rings = shapely.get_rings(shapely.get_parts(simpler))
    pieces = [shapely.LineString(ends) for ring in rings for ends in pairwise(ring.coords)]
    corners = shapely.points(shapely.get_coordinates(shape))
    _, metres = shapely.STRtree(pieces).query_nearest(corners, return_distance=True, all_matches=False)
    return float(metres.max())


def _middle_lat(outlines: Outlines) -> float:
    lats = [lat for polygons in outlines.values() for rings in polygons for ring in rings for lat, _ in ring]
    return (min(lats) + max(lats)) / 2


def _shape(shapely: ModuleType, polygons: Iterable[Polygon], shrink: float) -> BaseGeometry:
    """Polygons on a plane in metres, east and north."""
    east, north = shrink * M_PER_DEGREE, M_PER_DEGREE
    flat = [[[(lon * east, lat * north) for lat, lon in ring] for ring in rings] for rings in polygons]
    return shapely.MultiPolygon([(rings[0], rings[1:]) for rings in flat])


def _to_degrees(shapely: ModuleType, shape: BaseGeometry, shrink: float) -> BaseGeometry:
    return shapely.transform(shape, lambda xy: xy / (shrink * M_PER_DEGREE, M_PER_DEGREE))


def rings_of(shape: BaseGeometry) -> tuple[Polygon, ...]:
    """The polygons of a shapely geometry in degrees, largest first; whatever else it holds has no area."""
    polygons = [part for part in getattr(shape, "geoms", [shape]) if part.geom_type == "Polygon" and part.area > 0]
    polygons.sort(key=lambda polygon: (-polygon.area, polygon.bounds))
    return tuple((_ring(polygon.exterior), *map(_ring, polygon.interiors)) for polygon in polygons)


def _ring(ring: LinearRing) -> Ring:
    return tuple((round(lat, DIGITS), round(lon, DIGITS)) for lon, lat, *_ in ring.coords[:-1])
