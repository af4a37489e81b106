"""Which station is meant by a name: Chinese, English, pinyin or an alias, written this way or that."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Mapping, Sequence

from greentrip.distance.rail.pack_model import PackStation
from greentrip.errors import AmbiguousStation, UnknownStation

SUGGESTIONS_MAX = 5
NAME_CHARS_MAX = 100
"""A longer name is none; near names are not looked for."""
_BRACKETS = re.compile(r"\(.*\)$")


class Names:
    """The names of stations. A station's number is its place in the pack."""

    def __init__(self, stations: Sequence[PackStation]) -> None:
        self._stations = stations
        self._exact = {station.name: number for number, station in enumerate(stations)}
        self._keys: dict[str, dict[int, None]] | None = None

    def find(self, name: str, field: str) -> int:
        """The number of the station that is called so; case, spaces, tones and the width of letters do not matter.

        Raises `AmbiguousStation` when two are called so (it lists them), `UnknownStation` with near names when none is.
        """
        number = self._exact.get(name)
        if number is not None:
            return number
        found = list(self._by_key().get(key_of(name), ())) if len(name) <= NAME_CHARS_MAX else []
        if len(found) == 1:
            return found[0]
        if found:
            raise AmbiguousStation(field, name, [self._stations[number].name for number in found][:SUGGESTIONS_MAX])
        raise UnknownStation(field, name, self._suggest(name[:NAME_CHARS_MAX]))

    def _by_key(self) -> Mapping[str, Mapping[int, None]]:
        """Every way to write a station's name, made when first needed."""
        if self._keys is None:
            self._keys = {}
            for number, station in enumerate(self._stations):
                for name in (station.name, bare(station.name), station.en, station.pinyin, *station.aliases):
                    if key := key_of(name):
                        self._keys.setdefault(key, {})[number] = None
        return self._keys

    def _suggest(self, name: str) -> list[str]:
        """Names that begin like `name`, hold it or are held by it, then those that are spelt nearly so."""
        wanted = key_of(name)
        if not wanted:
            return []
        keys = self._by_key()
        holds = sorted(
            (key for key in keys if wanted in key or key in wanted),
            key=lambda key: (not key.startswith(wanted), abs(len(key) - len(wanted))),
        )
        close = difflib.get_close_matches(wanted, keys, SUGGESTIONS_MAX, cutoff=0.5)
        numbers = dict.fromkeys(number for key in (*holds, *close) for number in keys[key])
        return [self._stations[number].name for number in numbers][:SUGGESTIONS_MAX]


def bare(name: str) -> str:
    """A station's name without the line in brackets that tells it from another of that name.

    >>> bare("木樨地(1号线)")
    '木樨地'
    """
    return _BRACKETS.sub("", unicodedata.normalize("NFKC", name)).strip()


def key_of(name: str) -> str:
    """What stays of a name when case, spaces, punctuation, tones and the width of letters do not matter.

    >>> key_of("Hǔfáng Qiáo"), key_of("Xī'ānmén"), key_of("木樨地（1号线）")
    ('hufangqiao', 'xianmen', '木樨地1号线')
    """
    letters = unicodedata.normalize("NFKD", name).casefold()
    return "".join(char for char in letters if char.isalnum())
