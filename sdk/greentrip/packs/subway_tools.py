"""Minutes of changes and English names for a draft, from data in the format of Beijing-Subway-Tools.

That is JSON5 in a folder or a tar archive: `metadata.json5` holds `transfers`, each other file with `stations` a line.
https://github.com/Mick235711/Beijing-Subway-Tools
"""

from __future__ import annotations

import lzma
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from greentrip.distance.rail.pack import Source
from greentrip.distance.rail.pack_json import CHANGE_MINUTES_MAX
from greentrip.errors import BadFile
from greentrip.packs.draft import UNSTATED, Draft, Names, Progress, Walk
from greentrip.packs.extra import needed
from greentrip.packs.tables import unreadable

FILE_BYTES_MAX = 20_000_000
"""One file unpacked; the timetable of Beijing's line 1 has 0.4 MB."""
FILES_MAX = 1000

Json = Mapping[str, object]
_Served = Mapping[tuple[str, str], str]
"""(line, station) as people call them -> stop id."""


def with_changes(draft: Draft, path: Path, progress: Progress) -> Draft:
    """The draft with minutes for the changes within its stations, and English names where it has none.

    Changes on the street between two stations (`virtual_transfers`) are none. Raises `BadFile`.
    """
    progress(path.name)
    files = dict(_files(path))
    served = {
        (draft.lines[ride.line].zh, draft.stops[stop].names.zh): stop
        for ride in draft.rides
        for stop in (ride.start, ride.end)
    }
    line_ids = {names.zh: id for id, names in draft.lines.items()}
    english = {zh: en for content in files.values() for zh, en in _english(content)}
    return replace(
        draft,
        lines={id: _named(names, english.get(names.zh, ())[:1]) for id, names in draft.lines.items()},
        stops={
            id: replace(stop, names=_named(stop.names, english.get(stop.names.zh, ())))
            for id, stop in draft.stops.items()
        },
        walks=(*draft.walks, *_walks(path, files, served, line_ids)),
        sources=(*draft.sources, Source(path.name, UNSTATED)),
    )


def _files(path: Path) -> Iterator[tuple[str, Json]]:
    """Name and content of each JSON5 file."""
    json5 = needed("pyjson5")
    for number, (name, raw) in enumerate(_raw_files(path)):
        if number >= FILES_MAX or len(raw) > FILE_BYTES_MAX:
            raise BadFile(path, 0, f"more than {FILES_MAX} files, or {name} is too large", "文件过多或过大")
        try:
            content = json5.decode(raw.decode("utf-8"))
        except (json5.Json5Exception, UnicodeDecodeError) as why:
            raise BadFile(path / name, 0, f"broken JSON5: {why}", f"JSON5 格式有误：{why}") from why
        if isinstance(content, dict):
            yield name, content


def _raw_files(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        if path.is_dir():
            for file in sorted(path.glob("*.json5")):
                yield file.name, file.read_bytes()
            return
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isfile() and member.name.endswith(".json5") and (content := archive.extractfile(member)):
                    yield PurePosixPath(member.name).name, content.read(FILE_BYTES_MAX + 1)
    except (OSError, EOFError, tarfile.TarError, lzma.LZMAError) as why:
        raise unreadable(path, why) from why


def _english(content: Json) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Names of a line and its stations, and what else they are called. Only lines have stations."""
    stations = content.get("stations")
    for found in (content, *stations) if isinstance(stations, list) else ():
        if isinstance(found, dict) and isinstance(found.get("aliases"), list):
            yield str(found.get("name")), tuple(map(str, found["aliases"]))


def _named(names: Names, others: tuple[str, ...]) -> Names:
    """One other name is the English one. Of a station's several none is sure to be; of a line's the first is."""
    en = names.en or (others[0] if len(others) == 1 else "")
    return replace(names, en=en, aliases=tuple(dict.fromkeys((*names.aliases, *others))))


def _walks(path: Path, files: Mapping[str, Json], served: _Served, line_ids: Mapping[str, str]) -> Iterator[Walk]:
    """The changes; one that is given in one direction takes as long in the other."""
    transfers = files.get("metadata.json5", {}).get("transfers")
    if not isinstance(transfers, dict):
        raise BadFile(path, 0, "there is no metadata.json5 with transfers", "缺少含 transfers 的 metadata.json5")
    for station, changes in transfers.items():
        minutes = _minutes(path, station, changes)
        for (start, end), found in minutes.items():
            ways = [(start, end)] if (end, start) in minutes else [(start, end), (end, start)]
            for one, other in ways:
                if (one, station) in served and (other, station) in served:
                    ids = served[one, station], line_ids[one], served[other, station], line_ids[other]
                    yield from (Walk(*ids, number) for number in found)


def _minutes(path: Path, station: str, changes: object) -> dict[tuple[str, str], list[float]]:
    """(from line, to line) -> minutes of a station, without those that hold at some hours only."""
    found: dict[tuple[str, str], list[float]] = {}
    for change in changes if isinstance(changes, list) else ():
        minutes = change.get("minutes") if isinstance(change, dict) else None
        if not isinstance(minutes, int | float) or not 0 <= minutes <= CHANGE_MINUTES_MAX:
            en = f"transfers of {station}: minutes are not within 0..{CHANGE_MINUTES_MAX}"
            raise BadFile(path / "metadata.json5", 0, en, f"{station} 的换乘用时不在 0..{CHANGE_MINUTES_MAX} 分钟内")
        if "apply_time" not in change:
            found.setdefault((str(change.get("from")), str(change.get("to"))), []).append(float(minutes))
    return found
