"""What a region pack holds: frozen rows without behaviour. See docs/reference/pack.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from greentrip.trip import Point

Ring = tuple[tuple[float, float], ...]
"""Latitude and longitude in degrees (WGS-84) of the corners; the last is joined to the first."""
Polygon = tuple[Ring, ...]
"""The outer ring, then the holes."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where data are from, and under which licence they may be passed on."""

    name: str
    licence: str
    address: str = ""


@dataclass(frozen=True, slots=True)
class PackLine:
    """`name` as riders say it in Chinese; `ring`: the line comes back to where it began."""

    name: str
    en: str = ""
    ring: bool = False


@dataclass(frozen=True, slots=True)
class PackStation:
    """An interchange is one station: whatever lines have an edge at it.

    `name` is the only one of its kind in the pack. Where two stations are called alike it ends in a line in brackets:
    木樨地(1号线), 木樨地(16号线). `closed`: trains pass through, nobody gets on, off or over. `point` None: unknown.
    """

    name: str
    en: str = ""
    pinyin: str = ""
    aliases: tuple[str, ...] = ()
    point: Point | None = None
    closed: bool = False
    entrances: tuple[Point, ...] = ()


@dataclass(frozen=True, slots=True)
class PackEdge:
    """Track of one line from a station to the next. `line`, `start` and `end` are places in the pack's tuples.

    `one_way`: ridden from start to end only. `seconds`: from departure to departure, where known.
    """

    line: int
    start: int
    end: int
    metres: int
    one_way: bool = False
    seconds: int | None = None


@dataclass(frozen=True, slots=True)
class PackChange:
    """How long it takes from one line's platform to another's within a station, without the wait for the train."""

    station: int
    from_line: int
    to_line: int
    minutes: float


@dataclass(frozen=True, slots=True)
class Pack:
    """A region. The place of a line or a station in its tuple is its number in `edges` and `changes`.

    `outlines`: GB/T 2260 code of a province -> its polygons (exclaves are further polygons, enclaves are holes).
    """

    title: str
    region: str
    made: date
    sources: tuple[Source, ...]
    lines: tuple[PackLine, ...]
    stations: tuple[PackStation, ...]
    edges: tuple[PackEdge, ...]
    changes: tuple[PackChange, ...] = ()
    outlines: Mapping[int, tuple[Polygon, ...]] = field(default_factory=dict)
