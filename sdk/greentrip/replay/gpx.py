"""GPX 1.0 and 1.1, read piece by piece with line numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from xml.parsers import expat

from greentrip.errors import BadFile
from greentrip.replay.source import AT_S_MAX, FIXES_MAX, TEXT_CHARS_MAX, OnError, Source, Wrong, point
from greentrip.replay.track import RecordedTrack, mode_of
from greentrip.trip import Fix, Point

DEPTH_MAX = 50
"""Of elements within each other."""

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.IGNORECASE | re.ASCII)


def read_gpx(source: Source, report: OnError) -> Iterator[RecordedTrack]:
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
    except Wrong as why:
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
        raise Wrong("a DTD is not allowed: GPX needs none", "不允许包含 DTD：GPX 不需要 DTD")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._open.append(tag.rpartition(" ")[2])
        if self._open[0] != "gpx":
            raise Wrong(f"the root is <{self._open[0]}>, not <gpx>", f"根元素是 <{self._open[0]}>，不是 <gpx>")
        if len(self._open) > DEPTH_MAX:
            raise Wrong(f"more than {DEPTH_MAX} elements within each other", f"元素嵌套超过 {DEPTH_MAX} 层")
        match self._open[1:]:
            case ["trk"]:
                self._texts, self._fixes = {}, 0
            case ["trk", "trkseg"]:
                self._segments.append(_Segment(self.parser.CurrentLineNumber, []))
            case ["trk", "trkseg", "trkpt"]:
                self.point_line = self.parser.CurrentLineNumber
                self._texts.pop("time", None)
                lat, lon = (_degrees(name, attributes.get(name)) for name in ("lat", "lon"))
                self._point = point("trkpt", "轨迹点", lat, lon)

    def _characters(self, text: str) -> None:
        match self._open[1:]:
            case ["trk", ("name" | "type") as key] | ["trk", "trkseg", "trkpt", "time" as key]:
                self._texts[key] = self._texts.get(key, "") + text
                if len(self._texts[key]) > TEXT_CHARS_MAX:
                    en, zh = (
                        f"<{key}> is longer than {TEXT_CHARS_MAX} characters",
                        f"<{key}> 超过 {TEXT_CHARS_MAX} 字符",
                    )
                    raise Wrong(en, zh)

    def _end(self, tag: str) -> None:
        match self._open[1:]:
            case ["trk", "trkseg", "trkpt"] if self._point is not None:
                self._segments[-1].fixes.append(Fix(self._point, _unix_s(self._texts.get("time", "").strip())))
                self._fixes += 1
                if self._fixes > FIXES_MAX:
                    raise Wrong(f"more than {FIXES_MAX} fixes in a track", f"一条轨迹的定位点超过 {FIXES_MAX} 个")
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
        raise Wrong(f"trkpt {name} {text!r} is not a number", f"轨迹点的 {name} {text!r} 不是数字") from why


def _unix_s(text: str) -> float:
    """The Unix time of an RFC 3339 time."""
    if not text:
        raise Wrong("a trkpt without <time>", "轨迹点缺少 <time>")
    try:
        if not _RFC3339.fullmatch(text):
            raise ValueError(text)
        at = datetime.fromisoformat(text.upper()).timestamp()
    except (ValueError, OverflowError) as why:
        en = f"<time> {text!r} is no time with zone as in RFC 3339, such as 2024-06-08T16:10:00Z"
        raise Wrong(en, f"<time> {text!r} 不是带时区的 RFC 3339 时间，例如 2024-06-08T16:10:00Z") from why
    if not 0 <= at <= AT_S_MAX:
        raise Wrong(f"<time> {text!r} lies outside 1970..2100", f"<time> {text!r} 不在 1970 至 2100 年之间")
    return at
