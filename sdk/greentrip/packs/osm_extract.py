"""What a rail network needs of an OpenStreetMap extract, read with osmium: a few thousand objects of millions.

Several passes over the file, each for one kind of object: relations first, then what they hold. So the order of the
file does not matter, and memory stays small.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from greentrip.errors import BadFile
from greentrip.packs.draft import Progress
from greentrip.packs.extra import needed
from greentrip.trip import Point

Tags = Mapping[str, str]

STATION_VALUES = ("station", "halt", "tram_stop", "subway_entrance", "train_station_entrance")
"""Of the tag railway: what is read wherever it lies, since not every entrance is a member of its station."""


@dataclass(frozen=True, slots=True)
class Node:
    id: int
    point: Point
    tags: Tags


@dataclass(frozen=True, slots=True)
class Way:
    """`nodes`: ids in order; some may lie outside the extract."""

    id: int
    nodes: tuple[int, ...]
    tags: Tags


@dataclass(frozen=True, slots=True)
class Member:
    """`kind`: n, w or r."""

    kind: str
    id: int
    role: str


@dataclass(frozen=True, slots=True)
class Relation:
    id: int
    members: tuple[Member, ...]
    tags: Tags


@dataclass(frozen=True, slots=True)
class Extract:
    """The relations that matter, and those of their members that the extract holds; and every entrance and station."""

    path: Path
    relations: Mapping[int, Relation]
    ways: Mapping[int, Way]
    nodes: Mapping[int, Node]


def read_extract(path: Path, wanted: Callable[[Tags], bool], progress: Progress) -> Extract:
    """Reads .osm, .osm.pbf or what else osmium knows by its name; `wanted(tags)` chooses the relations.

    Raises `BadFile` when osmium cannot read it, with the line where it is XML.
    """
    osmium = needed("osmium", "filter")
    if not path.is_file():
        raise BadFile(path, 0, "there is no such file", "文件不存在")
    try:
        progress(f"{path.name}: relations")
        relations = {found.id: found for found in _relations(osmium, path) if wanted(found.tags)}
        progress(f"{path.name}: ways")
        ways = {found.id: found for found in _ways(osmium, path, _members(relations, "w"))}
        progress(f"{path.name}: nodes")
        ids = _members(relations, "n") | {id for way in ways.values() for id in way.nodes}
        nodes = {found.id: found for found in _nodes(osmium, path, ids)}
    except (RuntimeError, ValueError) as why:
        raise _unreadable(path, why) from why
    return Extract(path, relations, ways, nodes)


def _members(relations: Mapping[int, Relation], kind: str) -> set[int]:
    return {member.id for relation in relations.values() for member in relation.members if member.kind == kind}


def _relations(osmium: ModuleType, path: Path) -> Iterator[Relation]:
    for found in osmium.FileProcessor(path, osmium.osm.RELATION).with_filter(osmium.filter.KeyFilter("type")):
        members = tuple(Member(member.type, member.ref, member.role) for member in found.members)
        yield Relation(found.id, members, _tags(found.tags))


def _ways(osmium: ModuleType, path: Path, ids: set[int]) -> Iterator[Way]:
    for found in osmium.FileProcessor(path, osmium.osm.WAY).with_filter(osmium.filter.IdFilter(ids)):
        yield Way(found.id, tuple(node.ref for node in found.nodes), _tags(found.tags))


def _nodes(osmium: ModuleType, path: Path, ids: set[int]) -> Iterator[Node]:
    """The nodes with these ids, and all that are a station or an entrance."""
    stations = osmium.filter.TagFilter(*(("railway", value) for value in STATION_VALUES))
    for chosen in (osmium.filter.IdFilter(ids), stations):
        for found in osmium.FileProcessor(path, osmium.osm.NODE).with_filter(chosen):
            if found.location.valid():
                yield Node(found.id, Point(found.location.lat, found.location.lon), _tags(found.tags))


def _tags(tags: Iterable[Any]) -> Tags:
    return {tag.k: tag.v for tag in tags}


def _unreadable(path: Path, why: Exception) -> BadFile:
    """osmium tells the line of broken XML in its sentence."""
    line = re.search(r"line (\d+)", str(why))
    return BadFile(
        path,
        int(line[1]) if line else 0,
        f"osmium cannot read it ({why}): give a whole .osm or .osm.pbf file",
        f"osmium 无法读取（{why}）：请提供完整的 .osm 或 .osm.pbf 文件",
    )
