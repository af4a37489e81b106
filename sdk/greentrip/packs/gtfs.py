"""Reads rails from a GTFS feed: what trains call at, metres along shapes, transfers and translations.

The columns are those of https://gtfs.org/documentation/schedule/reference/.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from greentrip.distance.rail.pack_json import EDGE_S_MAX
from greentrip.distance.sphere import great_circle_m
from greentrip.errors import BadFile
from greentrip.packs.draft import Draft, Names, Note, Progress, Ride
from greentrip.packs.gtfs_names import line_names, publisher_of, read_translations
from greentrip.packs.gtfs_stops import Stops
from greentrip.packs.shapes import Shape, read_shapes
from greentrip.packs.tables import Row, Tables

ROUTE_TYPES = frozenset({0, 1, 12, 109, *range(400, 405), *range(900, 907)})
"""Tram, metro, monorail, suburban railway, urban railway, tram: types and extended types of GTFS. Type 2, rail, may
cross a country and is none of them."""
TRIPS_MAX = 1_000_000
"""Trips by rail of one feed: more than all metros of China run in a day."""


class Call(NamedTuple):
    """A trip calls at a stop. `at_s`: departure in seconds of the day; `travelled`: shape_dist_traveled."""

    sequence: float
    stop: str
    at_s: int | None
    travelled: float | None


@dataclass(slots=True)
class Trip:
    line: str
    shape: str
    calls: list[Call] = field(default_factory=list)


def read_gtfs(path: Path, progress: Progress) -> Draft:
    """The rails of a feed, a zip archive or a folder.

    Raises `BadFile` with file and line of whatever is wrong, or when it has no trip by rail.
    """
    tables = Tables(path)
    translations = read_translations(tables)
    lines, line_of = _lines(tables, translations)
    progress(f"{path.name}: trips")
    trips = _trips(tables, line_of)
    progress(f"{path.name}: stop_times")
    _add_calls(tables, trips)
    patterns = _patterns(trips)
    if not patterns:
        kinds = ", ".join(map(str, sorted(ROUTE_TYPES)))
        en = f"no rail trips: no route of route_type {kinds} has a trip with two stops"
        raise BadFile(path, 0, en, f"没有轨道交通班次：没有 route_type 为 {kinds} 且有两站以上的班次")
    progress(f"{path.name}: shapes")
    shapes = read_shapes(tables, {shape for _, shape, _ in patterns})
    stops = Stops(tables, translations)
    notes: list[Note] = []
    rides = [ride for key, same in patterns.items() for ride in _rides(key, same, shapes, stops, lines, notes)]
    return Draft(
        lines=lines,
        stops=stops.called(),
        rides=tuple(rides),
        walks=tuple(stops.walks(patterns)),
        sources=(publisher_of(tables),),
        notes=tuple(notes),
    )


def _lines(tables: Tables, translations: Mapping[tuple[str, str, str], str]) -> tuple[dict[str, Names], dict[str, str]]:
    """Line -> names, and route_id -> line. Routes of one name and agency are one line."""
    agencies = {row["agency_id"]: row["agency_name"] for row in tables.optional("agency.txt", ("agency_name",))}
    routes = [row for row in tables.rows("routes.txt", ("route_id", "route_type")) if _is_rail(row)]
    owners = defaultdict(set)
    for row in routes:
        owners[line_names(row, translations).zh].add(row["agency_id"])
    lines: dict[str, Names] = {}
    line_of: dict[str, str] = {}
    for row in routes:
        names = line_names(row, translations)
        owner = agencies.get(row["agency_id"], row["agency_id"]) if len(owners[names.zh]) > 1 else ""
        line_of[row["route_id"]] = f"{owner}{names.zh}"
        lines.setdefault(f"{owner}{names.zh}", Names(f"{owner}{names.zh}", names.en))
    return lines, line_of


def _is_rail(row: Row) -> bool:
    return int(row.number("route_type", 0, 9999)) in ROUTE_TYPES


def _trips(tables: Tables, line_of: Mapping[str, str]) -> dict[str, Trip]:
    trips: dict[str, Trip] = {}
    for row in tables.rows("trips.txt", ("route_id", "trip_id")):
        if row["route_id"] in line_of:
            trips[row.text("trip_id")] = Trip(line_of[row["route_id"]], row["shape_id"])
            if len(trips) > TRIPS_MAX:
                raise row.error(
                    f"more than {TRIPS_MAX} trips by rail: cut the feed", f"轨道班次超过 {TRIPS_MAX}：请裁剪"
                )
    return trips


def _add_calls(tables: Tables, trips: Mapping[str, Trip]) -> None:
    for row in tables.rows("stop_times.txt", ("trip_id", "stop_id", "stop_sequence")):
        trip = trips.get(row["trip_id"])
        if trip and row["stop_id"]:
            travelled = row.number("shape_dist_traveled", 0, 1e9) if row["shape_dist_traveled"] else None
            at_s = _seconds(row, "departure_time") or _seconds(row, "arrival_time")
            trip.calls.append(Call(row.number("stop_sequence", 0, 1e9), row["stop_id"], at_s, travelled))


def _seconds(row: Row, column: str) -> int | None:
    """Seconds of the day of a time such as 25:10:00; None when it is empty."""
    if not row[column]:
        return None
    parts = row[column].split(":")
    if len(parts) != 3 or not all(part.strip().isdecimal() for part in parts):
        raise row.error(f"{column} {row[column]!r} is not like 08:10:00", f"{column} “{row[column]}”应形如 08:10:00")
    hours, minutes, seconds = map(int, parts)
    return hours * 3600 + minutes * 60 + seconds


Pattern = tuple[str, str, tuple[str, ...]]
"""Line, shape and stop ids of trips that are alike."""


def _patterns(trips: Mapping[str, Trip]) -> dict[Pattern, list[Trip]]:
    patterns: dict[Pattern, list[Trip]] = defaultdict(list)
    for trip in trips.values():
        trip.calls.sort(key=lambda call: call.sequence)
        if len(trip.calls) > 1:
            patterns[trip.line, trip.shape, tuple(call.stop for call in trip.calls)].append(trip)
    return patterns


def _rides(
    pattern: Pattern,
    trips: list[Trip],
    shapes: Mapping[str, Shape],
    stops: Stops,
    lines: Mapping[str, Names],
    notes: list[Note],
) -> Iterator[Ride]:
    """The rides of one pattern, once, with the median seconds of its trips; straight metres where no shape is right."""
    line, shape_id, ids = pattern
    calls = [stops.station_of(id) for id in ids]
    points = [stops.point_of(id) for id in ids]
    shape = shapes.get(shape_id)
    places = shape.places_of(points, [call.travelled for call in trips[0].calls]) if shape else None
    if places is None:
        ends = f"{stops.name_of(ids[0])}-{stops.name_of(ids[-1])}"
        name = lines[line].zh
        en = f"{name} {ends}: no shape along the stops: straight lines count"
        if (note := (en, f"{name} {ends}：没有与车站相符的线形，按直线距离计")) not in notes:
            notes.append(note)
    for at, (start, end) in enumerate(pairwise(calls)):
        metres = places[at + 1] - places[at] if places else great_circle_m(points[at], points[at + 1])
        yield Ride(line, start, end, max(1, round(metres)), _median_seconds(trips, at))


def _median_seconds(trips: list[Trip], at: int) -> int | None:
    """From departure to departure between two calls that follow each other; None when not known."""
    pairs = ((trip.calls[at].at_s, trip.calls[at + 1].at_s) for trip in trips)
    found = sorted(end - start for start, end in pairs if start is not None and end is not None)
    found = [seconds for seconds in found if 0 < seconds <= EDGE_S_MAX]
    return found[len(found) // 2] if found else None
