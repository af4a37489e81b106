"""All ways between two stations that are about as quick as the quickest one.

A best-first search (A*) over rides from interchange to interchange. It does not end at the first way: it goes on
until whatever is left is more than SLOWER_MINUTES_MAX slower. A ride jumps over all stations between, and the lower
bound of the minutes left (ride minutes without changes, plus the fewest changes that the lines need) leaves few to try.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from operator import add
from typing import NamedTuple

from greentrip.distance.rail.lines import Lines, Reach
from greentrip.distance.rail.route import CHANGES_MAX, SLOWER_MINUTES_MAX

TRIED_MAX = 20_000
"""A search ends after so many rides, quickest first; over the Beijing network it takes some 40."""
WAY_MINUTES_MAX = 7 * 24 * 60
"""No way takes longer than a week."""


class Way(NamedTuple):
    """How a search got to a station: by which lines, and the way before the last of them; the first has none."""

    metres: int
    minutes: float
    station: int
    lines: tuple[int, ...] = ()
    before: Way | None = None

    def rides(self) -> list[tuple[Way, Way]]:
        """The ways before and after each ride, in order."""
        steps: list[tuple[Way, Way]] = []
        way = self
        while way.before is not None:
            steps.append((way.before, way))
            way = way.before
        return steps[::-1]


_Hop = tuple[float, int, int, int]
"""A change at an interchange, then a ride to another one: minutes, metres, that interchange, line."""
_Step = tuple[float, int, int, int, float, int, Way]
"""A ride to try: lower bound of the minutes of the whole way, a number that breaks ties, the interchange it goes to,
metres and minutes there, its line, and the way before it."""


class Search:
    """Finds ways over `lines`. Its tables, a row for each interchange at most, are filled when first needed.

    An interchange has a number of its own here, its place in `_interchanges`.
    """

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._interchanges = [station for station in range(len(lines.lines_of)) if lines.is_interchange(station)]
        self._number = {station: number for number, station in enumerate(self._interchanges)}
        self._meets: list[list[tuple[int, int]]] = [[] for _ in range(lines.count)]
        for number, station in enumerate(self._interchanges):
            for line in lines.lines_of[station]:
                self._meets[line].append((number, station))
        self._hops: dict[tuple[int, int], list[_Hop]] = {}
        self._rows: dict[int, list[float]] = {}
        self._changes_left: dict[int, list[float]] = {}

    @cached_property
    def _arcs(self) -> list[list[tuple[int, float]]]:
        """For each interchange those right before it, with the ride minutes from there."""
        return [self._last_before(station) for station in self._interchanges]

    def ways(self, start: int, end: int) -> list[Way]:
        """All ways at most SLOWER_MINUTES_MAX slower than the quickest, that change CHANGES_MAX times at most.

        Between two changes, the way of fewest metres; without a change, both ways around a ring. Empty when there is
        none.
        """
        toward_end = {line: self._lines.toward(line, end) for line in self._lines.lines_of[end]}
        found = self._without_change(start, end)
        latest = min((way.minutes for way in found), default=WAY_MINUTES_MAX) + SLOWER_MINUTES_MAX
        left = self._minutes_left(start, end)
        queue = self._first_rides(start, left, latest)
        tried = len(queue)
        while queue and queue[0][0] <= latest and tried < TRIED_MAX:
            _, _, number, metres, minutes, line, before = heapq.heappop(queue)
            way = Way(metres, minutes, self._interchanges[number], (*before.lines, line), before)
            for last in self._last_rides(way, toward_end, end):
                found.append(last)
                latest = min(latest, last.minutes + SLOWER_MINUTES_MAX)
            if len(way.lines) < CHANGES_MAX:
                for hop_minutes, hop_m, other, by in self._onward(number, line):
                    bound = minutes + hop_minutes + left[other]
                    if bound <= latest:
                        tried += 1
                        heapq.heappush(queue, (bound, tried, other, metres + hop_m, minutes + hop_minutes, by, way))
        return [way for way in found if way.minutes <= latest]

    def _without_change(self, start: int, end: int) -> list[Way]:
        """The rides on one line; on a ring both ways around."""
        first, ways = Way(0, 0.0, start), []
        for line in self._lines.lines_of[start]:
            reach = self._lines.onward(line, start).get(end)
            if reach is not None:
                ways.append(Way(*reach, end, (line,), first))
                around = self._lines.around(line)
                if around is not None:
                    ways.append(Way(around[0] - reach[0], around[1] - reach[1], end, (line,), first))
        return ways

    def _first_rides(self, start: int, left: Sequence[float], latest: float) -> list[_Step]:
        """The rides from the start to where one may change, as a heap."""
        first = Way(0, 0.0, start)
        steps: list[_Step] = []
        for line in self._lines.lines_of[start]:
            reached = self._lines.onward(line, start)
            for number, station in self._meets[line]:
                if station != start and station in reached:
                    metres, minutes = reached[station]
                    if minutes + left[number] <= latest:
                        steps.append((minutes + left[number], len(steps), number, metres, minutes, line, first))
        heapq.heapify(steps)
        return steps

    def _last_rides(self, way: Way, toward_end: Mapping[int, Mapping[int, Reach]], end: int) -> Iterator[Way]:
        """One more change and ride that ends the way, if there is one."""
        for line, reached in toward_end.items():
            if line != way.lines[-1] and way.station in reached:
                metres, minutes = reached[way.station]
                minutes += self._lines.change_minutes(way.station, way.lines[-1], line)
                yield Way(way.metres + metres, way.minutes + minutes, end, (*way.lines, line), way)

    def _onward(self, number: int, came_by: int) -> list[_Hop]:
        """From an interchange to others, by any line but the one came by."""
        known = self._hops.get((number, came_by))
        if known is None:
            lines, station = self._lines, self._interchanges[number]
            known = self._hops[number, came_by] = [
                (lines.change_minutes(station, came_by, line) + reach[1], reach[0], other, line)
                for line in lines.lines_of[station]
                if line != came_by
                for other, place in self._meets[line]
                if place != station and (reach := lines.onward(line, station).get(place))
            ]
        return known

    def _minutes_left(self, start: int, end: int) -> list[float]:
        """For each interchange a lower bound of the minutes from arriving there to the end by another line.

        Nobody changes at the end, or comes back to the start: that takes for ever.
        """
        rows = [[minutes + rest for minutes in self._row(number)] for number, rest in self._gates(end)]
        changes = [self._change_minutes_left(line) for line in self._lines.lines_of[end]]
        left = list(map(add, self._least(rows), self._least(changes)))
        for number in (self._number.get(start), self._number.get(end)):
            if number is not None:
                left[number] = math.inf
        return left

    def _least(self, rows: Sequence[list[float]]) -> list[float]:
        """The least of each column."""
        if len(rows) > 1:
            return list(map(min, *rows))
        return rows[0] if rows else [math.inf] * len(self._interchanges)

    def _row(self, gate: int) -> list[float]:
        """Ride minutes from each interchange to one of them, with changes in no time (Dijkstra, backwards)."""
        known = self._rows.get(gate)
        if known is None:
            known = self._rows[gate] = [math.inf] * len(self._interchanges)
            queue = [(0.0, gate)]
            while queue:
                minutes, number = heapq.heappop(queue)
                if minutes < known[number]:
                    known[number] = minutes
                    for other, step in self._arcs[number]:
                        if minutes + step < known[other]:
                            heapq.heappush(queue, (minutes + step, other))
        return known

    def _gates(self, end: int) -> list[tuple[int, float]]:
        """The last interchanges before a station, on any of its lines, with the ride minutes from there."""
        if end in self._number:
            return [(self._number[end], 0.0)]
        return self._last_before(end)

    def _last_before(self, end: int) -> list[tuple[int, float]]:
        gates: dict[int, float] = {}
        for line in self._lines.lines_of[end]:
            before = self._lines.before(line)
            seen: dict[int, float] = {}
            queue = [(0.0, end)]
            while queue:
                minutes, station = heapq.heappop(queue)
                if station in seen:
                    continue
                seen[station] = minutes
                number = self._number.get(station)
                if number is not None and station != end:
                    gates[number] = min(minutes, gates.get(number, math.inf))
                    continue
                for other, (_, step_minutes) in before[station].items():
                    heapq.heappush(queue, (minutes + step_minutes, other))
        return list(gates.items())

    def _change_minutes_left(self, last: int) -> list[float]:
        """For each interchange the least minutes of the changes that it takes to get on the line `last`."""
        known = self._changes_left.get(last)
        if known is None:
            changes = self._changes_to(last)
            each = self._lines.change_minutes_min
            known = self._changes_left[last] = [
                each * (1 + min(changes[line] for line in self._lines.lines_of[station]))
                for station in self._interchanges
            ]
        return known

    def _changes_to(self, last: int) -> list[float]:
        """For each line how many changes it takes at least from it to the line `last`."""
        changes = [math.inf] * self._lines.count
        newest = {last}
        for count in range(CHANGES_MAX + 1):
            for line in newest:
                changes[line] = count
            near = {other for line in newest for _, at in self._meets[line] for other in self._lines.lines_of[at]}
            newest = {line for line in near if changes[line] > count}
        return changes
