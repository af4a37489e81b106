"""The methodology files that this server knows, and which of them is official where and when."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date
from itertools import combinations
from pathlib import Path

from greentrip.methodology import Methodology, bundled, bundled_ids, load
from greentrip_server.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Methodologies:
    """All files that are known, sorted by reference. Those in `replaced` are known, and no longer official."""

    files: tuple[Methodology, ...]
    replaced: frozenset[str] = frozenset()

    @classmethod
    def read(cls, folder: Path | None = None) -> Methodologies:
        """The bundled files and those in `folder`; one there replaces the bundled file of the same id.

        Raises `BadFile` for a broken one, `SettingsError` for two that are official at once.
        """
        shipped = [bundled(methodology_id) for methodology_id in bundled_ids()]
        own = [load(path) for path in sorted(folder.glob("*.toml"))] if folder else []
        own_by_id = {file.id: file.reference for file in own}
        # A copy of a bundled file is that file: it replaces nothing.
        replaced = {file.reference for file in shipped if own_by_id.get(file.id, file.reference) != file.reference}
        return cls.of([*shipped, *own], replaced)

    @classmethod
    def of(cls, files: Iterable[Methodology], replaced: Collection[str] = ()) -> Methodologies:
        """These files. Two that would be official for one province and day cannot both be right."""
        by_reference = {file.reference: file for file in files}
        found = cls(tuple(by_reference[reference] for reference in sorted(by_reference)), frozenset(replaced))
        for one, other in combinations(found._for_issuance(), 2):
            if one.provinces & other.provinces and _overlap(one, other):
                raise SettingsError([f"{one.reference} and {other.reference} are in force at once in one province"])
        return found

    @property
    def provinces(self) -> frozenset[int]:
        """Where trips can be credited, whatever the day."""
        return frozenset(code for file in self._for_issuance() for code in file.provinces)

    def official(self, day: date, province: int) -> Methodology | None:
        """The file under which a trip of that day and province is credited, or None."""
        fitting = (file for file in self._for_issuance() if province in file.provinces and file.in_force(day))
        return next(fitting, None)

    def _for_issuance(self) -> list[Methodology]:
        return [file for file in self.files if file.issuance and file.reference not in self.replaced]


def _overlap(one: Methodology, other: Methodology) -> bool:
    return one.valid_from <= (other.valid_until or date.max) and other.valid_from <= (one.valid_until or date.max)
