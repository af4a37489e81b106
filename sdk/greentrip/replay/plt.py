"""GeoLife .plt, the format of labelled tracks that were recorded in Beijing from 2007 to 2012.

Six header lines, the second of which names the datum, then a fix a line, with its time in GMT:

    latitude, longitude, 0, altitude in feet (-777: unknown), days since 1899-12-30, date, time
    39.906631,116.385564,0,492,40097.5864583333,2009-10-11,14:04:30

The modes, where they are known, stand in `labels.txt` beside the folder of the tracks, also in GMT:

    Start Time<tab>End Time<tab>Transportation Mode
    2009/10/11 14:04:30<tab>2009/10/11 14:20:00<tab>subway

Source: the user guide of the GeoLife data set (Zheng et al., Microsoft Research, version 1.3, 2012).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from greentrip.errors import BadFile
from greentrip.replay.source import AT_S_MAX, FIXES_MAX, TEXT_CHARS_MAX, OnError, Source, Wrong, point
from greentrip.replay.track import RecordedTrack, mode_of
from greentrip.trip import Fix

FIRST_WORD = b"geolife"
"""How a file begins, in small letters, whatever its name."""
HEADER_LINES = 6
DATUM_LINE = 2
FIELDS = 7
LABELS = "labels.txt"
BAD_LINES_MAX = 100
"""A file with more is something else; the rest of it is not read."""

_DATE_TIME = re.compile(r"(\d{4})[-/](\d\d?)[-/](\d\d?) (\d\d?):(\d\d):(\d\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Label:
    """Someone's word for the mode between two times (Unix seconds), the ends included."""

    start_at: float
    end_at: float
    word: str
    line: int


def read_plt(source: Source, report: OnError) -> Iterator[RecordedTrack]:
    """The track of a file, split where its labels say so. A broken line is reported, and its neighbours are read."""
    fixes: list[tuple[Fix, int]] = []
    bad_lines = 0
    for text in _whole_lines(source, report):
        try:
            if source.line > HEADER_LINES and text.strip():
                fixes.append((_fix(text), source.line))
            elif source.line == DATUM_LINE:
                _check_datum(text)
        except Wrong as wrong:
            report(source.bad(source.line, wrong.en, wrong.zh))
            bad_lines += 1
            if source.line == DATUM_LINE:
                return
        if bad_lines > BAD_LINES_MAX or len(fixes) >= FIXES_MAX:
            report(_too_much(source))
            break
    if fixes:
        yield from _tracks(source.path, fixes, _labels_beside(source.path, fixes, report))
    elif not bad_lines:
        report(source.bad(0, "the .plt file holds no fix", "该 .plt 文件中没有轨迹点"))


def _whole_lines(source: Source, report: OnError) -> Iterator[bytes]:
    """The lines of a file up to where it is damaged, so that what was whole still counts."""
    try:
        yield from source.lines()
    except BadFile as error:
        report(error)


def read_labels(path: Path, report: OnError) -> list[Label]:
    """The labels of a person, in the order of their begin. A broken line is reported, and its neighbours are read."""
    labels: list[Label] = []
    source = Source(path)
    with path.open("rb") as file:
        source.open(file)
        for text in _whole_lines(source, report):
            if source.line == 1 or not text.strip():
                continue
            try:
                labels.append(_label(text, source.line))
            except Wrong as wrong:
                report(source.bad(source.line, wrong.en, wrong.zh))
    return sorted(labels, key=lambda label: label.start_at)


def _labels_beside(path: Path, fixes: Sequence[tuple[Fix, int]], report: OnError) -> list[Label]:
    """Those that fall into the time of the fixes. Without a readable file there are none."""
    file = path.absolute().parent.parent / LABELS
    if not file.is_file():
        return []
    try:
        labels = read_labels(file, report)
    except OSError as why:
        report(BadFile(file, 0, f"cannot be read: {why.strerror or why}", f"无法读取：{why.strerror or why}"))
        return []
    first_at, last_at = min(fix.at for fix, _ in fixes), max(fix.at for fix, _ in fixes)
    return [label for label in labels if label.start_at <= last_at and first_at <= label.end_at]


def _tracks(path: Path, fixes: Sequence[tuple[Fix, int]], labels: Sequence[Label]) -> Iterator[RecordedTrack]:
    """A track for each label, and one for what lies before, between or after them, in the order of their first fix."""
    parts: dict[tuple[int, Label | None], list[tuple[Fix, int]]] = {}
    for fix, line in fixes:
        label = next((label for label in labels if label.start_at <= fix.at <= label.end_at), None)
        begun = labels.index(label) if label else sum(label.start_at <= fix.at for label in labels)
        parts.setdefault((begun, label), []).append((fix, line))
    folder = path.absolute().parent
    user = folder.parent.name if folder.name == "Trajectory" else None
    for (_, label), part in parts.items():
        word = label.word if label else ""
        title = " ".join(filter(None, (user, path.name.removesuffix(".gz").removesuffix(".plt"), word)))
        yield RecordedTrack(title, mode_of(word), word, tuple(fix for fix, _ in part), user, path, part[0][1])


def _check_datum(text: bytes) -> None:
    named = "".join(_text(text).split()).upper()
    if named != "WGS84":
        raise Wrong(
            f"the header must name the datum 'WGS 84' here, not {named!r:.40}",
            f"文件头此行应为坐标系“WGS 84”，而不是 {named!r:.40}",
        )


def _fix(text: bytes) -> Fix:
    fields = [field.strip() for field in _text(text).split(",")]
    if len(fields) != FIELDS:
        raise Wrong(
            f"{len(fields)} fields, not {FIELDS}: latitude, longitude, 0, altitude, days, date, time",
            f"有 {len(fields)} 个字段，应为 {FIELDS} 个：纬度、经度、0、海拔、天数、日期、时间",
        )
    try:
        lat, lon = float(fields[0]), float(fields[1])
    except ValueError as why:
        raise Wrong(f"{fields[:2]} are no latitude and longitude", f"{fields[:2]} 不是经纬度") from why
    return Fix(point("fix", "轨迹点", lat, lon), _unix_s(f"{fields[5]} {fields[6]}"))


def _label(text: bytes, line: int) -> Label:
    fields = [field.strip() for field in _text(text).split("\t")]
    if len(fields) != 3 or not 0 < len(fields[2]) <= TEXT_CHARS_MAX:
        raise Wrong("not a start, an end and a mode between tabs", "应为以制表符分隔的开始时间、结束时间和出行方式")
    start_at, end_at = _unix_s(fields[0]), _unix_s(fields[1])
    if end_at < start_at:
        raise Wrong("the end lies before the start", "结束时间早于开始时间")
    return Label(start_at, end_at, fields[2], line)


def _unix_s(text: str) -> float:
    """The Unix time of a date and a time in GMT."""
    found = _DATE_TIME.fullmatch(text)
    try:
        if found is None:
            raise ValueError(text)
        year, month, day, hour, minute, second = map(int, found.groups())
        at = datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()
    except ValueError as why:
        en, zh = f"{text!r:.60} is no date and time such as 2009-10-11 14:04:30", "不是日期和时间，例如"
        raise Wrong(en, f"{text!r:.60} {zh} 2009-10-11 14:04:30") from why
    if not 0 <= at <= AT_S_MAX:
        raise Wrong(f"{text!r:.60} lies outside 1970..2100", f"{text!r:.60} 不在 1970 至 2100 年之间")
    return at


def _text(text: bytes) -> str:
    try:
        return text.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as why:
        raise Wrong("not UTF-8 text", "不是 UTF-8 编码") from why


def _too_much(source: Source) -> BadFile:
    return source.bad(
        source.line,
        f"over {BAD_LINES_MAX} broken lines or {FIXES_MAX} fixes: the rest is not read",
        f"错误行超过 {BAD_LINES_MAX} 行或轨迹点超过 {FIXES_MAX} 个：其余部分未读取",
    )
