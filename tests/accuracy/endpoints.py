"""End points: how roundabout real ways are by length, and how many of them the table's intervals cover."""

import csv
import gzip
import heapq
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import quantiles

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from accuracy.section import Progress, Section, Target
from greentrip.distance.endpoints import way_between
from greentrip.distance.sphere import great_circle_m
from greentrip.distance.track import measure_track
from greentrip.replay import read_tracks
from greentrip.trip import Fix, Mode, Point

PLOT = "endpoints.png"
STRAIGHT_M_MIN = 100.0
"""Nearer ends are a way there and back, or noise."""
RAIL_STRAIGHT_M_MIN = 200.0
RAIL_CLASSES_M = (500, 1000, 2000, 4000, 8000, 16_000, 32_000, 64_000)
TRIP_CLASSES_M = (100, 250, 500, 1000, 2000, 4000, 32_000)
ROUND_TRIP_FACTOR = 4.0
"""Who goes farther than so many straight lines did not go to get from one end to the other."""
CLASS_TRIPS_MIN = 10
"""Fewer have no percentiles worth a line."""
SHORT_M_MAX = 4000
"""Up to here the survey's trips tell what short ways add."""
COVERED = (0.75, 0.90)
TARGET_TRIPS_MIN = 30
"""A share of fewer cases proves nothing."""
GUESSES = {
    "ON_FOOT": ("on foot", Mode.WALK),
    "WALKING": ("on foot", Mode.WALK),
    "BICYCLING": ("bicycle", Mode.CYCLE),
    "IN_VEHICLE": ("vehicle", Mode.CARPOOL),
}
"""The phone days' sections: another program's word and ours for it."""
FIXES_MIN = 8
HOLE_SHARE_MAX = 0.2
"""A section with a larger unrecorded stretch in it (of its straight line, or of 500 m) tells no length."""
WORDS = {"Walk": Mode.WALK, "Bike": Mode.CYCLE, "Bus": Mode.BUS, "Tram": Mode.BUS}
"""The survey's surface modes; a tram shares streets and stops with buses."""
DOTS_MAX = 3000
STYLES = {
    "survey, bus": "s",
    "survey, tram": "^",
    "survey, bike": "x",
    "survey, walk": ".",
    "phone days, vehicle": "+",
}


@dataclass(frozen=True, slots=True)
class Trip:
    """A way whose length is known: what it was, the table's mode for it, the straight line and path / straight line."""

    group: str
    mode: Mode
    straight_m: float
    factor: float


def build(data: Path, plots: Path, progress: Progress) -> Section:
    """The rail pairs, the trips of the survey and of the phone days; coverage by group; a plot."""
    progress("all pairs of stations")
    pairs = list(rail_pairs(data / "beijing_rail"))
    progress("trips of the survey")
    survey = list(survey_trips(data / "ssi_open_geodata" / "segments.jsonl.gz"))
    progress("sections of the phone days")
    days = list(phone_trips(data / "emission_phone" / "days.jsonl.gz"))
    draw(plots / PLOT, pairs, survey, days)
    groups: dict[str, list[Trip]] = defaultdict(list)
    for trip in [*pairs, *survey, *days]:
        groups[trip.group].append(trip)
    targets = [
        Target(f"end points: 80 % interval covers, {name}", covered(some), *COVERED, "", len(some))
        for name, some in (("rail pairs", pairs), ("trips of the survey", survey))
        if len(some) >= TARGET_TRIPS_MIN
    ]
    return Section(_markdown(pairs, survey, groups), tuple(targets))


def rail_pairs(folder: Path) -> Iterator[Trip]:
    """Fewest metres of track between every two stations of the network, each pair once."""
    points, tracks = _network(folder)
    for start, origin in points.items():
        for end, metres in _metres_from(tracks, start).items():
            if end in points and start < end:
                straight_m = great_circle_m(origin, points[end])
                if straight_m > RAIL_STRAIGHT_M_MIN:
                    yield Trip("rail pairs", Mode.RAIL, straight_m, max(1.0, metres / straight_m))


def survey_trips(file: Path) -> Iterator[Trip]:
    """The surface trips of one mode, from end to end."""
    for track in read_tracks(file):
        mode = WORDS.get(track.original_mode)
        if mode is not None:
            yield from _trip(f"survey, {track.original_mode.lower()}", mode, track.fixes)


def phone_trips(file: Path) -> Iterator[Trip]:
    """The sections that another program cut from the phone days, where the recording has no hole."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            day = json.loads(line)
            fixes = [Fix(Point(lat, lon), at, accuracy_m) for at, lat, lon, accuracy_m, *_ in day["fixes"]]
            for from_at, to_at, word, _ in day["pipeline_sections"]:
                group, mode = GUESSES.get(word.removeprefix("MotionTypes."), ("", None))
                some = [fix for fix in fixes if from_at <= fix.at <= to_at]
                if mode is not None and len(some) >= FIXES_MIN and not _has_hole(some):
                    yield from _trip(f"phone days, {group}", mode, some)


def covered(trips: Sequence[Trip]) -> float:
    """The share of the trips whose way lies within the table's interval."""
    return sum(_is_covered(trip) for trip in trips) / len(trips)


def _is_covered(trip: Trip) -> bool:
    way = way_between(trip.mode, trip.straight_m)
    return way.low_m <= trip.factor * trip.straight_m * (1 + 1e-9) <= way.high_m * (1 + 1e-6)


def _trip(group: str, mode: Mode, fixes: Sequence[Fix]) -> Iterator[Trip]:
    straight_m = great_circle_m(fixes[0].point, fixes[-1].point)
    estimate = measure_track(mode, fixes)
    if straight_m > STRAIGHT_M_MIN and estimate is not None:
        yield Trip(group, mode, straight_m, max(1.0, estimate.metres / straight_m))


def _has_hole(fixes: Sequence[Fix]) -> bool:
    widest_m = max(great_circle_m(a.point, b.point) for a, b in pairwise(fixes))
    return widest_m > HOLE_SHARE_MAX * max(500.0, great_circle_m(fixes[0].point, fixes[-1].point))


def _network(folder: Path) -> tuple[dict[str, Point], dict[str, dict[str, int]]]:
    with (folder / "stations.csv").open(encoding="utf-8") as rows:
        placed = [row for row in csv.DictReader(rows) if row["lat_wgs84"]]
    points = {row["name"]: Point(float(row["lat_wgs84"]), float(row["lon_wgs84"])) for row in placed}
    tracks: dict[str, dict[str, int]] = defaultdict(dict)
    with (folder / "edges.csv").open(encoding="utf-8") as rows:
        for row in csv.DictReader(rows):
            a, b, metres = row["from"], row["to"], int(row["track_m"])
            tracks[a][b] = tracks[b][a] = min(metres, tracks[a].get(b, metres))
    return points, tracks


def _metres_from(tracks: dict[str, dict[str, int]], start: str) -> dict[str, int]:
    """Dijkstra, apart from the code that it stands beside."""
    nearest: dict[str, int] = {}
    waiting = [(0, start)]
    while waiting:
        metres, here = heapq.heappop(waiting)
        if here not in nearest:
            nearest[here] = metres
            for there, more_m in tracks[here].items():
                heapq.heappush(waiting, (metres + more_m, there))
    return nearest


def by_class(trips: Sequence[Trip], edges_m: Sequence[int]) -> list[tuple[int, float, list[float]]]:
    """Count, middle straight line, and 10th, 50th and 90th percentile of the factor, for each class with enough."""
    rows = []
    for low_m, high_m in pairwise(edges_m):
        some = [trip for trip in trips if low_m <= trip.straight_m < high_m]
        if len(some) >= CLASS_TRIPS_MIN:
            rows.append(
                (len(some), percentiles([t.straight_m for t in some])[1], percentiles([t.factor for t in some]))
            )
    return rows


def percentiles(values: Sequence[float]) -> list[float]:
    """The 10th, 50th and 90th."""
    tenths = quantiles(values, n=10, method="inclusive")
    return [tenths[0], tenths[4], tenths[8]]


def added_m(rows: Sequence[tuple[int, float, list[float]]], which: int) -> float:
    """The metres e in factor = f + e / straight line, fitted to one percentile of the classes by least squares."""
    cases = [(count, 1 / straight_m, factors[which]) for count, straight_m, factors in rows if straight_m < SHORT_M_MAX]
    weight = sum(count for count, _, _ in cases)
    mean_x = sum(count * x for count, x, _ in cases) / weight
    mean_y = sum(count * y for count, _, y in cases) / weight
    slope = sum(count * (x - mean_x) * (y - mean_y) for count, x, y in cases)
    return slope / sum(count * (x - mean_x) ** 2 for count, x, _ in cases)


def _markdown(pairs: Sequence[Trip], survey: Sequence[Trip], groups: dict[str, list[Trip]]) -> str:
    there = [trip for trip in survey if trip.factor < ROUND_TRIP_FACTOR]
    rail, short = by_class(pairs, RAIL_CLASSES_M), by_class(there, TRIP_CLASSES_M)
    coverage = [
        f"| {name} | {some[0].mode} | {len(some):,} | {covered(some):.0%} | {_below(some):.0%} | {_above(some):.0%} |"
        for name, some in groups.items()
    ]
    return "\n".join(
        [
            "## End points",
            "",
            "Path / straight line, 10th, 50th and 90th percentile, by the length of the straight line. The rows of the "
            "mode rail in `detours.csv` are these of all pairs of stations of the Beijing network.",
            "",
            *_class_table(rail),
            "",
            f"Surface trips of the survey, smoothed ({len(there)}; walk, bicycle, bus, tram; without "
            f"{len(survey) - len(there)} round trips). Over a plain proportion short ways add about "
            f"{added_m(short, 1):.0f} m (median) and {added_m(short, 2):.0f} m (90th percentile); "
            "the table takes 40 and 200.",
            "",
            *_class_table(short),
            "",
            "How many real ways lie within the table's 80 % interval. The pairs of stations made the rows of rail and "
            "the survey made what short ways add; the phone days made nothing.",
            "",
            "| ways | as | count | within | shorter | longer |",
            "|---|---|---|---|---|---|",
            *coverage,
            "",
            f"![Path / straight line by length](accuracy/{PLOT})",
            "",
            "Not shown: the Beijing percentiles by mode, on which the level of walk, cycle, bus and carpool rests, are "
            "of tracks that may not be passed on, so no interval was checked on them. The survey's trips are Dutch and "
            "German, the phone days American, with modes guessed by another program (a vehicle may be a train).",
            "",
        ]
    )


def _class_table(rows: Sequence[tuple[int, float, list[float]]]) -> list[str]:
    head = ["| middle straight line, m | count | 10 % | 50 % | 90 % |", "|---|---|---|---|---|"]
    return head + [
        f"| {straight_m:,.0f} | {count:,} | " + " | ".join(f"{factor:.2f}" for factor in factors) + " |"
        for count, straight_m, factors in rows
    ]


def _below(trips: Sequence[Trip]) -> float:
    way = [way_between(trip.mode, trip.straight_m).low_m for trip in trips]
    return sum(trip.factor * trip.straight_m * (1 + 1e-9) < m for trip, m in zip(trips, way, strict=True)) / len(trips)


def _above(trips: Sequence[Trip]) -> float:
    return 1 - covered(trips) - _below(trips)


def draw(file: Path, pairs: Sequence[Trip], survey: Sequence[Trip], days: Sequence[Trip]) -> None:
    """One panel for rail, one for what goes on streets: the table's interval, and real ways as dots."""
    mpl.use("Agg")
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), sharey=True, layout="constrained")
    _draw_interval(left, Mode.RAIL)
    _draw_interval(right, Mode.BUS)
    _draw_trips(left, pairs[:: max(1, len(pairs) // DOTS_MAX)], ",", None)
    for name, style in STYLES.items():
        _draw_trips(right, [trip for trip in [*survey, *days] if trip.group == name], style, name)
    left.set_ylabel("path / straight line")
    for axes in (left, right):
        axes.set(xscale="log", xlabel="straight line, km", ylim=(0.95, 4.05))
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.savefig(file, dpi=110)
    plt.close(figure)


def _draw_interval(axes: Axes, mode: Mode) -> None:
    lines_m = [100 * 500 ** (i / 100) for i in range(101)]
    ways = [way_between(mode, straight_m) for straight_m in lines_m]
    km = [straight_m / 1000 for straight_m in lines_m]
    low = [way.low_m / straight_m for way, straight_m in zip(ways, lines_m, strict=True)]
    high = [way.high_m / straight_m for way, straight_m in zip(ways, lines_m, strict=True)]
    middle = [way.middle_m / straight_m for way, straight_m in zip(ways, lines_m, strict=True)]
    axes.fill_between(km, low, high, alpha=0.2, color="tab:green", label="80 % interval")
    axes.plot(km, middle, color="tab:green", label="middle")
    axes.set_title(mode.value)


def _draw_trips(axes: Axes, trips: Sequence[Trip], style: str, name: str | None) -> None:
    km, factors = [trip.straight_m / 1000 for trip in trips], [trip.factor for trip in trips]
    axes.plot(km, factors, style, label=name, markersize=5, alpha=0.8, zorder=0)
