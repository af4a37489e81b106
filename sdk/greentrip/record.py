"""The border: what may leave the phone about a trip, and nothing else. See docs/reference/record.md.

`desensitise` is the only door. A record is a white list of coarse values; its canonical bytes are fixed once, hashed,
and never change again. Points, fixes, intervals and station names stay in the phone's store, under a commitment that
can be opened level by level.
"""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import cast

from greentrip.errors import InvalidInput
from greentrip.evidence import (
    SPEED_KMH_MAX,
    SPEED_STEP_KMH,
    STOPPED_STEP_PERCENT,
    Features,
    coarse_cells,
    speeds_by_minute,
)
from greentrip.methodology import LegFacts
from greentrip.trip import Estimate, Flag, Leg, Method, Mode, Place, Point, Route, china_day_and_slot
from greentrip.wire import LEG_COUNT_MAX, RECORD_BYTES_MAX, JsonValue, canonical, parse_canonical, sha256_hex

VERSION = 1
DISTANCE_M_MAX = 1_000_000
DURATION_MIN_MAX = 24 * 60
LONG_FROM_MIN = 60
LONG_STEP_MIN = 5
SALT_BYTES = 16
LEVELS = 3
_OTHER_SIZES = [32] * (LEVELS - 1)

_UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_REFERENCE = re.compile(r"[!-?A-~]{1,64}@[0-9a-f]{16}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class RecordInvalid(InvalidInput):
    """The bytes can never be a right record: `field` says where."""


class RecordUnsupported(InvalidInput):
    """A version, field, mode or method that this software does not know: keep the record, an update may read it."""


@dataclass(frozen=True, slots=True)
class RecordLeg:
    """A leg as it leaves the phone: metres that count, minutes rounded up, how measured."""

    mode: Mode
    distance_m: int
    duration_min: int
    method: Method
    route: Route | None = None

    def facts(self, people: int | None = None) -> LegFacts:
        """What the formula needs of this leg; `people` comes from confirmed tickets, never from the record."""
        return LegFacts(self.mode, self.distance_m, self.method, people)


@dataclass(frozen=True, slots=True)
class TripRecord:
    """All that may leave the phone about a trip."""

    id: str
    day: str
    slot: int
    province: int
    legs: tuple[RecordLeg, ...]
    features: tuple[Features, ...]
    flags: tuple[Flag, ...]
    methodology: str
    reduction_mg: int
    commitment: str
    v: int = VERSION

    def to_bytes(self) -> bytes:
        """The canonical bytes, checked by reading them back."""
        line = canonical(
            {
                "v": self.v,
                "id": self.id,
                "day": self.day,
                "slot": self.slot,
                "province": self.province,
                "legs": [_leg_to_json(leg) for leg in self.legs],
                "features": [asdict(features) for features in self.features],
                "flags": list(self.flags),
                "methodology": self.methodology,
                "reduction_mg": self.reduction_mg,
                "commitment": self.commitment,
            }
        )
        if decode(line) != self:
            raise ValueError("a record must read back as itself")
        return line


@dataclass(frozen=True, slots=True)
class Evidence:
    """What stays on the phone: the canonical levels (speeds by minute, coarse cells, raw trip) and their salts."""

    levels: tuple[bytes, bytes, bytes]
    salts: tuple[bytes, bytes, bytes]

    def parts(self) -> list[bytes]:
        """c1, c2, c3: ci = SHA-256(salt_i || level_i)."""
        return [bytes.fromhex(sha256_hex(salt + level)) for salt, level in zip(self.salts, self.levels, strict=True)]

    def commitment(self) -> str:
        """SHA-256(c1 || c2 || c3) in hex: what the record carries."""
        return sha256_hex(b"".join(self.parts()))


def opens(commitment: str, level: int, content: bytes, salt: bytes, others: Sequence[bytes]) -> bool:
    """Whether `content` is level 1..3 of a commitment; `others` are the two other parts, in order."""
    # Parts of other sizes could pass one level off as another: the sum of their bytes would be the same.
    if level not in range(1, LEVELS + 1) or len(salt) != SALT_BYTES or [len(part) for part in others] != _OTHER_SIZES:
        return False
    parts = list(others)
    parts.insert(level - 1, bytes.fromhex(sha256_hex(salt + content)))
    return sha256_hex(b"".join(parts)) == commitment


@dataclass(frozen=True, slots=True)
class MeasuredLeg:
    """A leg with its estimate and the one distance that counts; still all on the phone."""

    leg: Leg
    estimate: Estimate
    distance_m: int
    features: Features | None


@dataclass(frozen=True, slots=True)
class MeasuredTrip:
    """A finished trip as the phone knows it."""

    id: str
    legs: tuple[MeasuredLeg, ...]
    province: int
    methodology: str
    reduction_mg: int
    flags: frozenset[Flag] = field(default_factory=frozenset)


def desensitise(trip: MeasuredTrip) -> tuple[TripRecord, Evidence]:
    """The record that may leave the phone, and the evidence that stays. The only door between the two."""
    day, slot = china_day_and_slot(trip.legs[0].leg.started_at)
    evidence = _evidence(trip)
    record = TripRecord(
        id=trip.id,
        day=day,
        slot=slot,
        province=trip.province,
        legs=tuple(
            RecordLeg(
                mode=item.leg.mode,
                distance_m=item.distance_m,
                duration_min=duration_min(item.leg.duration_s),
                method=item.estimate.method,
                route=item.estimate.route,
            )
            for item in trip.legs
        ),
        features=tuple(item.features for item in trip.legs if item.features is not None),
        flags=tuple(sorted(trip.flags)),
        methodology=trip.methodology,
        reduction_mg=trip.reduction_mg,
        commitment=evidence.commitment(),
    )
    return record, evidence


def duration_min(seconds: float) -> int:
    """Minutes rounded up: to the next 1, from 60 on to the next 5; at least 1."""
    minutes = max(1, math.ceil(seconds / 60))
    return minutes if minutes < LONG_FROM_MIN else math.ceil(minutes / LONG_STEP_MIN) * LONG_STEP_MIN


def decode(line: bytes) -> TripRecord:
    """The record in a line. Raises `RecordInvalid` or `RecordUnsupported`, each naming the field."""
    if len(line) > RECORD_BYTES_MAX:
        raise RecordInvalid("line", f"longer than {RECORD_BYTES_MAX} bytes", f"超过 {RECORD_BYTES_MAX} 字节")
    try:
        value = parse_canonical(line)
    except InvalidInput as error:
        raise RecordInvalid("line", error.en, error.zh) from None
    if not isinstance(value, dict):
        raise RecordInvalid("line", "not an object", "不是对象")
    return _decode_object(cast("dict[str, JsonValue]", value))


def _decode_object(value: dict[str, JsonValue]) -> TripRecord:
    version = _integer(value, "v", 1, 1_000)
    if version != VERSION:
        raise RecordUnsupported("v", f"version {version} is not known here", f"不支持版本 {version}")
    _only(value, "", _RECORD_FIELDS)
    legs = tuple(_decode_leg(item, f"legs[{i}].") for i, item in enumerate(_items(value, "legs", 1, LEG_COUNT_MAX)))
    record = TripRecord(
        id=_matching(value, "id", _UUID4, "a lower-case UUIDv4"),
        day=_day(value),
        slot=_integer(value, "slot", 0, 47),
        province=_integer(value, "province", 11, 82),
        legs=legs,
        features=tuple(
            _decode_features(item, f"features[{i}].", len(legs))
            for i, item in enumerate(_items(value, "features", 0, len(legs)))
        ),
        flags=tuple(Flag(_word(flag, f"flags[{i}]", Flag)) for i, flag in enumerate(_list(value, "flags", 0, 8))),
        methodology=_matching(value, "methodology", _REFERENCE, "id@ and 16 hex digits"),
        reduction_mg=_integer(value, "reduction_mg", 0, 10**12),
        commitment=_matching(value, "commitment", _SHA256, "64 hex digits"),
    )
    if list(record.flags) != sorted(set(record.flags)):
        raise _invalid("flags", "must be sorted, each once")
    if [f.leg for f in record.features] != sorted({f.leg for f in record.features}):
        raise _invalid("features", "must be sorted by leg, each once")
    return record


_RECORD_FIELDS = (
    "v",
    "id",
    "day",
    "slot",
    "province",
    "legs",
    "features",
    "flags",
    "methodology",
    "reduction_mg",
    "commitment",
)
_LEG_FIELDS = ("mode", "distance_m", "duration_min", "method")
_SPEED_FIELDS = ("median_kmh", "p85_kmh", "p95_kmh", "moving_kmh")
_FEATURE_FIELDS = ("leg", *_SPEED_FIELDS, "stopped_percent", "fixes")


def _decode_leg(value: Mapping[str, JsonValue], path: str) -> RecordLeg:
    method = Method(_word(value.get("method"), f"{path}method", Method))
    _only(value, path, (*_LEG_FIELDS, "route") if method is Method.RAIL else _LEG_FIELDS)
    leg = RecordLeg(
        mode=Mode(_word(value.get("mode"), f"{path}mode", Mode)),
        distance_m=_integer(value, "distance_m", 0, DISTANCE_M_MAX, path),
        duration_min=_integer(value, "duration_min", 1, DURATION_MIN_MAX, path),
        method=method,
        route=Route(_word(value.get("route"), f"{path}route", Route)) if method is Method.RAIL else None,
    )
    if leg.duration_min >= LONG_FROM_MIN and leg.duration_min % LONG_STEP_MIN:
        raise _invalid(f"{path}duration_min", f"from {LONG_FROM_MIN} on a multiple of {LONG_STEP_MIN}")
    if method is Method.RAIL and leg.mode is not Mode.RAIL:
        raise _invalid(f"{path}method", "rail is for rail legs")
    return leg


def _decode_features(value: Mapping[str, JsonValue], path: str, legs: int) -> Features:
    _only(value, path, _FEATURE_FIELDS)
    speeds = {key: _integer(value, key, 0, SPEED_KMH_MAX, path) for key in _SPEED_FIELDS}
    for key, speed in speeds.items():
        if speed % SPEED_STEP_KMH:
            raise _invalid(f"{path}{key}", f"speeds come in steps of {SPEED_STEP_KMH} km/h")
    if not speeds["median_kmh"] <= speeds["p85_kmh"] <= speeds["p95_kmh"]:
        raise _invalid(f"{path}p85_kmh", "lies between median_kmh and p95_kmh")
    stopped_percent = _integer(value, "stopped_percent", 0, 100, path)
    if stopped_percent % STOPPED_STEP_PERCENT:
        raise _invalid(f"{path}stopped_percent", f"comes in steps of {STOPPED_STEP_PERCENT}")
    return Features(
        leg=_integer(value, "leg", 0, legs - 1, path),
        **speeds,
        stopped_percent=stopped_percent,
        fixes=_integer(value, "fixes", 0, 3, path),
    )


def _leg_to_json(leg: RecordLeg) -> dict[str, JsonValue]:
    value: dict[str, JsonValue] = {
        "mode": leg.mode,
        "distance_m": leg.distance_m,
        "duration_min": leg.duration_min,
        "method": leg.method,
    }
    if leg.route is not None:
        value["route"] = leg.route
    return value


def _evidence(trip: MeasuredTrip) -> Evidence:
    legs = [item.leg for item in trip.legs]
    speeds: JsonValue = {"legs": [speeds_by_minute(leg) for leg in legs]}
    cells: JsonValue = {"legs": [[list(cell) for cell in coarse_cells(leg)] for leg in legs]}
    raw: JsonValue = {"id": trip.id, "legs": [_raw_leg(item) for item in trip.legs]}
    salts = tuple(secrets.token_bytes(SALT_BYTES) for _ in range(LEVELS))
    return Evidence(
        levels=(canonical(speeds), canonical(cells), canonical(raw)),
        salts=cast("tuple[bytes, bytes, bytes]", salts),
    )


def _raw_leg(item: MeasuredLeg) -> dict[str, JsonValue]:
    leg, estimate = item.leg, item.estimate
    return {
        "mode": leg.mode,
        "from": _raw_place(leg.start),
        "to": _raw_place(leg.end),
        "started_ms": round(leg.started_at * 1000),
        "ended_ms": round(leg.ended_at * 1000),
        "changes": list(leg.changes),
        "stations": list(estimate.stations or ()),
        "metres": [estimate.low_m, estimate.metres, estimate.high_m],
        "stops": [[round(since * 1000), round(until * 1000)] for since, until in leg.stops],
        "fixes": [
            [round(f.at * 1000), *_e7(f.point), -1 if f.accuracy_m is None else round(f.accuracy_m * 10)]
            for f in leg.fixes
        ],
    }


def _raw_place(place: Place) -> dict[str, JsonValue]:
    return {"e7": _e7(place)} if isinstance(place, Point) else {"station": place.name}


def _e7(point: Point) -> list[int]:
    """Degrees as integers of 1e-7 (about a centimetre)."""
    return [round(point.lat * 10**7), round(point.lon * 10**7)]


def _invalid(where: str, en: str) -> RecordInvalid:
    return RecordInvalid(where, en, f"取值不正确（{en}）")


def _only(value: Mapping[str, JsonValue], path: str, fields: Sequence[str]) -> None:
    for key in fields:
        if key not in value:
            raise _invalid(f"{path}{key}", "missing")
    for key in value:
        if key not in fields:
            raise RecordUnsupported(f"{path}{key}", "this field is not known here", "未知字段")


def _integer(value: Mapping[str, JsonValue], key: str, low: int, high: int, path: str = "") -> int:
    number = value.get(key)
    if isinstance(number, bool) or not isinstance(number, int) or not low <= number <= high:
        raise _invalid(f"{path}{key}", f"must be an integer from {low} to {high}")
    return number


def _matching(value: Mapping[str, JsonValue], key: str, pattern: re.Pattern[str], what: str) -> str:
    text = value.get(key)
    if not isinstance(text, str) or not pattern.fullmatch(text):
        raise _invalid(key, f"must be {what}")
    return text


def _day(value: Mapping[str, JsonValue]) -> str:
    text = value.get("day")
    try:
        if isinstance(text, str) and date.fromisoformat(text).isoformat() == text:
            return text
    except ValueError:
        pass
    raise _invalid("day", "must be a day such as 2026-03-05")


def _word(value: JsonValue, where: str, choices: type[Mode] | type[Method] | type[Route] | type[Flag]) -> str:
    if not isinstance(value, str):
        raise _invalid(where, "must be a text")
    if value not in tuple(choices):
        raise RecordUnsupported(where, f"{value[:32]!r} is not known here", f"不支持 {value[:32]!r}")
    return value


def _list(value: Mapping[str, JsonValue], key: str, low: int, high: int) -> list[JsonValue]:
    items = value.get(key)
    if not isinstance(items, list) or not low <= len(items) <= high:
        raise _invalid(key, f"must be a list of {low} to {high}")
    return items


def _items(value: Mapping[str, JsonValue], key: str, low: int, high: int) -> list[Mapping[str, JsonValue]]:
    items = _list(value, key, low, high)
    if not all(isinstance(item, dict) for item in items):
        raise _invalid(key, "must hold objects")
    return cast("list[Mapping[str, JsonValue]]", items)
