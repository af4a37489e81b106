"""Real rides on rails, each with a line drawn from every second fix and another line beside it to be told from it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path

from greentrip.distance.rail import Network
from greentrip.distance.rail.pack import Pack, PackEdge, PackLine, PackStation
from greentrip.distance.sphere import east_north_m, great_circle_m, moved
from greentrip.distance.track import measure_track
from greentrip.trip import Fix, Mode, Point

MODES = ("Tram", "Metro", "Train")
STATION_M = 500.0
"""A station is set wherever the ride is so far from the last one."""
BESIDE_M = 800.0
"""How far beside it the other line lies: lines in a centre are rarely nearer."""
STATIONS_MIN = 4


@dataclass(frozen=True, slots=True)
class RealRide:
    """The fixes that did not draw the line; the network has the line `ridden` and the line `beside`."""

    mode: str
    network: Network
    ends: tuple[str, str]
    fixes: tuple[Fix, ...]


def real_rides(data: Path) -> Iterator[RealRide]:
    """The rides of the shared data that are long enough."""
    with gzip.open(data / "ssi_open_geodata" / "segments.jsonl.gz", "rt", encoding="utf-8") as file:
        for line in file:
            segment = json.loads(line)
            if segment["mode"] in MODES:
                fixes = [Fix(Point(lat, lon), at) for at, lat, lon in segment["fixes"]]
                if (ride := _ride(segment["mode"].lower(), fixes)) is not None:
                    yield ride


def _ride(mode: str, fixes: Sequence[Fix]) -> RealRide | None:
    drawing, riding = fixes[::2], fixes[1::2]
    stations = [drawing[0]]
    for fix in drawing:
        if great_circle_m(stations[-1].point, fix.point) >= STATION_M:
            stations.append(fix)
    if len(stations) < STATIONS_MIN:
        return None
    return RealRide(mode, Network(_pack(stations, drawing)), ("s0", f"s{len(stations) - 1}"), tuple(riding))


def _pack(stations: Sequence[Fix], drawing: Sequence[Fix]) -> Pack:
    """Both lines go from the first station to the last, and are equally long."""
    count = len(stations)
    metres = [_between_m(a, b, drawing) for a, b in pairwise(stations)]
    beside = [_beside(a, b) for a, b in pairwise(stations)][: count - 2]
    places = [PackStation(f"s{at}", point=fix.point) for at, fix in enumerate(stations)]
    places += [PackStation(f"b{at}", point=point) for at, point in enumerate(beside, 1)]
    other = [0, *range(count, 2 * count - 2), count - 1]
    edges = [PackEdge(0, at, at + 1, length_m) for at, length_m in enumerate(metres)]
    edges += [PackEdge(1, a, b, m) for a, b, m in zip(other[:-1], other[1:], metres, strict=True)]
    lines = (PackLine("ridden"), PackLine("beside"))
    return Pack("a real ride", "none", date(2024, 10, 14), (), lines, tuple(places), tuple(edges))


def _between_m(a: Fix, b: Fix, drawing: Sequence[Fix]) -> int:
    track = measure_track(Mode.RAIL, [fix for fix in drawing if a.at <= fix.at <= b.at])
    return max(track.metres if track else 0, round(great_circle_m(a.point, b.point)))


def _beside(a: Fix, b: Fix) -> Point:
    """To the left of `b`, as seen from `a`."""
    east_m, north_m = east_north_m(a.point, b.point)
    share = BESIDE_M / max(1.0, great_circle_m(a.point, b.point))
    return moved(b.point, -north_m * share, east_m * share)
