"""What a person answers when the phone asks how a leg was really travelled, and the legs that follow from it.

Nothing has been sent by then. The legs come from the kept evidence, so a correction is measured like any other trip.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any

from greentrip.errors import InvalidInput
from greentrip.trip import Fix, Leg, Mode, Place, Point, Station

E7 = 10**7


class Answer(StrEnum):
    """How a leg was really travelled: a mode of the standard, or something that is none."""

    WALK = "walk"
    CYCLE = "cycle"
    BUS = "bus"
    RAIL = "rail"
    CARPOOL = "carpool"
    CAR = "car"
    EBIKE = "ebike"
    OTHER = "other"

    @property
    def mode(self) -> Mode | None:
        """The mode of the standard, or None: alone in a car, a taxi, an e-bike, a ferry count nothing."""
        return Mode(self.value) if self.value in tuple(Mode) else None


def check_answer(answer: Answer | Mode | str) -> Answer:
    """The answer, or `InvalidInput` that lists the answers there are."""
    try:
        return Answer(answer)
    except ValueError:
        known = ", ".join(Answer)
        raise InvalidInput("answer", f"{answer!r} is not one of {known}", f"{answer!r} 不是有效回答：{known}") from None


def corrected(legs: Sequence[Leg], index: int, answer: Answer) -> list[Leg]:
    """The trip's legs with that answer for leg number `index`; a leg in none of our modes is left out."""
    if answer.mode is None:
        return [*legs[:index], *legs[index + 1 :]]
    changes = legs[index].changes if answer.mode is Mode.RAIL else ()
    return [*legs[:index], replace(legs[index], mode=answer.mode, changes=changes), *legs[index + 1 :]]


def legs_of_evidence(raw: bytes) -> list[Leg]:
    """The legs in the third level of a trip's evidence (record.py writes it): to the millisecond and centimetre."""
    return [_leg(value) for value in json.loads(raw)["legs"]]


def _leg(value: dict[str, Any]) -> Leg:
    return Leg(
        mode=Mode(value["mode"]),
        start=_place(value["from"]),
        end=_place(value["to"]),
        started_at=value["started_ms"] / 1000,
        ended_at=value["ended_ms"] / 1000,
        fixes=tuple(_fix(*row) for row in value["fixes"]),
        changes=tuple(value["changes"]),
        stops=tuple((since / 1000, until / 1000) for since, until in value.get("stops", [])),
    )


def _fix(at_ms: int, lat_e7: int, lon_e7: int, accuracy_dm: int) -> Fix:
    return Fix(_point(lat_e7, lon_e7), at_ms / 1000, None if accuracy_dm == -1 else accuracy_dm / 10)


def _place(value: dict[str, Any]) -> Place:
    return Station(value["station"]) if "station" in value else _point(*value["e7"])


def _point(lat_e7: int, lon_e7: int) -> Point:
    return Point(lat_e7 / E7, lon_e7 / E7)
