"""What an app shows: finished trips, counts and the account. Plain frozen data, safe to hold on to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast

from greentrip.measure import Measured
from greentrip.methodology import LegReduction, Reason
from greentrip.record import MeasuredLeg, duration_min
from greentrip.store import State, TripRow
from greentrip.trip import Method, Mode, Point, Route, Station, china_day_and_slot


@dataclass(frozen=True, slots=True)
class LegView:
    """A leg as the commuter sees it: metres with an interval, how measured, what it earned and why."""

    mode: Mode
    start: str
    end: str
    minutes: int
    metres: int
    low_m: int
    high_m: int
    counted_m: int
    method: Method
    route: Route | None
    changes: tuple[str, ...]
    gap: bool
    ug: int
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """A check that the server applied: its id, its severity and its sentence in both languages."""

    id: str
    severity: str
    en: str
    zh: str

    def text(self, lang: str = "en") -> str:
        return self.zh if lang.startswith("zh") else self.en


@dataclass(frozen=True, slots=True)
class TripView:
    """A finished trip: what the phone knows, and the server's last word (`official_mg`, `rules`) once there is one."""

    id: str
    day: str
    started_at: datetime
    ended_at: datetime
    legs: tuple[LegView, ...]
    reduction_mg: int
    state: State
    record: bytes | None
    """The exact bytes that leave the phone; None for a trip that is not sent."""
    official_mg: int | None = None
    rules: tuple[Rule, ...] = ()

    def why_not_sent(self, lang: str = "en") -> str:
        """The explanation for a trip that stays on the phone; empty for the others."""
        if self.state is not State.LOCAL:
            return ""
        if lang.startswith("zh"):
            return "起点或终点不在本方法学适用的省市内：仅保存在本机，不上传"
        return "it starts or ends outside the provinces of the methodology: kept on this phone, not sent"


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts of this phone: recorded = local + waiting + held + unsupported + all exits.

    `exits` says how records left the queue for good, by state; `rules` why some did not count. `refused` counts the
    times that a trip could not be taken in (disk or queue full): it stayed in progress, maybe to be finished later.
    """

    recorded: int
    local: int
    cancelled: int
    waiting: int
    states: Mapping[State, int]
    exits: Mapping[State, int]
    refused: int = 0
    rules: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Account:
    """The account as the server knows it, in milligrams, and what still waits on this phone."""

    id: str
    balance_mg: int
    trips: Mapping[str, int]
    waiting: int
    waiting_mg: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the statement: milligrams added, and the balance after it."""

    at: str
    kind: str
    trip: str | None
    mg: int
    balance_mg: int


def label(place: Point | Station) -> str:
    """A place in words."""
    return place.name if isinstance(place, Station) else f"{place.lat:.5f}, {place.lon:.5f}"


def summary_of(measured: Measured) -> dict[str, object]:
    """What the store keeps for showing a trip."""
    first, last = measured.legs[0].leg, measured.legs[-1].leg
    return {
        "started_at": first.started_at,
        "ended_at": last.ended_at,
        "reduction_mg": measured.reduction.mg,
        "legs": [_leg_to_json(item, part) for item, part in zip(measured.legs, measured.reduction.legs, strict=True)],
    }


def _leg_to_json(item: MeasuredLeg, part: LegReduction) -> dict[str, object]:
    leg, estimate = item.leg, item.estimate
    start, end = estimate.stations or (label(leg.start), label(leg.end))
    return {
        "mode": leg.mode,
        "start": start,
        "end": end,
        "minutes": duration_min(leg.duration_s),
        "metres": estimate.metres,
        "low_m": estimate.low_m,
        "high_m": estimate.high_m,
        "counted_m": part.counted_m,
        "method": estimate.method,
        "route": estimate.route,
        "changes": list(estimate.changes),
        "gap": estimate.gap,
        "ug": part.ug,
        "reasons": [*part.reasons, *_said_by_the_phone(item)],
    }


def _said_by_the_phone(item: MeasuredLeg) -> list[Reason]:
    """What only the phone knows: the server sees the metres that count, not the changes that were named."""
    named_in_vain = item.leg.changes and item.estimate.route is Route.SHORTEST
    return [Reason.NAMED_TOO_LONG] if named_in_vain else []


def view_of(row: TripRow) -> TripView:
    """A stored trip as an app shows it."""
    summary = row.summary
    started_at = float(str(summary["started_at"]))
    result = row.result or {}
    official = result.get("official_mg")
    return TripView(
        id=row.id,
        day=china_day_and_slot(started_at)[0],
        started_at=datetime.fromtimestamp(started_at, UTC),
        ended_at=datetime.fromtimestamp(float(str(summary["ended_at"])), UTC),
        legs=tuple(_leg_from_json(leg) for leg in cast("Sequence[dict[str, object]]", summary["legs"])),
        reduction_mg=cast("int", summary["reduction_mg"]),
        state=row.state,
        record=row.record,
        official_mg=official if isinstance(official, int) else None,
        rules=tuple(read_rules(result.get("rules"))),
    )


def read_rules(value: object) -> list[Rule]:
    """The rules in a server's result; what is not one is left out."""
    if not isinstance(value, list):
        return []
    keys = ("rule", "severity", "en", "zh")
    return [
        Rule(*(str(item.get(key, "")) for key in keys)) for item in value if isinstance(item, dict) and "rule" in item
    ]


def _leg_from_json(value: dict[str, object]) -> LegView:
    plain = dict(value)
    plain["mode"] = Mode(str(value["mode"]))
    plain["method"] = Method(str(value["method"]))
    plain["route"] = Route(str(value["route"])) if value["route"] else None
    plain["changes"] = tuple(cast("list[str]", value["changes"]))
    plain["reasons"] = tuple(Reason(reason) for reason in cast("list[str]", value["reasons"]))
    return LegView(**plain)  # type: ignore[arg-type]  # the keys are those of _leg_to_json
