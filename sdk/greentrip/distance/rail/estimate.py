"""The distance of a rail leg whose two stations are known."""

from __future__ import annotations

import math
from collections.abc import Sequence

from greentrip.distance.rail.network import Network
from greentrip.distance.rail.route import RailRoute
from greentrip.trip import Estimate, Method

INTERVAL_SHARE_MIN = 0.01
"""An estimate's interval is at least this share to either side: lengths are rounded, platforms long."""


def estimate_rail(
    network: Network, start: str, end: str, changes: Sequence[str] = (), shown: RailRoute | None = None
) -> Estimate:
    """Estimates a rail leg: `metres` and `changes` are those of the route that counts.

    That is the named one if changes are named, else the one that the track showed (see `recognise`), else the shortest
    plausible. The interval of about 80 % spans the plausible routes and the counted one, and at least
    INTERVAL_SHARE_MIN to either side. Raises what `Network.route` raises.
    """
    route = shown if shown is not None and not changes else network.route(start, end, changes)
    fewest_m, most_m = network.plausible_m(start, end)
    return Estimate(
        metres=route.metres,
        low_m=min(fewest_m, math.floor(route.metres * (1 - INTERVAL_SHARE_MIN))),
        high_m=max(most_m, math.ceil(route.metres * (1 + INTERVAL_SHARE_MIN))),
        method=Method.RAIL,
        route=route.kind,
        stations=(route.rides[0].start, route.rides[-1].end),
        changes=route.changes,
    )
