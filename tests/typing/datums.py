"""Datums cannot be mixed up. Not run: mypy proves the types (tests/sdk/test_public_api.py)."""

from typing import assert_type

from greentrip import Bd09Point, Datum, Fix, Gcj02Point, GreenTrip, Network, Place, Point, to_bd09, to_gcj02, to_wgs84


def convert(point: Point, amap: Gcj02Point, baidu: Bd09Point) -> None:
    assert_type(to_wgs84(amap), Point)
    assert_type(to_wgs84(baidu), Point)
    assert_type(to_gcj02(point), Gcj02Point)
    assert_type(to_gcj02(baidu), Gcj02Point)
    assert_type(to_bd09(point), Bd09Point)
    assert_type(amap.datum, Datum)


def record(green: GreenTrip, amap: Gcj02Point, baidu: Bd09Point) -> None:
    """The recorder takes any datum and keeps WGS-84."""
    green.start("walk", amap)
    green.fix(baidu, accuracy_m=5)
    green.switch("bus", baidu)
    green.finish(amap)


def mistakes(network: Network, amap: Gcj02Point, baidu: Bd09Point) -> None:
    """Each of these must be refused by a type checker: an ignore that is not needed is an error."""
    network.nearest(amap)  # type: ignore[arg-type]
    Fix(baidu, 0.0)  # type: ignore[arg-type]
    place: Place = amap  # type: ignore[assignment]
    point: Point = baidu  # type: ignore[assignment]
    amap = to_wgs84(amap)  # type: ignore[assignment]
    baidu = amap  # type: ignore[assignment]
    print(place, point, baidu)
