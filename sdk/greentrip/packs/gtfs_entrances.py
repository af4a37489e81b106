"""Entrances, English names and missing positions for a draft, from the stops of a GTFS feed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from greentrip.distance.rail.csv_folder import INTERCHANGE_M_MAX
from greentrip.distance.rail.names import bare
from greentrip.distance.rail.pack import Source
from greentrip.distance.sphere import great_circle_m
from greentrip.packs.draft import UNSTATED, Draft, Names, Progress, Stop
from greentrip.packs.gtfs_names import Translations, names_of, publisher_of, read_translations
from greentrip.packs.gtfs_stops import ENTRANCE
from greentrip.packs.tables import Row, Tables, opened, read_rows
from greentrip.trip import Point

COLUMNS = ("stop_id", "stop_name", "stop_lat", "stop_lon", "location_type", "parent_station")
STATION = "1"


@dataclass(slots=True)
class _Station:
    names: Names
    point: Point
    entrances: list[Point] = field(default_factory=list)


def with_entrances(draft: Draft, path: Path, progress: Progress) -> Draft:
    """The draft with what a feed says about stations of the same names at the same places.

    A stop that lacks a position or an English name gets those too. `path`: a feed (zip or folder), or a stops.txt of
    its own, plain or .gz. Raises `BadFile`.
    """
    progress(path.name)
    by_name: dict[str, list[Stop]] = defaultdict(list)
    for stop in draft.stops.values():
        by_name[bare(stop.names.zh)].append(stop)
    stops = dict(draft.stops)
    stations, source = _stations(path)
    for station in stations:
        name = station.names.zh
        found = _nearest(station.point, by_name.get(name) or by_name.get(name.removesuffix("站")) or ())
        if found:
            stops[found.id] = _joined(stops[found.id], station)
    return replace(draft, stops=stops, sources=(*draft.sources, source))


def _nearest(point: Point, stops: Sequence[Stop]) -> Stop | None:
    """The stop that a station of their name is; where none has a position, only a name that stands once is sure."""
    placed = [(great_circle_m(point, stop.point), at) for at, stop in enumerate(stops) if stop.point]
    if not placed:
        return stops[0] if len(stops) == 1 else None
    metres, at = min(placed)
    return stops[at] if metres <= INTERCHANGE_M_MAX else None


def _joined(stop: Stop, station: _Station) -> Stop:
    return replace(
        stop,
        names=replace(stop.names, en=stop.names.en or station.names.en),
        point=stop.point or station.point,
        entrances=tuple(dict.fromkeys((*stop.entrances, *station.entrances))),
    )


def _stations(path: Path) -> tuple[Iterable[_Station], Source]:
    """The stations of the feed, each with its entrances, and where they are from."""
    if path.is_file() and path.suffix != ".zip":
        rows = list(read_rows(path, opened(path), COLUMNS))
        translations: Translations = {}
        source = Source(path.name, UNSTATED)
    else:
        tables = Tables(path)
        rows = list(tables.rows("stops.txt", COLUMNS))
        translations, source = read_translations(tables), publisher_of(tables)
    stations: dict[str, _Station] = {}
    for row in rows:
        if row["location_type"] == STATION and (point := _point(row)):
            stations[row["stop_id"]] = _Station(names_of(row, "stop_name", row["stop_id"], translations), point)
    for row in rows:
        station = stations.get(row["parent_station"])
        if row["location_type"] == ENTRANCE and station and (point := _point(row)):
            station.entrances.append(point)
    return stations.values(), source


def _point(row: Row) -> Point | None:
    return row.point("stop_lat", "stop_lon")
