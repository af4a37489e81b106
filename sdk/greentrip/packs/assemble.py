"""Makes a region pack of a draft: the decisions that are the same for every source."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import date
from statistics import median

from greentrip.distance.rail.pack import Pack, PackChange, PackEdge, PackLine, Polygon, Source
from greentrip.errors import InvalidInput
from greentrip.packs.draft import UNSTATED, Draft, Names, Note, Stop
from greentrip.packs.edges import (
    Edge,
    both_ways,
    directed_of,
    edges_of,
    is_one_direction,
    is_ring,
    neighbours,
    pieces_of,
    without_expresses,
)
from greentrip.packs.names import complete_line
from greentrip.packs.outline import TOLERANCE_M, simplify
from greentrip.packs.stations import Joined, join_stops


@dataclass(frozen=True, slots=True)
class Choices:
    """What the person who builds a pack says about it.

    `apart`: names whose stations are no interchange although they are near each other. `closed`: names of stations
    that trains pass, beside those that the source says. `provinces`: the only outlines to keep, all when empty.
    `sources`: when given, they stand for those that do not tell their licence.
    """

    title: str
    region: str
    made: date
    sources: tuple[Source, ...] = ()
    apart: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    provinces: tuple[int, ...] = ()
    tolerance_m: float = TOLERANCE_M


def assemble(draft: Draft, choices: Choices) -> tuple[Pack, tuple[Note, ...]]:
    """The pack, and what was left out or guessed on the way.

    Raises `InvalidInput` when a name that was chosen is no station's, or a province has no outline.
    """
    draft = replace(draft, stops=_stops(draft, choices))
    lines = {id: complete_line(names) for id, names in draft.lines.items()}
    joined = join_stops(draft, lines)
    notes = list(draft.notes)
    edges = {id: found for id in lines if (found := _edges(draft, id, lines[id].zh, joined, notes))}
    numbers = {id: at for at, id in enumerate(edges)}
    outlines = simplify(_chosen(draft, choices.provinces), choices.tolerance_m)
    if outlines.outlines:
        furthest = round(outlines.error_m)
        notes.append((f"outlines simplified, at most {furthest} m off", f"边界已简化，偏差不超过 {furthest} 米"))
    pack = Pack(
        title=choices.title,
        region=choices.region,
        made=choices.made,
        sources=_sources(draft, choices, notes),
        lines=tuple(_line(lines[id], found) for id, found in edges.items()),
        stations=joined.stations,
        edges=tuple(_edge(numbers[id], edge) for id, found in edges.items() for edge in found),
        changes=_changes(draft, joined, numbers, edges),
        outlines=outlines.outlines,
    )
    return pack, tuple(notes)


def _stops(draft: Draft, choices: Choices) -> dict[str, Stop]:
    """The stops as the person says that they are."""
    known = {stop.names.zh for stop in draft.stops.values()}
    for option, names in (("--apart", choices.apart), ("--closed", choices.closed)):
        for name in (name for name in names if name not in known):
            raise InvalidInput(option, f"no station is called {name}", f"没有名为“{name}”的车站")
    return {
        id: replace(
            stop,
            apart=stop.apart or stop.names.zh in choices.apart,
            closed=stop.closed or stop.names.zh in choices.closed,
        )
        for id, stop in draft.stops.items()
    }


def _edges(draft: Draft, line: str, name: str, joined: Joined, notes: list[Note]) -> list[Edge]:
    """The edges of one line; what is odd about it goes into `notes`."""
    directed = directed_of((ride for ride in draft.rides if ride.line == line), joined.place_of)
    if not draft.directions_given:
        if is_one_direction(directed):
            notes.append((f"{name}: one direction is missing: ridden both ways", f"{name}：缺少一个方向，按双向计"))
            directed = both_ways(directed)
        directed = without_expresses(directed)
    edges = edges_of(directed)
    if not edges:
        notes.append((f"{name} is left out: it joins no two stations", f"{name} 没有区间，已略去"))
    if len(pieces := pieces_of(neighbours(edges))) > 1:
        firsts = [joined.stations[min(piece)].name for piece in pieces]
        en = f"{name} is broken apart: no track joins {', '.join(firsts)}"
        notes.append((en, f"{name} 不连通：{'、'.join(firsts)} 之间没有轨道"))
    return edges


def _sources(draft: Draft, choices: Choices, notes: list[Note]) -> tuple[Source, ...]:
    """Where all is from; a note when nobody has said under which licence."""
    known = [source for source in draft.sources if source.licence != UNSTATED or not choices.sources]
    if any(source.licence == UNSTATED for source in known):
        en = "a licence is not stated: pass --source 'name|licence|address' before you give the pack to others"
        notes.append((en, "来源许可不明：对外提供前请用 --source '名称|许可|网址' 注明"))
    return tuple(dict.fromkeys((*known, *choices.sources)))


def _line(names: Names, edges: list[Edge]) -> PackLine:
    return PackLine(names.zh, names.en, is_ring(neighbours(edges)))


def _edge(line: int, edge: Edge) -> PackEdge:
    return PackEdge(line, edge.start, edge.end, edge.length.metres, edge.one_way, edge.length.seconds)


def _changes(
    draft: Draft, joined: Joined, numbers: Mapping[str, int], edges: Mapping[str, list[Edge]]
) -> tuple[PackChange, ...]:
    """The median minutes of each change within a station, between two lines that serve it."""
    served = {line: neighbours(found).keys() for line, found in edges.items()}
    minutes: dict[tuple[int, int, int], list[float]] = defaultdict(list)
    for walk in draft.walks:
        start, end = joined.place_of.get(walk.start), joined.place_of.get(walk.end)
        is_change = start is not None and start == end and walk.from_line != walk.to_line
        if is_change and all(start in served.get(line, ()) for line in (walk.from_line, walk.to_line)):
            minutes[start or 0, numbers[walk.from_line], numbers[walk.to_line]].append(walk.minutes)
    return tuple(PackChange(*key, round(median(found), 1)) for key, found in sorted(minutes.items()))


def _chosen(draft: Draft, provinces: Collection[int]) -> Mapping[int, tuple[Polygon, ...]]:
    for code in provinces:
        if code not in draft.outlines:
            raise InvalidInput("--provinces", f"there is no outline of {code}", f"没有 {code} 的边界")
    return {code: found for code, found in sorted(draft.outlines.items()) if not provinces or code in provinces}
