"""From the rides of trains to the edges of lines: both ways, one-way, and no second edge for an express."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from greentrip.packs.draft import Ride

SAME_TRACK_SHARE = 0.02
SAME_TRACK_M = 50
"""An express is as long as the way over the stations that it passes, give or take this share and these metres."""
BACK_M = 150
"""There and back may differ by so much more: a tram stops before a crossing in the one direction and behind it in the
other, and trains at the two ends of a platform."""


@dataclass(frozen=True, slots=True)
class Length:
    metres: int
    seconds: int | None = None


Directed = dict[tuple[int, int], Length]
"""(from station, to station) -> length, of one line."""


@dataclass(frozen=True, slots=True)
class Edge:
    start: int
    end: int
    length: Length
    one_way: bool


def directed_of(rides: Iterable[Ride], place_of: Mapping[str, int]) -> Directed:
    """The median length of each pair of stations that trains go between; a ride within a station is none."""
    lengths: dict[tuple[int, int], list[Ride]] = defaultdict(list)
    for ride in rides:
        pair = place_of[ride.start], place_of[ride.end]
        if pair[0] != pair[1]:
            lengths[pair].append(ride)
    return {pair: _middle([Length(ride.metres, ride.seconds) for ride in found]) for pair, found in lengths.items()}


def _middle(lengths: Iterable[Length]) -> Length:
    found = list(lengths)
    seconds = [length.seconds for length in found if length.seconds is not None]
    return Length(round(median(length.metres for length in found)), round(median(seconds)) if seconds else None)


def without_expresses(directed: Directed) -> Directed:
    """The edges between neighbours. An express is as long as the way over the stations that it passes.

    It shows that this way is ridden in its direction, also where no stopping train does.
    """
    kept = dict(directed)
    for pair in sorted(directed, key=lambda pair: -directed[pair].metres):
        way = _other_way(kept, pair)
        if way:
            del kept[pair]
            for one, other in pairwise(way):
                if (one, other) not in kept:
                    kept[one, other] = kept[other, one]
    return kept


def _other_way(directed: Directed, pair: tuple[int, int]) -> list[int]:
    """The stations of a way between two others that is as long as their own edge, ridden in any direction."""
    next_of: dict[int, dict[int, int]] = defaultdict(dict)
    for (one, other), length in directed.items():
        if {one, other} != set(pair):
            next_of[one].setdefault(other, length.metres)
            next_of[other].setdefault(one, length.metres)
    metres = directed[pair].metres
    slack_m = SAME_TRACK_SHARE * metres + SAME_TRACK_M
    queue: list[tuple[int, list[int]]] = [(0, [pair[0]])]
    done: set[int] = set()
    while queue:
        ridden, way = heapq.heappop(queue)
        if way[-1] == pair[1]:
            return way if ridden >= metres - slack_m else []
        if way[-1] not in done:
            done.add(way[-1])
            for other, step_m in next_of[way[-1]].items():
                if other not in done and ridden + step_m <= metres + slack_m:
                    heapq.heappush(queue, (ridden + step_m, [*way, other]))
    return []


def is_one_direction(directed: Directed) -> bool:
    """Whether no edge is ridden in both directions."""
    return bool(directed) and not any((end, start) in directed for start, end in directed)


def both_ways(directed: Directed) -> Directed:
    return {(end, start): length for (start, end), length in directed.items()} | directed


def edges_of(directed: Directed) -> list[Edge]:
    """An edge for each pair of neighbours; two one-way edges where the two directions have tracks of their own."""
    edges: list[Edge] = []
    for (start, end), length in directed.items():
        back = directed.get((end, start))
        if back is None or not _same_track(length, back):
            edges.append(Edge(start, end, length, one_way=True))
        elif not any((edge.start, edge.end) == (end, start) for edge in edges):
            edges.append(Edge(start, end, _middle([length, back]), one_way=False))
    return edges


def _same_track(one: Length, other: Length) -> bool:
    return abs(one.metres - other.metres) <= SAME_TRACK_SHARE * min(one.metres, other.metres) + BACK_M


def neighbours(edges: Iterable[Edge]) -> dict[int, set[int]]:
    """Station -> stations that an edge joins it to, in any direction."""
    found: dict[int, set[int]] = defaultdict(set)
    for edge in edges:
        found[edge.start].add(edge.end)
        found[edge.end].add(edge.start)
    return found


def pieces_of(next_to: Mapping[int, set[int]]) -> list[set[int]]:
    """The sets of stations that edges join, in order of their first stations."""
    pieces: list[set[int]] = []
    for station in next_to:
        if any(station in piece for piece in pieces):
            continue
        piece, queue = {station}, [station]
        for one in queue:
            queue += next_to[one] - piece
            piece |= next_to[one]
        pieces.append(piece)
    return pieces


def is_ring(next_to: Mapping[int, set[int]]) -> bool:
    """Whether a train goes round: every station has two neighbours, and all are in one piece."""
    return len(next_to) > 2 and all(len(found) == 2 for found in next_to.values()) and len(pieces_of(next_to)) == 1
