"""What an app shows: finished trips, counts and the account. Plain frozen data, safe to hold on to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import cast

from greentrip.correction import Answer
from greentrip.gaps import gap_texts
from greentrip.measure import Measured
from greentrip.methodology import LegReduction, Reason
from greentrip.question import Question
from greentrip.record import MeasuredLeg, duration_min
from greentrip.sampling import Settings, asked_for
from greentrip.states import NOT_FINAL, State
from greentrip.store import TripRow
from greentrip.trip import Gap, GapCause, Method, Mode, Point, Route, Station, china_day_and_slot


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
    gaps: tuple[Gap, ...] = ()
    """Each part that was not recorded; `gap_text` says it in a sentence."""


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
    question: Question | None = None
    """What the phone wants to know before it sends the trip: see `GreenTrip.answer`."""
    answer: Answer | None = None
    """What the person said of a withdrawn trip."""
    corrected_by: str | None = None
    """The id of the trip that took its place, if one did."""

    def gap_texts(self, lang: str = "en") -> list[str]:
        """What was not recorded of the trip, in sentences for the commuter."""
        return gap_texts([gap for leg in self.legs for gap in leg.gaps], lang)

    def why_not_sent(self, lang: str = "en") -> str:
        """The explanation for a trip that stays on the phone; empty for the others."""
        if self.state is State.WITHDRAWN:
            return _withdrawn(self.answer, self.corrected_by is not None, lang.startswith("zh"))
        if self.state is not State.LOCAL:
            return ""
        if lang.startswith("zh"):
            return "起点或终点不在本方法学适用的省市内：仅保存在本机，不上传"
        return "it starts or ends outside the provinces of the methodology: kept on this phone, not sent"


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts of this phone: recorded = local + waiting + asked + held + unsupported + set aside + all exits.

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
    asked: int = 0
    """Trips that wait for an answer: see `TripView.question`."""
    set_aside: int = 0
    """Records that the server let pass in no call; each trip's `rules` have its words. They are tried again daily."""
    rules: Mapping[str, int] = field(default_factory=dict)


def stats_of(states: Mapping[State, int], tallies: Mapping[str, int], trips: Sequence[TripRow]) -> Stats:
    """The counts of a store."""
    rules: dict[str, int] = {}
    for trip in views_of(trips):
        for rule in trip.rules:
            rules[rule.id] = rules.get(rule.id, 0) + 1
    exits = {state: number for state, number in states.items() if state not in NOT_FINAL}
    erased = tallies.get("erased", 0) + exits.get(State.ERASED, 0)
    return Stats(
        recorded=tallies.get("recorded", 0) + tallies.get("local", 0),
        local=tallies.get("local", 0),
        cancelled=tallies.get("cancelled", 0),
        waiting=sum(states.get(state, 0) for state in (State.PENDING, State.LEASED)),
        asked=states.get(State.ASKED, 0),
        set_aside=states.get(State.SET_ASIDE, 0),
        states=dict(states),
        exits=exits | ({State.ERASED: erased} if erased else {}),
        refused=tallies.get("refused", 0),
        rules=rules,
    )


@dataclass(frozen=True, slots=True)
class Sampling:
    """How many fixes the finished legs of a mode asked the phone for: those that came, and the tries in vain."""

    mode: Mode
    legs: int
    seconds: int
    fixes: int
    asked: int

    @property
    def asked_an_hour(self) -> float:
        """Fixes asked for in an hour of that mode."""
        return self.asked * 3600 / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class Account:
    """The account as the server knows it, in milligrams, and what still waits on this phone."""

    id: str
    balance_mg: int
    trips: Mapping[str, int]
    waiting: int
    waiting_mg: int


@dataclass(frozen=True, slots=True)
class Notice:
    """A decision of the server about a trip: `kind` says what happened, `status` how the trip stands since."""

    number: int
    at: str
    kind: str
    trip: str | None
    status: str | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the statement: milligrams added, and the balance after it."""

    at: str
    kind: str
    trip: str | None
    mg: int
    balance_mg: int


def _withdrawn(answer: Answer | None, replaced: bool, zh: bool) -> str:
    """Why a trip was withdrawn, by what the person said."""
    if replaced:
        return "您已更正出行方式：以更正后的出行为准" if zh else "you corrected it: the corrected trip counts instead"
    what = _ANSWERS.get(answer or Answer.OTHER, _ANSWERS[Answer.OTHER])[1 if zh else 0]
    if zh:
        return f"您说明这是{what}，不属于低碳出行方式：仅保存在本机，不上传"
    return f"you said that it was {what}, which is no mode of the programme: kept on this phone, not sent"


_ANSWERS = {
    Answer.CAR: ("a car", "小汽车"),
    Answer.EBIKE: ("an e-bike", "电动自行车"),
    Answer.OTHER: ("something else", "其他方式"),
}


def label(place: Point | Station) -> str:
    """A place in words."""
    return place.name if isinstance(place, Station) else f"{place.lat:.5f}, {place.lon:.5f}"


def summary_of(measured: Measured, question: Question | None = None) -> dict[str, object]:
    """What the store keeps for showing a trip."""
    first, last = measured.legs[0].leg, measured.legs[-1].leg
    return {
        "question": None if question is None else asdict(question),
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
        "gaps": [[gap.from_at, gap.to_at, gap.straight_m, gap.cause] for gap in estimate.gaps],
        "sampling": _sampled(item),
        "ug": part.ug,
        "reasons": [*part.reasons, *_said_by_the_phone(item)],
    }


def _sampled(item: MeasuredLeg) -> dict[str, int]:
    leg = item.leg
    settings = Settings(leg.mode, on_network=item.estimate.method is Method.RAIL)
    asked = asked_for(settings, leg.started_at, leg.fixes, leg.ended_at)
    return {"seconds": round(leg.duration_s), "fixes": len(leg.fixes), "asked": asked}


def sampling_of(rows: Sequence[TripRow]) -> tuple[Sampling, ...]:
    """What was asked for by mode, over stored trips. Those of an older version did not count it."""
    counts: dict[str, list[tuple[int, int, int]]] = {}
    for row in rows:
        with suppress(KeyError, TypeError, ValueError):  # not counted, or damaged
            for leg in cast("Sequence[dict[str, object]]", row.summary["legs"]):
                sampled = cast("dict[str, int]", leg["sampling"])
                count = int(sampled["seconds"]), int(sampled["fixes"]), int(sampled["asked"])
                counts.setdefault(str(leg["mode"]), []).append(count)
    return tuple(
        Sampling(mode, len(counts[mode]), *(sum(column) for column in zip(*counts[mode], strict=True)))
        for mode in Mode
        if mode in counts
    )


def _said_by_the_phone(item: MeasuredLeg) -> list[Reason]:
    """What only the phone knows: the server sees the metres that count, not the changes that were named."""
    named_in_vain = item.leg.changes and item.estimate.route is Route.SHORTEST
    return [Reason.NAMED_TOO_LONG] if named_in_vain else []


def views_of(rows: Sequence[TripRow]) -> list[TripView]:
    """Stored trips as an app shows them; one whose summary was damaged is still sent, and cannot be shown."""
    found = []
    for row in rows:
        with suppress(KeyError, ValueError, TypeError):
            found.append(view_of(row))
    return found


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
        # What the person withdrew earns nothing; the trip in its place, if any, has its own figure.
        reduction_mg=0 if row.state is State.WITHDRAWN else cast("int", summary["reduction_mg"]),
        state=row.state,
        record=row.record,
        official_mg=official if isinstance(official, int) else None,
        rules=_aside(row) or tuple(read_rules(result.get("rules"))),
        question=_question_of(summary) if row.state is State.ASKED else None,
        answer=Answer(str(summary["answer"])) if summary.get("answer") else None,
        corrected_by=cast("str | None", summary.get("corrected_by")),
    )


def _aside(row: TripRow) -> tuple[Rule, ...]:
    """What the server said of a record that it never let pass."""
    if row.state is not State.SET_ASIDE or row.why is None:
        return ()
    return (Rule(State.SET_ASIDE, "hold", *(str(row.why.get(lang, "")) for lang in ("en", "zh"))),)


def _question_of(summary: Mapping[str, object]) -> Question:
    value = cast("dict[str, object]", summary["question"])
    choices = tuple(Answer(choice) for choice in cast("list[str]", value["choices"]))
    leg, claimed = cast("int", value["leg"]), Mode(str(value["claimed"]))
    return Question(leg, claimed, choices, str(value["en"]), str(value["zh"]))


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
    plain.pop("sampling", None)
    # Trips that an older version recorded say only whether there was a gap.
    rows = cast("list[tuple[float, float, int, str]]", value.get("gaps", []))
    plain["gaps"] = tuple(Gap(since, until, metres, GapCause(cause)) for since, until, metres, cause in rows)
    return LegView(**plain)  # type: ignore[arg-type]  # the keys are those of _leg_to_json
