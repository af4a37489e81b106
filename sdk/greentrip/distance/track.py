"""The length of a recorded track. GPS noise only ever lengthens a path, so the raw fixes are never just summed.

Four steps, each pure and in a file of its own:
1. `cleaning` drops duplicates, fixes out of order, inaccurate ones and what nobody can have travelled to in that mode;
2. `smoothing` finds the most likely course through the rest;
3. `standing` finds where it stands still, whatever the noise does there;
4. `length` sums the curve.

Gaps count nothing: each is named, and widens the interval upwards by the high end of its end-point estimate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from greentrip.distance.cleaning import ACCURACY_M_MAX, SPEED_MPS_MAX, chained, clean, usable, without_jumps
from greentrip.distance.endpoints import way_between
from greentrip.distance.length import length_of
from greentrip.distance.plane import Columns, on_plane
from greentrip.distance.smoothing import merged
from greentrip.trip import Estimate, Fix, Gap, GapCause, Method, Mode

__all__ = ["ACCURACY_M_MAX", "SPEED_MPS_MAX", "clean", "measure_track", "usable", "without_jumps"]

FIXES_MIN = 3
"""Fewer usable fixes are no track."""
GAP_S_MAX = 300.0
"""A longer pause between fixes, with movement, is a gap: nobody knows the way in between."""
GAP_RADII = 2.0
"""Movement is more than so many times both 68 % radii together: by chance once in some 10 000 (Rayleigh, exp(-9))."""
LOW_SHARE = 0.01
"""The interval reaches at least this part of the length downwards. These four numbers are rounded fits of the 10 % and
90 % quantiles of the error: of simulated trips against their true length, and of recorded tracks thinned to 10 to 60 s
against the same at full rate. They are the same for every mode; note 0012 and the accuracy report say how often the
interval holds."""
LOST_LOW = 0.4
"""And so many times what leaving out every second measurement would lose, downwards,"""
LOST_HIGH = 0.4
"""and upwards: corners between rare measurements."""
BLUR_HIGH = 0.1
"""And upwards so many times the blur (see `Length`): smoothing cuts corners, the more the noisier and slower."""


def measure_track(mode: Mode, fixes: Sequence[Fix]) -> Estimate | None:
    """How far the fixes went, in whole metres, with an interval of about 80 %; None if fewer than 3 are usable.

    A part of the way that was not recorded is in `gaps`: a pause of over GAP_S_MAX with movement, or a jump to where
    the track goes on. It adds no metres.
    """
    columns = on_plane(usable(fixes))
    chains = [columns.pick(rows) for rows in chained(SPEED_MPS_MAX[mode], columns)]
    if sum(len(chain.at) for chain in chains) < FIXES_MIN:
        return None
    gaps = [_gap(a, b, GapCause.JUMP) for a, b in pairwise(chains)]
    parts: list[Columns] = []
    for chain in chains:
        pieces = _pieces(chain)
        gaps += [_gap(a, b, GapCause.SILENCE) for a, b in pairwise(pieces) if _moved(a, b)]
        parts += pieces
    lengths = [length_of(merged(part)) for part in parts]
    metres = sum(length.metres for length in lengths)
    lost_m = sum(length.lost_m for length in lengths)
    blur_m = sum(length.blur_m for length in lengths)
    gaps_m = sum(way_between(mode, gap.straight_m).high_m for gap in gaps)
    return Estimate(
        metres=round(metres),
        low_m=max(0, math.floor(metres * (1 - LOW_SHARE) - LOST_LOW * lost_m)),
        high_m=math.ceil(metres + LOST_HIGH * lost_m + BLUR_HIGH * blur_m + gaps_m),
        method=Method.TRACK,
        gaps=tuple(sorted(gaps, key=lambda gap: gap.from_at)),
    )


def _pieces(chain: Columns) -> list[Columns]:
    """The chain cut at pauses of over GAP_S_MAX."""
    cuts = [i for i, (a, b) in enumerate(pairwise(chain.at), 1) if b - a > GAP_S_MAX]
    return [chain.rows(a, b) for a, b in pairwise([0, *cuts, len(chain.at)])]


def _moved(a: Columns, b: Columns) -> bool:
    """Whether the way from the end of `a` to the start of `b` is more than noise."""
    return _across_m(a, b) > GAP_RADII * (a.radius_m[-1] + b.radius_m[0])


def _gap(a: Columns, b: Columns, cause: GapCause) -> Gap:
    return Gap(a.at[-1], b.at[0], round(_across_m(a, b)), cause)


def _across_m(a: Columns, b: Columns) -> float:
    return math.hypot(b.east_m[0] - a.east_m[-1], b.north_m[0] - a.north_m[-1])
