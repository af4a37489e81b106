"""What a reader finds in its source, before equal names are joined into stations and rides into edges.

Every reader (`csv_folder`, `gtfs`, `osm`) gives a `Draft`; `assemble` makes the pack of it. So all decisions that
do not depend on the source's format are taken once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from greentrip.distance.rail.pack import Polygon, Source
from greentrip.trip import Point

Progress = Callable[[str], None]
"""Told what is being read: whatever takes longer than half a second says so."""

UNSTATED = "licence not stated"
"""The licence of a source that does not tell it, until the person who builds the pack does."""

Note = tuple[str, str]
"""What was left out or guessed, in English and Chinese."""


@dataclass(frozen=True, slots=True)
class Names:
    """What a station or a line is called. Empty where the source does not say."""

    zh: str
    en: str = ""
    pinyin: str = ""
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stop:
    """A station as the source has it: often one for each line, or for each platform.

    Equal names are joined to one station when they are near each other; `apart` says that this one is not, because no
    passage joins it to the others of its name.
    """

    id: str
    names: Names
    point: Point | None
    closed: bool = False
    apart: bool = False
    entrances: tuple[Point, ...] = ()


@dataclass(frozen=True, slots=True)
class Ride:
    """A train goes from one stop to the next. `metres` along the track; seconds None when not known."""

    line: str
    start: str
    end: str
    metres: int
    seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Walk:
    """A change from a line at one stop to a line at another (or the same)."""

    start: str
    from_line: str
    end: str
    to_line: str
    minutes: float


@dataclass(frozen=True, slots=True)
class Draft:
    """All that a source says about a region's rails.

    `lines`: id -> names. `directions_given`: the source says which edges are one-way, so that a line ridden in one
    direction only is meant so; otherwise its other direction is taken to be missing. `outlines`: as in a pack, not
    simplified yet.
    """

    lines: Mapping[str, Names]
    stops: Mapping[str, Stop]
    rides: tuple[Ride, ...]
    walks: tuple[Walk, ...] = ()
    directions_given: bool = False
    outlines: Mapping[int, tuple[Polygon, ...]] = field(default_factory=dict)
    sources: tuple[Source, ...] = ()
    notes: tuple[Note, ...] = ()
