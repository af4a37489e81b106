"""What a rule may know of a record, and what a rule is. The caller reads it all under the account's lock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from greentrip.methodology import Methodology
from greentrip.record import TripRecord
from greentrip_server.checks.outcome import Outcome, Severity
from greentrip_server.checks.overlap import Occupied
from greentrip_server.checks.policy import Policy


@dataclass(frozen=True, slots=True)
class Others:
    """What the rules may know beside the record; read by the caller under the account's lock."""

    same_account: tuple[Occupied, ...] = ()
    """Accepted trips of the account on the day and `overlap.NEIGHBOUR_DAYS` before and after; without this one."""
    trips_that_day: int = 0
    """Accepted trips of the account on the record's day; without this one."""
    accounts_with_equal_features: int = 0
    """Other accounts with the same `features_sha256`: the same day, slot, legs and features."""


@dataclass(frozen=True, slots=True)
class Context:
    """Everything that decides about one record."""

    record: TripRecord
    today: date
    """The day at UTC+8."""
    methodology: Methodology | None
    """The official one for the record's day and province; None when there is none."""
    official_mg: int
    """The figure under it, from the record alone: confirmed companions in a car come later."""
    same_file: bool
    """Whether the record cites the official methodology's file."""
    others: Others
    policy: Policy
    environment: Literal["development", "production"]
    provinces_served: frozenset[int] = field(default_factory=frozenset)
    """The provinces of all methodologies of this server, whatever the day: tells "not yet" from "never"."""

    @property
    def day(self) -> date:
        return date.fromisoformat(self.record.day)


@dataclass(frozen=True, slots=True)
class Rule:
    """A row of the table. `severity` is the gravest that the rule uses by default."""

    id: str
    check: Callable[[Context], list[Outcome]]
    severity: Severity
    en: str
    zh: str
