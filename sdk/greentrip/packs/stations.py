"""Joins the stops of a draft to stations: equal names near each other are one interchange."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from greentrip.distance.rail.csv_folder import INTERCHANGE_M_MAX
from greentrip.distance.rail.names import bare
from greentrip.distance.rail.pack import PackStation
from greentrip.distance.sphere import great_circle_m
from greentrip.packs.draft import Draft, Names, Stop
from greentrip.packs.names import complete_station
from greentrip.trip import Point


@dataclass(frozen=True, slots=True)
class Joined:
    """The stations, and the place in `stations` of each stop of the draft."""

    stations: tuple[PackStation, ...]
    place_of: Mapping[str, int]


def join_stops(draft: Draft, line_names: Mapping[str, Names]) -> Joined:
    """Stations in the order of their first stops. A stop that no train calls at is left out.

    An interchange has one name, stops at most INTERCHANGE_M_MAX from one to the next, and none of them `apart`. One
    that is closed is no part of one that is open. Names that remain for several stations end in their lines.
    """
    lines = _lines_of(draft)
    groups: dict[tuple[str, bool], list[Stop]] = defaultdict(list)
    for stop in draft.stops.values():
        if stop.id in lines:
            groups[stop.names.zh, stop.closed].append(stop)
    clusters = [cluster for stops in groups.values() for cluster in _clusters(stops, lines)]
    order = {id: at for at, id in enumerate(draft.stops)}
    clusters.sort(key=lambda cluster: min(order[stop.id] for stop in cluster))
    place_of = {stop.id: at for at, cluster in enumerate(clusters) for stop in cluster}
    served = [list(dict.fromkeys(line for stop in cluster for line in lines[stop.id])) for cluster in clusters]
    return Joined(tuple(_named([_station(cluster) for cluster in clusters], served, line_names)), place_of)


def _lines_of(draft: Draft) -> dict[str, dict[str, None]]:
    """Stop id -> the lines that call there, in order."""
    lines: dict[str, dict[str, None]] = defaultdict(dict)
    for ride in draft.rides:
        for stop in (ride.start, ride.end):
            lines[stop][ride.line] = None
    return lines


def _clusters(stops: Sequence[Stop], lines: Mapping[str, Collection[str]]) -> Iterator[list[Stop]]:
    """The stops of one name, those together that are joined directly or by others between them."""
    left = list(stops)
    while left:
        cluster = [left.pop(0)]
        for one in cluster:
            near = [other for other in left if _are_joined(one, other, lines)]
            cluster += near
            left = [other for other in left if other not in near]
        yield cluster


def _are_joined(one: Stop, other: Stop, lines: Mapping[str, Collection[str]]) -> bool:
    """Where a stop has no position nothing speaks against its name."""
    if (one.apart or other.apart) and not set(lines[one.id]) & set(lines[other.id]):
        return False
    return one.point is None or other.point is None or great_circle_m(one.point, other.point) <= INTERCHANGE_M_MAX


def _station(stops: Sequence[Stop]) -> PackStation:
    points = [stop.point for stop in stops if stop.point]
    all_names = [stop.names for stop in stops]
    name = all_names[0].zh
    spelt = complete_station(
        Names(
            bare(name) or name,
            next((names.en for names in all_names if names.en), ""),
            next((names.pinyin for names in all_names if names.pinyin), ""),
        )
    )
    return PackStation(
        name=name,
        en=spelt.en,
        pinyin=spelt.pinyin,
        aliases=_unique(alias for names in all_names for alias in names.aliases if alias != names.zh),
        point=Point(sum(p.lat for p in points) / len(points), sum(p.lon for p in points) / len(points))
        if points
        else None,
        closed=stops[0].closed,
        entrances=tuple(dict.fromkeys(entrance for stop in stops for entrance in stop.entrances)),
    )


def _unique(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))


def _named(
    stations: Sequence[PackStation], served: Sequence[Sequence[str]], line_names: Mapping[str, Names]
) -> Iterator[PackStation]:
    """The stations, each with a name of its own: the lines are added in brackets where a name stands for several."""
    names = [station.name for station in stations]
    taken = set(names)
    for station, lines in zip(stations, served, strict=True):
        if names.count(station.name) > 1:
            name = _free(f"{station.name}({'、'.join(line_names[line].zh for line in lines)})", taken)
            en = f"{station.en} ({', '.join(line_names[line].en for line in lines)})"
            station = replace(station, name=name, en=en)
            taken.add(name)
        yield station


def _free(name: str, taken: Collection[str]) -> str:
    """The name, or with a number in its brackets when one line has two stations of it."""
    tries = (name if number == 1 else f"{name[:-1]} {number})" for number in range(1, len(taken) + 2))
    return next(candidate for candidate in tries if candidate not in taken)
