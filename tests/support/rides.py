"""Simulated trips of which the true length is known: streets with corners, stops, and a receiver's correlated noise.

The streets, speeds and stops of each mode are assumptions in round figures, not fitted to any recording.
"""

import math
import random
from dataclasses import dataclass

from greentrip.distance.sphere import moved
from greentrip.trip import Fix, Mode, Point

START = Point(39.9, 116.4)
STEP_S = 1.0
SIGMAS_PER_RADIUS = 1 / 1.515
"""68 % of a two-dimensional normal distribution lie within 1.515 sigma."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How a mode goes: cruising speed, metres from corner to corner, from stop to stop, seconds at a stop."""

    cruise_mps: float
    corner_m: float
    stop_m: float
    dwell_s: float
    brake_mps2: float
    corner_mps: float


MANNERS: dict[Mode, Manner] = {
    Mode.WALK: Manner(1.4, 120, 400, 20, 1.0, 1.4),
    Mode.CYCLE: Manner(4.5, 250, 600, 25, 1.0, 3.0),
    Mode.BUS: Manner(9.0, 600, 450, 25, 1.0, 5.0),
    Mode.CARPOOL: Manner(12.0, 500, 600, 25, 1.5, 6.0),
    Mode.RAIL: Manner(17.0, 1500, 1300, 35, 0.9, 15.0),
}


@dataclass(frozen=True, slots=True)
class Ride:
    """One fix a second, and how far it really went."""

    mode: Mode
    metres: float
    fixes: tuple[Fix, ...]


def ride(
    mode: Mode,
    dice: random.Random,
    seconds: int = 1200,
    accuracy_m: float = 8.0,
    correlation_s: float = 20.0,
    tell_accuracy: bool = True,
) -> Ride:
    """A ride under Gaussian noise of that 68 % radius: most of it wanders over `correlation_s`, the rest is fresh."""
    manner = MANNERS[mode]
    sigma_m = accuracy_m * SIGMAS_PER_RADIUS
    keep = math.exp(-STEP_S / correlation_s)
    wander_m, fresh_m = sigma_m * math.sqrt(0.9), sigma_m * math.sqrt(0.1)
    noise = [dice.gauss(0, wander_m), dice.gauss(0, wander_m)]
    fixes: list[Fix] = []
    east_m = north_m = travelled_m = 0.0
    for second, (heading, speed_mps) in enumerate(_motion(manner, dice, seconds)):
        if second:
            noise = [keep * n + math.sqrt(1 - keep**2) * dice.gauss(0, wander_m) for n in noise]
            travelled_m += speed_mps * STEP_S
            east_m += speed_mps * STEP_S * math.sin(heading)
            north_m += speed_mps * STEP_S * math.cos(heading)
        seen = moved(START, east_m + noise[0] + dice.gauss(0, fresh_m), north_m + noise[1] + dice.gauss(0, fresh_m))
        fixes.append(Fix(seen, second * STEP_S, accuracy_m if tell_accuracy else None))
    return Ride(mode, travelled_m, tuple(fixes))


def _motion(manner: Manner, dice: random.Random, seconds: int) -> list[tuple[float, float]]:
    """Heading in radians and speed in m/s of each second: cruise, slow down for corners, stop now and then."""
    heading, speed = dice.uniform(0, math.tau), 0.0
    cruise = manner.cruise_mps * dice.uniform(0.75, 1.25)
    to_corner, to_stop, wait_s, turn, bend = _exp(dice, manner.corner_m), _exp(dice, manner.stop_m), 0.0, 0.0, 0.0
    out = []
    for _ in range(seconds):
        bend = 0.98 * bend + dice.gauss(0, 0.02) * min(1.0, speed / 30)  # roads are never quite straight
        limit = cruise
        limit = min(limit, math.sqrt(manner.corner_mps**2 + 2 * manner.brake_mps2 * max(0.0, to_corner)))
        limit = min(limit, math.sqrt(2 * manner.brake_mps2 * max(0.0, to_stop)))
        if wait_s > 0:
            wait_s -= STEP_S
            limit = 0.0
        elif to_stop <= 1:
            to_stop, wait_s = manner.stop_m / 4 + _exp(dice, manner.stop_m * 0.75), _exp(dice, manner.dwell_s)
            limit = 0.0
        speed = min(limit, speed + manner.brake_mps2 * STEP_S)
        if to_corner <= 0:
            angle = math.pi / 2 if dice.random() < 0.6 else dice.uniform(0.2, 1.0)
            turn, to_corner = dice.choice((-1, 1)) * angle, manner.corner_m / 5 + _exp(dice, manner.corner_m * 0.8)
        part = max(-0.5, min(0.5, turn))
        turn -= part
        heading += part + bend * speed / 30
        to_corner -= speed * STEP_S
        to_stop -= speed * STEP_S
        out.append((heading, speed))
    return out


def _exp(dice: random.Random, mean: float) -> float:
    return dice.expovariate(1 / mean)
