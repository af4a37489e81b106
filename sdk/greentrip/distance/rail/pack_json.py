"""The inside of a region pack: JSON rows there and back, and what no pack may hold. See docs/reference/pack.md.

Positions are whole micro-degrees. A row may have more cells at its end than this version knows; it leaves them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

from greentrip.distance.rail.pack_model import Pack, PackChange, PackEdge, PackLine, PackStation, Ring, Source
from greentrip.errors import InvalidInput
from greentrip.trip import Point

MICRO = 1_000_000
LINES_MAX = 1000
STATIONS_MAX = 20_000
EDGES_MAX = 50_000
CHANGES_MAX = 20_000
SOURCES_MAX = 100
ENTRANCES_MAX = 100
"""Of one station; Beijing's largest has 21."""
ALIASES_MAX = 50
OUTLINE_POINTS_MAX = 200_000
"""Of all outlines together: more than a phone should look through for one point."""
TEXT_CHARS_MAX = 200
EDGE_M_MAX = 500_000
EDGE_S_MAX = 6 * 3600
CHANGE_MINUTES_MAX = 60
PROVINCES = range(11, 100)
"""Codes of GB/T 2260, first two digits."""


def encode(pack: Pack) -> bytes:
    """The JSON text: the same pack gives the same bytes."""
    content = {
        "title": pack.title,
        "region": pack.region,
        "made": pack.made.isoformat(),
        "sources": [[s.name, s.licence, s.address] for s in pack.sources],
        "lines": [[line.name, line.en, int(line.ring)] for line in pack.lines],
        "stations": [_station_row(station) for station in pack.stations],
        "edges": [[e.line, e.start, e.end, e.metres, int(e.one_way), e.seconds] for e in pack.edges],
        "changes": [[c.station, c.from_line, c.to_line, c.minutes] for c in pack.changes],
        "outlines": {
            str(code): [[_flat(ring) for ring in polygon] for polygon in polygons]
            for code, polygons in sorted(pack.outlines.items())
        },
    }
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def decode(raw: bytes) -> Pack:
    """The pack in the JSON text, checked no further than needed to build it: `check` does the rest.

    Raises ValueError, TypeError, IndexError, KeyError or `InvalidInput` where it is no pack's.
    """
    content = json.loads(raw, parse_constant=_refuse)
    return Pack(
        title=content["title"],
        region=content["region"],
        made=date.fromisoformat(content["made"]),
        sources=tuple(Source(*row[:3]) for row in content["sources"]),
        lines=tuple(PackLine(row[0], row[1], bool(row[2])) for row in content["lines"]),
        stations=tuple(_station(row) for row in content["stations"]),
        edges=tuple(PackEdge(row[0], row[1], row[2], row[3], bool(row[4]), row[5]) for row in content["edges"]),
        changes=tuple(PackChange(*row[:4]) for row in content["changes"]),
        outlines={
            int(code): tuple(tuple(_ring(flat) for flat in polygon) for polygon in polygons)
            for code, polygons in content["outlines"].items()
        },
    )


def check(pack: Pack) -> None:
    """Raises `InvalidInput` with the field that holds what no pack may."""
    _check_texts(pack)
    for field, rows, most in (
        ("lines", pack.lines, LINES_MAX),
        ("stations", pack.stations, STATIONS_MAX),
        ("edges", pack.edges, EDGES_MAX),
        ("changes", pack.changes, CHANGES_MAX),
        ("sources", pack.sources, SOURCES_MAX),
    ):
        _need(len(rows) <= most, field, f"more than {most}", f"超过 {most} 项")
    _need(bool(pack.edges), "edges", "there are none", "没有任何区间")
    _check_unique("lines", (line.name for line in pack.lines))
    _check_unique("stations", (station.name for station in pack.stations))
    for station in pack.stations:
        many = len(station.entrances) > ENTRANCES_MAX or len(station.aliases) > ALIASES_MAX
        en, zh = f"{station.name} has too many entrances or aliases", f"{station.name}的出入口或别名过多"
        _need(not many, "stations", en, zh)
    _check_edges(pack)
    _check_changes(pack)
    _check_outlines(pack)


def _check_texts(pack: Pack) -> None:
    texts: list[tuple[str, object]] = [("title", pack.title), ("region", pack.region)]
    for source in pack.sources:
        texts += [("sources", source.name), ("sources", source.licence), ("sources", source.address or "-")]
    for line in pack.lines:
        texts += [("lines", line.name), ("lines", line.en or "-")]
    for station in pack.stations:
        names = (station.name, station.en or "-", station.pinyin or "-", *station.aliases)
        texts += [("stations", name) for name in names]
    for field, text in texts:
        right = isinstance(text, str) and 0 < len(text) <= TEXT_CHARS_MAX and text == text.strip()
        _need(right, field, f"{text!r} is no text of 1 to {TEXT_CHARS_MAX} characters", f"{text!r} 不是有效文本")


def _check_unique(field: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        _need(name not in seen, field, f"{name} stands twice", f"“{name}”重复")
        seen.add(name)


def _check_edges(pack: Pack) -> None:
    ridden: set[tuple[int, int, int]] = set()
    for edge in pack.edges:
        _need(_is_index(edge.line, pack.lines), "edges", f"no line {edge.line!r}", f"没有线路 {edge.line!r}")
        for end in (edge.start, edge.end):
            _need(_is_index(end, pack.stations), "edges", f"no station {end!r}", f"没有车站 {end!r}")
        where = f"{pack.lines[edge.line].name} {pack.stations[edge.start].name} - {pack.stations[edge.end].name}"
        _need(edge.start != edge.end, "edges", f"{where} goes nowhere", f"{where} 两端相同")
        right = _is_whole(edge.metres, 1, EDGE_M_MAX)
        _need(right, "edges", f"{where}: {edge.metres!r} m", f"{where}：长度 {edge.metres!r} 米有误")
        right = edge.seconds is None or _is_whole(edge.seconds, 1, EDGE_S_MAX)
        _need(right, "edges", f"{where}: {edge.seconds!r} s", f"{where}：{edge.seconds!r} 秒有误")
        ways = {(edge.line, edge.start, edge.end)}
        if not edge.one_way:
            ways.add((edge.line, edge.end, edge.start))
        _need(not ways & ridden, "edges", f"{where} stands twice", f"{where} 重复")
        ridden |= ways


def _check_changes(pack: Pack) -> None:
    served = {(edge.line, end) for edge in pack.edges for end in (edge.start, edge.end)}
    seen: set[tuple[int, int, int]] = set()
    for change in pack.changes:
        key = (change.station, change.from_line, change.to_line)
        both = {(change.from_line, change.station), (change.to_line, change.station)}
        right = len(both) == 2 and both <= served and key not in seen
        en, zh = f"{key} joins no two lines of a station, or stands twice", f"{key} 不是站内两条线路的换乘，或重复"
        _need(right, "changes", en, zh)
        minutes: object = change.minutes
        right = type(minutes) in (int, float) and 0 <= change.minutes <= CHANGE_MINUTES_MAX
        _need(right, "changes", f"{minutes!r} is not within 0..{CHANGE_MINUTES_MAX} minutes", f"{minutes!r} 分钟有误")
        seen.add(key)


def _check_outlines(pack: Pack) -> None:
    points = 0
    for code, polygons in pack.outlines.items():
        _need(code in PROVINCES, "outlines", f"no province {code!r}", f"没有省级代码 {code!r}")
        for ring in (ring for polygon in polygons for ring in polygon):
            points += len(ring)
            right = len(ring) >= 3 and all(abs(lat) <= 90 and abs(lon) <= 180 for lat, lon in ring)
            _need(right, "outlines", f"a ring of {code} is none", f"{code} 的边界环有误")
    few = points <= OUTLINE_POINTS_MAX
    _need(few, "outlines", f"more than {OUTLINE_POINTS_MAX} points: simplify them", "边界点过多：请简化")


def _need(right: bool, field: str, en: str, zh: str) -> None:
    if not right:
        raise InvalidInput(field, en, zh)


def _is_index(value: object, of: Sequence[object]) -> bool:
    return _is_whole(value, 0, len(of) - 1)


def _is_whole(value: object, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def _station_row(station: PackStation) -> list[object]:
    place = _flat([(station.point.lat, station.point.lon)]) if station.point else []
    entrances = _flat([(point.lat, point.lon) for point in station.entrances])
    return [station.name, station.en, station.pinyin, list(station.aliases), place, int(station.closed), entrances]


def _station(row: list[Any]) -> PackStation:
    name, en, pinyin, aliases, place, closed, entrances = row[:7]
    point = Point(*_ring(place)[0]) if place else None
    doors = tuple(Point(lat, lon) for lat, lon in _ring(entrances))
    return PackStation(name, en, pinyin, tuple(aliases), point, bool(closed), doors)


def _flat(ring: Sequence[tuple[float, float]]) -> list[int]:
    """Latitude, longitude, latitude... in micro-degrees."""
    return [round(degrees * MICRO) for place in ring for degrees in place]


def _ring(flat: Sequence[int]) -> Ring:
    degrees = [number / MICRO for number in flat]
    return tuple(zip(degrees[::2], degrees[1::2], strict=True))


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no number")
