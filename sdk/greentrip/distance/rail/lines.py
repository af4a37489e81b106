"""Lines as trains ride them: how far and how long it is from a station to the others, and over from line to line.

Stations and lines are numbers here, their places in the pack.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise

from greentrip.distance.rail.pack_model import Pack
from greentrip.distance.rail.route import CHANGE_MINUTES, CHANGE_WAIT_MINUTES, TRAIN_KMH_MEAN

_MINUTES_A_METRE = 60 / (TRAIN_KMH_MEAN * 1000)


Reach = tuple[int, float]
"""How far it is and how long it takes on one train: metres, minutes."""

Track = dict[int, dict[int, Reach]]
"""Of one line: station -> next stations."""


class Lines:
    """All rides that need no change. What was computed is kept: a network never changes."""

    def __init__(self, pack: Pack) -> None:
        self.count = len(pack.lines)
        self._ahead: list[Track] = [{} for _ in pack.lines]
        self._behind: list[Track] = [{} for _ in pack.lines]
        self._one_way: set[int] = {edge.line for edge in pack.edges if edge.one_way}
        lines_of: list[list[int]] = [[] for _ in pack.stations]
        for edge in pack.edges:
            minutes = edge.metres * _MINUTES_A_METRE if edge.seconds is None else edge.seconds / 60
            self._join(edge.line, edge.start, edge.end, (edge.metres, minutes), edge.one_way)
        for line, track in enumerate(self._ahead):
            for station in track:
                lines_of[station].append(line)
        self.lines_of: Sequence[Sequence[int]] = lines_of
        self.closed = frozenset(number for number, station in enumerate(pack.stations) if station.closed)
        self._changes = {
            (change.station, change.from_line, change.to_line): change.minutes + CHANGE_WAIT_MINUTES
            for change in pack.changes
        }
        self.change_minutes_min = min(self._changes.values(), default=CHANGE_MINUTES)
        self.change_minutes_min = min(self.change_minutes_min, CHANGE_MINUTES)
        self._around = [self._ring_reach(line) for line in range(self.count)]
        self._onward: dict[tuple[int, int], dict[int, Reach]] = {}
        self._toward: dict[tuple[int, int], dict[int, Reach]] = {}

    def _join(self, line: int, start: int, end: int, reach: Reach, one_way: bool) -> None:
        ahead, behind = self._ahead[line], self._behind[line]
        for station in (start, end):
            ahead.setdefault(station, {})
            behind.setdefault(station, {})
        ahead[start][end] = behind[end][start] = reach
        if not one_way:
            ahead[end][start] = behind[start][end] = reach

    def stations(self, line: int) -> Mapping[int, Mapping[int, Reach]]:
        """The stations of a line, each with the next ones."""
        return self._ahead[line]

    def before(self, line: int) -> Mapping[int, Mapping[int, Reach]]:
        """The stations of a line, each with those whose next one it is."""
        return self._behind[line]

    def is_interchange(self, station: int) -> bool:
        """Whether one may change there."""
        return len(self.lines_of[station]) > 1 and station not in self.closed

    def change_minutes(self, station: int, from_line: int, to_line: int) -> float:
        """How long a change takes, walking and waiting."""
        return self._changes.get((station, from_line, to_line), CHANGE_MINUTES)

    def onward(self, line: int, start: int) -> Mapping[int, Reach]:
        """From a station to all others that its trains reach, the way of fewest metres."""
        known = self._onward.get((line, start))
        if known is None:
            known = self._onward[line, start] = along(self._ahead[line], start)
        return known

    def toward(self, line: int, end: int) -> Mapping[int, Reach]:
        """To a station from all others whose trains reach it, the way of fewest metres."""
        if line not in self._one_way:
            return self.onward(line, end)
        known = self._toward.get((line, end))
        if known is None:
            known = self._toward[line, end] = along(self._behind[line], end)
        return known

    def around(self, line: int) -> Reach | None:
        """Once around a line that is one plain ring, ridden both ways; None for other lines."""
        return self._around[line]

    def _ring_reach(self, line: int) -> Reach | None:
        track = self._ahead[line]
        plain = track and line not in self._one_way and all(len(following) == 2 for following in track.values())
        if not plain or len(along(track, next(iter(track)))) < len(track):
            return None
        steps = [reach for following in track.values() for reach in following.values()]
        return sum(metres for metres, _ in steps) // 2, sum(minutes for _, minutes in steps) / 2

    def way(self, line: int, start: int, end: int, metres: int) -> list[tuple[int, int]]:
        """The stations of a ride of that length with the metres from its start, both ends included.

        It goes the shortest way, or around the ring.
        """
        path = self._shortest_way(line, start, end)
        if self.onward(line, start)[end][0] != metres:
            path = self._other_way(line, path)
        steps = (self._ahead[line][a][b][0] for a, b in pairwise(path))
        return list(zip(path, accumulate(steps, initial=0), strict=True))

    def _shortest_way(self, line: int, start: int, end: int) -> list[int]:
        reached, path = self.onward(line, start), [end]
        while path[-1] != start:
            here = path[-1]
            steps = self._behind[line][here].items()
            path.append(next(s for s, (m, _) in steps if s in reached and reached[s][0] + m == reached[here][0]))
        return path[::-1]

    def _other_way(self, line: int, path: Sequence[int]) -> list[int]:
        """From the first to the last station of a path, the other way around a ring."""
        track, way = self._ahead[line], [path[0]]
        last = path[1]
        while way[-1] != path[-1]:
            following = next(s for s in track[way[-1]] if s != last)
            last = way[-1]
            way.append(following)
        return way


def along(track: Mapping[int, Mapping[int, Reach]], start: int) -> dict[int, Reach]:
    """Fewest metres from `start` to every station of one line, going on from wherever got nearer.

    A line is a path but for a branch or a ring, so hardly a station is met twice.
    """
    reached: dict[int, Reach] = {start: (0, 0.0)}
    newest = [start]
    for station in newest:  # grows as it goes
        metres, minutes = reached[station]
        for other, (step_m, step_minutes) in track[station].items():
            if other not in reached or metres + step_m < reached[other][0]:
                reached[other] = (metres + step_m, minutes + step_minutes)
                newest.append(other)
    return reached
