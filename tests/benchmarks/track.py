"""The filter of tracks against the least that anybody would do with them: a haversine loop over the fixes."""

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from benchmarks.ratio import Ratio, compare
from greentrip.distance.sphere import great_circle_m, moved
from greentrip.distance.track import measure_track
from greentrip.trip import Fix, Mode
from support.rides import ride

FIXES = 10_000
"""One a second: a ride of nearly three hours."""
ACCURACIES_M = (3.9, 4.8, 6.2, 8.0, 11.5)
JUMP_EVERY, JUMP_M = 1000, 900.0
LIMIT = 3.0
"""Issue 3: the filter in at most three times the loop."""


def ratios() -> list[Ratio]:
    """One ride without jumps, as most are, and one with a jump every JUMP_EVERY fixes."""
    smooth, jumpy = _fixes(), _fixes(JUMP_EVERY)
    loop = "haversine loop over them"
    return [
        compare("10,000 fixes through the filter", lambda: _ours(smooth), loop, lambda: _haversine_m(smooth), LIMIT),
        compare("10,000 fixes with 9 jumps", lambda: _ours(jumpy), loop, lambda: _haversine_m(jumpy), LIMIT),
    ]


def _ours(fixes: Sequence[Fix]) -> object:
    return measure_track(Mode.BUS, fixes)


def _haversine_m(fixes: Sequence[Fix]) -> float:
    return sum(great_circle_m(a.point, b.point) for a, b in pairwise(fixes))


def _fixes(jump_every: int = 0) -> list[Fix]:
    dice = random.Random(20_000)
    fixes = [replace(fix, accuracy_m=dice.choice(ACCURACIES_M)) for fix in ride(Mode.BUS, dice, FIXES).fixes]
    for row in range(jump_every, FIXES, jump_every) if jump_every else ():
        fixes[row] = replace(fixes[row], point=moved(fixes[row].point, JUMP_M, 0))
    return fixes
