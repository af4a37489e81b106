"""Records as a phone writes them, and as none should."""

import json
import random
import uuid
from collections.abc import Sequence
from datetime import date

from greentrip.methodology import Methodology, bundled, reduce_trip
from greentrip.record import RecordLeg, TripRecord
from greentrip.trip import Flag, Method, Mode, Route
from greentrip.wire import canonical

TODAY = "2026-03-05"
METRO = RecordLeg(Mode.RAIL, 34_960, 70, Method.RAIL, Route.NAMED)
METRO_MG = 2_517_120
"""What the published commute earns."""


def bus(distance_m: int = 5_000, minutes: int = 20) -> RecordLeg:
    """A ride by bus between two stops."""
    return RecordLeg(Mode.BUS, distance_m, minutes, Method.ENDPOINTS)


def record(
    day: str = TODAY,
    slot: int = 16,
    *legs: RecordLeg,
    id: str | None = None,
    dice: random.Random | None = None,
    methodology: Methodology | None = None,
    mg: int | None = None,
    province: int = 11,
    flags: Sequence[Flag] = (),
) -> TripRecord:
    """An honest record; what is given replaces a part of it."""
    bits = dice.getrandbits(128) if dice else uuid.uuid4().int
    by, legs = methodology or bundled(), legs or (METRO,)
    honest_mg = reduce_trip(by, date.fromisoformat(day), [leg.facts() for leg in legs]).mg
    return TripRecord(
        id=id or str(uuid.UUID(int=bits, version=4)),
        day=day,
        slot=slot,
        province=province,
        legs=legs,
        features=(),
        flags=tuple(flags),
        methodology=by.reference,
        reduction_mg=honest_mg if mg is None else mg,
        commitment=f"{bits:064x}",
    )


def line(*args, **kwargs) -> bytes:
    """`record(...)` as its bytes."""
    return record(*args, **kwargs).to_bytes()


def altered(line: bytes, **fields: object) -> bytes:
    """The canonical bytes of a record with other values, also such as no TripRecord can hold."""
    return canonical(json.loads(line) | fields)
