"""Coarse speed features of a recorded leg: all that a record says of its track.

They leave the phone. Speeds only: never a place, never a heading, never the order in time. What each tells about a
person, and why it is worth that, stands in docs/decisions/0015 and docs/explanation/privacy.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from greentrip.evidence.pace import paces_kmh
from greentrip.trip import Leg

SPEED_STEP_KMH = 2
SPEED_KMH_MAX = 400
STOPPED_STEP_PERCENT = 5
STOPPED_BELOW_KMH = 3.0
"""Slower is standing: the jitter of a phone at rest stays below, 99 % of labelled Beijing walks lie above (2.6 with
their rests)."""
FIX_CLASS_LIMITS = (10, 100, 1000)
"""Class 0: fewer than 10 fixes, 1: fewer than 100, 2: fewer than 1000, 3: more."""
FIXES_MIN = 5
"""One bad position in fewer makes most of the steps bad."""
PACES_MIN = 6
"""A minute of track: the percentiles of less are single steps."""


@dataclass(frozen=True, slots=True)
class Features:
    """What a record says of a leg's track, over its steps of 10 s. `leg` is its index; speeds in km/h, steps of 2."""

    leg: int
    median_kmh: int
    p85_kmh: int
    """85th percentile: how fast it goes when it goes freely, as traffic engineers measure a road."""
    p95_kmh: int
    moving_kmh: int
    """Mean speed while not standing: a jam or a long red light does not lower it much."""
    stopped_percent: int
    """Share of time below 3 km/h, in steps of 5."""
    fixes: int
    """Class of the number of fixes, 0 to 3."""


def features_of(index: int, leg: Leg) -> Features | None:
    """The features of a leg's fixes, or None where there are too few to tell. Jumps of the receiver are left out."""
    paces, fixes = paces_kmh(leg.fixes)
    if fixes < FIXES_MIN or len(paces) < PACES_MIN:
        return None
    paces.sort()
    moving = [pace for pace in paces if pace >= STOPPED_BELOW_KMH]
    return Features(
        leg=index,
        median_kmh=_speed(_quantile(paces, 0.5)),
        p85_kmh=_speed(_quantile(paces, 0.85)),
        p95_kmh=_speed(_quantile(paces, 0.95)),
        moving_kmh=_speed(sum(moving) / len(moving) if moving else 0.0),
        stopped_percent=_to_step(100 * (1 - len(moving) / len(paces)), STOPPED_STEP_PERCENT),
        fixes=sum(fixes >= limit for limit in FIX_CLASS_LIMITS),
    )


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[int(share * (len(ordered) - 1))]


def _speed(kmh: float) -> int:
    return _to_step(min(kmh, SPEED_KMH_MAX), SPEED_STEP_KMH)


def _to_step(value: float, step: int) -> int:
    return int(value / step + 0.5) * step
