"""The length of a recorded track. GPS noise only ever lengthens a path, so the raw fixes are never just summed.

Three steps, each a pure function:
1. `usable` drops duplicates, fixes out of order and inaccurate ones;
2. `without_jumps` drops what nobody can have travelled to in that mode, a bad first fix included;
3. `_follow` sums the steps of an anchor that moves on only when two fixes lie clearly outside its own inaccuracy.

What counts is rather too short than too long: corners are cut by the anchor, and gaps count nothing. The interval (a
first cut, set on simulated walks and rides): `low_m` is 5 % less. `high_m` is 5 % more, plus a quarter of the anchor's
reach at every corner and its whole reach at the end, plus the gaps by the high end of their end-point estimate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from greentrip.distance.endpoints import DETOURS
from greentrip.distance.sphere import great_circle_m
from greentrip.trip import Estimate, Fix, Gap, GapCause, Method, Mode

FIXES_MIN = 3
"""Fewer usable fixes are no track."""
ACCURACY_M_MAX = 50.0
"""Less accurate fixes come from cell towers and cold starts: they say where one is, not how one goes."""
ACCURACY_M_MIN = 3.0
"""No phone knows better, whatever it says; some say 0."""
ACCURACY_M_UNKNOWN = 10.0
"""Taken for a fix that does not say how accurate it is: GPX files have no place for it."""
GAP_S_MAX = 300.0
"""A longer pause between fixes, with movement, is a gap: nobody knows the way in between."""
ANCHOR_RADII = 2.0
"""The anchor's reach: so many times both 68 % radii together. One fix of a standing phone gets past it once in some
10 000 (Rayleigh distributed, exp(-9)), two in a row practically never."""
JUMP_COST_FIXES = 3
"""The track goes on elsewhere only if that saves more fixes than this; fewer are jumps."""
JUMP_FIXES_MAX = 30
"""So many fixes of a jump may lie between two fixes that belong together."""
INTERVAL_SHARE = 0.05

SPEED_MPS_MAX: dict[Mode, float] = {
    Mode.WALK: 7.0,  # a runner; 99 % of labelled Beijing walks are slower than 20 km/h = 5.6 m/s
    Mode.CYCLE: 17.0,  # downhill; 95 % of the steps of nearly all labelled bicycle tracks are below 34 km/h
    Mode.BUS: 35.0,  # 120 km/h on an expressway
    Mode.RAIL: 60.0,  # the Daxing airport line runs at 160 km/h = 44 m/s; regional trains a little more
    Mode.CARPOOL: 45.0,  # 160 km/h
}
"""Faster steps are jumps. The Beijing tracks: 30 people, 2007 to 2011."""
CORNER_M: dict[Mode, float] = {
    Mode.WALK: 100.0,
    Mode.CYCLE: 300.0,
    Mode.BUS: 500.0,
    Mode.RAIL: 1000.0,
    Mode.CARPOOL: 500.0,
}
"""How far one goes from corner to corner: an assumption, for the interval only."""


def measure_track(mode: Mode, fixes: Sequence[Fix]) -> Estimate | None:
    """How far the fixes went, in whole metres, with an interval of about 80 %; None if fewer than 3 are usable.

    `gap` is set when a part of the way was not recorded: a pause of over GAP_S_MAX with movement, or a jump to where
    the track goes on. Such a part adds no metres.
    """
    chains = without_jumps(mode, usable(fixes))
    accuracies_m = [_accuracy_m(fix) for chain in chains for fix in chain]
    if len(accuracies_m) < FIXES_MIN:
        return None
    ways = [_follow(chain) for chain in chains]
    metres_m = sum(counted_m for counted_m, _ in ways)
    gaps = [gap for _, found in ways for gap in found]
    gaps += [_gap(a[-1], b[0], GapCause.JUMP) for a, b in pairwise(chains)]
    gaps_m = sum(gap.straight_m for gap in gaps)
    reach_m = 2 * ANCHOR_RADII * sum(accuracies_m) / len(accuracies_m)
    high_m = metres_m * (1 + INTERVAL_SHARE + reach_m / CORNER_M[mode] / 4) + reach_m + gaps_m * DETOURS[mode].high
    return Estimate(
        metres=round(metres_m),
        low_m=math.floor(metres_m * (1 - INTERVAL_SHARE)),
        high_m=math.ceil(high_m),
        method=Method.TRACK,
        gaps=tuple(sorted(gaps, key=lambda gap: gap.from_at)),
    )


def usable(fixes: Sequence[Fix]) -> list[Fix]:
    """The fixes that are accurate enough and in order of time: later than what was kept, not later than what follows.

    So one wrong clock, first or in between, costs one or two fixes and not the rest of the track.
    """
    accurate = [fix for fix in fixes if math.isfinite(fix.at) and _is_accurate(fix)]
    kept: list[Fix] = []
    for i, fix in enumerate(accurate):
        next_at = accurate[i + 1].at if i + 1 < len(accurate) else math.inf
        if (not kept or kept[-1].at < fix.at) and fix.at <= next_at:
            kept.append(fix)
    return kept


def without_jumps(mode: Mode, fixes: Sequence[Fix]) -> list[list[Fix]]:
    """As many of the fixes as the mode's speed lets follow each other: one chain, or more when the track goes on
    elsewhere for longer than a jump (which costs JUMP_COST_FIXES). Where the bad fixes stand does not matter.
    """
    if not fixes:
        return []
    scores: list[int] = []  # of the best track that ends here: its fixes less what its jumps cost
    links: list[tuple[int, bool]] = []  # the fix before it there (-1: none), and whether it is a jump from it
    top = -1  # the fix with the best score so far
    for i, fix in enumerate(fixes):
        score, link = 0, (-1, False)
        for j in range(i - 1, max(-1, i - 2 - JUMP_FIXES_MAX), -1):
            if scores[j] > score and _reachable(mode, fixes[j], fix):
                score, link = scores[j], (j, False)
                if score == scores[top]:
                    break
        if top >= 0 and scores[top] - JUMP_COST_FIXES > score:
            score, link = scores[top] - JUMP_COST_FIXES, (top, True)
        scores.append(score + 1)
        links.append(link)
        if top < 0 or scores[i] >= scores[top]:
            top = i
    return _unlinked(fixes, links, top)


def _unlinked(fixes: Sequence[Fix], links: Sequence[tuple[int, bool]], last: int) -> list[list[Fix]]:
    """The track that ends at fix number `last`, cut where it jumps."""
    chains: list[list[Fix]] = [[]]
    while last >= 0:
        chains[-1].append(fixes[last])
        last, jumped = links[last]
        if jumped:
            chains.append([])
    return [chain[::-1] for chain in reversed(chains)]


def _follow(chain: Sequence[Fix]) -> tuple[float, list[Gap]]:
    """Metres of the anchor's steps, and the gaps, after which the anchor is set down anew."""
    counted_m = 0.0
    gaps: list[Gap] = []
    anchor = chain[0]
    for last, fix, following in zip(chain, chain[1:], [*chain[2:], chain[-1]], strict=False):
        if fix.at - last.at > GAP_S_MAX and _step_m(last, fix):
            gaps.append(_gap(last, fix, GapCause.SILENCE))
            anchor = fix
        elif (step_m := _step_m(anchor, fix)) and _step_m(anchor, following):
            counted_m += step_m
            anchor = fix
    return counted_m, gaps


def _gap(last: Fix, following: Fix, cause: GapCause) -> Gap:
    return Gap(last.at, following.at, round(great_circle_m(last.point, following.point)), cause)


def _step_m(a: Fix, b: Fix) -> float:
    """Metres from `a` to `b`, or 0 when that may be noise."""
    distance_m = great_circle_m(a.point, b.point)
    return distance_m if distance_m > ANCHOR_RADII * (_accuracy_m(a) + _accuracy_m(b)) else 0.0


def _accuracy_m(fix: Fix) -> float:
    return ACCURACY_M_UNKNOWN if fix.accuracy_m is None else max(ACCURACY_M_MIN, fix.accuracy_m)


def _is_accurate(fix: Fix) -> bool:
    """iOS marks an invalid position by a negative accuracy."""
    return fix.accuracy_m is None or 0 <= fix.accuracy_m <= ACCURACY_M_MAX


def _reachable(mode: Mode, a: Fix, b: Fix) -> bool:
    """Whether the mode gets from `a` to `b` in the time between; both may be as inaccurate as they say."""
    slack_m = _accuracy_m(a) + _accuracy_m(b)
    return great_circle_m(a.point, b.point) <= SPEED_MPS_MAX[mode] * (b.at - a.at) + slack_m
