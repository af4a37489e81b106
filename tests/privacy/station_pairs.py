"""The station-pair attack: who rode from where to where, told from a record's values alone.

An attacker knows the network (it is public), this software (it is too) and one record with a rail leg. For each pair
of stations we compute what the record of such a ride says, and count the pairs whose records say the same: the
anonymity set. All pairs are computed, in seconds: `RailTable` does for all what `Network.route` does for one pair,
and the tests hold the two against each other.

    python tests/privacy/station_pairs.py FOLDER REPORT.md      what `make privacy` calls
"""

import csv
import math
import random
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from greentrip import Network
from greentrip.distance.province import province_of
from greentrip.distance.rail import (
    CHANGE_MINUTES,
    CHANGES_MAX,
    INTERVAL_SHARE_MIN,
    NAMED_LONGER_MAX,
    SLOWER_MINUTES_MAX,
    TRAIN_KMH_MEAN,
)
from greentrip.errors import InvalidInput
from greentrip.methodology import bundled, distance_to_record
from greentrip.record import LONG_FROM_MIN, LONG_STEP_MIN, duration_min
from greentrip.trip import Estimate, Method, Mode, Route

SEED = 20241001
SPREADS_MIN = (1, 2, 5, 10)
"""How far a ride's time may be from the time that the route takes, as the attacker knows: an assumption each."""
NAMED_CHANGES_MAX = 2

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Ride:
    """What the phone measures of a pair of stations when nobody names changes."""

    metres: int
    changes: int
    low_m: int
    high_m: int

    @property
    def minutes(self) -> float:
        return _minutes(self.metres, self.changes)


class RailTable:
    """The plausible routes between all stations of a network, by rounds over lines (`Network` searches best-first)."""

    def __init__(self, folder: Path) -> None:
        """Reads `edges.csv`: rails are ridden both ways, so a pair has no direction."""
        self.along: dict[str, dict[str, dict[str, int]]] = {}
        for row in csv.DictReader((folder / "edges.csv").read_text(encoding="utf-8").splitlines()):
            stations = self.along.setdefault(row["line"], {})
            metres = round(float(row["track_m"]))
            for a, b in ((row["from"], row["to"]), (row["to"], row["from"])):
                stations.setdefault(a, {})[b] = min(metres, stations.get(a, {}).get(b, metres))
        for stations in self.along.values():
            _floyd(stations)
        self.lines_of: dict[str, list[str]] = defaultdict(list)
        for line, stations in self.along.items():
            for name in stations:
                self.lines_of[name].append(line)

    def rides(self, pairs: Iterable[Pair] | None = None) -> dict[Pair, Ride]:
        """The ride between each two stations that rails join, once a pair."""
        wanted = list(combinations(sorted(self.lines_of), 2)) if pairs is None else list(pairs)
        by_start: dict[str, list[str]] = defaultdict(list)
        for start, end in wanted:
            by_start[start].append(end)
        found = {}
        for start, ends in by_start.items():
            rounds = self._rounds(start)
            for end in ends:
                ride = _ride([(reached[end], changes) for changes, reached in enumerate(rounds) if end in reached])
                if ride is not None:
                    found[start, end] = ride
        return found

    def _rounds(self, start: str) -> list[dict[str, int]]:
        """For 0, 1, 2... changes the fewest metres to each station, where they are fewer than with fewer changes."""
        best = {start: 0}
        newest, rounds = {start: 0}, []
        for _ in range(CHANGES_MAX + 1):
            reached: dict[str, int] = {}
            for name, before in newest.items():
                for line in self.lines_of[name]:
                    for other, step in self.along[line][name].items():
                        if before + step < best.get(other, math.inf):
                            best[other] = reached[other] = before + step
            rounds.append(reached)
            newest = {name: metres for name, metres in reached.items() if len(self.lines_of[name]) > 1}
        return rounds

    def named(self, rides: Mapping[Pair, Ride]) -> Iterator[tuple[Pair, int]]:
        """Each pair with the metres of each route that a rider may name: up to two changes, not over 5 % longer."""
        meet = {name: lines for name, lines in self.lines_of.items() if len(lines) > 1}
        joins: dict[str, list[tuple[str, str]]] = defaultdict(list)  # line -> interchange, other line
        for name, lines in meet.items():
            for line in lines:
                joins[line] += [(name, other) for other in lines if other != line]
        for (start, end), ride in rides.items():
            limit = ride.metres * (1 + NAMED_LONGER_MAX)
            lengths = set()
            for first in self.lines_of[start]:
                for change, second in joins[first]:
                    there = self.along[first][start].get(change, math.inf)
                    if change == start or there > limit:
                        continue
                    if change != end and end in self.along[second]:
                        lengths.add(there + self.along[second][change][end])
                    for change_2, third in joins[second]:
                        if end in self.along[third] and change_2 not in (change, end):
                            lengths.add(there + self.along[second][change][change_2] + self.along[third][change_2][end])
            yield from (((start, end), int(metres)) for metres in lengths if metres <= limit)


def _floyd(stations: dict[str, dict[str, int]]) -> None:
    """From metres between neighbours to fewest metres between all stations of a line."""
    for name in stations:
        stations[name][name] = 0
    for middle, onward in stations.items():
        for reach in stations.values():
            if middle in reach:
                for end, metres in onward.items():
                    if reach[middle] + metres < reach.get(end, math.inf):
                        reach[end] = reach[middle] + metres


def _minutes(metres: int, changes: int) -> float:
    return metres * 60 / (TRAIN_KMH_MEAN * 1000) + changes * CHANGE_MINUTES


def _ride(routes: list[tuple[int, int]]) -> Ride | None:
    if not routes:
        return None
    latest = min(_minutes(*route) for route in routes) + SLOWER_MINUTES_MAX
    plausible = [route for route in routes if _minutes(*route) <= latest]
    metres, changes = min(plausible)
    low = min(metres, math.floor(metres * (1 - INTERVAL_SHARE_MIN)))
    high = max(max(plausible)[0], math.ceil(metres * (1 + INTERVAL_SHARE_MIN)))
    return Ride(metres, changes, low, high)


# What a record says


def counted_m(metres: int) -> int:
    """The metres in the record, by the product's own rounding."""
    estimate = Estimate(metres, metres, metres, Method.RAIL, Route.SHORTEST)
    return distance_to_record(bundled(), Mode.RAIL, estimate)


def provinces_of(network: Network) -> dict[str, int | None]:
    """The province of each station; None where the network has no position for it."""
    found: dict[str, int | None] = {}
    for name in network.stations:
        try:
            found[name] = province_of(network.point_of(name))
        except InvalidInput:
            found[name] = None
    return found


# What it gives away


@dataclass(frozen=True, slots=True)
class Anonymity:
    """Over all records: with how many pairs a record's values are shared, itself included."""

    records: int
    median: float
    low: int
    """The 5th percentile."""
    unique_percent: float
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, sizes: Iterable[int]) -> "Anonymity":
        found = sorted(sizes)
        unique = 100 * sum(size == 1 for size in found) / len(found)
        return cls(len(found), statistics.median(found), found[len(found) // 20], unique, tuple(found))

    def __str__(self) -> str:
        return f"median {self.median:g}, 5th percentile {self.low}, unique {self.unique_percent:.2f} %"


def by_value(rides: Mapping[Pair, Ride], value: Callable[[Pair, Ride], Hashable]) -> Anonymity:
    """The sets of pairs whose rides have the same value."""
    values = [value(pair, ride) for pair, ride in rides.items()]
    counts = Counter(values)
    return Anonymity.of(counts[one] for one in values)


def today(rides: Mapping[Pair, Ride], provinces: Mapping[str, int | None]) -> Anonymity:
    """What a record tells: the metres to 10 m, the method and the kind of route (one and the same), the province."""
    return by_value(rides, lambda pair, ride: (counted_m(ride.metres), provinces[pair[0]]))


def with_interval(rides: Mapping[Pair, Ride]) -> Anonymity:
    """With the interval too: the field that the design refused."""
    return by_value(rides, lambda _, ride: (counted_m(ride.metres), ride.low_m, ride.high_m))


def with_duration(rides: Mapping[Pair, Ride], spread_min: float, seed: int = SEED) -> Anonymity:
    """With the minutes in their coarse step, by an attacker who knows each route's time to `spread_min`.

    Each pair's ride takes the route's time and a seeded, evenly drawn difference of at most the spread. A pair stays in
    the set when a difference within the spread explains the minutes that the record shows.
    """
    dice = random.Random(seed)
    same_metres: dict[int, list[float]] = defaultdict(list)
    for ride in rides.values():
        same_metres[counted_m(ride.metres)].append(ride.minutes)
    sizes = []
    for ride in rides.values():
        shown = duration_min(max(0.0, ride.minutes + dice.uniform(-spread_min, spread_min)) * 60)
        low = shown - (LONG_STEP_MIN if shown > LONG_FROM_MIN else 1)
        others = same_metres[counted_m(ride.metres)]
        # Times are never below 0: a ride of the first minute may take any part of it.
        sizes.append(sum(low < max(m, 0) + spread_min and max(m - spread_min, 0) <= shown for m in others))
    return Anonymity.of(sizes)


def when_named(table: RailTable, rides: Mapping[Pair, Ride]) -> Anonymity:
    """Rides whose changes the person names: the pairs for which somebody could have named a route of these metres."""
    pairs: dict[int, set[Pair]] = defaultdict(set)
    records = []
    for pair, metres in table.named(rides):
        records.append(counted_m(metres))
        pairs[records[-1]].add(pair)
    return Anonymity.of(len(pairs[metres]) for metres in records)


def ordered(rides: Mapping[Pair, Ride]) -> dict[Pair, Ride]:
    """Each pair in both directions."""
    return {direction: ride for (a, b), ride in rides.items() for direction in ((a, b), (b, a))}


# The report


def main() -> None:
    """Write the report and its picture."""
    folder, target = Path(sys.argv[1]), Path(sys.argv[2])
    table, network = RailTable(folder), Network.from_csv(folder)
    provinces, rides = provinces_of(network), table.rides()
    placed = {pair: ride for pair, ride in rides.items() if None not in (provinces[pair[0]], provinces[pair[1]])}
    rows = {
        "today's record, pairs without a direction": today(placed, provinces),
        "today's record, pairs with a direction": today(ordered(placed), provinces),
        "today's record, also stations without a position": today(rides, provinces),
        "a named route (record says `named`), up to two changes": when_named(table, placed),
    }
    for spread in SPREADS_MIN:
        rows[f"with the minutes, times known to ±{spread} min"] = with_duration(placed, spread)
    rows["with the interval, which the design refused"] = with_interval(placed)
    target.parent.mkdir(parents=True, exist_ok=True)
    picture = target.with_suffix(".svg")
    picture.write_text(_picture({name: row for name, row in rows.items() if "direction" not in name or "out" in name}))
    target.write_text(_report(rows, table, rides, placed, picture.name))
    for name, row in rows.items():
        print(f"{name}: {row}")


def _report(
    rows: Mapping[str, Anonymity], table: RailTable, rides: Mapping[Pair, Ride], placed: Mapping[Pair, Ride], svg: str
) -> str:
    lines = [
        f"| {name} | {r.records:,} | {r.median:g} | {r.low} | {r.unique_percent:.2f} % |" for name, r in rows.items()
    ]
    return TEXT.format(
        rows="\n".join(lines),
        stations=len(table.lines_of),
        lines=len(table.along),
        pairs=f"{len(rides):,}",
        placed=f"{len(placed):,}",
        svg=svg,
        seed=SEED,
        train=TRAIN_KMH_MEAN,
        change=CHANGE_MINUTES,
        named=NAMED_CHANGES_MAX,
    )


TEXT = """\
# What a metro record gives away: the station-pair attack

Made by `make privacy` (`tests/privacy/station_pairs.py`); `tests/privacy/test_station_pairs.py` holds today's
record to limits. Do not edit by hand.

Somebody holds one record with a rail leg, the public network and this software. Which pair of stations was it? For
each pair we compute what its record says, and count the pairs whose records say the same: the larger that set, the
less the record tells. The first row takes the record's metres, method, route and province. A record also shows the
minutes; what they add depends on how well the attacker knows the time that each pair takes: the rows with minutes.

| what the attacker sees | records | pairs sharing a record's values, median | 5th percentile | unique |
|---|---|---|---|---|
{rows}

![The share of records by the number of pairs that share their values]({svg})

## Method and conditions
* The network: `beijing_rail` of the shared test data, {stations} stations on {lines} lines; all {pairs} pairs, none
  left out by sampling; {placed} of them have a position at both ends (a trip to a station without one is not recorded
  by name). Rails are ridden both ways, so a record says nothing of the direction but by the province of the start.
* Today's record of such a ride: `distance_m` of the plausible route with the fewest metres, rounded to 10 m; `method`
  `rail` and `route` `shortest`, the same for all; `province` of the start. The computation for all pairs is held
  against `Network.route` in the tests.
* Named routes: all routes with one or two changes that are at most 5 % longer than the one that counts by itself. A
  set holds the pairs for which somebody could have named a route of these metres.
* With a direction: each pair counts twice, and both directions are in each other's set, so nothing is unique there.
* Minutes: a ride takes the time of its route ({train} km/h and {change} min a change) and an evenly drawn difference of
  at most the spread (seed {seed}); the record shows it in its step of 1, from 60 on 5 minutes. The attacker is taken to
  know the spread, which is generous: real times hold waits, walks within stations and delays.
* The interval: low and high end of the estimate to the metre, as the phone keeps it and never sends it.

## What it does not say
Pairs are counted, not people: pairs with many riders hide better than their number, and pairs with few hide worse.
Day, half-hour, the other legs of a trip and earlier trips of the same pseudonym narrow it down further, and so does
what the attacker knows about a person.
"""

_COLOURS = ("#1b7f4d", "#7a5195", "#b8c4bb", "#9aa9c7", "#5f7fb8", "#2f4b7c", "#d1495b", "#111111")


def _picture(rows: Mapping[str, Anonymity]) -> str:
    """For each row: the share of records whose set has at most so many pairs, over the number on a logarithmic axis."""
    left, top, wide, high = 50, 16, 560, 260
    most = max(row.sizes[-1] for row in rows.values())

    def x(size: float) -> float:
        return left + wide * math.log(size) / math.log(most)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + wide + 20} {top + high + 50 + 18 * len(rows)}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for percent in (0, 25, 50, 75, 100):
        y = top + high * (1 - percent / 100)
        parts.append(f'<path d="M{left} {y:.0f}h{wide}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.0f}" text-anchor="end">{percent} %</text>')
    for size in (1, 2, 5, 10, 20, 50, 100, 200):
        if size <= most:
            parts.append(f'<text x="{x(size):.0f}" y="{top + high + 16}" text-anchor="middle">{size}</text>')
    parts.append(f'<text x="{left}" y="{top + high + 34}">pairs that share a record\'s values, at most</text>')
    for index, (name, row) in enumerate(rows.items()):
        counts, so_far, path = Counter(row.sizes), 0, f"M{x(1):.1f} {top + high}"
        for size in sorted(counts):
            path += f"H{x(size):.1f}"
            so_far += counts[size]
            path += f"V{top + high * (1 - so_far / row.records):.1f}"
        colour = _COLOURS[index % len(_COLOURS)]
        parts.append(f'<path d="{path}H{x(most):.1f}" fill="none" stroke="{colour}" stroke-width="2"/>')
        y = top + high + 54 + 18 * index
        parts.append(f'<path d="M{left} {y - 4}h18" stroke="{colour}" stroke-width="3"/>')
        parts.append(f'<text x="{left + 26}" y="{y}">{name}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    main()
