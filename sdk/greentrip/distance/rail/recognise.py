"""What a track above ground shows of a rail ride: where it began and ended, and by which of the plausible routes.

Two rules, no map of the rails needed:
* between two neighbouring stations no place on the rails is further from both together than the rails are long;
* a route is shown only if it explains nearly all of the track, and clearly more of it than any other.
Where the track is underground there are no fixes, and nothing is concluded. What is not clear is not told.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from operator import add, le

from greentrip.distance.cleaning import clean
from greentrip.distance.rail.network import Network, counts
from greentrip.distance.rail.route import RailRoute
from greentrip.distance.sphere import east_north_m
from greentrip.errors import NoRoute
from greentrip.trip import Fix, Point, Route

SPOT_M = 100.0
"""The track is looked at once in so many metres, whether it was recorded every second or every 30 s."""
SPOTS_MAX = 3000
"""Of one track: 300 km."""
BRIDGED_S_MAX = 90.0
"""Between two fixes the train went straight if it took no longer; a longer silence is a tunnel."""
PASSED_M_MAX = 250.0
"""Who passes a station passes its position, or an entrance, within this: platforms are 120 to 200 m long, and where
lines meet the position is the middle of platforms up to 405 m apart (Beijing)."""
SLACK_M = 200.0
"""A place may be so much further from both stations than the rails are long: fixes and positions are inexact."""
SHARE_MIN = 0.8
"""A route explains at least this share of the track; the rest may be the walk to the station and from it."""
SHOWN_SPOTS_MIN = 10
"""And at least this much of it, 1 km: less may be a street that crosses the line."""
CLEARER_SPOTS_MIN = 5
"""And so much more than any other route, 500 m: about the distance between two stations in the centre."""
ENDS_TRIED = 3
"""Lines pass stations of other lines, so the first and last few stations passed are tried for start and end."""
ROUTES_TRIED = 12
"""A track may show a plausible route that is not among the few that are told."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a track shows. `route` is None where it does not tell one plausible route from the others."""

    start: str
    end: str
    route: RailRoute | None


def recognise(network: Network, fixes: Sequence[Fix], start: str | None = None, end: str | None = None) -> Seen | None:
    """The ride that the fixes of a rail leg show; `start` and `end` are the stations that are known already.

    A missing station is found where the track comes to the network, or leaves it. `route` is set when the track shows
    it clearly, there are others, and it is at most NAMED_LONGER_MAX longer than the shortest. None when the track shows
    no ride. Raises what `Network.route` raises for the stations given.
    """
    spots = spots_of(fixes)
    if len(spots) < SHOWN_SPOTS_MIN:
        return None
    if start is not None and end is not None:
        route = _shown(network, spots, _routes(network, start, end))
        return Seen(start, end, _counting(network, route)) if route else None
    passed = list(dict.fromkeys(filter(None, (network.nearest(spot, PASSED_M_MAX) for spot in spots))))
    starts = passed[:ENDS_TRIED] if start is None else [start]
    ends = passed[-ENDS_TRIED:] if end is None else [end]
    rides = [ride for a in starts for b in ends if (ride := _ride(network, spots, a, b))]
    if not rides:
        return None
    _, a, b = max(rides, key=lambda ride: ride[0])
    route = _shown(network, spots, _routes(network, a, b))
    return Seen(a, b, _counting(network, route) if route else None)


def spots_of(fixes: Sequence[Fix]) -> list[Point]:
    """Places on the track, SPOT_M apart or more; none where no fix was for longer than BRIDGED_S_MAX."""
    spots: list[Point] = []
    for chain in clean(fixes):
        spots.append(chain[0].point)
        for last, fix in pairwise(chain):
            across = _between(last, fix) if fix.at - last.at <= BRIDGED_S_MAX else [fix.point]
            spots += [spot for spot in across if math.hypot(*east_north_m(spots[-1], spot)) >= SPOT_M]
            if len(spots) > SPOTS_MAX:
                return spots[:SPOTS_MAX]
    return spots


def _between(a: Fix, b: Fix) -> Iterator[Point]:
    """Places on the straight line to `b`, SPOT_M apart, `b` the last."""
    steps = max(1, int(math.hypot(*east_north_m(a.point, b.point)) / SPOT_M))
    for step in range(1, steps + 1):
        share = step / steps
        yield Point(
            a.point.lat + share * (b.point.lat - a.point.lat), a.point.lon + share * (b.point.lon - a.point.lon)
        )


def _routes(network: Network, start: str, end: str) -> tuple[RailRoute, ...]:
    return network.plausible(start, end, ROUTES_TRIED)


def _ride(network: Network, spots: Sequence[Point], start: str, end: str) -> tuple[tuple[int, int], str, str] | None:
    """A ride that explains the track: the more and the shorter the better."""
    if start == end:
        return None
    try:
        routes = _routes(network, start, end)
    except NoRoute:
        return None
    on = max(_on(network, route, spots) for route in routes)
    return ((on, -routes[0].metres), start, end) if _explains(on, spots) else None


def _shown(network: Network, spots: Sequence[Point], routes: Sequence[RailRoute]) -> RailRoute | None:
    """The one route that clearly explains the track, or None."""
    if len(routes) < 2:
        return None
    (second, _), (most, best) = sorted(((_on(network, route, spots), n) for n, route in enumerate(routes)))[-2:]
    return routes[best] if _explains(most, spots) and most - second >= CLEARER_SPOTS_MIN else None


def _counting(network: Network, route: RailRoute | None) -> RailRoute | None:
    """The route as it counts, or None when it is too long for that."""
    if route is None:
        return None
    shortest = network.route(route.rides[0].start, route.rides[-1].end)
    return replace(route, kind=Route.TRACK) if counts(route.metres, shortest.metres) else None


def _explains(on: int, spots: Sequence[Point]) -> bool:
    return on >= SHOWN_SPOTS_MIN and on >= SHARE_MIN * len(spots)


def _on(network: Network, route: RailRoute, spots: Sequence[Point]) -> int:
    """How many spots may lie on the rails of the route."""
    stops = network.stops(route)
    if not stops:
        return 0
    origin = stops[0][0]
    places = [east_north_m(origin, point) for point, _ in stops]
    steps = zip(pairwise(stops), pairwise(places), strict=True)
    reaches_m = [max(metres - before_m, math.dist(*across)) + SLACK_M for ((_, before_m), (_, metres)), across in steps]
    on = 0
    for spot in spots:
        here = east_north_m(origin, spot)
        away_m = [math.dist(here, place) for place in places]
        on += any(map(le, map(add, away_m, away_m[1:]), reaches_m))
    return on
