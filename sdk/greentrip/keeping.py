"""From a measured trip to what is kept of it: its record's bytes are fixed here, and a doubt becomes a question.

Pure: the clock and the dice of the salts aside, the same trip gives the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from greentrip.correction import legs_of_evidence
from greentrip.measure import Measured
from greentrip.methodology import Methodology
from greentrip.question import ANSWER_DAYS, question_about
from greentrip.record import Evidence, MeasuredTrip, decode, desensitise
from greentrip.store import NewTrip, TripRow
from greentrip.trip import Flag, Leg
from greentrip.views import summary_of

DAY_MS = 86_400_000


def kept(
    trip_id: str,
    measured: Measured,
    methodology: Methodology,
    now: float,
    likenesses: Sequence[str] = (),
    *,
    ask: bool = False,
) -> NewTrip:
    """A measured trip as it is kept at `now` (Unix seconds). `ask`: doubts are put to the person before it is sent."""
    trip = MeasuredTrip(
        id=trip_id,
        legs=measured.legs,
        province=measured.province or 0,
        methodology=methodology.reference,
        reduction_mg=measured.reduction.mg,
        flags=measured.flags,
    )
    record, evidence = desensitise(trip)
    line = record.to_bytes() if measured.province is not None else None
    question = question_about(measured) if ask and line is not None else None
    now_ms = round(now * 1000)
    ask_until_ms = None if question is None else now_ms + round(ANSWER_DAYS * DAY_MS)
    return NewTrip(trip_id, now_ms, summary_of(measured, question), evidence, line, ask_until_ms, likenesses)


def kept_legs(evidence: Evidence) -> list[Leg]:
    """The legs of a kept trip, as they were measured."""
    return legs_of_evidence(evidence.levels[-1])


def kept_flags(trip: TripRow) -> frozenset[Flag]:
    """What the phone said of a kept trip's positions (mock, repeated, replayed): true whatever the mode was."""
    return frozenset(decode(trip.record).flags) if trip.record else frozenset()
