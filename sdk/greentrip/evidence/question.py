"""What the phone asks the commuter when a leg does not look like the mode that was chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from greentrip.correction import Answer
from greentrip.evidence.bands import Kind
from greentrip.evidence.features import Features
from greentrip.evidence.scorecard import Verdict, fit
from greentrip.evidence.words import kinds_text
from greentrip.trip import Mode


@dataclass(frozen=True, slots=True)
class Doubt:
    """A question in both languages, and the answers to offer: the claimed mode first, then what fits better."""

    claimed: Mode
    choices: tuple[Answer, ...]
    en: str
    zh: str

    def text(self, lang: str = "en") -> str:
        """The question in Chinese (`lang` begins with "zh") or English."""
        return self.zh if lang.startswith("zh") else self.en


_ANSWERS: Mapping[Kind, tuple[Answer, ...]] = {
    Kind.WALK: (Answer.WALK,),
    Kind.CYCLE: (Answer.CYCLE,),
    Kind.EBIKE: (Answer.EBIKE,),
    Kind.BUS: (Answer.BUS,),
    Kind.RAIL: (Answer.RAIL,),
    Kind.CAR: (Answer.CAR, Answer.CARPOOL),
}


def question_of(mode: Mode, features: Features | None, distance_m: int, duration_min: int) -> Doubt | None:
    """The question about a leg whose speeds fit something else clearly better than its mode, else None."""
    found = fit(mode, features, distance_m, duration_min)
    if found.verdict is not Verdict.ASK:
        return None
    others = [answer for kind in found.better for answer in _ANSWERS[kind]]
    return Doubt(
        claimed=mode,
        choices=(Answer(mode.value), *(answer for answer in others if answer.value != mode.value), Answer.OTHER),
        en=f"This leg was recorded as {kinds_text([found.claimed])}, but it looks like {found.better_text()}: "
        f"{found.why_text()}. How did you travel?",
        zh=f"本段记录为{kinds_text([found.claimed], 'zh')}，但看起来像{found.better_text('zh')}："
        f"{found.why_text('zh')}。您实际的出行方式是？",
    )
