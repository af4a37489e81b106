"""Distances over a rail network: from station to station along the track, not along the straight line.

A network is two CSV files (see `Network.from_csv`). Without named changes a leg counts the *plausible* route
with the fewest metres: few people change five times to ride half a kilometre less, so a route must be about
as quick as the quickest.
"""

from __future__ import annotations

import csv
import difflib
import heapq
import io
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from greentrip.distance.sphere import great_circle_m
from greentrip.errors import BadFile, InvalidInput, NoRoute, UnknownChange, UnknownStation
from greentrip.trip import Estimate, Method, Point, Route

NEAREST_STATION_M_MAX = 1000
"""Who is further from every station than this is at none."""
NAMED_LONGER_MAX = 0.05
"""A route whose changes the person names counts if at most this share longer than the shortest plausible."""
TRAIN_KMH_MEAN = 35
"""Mean speed with stops; the median of labelled Beijing rail tracks, 30 people, 2007 to 2011, is 40 km/h."""
CHANGE_MINUTES = 5
"""Walking and waiting at a change: an assumption."""
SLOWER_MINUTES_MAX = 5
"""A plausible route is at most this much slower than the quickest: as much as one change."""
CHANGES_MAX = 8
"""Nobody changes more often than this, and no route search looks further."""
INTERVAL_SHARE_MIN = 0.01
"""An estimate's interval is at least this share to either side: lengths are rounded, platforms long."""
SUGGESTIONS_MAX = 5
MIDDLES_MAX = 3
FILE_BYTES_MAX = 8_000_000
EDGE_M_MAX = 500_000

STATION_COLUMNS = ("line", "order", "name", "lat_wgs84", "lon_wgs84")
EDGE_COLUMNS = ("line", "from", "to", "track_m")
SAMPLE = Path(__file__).with_name("networks") / "beijing_sample"


@dataclass(frozen=True, slots=True)
class Ride:
    """One line from one station to another without leaving the train."""

    line: str
    start: str
    end: str
    metres: int


@dataclass(frozen=True, slots=True)
class RailRoute:
    """The rides from one station to another and why they count.

    `named_too_long` says that changes were named, but that route is too long: the shortest plausible counts.
    """

    metres: int
    kind: Route
    rides: tuple[Ride, ...]
    named_too_long: bool = False

    @property
    def changes(self) -> tuple[str, ...]:
        """The stations where one changes from a line to the next."""
        return tuple(ride.start for ride in self.rides[1:])

    @property
    def minutes(self) -> float:
        """The time it takes, roughly: see TRAIN_KMH_MEAN and CHANGE_MINUTES."""
        return _minutes(self.metres, len(self.rides) - 1)


class Network:
    """Stations, lines and metres of track. Immutable. One name on several lines is one interchange station.

    >>> network = Network.sample()
    >>> network.route("虎坊桥", "东夏园").metres
    34958
    """

    def __init__(
        self,
        lines: Mapping[str, Mapping[str, Mapping[str, int]]],
        points: Mapping[str, Point],
    ) -> None:
        """`lines`: line -> station -> next stations -> metres. `points`: where stations are, if known."""
        self._lines = lines
        self._points = points
        self._lines_of: dict[str, tuple[str, ...]] = {}
        for line, stations in lines.items():
            for name in stations:
                self._lines_of[name] = (*self._lines_of.get(name, ()), line)
        self._along_cache: dict[tuple[str, str], dict[str, int]] = {}
        self._onward_cache: dict[str, list[tuple[str, str, int]]] = {}

    @classmethod
    def from_csv(cls, folder: Path | str) -> Network:
        """Reads `stations.csv` and `edges.csv`; their columns are STATION_COLUMNS and EDGE_COLUMNS, in any order.

        UTF-8; other columns are ignored. Coordinates may be empty: the station then has no position. Edges
        are ridden both ways. Raises `BadFile` with the line of whatever is wrong. A file that was cut short is
        found by its last line, or by a line of the network that is no longer in one piece.
        """
        lines, points = _read_stations(Path(folder) / "stations.csv")
        edges = Path(folder) / "edges.csv"
        last_line = _read_edges(edges, lines)
        for line, stations in lines.items():
            if lost := stations.keys() - _along(stations, next(iter(stations))).keys():
                some = min(lost)
                raise BadFile(
                    edges,
                    last_line,
                    f"the edges of {line} do not reach {some}: an edge is missing, or the file was cut short",
                    f"{line}的区间未连通到{some}：缺少区间，或文件不完整",
                )
        return cls(lines, points)

    @classmethod
    def sample(cls) -> Network:
        """The small built-in network of the demonstration: one route of the Beijing metro."""
        return cls.from_csv(SAMPLE)

    @property
    def stations(self) -> tuple[str, ...]:
        """The names of all stations, each once, in the order of the file."""
        return tuple(self._lines_of)

    @property
    def lines(self) -> tuple[str, ...]:
        """The names of all lines, in the order of the file."""
        return tuple(self._lines)

    def point_of(self, name: str, field: str = "station") -> Point:
        """A station's position, the mean over its lines.

        Raises `UnknownStation` (with near names), or plain `InvalidInput` when the network has no position.
        """
        self._known(name, field)
        point = self._points.get(name)
        if point is not None:
            return point
        raise InvalidInput(
            field,
            f"the network knows {name} but not where it is: give a point instead",
            f"线网中没有“{name}”的位置：请改用坐标",
        )

    def nearest(self, point: Point, within_m: float = NEAREST_STATION_M_MAX) -> str | None:
        """The station nearest to `point`, or None when all are further than `within_m`."""
        found = ((great_circle_m(point, place), name) for name, place in self._points.items())
        distance_m, name = min(found, default=(math.inf, ""))
        return name if distance_m <= within_m else None

    def route(self, start: str, end: str, changes: Sequence[str] = ()) -> RailRoute:
        """The route that counts: the one with these changes if not too long, else the shortest plausible one.

        Raises `UnknownStation` (field "start", "end" or "changes"), `InvalidInput` when start and end are the
        same, `NoRoute` when no rails join them, `UnknownChange` when one cannot ride with these changes.
        """
        shortest = self.plausible(start, end)[0]
        if not changes:
            return shortest
        named = self._ride_named((start, *changes, end))
        if named.metres - shortest.metres <= NAMED_LONGER_MAX * shortest.metres:
            return named
        return RailRoute(shortest.metres, Route.SHORTEST, shortest.rides, named_too_long=True)

    def plausible(self, start: str, end: str) -> tuple[RailRoute, ...]:
        """The routes one may well take, fewest metres first.

        For each number of changes it is the one with fewest metres, if at most SLOWER_MINUTES_MAX slower than
        the quickest of all; none has both more changes and no fewer metres than another.
        """
        self._known(start, "start")
        self._known(end, "end")
        if start == end:
            raise InvalidInput("end", f"the ride ends where it starts: {end}", f"起点与终点相同：{end}")
        routes = self._by_changes(start, end)
        if not routes:
            en = f"no rails join {start} and {end} within {CHANGES_MAX} changes"
            raise NoRoute("end", en, f"线网中{start}与{end}在 {CHANGES_MAX} 次换乘内不连通")
        latest = min(route.minutes for route in routes) + SLOWER_MINUTES_MAX
        return tuple(route for route in reversed(routes) if route.minutes <= latest)

    def _by_changes(self, start: str, end: str) -> list[RailRoute]:
        """For 0, 1, 2... changes the route with fewest metres, each with fewer metres than the one before.

        Rounds as in RAPTOR (Delling, Pajor, Werneck 2012): round k rides one line on from whatever round k - 1
        reached with fewer metres than before. A line is ridden its shortest way, so never twice in a row.
        """
        to_end = {line: self._ride_along(line, end) for line in self._lines_of[end]}
        best = {start: 0}
        reached: dict[str, _Way] = {start: _Way(0)}
        routes: list[RailRoute] = []
        metres_max = math.inf
        for changes in range(CHANGES_MAX + 1):
            last = [
                (way.metres + along[name], line, name)
                for name, way in reached.items()
                for line, along in to_end.items()
                if name in along
            ]
            if last and min(last)[0] < (routes[-1].metres if routes else math.inf):
                metres, line, name = min(last)
                routes.append(_Way(metres, reached[name], line, end).route(start))
            if routes:
                latest = min(route.minutes for route in routes) + SLOWER_MINUTES_MAX
                metres_max = min(routes[-1].metres, _metres_within(latest, changes + 1))
            reached = self._ride_on(reached, best, metres_max)
        return routes

    def _ride_on(self, reached: Mapping[str, _Way], best: dict[str, int], metres_max: float) -> dict[str, _Way]:
        """One round: the interchanges that one more ride reaches with fewer metres than `best` (updated)."""
        improved: dict[str, _Way] = {}
        for name, way in reached.items():
            for line, other, step_m in self._onward(name):
                metres = way.metres + step_m
                if metres < metres_max and metres < best.get(other, math.inf):
                    best[other] = metres
                    improved[other] = _Way(metres, way, line, other)
        return improved

    def _onward(self, name: str) -> list[tuple[str, str, int]]:
        """Line, interchange and metres of the rides from a station to where one may change; kept once computed."""
        known = self._onward_cache.get(name)
        if known is None:
            known = self._onward_cache[name] = [
                (line, other, metres)
                for line in self._lines_of[name]
                for other, metres in self._ride_along(line, name).items()
                if other != name and len(self._lines_of[other]) > 1
            ]
        return known

    def _ride_named(self, stops: Sequence[str]) -> RailRoute:
        """The route with fewest metres that changes at each stop but the first and last, and nowhere else."""
        if len(stops) - 2 > CHANGES_MAX:
            raise UnknownChange("changes", f"at most {CHANGES_MAX} changes", f"最多 {CHANGES_MAX} 次换乘")
        for name in stops[1:-1]:
            self._known(name, "changes")
        best: dict[str, tuple[int, tuple[Ride, ...]]] = {"": (0, ())}
        for start, end in pairwise(stops):
            rides = self._direct(start, end)
            ridden: dict[str, tuple[int, tuple[Ride, ...]]] = {}
            for ride in rides:
                before = [way for line, way in best.items() if line != ride.line]
                if before:
                    metres, earlier = min(before, key=lambda way: way[0])
                    ridden[ride.line] = (metres + ride.metres, (*earlier, ride))
            if not ridden:
                raise self._no_such_ride(start, end, rides, best.keys())
            best = ridden
        metres, taken = min(best.values(), key=lambda way: way[0])
        return RailRoute(metres, Route.NAMED, taken)

    def _direct(self, start: str, end: str) -> list[Ride]:
        """The rides from `start` to `end` on one line, one for each line that serves both."""
        if start == end:
            return []
        common = (line for line in self._lines_of[start] if end in self._lines[line])
        return [Ride(line, start, end, self._ride_along(line, start)[end]) for line in common]

    def _no_such_ride(self, start: str, end: str, rides: Sequence[Ride], came_by: Collection[str]) -> UnknownChange:
        """Why one cannot ride from `start` to `end` in one train, and what to name instead."""
        if start == end:
            en = f"{start} is named twice in a row: name it once, and neither the first nor the last station"
            zh = f"{start}重复出现：每个换乘站只填一次，且不含起点站和终点站"
        elif rides:
            line = rides[0].line
            en = f"nobody changes at {start}: the same train ({line}) goes on to {end}; leave {start} out"
            zh = f"在{start}无需换乘：同一条线路（{line}）直达{end}；请去掉{start}"
        elif middles := self._between(start, end, came_by):
            en = f"no line goes from {start} to {end}: name a change between them, such as {' or '.join(middles)}"
            zh = f"没有线路从{start}直达{end}：请补充中间的换乘站，例如{'或'.join(middles)}"
        elif routes := self._by_changes(start, end):
            via = routes[0].changes
            en = f"no line goes from {start} to {end}: name the changes between them, such as {', '.join(via)}"
            zh = f"没有线路从{start}直达{end}：请补充中间的换乘站，例如{'、'.join(via)}"
        else:
            en = f"no rails join {start} and {end}: name other changes"
            zh = f"{start}与{end}不连通：请更换换乘站"
        return UnknownChange("changes", en, zh)

    def _between(self, start: str, end: str, came_by: Collection[str]) -> list[str]:
        """Where one may change once on the way, fewest metres first, not going on by the line one came by."""
        ways = [
            (metres + ride.metres, middle)
            for line in self._lines_of[start]
            if len(came_by) > 1 or line not in came_by
            for middle, metres in self._ride_along(line, start).items()
            for ride in self._direct(middle, end)
            if middle != start and ride.line != line
        ]
        return list(dict.fromkeys(name for _, name in sorted(ways)))[:MIDDLES_MAX]

    def _ride_along(self, line: str, start: str) -> dict[str, int]:
        """Metres from a station to all others of its line; computed when first asked for, then kept."""
        known = self._along_cache.get((line, start))
        if known is None:
            known = self._along_cache[line, start] = _along(self._lines[line], start)
        return known

    def _known(self, name: str, field: str) -> None:
        if name not in self._lines_of:
            raise UnknownStation(field, name, self._suggest(name))

    def _suggest(self, name: str) -> list[str]:
        """Names that begin like `name`, hold it or are held by it, then those that are spelt nearly so."""
        if not name.strip():
            return []
        holds = sorted(
            (s for s in self._lines_of if name in s or s in name),
            key=lambda s: (not s.startswith(name), abs(len(s) - len(name))),
        )
        close = difflib.get_close_matches(name, self._lines_of, SUGGESTIONS_MAX, cutoff=0.5)
        return list(dict.fromkeys(holds + close))[:SUGGESTIONS_MAX]


def estimate_rail(network: Network, start: str, end: str, changes: Sequence[str] = ()) -> Estimate:
    """Estimates a rail leg: `metres` and `changes` are those of the route that counts.

    The interval spans the plausible routes and the counted one, and at least INTERVAL_SHARE_MIN to either side.
    Raises what `Network.route` raises.
    """
    route = network.route(start, end, changes)
    lengths = [other.metres for other in network.plausible(start, end)]
    return Estimate(
        metres=route.metres,
        low_m=min(*lengths, math.floor(route.metres * (1 - INTERVAL_SHARE_MIN))),
        high_m=max(*lengths, math.ceil(route.metres * (1 + INTERVAL_SHARE_MIN))),
        method=Method.RAIL,
        route=route.kind,
        stations=(start, end),
        changes=route.changes,
    )


class _Way(NamedTuple):
    """How a search got somewhere: the last ride, and the way before it. The first has no line."""

    metres: int
    before: _Way | None = None
    line: str = ""
    end: str = ""

    def route(self, start: str) -> RailRoute:
        rides: list[Ride] = []
        way = self
        while way.before is not None:
            rides.append(Ride(way.line, way.before.end or start, way.end, way.metres - way.before.metres))
            way = way.before
        return RailRoute(self.metres, Route.SHORTEST, tuple(reversed(rides)))


def _minutes(metres: int, changes: int) -> float:
    return metres * 60 / (TRAIN_KMH_MEAN * 1000) + changes * CHANGE_MINUTES


def _metres_within(minutes: float, changes: int) -> float:
    """How far one gets in that time: the inverse of `_minutes`."""
    return (minutes - changes * CHANGE_MINUTES) * TRAIN_KMH_MEAN * 1000 / 60


def _along(stations: Mapping[str, Mapping[str, int]], start: str) -> dict[str, int]:
    """Fewest metres from `start` to every station of one line (Dijkstra: there are rings and branches)."""
    done: dict[str, int] = {}
    queue = [(0, start)]
    while queue:
        metres, name = heapq.heappop(queue)
        if name not in done:
            done[name] = metres
            for other, step_m in stations[name].items():
                if other not in done:
                    heapq.heappush(queue, (metres + step_m, other))
    return done


_Lines = dict[str, dict[str, dict[str, int]]]
"""Line -> station -> next stations -> metres."""


def _read_stations(path: Path) -> tuple[_Lines, dict[str, Point]]:
    """The lines with their stations, not joined yet, and the mean position of each name."""
    lines: _Lines = {}
    places: dict[str, list[Point]] = {}
    for at, row in _rows(path, STATION_COLUMNS):
        line, name = row["line"], row["name"]
        if name in lines.setdefault(line, {}):
            raise BadFile(path, at, f"{name} stands twice on {line}", f"{line}中“{name}”重复")
        _number(path, at, "order", row["order"])
        lines[line][name] = {}
        if row["lat_wgs84"] or row["lon_wgs84"]:
            places.setdefault(name, []).append(_point(path, at, row))
    return lines, {name: _mean(found) for name, found in places.items()}


def _read_edges(path: Path, lines: _Lines) -> int:
    """Joins the stations of `lines`, both ways; returns the number of the file's last line."""
    at = 0
    for at, row in _rows(path, EDGE_COLUMNS):
        line, start, end = row["line"], row["from"], row["to"]
        stations = lines.get(line, {})
        for name in (start, end):
            if name not in stations:
                en, zh = f"stations.csv has no {name} on {line}", f"stations.csv 的{line}没有“{name}”"
                raise BadFile(path, at, en, zh)
        if start == end:
            raise BadFile(path, at, f"an edge from {start} to itself", f"区间的两端都是“{start}”")
        if end in stations[start]:
            raise BadFile(path, at, f"{start} - {end} stands twice on {line}", f"{line}的区间{start}—{end}重复")
        stations[start][end] = stations[end][start] = _edge_m(path, at, row)
    return at


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
