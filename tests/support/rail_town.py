"""A small rail town for tests: a ring, a branch, a one-way edge, a closed station, two stations of one name."""

from dataclasses import replace
from datetime import date

from greentrip.distance.rail import Network
from greentrip.distance.rail.pack import Pack, PackChange, PackEdge, PackLine, PackStation, Source
from greentrip.trip import Point

STATIONS = (
    # name, English, pinyin, degrees north of 39.9 and east of 116.4 in thousandths
    ("东门", "East Gate", "Dōngmén", 0, 0),
    ("南站", "South Railway Station", "Nánzhàn", 0, 15),
    ("西湖", "West Lake", "Xīhú", 15, 15),
    ("北园", "North Garden", "Běiyuán", 15, 0),
    ("绿源(1号线)", "Lüyuan", "Lǜyuán", 0, 40),
    ("绿源(2号线)", "Lüyuan", "Lǜyuán", 40, 20),
    ("机场", "Airport", "Jīchǎng", 0, 60),
)
LINES = (PackLine("环线", "Ring Line", ring=True), PackLine("1号线", "Line 1"), PackLine("2号线", "Line 2"))
EDGES = (
    PackEdge(0, 0, 1, 1400),
    PackEdge(0, 1, 2, 1700),
    PackEdge(0, 2, 3, 1400),
    PackEdge(0, 3, 0, 2000),
    PackEdge(1, 1, 4, 2200),
    PackEdge(1, 4, 6, 1800, one_way=True),  # to the airport past 绿源, and back without a stop
    PackEdge(1, 6, 1, 5000, one_way=True),
    PackEdge(2, 2, 5, 2600),
)


def town(**changed: object) -> Pack:
    """The pack, with some of its fields replaced."""
    stations = tuple(
        PackStation(name, en, pinyin, point=Point((39_900 + north) / 1000, (116_400 + east) / 1000))
        for name, en, pinyin, north, east in STATIONS
    )
    pack = Pack(
        "小城",
        "town",
        date(2024, 10, 13),
        (Source("a test", "CC0-1.0", "https://example.org"),),
        LINES,
        stations,
        EDGES,
    )
    return replace(pack, **changed)


def with_station(pack: Pack, of: str, **changed: object) -> Pack:
    """The pack with some fields of one station replaced."""
    stations = (replace(station, **changed) if station.name == of else station for station in pack.stations)
    return replace(pack, stations=tuple(stations))


def network(**changed: object) -> Network:
    return Network(town(**changed))


def changes(*minutes: tuple[int, int, int, float]) -> tuple[PackChange, ...]:
    return tuple(PackChange(*change) for change in minutes)
