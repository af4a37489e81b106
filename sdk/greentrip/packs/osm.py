"""Reads the rails of an OpenStreetMap extract: route relations, their stations, and metres along the track."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from greentrip.distance.rail.pack import Source
from greentrip.distance.sphere import great_circle_m
from greentrip.errors import BadFile
from greentrip.packs.draft import Draft, Names, Note, Progress, Ride
from greentrip.packs.osm_extract import Extract, Member, Node, Relation, Tags, Way, read_extract
from greentrip.packs.osm_lines import lines_of, route_name
from greentrip.packs.osm_outlines import is_province, outlines_of
from greentrip.packs.osm_stops import Stations, is_open, with_loose_entrances
from greentrip.packs.osm_tracks import Tracks

KINDS = frozenset({"subway", "light_rail", "tram", "monorail"})
"""What counts as urban rail. Long-distance trains (route=train) are not in the standard's mode."""
DETOUR_MAX = 3.0
DETOUR_SLACK_M = 500
"""A track between two stops is at most this many times the straight line plus this: else a piece of it is missing.
The longest known is the loop of Beijing's airport line, with 2.1 times."""
SOURCE = Source("© OpenStreetMap contributors", "ODbL-1.0", "https://www.openstreetmap.org/copyright")


def read_osm(path: Path, day: date, progress: Progress) -> Draft:
    """The rails and the province outlines of an extract, as they are on `day`.

    Raises `BadFile` when it cannot be read or holds no rail route.
    """
    extract = read_extract(path, _wanted, progress)
    routes = [relation for relation in extract.relations.values() if _is_route(relation.tags)]
    running = sorted((route for route in routes if _runs(route.tags, day)), key=lambda route: route.id)
    if not running:
        raise BadFile(
            path,
            0,
            f"holds no rail route in service (relations with type=route and route={'|'.join(sorted(KINDS))})",
            "文件中没有运营中的轨道交通线路（type=route 的关系）",
        )
    notes = [_not_running(route) for route in routes if route not in running]
    lines = lines_of(extract, running)
    stations = Stations(extract, day)
    rides: list[Ride] = []
    for route in running:
        progress(f"{path.name}: {route_name(route)}")
        rides += _rides(extract, route, lines[route.id].zh, stations, notes)
    outlines, broken = outlines_of(extract)
    named: dict[str, Names] = {names.zh: names for names in lines.values()}
    return Draft(
        lines=named,
        stops=with_loose_entrances(stations.found, extract),
        rides=tuple(rides),
        outlines=outlines,
        sources=(SOURCE,),
        notes=(*notes, *broken),
    )


def _wanted(tags: Tags) -> bool:
    """Whether a relation matters for a pack."""
    kind = tags.get("type")
    if kind == "public_transport":
        return tags.get("public_transport") == "stop_area"
    return _is_route(tags) or (kind == "route_master" and tags.get("route_master") in KINDS) or is_province(tags)


def _is_route(tags: Tags) -> bool:
    return tags.get("type") == "route" and tags.get("route") in KINDS


def _runs(tags: Tags, day: date) -> bool:
    return is_open(tags, day) and tags.get("state") not in ("proposed", "construction")


def _not_running(route: Relation) -> Note:
    name = route_name(route)
    return f"{name} is left out: it is not in service", f"{name} 未运营，已略去"


class _Call(NamedTuple):
    """A train calls at a station: where it stands there, and which it is."""

    place: Node
    stop: str


def _rides(extract: Extract, route: Relation, line: str, stations: Stations, notes: list[Note]) -> Iterator[Ride]:
    """The rides of one route, from each station to the next, and round when it is a ring."""
    runs = list(_runs_of_calls(extract, route, stations))
    calls = [call for run in runs for call in run]
    tracks = Tracks(extract, _ways(extract, route), [call.place for call in calls])
    broken: list[str] = []
    for run in runs:
        for start, end in pairwise(run):
            if start.stop == end.stop:
                continue
            straight_m = great_circle_m(start.place.point, end.place.point)
            metres = tracks.metres(start.place.id, end.place.id)
            if metres is None or metres > DETOUR_MAX * straight_m + DETOUR_SLACK_M:
                broken.append("{}-{}".format(*(stations.found[call.stop].names.zh for call in (start, end))))
                metres = straight_m
            yield Ride(line, start.stop, end.stop, max(1, round(metres)))
    if len(runs) == 1 and (closing := _closing(route, calls, tracks)):
        yield replace(closing, line=line)
    if broken:
        where = ", ".join(broken)
        name = route_name(route)
        en = f"{name}: the track is broken apart between {where}; the straight line counts there"
        notes.append((en, f"{name}：{where} 之间的轨道不连续，按直线距离计"))
    if len(runs) > 1:
        name = route_name(route)
        notes.append((f"{name}: stops lie outside the extract", f"{name}：部分车站不在数据范围内"))


def _runs_of_calls(extract: Extract, route: Relation, stations: Stations) -> Iterator[list[_Call]]:
    """The route's stops in order; a stop that lies outside the extract ends one run and begins the next.

    Platforms stand for stops where a route names none. Of old routes that hold both directions, only the one forward
    is read.
    """
    members = [m for m in route.members if _is_stop(extract, m)] or [m for m in route.members if "platform" in m.role]
    run: list[_Call] = []
    for member in members:
        place = _place(extract, member)
        if place is None:
            if run:
                yield run
            run = []
        elif stop := stations.of(member, place):
            run.append(_Call(place, stop.id))
    if run:
        yield run


def _is_stop(extract: Extract, member: Member) -> bool:
    if member.kind != "n" or "platform" in member.role or "backward" in member.role:
        return False
    node = extract.nodes.get(member.id)
    return "stop" in member.role or (node is not None and bool(node.tags.keys() & {"railway", "public_transport"}))


def _place(extract: Extract, member: Member) -> Node | None:
    """Where a member lies; a platform's way by its middle node."""
    if member.kind == "n":
        return extract.nodes.get(member.id)
    way = extract.ways.get(member.id) if member.kind == "w" else None
    return extract.nodes.get(way.nodes[len(way.nodes) // 2]) if way and way.nodes else None


def _ways(extract: Extract, route: Relation) -> Iterable[Way]:
    """The track of a route: its ways that are no platforms."""
    found = (extract.ways.get(m.id) for m in route.members if m.kind == "w" and "platform" not in m.role)
    return [
        way for way in found if way and "platform" not in (way.tags.get("railway"), way.tags.get("public_transport"))
    ]


def _closing(route: Relation, calls: list[_Call], tracks: Tracks) -> Ride | None:
    """The ride from the last stop to the first of a ring whose relation names its first stop only once."""
    tags = route.tags
    says_ring = tags.get("roundtrip") == "yes" or (tags.get("from") and tags.get("from") == tags.get("to"))
    if not says_ring or len(calls) < 3 or calls[0].stop == calls[-1].stop:
        return None
    metres = tracks.metres(calls[-1].place.id, calls[0].place.id)
    return Ride("", calls[-1].stop, calls[0].stop, max(1, round(metres))) if metres else None
