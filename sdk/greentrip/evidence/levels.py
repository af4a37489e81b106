"""The first two levels of evidence: they stay on the phone, under a commitment that can be opened level by level."""

from __future__ import annotations

from itertools import pairwise

from greentrip.distance.sphere import great_circle_m
from greentrip.evidence.features import SPEED_KMH_MAX
from greentrip.trip import Leg

CELLS_PER_DEGREE = 100
"""Coarse cells of 0.01 degree, about a kilometre."""


def speeds_by_minute(leg: Leg) -> list[int]:
    """Mean speed in whole km/h of each minute since the leg's start; -1 where nothing was recorded."""
    minutes = int(leg.duration_s // 60) + 1
    metres = [0.0] * minutes
    seconds = [0.0] * minutes
    for before, after in pairwise(leg.fixes):
        minute = int((after.at - leg.started_at) // 60)
        if after.at > before.at and 0 <= minute < minutes:
            metres[minute] += great_circle_m(before.point, after.point)
            seconds[minute] += after.at - before.at
    return [round(min(m / s * 3.6, SPEED_KMH_MAX)) if s else -1 for m, s in zip(metres, seconds, strict=True)]


def coarse_cells(leg: Leg) -> list[tuple[int, int]]:
    """The cells of about a kilometre that the track touched, in order, each once in a row."""
    cells: list[tuple[int, int]] = []
    for fix in leg.fixes:
        cell = (int(fix.point.lat * CELLS_PER_DEGREE // 1), int(fix.point.lon * CELLS_PER_DEGREE // 1))
        if not cells or cells[-1] != cell:
            cells.append(cell)
    return cells
