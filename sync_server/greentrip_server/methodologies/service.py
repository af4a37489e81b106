"""The methodology files that this server knows, and which of them is official where and when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from greentrip.methodology import Methodology, bundled, bundled_ids, load
from greentrip_server.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Methodologies:
    """All files that are known, sorted by reference."""

    files: tuple[Methodology, ...]

    @classmethod
    def read(cls, folder: Path | None = None) -> Methodologies:
        """The bundled files and those in `folder`. Raises `BadFile` for a broken one, `SettingsError` for a clash."""
        found = [bundled(methodology_id) for methodology_id in bundled_ids()]
        if folder is not None:
            found += [load(path) for path in sorted(folder.glob("*.toml"))]
        return cls.of(found)

    @classmethod
    def of(cls, files: Iterable[Methodology]) -> Methodologies:
        """These files. Two that would be official for one province and day cannot both be right."""
        found = tuple(sorted({file.reference: file for file in files}.values(), key=lambda file: file.reference))
        official = [file for file in found if file.issuance]
        for index, one in enumerate(official):
            for other in official[index + 1 :]:
                if one.provinces & other.provinces and _overlap(one, other):
                    raise SettingsError([f"{one.reference} and {other.reference} are in force at once in one province"])
        return cls(found)

    @property
    def provinces(self) -> frozenset[int]:
        """Where trips can be credited, whatever the day."""
        return frozenset(code for file in self.files if file.issuance for code in file.provinces)

    def official(self, day: date, province: int) -> Methodology | None:
        """The file under which a trip of that day and province is credited, or None."""
        fitting = (file for file in self.files if file.issuance and province in file.provinces and file.in_force(day))
        return next(fitting, None)


def _overlap(one: Methodology, other: Methodology) -> bool:
    return one.valid_from <= (other.valid_until or date.max) and other.valid_from <= (one.valid_until or date.max)
