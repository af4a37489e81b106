"""An OpenStreetMap extract becomes a pack: toy cities that the tests draw."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from greentrip.distance.rail.pack import Pack, PackStation
from greentrip.errors import BadFile
from greentrip.packs.assemble import Choices, assemble
from greentrip.packs.draft import Note
from greentrip.packs.osm import read_osm
from support.osm_city import OsmCity

DAY = date(2026, 11, 24)
NORTH_M = 111.195
EAST_M = 85.3
"""Metres of a step of the grid, at 39.9 degrees north."""

Built = tuple[Pack, tuple[Note, ...]]
Build = Callable[..., Built]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    def build_it(city: OsmCity, **choices) -> Built:
        draft = read_osm(city.write(tmp_path / "city.osm"), DAY, lambda what: None)
        return assemble(draft, Choices("Toy", "toy", DAY, **choices))

    return build_it


def station(pack: Pack, name: str) -> PackStation:
    return next(station for station in pack.stations if station.name == name)


def edges(pack: Pack, line: str) -> dict[tuple[str, str], int]:
    """(from, to) -> metres of a line; a pair stands there in both orders unless it is one-way."""
    found = {}
    for edge in pack.edges:
        if pack.lines[edge.line].name == line:
            start, end = pack.stations[edge.start].name, pack.stations[edge.end].name
            found[start, end] = edge.metres
            if not edge.one_way:
                found[end, start] = edge.metres
    return found


def test_metres_run_along_the_track_and_not_straight(build: Build):
    city = OsmCity()
    west, east = city.stop("西门", 0, 0), city.stop("东门", 0, 20)
    track = city.way([west, city.node(5, 10), east], railway="subway")
    city.both_ways("1号线", [west, east], [track])
    pack, notes = build(city)
    bent_m = 2 * ((5 * NORTH_M) ** 2 + (10 * EAST_M) ** 2) ** 0.5
    assert edges(pack, "1号线") == {
        ("西门", "东门"): pytest.approx(bent_m, abs=3),
        ("东门", "西门"): pytest.approx(bent_m, abs=3),
    }
    assert len(pack.edges) == 1
    assert notes == ()


def test_a_stop_beside_the_track_counts_from_the_nearest_point_of_it(build: Build):
    city = OsmCity()
    track = city.way([city.node(0, -10), city.node(0, 30)], railway="subway")
    west, east = city.stop("西门", 0.5, 0), city.stop("东门", -0.5, 20)
    city.both_ways("1号线", [west, east], [track])
    pack, notes = build(city)
    assert edges(pack, "1号线")["西门", "东门"] == pytest.approx(20 * EAST_M, abs=3)
    assert notes == ()


@pytest.mark.parametrize("first_again", [True, False])
def test_a_ring_is_closed_also_where_its_first_stop_stands_once(build: Build, first_again: bool):
    city = OsmCity()
    corners = [(0, 0), (0, 20), (20, 20), (20, 0)]
    stops = [city.stop(name, *corner) for name, corner in zip("甲乙丙丁", corners, strict=True)]
    track = city.way([*stops, stops[0]], railway="subway")
    there = stops + [stops[0]] * first_again
    back = there[::-1]
    routes = [city.route(name, calls, [track], roundtrip="yes") for name, calls in (("内", there), ("外", back))]
    city.line("2号线", routes)
    pack, _ = build(city)
    assert pack.lines[0].ring
    assert len(pack.edges) == 4
    assert edges(pack, "2号线")["丁", "甲"] == pytest.approx(20 * NORTH_M, abs=3)


def test_a_branch_is_no_ring(build: Build):
    city = OsmCity()
    west, middle, east, north = (
        city.stop("西", 0, 0), city.stop("中", 0, 20), city.stop("东", 0, 40), city.stop("北", 20, 20)
    )  # fmt: skip
    main, branch = city.way([west, middle, east]), city.way([middle, north])
    city.both_ways("3号线", [west, middle, east], [main])
    city.both_ways("3号线", [west, middle, north], [main, branch])
    pack, _ = build(city)
    assert [line.ring for line in pack.lines] == [False]
    assert edges(pack, "3号线").keys() >= {("中", "东"), ("中", "北"), ("北", "中")}


def test_an_edge_that_is_ridden_in_one_direction_is_one_way(build: Build):
    """As at Beijing's airport: out to the far terminal first, back by the near one."""
    city = OsmCity()
    town, gate, far, near = (
        city.stop("城里", 0, 0), city.stop("三元", 0, 40), city.stop("T3", 60, 100), city.stop("T2", 60, 40)
    )  # fmt: skip
    shared, out = city.way([town, gate]), city.way([gate, far])
    across, home = city.way([far, near]), city.way([near, gate])
    routes = [
        city.route("出城", [town, gate, far, near], [shared, out, across], oneway="yes"),
        city.route("进城", [far, near, gate, town], [across, home, shared], oneway="yes"),
    ]
    city.line("机场线", routes)
    pack, _ = build(city)
    found = edges(pack, "机场线")
    assert found.keys() == {("城里", "三元"), ("三元", "城里"), ("三元", "T3"), ("T3", "T2"), ("T2", "三元")}
    assert found["三元", "T3"] == pytest.approx(((60 * NORTH_M) ** 2 + (60 * EAST_M) ** 2) ** 0.5, abs=10)


def test_an_express_gets_no_edge_of_its_own(build: Build):
    city = OsmCity()
    stops = [city.stop(name, 0, 20 * at) for at, name in enumerate("甲乙丙丁")]
    track = city.way(stops)
    city.both_ways("6号线", stops, [track])
    city.both_ways("6号线", [stops[0], stops[3]], [track])
    pack, _ = build(city)
    assert len(pack.edges) == 3


def test_a_stop_that_one_direction_leaves_out_makes_no_edge_one_way(build: Build):
    city = OsmCity()
    stops = [city.stop(name, 0, 20 * at) for at, name in enumerate("甲乙丙")]
    track = city.way(stops)
    city.line("7号线", [city.route("去", stops, [track]), city.route("回", [stops[2], stops[0]], [track])])
    pack, _ = build(city)
    assert [edge.one_way for edge in pack.edges] == [False, False]


def test_a_line_of_which_one_direction_is_drawn_is_ridden_both_ways_and_says_so(build: Build):
    city = OsmCity()
    stops = [city.stop("甲", 0, 0), city.stop("乙", 0, 20)]
    city.route("8号线：甲→乙", stops, [city.way(stops)])
    pack, notes = build(city)
    assert not pack.edges[0].one_way
    assert [(en, zh) for en, zh in notes if "8号线" in en and "8号线" in zh]


@pytest.mark.parametrize(
    "tags",
    [
        {"disused": "yes"},
        {"railway": "construction"},
        {"railway": "disused", "disused:railway": "station"},
        {"opening_date": "2027-06-01"},
        {"start_date": "2027"},
        {"end_date": "2020-01"},
        {"opening_hours": "closed"},
        {"access": "no"},
    ],
    ids=lambda tags: "-".join(tags),
)
def test_trains_pass_a_closed_station(build: Build, tags: dict[str, str]):
    city = OsmCity()
    stops = [city.stop("甲", 0, 0), city.stop("乙", 0, 20, **tags), city.stop("丙", 0, 40)]
    city.both_ways("1号线", stops, [city.way(stops)])
    pack, _ = build(city)
    assert [station.closed for station in pack.stations] == [False, True, False]
    assert edges(pack, "1号线").keys() >= {("甲", "乙"), ("乙", "丙")}


def test_a_closed_station_of_a_stop_area(build: Build):
    city = OsmCity()
    stops = [city.stop("甲", 0, 0), city.stop("乙", 0, 20), city.stop("丙", 0, 40)]
    hall = city.node(1, 20, railway="construction", construction="station", name="乙站厅")
    exit_ = city.node(1, 0, railway="construction", construction="subway_entrance")
    city.stop_area([("node", stops[1], "stop"), ("node", hall, "")], name="乙")
    city.stop_area([("node", stops[0], "stop"), ("node", exit_, "")], name="甲")
    city.both_ways("1号线", stops, [city.way(stops)])
    pack, _ = build(city)
    assert {station.name: station.closed for station in pack.stations} == {"甲": False, "乙站厅": True, "丙": False}


def test_a_line_passes_a_stop_that_is_not_built_yet_at_an_open_station(build: Build):
    city = OsmCity()
    one = [city.stop("甲", 0, 0), city.stop("乙", 0, 20), city.stop("丙", 0, 40)]
    other = [city.stop("丁", 20, 21), city.stop("乙", 0, 21, opening_date="2028"), city.stop("戊", -20, 21)]
    hall = city.node(0, 20.5, railway="station", name="乙")
    city.stop_area([("node", one[1], "stop"), ("node", other[1], "stop"), ("node", hall, "")])
    city.both_ways("1号线", one, [city.way(one)])
    city.both_ways("2号线", other, [city.way(other)])
    pack, _ = build(city)
    assert not station(pack, "乙").closed
    assert edges(pack, "2号线").keys() == {("丁", "戊"), ("戊", "丁")}


def test_a_station_that_opened_is_open(build: Build):
    city = OsmCity()
    stops = [city.stop("甲", 0, 0, start_date="2026-11-24"), city.stop("乙", 0, 20, disused="no", access="yes")]
    city.both_ways("1号线", stops, [city.way(stops)])
    pack, _ = build(city)
    assert not any(station.closed for station in pack.stations)


def test_a_line_under_construction_is_left_out_and_named(build: Build):
    city = OsmCity()
    stops = [city.stop("甲", 0, 0), city.stop("乙", 0, 20)]
    track = city.way(stops)
    city.both_ways("1号线", stops, [track])
    city.both_ways("99号线", stops, [track], state="construction")
    pack, notes = build(city)
    assert [line.name for line in pack.lines] == ["1号线"]
    assert any("99号线" in en for en, _ in notes)


def two_lines(north: float) -> OsmCity:
    """Two lines with a station 大学 each, so far apart, in steps."""
    city = OsmCity()
    for at, line in enumerate(("1号线", "2号线")):
        stops = [city.stop("大学", north * at, 0), city.stop(f"终点{at}", north * at, 20 + 20 * at)]
        city.both_ways(line, stops, [city.way(stops)])
    return city


def test_equal_names_near_each_other_are_one_interchange(build: Build):
    pack, _ = build(two_lines(north=3))
    assert [station.name for station in pack.stations] == ["大学", "终点0", "终点1"]
    assert len({edge.line for edge in pack.edges if 0 in (edge.start, edge.end)}) == 2


def test_equal_names_far_apart_are_two_stations_that_end_in_their_lines(build: Build):
    pack, _ = build(two_lines(north=20))
    assert [station.name for station in pack.stations if "大学" in station.name] == ["大学(1号线)", "大学(2号线)"]
    assert {station.pinyin for station in pack.stations if "大学" in station.name} == {"Dàxué"}
    assert station(pack, "大学(1号线)").en == "Daxue (Line 1)"


def test_equal_names_that_no_passage_joins_can_be_set_apart(build: Build):
    pack, _ = build(two_lines(north=3), apart=("大学",))
    assert [station.name for station in pack.stations if "大学" in station.name] == ["大学(1号线)", "大学(2号线)"]


def test_names_come_from_the_station_and_what_lacks_is_pinyin(build: Build):
    city = OsmCity()
    tags = {"name:en": "Capital Library", "name:zh_pinyin": "Shǒudū Túshūguǎn", "alt_name": "首图;图书馆"}
    west, east = city.stop("首都图书馆", 0, 0), city.stop("虎坊桥", 0, 20)
    hall = city.node(1, 0, railway="station", name="首都图书馆", **tags)
    city.stop_area([("node", west, "stop"), ("node", hall, "")], name="首都图书馆")
    city.both_ways("北京地铁1号线", [west, east], [city.way([west, east])], network="北京地铁")
    pack, _ = build(city)
    assert (pack.lines[0].name, pack.lines[0].en) == ("1号线", "Line 1")
    library = station(pack, "首都图书馆")
    assert (library.en, library.pinyin, library.aliases) == ("Capital Library", "Shǒudū Túshūguǎn", ("首图", "图书馆"))
    assert library.point is not None
    assert library.point.lat == pytest.approx(39.901)
    assert (station(pack, "虎坊桥").en, station(pack, "虎坊桥").pinyin) == ("Hufangqiao", "Hǔfāngqiáo")


def test_lines_of_two_networks_keep_their_networks_name(build: Build):
    city = OsmCity()
    for at, network in enumerate(("北京地铁", "天津地铁")):
        stops = [city.stop(f"甲{at}", 100 * at, 0), city.stop(f"乙{at}", 100 * at, 20)]
        city.both_ways(f"{network}1号线", stops, [city.way(stops)], network=network)
    pack, _ = build(city)
    assert [line.name for line in pack.lines] == ["北京地铁1号线", "天津地铁1号线"]


def test_routes_without_a_master_are_of_one_line_by_their_ref(build: Build):
    city = OsmCity()
    stops = [city.stop("甲", 0, 0), city.stop("乙", 0, 20)]
    track = city.way(stops)
    city.route("3路 甲–乙", stops, [track], ref="3", network="城轨")
    city.route("3路 乙–甲", stops[::-1], [track], ref="3", network="城轨")
    pack, notes = build(city)
    assert [line.name for line in pack.lines] == ["3"]
    assert notes == ()


def test_entrances_of_the_stop_area_and_loose_ones_near_by(build: Build):
    city = OsmCity()
    west, east = city.stop("甲", 0, 0), city.stop("乙", 0, 20)
    named = city.node(4, 0, railway="subway_entrance")
    city.node(1, 20, railway="subway_entrance")
    city.node(9, 20, railway="subway_entrance")  # 1 km away: nobody's
    city.stop_area([("node", west, "stop"), ("node", named, "entrance")], name="甲")
    city.both_ways("1号线", [west, east], [city.way([west, east])])
    pack, _ = build(city)
    assert [len(station.entrances) for station in pack.stations] == [1, 1]


def test_a_track_that_is_broken_apart_is_named_and_counts_straight(build: Build):
    city = OsmCity()
    stops = [city.stop(name, 0, 20 * at) for at, name in enumerate("甲乙丙")]
    city.both_ways("5号线", stops, [city.way(stops[:2]), city.way([stops[2], city.node(30, 40)])])
    pack, notes = build(city)
    assert edges(pack, "5号线")["乙", "丙"] == pytest.approx(20 * EAST_M, abs=3)
    assert any("5号线" in en and "乙-丙" in en and "乙-丙" in zh for en, zh in notes)


def test_a_broken_ring_is_not_measured_the_long_way_round(build: Build):
    city = OsmCity()
    corners = [(0, 0), (0, 20), (20, 20), (20, 0)]
    stops = [city.stop(name, *corner) for name, corner in zip("甲乙丙丁", corners, strict=True)]
    track = city.way([*stops[1:], stops[0]])  # 甲-乙 is missing
    city.line(
        "2号线", [city.route(name, [*calls, calls[0]], [track]) for name, calls in (("内", stops), ("外", stops[::-1]))]
    )
    pack, notes = build(city)
    assert edges(pack, "2号线")["甲", "乙"] == pytest.approx(20 * EAST_M, abs=3)
    assert any("甲-乙" in en for en, _ in notes)


def test_a_stop_outside_the_extract_joins_nothing(build: Build):
    city = OsmCity()
    stops = [city.stop("甲", 0, 0), city.stop("乙", 0, 20), 999_999, city.stop("丁", 0, 60), city.stop("戊", 0, 80)]
    city.both_ways("4号线", stops, [city.way([*stops[:2], *stops[3:]])])
    pack, notes = build(city)
    assert ("乙", "丁") not in edges(pack, "4号线")
    assert any("4号线" in en and "outside" in en for en, _ in notes)
    assert any("broken apart" in en and "不连通" in zh for en, zh in notes)


def test_platforms_stand_for_stops_where_a_route_names_none(build: Build):
    city = OsmCity()
    track = city.way([city.node(0, 0), city.node(0, 20)])
    platforms = [
        city.way([city.node(0.3, east - 0.5), city.node(0.3, east), city.node(0.3, east + 0.5)], name=name)
        for name, east in (("甲", 0), ("乙", 20))
    ]
    members = [("way", id, "platform") for id in platforms] + [("way", track, "")]
    city.relation(members, {"type": "route", "route": "tram", "name": "有轨1路"})
    pack, _ = build(city)
    assert edges(pack, "有轨1路")["甲", "乙"] == pytest.approx(20 * EAST_M, abs=50)


def test_an_extract_without_rails_says_so(build: Build):
    city = OsmCity()
    city.relation([("node", city.node(0, 0), "stop")], {"type": "route", "route": "bus", "name": "1路"})
    with pytest.raises(BadFile, match="no rail route") as caught:
        build(city)
    assert "轨道交通" in caught.value.zh


def test_broken_xml_is_named_with_its_line(tmp_path: Path):
    path = tmp_path / "city.osm"
    path.write_text('<?xml version="1.0"?>\n<osm version="0.6">\n<relation id="1" version="1"\n')
    with pytest.raises(BadFile) as caught:
        read_osm(path, DAY, lambda what: None)
    assert caught.value.path == path
    assert caught.value.line > 1


@pytest.mark.parametrize(
    ("name", "content"), [("city.osm.pbf", b"no protobuf"), ("city.txt", b"x"), ("gone.osm", None)]
)
def test_what_is_no_extract_is_a_bad_file(tmp_path: Path, name: str, content: bytes | None):
    path = tmp_path / name
    if content:
        path.write_bytes(content)
    with pytest.raises(BadFile):
        read_osm(path, DAY, lambda what: None)
