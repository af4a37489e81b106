"""A methodology is one TOML file: factors with source and status, rounding and earning rules of one programme.

It is cited as `id@` and the first 16 hex digits of the file's SHA-256, so two servers cannot mean different rules by
one name. docs/reference/methodology.md describes the format.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import cache
from importlib import resources
from pathlib import Path
from types import MappingProxyType

from greentrip.errors import BadFile
from greentrip.trip import Method, Mode

FILE_BYTES_MAX = 256 * 1024
UG_PER_M_MAX = 10_000_000
"""10 kg a person-km: far above any mode; keeps every product inside 64 bits."""
LEG_M_MAX = 1_000_000
DEFAULT_ID = "db11t-3043-2024"
_ID = re.compile(r"[!-?A-~]{1,64}")
"""What a record's `methodology` may hold before its @."""


class Status(StrEnum):
    """How well a factor is known."""

    PUBLISHED = "published"
    """Seen in the issuing body's own text."""
    CORROBORATED = "corroborated"
    """Attributed, and consistent with a published result."""
    ATTRIBUTED = "attributed"
    """Found only second-hand."""
    PLACEHOLDER = "placeholder"
    """An assumption."""


@dataclass(frozen=True, slots=True)
class Factor:
    """An emission factor in micrograms of CO2 per person-metre (1 g/km = 1000 ug/m)."""

    ug_per_m: int
    status: Status
    source: str


@dataclass(frozen=True, slots=True)
class ModeRules:
    """What one mode's leg saves and when it earns."""

    baseline: Factor
    project: Factor
    shared: bool
    """The project factor belongs to the vehicle and is divided by the people in it, rounded up."""
    people_min: int
    people_max: int
    earns_by: frozenset[Method]
    """The ways of measuring that earn."""
    step_m: int
    """A distance that counts is a multiple of this."""
    nearest: bool
    """Round to the nearest step (half up) instead of down."""
    leg_max_m: int
    """A leg counts at most this many metres."""


@dataclass(frozen=True, slots=True)
class Methodology:
    """One programme's rules, in force for trips whose day lies in `valid_from`..`valid_until`."""

    id: str
    sha256: str
    title_en: str
    title_zh: str
    provinces: frozenset[int]
    """GB/T 2260 codes of the provinces where both ends of a trip must lie."""
    valid_from: date
    valid_until: date | None
    issuance: bool
    """Whether official credits may be issued under it."""
    modes: Mapping[Mode, ModeRules]
    text: str
    """The file as it is."""

    @property
    def reference(self) -> str:
        """How records cite it: `id@hash16`."""
        return f"{self.id}@{self.sha256[:16]}"

    def in_force(self, day: date) -> bool:
        """Whether it holds for trips of this day."""
        return self.valid_from <= day and (self.valid_until is None or day <= self.valid_until)

    def unconfirmed(self) -> dict[Mode, list[Factor]]:
        """The factors that an operator must confirm before issuance, by mode."""
        return {
            mode: factors
            for mode, rules in self.modes.items()
            if (factors := [f for f in (rules.baseline, rules.project) if f.status is not Status.PUBLISHED])
        }


def load(path: Path | str) -> Methodology:
    """The methodology in a file. Raises `BadFile` with what is wrong in it."""
    path = Path(path)
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise BadFile(path, 0, f"larger than {FILE_BYTES_MAX} bytes", f"超过 {FILE_BYTES_MAX} 字节")
        return parse(path.read_bytes(), str(path))
    except OSError as error:
        raise BadFile(path, 0, f"cannot be read ({error.strerror})", f"无法读取（{error.strerror}）") from None


@cache
def bundled(methodology_id: str = DEFAULT_ID) -> Methodology:
    """A methodology that ships with the SDK, by id."""
    folder = resources.files("greentrip.methodology") / "files"
    file = folder / f"{methodology_id}.toml"
    if not file.is_file():
        raise BadFile(methodology_id, 0, f"not bundled; there are: {', '.join(bundled_ids())}", "未内置该方法学")
    return parse(file.read_bytes(), methodology_id)


def bundled_ids() -> tuple[str, ...]:
    """The ids of the methodologies that ship with the SDK."""
    folder = resources.files("greentrip.methodology") / "files"
    return tuple(sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")))


def parse(data: bytes, name: str = "methodology") -> Methodology:
    """The methodology in the bytes of a file; `name` is used in errors."""
    try:
        text = data.decode("utf-8")
        table = _Table(tomllib.loads(text), name, "")
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadFile(name, 0, f"not TOML: {error}", f"不是有效的 TOML：{error}") from None
    modes = table.table("modes")
    found = Methodology(
        id=table.text("id"),
        sha256=hashlib.sha256(data).hexdigest(),
        title_en=table.text("title_en"),
        title_zh=table.text("title_zh"),
        provinces=frozenset(table.integers("provinces")),
        valid_from=table.day("valid_from"),
        valid_until=table.day("valid_until") if "valid_until" in table.values else None,
        issuance=table.flag("issuance"),
        modes=MappingProxyType({Mode(key): _mode_rules(modes.table(key)) for key in modes.keys_of(Mode)}),
        text=text,
    )
    if not _ID.fullmatch(found.id):
        raise table.bad("id", "must be 1 to 64 ASCII characters without @ and space")
    if found.valid_until is not None and found.valid_until < found.valid_from:
        raise table.bad("valid_until", "before valid_from")
    table.done()
    return found


def _mode_rules(table: _Table) -> ModeRules:
    shared = table.flag("shared", default=False)
    rules = ModeRules(
        baseline=_factor(table.table("baseline")),
        project=_factor(table.table("project")),
        shared=shared,
        people_min=table.integer("people_min", 1, 99) if shared else 1,
        people_max=table.integer("people_max", 1, 99) if shared else 1,
        earns_by=frozenset(Method(key) for key in table.words("earns_by", Method)),
        step_m=table.integer("step_m", 1, 10_000),
        nearest=table.word("rounding", ("nearest", "down")) == "nearest",
        leg_max_m=table.integer("leg_max_m", 1, LEG_M_MAX),
    )
    if rules.people_max < rules.people_min:
        raise table.bad("people_max", "below people_min")
    table.done()
    return rules


def _factor(table: _Table) -> Factor:
    factor = Factor(
        ug_per_m=table.integer("ug_per_m", 0, UG_PER_M_MAX),
        status=Status(table.word("status", tuple(Status))),
        source=table.text("source"),
    )
    table.done()
    return factor


class _Table:
    """A TOML table whose errors name the file and the dotted key."""

    def __init__(self, values: Mapping[str, object], file: str, path: str) -> None:
        self.values = values
        self._file = file
        self._path = path
        self._read: set[str] = set()

    def bad(self, key: str, en: str) -> BadFile:
        return BadFile(self._file, 0, f"{self._path}{key}: {en}", f"{self._path}{key}：{en}")

    def done(self) -> None:
        """A key that nobody read is a misspelling or a rule that we would silently not apply."""
        for key in self.values:
            if key not in self._read:
                raise self.bad(key, "unknown key")

    def _get(self, key: str) -> object:
        self._read.add(key)
        if key not in self.values:
            raise self.bad(key, "missing")
        return self.values[key]

    def text(self, key: str) -> str:
        value = self._get(key)
        if not isinstance(value, str) or not value.strip():
            raise self.bad(key, "must be a text")
        return value

    def word(self, key: str, choices: tuple[str, ...]) -> str:
        value = self.text(key)
        if value not in choices:
            raise self.bad(key, f"must be one of {', '.join(choices)}")
        return value

    def words(self, key: str, choices: type[StrEnum]) -> list[str]:
        value = self._get(key)
        if not isinstance(value, list) or any(item not in tuple(choices) for item in value):
            raise self.bad(key, f"must be a list of {', '.join(choices)}")
        return value

    def keys_of(self, choices: type[StrEnum]) -> list[str]:
        for key in self.values:
            if key not in tuple(choices):
                raise self.bad(key, f"must be one of {', '.join(choices)}")
        return list(self.values)

    def integer(self, key: str, low: int, high: int) -> int:
        value = self._get(key)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.bad(key, f"must be an integer from {low} to {high}")
        return value

    def integers(self, key: str) -> list[int]:
        value = self._get(key)
        if not isinstance(value, list) or not value or not all(type(item) is int for item in value):
            raise self.bad(key, "must be a list of integers")
        return value

    def flag(self, key: str, default: bool | None = None) -> bool:
        if default is not None and key not in self.values:
            return default
        value = self._get(key)
        if not isinstance(value, bool):
            raise self.bad(key, "must be true or false")
        return value

    def day(self, key: str) -> date:
        value = self._get(key)
        if type(value) is not date:
            raise self.bad(key, "must be a date such as 2024-10-01")
        return value

    def table(self, key: str) -> _Table:
        value = self._get(key)
        if not isinstance(value, dict):
            raise self.bad(key, "must be a table")
        return _Table(value, self._file, f"{self._path}{key}.")
