"""From legs to whole milligrams: ER = BE - PE, one pure integer function that phone and server share.

DB11/T 3043-2024: ER = sum over legs of (baseline factor - project factor) * distance, in ug; the trip's sum is floored
once to whole milligrams and is never below 0. No float anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from greentrip.methodology.file import Methodology, ModeRules
from greentrip.methodology.reasons import Reason
from greentrip.trip import Estimate, GapCause, Method, Mode

UG_PER_MG = 1000
UNKNOWN_STEP_M = 100
"""A mode that the file does not know earns nothing; its distance still leaves the phone no finer than this."""


@dataclass(frozen=True, slots=True)
class LegFacts:
    """What counts of a leg: whole metres, how they were found, and for a shared car the confirmed people."""

    mode: Mode
    distance_m: int
    method: Method
    people: int | None = None


@dataclass(frozen=True, slots=True)
class LegReduction:
    """What a leg earned: counted metres, micrograms (may be negative), and why."""

    counted_m: int
    ug: int
    reasons: tuple[Reason, ...]

    @property
    def earns(self) -> bool:
        return Reason.EARNS in self.reasons


@dataclass(frozen=True, slots=True)
class Reduction:
    """What a trip earned, in whole milligrams, and each leg's part."""

    mg: int
    legs: tuple[LegReduction, ...]


def reduce_trip(methodology: Methodology, day: date, legs: Sequence[LegFacts]) -> Reduction:
    """A trip's reduction under a methodology. Never negative; the phone and the server call this very function."""
    parts = tuple(reduce_leg(methodology, day, leg) for leg in legs)
    return Reduction(mg=max(0, sum(part.ug for part in parts)) // UG_PER_MG, legs=parts)


def reduce_leg(methodology: Methodology, day: date, leg: LegFacts) -> LegReduction:
    """One leg's part of the reduction, in micrograms."""
    rules = methodology.modes.get(leg.mode)
    refusal = _refusal(methodology, day, leg, rules)
    if refusal is not None or rules is None:
        return LegReduction(0, 0, (refusal or Reason.MODE_ABSENT,))
    rounded_m = round_distance(rules, leg.distance_m)
    counted_m = min(rounded_m, rules.leg_max_m)
    reasons = [Reason.EARNS]
    if counted_m < rounded_m:
        reasons.append(Reason.LENGTH_CAPPED)
    if counted_m == 0:
        reasons = [Reason.BELOW_STEP]
    margin = rules.baseline.ug_per_m - _project_ug_per_m(rules, leg.people)
    if counted_m and margin < 0:
        reasons.append(Reason.ABOVE_BASELINE)
    return LegReduction(counted_m, margin * counted_m, tuple(reasons))


def round_distance(rules: ModeRules, metres: int) -> int:
    """Whole metres rounded to the mode's step: to the nearest (half up) or down."""
    if metres < 0:
        raise ValueError(f"a distance is never negative: {metres}")
    half = rules.step_m // 2 if rules.nearest else 0
    return (metres + half) // rules.step_m * rules.step_m


def distance_to_record(methodology: Methodology, mode: Mode, estimate: Estimate) -> int:
    """The one distance of a leg that its record carries, in metres: the amount that counts.

    Between end points only the lower end of the interval counts, where that earns at all; else the best value is shown.
    A mode that earns by end points earns the straight line across a gap of its track too: it joins two known points.
    """
    rules = methodology.modes.get(mode)
    if rules is None:
        return estimate.metres // UNKNOWN_STEP_M * UNKNOWN_STEP_M
    if Method.ENDPOINTS not in rules.earns_by:
        return round_distance(rules, estimate.metres)
    if estimate.method is Method.ENDPOINTS:
        return round_distance(rules, estimate.low_m)
    return round_distance(rules, estimate.metres + _across_gaps_m(estimate))


def _across_gaps_m(estimate: Estimate) -> int:
    """Straight metres across what a track misses. Nobody can have travelled a jump, so it adds nothing."""
    if estimate.method is not Method.TRACK:
        return 0
    return sum(gap.straight_m for gap in estimate.gaps if gap.cause is not GapCause.JUMP)


def _refusal(methodology: Methodology, day: date, leg: LegFacts, rules: ModeRules | None) -> Reason | None:
    """Why a leg earns nothing whatever its length, or None."""
    if not methodology.in_force(day):
        return Reason.NOT_IN_FORCE
    if rules is None:
        return Reason.MODE_ABSENT
    if leg.method not in rules.earns_by:
        return Reason.NO_STATIONS if Method.RAIL in rules.earns_by else Reason.NO_TRACK
    if rules.shared and leg.people is None:
        return Reason.CARPOOL_UNCONFIRMED
    if rules.shared and not rules.people_min <= (leg.people or 0) <= rules.people_max:
        return Reason.CARPOOL_PEOPLE
    return None


def _project_ug_per_m(rules: ModeRules, people: int | None) -> int:
    if not rules.shared or people is None:
        return rules.project.ug_per_m
    return -(-rules.project.ug_per_m // people)  # rounded up: conservative
