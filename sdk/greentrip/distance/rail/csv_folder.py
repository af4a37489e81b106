"""A network as two CSV files in a folder: the simplest way to bring one. A region pack holds more.

UTF-8, with or without a byte order mark; other columns are ignored. Equal names are one interchange when near each
other; a name that stands elsewhere too gets its line in brackets: 木樨地(16号线).
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from greentrip.distance.rail.lines import Lines
from greentrip.distance.rail.pack_json import EDGE_M_MAX
from greentrip.distance.rail.pack_model import Pack, PackEdge, PackLine, PackStation
from greentrip.distance.sphere import great_circle_m
from greentrip.errors import BadFile, InvalidInput
from greentrip.trip import Point

INTERCHANGE_M_MAX = 500.0
"""Equal names further apart are two stations. The platforms of Beijing's widest interchange are 405 m apart."""
FILE_BYTES_MAX = 8_000_000

STATION_COLUMNS = ("line", "order", "name", "lat_wgs84", "lon_wgs84")
EDGE_COLUMNS = ("line", "from", "to", "track_m")


def read_csv_folder(folder: Path) -> Pack:
    """The network in `stations.csv` and `edges.csv`; edges are ridden both ways.

    Raises `BadFile` with the line of whatever is wrong. A file that was cut short is found by its last line, or by a
    line of the network that is no longer in one piece.
    """
    places = _read_stations(folder / "stations.csv")
    stations = _stations(places)
    numbers = {place: number for number, station in enumerate(stations) for place in station.places}
    line_names = list(dict.fromkeys(line for line, _ in places))
    line_numbers = {line: number for number, line in enumerate(line_names)}
    edges, last_row = _read_edges(folder / "edges.csv", line_numbers, numbers)
    pack = Pack(
        title=folder.name,
        region="",
        made=date.min,
        sources=(),
        lines=tuple(PackLine(line) for line in line_names),
        stations=tuple(PackStation(station.name, point=station.point) for station in stations),
        edges=tuple(edges),
    )
    _need_whole_lines(folder / "edges.csv", last_row, pack, numbers)
    return pack


_Place = tuple[str, str]
"""A line and a name on it: a row of stations.csv."""


@dataclass(slots=True)
class _Station:
    """A station in the making: the rows that are this station."""

    name: str
    places: list[_Place] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)

    @property
    def point(self) -> Point | None:
        return _mean(self.points) if self.points else None

    def takes(self, point: Point | None) -> bool:
        """Whether a row of this name is this station. A row without a position says nothing against it."""
        own = self.point
        return point is None or own is None or great_circle_m(own, point) <= INTERCHANGE_M_MAX


def _stations(places: Mapping[_Place, Point | None]) -> list[_Station]:
    """The rows joined to stations, in the order of their first rows."""
    named: dict[str, list[_Station]] = {}
    stations: list[_Station] = []
    for (line, name), point in places.items():
        station = next((one for one in named.get(name, ()) if one.takes(point)), None)
        if station is None:
            station = _Station(name)
            named.setdefault(name, []).append(station)
            stations.append(station)
        station.places.append((line, name))
        if point is not None:
            station.points.append(point)
    for alike in named.values():
        if len(alike) > 1:
            for station in alike:
                station.name = f"{station.name}({station.places[0][0]})"
    return stations


def _read_stations(path: Path) -> dict[_Place, Point | None]:
    places: dict[_Place, Point | None] = {}
    for at, row in _rows(path, STATION_COLUMNS):
        line, name = place = row["line"], row["name"]
        if place in places:
            raise BadFile(path, at, f"{name} stands twice on {line}", f"{line}中“{name}”重复")
        _number(path, at, "order", row["order"])
        places[place] = _point(path, at, row) if row["lat_wgs84"] or row["lon_wgs84"] else None
    return places


def _read_edges(path: Path, lines: Mapping[str, int], numbers: Mapping[_Place, int]) -> tuple[list[PackEdge], int]:
    """The edges, and the number of the file's last line."""
    edges: list[PackEdge] = []
    joined: set[tuple[int, int, int]] = set()
    at = 0
    for at, row in _rows(path, EDGE_COLUMNS):
        line, start, end = row["line"], row["from"], row["to"]
        for name in (start, end):
            if (line, name) not in numbers:
                en, zh = f"stations.csv has no {name} on {line}", f"stations.csv 的{line}没有“{name}”"
                raise BadFile(path, at, en, zh)
        if start == end:
            raise BadFile(path, at, f"an edge from {start} to itself", f"区间的两端都是“{start}”")
        edge = PackEdge(lines[line], numbers[line, start], numbers[line, end], _edge_m(path, at, row))
        if (edge.line, edge.start, edge.end) in joined:
            raise BadFile(path, at, f"{start} - {end} stands twice on {line}", f"{line}的区间{start}—{end}重复")
        joined |= {(edge.line, edge.start, edge.end), (edge.line, edge.end, edge.start)}
        edges.append(edge)
    return edges, at


def _need_whole_lines(path: Path, last_row: int, pack: Pack, numbers: Mapping[_Place, int]) -> None:
    """An edge that is missing, in the middle or at the end of a file cut short, leaves a station alone."""
    lines = Lines(pack)
    for number, line in enumerate(pack.lines):
        names = {at: name for (of, name), at in numbers.items() if of == line.name}
        first = next(iter(names))
        reached = lines.onward(number, first).keys() if first in lines.stations(number) else {first}
        if lost := names.keys() - reached:
            some = min(names[at] for at in lost)
            raise BadFile(
                path,
                last_row,
                f"the edges of {line.name} do not reach {some}: an edge is missing, or the file was cut short",
                f"{line.name}的区间未连通到{some}：缺少区间，或文件不完整",
            )


def _rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a CSV file with their line numbers, white space trimmed. Only positions may be empty."""
    rows = _csv_lines(path)
    header = [name.strip() for name in next(rows, (1, []))[1]]
    for missing in (name for name in columns if name not in header):
        raise BadFile(path, 1, f"there is no column {missing!r}", f"缺少“{missing}”列")
    at = 1
    for at, cells in rows:
        if len(cells) != len(header):
            en, zh = f"{len(cells)} columns, not {len(header)}", f"有 {len(cells)} 列，应为 {len(header)} 列"
            raise BadFile(path, at, en, zh)
        row = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
        for empty in (name for name in columns if not row[name] and not name.endswith("_wgs84")):
            raise BadFile(path, at, f"{empty!r} is empty", f"“{empty}”为空")
        yield at, row
    if at == 1:
        raise BadFile(path, 1, "there are no rows below the header", "表头以下没有数据")


def _csv_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The cells of each line that is not blank, with its number."""
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    while True:
        at = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as why:
            raise BadFile(path, at, f"broken CSV: {why}", f"CSV 格式有误：{why}") from why
        if any(cells):
            yield at, cells


def _text(path: Path) -> str:
    """The whole of a UTF-8 file, with or without a byte order mark."""
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_BYTES_MAX + 1)
        text = raw.decode("utf-8-sig")
    except OSError as why:
        raise BadFile(path, 0, f"cannot be read: {why.strerror}", f"无法读取：{why.strerror}") from why
    except UnicodeDecodeError as why:
        at = why.object[: why.start].count(b"\n") + 1
        raise BadFile(path, at, "not UTF-8 text: save it as UTF-8", "不是 UTF-8 编码：请另存为 UTF-8") from why
    if len(raw) > FILE_BYTES_MAX:
        raise BadFile(path, 0, f"larger than {FILE_BYTES_MAX} bytes", f"文件超过 {FILE_BYTES_MAX} 字节")
    if text and not text.endswith(("\n", "\r")):
        at = text.count("\n") + 1
        en = "the last line has no line end: the file was cut short (if it is whole, add a line end)"
        raise BadFile(path, at, en, "最后一行没有换行符：文件可能不完整（如确认完整，请补上换行）")
    return text


def _number(path: Path, at: int, column: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise BadFile(path, at, f"{column} {text!r} is not a number", f"{column} “{text}”不是数字")
    return number


def _edge_m(path: Path, at: int, row: Mapping[str, str]) -> int:
    metres = round(_number(path, at, "track_m", row["track_m"]))
    if not 1 <= metres <= EDGE_M_MAX:
        en = f"track_m {metres} is not within 1..{EDGE_M_MAX} m"
        raise BadFile(path, at, en, f"track_m {metres} 不在 1..{EDGE_M_MAX} 米之内")
    return metres


def _point(path: Path, at: int, row: Mapping[str, str]) -> Point:
    lat, lon = (_number(path, at, column, row[column]) for column in ("lat_wgs84", "lon_wgs84"))
    try:
        return Point(lat, lon)
    except InvalidInput as why:
        raise BadFile(path, at, why.en, why.zh) from why


def _mean(points: Sequence[Point]) -> Point:
    return Point(sum(p.lat for p in points) / len(points), sum(p.lon for p in points) / len(points))
