"""Recorded tracks from files, for `greentrip replay`: GPX 1.0 and 1.1, and JSON lines, each also gzipped (.gz).

    GPX                   one track for each <trkseg>; the <type> of its <trk> is the mode
    JSON lines, segments  {"user", "mode", "start", "end", "fixes": [[unix_s, lat, lon], ...]}
    JSON lines, days      {"source", "platform", "fixes": [[unix_s, lat, lon, accuracy_m, speed_mps], ...]}

The content decides, and the name where it does not. Whatever is broken is a `BadFile` that names the file and the line.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, NoReturn
from xml.parsers import expat

from greentrip.distance.sphere import east_north_m, moved
from greentrip.errors import BadFile, InvalidInput
from greentrip.trip import Fix, Mode, Point

FILE_BYTES_MAX = 1_000_000_000
"""Unpacked: a small .gz may hold a large file."""
LINE_BYTES_MAX = 32_000_000
FIXES_MAX = 500_000
"""In one track: more than five days at one fix a second."""
TEXT_CHARS_MAX = 1000
"""In a name, a mode or a time."""
DEPTH_MAX = 50
"""Of elements within each other, in GPX."""
AT_S_MAX = 4_102_444_800
"""The year 2100: a later time is most likely in milliseconds."""
CHUNK_BYTES = 65_536

MODE_WORDS: dict[str, Mode] = {
    word: mode
    for mode, words in {
        Mode.WALK: "walk walking foot on_foot pedestrian hike hiking run running 步行",
        Mode.CYCLE: "cycle cycling bike biking bicycle bicycling bikeshare 骑行 自行车",
        Mode.BUS: "bus trolleybus coach 公交 公交车",
        Mode.RAIL: "rail train metro subway tram light_rail underground 轨道交通 地铁 轻轨 火车",
        Mode.CARPOOL: "carpool carpooling shared_ride 拼车 合乘",
    }.items()
    for word in words.split()
}
"""What others call the modes. Whatever is not here (ferry, car, taxi, ...) is none of ours."""

OnError = Callable[[BadFile], object]


@dataclass(frozen=True, slots=True)
class RecordedTrack:
    """One recording: fixes in the file's order, at least one. `mode` is None when it is none of ours, or unknown."""

    name: str
    mode: Mode | None
    original_mode: str
    fixes: tuple[Fix, ...]
    user: str | None
    path: Path
    line: int


def mode_of(word: str) -> Mode | None:
    """The mode that a word of another program means.

    >>> mode_of("Tram"), mode_of("On Foot"), mode_of("Ferry")
    (<Mode.RAIL: 'rail'>, <Mode.WALK: 'walk'>, None)
    """
    return MODE_WORDS.get("_".join(word.casefold().split()))


def move(track: RecordedTrack, to: Point, start_at: float | None = None) -> RecordedTrack:
    """The same track elsewhere: its first fix at `to`, and at the time `start_at` when given; metres are kept.

    Each step keeps its metres east and north. Raises `InvalidInput` when the track would leave the earth at a pole.
    """
    shift_s = 0.0 if start_at is None else start_at - track.fixes[0].at
    fixes: list[Fix] = []
    last, place = track.fixes[0].point, to
    for fix in track.fixes:
        east_m, north_m = east_north_m(last, fix.point)
        last, place = fix.point, moved(place, east_m, north_m)
        fixes.append(replace(fix, point=place, at=fix.at + shift_s))
    return replace(track, fixes=tuple(fixes))


def read_tracks(path: Path | str, on_error: OnError | None = None) -> Iterator[RecordedTrack]:
    """Reads the tracks of a file, one at a time: a file may be larger than the memory.

    Raises `BadFile` while iterating. With `on_error` each error goes there instead: a bad JSON line is left out and
    the next one read; an error that concerns the rest of the file (a cut gzip, broken GPX) ends it.
    """
    report = on_error or _raise
    path = Path(path)
    source = _Source(path)
    try:
        with path.open("rb") as file:
            source.open(file)
            yield from _reader(source)(source, report)
    except BadFile as error:
        report(error)
    except OSError as why:
        report(BadFile(path, 0, f"cannot be read: {why.strerror or why}", f"无法读取：{why.strerror or why}"))


def _reader(source: _Source) -> Callable[[_Source, OnError], Iterator[RecordedTrack]]:
    """The reader for what the file holds; its name counts where the first character does not tell."""
    first, name = source.first_character(), source.path.name.lower().removesuffix(".gz")
    if not first:
        raise source.bad(0, "the file is empty", "文件为空")
    if first == b"<" or name.endswith(".gpx"):
        return _read_gpx
    if first == b"{" or name.endswith((".jsonl", ".ndjson")):
        return _read_json_lines
    raise source.bad(1, "neither GPX nor JSON lines", "既不是 GPX，也不是 JSON 行格式")


def _raise(error: BadFile) -> NoReturn:
    raise error


class _Source:
    """The unpacked bytes of a file, counted; damage becomes `BadFile` with the line where it begins."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.line = 1
        self._bytes = 0

    def open(self, file: BinaryIO) -> None:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        self._file: BinaryIO | gzip.GzipFile = gzip.GzipFile(fileobj=file) if packed else file

    def bad(self, line: int, en: str, zh: str) -> BadFile:
        return BadFile(self.path, line, en, zh)

    def first_character(self) -> bytes:
        """The first byte that is not white space or a byte order mark; the file is at its beginning afterwards."""
        head = b""
        while not head.strip() and (chunk := self._read(self._file.read, CHUNK_BYTES)):
            head = head[:3] + chunk
        self._file.seek(0)
        self._bytes = 0
        return head.lstrip().removeprefix(b"\xef\xbb\xbf").lstrip()[:1]

    def chunks(self) -> Iterator[bytes]:
        while chunk := self._read(self._file.read, CHUNK_BYTES):
            yield chunk

    def lines(self) -> Iterator[bytes]:
        """Each line, not longer than LINE_BYTES_MAX; `line` is its number."""
        while text := self._read(self._file.readline, LINE_BYTES_MAX + 1):
            if len(text) > LINE_BYTES_MAX:
                en, zh = f"a line of over {LINE_BYTES_MAX} bytes", f"一行超过 {LINE_BYTES_MAX} 字节"
                raise self.bad(self.line, en, zh)
            yield text
            self.line += 1

    def _read(self, read: Callable[[int], bytes], size: int) -> bytes:
        try:
            data = read(size)
        except (EOFError, gzip.BadGzipFile, zlib.error) as why:
            en, zh = f"the gzip file is cut short or damaged ({why})", f"gzip 文件不完整或已损坏（{why}）"
            raise self.bad(self.line, en, zh) from why
        self._bytes += len(data)
        if self._bytes > FILE_BYTES_MAX:
            en, zh = f"more than {FILE_BYTES_MAX} bytes", f"超过 {FILE_BYTES_MAX} 字节"
            raise self.bad(self.line, en, zh)
        return data


class _Wrong(ValueError):
    """A value is wrong: in English and Chinese. Whoever reads the file adds path and line."""

    def __init__(self, en: str, zh: str) -> None:
        super().__init__(en)
        self.en, self.zh = en, zh


# JSON lines


def _read_json_lines(source: _Source, report: OnError) -> Iterator[RecordedTrack]:
    for text in source.lines():
        if text.strip():
            try:
                track = _json_track(source.path, source.line, text)
            except _Wrong as wrong:
                report(source.bad(source.line, wrong.en, wrong.zh))
            else:
                yield track


def _json_track(path: Path, line: int, text: bytes) -> RecordedTrack:
    record = _json_object(text)
    rows = record.get("fixes")
    if not isinstance(rows, list) or not rows:
        raise _Wrong("'fixes' must be a list that is not empty", "“fixes”必须是非空列表")
    if len(rows) > FIXES_MAX:
        raise _Wrong(f"more than {FIXES_MAX} fixes", f"定位点超过 {FIXES_MAX} 个")
    user = _optional_text(record, "user")
    original_mode = _optional_text(record, "mode") or ""
    name = _optional_text(record, "source") or " ".join(filter(None, (user, original_mode)))
    fixes = tuple(_json_fix(i, row) for i, row in enumerate(rows, 1))
    return RecordedTrack(name or f"{path.name}:{line}", mode_of(original_mode), original_mode, fixes, user, path, line)


def _json_object(text: bytes) -> dict[str, object]:
    try:
        record: object = json.loads(text.decode("utf-8-sig"))
    except UnicodeDecodeError as why:
        raise _Wrong("not UTF-8 text", "不是 UTF-8 编码") from why
    except (ValueError, RecursionError) as why:
        raise _Wrong(f"broken JSON: {why}", f"JSON 格式有误：{why}") from why
    if not isinstance(record, dict):
        raise _Wrong("a line must be a JSON object", "每行必须是一个 JSON 对象")
    return record


def _optional_text(record: dict[str, object], key: str) -> str | None:
    value = record.get(key)
    if value is not None and (not isinstance(value, str) or len(value) > TEXT_CHARS_MAX):
        raise _Wrong(f"{key!r} must be text", f"“{key}”必须是文字")
    return value


def _json_fix(number: int, row: object) -> Fix:
    """[unix_s, lat, lon], then accuracy in metres and speed (not used) if known."""
    if not isinstance(row, list) or not 3 <= len(row) <= 5:
        raise _Wrong(
            f"fix {number}: not [time, lat, lon] or [time, lat, lon, accuracy, speed]",
            f"第 {number} 个定位点：应为 [时间, 纬度, 经度] 或 [时间, 纬度, 经度, 精度, 速度]",
        )
    at, lat, lon = (_finite(number, value) for value in row[:3])
    accuracy_m = None if len(row) < 4 or row[3] is None else _finite(number, row[3])
    if not 0 <= at <= AT_S_MAX:
        raise _Wrong(f"fix {number}: {at} is not a Unix time in seconds", f"第 {number} 个定位点：{at} 不是 Unix 秒")
    return Fix(_point(f"fix {number}", f"第 {number} 个定位点", lat, lon), at, accuracy_m)


def _finite(number: int, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e300:
        raise _Wrong(f"fix {number}: {value!r:.40} is not a number", f"第 {number} 个定位点：{value!r:.40} 不是数字")
    return float(value)


def _point(where_en: str, where_zh: str, lat: float, lon: float) -> Point:
    try:
        return Point(lat, lon)
    except InvalidInput as why:
        raise _Wrong(f"{where_en}: {why.en}", f"{where_zh}：{why.zh}") from why


# GPX

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.IGNORECASE | re.ASCII)


def _read_gpx(source: _Source, report: OnError) -> Iterator[RecordedTrack]:
    """Feeds the file to expat piece by piece and hands out each track when its <trk> ends."""
    gpx = _Gpx(source.path)
    error: BadFile | None = None
    try:
        for chunk in source.chunks():
            gpx.parser.Parse(chunk, False)
            source.line = gpx.parser.CurrentLineNumber
            yield from gpx.take()
        gpx.parser.Parse(b"", True)
    except expat.ExpatError as why:
        error = source.bad(why.lineno, f"broken XML: {why}", f"XML 格式有误：{why}")
    except _Wrong as why:
        error = source.bad(gpx.point_line or gpx.parser.CurrentLineNumber, why.en, why.zh)
    yield from gpx.take()
    if error:
        report(error)
    elif not gpx.found:
        report(source.bad(0, "the GPX file holds no track (trkpt)", "GPX 文件中没有轨迹（trkpt）"))


@dataclass(slots=True)
class _Segment:
    line: int
    fixes: list[Fix]


class _Gpx:
    """Collects the tracks of a GPX document. Name and type of a <trk> count for all of its segments.

    A DTD is refused where it begins, so no entity is ever expanded.
    """

    def __init__(self, path: Path) -> None:
        self.found = False
        self.point_line = 0  # where the <trkpt> stands that is being read
        self._path = path
        self._open: list[str] = []
        self._fixes = 0  # of the <trk>
        self._texts: dict[str, str] = {}  # of the elements within the <trk>, or within the <trkpt>
        self._point: Point | None = None
        self._segments: list[_Segment] = []
        self._done: list[RecordedTrack] = []
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters

    def take(self) -> list[RecordedTrack]:
        """The tracks that have become complete since the last call."""
        done, self._done = self._done, []
        return done

    def _doctype(self, name: str, system_id: str | None, public_id: str | None, internal: bool) -> None:
        raise _Wrong("a DTD is not allowed: GPX needs none", "不允许包含 DTD：GPX 不需要 DTD")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._open.append(tag.rpartition(" ")[2])
        if self._open[0] != "gpx":
            raise _Wrong(f"the root is <{self._open[0]}>, not <gpx>", f"根元素是 <{self._open[0]}>，不是 <gpx>")
        if len(self._open) > DEPTH_MAX:
            raise _Wrong(f"more than {DEPTH_MAX} elements within each other", f"元素嵌套超过 {DEPTH_MAX} 层")
        match self._open[1:]:
            case ["trk"]:
                self._texts, self._fixes = {}, 0
            case ["trk", "trkseg"]:
                self._segments.append(_Segment(self.parser.CurrentLineNumber, []))
            case ["trk", "trkseg", "trkpt"]:
                self.point_line = self.parser.CurrentLineNumber
                self._texts.pop("time", None)
                lat, lon = (_degrees(name, attributes.get(name)) for name in ("lat", "lon"))
                self._point = _point("trkpt", "轨迹点", lat, lon)

    def _characters(self, text: str) -> None:
        match self._open[1:]:
            case ["trk", ("name" | "type") as key] | ["trk", "trkseg", "trkpt", "time" as key]:
                self._texts[key] = self._texts.get(key, "") + text
                if len(self._texts[key]) > TEXT_CHARS_MAX:
                    en, zh = (
                        f"<{key}> is longer than {TEXT_CHARS_MAX} characters",
                        f"<{key}> 超过 {TEXT_CHARS_MAX} 字符",
                    )
                    raise _Wrong(en, zh)

    def _end(self, tag: str) -> None:
        match self._open[1:]:
            case ["trk", "trkseg", "trkpt"] if self._point is not None:
                self._segments[-1].fixes.append(Fix(self._point, _unix_s(self._texts.get("time", "").strip())))
                self._fixes += 1
                if self._fixes > FIXES_MAX:
                    raise _Wrong(f"more than {FIXES_MAX} fixes in a track", f"一条轨迹的定位点超过 {FIXES_MAX} 个")
                self.point_line = 0
            case ["trk"]:
                self._finish()
        self._open.pop()

    def _finish(self) -> None:
        """Turns the segments that hold fixes into tracks."""
        name, word = (self._texts.get(key, "").strip() for key in ("name", "type"))
        segments = [segment for segment in self._segments if segment.fixes]
        for i, part in enumerate(segments, 1):
            title = name or f"{self._path.name}:{part.line}"
            title = f"{title} #{i}" if name and len(segments) > 1 else title
            fixes = tuple(part.fixes)
            self._done.append(RecordedTrack(title, mode_of(word), word, fixes, None, self._path, part.line))
            self.found = True
        self._segments = []


def _degrees(name: str, text: str | None) -> float:
    try:
        return float(text or "")
    except ValueError as why:
        raise _Wrong(f"trkpt {name} {text!r} is not a number", f"轨迹点的 {name} {text!r} 不是数字") from why


def _unix_s(text: str) -> float:
    """The Unix time of an RFC 3339 time."""
    if not text:
        raise _Wrong("a trkpt without <time>", "轨迹点缺少 <time>")
    try:
        if not _RFC3339.fullmatch(text):
            raise ValueError(text)
        at = datetime.fromisoformat(text.upper()).timestamp()
    except (ValueError, OverflowError) as why:
        en = f"<time> {text!r} is no time with zone as in RFC 3339, such as 2024-06-08T16:10:00Z"
        raise _Wrong(en, f"<time> {text!r} 不是带时区的 RFC 3339 时间，例如 2024-06-08T16:10:00Z") from why
    if not 0 <= at <= AT_S_MAX:
        raise _Wrong(f"<time> {text!r} lies outside 1970..2100", f"<time> {text!r} 不在 1970 至 2100 年之间")
    return at
