"""Which fixes of a recording can be used: in order, accurate enough, and where somebody can have got to in the time.

Nothing here knows what mode is claimed: `clean` leaves whatever a motor vehicle can have travelled, so that a car
claimed as a walk still looks like a car. `without_jumps` takes a mode's own limit, for the length of that mode's leg.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Collection, Sequence
from itertools import pairwise

from greentrip.distance.plane import Columns, on_plane
from greentrip.trip import AT_S_MAX, Fix, Mode, Point

ACCURACY_M_MAX = 100.0
"""Less accurate fixes come from cell towers and cold starts: they say in which quarter one is, not how one goes."""
JUMP_COST_FIXES = 3
"""The track goes on elsewhere only if that saves more fixes than this; fewer are jumps."""
JUMP_FIXES_MAX = 30
"""So many fixes of a jump may lie between two fixes that belong together."""
NULL_ISLAND_DEG = 1e-3
"""A receiver without a position may say 0/0: a place in the Gulf of Guinea where nobody commutes."""

SPEED_MPS_MAX: dict[Mode, float] = {
    Mode.WALK: 7.0,  # a runner; 99 % of labelled Beijing walks are slower than 20 km/h = 5.6 m/s
    Mode.CYCLE: 17.0,  # downhill; 95 % of the steps of nearly all labelled bicycle tracks are below 34 km/h
    Mode.BUS: 35.0,  # 120 km/h on an expressway
    Mode.RAIL: 60.0,  # the Daxing airport line runs at 160 km/h = 44 m/s; regional trains a little more
    Mode.CARPOOL: 45.0,  # 160 km/h
}
"""Faster steps are jumps. The Beijing tracks: 30 people, 2007 to 2011."""
MOTOR_MPS_MAX = max(SPEED_MPS_MAX.values())
"""Faster steps are jumps whatever the mode was."""


def clean(fixes: Sequence[Fix]) -> list[list[Fix]]:
    """The usable fixes without jumps, whatever the mode: one chain, or more where the track goes on elsewhere.

    Chains are in order of time and hold at least one fix each. No usable fixes: no chains.
    """
    return _chains(MOTOR_MPS_MAX, usable(fixes))


def ends_of(fixes: Sequence[Fix]) -> tuple[Fix, Fix] | None:
    """The first and the last fix in order of time that tell where somebody was; None when none does."""
    chains = clean(sorted((fix for fix in fixes if math.isfinite(fix.at)), key=lambda fix: fix.at))
    return (chains[0][0], chains[-1][-1]) if chains else None


def without_jumps(mode: Mode, fixes: Sequence[Fix]) -> list[list[Fix]]:
    """The same within the speed of one mode, of fixes that are `usable`."""
    return _chains(SPEED_MPS_MAX[mode], fixes)


def usable(fixes: Sequence[Fix]) -> list[Fix]:
    """The fixes that are accurate enough and in order of time: later than what was kept, not later than what follows.

    So one wrong clock, first or in between, costs one or two fixes and not the rest of the track.
    """
    kept_if = {said: said is None or 0 <= said <= ACCURACY_M_MAX for said in {fix.accuracy_m for fix in fixes}}
    accurate = [fix for fix in fixes if kept_if[fix.accuracy_m]] if not all(kept_if.values()) else list(fixes)
    if _in_order([fix.at for fix in accurate]) and not _near_null_island(accurate):
        return accurate
    accurate = [fix for fix in accurate if 0 <= fix.at <= AT_S_MAX and not is_null_island(fix.point)]
    kept: list[Fix] = []
    for i, fix in enumerate(accurate):
        next_at = accurate[i + 1].at if i + 1 < len(accurate) else math.inf
        if (not kept or kept[-1].at < fix.at) and fix.at <= next_at:
            kept.append(fix)
    return kept


def chained(speed_mps_max: float, columns: Columns) -> list[list[int]]:
    """As many of the rows as this speed lets follow each other: one chain of row numbers, or more when the track goes
    on elsewhere for longer than a jump (which costs JUMP_COST_FIXES). Where the bad fixes stand does not matter.
    """
    at, east_m, north_m, radius_m = columns.at, columns.east_m, columns.north_m, columns.radius_m
    follows = [
        math.hypot(x - x_before, y - y_before) <= speed_mps_max * (now - before) + radius + radius_before
        for before, x_before, y_before, radius_before, now, x, y, radius in zip(
            at, east_m, north_m, radius_m, at[1:], east_m[1:], north_m[1:], radius_m[1:], strict=False
        )
    ]
    if all(follows):
        return [list(range(len(at)))] if at else []
    return _best_chains(speed_mps_max, columns, follows)


def _best_chains(speed_mps_max: float, columns: Columns, follows: Sequence[bool]) -> list[list[int]]:
    """`follows`: whether each row but the first can follow the one before it. Where the best track so far ends at the
    row before, and this row can follow, nothing is better: so only rows around jumps are searched for.
    """
    scores: list[int] = []  # of the best track that ends at a row: its fixes less what its jumps cost
    links: list[int] = []  # the row before it there; -1: none
    jumps: set[int] = set()  # rows to which that track jumps
    top = -1  # the row with the best score so far
    breaks = [row for row, follow in enumerate(follows, 1) if not follow]
    for start, stop in pairwise([0, *breaks, len(columns.at)]):
        row = start
        while row < stop and (row == start or top != row - 1):
            score, link, jumped = _best_link(speed_mps_max, columns, scores, row, top)
            scores.append(score)
            links.append(link)
            if jumped:
                jumps.add(row)
            if top < 0 or score >= scores[top]:
                top = row
            row += 1
        if row < stop:
            scores += range(scores[top] + 1, scores[top] + 1 + stop - row)
            links += range(top, stop - 1)
            top = stop - 1
    return _unlinked(links, jumps, top)


def _best_link(
    speed_mps_max: float, columns: Columns, scores: Sequence[int], row: int, top: int
) -> tuple[int, int, bool]:
    """The best score of a track that ends at `row`, the row before it there, and whether it is a jump from it."""
    score, link, jumped = 0, -1, False
    for other in range(row - 1, max(-1, row - 2 - JUMP_FIXES_MAX), -1):
        if scores[other] > score and _reachable(speed_mps_max, columns, other, row):
            score, link = scores[other], other
            if score == scores[top]:
                break
    if top >= 0 and scores[top] - JUMP_COST_FIXES > score:
        score, link, jumped = scores[top] - JUMP_COST_FIXES, top, True
    return score + 1, link, jumped


def _reachable(speed_mps_max: float, columns: Columns, a: int, b: int) -> bool:
    """Whether one gets from row `a` to row `b` in the time between; both may be as inaccurate as they say."""
    way_m = math.hypot(columns.east_m[b] - columns.east_m[a], columns.north_m[b] - columns.north_m[a])
    return way_m <= speed_mps_max * (columns.at[b] - columns.at[a]) + columns.radius_m[a] + columns.radius_m[b]


def _unlinked(links: Sequence[int], jumps: Collection[int], last: int) -> list[list[int]]:
    """The track that ends at row `last`, cut where it jumps."""
    chains: list[list[int]] = [[]]
    while last >= 0:
        chains[-1].append(last)
        if last in jumps:
            chains.append([])
        last = links[last]
    return [chain[::-1] for chain in reversed(chains)]


def _chains(speed_mps_max: float, fixes: Sequence[Fix]) -> list[list[Fix]]:
    return [[fixes[i] for i in chain] for chain in chained(speed_mps_max, on_plane(fixes))]


def _in_order(times: Sequence[float]) -> bool:
    """Whether all are numbers and each is later than the one before."""
    ends_known = not times or (times[0] >= 0 and times[-1] <= AT_S_MAX)
    return ends_known and all(map(operator.lt, times, times[1:]))


def _near_null_island(fixes: Sequence[Fix]) -> bool:
    """A quick look: whether any latitude is that of 0/0."""
    return any(-NULL_ISLAND_DEG < fix.point.lat < NULL_ISLAND_DEG for fix in fixes)


def is_null_island(point: Point) -> bool:
    """Whether a point is what a receiver without a position says."""
    return abs(point.lat) < NULL_ISLAND_DEG and abs(point.lon) < NULL_ISLAND_DEG
