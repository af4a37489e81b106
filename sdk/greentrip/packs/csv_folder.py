"""Reads rails from CSV folders: stations.csv and edges.csv, and optional tables beside them or in further folders.

docs/how-to/build-a-region-pack.md describes the columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from greentrip.distance.rail.pack import Source
from greentrip.distance.rail.pack_json import CHANGE_MINUTES_MAX, EDGE_M_MAX, EDGE_S_MAX
from greentrip.errors import BadFile
from greentrip.packs.draft import UNSTATED, Draft, Names, Progress, Ride, Stop, Walk
from greentrip.packs.tables import Row, Tables
from greentrip.trip import Point

STATION_COLUMNS = ("line", "name", "lat_wgs84", "lon_wgs84")
EDGE_COLUMNS = ("line", "from", "to", "track_m")

_Stops = Mapping[tuple[str, str], Stop]
"""(line, station name) -> stop."""


def read_csv(folders: Sequence[Path], progress: Progress) -> Draft:
    """The rails of `folders`: the first has stations.csv and edges.csv, each may have the optional tables.

    Raises `BadFile` with the line of whatever is wrong, also when a line is not in one piece.
    """
    for folder in folders:
        if not folder.is_dir():
            raise BadFile(folder, 0, "is no folder", "不是文件夹")
        progress(folder.name)
    tables = [Tables(folder, end_needed=True) for folder in folders]
    names = _names(tables)
    stops = {key: _renamed(stop, names) for key, stop in _stops(tables[0]).items()}
    stops = _with_entrances(tables, stops)
    rides = _rides(tables, stops)
    _need_whole_lines(folders[0] / "edges.csv", stops, rides)
    return Draft(
        lines={line: names.get(line, Names(line)) for line, _ in stops},
        stops={stop.id: stop for stop in stops.values()},
        rides=tuple(rides),
        walks=tuple(_walks(tables, stops)),
        directions_given=True,
        sources=tuple(_sources(tables)) or (Source(folders[0].resolve().name, UNSTATED),),
    )


def _stops(first: Tables) -> dict[tuple[str, str], Stop]:
    """A stop for each row of stations.csv."""
    stops: dict[tuple[str, str], Stop] = {}
    for row in first.rows("stations.csv", STATION_COLUMNS):
        line, name = key = row.text("line"), row.text("name")
        if key in stops:
            raise row.error(f"{name} stands twice on {line}", f"{line}中“{name}”重复")
        point = row.point("lat_wgs84", "lon_wgs84")
        stops[key] = Stop("\t".join(key), _row_names(row), point, closed=row.flag("closed"))
    if not stops:
        raise BadFile(first.path / "stations.csv", 1, "there are no rows below the header", "表头以下没有数据")
    return stops


def _row_names(row: Row) -> Names:
    return Names(row.text("name"), row["en"], row["pinyin"], row.parts("aliases"))


def _names(tables: Sequence[Tables]) -> dict[str, Names]:
    """Name of a station or line -> its names in names.csv."""
    return {row.text("name"): _row_names(row) for row in _all(tables, "names.csv", ("name",))}


def _renamed(stop: Stop, names: Mapping[str, Names]) -> Stop:
    """What names.csv says goes before the columns of stations.csv."""
    own, more = stop.names, names.get(stop.names.zh, Names(""))
    aliases = tuple(dict.fromkeys((*own.aliases, *more.aliases)))
    return replace(stop, names=Names(own.zh, more.en or own.en, more.pinyin or own.pinyin, aliases))


def _with_entrances(tables: Sequence[Tables], stops: _Stops) -> dict[tuple[str, str], Stop]:
    """The stops with the rows of entrances.csv, whatever their line."""
    found: dict[str, list[Point]] = {stop.names.zh: [] for stop in stops.values()}
    for row in _all(tables, "entrances.csv", ("station", "lat_wgs84", "lon_wgs84")):
        name, point = row.text("station"), row.point("lat_wgs84", "lon_wgs84")
        if name not in found:
            raise row.error(f"stations.csv has no {name}", f"stations.csv 没有“{name}”")
        if point is None:
            raise row.error("the position is empty", "位置为空")
        found[name].append(point)
    return {key: replace(stop, entrances=tuple(found[stop.names.zh])) for key, stop in stops.items()}


def _rides(tables: Sequence[Tables], stops: _Stops) -> list[Ride]:
    """A ride for each way of each edge.

    one_way.csv says which edges are ridden as it names them only; a row with track_m is an edge of its own.
    """
    edges: dict[tuple[str, str, str], Ride] = {}
    for row in tables[0].rows("edges.csv", EDGE_COLUMNS):
        line, start, end = _ends(row, stops)
        if (line, start, end) in edges or (line, end, start) in edges:
            raise row.error(f"{start} - {end} stands twice on {line}", f"{line}的区间{start}—{end}重复")
        edges[line, start, end] = _ride(row, stops)
    one_way: set[tuple[str, str, str]] = set()
    for row in _all(tables, "one_way.csv", ("line", "from", "to")):
        line, start, end = key = _ends(row, stops)
        if row["track_m"]:
            edges[key] = _ride(row, stops)
            # The track the other way is another one, and no longer ridden this way.
            one_way.add((line, end, start))
        elif (line, end, start) in edges:
            edges[key] = _back(edges.pop((line, end, start)))
        if key not in edges:
            raise row.error(f"edges.csv has no {start} - {end} on {line}", f"edges.csv 没有{line}的区间{start}—{end}")
        one_way.add(key)
    return [way for key, ride in edges.items() for way in ((ride,) if key in one_way else (ride, _back(ride)))]


def _ride(row: Row, stops: _Stops) -> Ride:
    line, start, end = _ends(row, stops)
    metres = round(row.number("track_m", 1, EDGE_M_MAX))
    seconds = round(row.number("seconds", 1, EDGE_S_MAX)) if row["seconds"] else None
    return Ride(line, stops[line, start].id, stops[line, end].id, metres, seconds)


def _ends(row: Row, stops: _Stops) -> tuple[str, str, str]:
    line, start, end = row.text("line"), row.text("from"), row.text("to")
    for name in (start, end):
        if (line, name) not in stops:
            raise row.error(f"stations.csv has no {name} on {line}", f"stations.csv 的{line}没有“{name}”")
    if start == end:
        raise row.error(f"an edge from {start} to itself", f"区间的两端都是“{start}”")
    return line, start, end


def _back(ride: Ride) -> Ride:
    return replace(ride, start=ride.end, end=ride.start)


def _need_whole_lines(path: Path, stops: _Stops, rides: Sequence[Ride]) -> None:
    """An edge that is missing, in the middle or at the end of a file cut short, leaves a station alone."""
    next_to: dict[str, set[str]] = {stop.id: set() for stop in stops.values()}
    for ride in rides:
        next_to[ride.start].add(ride.end)
        next_to[ride.end].add(ride.start)
    for line in dict.fromkeys(line for line, _ in stops):
        ids = [stop.id for (of, _), stop in stops.items() if of == line]
        reached = [ids[0]]
        for one in reached:
            reached += next_to[one] - set(reached)
        if lost := [id for id in ids if id not in reached]:
            name = lost[0].split("\t")[1]
            en = f"the edges of {line} do not reach {name}: an edge is missing, or the file was cut short"
            raise BadFile(path, 0, en, f"{line}的区间未连通到{name}：缺少区间，或文件不完整")


def _walks(tables: Sequence[Tables], stops: _Stops) -> Iterator[Walk]:
    for row in _all(tables, "changes.csv", ("station", "from_line", "to_line", "minutes")):
        name, lines = row.text("station"), (row.text("from_line"), row.text("to_line"))
        for line in lines:
            if (line, name) not in stops:
                raise row.error(f"stations.csv has no {name} on {line}", f"stations.csv 的{line}没有“{name}”")
        minutes = row.number("minutes", 0, CHANGE_MINUTES_MAX)
        yield Walk(stops[lines[0], name].id, lines[0], stops[lines[1], name].id, lines[1], minutes)


def _sources(tables: Sequence[Tables]) -> Iterator[Source]:
    for row in _all(tables, "sources.csv", ("name", "licence")):
        yield Source(row.text("name"), row.text("licence"), row["address"])


def _all(tables: Sequence[Tables], name: str, needed: Sequence[str]) -> Iterator[Row]:
    """The rows of an optional table in every folder that has it."""
    for folder in tables:
        yield from folder.optional(name, needed)
