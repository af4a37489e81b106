"""Trips that a test records: a simulated ride, fix by fix, through `GreenTrip`."""

import random
from collections.abc import Sequence
from dataclasses import replace

from greentrip import Fix, GreenTrip, Mode, TripView
from support.rides import ride

SECONDS = 1500
STEP_S = 5


def fixes_until(now: float, mode: Mode, seed: int = 1) -> list[Fix]:
    """A ride of 25 minutes that ends now, a fix every 5 s."""
    found = ride(mode, random.Random(seed), seconds=SECONDS).fixes[::STEP_S]
    return [replace(fix, at=now - SECONDS + fix.at) for fix in found]


def record(phone: GreenTrip, fixes: Sequence[Fix], mode: Mode) -> TripView:
    """A trip with these fixes in one leg, whatever mode they were really made in."""
    phone.start(mode, fixes[0].point, at=fixes[0].at)
    for fix in fixes:
        phone.fix(fix.point, at=fix.at, accuracy_m=fix.accuracy_m)
    return phone.finish(fixes[-1].point, at=fixes[-1].at)
