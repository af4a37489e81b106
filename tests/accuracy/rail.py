"""Rail: lengths against the network's own edges, and what a track above ground shows."""

import csv
import random
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path

import networkx

from accuracy.rail_lines import BESIDE_M, STATION_M, RealRide, real_rides
from accuracy.rail_rides import Receiver, SimulatedRide, simulate
from accuracy.section import Progress, Section, Target
from greentrip.distance.rail import (
    CHANGE_MINUTES,
    NAMED_LONGER_MAX,
    SLOWER_MINUTES_MAX,
    TRAIN_KMH_MEAN,
    Network,
    RailRoute,
    recognise,
)

SEED = 20241014
WITHIN_PERCENT = 1.0
ADDED_UP = 5000
"""So many routes are added up again, edge by edge."""
RIDES = 200
"""Simulated for each share of the surface."""
SURFACES = (0.3, 0.6, 1.0)
NOISE_M = (10.0, 30.0)
STEPS_S = (5, 10, 15, 30)
LONGER_SHARE = 0.01
"""A recognised ride may be so much longer than what was shown; more would be invented."""

Row = Sequence[object]


def build(data: Path, plots: Path, progress: Progress) -> Section:
    """The section: see the module."""
    folder = data / "beijing_rail"
    network = Network.from_csv(folder)
    progress("all pairs of stations")
    lengths = _lengths(network, folder)
    progress("simulated rides")
    rides = {surface: _simulated(network, surface) for surface in SURFACES}
    progress("real rides")
    real = Counter(_recognised_real(ride) for ride in real_rides(data))
    _plot(plots / "rail.png", lengths.longer_percent, rides)
    return Section(_markdown(network, lengths, rides, real), tuple(_targets(lengths, rides)))


# Lengths


@dataclass(frozen=True, slots=True)
class Lengths:
    """Over all pairs: per cent longer than the fewest metres, and how far off the quickest time is, in minutes."""

    longer_percent: list[float]
    off_minutes: float
    added_off_percent: list[float]
    fewest_as_quick: int
    """Pairs where the way of fewest metres is plausible, and counts."""


def _lengths(network: Network, folder: Path) -> Lengths:
    rows = list(csv.DictReader((folder / "edges.csv").read_text("utf-8").splitlines()))
    tracks, platforms = _graphs(rows)
    longer: list[float] = []
    off_minutes, as_quick = 0.0, 0
    for start in network.stations:
        fewest_m = networkx.single_source_dijkstra_path_length(tracks, start)
        minutes = networkx.single_source_dijkstra_path_length(platforms, ("in", start))
        for end in network.stations:
            if end <= start:
                continue
            route = network.route(start, end)
            longer.append(100 * (route.metres / fewest_m[end] - 1))
            as_quick += route.metres == fewest_m[end]
            quickest = minutes["out", end]
            off_minutes = max(off_minutes, route.minutes - SLOWER_MINUTES_MAX - quickest, quickest - route.minutes)
    return Lengths(longer, max(0.0, off_minutes), _added_up(network, rows), as_quick)


def _graphs(rows: Sequence[dict[str, str]]) -> tuple[networkx.Graph, networkx.DiGraph]:
    """Stations joined by metres; and platforms joined by minutes, with changes, one gets in and out of."""
    tracks, platforms = networkx.Graph(), networkx.DiGraph()
    for row in rows:
        line, metres = row["line"], round(float(row["track_m"]))
        for a, b in ((row["from"], row["to"]), (row["to"], row["from"])):
            known = tracks.get_edge_data(a, b, {"weight": metres})["weight"]
            tracks.add_edge(a, b, weight=min(known, metres))
            platforms.add_edge((line, a), (line, b), weight=metres * 0.06 / TRAIN_KMH_MEAN)
            platforms.add_edge(("in", a), (line, a), weight=0.0)
            platforms.add_edge((line, a), ("out", a), weight=0.0)
    for station in tracks:
        at = [line for line, name in platforms if name == station and line not in ("in", "out")]
        for a, b in combinations(at, 2):
            platforms.add_edge((a, station), (b, station), weight=CHANGE_MINUTES)
            platforms.add_edge((b, station), (a, station), weight=CHANGE_MINUTES)
    return tracks, platforms


def _added_up(network: Network, rows: Sequence[dict[str, str]]) -> list[float]:
    """Per cent by which a route differs from its edges, added up along its stations."""
    metres = {(row["line"], *sorted((row["from"], row["to"]))): round(float(row["track_m"])) for row in rows}
    dice = random.Random(SEED)
    found = []
    for _ in range(ADDED_UP):
        route = network.route(*dice.sample(network.stations, 2))
        total = 0
        for ride in route.rides:
            names = network.stations_of(ride)
            total += sum(metres[ride.line, *sorted(step)] for step in pairwise(names))
        found.append(100 * abs(route.metres / total - 1))
    return found


# What a track shows


@dataclass(frozen=True, slots=True)
class Shown:
    """How often, of simulated rides: the route, where there is a choice, and the stations, when none is known."""

    routes: Counter[str]
    ends: Counter[str]


def _simulated(network: Network, surface: float) -> Shown:
    dice = random.Random(f"{SEED} {surface}")
    placed = [name for name in network.stations if network.has_point(name)]
    routes: Counter[str] = Counter()
    ends: Counter[str] = Counter()
    while ends.total() < RIDES:
        choice = network.plausible(*dice.sample(placed, 2))
        route = dice.choice(choice)
        receiver = Receiver(dice.uniform(*NOISE_M), dice.choice(STEPS_S))
        ride = simulate(dice, network, route, surface, receiver)
        if len(choice) > 1:
            routes[_route_seen(network, ride, choice, route)] += 1
        ends[_ends_seen(network, ride)] += 1
    return Shown(routes, ends)


def _route_seen(network: Network, ride: SimulatedRide, choice: Sequence[RailRoute], route: RailRoute) -> str:
    seen = recognise(network, ride.fixes, route.rides[0].start, route.rides[-1].end)
    if seen is None or seen.route is None:
        longer_m = route.metres - min(other.metres for other in choice)
        return "over 5 % longer" if longer_m > NAMED_LONGER_MAX * choice[0].metres else "not told"
    return "right" if _lines(seen.route) == _lines(route) and seen.route.metres == route.metres else "wrong"


def _lines(route: RailRoute) -> list[str]:
    return [ride.line for ride in route.rides]


def _ends_seen(network: Network, ride: SimulatedRide) -> str:
    seen = recognise(network, ride.fixes)
    if ride.shown is None:
        return "underground" if seen is None else "longer"
    if seen is None:
        return "not told"
    (first, first_m), (last, last_m) = ride.shown
    route = seen.route or network.route(seen.start, seen.end)
    if route.metres > (last_m - first_m) * (1 + LONGER_SHARE):
        return "longer"
    both = (network.point_of(seen.start), network.point_of(seen.end)) == (first, last)
    return "right" if both else "shorter"


def _recognised_real(ride: RealRide) -> tuple[str, str]:
    """Mode, and whether the line of the ride is told from another beside it."""
    seen = recognise(ride.network, ride.fixes, *ride.ends)
    if seen is None or seen.route is None:
        return ride.mode, "not told"
    return ride.mode, "right" if _lines(seen.route) == ["ridden"] else "wrong"


# The page


def _targets(lengths: Lengths, rides: dict[float, Shown]) -> Iterator[Target]:
    added = lengths.added_off_percent
    yield Target("rail: route against its edges, worst", max(added), 0, WITHIN_PERCENT, "%", len(added))
    median = statistics.median(lengths.longer_percent)
    name = "rail: longer than the fewest metres of the network, median"
    yield Target(name, median, 0, WITHIN_PERCENT, "%", len(lengths.longer_percent))
    wrong = sum(shown.routes["wrong"] for shown in rides.values())
    count = sum(shown.routes.total() for shown in rides.values())
    yield Target("rail: wrong route recognised (simulated)", 100 * wrong / count, 0, 1, "%", count)


def _markdown(network: Network, lengths: Lengths, rides: dict[float, Shown], real: Counter[tuple[str, str]]) -> str:
    longer = sorted(lengths.longer_percent)
    count = len(longer)
    within = sum(percent <= WITHIN_PERCENT for percent in longer)
    p95, most = longer[int(count * 0.95)], longer[-1]
    routes = _table(("above ground", "choices", "right", "over 5 % longer", "not told", "wrong"), _route_rows(rides))
    ends = _table(("above ground", "rides", "right", "shorter", "not told", "underground", "longer"), _end_rows(rides))
    modes = sorted({mode for mode, _ in real})
    told = ("right", "not told", "wrong")
    counted = [(m, sum(real[m, how] for how in told), *(real[m, how] for how in told)) for m in modes]
    return f"""## Rail

The network: {len(network.lines)} lines and {len(network.stations)} stations of Beijing; all {count:,} pairs, one way.

* A route is exactly what its edges add up to: at most {max(lengths.added_off_percent):.2f} % off
  ({len(lengths.added_off_percent):,} routes, seeded).
* Against networkx's Dijkstra over metres, which changes as often as it likes: the same for {lengths.fewest_as_quick:,}
  pairs ({100 * lengths.fewest_as_quick / count:.1f} %), within 1 % for {100 * within / count:.1f} %; the median pair is
  {statistics.median(longer):.2f} % longer, the 95th percentile {p95:.1f} %, the worst {most:.1f} %. It is longer where
  fewer metres take over {SLOWER_MINUTES_MAX} minutes more, with all the changes: nobody rides so.
* Against networkx over platforms, with {CHANGE_MINUTES} minutes a change: the route that counts is never more than
  {SLOWER_MINUTES_MAX} minutes slower than the quickest, to within {lengths.off_minutes:.3f} minutes.

### What a track above ground shows

Simulated rides over the network ({RIDES} for each share, seeded): any plausible route, noise of {NOISE_M[0]:.0f} to
{NOISE_M[1]:.0f} m in each direction, a fix every {", ".join(map(str, STEPS_S))} s; stretches above and below ground
take turns. The stations are known, and there is a choice of routes; one over 5 % longer may be seen but never counts:

{routes}

No station is known. "Right": the first and last station that the track comes to. "Longer" would be invented metres:

{ends}

Real rides by tram, metro and train (Netherlands and Germany): every second fix draws the line, with a station
each {STATION_M:.0f} m, and another line lies {BESIDE_M:.0f} m beside it; the other fixes are recognised.

{_table(("mode", "rides", *told), counted)}

![Lengths and recognised routes](accuracy/rail.png)

Not measured: real rides in Beijing; the rails between its stations are drawn, not surveyed. The line of a real ride is
made of the ride itself, so this shows what noise does and not how far maps are off.
"""


def _route_rows(rides: dict[float, Shown]) -> Iterator[Row]:
    for surface, shown in rides.items():
        found = (shown.routes[how] for how in ("right", "over 5 % longer", "not told", "wrong"))
        yield (f"{surface:.0%}", shown.routes.total(), *found)


def _end_rows(rides: dict[float, Shown]) -> Iterator[Row]:
    for surface, shown in rides.items():
        found = (shown.ends[how] for how in ("right", "shorter", "not told", "underground", "longer"))
        yield (f"{surface:.0%}", shown.ends.total(), *found)


def _table(head: Row, rows: Iterator[Row] | Sequence[Row]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _plot(path: Path, longer_percent: Sequence[float], rides: dict[float, Shown]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4))
    longer = sorted(longer_percent)
    left.plot(longer, [100 * (at + 1) / len(longer) for at in range(len(longer))])
    left.axvline(WITHIN_PERCENT, linestyle=":", color="grey")
    left.set(xlabel="% longer than the fewest metres", ylabel="% of pairs", title=f"{len(longer):,} pairs")
    base = [0.0] * len(rides)
    for how, colour in (
        ("right", "tab:green"),
        ("over 5 % longer", "tab:blue"),
        ("not told", "silver"),
        ("wrong", "red"),
    ):
        shares = [100 * shown.routes[how] / shown.routes.total() for shown in rides.values()]
        right.bar([f"{surface:.0%}" for surface in rides], shares, bottom=base, label=how, color=colour)
        base = [below + share for below, share in zip(base, shares, strict=True)]
    right.set(xlabel="of the ride above ground", ylabel="% of rides with a choice", title="routes shown by the track")
    right.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=4, fontsize="small")
    figure.tight_layout()
    figure.savefig(path, dpi=110, metadata={"Software": None})
    pyplot.close(figure)
