"""What a check says, and what all of them together decide. Nothing here knows a rule."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from greentrip.wire import JsonValue


class Severity(StrEnum):
    """What follows when a rule has something to say."""

    REJECT = "reject"
    """Final: the bytes can never be right."""
    HOLD = "hold"
    """Not final: until a day, or until a person has looked."""
    NOTE = "note"
    """The trip counts; this is said beside it."""


class Status(StrEnum):
    """What becomes of the record, as in the protocol's results."""

    ACCEPTED = "accepted"
    HELD = "held"
    REJECTED = "rejected"
    ERASED = "erased"
    """By the person, never by a check: only its id and its hash are left."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One thing that one rule says of a record: what is wrong and what the commuter can do."""

    rule: str
    severity: Severity
    en: str
    zh: str
    held_until: date | None = None
    """The day on which the hold ends by itself; None when a person must look."""
    details: Mapping[str, int | str] = field(default_factory=dict, hash=False)
    """The numbers in the text, for programs."""

    def text(self, lang: str = "en") -> str:
        """The sentence in Chinese (`lang` begins with "zh") or English."""
        return self.zh if lang.startswith("zh") else self.en

    def to_json(self) -> dict[str, JsonValue]:
        """As it stands in `rules[]` of a result."""
        value: dict[str, JsonValue] = {
            "rule": self.rule,
            "severity": self.severity.value,
            "en": self.en,
            "zh": self.zh,
            "details": dict(self.details),
        }
        if self.held_until is not None:
            value["held_until"] = self.held_until.isoformat()
        return value


@dataclass(frozen=True, slots=True)
class Verdict:
    """What all outcomes together decide. `held_until` is set only when the hold ends by itself."""

    status: Status
    held_until: date | None = None


def verdict(outcomes: Iterable[Outcome]) -> Verdict:
    """The gravest severity decides; a hold ends by itself only when every hold has a date, on the latest of them."""
    found = list(outcomes)
    if any(outcome.severity is Severity.REJECT for outcome in found):
        return Verdict(Status.REJECTED)
    holds = [outcome.held_until for outcome in found if outcome.severity is Severity.HOLD]
    if not holds:
        return Verdict(Status.ACCEPTED)
    dates = [day for day in holds if day is not None]
    return Verdict(Status.HELD, max(dates) if len(dates) == len(holds) else None)
