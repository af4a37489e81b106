"""Recorded tracks from files, for `greentrip replay`. Each kind may also be gzipped (.gz).

    GPX 1.0 and 1.1       one track for each <trkseg>; the <type> of its <trk> is the mode
    JSON lines, segments  {"user", "mode", "start", "end", "fixes": [[unix_s, lat, lon], ...]}
    JSON lines, days      {"source", "platform", "fixes": [[unix_s, lat, lon, accuracy_m, speed_mps], ...]}
    GeoLife .plt          one track, or one for each label in the labels.txt beside its folder

The content decides, and the name where it does not. Whatever is broken is a `BadFile` that names the file and the line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

from greentrip.errors import BadFile
from greentrip.replay.gpx import read_gpx
from greentrip.replay.json_lines import read_json_lines
from greentrip.replay.plt import FIRST_WORD, read_plt
from greentrip.replay.source import OnError, Source
from greentrip.replay.track import RecordedTrack, mode_of, move

__all__ = ["OnError", "RecordedTrack", "mode_of", "move", "read_tracks"]


def read_tracks(path: Path | str, on_error: OnError | None = None) -> Iterator[RecordedTrack]:
    """Reads the tracks of a file, one at a time: a file may be larger than the memory.

    Raises `BadFile` while iterating. With `on_error` each error goes there instead: a bad line of JSON or .plt is left
    out and the next one read; an error that concerns the rest of the file (a cut gzip, broken GPX) ends it.
    """
    report = on_error or _raise
    path = Path(path)
    source = Source(path)
    try:
        with path.open("rb") as file:
            source.open(file)
            yield from _reader(source)(source, report)
    except BadFile as error:
        report(error)
    except OSError as why:
        report(BadFile(path, 0, f"cannot be read: {why.strerror or why}", f"无法读取：{why.strerror or why}"))


def _reader(source: Source) -> Callable[[Source, OnError], Iterator[RecordedTrack]]:
    """The reader for what the file holds; its name counts where its beginning does not tell."""
    head, name = source.beginning(), source.path.name.lower().removesuffix(".gz")
    if not head:
        raise source.bad(0, "the file is empty", "文件为空")
    if head.lower().startswith(FIRST_WORD):
        return read_plt
    if head.startswith(b"<") or name.endswith(".gpx"):
        return read_gpx
    if head.startswith(b"{") or name.endswith((".jsonl", ".ndjson")):
        return read_json_lines
    if name.endswith(".plt"):
        return read_plt
    en, zh = "neither GPX nor JSON lines nor GeoLife .plt", "既不是 GPX、JSON 行格式，也不是 GeoLife .plt"
    raise source.bad(1, en, zh)


def _raise(error: BadFile) -> NoReturn:
    raise error
