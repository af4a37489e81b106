"""Metres along the track ways of OpenStreetMap, from stop to stop."""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise

from greentrip.distance.sphere import great_circle_m
from greentrip.packs.osm_extract import Extract, Node, Way
from greentrip.packs.plane import foot_of
from greentrip.trip import Point

SNAP_M_MAX = 150
"""A stop that is no point of a track lies at most this far beside one: platforms are up to 200 m long."""


class Tracks:
    """A graph of some ways: the points of the track, and metres between neighbours.

    `stops`: nodes on the track or beside it.
    """

    def __init__(self, extract: Extract, ways: Iterable[Way], stops: Iterable[Node]) -> None:
        self._points: dict[int, Point] = {}
        self._next: dict[int, dict[int, float]] = defaultdict(dict)
        for way in ways:
            for one, other in pairwise(way.nodes):
                # Where nodes lie outside the extract the track is broken: nothing is known of it there.
                if one in extract.nodes and other in extract.nodes and one != other:
                    self._points[one], self._points[other] = extract.nodes[one].point, extract.nodes[other].point
                    self._join(one, other)
        self._stops = {stop.id for stop in stops if self._put_on_track(stop)}

    def metres(self, start: int, end: int) -> float | None:
        """The fewest metres from stop to stop (Dijkstra) past no other stop, or None when no track joins them."""
        if not self._stops >= {start, end}:
            return None
        # On a ring that is broken in one place the way round would be much too long.
        done = self._stops - {start, end}
        queue = [(0.0, start)]
        while queue:
            metres, node = heapq.heappop(queue)
            if node == end:
                return metres
            if node not in done:
                done.add(node)
                for other, step_m in self._next[node].items():
                    if other not in done:
                        heapq.heappush(queue, (metres + step_m, other))
        return None

    def _put_on_track(self, stop: Node) -> bool:
        """Whether a stop is a point of the track; one that lies beside it becomes the point nearest to it."""
        if stop.id in self._points:
            return True
        pieces = (
            (*foot_of(stop.point, self._points[one], self._points[other]), one, other)
            for one, others in self._next.items()
            for other in others
            if one < other
        )
        off_m, share, one, other = min(pieces, default=(math.inf, 0.0, 0, 0))
        if off_m > SNAP_M_MAX:
            return False
        a, b = self._points[one], self._points[other]
        self._points[stop.id] = Point(a.lat + share * (b.lat - a.lat), a.lon + share * (b.lon - a.lon))
        del self._next[one][other], self._next[other][one]
        self._join(one, stop.id)
        self._join(stop.id, other)
        return True

    def _join(self, one: int, other: int) -> None:
        metres = great_circle_m(self._points[one], self._points[other])
        self._next[one][other] = self._next[other][one] = metres
