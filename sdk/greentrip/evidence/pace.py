"""How fast a track went, in steps of 10 s: of the smoothed track, and without a thought for the mode that is claimed.

A car that is claimed as a walk must not be cleaned until it looks like one, so nothing here knows a mode. The steps
are the same for one fix a second and one in 30 s: what is said of them survives another sampling.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from greentrip.distance.cleaning import clean
from greentrip.distance.smoothing import State, smooth
from greentrip.trip import Fix

STEP_S = 10.0
"""Long enough that 5 m of noise make 2 km/h, short enough to see a bus between two stops."""
SILENCE_S_MAX = 7200.0
"""Across a silence the straight line tells the least that the speed was: so a metro ride between two stations still
looks like one. No ride underground lasts longer than this."""
MPS_TO_KMH = 3.6


def paces_kmh(fixes: Sequence[Fix]) -> tuple[list[float], int]:
    """The speed in km/h of each step of 10 s that was recorded, and how many fixes tell of it."""
    chains = clean(fixes)
    paces = [pace for chain in chains if len(chain) > 1 for pace in _paces(smooth(chain))]
    return paces, sum(len(chain) for chain in chains)


def _paces(states: Sequence[State]) -> list[float]:
    """Speeds between points STEP_S apart in time on the smoothed track; anew after a silence that is too long."""
    paces: list[float] = []
    east_m, north_m, at = states[0].east_m, states[0].north_m, states[0].at
    for before, after in pairwise(states):
        if after.at - before.at > SILENCE_S_MAX:
            east_m, north_m, at = after.east_m, after.north_m, after.at
        for _ in range(int((after.at - at) / STEP_S)):
            at += STEP_S
            share = (at - before.at) / (after.at - before.at)
            to_east_m = before.east_m + share * (after.east_m - before.east_m)
            to_north_m = before.north_m + share * (after.north_m - before.north_m)
            paces.append(math.hypot(to_east_m - east_m, to_north_m - north_m) / STEP_S * MPS_TO_KMH)
            east_m, north_m = to_east_m, to_north_m
    return paces
