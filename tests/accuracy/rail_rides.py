"""Simulated rides over a real rail network, seeded: its stations and lengths are real, the track between is drawn.

Between two stations the rails bend to one side, so far that they are as long as the network says. The train stops at
each station. Some stretches are underground: there are no fixes. The receiver adds white noise to each fix.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from greentrip.distance.rail import Network, RailRoute
from greentrip.distance.sphere import east_north_m, moved
from greentrip.trip import Fix, Point

TRAIN_MPS = 15.0
"""Between stations: 54 km/h."""
DWELL_S = 35.0
RUN_EDGES = 4.0
"""A stretch above or below ground is so many edges long in the mean."""

Stop = tuple[Point, int]
"""A station's position, and the metres from the start of the ride."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """Metres of noise (one sigma in each direction), and seconds between fixes."""

    noise_m: float
    every_s: float


@dataclass(frozen=True, slots=True)
class SimulatedRide:
    """`shown`: the first and the last stop that the track comes to, or None when all is underground."""

    fixes: tuple[Fix, ...]
    shown: tuple[Stop, Stop] | None


def simulate(
    dice: random.Random, network: Network, route: RailRoute, surface: float, receiver: Receiver
) -> SimulatedRide:
    """A ride along `route`; `surface`: the share of its edges above ground."""
    stops = network.stops(route)
    above = list(_above(dice, len(stops) - 1, surface))
    fixes: list[Fix] = []
    now, next_at = 0.0, 0.0
    for (start, end), visible in zip(pairwise(stops), above, strict=True):
        length_m = end[1] - start[1]
        ride_s = length_m / TRAIN_MPS
        side = dice.choice((-1, 1))
        while next_at < now + ride_s + DWELL_S:
            if visible:
                share = min(1.0, (next_at - now) / ride_s)
                place = _on_bend(start[0], end[0], length_m, share, side)
                point = moved(place, dice.gauss(0, receiver.noise_m), dice.gauss(0, receiver.noise_m))
                fixes.append(Fix(point, next_at, receiver.noise_m * 1.5))
            next_at += receiver.every_s
        now += ride_s + DWELL_S
    seen = [edge for edge, visible in zip(pairwise(stops), above, strict=True) if visible]
    return SimulatedRide(tuple(fixes), (seen[0][0], seen[-1][1]) if seen else None)


def _above(dice: random.Random, edges: int, surface: float) -> Iterator[bool]:
    """Stretches above and below ground take turns, so that in the mean `surface` of them are above."""
    above = dice.random() < surface
    for _ in range(edges):
        yield above
        if dice.random() < (1 - surface if above else surface) * min(1.0, 2 / RUN_EDGES):
            above = not above


def _on_bend(start: Point, end: Point, length_m: float, share: float, side: int) -> Point:
    """A place on the sine from start to end that is about `length_m` long."""
    east_m, north_m = east_north_m(start, end)
    straight_m = max(1.0, math.hypot(east_m, north_m))
    bend_m = side * 2 / math.pi * math.sqrt(straight_m * max(0.0, length_m - straight_m)) * math.sin(math.pi * share)
    across = bend_m / straight_m
    return moved(start, east_m * share - north_m * across, north_m * share + east_m * across)
