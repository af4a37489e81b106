"""The question that the phone puts before a trip is sent, when a leg does not look like the mode that was claimed."""

from __future__ import annotations

from dataclasses import dataclass

from greentrip.correction import Answer
from greentrip.evidence import Features, features_of, question_of
from greentrip.measure import Measured
from greentrip.record import MeasuredLeg, duration_min
from greentrip.trip import Method, Mode

ANSWER_DAYS = 3.0
"""A question that nobody answers lapses after this: the trip is then sent as it was claimed, and nothing is lost."""


@dataclass(frozen=True, slots=True)
class Question:
    """Asks how a leg was really travelled; `choices` are the answers to offer, the claimed mode first."""

    leg: int
    claimed: Mode
    choices: tuple[Answer, ...]
    en: str
    zh: str

    def text(self, lang: str = "en") -> str:
        """The question in Chinese (`lang` begins with "zh") or English."""
        return self.zh if lang.startswith("zh") else self.en


def question_about(measured: Measured) -> Question | None:
    """What to ask about a measured trip: of its first leg in doubt, since a trip is asked about once."""
    for index, item in enumerate(measured.legs):
        minutes = duration_min(item.leg.duration_s)
        doubt = question_of(item.leg.mode, _features(index, item), item.distance_m, minutes)
        if doubt is not None:
            return Question(index, doubt.claimed, doubt.choices, doubt.en, doubt.zh)
    return None


def _features(index: int, item: MeasuredLeg) -> Features | None:
    """Those of the record; or of a leg whose fixes are all too fast for its mode, which its end points measured."""
    return features_of(index, item.leg) if item.estimate.method is Method.ENDPOINTS else item.features
