"""A rail network: stations, lines and metres of track, and which route counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

from greentrip.distance.rail.csv_folder import read_csv_folder
from greentrip.distance.rail.lines import Lines
from greentrip.distance.rail.named import Named
from greentrip.distance.rail.names import Names
from greentrip.distance.rail.pack import is_pack, read_pack
from greentrip.distance.rail.pack_model import Pack, Polygon
from greentrip.distance.rail.places import Places
from greentrip.distance.rail.route import (
    CHANGES_MAX,
    NAMED_LONGER_MAX,
    NEAREST_STATION_M_MAX,
    ROUTES_MAX,
    RailRoute,
    Ride,
)
from greentrip.distance.rail.search import Search, Way
from greentrip.errors import BadFile, InvalidInput, NoRoute, StationClosed
from greentrip.trip import Point, Route

SAMPLE = Path(__file__).parent.parent / "networks" / "beijing_sample"


class Network:
    """Stations, lines and metres of track. Immutable; what was computed is kept.

    Wherever a station's name is asked for, its Chinese, English or pinyin name or an alias will do; answers hold the
    one name that no other station has.

    >>> network = Network.sample()
    >>> network.route("虎坊桥", "东夏园").metres
    34958
    """

    def __init__(self, pack: Pack) -> None:
        """`pack` must be one that `read_pack` would give: see `Network.open`."""
        self._pack = pack
        self._names = Names(pack.stations)
        self._places = Places(pack.stations)
        self._lines = Lines(pack)
        self._search = Search(self._lines)
        self._named = Named(self._lines, self._search, self._station_name, self._line_name)

    @classmethod
    def open(cls, path: Path | str) -> Network:
        """A region pack, or a folder of CSV files: whichever it is. Raises `BadFile`."""
        path = Path(path)
        if path.is_dir():
            return cls.from_csv(path)
        if path.exists() and not is_pack(path) and path.suffix.lower() == ".csv":
            en = "is one table of a network: give the folder that holds stations.csv and edges.csv"
            raise BadFile(path, 0, en, "只是线网的一张表：请给出包含 stations.csv 和 edges.csv 的文件夹")
        return cls.from_pack(path)

    @classmethod
    def from_pack(cls, path: Path | str) -> Network:
        """One file for a region, made by `greentrip-pack build`. Raises `BadFile` that says what to do."""
        return cls(read_pack(path))

    @classmethod
    def from_csv(cls, folder: Path | str) -> Network:
        """Reads `stations.csv` and `edges.csv` in a folder: see `csv_folder`. Raises `BadFile` with the line."""
        return cls(read_csv_folder(Path(folder)))

    @classmethod
    def sample(cls) -> Network:
        """The small built-in network of the demonstration: one route of the Beijing metro."""
        return cls.from_csv(SAMPLE)

    @property
    def title(self) -> str:
        """What the pack, or the folder, is called."""
        return self._pack.title

    @property
    def made(self) -> date | None:
        """The day on which the pack was made; None for a folder."""
        return self._pack.made if self._pack.made > date.min else None

    @property
    def stations(self) -> tuple[str, ...]:
        """The names of all stations, each once, in the order of the file."""
        return tuple(station.name for station in self._pack.stations)

    @property
    def lines(self) -> tuple[str, ...]:
        """The names of all lines, in the order of the file."""
        return tuple(line.name for line in self._pack.lines)

    @property
    def outlines(self) -> Mapping[int, tuple[Polygon, ...]]:
        """GB/T 2260 code of a province -> its polygons, each an outer ring and holes; empty where there are none."""
        return self._pack.outlines

    def name_of(self, name: str, field: str = "station") -> str:
        """The one name of the station that is called so. Raises `UnknownStation` or `AmbiguousStation`."""
        return self._station_name(self._names.find(name, field))

    def lines_at(self, name: str) -> tuple[str, ...]:
        """The names of the lines that serve a station. Raises as `name_of`."""
        return tuple(map(self._line_name, self._lines.lines_of[self._names.find(name, "station")]))

    def is_closed(self, name: str) -> bool:
        """Whether trains pass through the station without a stop. Raises as `name_of`."""
        return self._names.find(name, "station") in self._lines.closed

    def point_of(self, name: str, field: str = "station") -> Point:
        """A station's position. Raises as `name_of`, or plain `InvalidInput` when the network has no position."""
        station = self._pack.stations[self._names.find(name, field)]
        if station.point is not None:
            return station.point
        raise InvalidInput(
            field,
            f"the network knows {station.name} but not where it is: give a point instead",
            f"线网中没有“{station.name}”的位置：请改用坐标",
        )

    def nearest(self, point: Point, within_m: float = NEAREST_STATION_M_MAX) -> str | None:
        """The open station whose position or entrance is nearest; None when all are further than `within_m`."""
        number = self._places.nearest(point, within_m)
        return None if number is None else self._station_name(number)

    def route(self, start: str, end: str, changes: Sequence[str] = ()) -> RailRoute:
        """The route that counts: the one with these changes if not too long, else the shortest plausible one.

        Raises `UnknownStation` or `StationClosed` (field "start", "end" or "changes"), `InvalidInput` when start and
        end are the same, `NoRoute` when no rails join them, `UnknownChange` when one cannot ride with these changes.
        """
        first, last = self._ends(start, end)
        between = [self._stop(name, "changes") for name in changes]
        shortest = min(self._ways(first, last), key=_counting)
        if not between:
            return self._route(shortest)
        named = self._named.way([first, *between, last])
        if counts(named.metres, shortest.metres):
            return self._route(named, Route.NAMED)
        return self._route(shortest, named_too_long=True)

    def plausible(self, start: str, end: str, most: int = ROUTES_MAX) -> tuple[RailRoute, ...]:
        """Up to `most` routes that one may well take, fewest metres first: the one with fewest, and the quickest.

        At most SLOWER_MINUTES_MAX slower than the quickest. They differ in their lines, or go around a ring the other
        way; by the same lines the one with fewest metres is told. None has more changes than another that is as short
        and as quick. Raises as `route`.
        """
        return tuple(self._route(way) for way in told(different(self._ways(*self._ends(start, end))), most))

    def plausible_m(self, start: str, end: str) -> tuple[int, int]:
        """Fewest and most metres of all plausible routes, those that are not told included. Raises as `route`."""
        ways = different(self._ways(*self._ends(start, end)))
        return ways[0].metres, ways[-1].metres

    def has_point(self, name: str) -> bool:
        """Whether the network knows where a station is. Raises as `name_of`."""
        return self._pack.stations[self._names.find(name, "station")].point is not None

    def stations_of(self, ride: Ride) -> tuple[str, ...]:
        """The stations of a ride of this network, from its start to its end, those that it passes included."""
        return tuple(self._station_name(number) for number, _ in self._way(ride))

    def stops(self, route: RailRoute) -> list[tuple[Point, int]]:
        """Where the stations of a route of this network lie, with the metres from its start, in order.

        Those without a position are left out; the stations that trains pass through are there.
        """
        stops: list[tuple[Point, int]] = []
        ridden = 0
        for ride in route.rides:
            way = self._way(ride)
            for number, metres in way[1:] if ridden else way:  # a change is at one station
                if (point := self._pack.stations[number].point) is not None:
                    stops.append((point, ridden + metres))
            ridden += ride.metres
        return stops

    def _way(self, ride: Ride) -> list[tuple[int, int]]:
        line = self.lines.index(ride.line)
        return self._lines.way(
            line, self._names.find(ride.start, "start"), self._names.find(ride.end, "end"), ride.metres
        )

    def _ends(self, start: str, end: str) -> tuple[int, int]:
        first, last = self._stop(start, "start"), self._stop(end, "end")
        if first == last:
            name = self._station_name(last)
            raise InvalidInput("end", f"the ride ends where it starts: {name}", f"起点与终点相同：{name}")
        return first, last

    def _stop(self, name: str, field: str) -> int:
        """An open station."""
        number = self._names.find(name, field)
        if number in self._lines.closed:
            raise StationClosed(field, self._station_name(number))
        return number

    def _ways(self, start: int, end: int) -> list[Way]:
        """All plausible ways."""
        ways = self._search.ways(start, end)
        if not ways:
            a, b = self._station_name(start), self._station_name(end)
            en = f"no rails join {a} and {b} within {CHANGES_MAX} changes"
            raise NoRoute("end", en, f"线网中{a}与{b}在 {CHANGES_MAX} 次换乘内不连通")
        return ways

    def _route(self, way: Way, kind: Route = Route.SHORTEST, named_too_long: bool = False) -> RailRoute:
        rides = tuple(self._ride(before, after) for before, after in way.rides())
        return RailRoute(way.metres, way.minutes, kind, rides, named_too_long)

    def _ride(self, before: Way, after: Way) -> Ride:
        minutes = after.minutes - before.minutes
        if before.lines:
            minutes -= self._lines.change_minutes(before.station, before.lines[-1], after.lines[-1])
        return Ride(
            self._line_name(after.lines[-1]),
            self._station_name(before.station),
            self._station_name(after.station),
            after.metres - before.metres,
            minutes,
        )

    def _station_name(self, number: int) -> str:
        return self._pack.stations[number].name

    def _line_name(self, number: int) -> str:
        return self._pack.lines[number].name


def counts(metres: int, shortest_m: int) -> bool:
    """Whether a route that is named or shown counts: at most NAMED_LONGER_MAX longer than the shortest plausible."""
    return metres - shortest_m <= NAMED_LONGER_MAX * shortest_m


def told(ways: Sequence[Way], most: int) -> list[Way]:
    """Of different ways those that are told: the one with fewest metres and the quickest others."""
    shortest, *others = ways
    others.sort(key=lambda way: way.minutes)
    return sorted([shortest, *others[: most - 1]], key=_counting)


def different(ways: Sequence[Way]) -> list[Way]:
    """The ways that differ in their lines, or go around a ring the other way; fewest metres first.

    None has more changes than another that is as short and as quick.
    """
    best: dict[tuple[int, ...], Way] = {}
    quickest: dict[int, float] = {}  # number of rides -> least minutes of the ways so far, which are as short
    for way in sorted(ways, key=_counting):
        rides = len(way.lines)
        if not any(minutes <= way.minutes for fewer, minutes in quickest.items() if fewer < rides):
            quickest[rides] = min(way.minutes, quickest.get(rides, way.minutes))
            around = (way.metres,) if rides == 1 else ()
            best.setdefault(way.lines + around, way)
    return list(best.values())


def _counting(way: Way) -> tuple[int, int, float]:
    """The first in this order counts: fewest metres, then fewest changes, then the quickest."""
    return way.metres, len(way.lines), way.minutes
