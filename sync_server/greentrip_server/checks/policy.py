"""The limits of the checks: one TOML file, read into frozen dataclasses. Cited as `id@` and 16 hex digits.

Each limit is a table {value, unit, why}. A key that is missing or unknown, or a unit other than the expected one, is
refused by name: a misspelt limit would otherwise silently not hold.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import date
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TypeVar

from greentrip.errors import BadFile
from greentrip.evidence.scorecard import DISTANCE_M_MIN, POINTS_ASK
from greentrip.record import DISTANCE_M_MAX, DURATION_MIN_MAX
from greentrip.trip import Mode
from greentrip.wire import LEG_COUNT_MAX
from greentrip_server.checks.outcome import Severity

FILE_BYTES_MAX = 64 * 1024
KMH_MAX = 400
DAYS_MAX = 3650
COUNT_MAX = 1_000_000

_ID = re.compile(r"[!-?A-~]{1,64}")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Limit:
    """A number with its unit and where it comes from."""

    value: int
    unit: str
    why: str


@dataclass(frozen=True, slots=True)
class Choice:
    """How grave something is, and why."""

    value: Severity
    unit: str
    why: str


@dataclass(frozen=True, slots=True)
class ByMode:
    """The same limit for each mode."""

    walk: Limit
    cycle: Limit
    bus: Limit
    rail: Limit
    carpool: Limit

    def of(self, mode: Mode) -> int:
        """The number for a mode."""
        return {
            Mode.WALK: self.walk,
            Mode.CYCLE: self.cycle,
            Mode.BUS: self.bus,
            Mode.RAIL: self.rail,
            Mode.CARPOOL: self.carpool,
        }[mode].value


@dataclass(frozen=True, slots=True)
class Shape:
    """Limits of what a record can be at all."""

    duration_min_max: Limit


@dataclass(frozen=True, slots=True)
class DayOld:
    """How late a trip may come without staff."""

    days_max: Limit


@dataclass(frozen=True, slots=True)
class Speed:
    """The band of a leg's mean speed."""

    kmh_max: ByMode
    kmh_min: ByMode


@dataclass(frozen=True, slots=True)
class Length:
    """How long a leg and a trip may be."""

    leg_m_max: ByMode
    trip_m_max: Limit


@dataclass(frozen=True, slots=True)
class TripsADay:
    """How many trips of a day count without staff, this one included."""

    count_max: Limit


@dataclass(frozen=True, slots=True)
class EqualFeatures:
    """When the same track under several accounts is held."""

    accounts_min: Limit
    """Other accounts, from which on it is held."""
    track_m_min: Limit
    """Metres of the legs with features, above which it is held."""


@dataclass(frozen=True, slots=True)
class ModeFit:
    """When a leg is held whose speeds fit another way of travelling better."""

    points_min: Limit
    """Points of the scorecard against the claimed mode, from which on it is held."""
    leg_m_min: Limit
    """Metres of the leg, from which on it is held."""


@dataclass(frozen=True, slots=True)
class Flags:
    """How grave the flags of a record are."""

    mock: Choice
    gap: Choice
    even: Choice
    repeat: Choice
    replay_in_production: Choice
    replay_in_development: Choice


@dataclass(frozen=True, slots=True)
class Policy:
    """All limits of the checks; a section has the name of its rule."""

    id: str
    version: int
    sha256: str
    valid_from: date
    shape: Shape
    day_old: DayOld
    speed: Speed
    length: Length
    trips_a_day: TripsADay
    equal_features: EqualFeatures
    mode_fit: ModeFit
    flags: Flags
    text: str
    """The file as it is."""

    @property
    def reference(self) -> str:
        """How outcomes cite it: `id@hash16`."""
        return f"{self.id}@{self.sha256[:16]}"

    def limits(self) -> dict[str, Limit | Choice]:
        """Every limit by its dotted key, in the order of the rules."""
        return dict(_limits(self, ""))


def load(path: Path | str) -> Policy:
    """The policy in a file. Raises `BadFile` with what is wrong in it."""
    path = Path(path)
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise BadFile(path, 0, f"larger than {FILE_BYTES_MAX} bytes", f"超过 {FILE_BYTES_MAX} 字节")
        return parse(path.read_bytes(), str(path))
    except OSError as error:
        raise BadFile(path, 0, f"cannot be read ({error.strerror})", f"无法读取（{error.strerror}）") from None


@cache
def bundled() -> Policy:
    """The policy that ships with the server."""
    return parse((resources.files("greentrip_server.checks") / "policy.toml").read_bytes(), "policy.toml")


def parse(data: bytes, name: str = "policy") -> Policy:
    """The policy in the bytes of a file; `name` is used in errors."""
    try:
        text = data.decode("utf-8")
        values = tomllib.loads(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadFile(name, 0, f"not TOML: {error}", f"不是有效的 TOML：{error}") from None
    table = _Table(values, name, "")
    policy = Policy(
        id=table.cited_id("id"),
        version=table.integer("version", 1, 1_000_000),
        sha256=hashlib.sha256(data).hexdigest(),
        valid_from=table.day("valid_from"),
        shape=_shape(table.table("shape")),
        day_old=_day_old(table.table("day_old")),
        speed=_speed(table.table("speed")),
        length=_length(table.table("length")),
        trips_a_day=_trips_a_day(table.table("trips_a_day")),
        equal_features=_equal_features(table.table("equal_features")),
        mode_fit=_mode_fit(table.table("mode_fit")),
        flags=_flags(table.table("flags")),
        text=text,
    )
    return table.done(policy)


def _shape(table: _Table) -> Shape:
    # No more than a day: the overlap rule is only ever shown the days before and after (see overlap.NEIGHBOUR_DAYS).
    return table.done(Shape(table.limit("duration_min_max", "min", 1, DURATION_MIN_MAX)))


def _day_old(table: _Table) -> DayOld:
    return table.done(DayOld(table.limit("days_max", "days", 1, DAYS_MAX)))


def _speed(table: _Table) -> Speed:
    speed = Speed(
        kmh_max=table.by_mode("kmh_max", "km/h", 1, KMH_MAX),
        kmh_min=table.by_mode("kmh_min", "km/h", 0, KMH_MAX),
    )
    for mode in Mode:
        if speed.kmh_min.of(mode) >= speed.kmh_max.of(mode):
            raise table.bad(f"kmh_min.{mode}", f"must be below kmh_max.{mode}", f"须小于 kmh_max.{mode}")
    return table.done(speed)


def _length(table: _Table) -> Length:
    return table.done(
        Length(
            leg_m_max=table.by_mode("leg_m_max", "m", 1, DISTANCE_M_MAX),
            trip_m_max=table.limit("trip_m_max", "m", 1, LEG_COUNT_MAX * DISTANCE_M_MAX),
        )
    )


def _trips_a_day(table: _Table) -> TripsADay:
    return table.done(TripsADay(table.limit("count_max", "trips", 1, COUNT_MAX)))


def _equal_features(table: _Table) -> EqualFeatures:
    return table.done(
        EqualFeatures(
            accounts_min=table.limit("accounts_min", "accounts", 1, COUNT_MAX),
            track_m_min=table.limit("track_m_min", "m", 0, LEG_COUNT_MAX * DISTANCE_M_MAX),
        )
    )


def _mode_fit(table: _Table) -> ModeFit:
    return table.done(
        ModeFit(
            # Not below what the phone asks at: nobody is held who was not asked before.
            points_min=table.limit("points_min", "points", POINTS_ASK, COUNT_MAX),
            leg_m_min=table.limit("leg_m_min", "m", DISTANCE_M_MIN, DISTANCE_M_MAX),
        )
    )


def _flags(table: _Table) -> Flags:
    return table.done(
        Flags(
            mock=table.choice("mock"),
            gap=table.choice("gap"),
            even=table.choice("even"),
            repeat=table.choice("repeat"),
            replay_in_production=table.choice("replay_in_production"),
            replay_in_development=table.choice("replay_in_development"),
        )
    )


def _limits(part: object, path: str) -> Iterator[tuple[str, Limit | Choice]]:
    if isinstance(part, Limit | Choice):
        yield path, part
    elif is_dataclass(part):
        for item in fields(part):
            yield from _limits(getattr(part, item.name), f"{path}.{item.name}" if path else item.name)


class _Table:
    """A TOML table whose errors name the file and the dotted key."""

    def __init__(self, values: Mapping[str, object], file: str, path: str) -> None:
        self._values = values
        self._file = file
        self._path = path
        self._read: set[str] = set()

    def bad(self, key: str, en: str, zh: str) -> BadFile:
        return BadFile(self._file, 0, f"{self._path}{key}: {en}", f"{self._path}{key}：{zh}")

    def done(self, made: _T) -> _T:
        """`made` of this table, once every key was read: one that nobody read would silently not apply."""
        for key in self._values:
            if key not in self._read:
                raise self.bad(key, "unknown key", "未知的键")
        return made

    def _get(self, key: str) -> object:
        self._read.add(key)
        if key not in self._values:
            raise self.bad(key, "missing", "缺失")
        return self._values[key]

    def table(self, key: str) -> _Table:
        value = self._get(key)
        if not isinstance(value, dict):
            raise self.bad(key, "must be a table", "须为表")
        return _Table(value, self._file, f"{self._path}{key}.")

    def text(self, key: str) -> str:
        value = self._get(key)
        if not isinstance(value, str) or not value.strip():
            raise self.bad(key, "must be a text", "须为文本")
        return value

    def cited_id(self, key: str) -> str:
        value = self.text(key)
        if not _ID.fullmatch(value):
            raise self.bad(key, "must be printable ASCII without @ or blanks", "须为不含 @ 和空格的 ASCII 字符")
        return value

    def integer(self, key: str, low: int, high: int) -> int:
        value = self._get(key)
        if type(value) is not int or not low <= value <= high:
            raise self.bad(key, f"must be an integer from {low} to {high}", f"须为 {low} 至 {high} 的整数")
        return value

    def day(self, key: str) -> date:
        value = self._get(key)
        if type(value) is not date:
            raise self.bad(key, "must be a date such as 2024-10-01", "须为日期，如 2024-10-01")
        return value

    def limit(self, key: str, unit: str, low: int, high: int) -> Limit:
        table = self.table(key)
        return table.done(Limit(table.integer("value", low, high), table.word("unit", (unit,)), table.text("why")))

    def choice(self, key: str) -> Choice:
        table = self.table(key)
        value = Severity(table.word("value", tuple(Severity)))
        return table.done(Choice(value, table.word("unit", ("severity",)), table.text("why")))

    def by_mode(self, key: str, unit: str, low: int, high: int) -> ByMode:
        table = self.table(key)
        return table.done(ByMode(**{mode.value: table.limit(mode, unit, low, high) for mode in Mode}))

    def word(self, key: str, choices: tuple[str, ...]) -> str:
        value = self.text(key)
        if value not in choices:
            raise self.bad(key, f"must be {' or '.join(choices)}", f"须为 {'、'.join(choices)}")
        return value
