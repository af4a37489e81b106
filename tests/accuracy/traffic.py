"""Simulated legs of each mode in Beijing traffic, seeded, where no real tracks may be passed on.

A leg is drawn as runs from halt to halt: each speeds up, cruises and brakes; a halt lasts a while; the whole leg has
one level of traffic. The receiver adds noise that is partly white and partly slow, and now and then a jump. The
numbers of each mode are set so that the quantiles of mean speed come near those measured on labelled Beijing tracks (30
people, 2007 to 2011), which `tests/sdk/evidence/test_traffic.py` holds, and those of the speed between raw fixes
roughly too. They prove nothing by themselves: real tracks do.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from greentrip.trip import Fix, Leg, Mode, Point

KMH = 3.6
STEP_S = 1.0
NORTH_M_PER_DEGREE = 111_195.0
STREET_M = 400.0
"""About how far it is from turn to turn; a turn is a right angle in a city of blocks."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """How a mode moves: medians, and spreads as the sigma of a lognormal."""

    cruise_kmh: float
    cruise_spread: float
    """From leg to leg: a narrow lane or a ring road, a slow or a quick rider."""
    run_spread: float
    """From run to run in one leg."""
    halt_m: float
    """Median metres from halt to halt."""
    halt_spread: float
    dwell_s: float
    dwell_spread: float
    jam_spread: float
    """From leg to leg: in a jam halts come sooner and last longer, both by this factor."""
    mps2: float
    """How hard it speeds up and brakes, in m/s2."""


TRAFFIC: dict[str, Traffic] = {
    "walk": Traffic(5.6, 0.15, 0.08, 250, 0.8, 15, 0.9, 0.7, 0.5),
    "cycle": Traffic(14.0, 0.18, 0.12, 450, 0.8, 20, 0.8, 0.5, 0.5),
    "e-bike": Traffic(22.0, 0.12, 0.10, 600, 0.8, 18, 0.8, 0.4, 0.8),
    "bus": Traffic(37.0, 0.19, 0.22, 360, 0.5, 26, 0.6, 0.38, 0.9),
    "car": Traffic(65.0, 0.16, 0.20, 900, 0.8, 24, 0.8, 0.45, 1.2),
    "taxi": Traffic(52.0, 0.22, 0.22, 600, 0.8, 28, 0.8, 0.70, 1.2),
    "rail": Traffic(68.0, 0.12, 0.10, 1300, 0.3, 35, 0.3, 0.40, 0.9),
}


@dataclass(frozen=True, slots=True)
class Receiver:
    """What the phone adds: metres of white and of slow noise, seconds between fixes, jumps a thousand fixes."""

    white_m: float = 1.0
    slow_m: float = 6.0
    slow_s: float = 40.0
    every_s: float = 2.0
    jumps_per_1000: float = 0.3


def simulate(
    dice: random.Random, kind: str, distance_m: float, receiver: Receiver | None = None, claimed: Mode = Mode.WALK
) -> Leg:
    """A leg of about `distance_m` metres that moved as `kind` and is claimed to be another mode."""
    return _leg(received(dice, driven(dice, TRAFFIC[kind], distance_m), receiver or Receiver()), claimed)


def mislabelled(
    dice: random.Random, kind: str, other: str, share: float, distance_m: float, receiver: Receiver | None = None
) -> Leg:
    """A leg labelled as `kind` of which the last `share` of the time was something else, as people note such things."""
    way = driven(dice, TRAFFIC[kind], distance_m)
    rest, need = [(0.0, 0.0)], round(len(way) * share / (1 - share))
    while len(rest) < need:
        rest += _moved(driven(dice, TRAFFIC[other], 5_000), *rest[-1])
    return _leg(received(dice, way + _moved(rest[:need], *way[-1]), receiver or Receiver()), Mode.WALK)


def _moved(way: list[tuple[float, float]], east_m: float, north_m: float) -> list[tuple[float, float]]:
    return [(x + east_m, y + north_m) for x, y in way]


def _leg(fixes: list[Fix], claimed: Mode) -> Leg:
    return Leg(claimed, fixes[0].point, fixes[-1].point, fixes[0].at, fixes[-1].at, tuple(fixes))


def driven(dice: random.Random, traffic: Traffic, distance_m: float) -> list[tuple[float, float]]:
    """Where it is at each second, in metres east and north."""
    cruise_mps = traffic.cruise_kmh / KMH * math.exp(dice.gauss(0, traffic.cruise_spread))
    free = math.exp(dice.gauss(0, traffic.jam_spread))
    way, gone_m, speed_mps = [(0.0, 0.0)], 0.0, 0.0
    east_m = north_m = 0.0
    heading, turn_m = dice.uniform(0, 2 * math.pi), STREET_M * dice.random()
    while gone_m < distance_m:
        run_mps = cruise_mps * math.exp(dice.gauss(0, traffic.run_spread))
        left_m = max(40.0, free * traffic.halt_m * math.exp(dice.gauss(0, traffic.halt_spread)))
        while left_m > 1 and gone_m < distance_m:
            brake_mps = math.sqrt(2 * traffic.mps2 * left_m)
            speed_mps = min(run_mps, speed_mps + traffic.mps2 * STEP_S, brake_mps)
            step_m = max(0.5, speed_mps * STEP_S)
            gone_m, left_m, turn_m = gone_m + step_m, left_m - step_m, turn_m - step_m
            if turn_m < 0:
                heading += dice.choice((-1, 1)) * math.pi / 2
                turn_m = STREET_M * dice.expovariate(1.0)
            east_m, north_m = east_m + step_m * math.sin(heading), north_m + step_m * math.cos(heading)
            way.append((east_m, north_m))
        speed_mps = 0.0
        way += [way[-1]] * round(traffic.dwell_s / free * math.exp(dice.gauss(0, traffic.dwell_spread)))
    return way


def received(dice: random.Random, way: list[tuple[float, float]], receiver: Receiver) -> list[Fix]:
    """The fixes of a phone that goes that way, beginning somewhere in Beijing. Without an accuracy, as GeoLife."""
    lat, lon = 39.9 + dice.uniform(-0.1, 0.1), 116.4 + dice.uniform(-0.1, 0.1)
    east_per_degree = NORTH_M_PER_DEGREE * math.cos(math.radians(lat))
    keep = math.exp(-STEP_S / receiver.slow_s)
    slow = [dice.gauss(0, receiver.slow_m), dice.gauss(0, receiver.slow_m)]
    fixes: list[Fix] = []
    next_s = 0.0
    for second, (east_m, north_m) in enumerate(way):
        slow = [x * keep + dice.gauss(0, receiver.slow_m * math.sqrt(1 - keep * keep)) for x in slow]
        if second < next_s:
            continue
        next_s += receiver.every_s
        jump_m = 300 * dice.random() if dice.random() < receiver.jumps_per_1000 / 1000 else 0.0
        x = east_m + slow[0] + dice.gauss(0, receiver.white_m) + jump_m
        y = north_m + slow[1] + dice.gauss(0, receiver.white_m) + jump_m
        fixes.append(Fix(Point(lat + y / NORTH_M_PER_DEGREE, lon + x / east_per_degree), 1.2e9 + second))
    return fixes
