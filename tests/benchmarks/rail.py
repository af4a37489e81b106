"""A rail route against networkx's Dijkstra on the same graph.

Ours does more: networkx finds the fewest metres, ours the plausible route with the fewest metres, changes and minutes
counted. Every round asks for pairs that were not asked before, so nothing is answered from memory. The network keeps
small tables of what it computed (a row for each interchange); "warm" has filled them by 1,000 other pairs, "cold" has
just been opened.
"""

import csv
import os
import random
from collections.abc import Callable, Iterator
from datetime import date
from itertools import pairwise
from pathlib import Path

import networkx

from benchmarks.ratio import ROUNDS, Ratio, compare
from greentrip.distance.rail import Network
from greentrip.distance.rail.pack import Pack, PackEdge, PackLine, PackStation

SEED = 20241013
PAIRS = 1000
"""A round."""

Pair = tuple[str, str]


def ratios() -> list[Ratio]:
    """The warm ratio with its limit, the cold one without."""
    network, graph, where = _load()
    dice = random.Random(SEED)
    names = sorted(graph)
    pairs = [(a, b) for a, b in (dice.sample(names, 2) for _ in range((ROUNDS + 1) * PAIRS))]
    baseline = f"networkx.dijkstra_path, {where}"
    theirs = _asker(lambda a, b: networkx.dijkstra_path(graph, a, b), pairs)
    warm = compare("rail route, warm tables, new pairs", _asker(network.route, pairs), baseline, theirs, limit=0.5)
    fresh = iter([Network(network._pack) for _ in range(ROUNDS + 1)])
    chunks = _chunks(pairs)

    def cold() -> None:
        route = next(fresh).route
        for start, end in next(chunks):
            route(start, end)

    theirs = _asker(lambda a, b: networkx.dijkstra_path(graph, a, b), pairs)
    return [warm, compare(f"rail route, first {PAIRS} of a network just opened", cold, baseline, theirs, limit=None)]


def _asker(ask: Callable[[str, str], object], pairs: list[Pair]) -> Callable[[], None]:
    """Asks for the next pairs each time it is called."""
    chunks = _chunks(pairs)

    def asked() -> None:
        for start, end in next(chunks):
            ask(start, end)

    return asked


def _chunks(pairs: list[Pair]) -> Iterator[list[Pair]]:
    return (pairs[at : at + PAIRS] for at in range(0, len(pairs), PAIRS))


def _load() -> tuple[Network, networkx.Graph, str]:
    """The real network where the shared data are, else one of its size."""
    folder = Path(os.environ.get("GREENTRIP_SHARED_DATA", "../shared/data")) / "beijing_rail"
    if (folder / "edges.csv").is_file():
        rows = csv.DictReader((folder / "edges.csv").read_text("utf-8").splitlines())
        edges = [(row["from"], row["to"], int(row["track_m"])) for row in rows]
        return Network.from_csv(folder), _graph(edges), "the Beijing network"
    pack = _synthetic(random.Random(SEED))
    names = [station.name for station in pack.stations]
    edges = [(names[edge.start], names[edge.end], edge.metres) for edge in pack.edges]
    return Network(pack), _graph(edges), "a synthetic network of Beijing's size"


def _graph(edges: list[tuple[str, str, int]]) -> networkx.Graph:
    graph = networkx.Graph()
    for a, b, metres in edges:
        if not graph.has_edge(a, b) or graph[a][b]["weight"] > metres:
            graph.add_edge(a, b, weight=metres)
    return graph


def _synthetic(dice: random.Random) -> Pack:
    """14 lines each way with 19 stations, 105 interchanges."""
    lines: list[list[str]] = []
    for line in range(14):
        lines.append([_crossing(at, line) or f"h{line}-{at}" for at in range(19)])
        lines.append([_crossing(line, at) or f"v{line}-{at}" for at in range(19)])
    numbers = {name: number for number, name in enumerate(dict.fromkeys(name for line in lines for name in line))}
    edges = [
        PackEdge(number, numbers[a], numbers[b], dice.randint(700, 2600))
        for number, line in enumerate(lines)
        for a, b in pairwise(line)
    ]
    stations = tuple(map(PackStation, numbers))
    named = tuple(PackLine(f"line {number}") for number in range(len(lines)))
    return Pack("synthetic", "none", date(2024, 10, 13), (), named, stations, tuple(edges))


def _crossing(x: int, y: int) -> str | None:
    meets = max(x, y) < 14 and ((x + y) % 2 == 0 or x == 0)
    return f"x{x}-{y}" if meets else None
