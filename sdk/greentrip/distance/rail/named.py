"""The route that a person names by its changes, and what to name instead where there is none."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import pairwise

from greentrip.distance.rail.lines import Lines
from greentrip.distance.rail.route import CHANGES_MAX
from greentrip.distance.rail.search import Search, Way
from greentrip.errors import UnknownChange

MIDDLES_MAX = 3
"""So many changes are proposed."""


class Named:
    """Finds the way that changes where a person says. `station_name`, `line_name`: what a number is called."""

    def __init__(
        self, lines: Lines, search: Search, station_name: Callable[[int], str], line_name: Callable[[int], str]
    ) -> None:
        self._lines = lines
        self._search = search
        self._station = station_name
        self._line = line_name

    def way(self, stops: Sequence[int]) -> Way:
        """The way with fewest metres that changes at each stop but the first and last, and nowhere else.

        Raises `UnknownChange` when one cannot ride so.
        """
        if len(stops) - 2 > CHANGES_MAX:
            raise UnknownChange("changes", f"at most {CHANGES_MAX} changes", f"最多 {CHANGES_MAX} 次换乘")
        best: dict[int, Way] = {-1: Way(0, 0.0, stops[0])}
        for start, end in pairwise(stops):
            ridden = {line: way for line in self._common(start, end) if (way := self._ride_on(best, line, end))}
            if not ridden:
                raise self._no_such_ride(start, end, best.keys())
            best = ridden
        return min(best.values(), key=lambda way: way.metres)

    def _ride_on(self, best: Mapping[int, Way], line: int, end: int) -> Way | None:
        """The shortest way with one more ride, by another line than the one before."""
        before = [way for came_by, way in best.items() if came_by != line]
        if not before:
            return None
        way = min(before, key=lambda way: way.metres)
        metres, minutes = self._lines.onward(line, way.station)[end]
        if way.lines:
            minutes += self._lines.change_minutes(way.station, way.lines[-1], line)
        return Way(way.metres + metres, way.minutes + minutes, end, (*way.lines, line), way)

    def _common(self, start: int, end: int) -> list[int]:
        """The lines that go from one to the other."""
        if start == end:
            return []
        return [line for line in self._lines.lines_of[start] if end in self._lines.onward(line, start)]

    def _no_such_ride(self, start: int, end: int, came_by: Collection[int]) -> UnknownChange:
        """Why one cannot ride from `start` to `end` in one train, and what to name instead."""
        a, b = self._station(start), self._station(end)
        if start == end:
            en = f"{a} is named twice in a row: name it once, and neither the first nor the last station"
            zh = f"{a}重复出现：每个换乘站只填一次，且不含起点站和终点站"
        elif common := self._common(start, end):
            line = self._line(common[0])
            en = f"nobody changes at {a}: the same train ({line}) goes on to {b}; leave {a} out"
            zh = f"在{a}无需换乘：同一条线路（{line}）直达{b}；请去掉{a}"
        elif middles := self._between(start, end, came_by):
            en = f"no line goes from {a} to {b}: name a change between them, such as {' or '.join(middles)}"
            zh = f"没有线路从{a}直达{b}：请补充中间的换乘站，例如{'或'.join(middles)}"
        elif ways := self._search.ways(start, end):
            quickest = min(ways, key=lambda way: way.minutes)
            via = [self._station(before.station) for before, _ in quickest.rides()[1:]]
            en = f"no line goes from {a} to {b}: name the changes between them, such as {', '.join(via)}"
            zh = f"没有线路从{a}直达{b}：请补充中间的换乘站，例如{'、'.join(via)}"
        else:
            en = f"no rails join {a} and {b}: name other changes"
            zh = f"{a}与{b}不连通：请更换换乘站"
        return UnknownChange("changes", en, zh)

    def _between(self, start: int, end: int, came_by: Collection[int]) -> list[str]:
        """Where one may change once on the way, fewest metres first, not going on by the line one came by."""
        ways = [
            (metres + self._lines.onward(other, middle)[end][0], self._station(middle))
            for line in self._lines.lines_of[start]
            if len(came_by) > 1 or line not in came_by
            for middle, (metres, _) in self._lines.onward(line, start).items()
            if middle != start and self._lines.is_interchange(middle)
            for other in self._common(middle, end)
            if other != line
        ]
        return list(dict.fromkeys(name for _, name in sorted(ways)))[:MIDDLES_MAX]
