"""How well a leg's speeds fit the mode that is claimed, and what fits better: a scorecard that a person can check.

Add up the points of the bands (bands.py), for the claimed kind and for each other. Many points mean that few honest
legs of that kind look so. Phone and server run this very function: the phone asks before it sends, the server holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from greentrip.evidence.bands import BANDS, Bands, Kind, Measure
from greentrip.evidence.features import Features
from greentrip.evidence.words import kinds_text, measure_text
from greentrip.trip import Mode

POINTS_ASK = 7
"""From so many points on the commuter is asked. Unusual by every speed at once; or seldom by one and unusual by two."""
POINTS_BETTER = 4
"""Something else fits better when it has so many points fewer: one band that is seldom."""
POINTS_ALIKE = 2
"""Kinds within so many points of the best cannot be told apart by speed."""
KMH_TOLD_MAX = 130
"""Faster is as fast as this: nothing that is told apart here goes faster, and 300 km/h fit a train better than a walk.
That they fit no mode at all is for the server's rule `speed` to say."""
DISTANCE_M_MIN = 500
"""Less says too little: a short way is one stretch between two lights."""
DURATION_MIN_MIN = 2
"""Less is a dozen steps of 10 s."""
M_PER_KM = 1000
MIN_PER_H = 60


class Verdict(StrEnum):
    """What the speeds say of the claimed mode."""

    FITS = "fits"
    ASK = "ask"
    """Something else fits clearly better: the commuter is asked."""
    NO_EVIDENCE = "no_evidence"
    """Too short, or too few fixes for features: never held against a person."""


@dataclass(frozen=True, slots=True)
class Reason:
    """A band that speaks against the claimed kind: which speed, in km/h, and its points."""

    measure: Measure
    kmh: int
    points: int

    def text(self, lang: str = "en") -> str:
        """In words, Chinese where `lang` begins with "zh"."""
        return measure_text(self.measure, self.kmh, lang)


@dataclass(frozen=True, slots=True)
class Fit:
    """How well a leg fits what is claimed. `points` against the claim: 0 is usual, 7 and more is asked."""

    claimed: Kind
    verdict: Verdict
    points: int
    better: tuple[Kind, ...] = ()
    """What fits better, best first, where the verdict is to ask: all kinds that speed cannot tell apart."""
    reasons: tuple[Reason, ...] = ()
    """The bands that speak against the claim, gravest first."""

    def better_text(self, lang: str = "en") -> str:
        """What fits better, in words."""
        return kinds_text(self.better, lang)

    def why_text(self, lang: str = "en") -> str:
        """What speaks most against the claim, in words; empty when nothing does."""
        return self.reasons[0].text(lang) if self.reasons else ""


def kind_of(mode: Mode) -> Kind:
    """What a mode of the standard looks like: sharing a car looks like a car."""
    return Kind.CAR if mode is Mode.CARPOOL else Kind(mode.value)


def fit(mode: Mode, features: Features | None, distance_m: int, duration_min: int) -> Fit:
    """How well the features fit the claimed mode, and which kinds fit better. Integers only, so the same everywhere."""
    claimed = kind_of(mode)
    if features is None or not _is_evidence(features, distance_m, duration_min):
        return Fit(claimed, Verdict.NO_EVIDENCE, 0)
    points = points_of(features)
    best = min(points.values())
    asks = points[claimed] >= POINTS_ASK and points[claimed] - best >= POINTS_BETTER
    alike = sorted((kind for kind in Kind if points[kind] <= best + POINTS_ALIKE), key=lambda kind: points[kind])
    return Fit(
        claimed=claimed,
        verdict=Verdict.ASK if asks else Verdict.FITS,
        points=points[claimed],
        better=tuple(kind for kind in alike if kind is not claimed) if asks else (),
        reasons=_reasons(claimed, features),
    )


def points_of(features: Features) -> Mapping[Kind, int]:
    """The points against each kind of travel."""
    values = _values(features)
    return {kind: sum(_points(band, values[measure]) for measure, band in BANDS[kind].items()) for kind in Kind}


def _points(bands: Bands, kmh: int) -> int:
    return bands.points(min(kmh, KMH_TOLD_MAX))


def _is_evidence(features: Features, distance_m: int, duration_min: int) -> bool:
    # A car that is claimed as a walk is measured as one, which may leave few metres: its speeds tell of more.
    moved_m = features.moving_kmh * (100 - features.stopped_percent) * duration_min * M_PER_KM // (100 * MIN_PER_H)
    return max(distance_m, moved_m) >= DISTANCE_M_MIN and duration_min >= DURATION_MIN_MIN


def _values(features: Features) -> Mapping[Measure, int]:
    return {
        Measure.MEDIAN: features.median_kmh,
        Measure.P85: features.p85_kmh,
        Measure.P95: features.p95_kmh,
        Measure.MOVING: features.moving_kmh,
        Measure.SPREAD: features.p95_kmh - features.moving_kmh,
        Measure.UNEVEN: features.p85_kmh - features.median_kmh,
    }


def _reasons(kind: Kind, features: Features) -> tuple[Reason, ...]:
    values = _values(features)
    found = [Reason(measure, values[measure], _points(band, values[measure])) for measure, band in BANDS[kind].items()]
    return tuple(sorted((reason for reason in found if reason.points), key=lambda reason: -reason.points))
