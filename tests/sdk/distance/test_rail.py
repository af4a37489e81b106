"""The rail network: reading it, finding stations, and which route counts."""

import heapq
import random
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from greentrip.distance.rail import (
    CHANGE_MINUTES,
    NAMED_LONGER_MAX,
    SAMPLE,
    SLOWER_MINUTES_MAX,
    TRAIN_KMH_MEAN,
    Network,
    estimate_rail,
)
from greentrip.errors import AmbiguousStation, BadFile, InvalidInput, NoRoute, UnknownChange, UnknownStation
from greentrip.trip import Method, Point, Route

Edge = tuple[str, str, str, int]

# A ring (环) of 10 km, a long straight line (东) through it, a detour (绕) and an island (岛).
TOWN: list[Edge] = [
    ("环", "甲", "乙", 1000),
    ("环", "乙", "丙", 2000),
    ("环", "丙", "丁", 3000),
    ("环", "丁", "甲", 4000),
    ("东", "乙", "子", 5000),
    ("东", "子", "丑", 5000),
    ("绕", "丁", "寅", 4000),
    ("绕", "寅", "丑", 4900),
    ("岛", "卯", "辰", 800),
]


def write(folder: Path, edges: Iterable[Edge]) -> Path:
    """The two files of a network; stations lie in a row from west to east, in the order in which they come."""
    edges = list(edges)
    names = list(dict.fromkeys((line, name) for line, start, end, _ in edges for name in (start, end)))
    at = {name: i for i, name in enumerate(dict.fromkeys(name for _, name in names))}
    rows = (f"{line},{i},{name},39.9,{116 + at[name] / 100}\n" for i, (line, name) in enumerate(names))
    (folder / "stations.csv").write_text("line,order,name,lat_wgs84,lon_wgs84\n" + "".join(rows), "utf-8")
    rows = (f"{line},{start},{end},{metres}\n" for line, start, end, metres in edges)
    (folder / "edges.csv").write_text("line,from,to,track_m\n" + "".join(rows), "utf-8")
    return folder


@pytest.fixture
def town(tmp_path: Path) -> Network:
    return Network.from_csv(write(tmp_path, TOWN))


@pytest.fixture(scope="module")
def beijing(shared_data: Path) -> Network:
    return Network.from_csv(shared_data / "beijing_rail")


# The sample


def test_the_sample_is_the_published_route():
    network = Network.sample()
    route = network.route("虎坊桥", "东夏园")
    assert route.metres == 34_958
    assert [(ride.line, ride.metres) for ride in route.rides] == [
        ("7号线", 6801),
        ("10号线", 3329),
        ("6号线", 24_828),
    ]
    assert route.changes == ("双井", "呼家楼")
    assert network.lines == ("7号线", "10号线", "6号线")
    assert len(network.stations) == 24


def test_the_sample_says_where_it_comes_from():
    readme = (SAMPLE / "README.md").read_text("utf-8")
    assert "© OpenStreetMap contributors" in readme
    assert "ODbL" in readme


# Stations


def test_an_interchange_is_one_station_at_the_mean_of_its_positions(tmp_path: Path):
    town = Network.from_csv(moved_on_east(tmp_path, 116.015))  # 430 m
    assert town.stations.count("乙") == 1
    assert town.point_of("乙").lon == pytest.approx((116.01 + 116.015) / 2)
    assert town.route("甲", "子").changes == ("乙",)


def test_equal_names_far_apart_are_two_stations(tmp_path: Path):
    town = Network.from_csv(moved_on_east(tmp_path, 116.034))  # 2 000 m
    assert {"乙(环)", "乙(东)"} <= set(town.stations)
    with pytest.raises(AmbiguousStation) as caught:
        town.route("乙", "丙")
    assert (caught.value.field, caught.value.suggestions) == ("start", ("乙(环)", "乙(东)"))
    assert "乙(环)或乙(东)" in caught.value.message("zh")
    assert town.route("乙（环）", "丙").metres == 2000
    assert town.nearest(Point(39.901, 116.034), 150) == "乙(东)"
    assert town.route("甲", "子").changes == ("丁", "丑")  # nobody changes from 乙(环) to 乙(东)


def moved_on_east(folder: Path, lon: float) -> Path:
    """The town, with 乙 of the line 东 elsewhere."""
    write(folder, TOWN)
    path = folder / "stations.csv"
    text = path.read_text("utf-8")
    assert "东,4,乙,39.9,116.01\n" in text
    path.write_text(text.replace("东,4,乙,39.9,116.01\n", f"东,4,乙,39.9,{lon}\n"), "utf-8")
    return folder


@pytest.mark.parametrize(
    ("wrong", "right"), [("双井站", "双井"), ("通州", "通州北关"), ("北运", "北运河西"), ("东厦园", "东夏园")]
)
def test_an_unknown_station_comes_with_suggestions(wrong: str, right: str):
    with pytest.raises(UnknownStation) as caught:
        Network.sample().point_of(wrong, field="start")
    assert caught.value.field == "start"
    assert right in caught.value.suggestions
    assert right in caught.value.message("zh")


def test_nothing_is_suggested_for_nothing():
    with pytest.raises(UnknownStation) as caught:
        Network.sample().point_of("")
    assert (caught.value.field, caught.value.suggestions) == ("station", ())


def test_the_nearest_station_within_reach():
    network = Network.sample()
    assert network.nearest(Point(39.8925, 116.4550)) == "双井"
    assert network.nearest(Point(39.80, 116.30)) is None
    assert network.nearest(Point(39.80, 116.30), within_m=20_000) == "虎坊桥"


def test_a_station_without_position_can_be_ridden_to_but_not_placed(tmp_path: Path):
    write(tmp_path, TOWN)
    stations = tmp_path / "stations.csv"
    stations.write_text(stations.read_text("utf-8").replace(",39.9,116.0\n", ",,\n"), "utf-8")
    network = Network.from_csv(tmp_path)
    assert network.route("甲", "乙").metres == 1000
    assert network.nearest(Point(39.9, 116.0), 100) is None
    with pytest.raises(InvalidInput, match="not where it is") as caught:
        network.point_of("甲")
    assert not isinstance(caught.value, UnknownStation)


# Routes


def test_a_ring_is_ridden_the_shorter_way(town: Network):
    assert town.route("甲", "丙").metres == 3000
    assert town.route("甲", "丁").metres == 4000
    assert town.route("丁", "甲").metres == 4000


def test_fewer_metres_with_as_many_changes_win(town: Network):
    route = town.route("乙", "寅")
    assert [(ride.line, ride.end) for ride in route.rides] == [("环", "丁"), ("绕", "寅")]
    assert route.metres == 9000


def test_a_named_route_counts_when_at_most_5_percent_longer(town: Network):
    shortest = town.route("甲", "丑")
    assert (shortest.metres, shortest.kind, shortest.changes) == (11_000, Route.SHORTEST, ("乙",))
    named = town.route("甲", "丑", ("丁",))
    assert (named.metres, named.kind, named.named_too_long) == (11_000, Route.SHORTEST, True)  # 12 900 m
    named = town.route("丙", "丑", ("乙",))
    assert (named.metres, named.kind, named.named_too_long) == (12_000, Route.NAMED, False)  # by 丁 11 900 m


@pytest.mark.parametrize(("last_m", "counts"), [(7550, True), (7551, False)])
def test_the_limit_of_a_named_route_is_exact(tmp_path: Path, last_m: int, counts: bool):
    edges = [e for e in TOWN if e[0] != "绕"] + [("绕", "丁", "丑", last_m)]
    route = Network.from_csv(write(tmp_path, edges)).route("甲", "丑", ["丁"])
    assert NAMED_LONGER_MAX == 0.05
    assert route.metres == (11_550 if counts else 11_000)
    assert route.kind is (Route.NAMED if counts else Route.SHORTEST)
    assert route.named_too_long is not counts


def test_a_ride_that_ends_where_it_starts_is_none(town: Network):
    with pytest.raises(InvalidInput) as caught:
        town.route("甲", "甲")
    assert caught.value.field == "end"


def test_stations_that_no_rails_join(town: Network):
    with pytest.raises(NoRoute):
        town.route("甲", "辰")


@pytest.mark.parametrize(
    ("start", "end", "changes", "field"),
    [("无", "甲", (), "start"), ("甲", "无", (), "end"), ("甲", "丑", ("无",), "changes")],
)
def test_an_unknown_station_names_its_field(town: Network, start: str, end: str, changes: tuple[str], field: str):
    with pytest.raises(UnknownStation) as caught:
        town.route(start, end, changes)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("changes", "en", "zh"),
    [
        (("子",), "no line goes from 甲 to 子: name a change between them, such as 乙", "例如乙"),
        (("丙",), "no line goes from 丙 to 丑", "没有线路从丙直达丑"),
        (("乙", "子"), "nobody changes at 子: the same train (东) goes on to 丑; leave 子 out", "请去掉子"),
        (("甲",), "甲 is named twice in a row", "甲重复出现"),
        (("乙", "丑"), "丑 is named twice in a row", "丑重复出现"),
        (("卯",), "no rails join 甲 and 卯: name other changes", "请更换换乘站"),
        (("乙", "丁") * 5, "at most 8 changes", "最多 8 次换乘"),
    ],
)
def test_changes_that_make_no_route_say_what_to_name_instead(town: Network, changes: tuple[str, ...], en: str, zh: str):
    with pytest.raises(UnknownChange) as caught:
        town.route("甲", "丑", changes)
    assert caught.value.field == "changes"
    assert en in caught.value.message("en")
    assert zh in caught.value.message("zh")


def test_an_estimate_of_a_named_ride():
    estimate = estimate_rail(Network.sample(), "虎坊桥", "东夏园", ("双井", "呼家楼"))
    assert (estimate.metres, estimate.method, estimate.route) == (34_958, Method.RAIL, Route.NAMED)
    assert estimate.stations == ("虎坊桥", "东夏园")
    assert estimate.changes == ("双井", "呼家楼")
    assert estimate.low_m <= 34_958 * 0.99
    assert estimate.high_m >= 34_958 * 1.01


# Properties


@st.composite
def networks(draw: st.DrawFn) -> list[Edge]:
    """A few lines over few stations, each in one piece; every other one is a ring."""
    edges: list[Edge] = []
    for line in range(draw(st.integers(1, 5))):
        names = draw(st.lists(st.sampled_from("甲乙丙丁戊己庚辛"), min_size=3, max_size=6, unique=True))
        pairs = [*pairwise(names), *([(names[-1], names[0])] if line % 2 else [])]
        edges += [(f"{line}号线", a, b, draw(st.integers(100, 20_000))) for a, b in pairs]
    return edges


def exhaustive(edges: list[Edge], start: str, end: str) -> dict[int, int]:
    """Fewest metres for each number of changes, by a plain search over (changes, station, line)."""
    found: dict[int, int] = {}
    lines = {line for line, *_ in edges}
    queue = [(0, 0, start, line) for line in lines]
    done: set[tuple[int, str, str]] = set()
    while queue:
        metres, changes, name, line = heapq.heappop(queue)
        if (changes, name, line) in done or changes > 4:
            continue
        done.add((changes, name, line))
        if name == end:
            found.setdefault(changes, metres)
        for of, a, b, step_m in edges:
            for here, there in ((a, b), (b, a)):
                if of == line and here == name:
                    heapq.heappush(queue, (metres + step_m, changes, there, line))
        for other in lines - {line}:
            if name != start:
                heapq.heappush(queue, (metres, changes + 1, name, other))
    return found


def counted(found: dict[int, int]) -> int | None:
    """The metres of the shortest plausible route."""
    minutes = {k: metres * 0.06 / TRAIN_KMH_MEAN + k * CHANGE_MINUTES for k, metres in found.items()}
    latest = min(minutes.values(), default=0) + SLOWER_MINUTES_MAX
    return min((metres for k, metres in found.items() if minutes[k] <= latest), default=None)


@given(networks(), st.sampled_from("甲乙丙丁"), st.sampled_from("戊己庚辛"))
def test_the_route_is_the_one_of_an_exhaustive_search_both_ways(
    tmp_path_factory: pytest.TempPathFactory, edges: list[Edge], start: str, end: str
):
    network = Network.from_csv(write(tmp_path_factory.mktemp("network"), edges))
    assume({start, end} <= set(network.stations))
    expected = counted(exhaustive(edges, start, end))
    if expected is None:
        with pytest.raises(NoRoute):
            network.route(start, end)
        return
    route, back = network.route(start, end), network.route(end, start)
    assert route.metres == back.metres == expected == sum(ride.metres for ride in route.rides)
    assert (route.rides[0].start, route.rides[-1].end) == (start, end)
    assert all(a.end == b.start and a.line != b.line for a, b in pairwise(route.rides))
    estimate = estimate_rail(network, start, end)
    assert 0 < estimate.low_m < estimate.metres < estimate.high_m
    if route.changes:
        named = network.route(start, end, route.changes)
        assert named.metres <= route.metres


# The real network


def test_the_real_network_is_read_whole(beijing: Network):
    assert len(beijing.lines) == 28
    assert len(beijing.stations) == 425
    with pytest.raises(InvalidInput, match="not where it is"):
        beijing.point_of("融兴街")


def test_the_published_ride_on_the_real_network(beijing: Network):
    route = beijing.route("虎坊桥", "东夏园")
    assert (route.metres, route.kind) == (34_872, Route.SHORTEST)
    assert [ride.line for ride in route.rides] == ["7号线", "14号线", "6号线"]
    named = beijing.route("虎坊桥", "东夏园", ("双井", "呼家楼"))
    assert (named.metres, named.kind) == (34_958, Route.NAMED)
    assert [ride.line for ride in named.rides] == ["7号线", "10号线", "6号线"]
    assert beijing.route("虎坊桥", "东夏园", ("磁器口", "东四")).metres == 35_325


def test_both_rings_are_closed(beijing: Network):
    assert beijing.route("宣武门", "长椿街").rides[0].line == "2号线"
    lengths = {}
    for number, line in enumerate(beijing.lines):
        around = beijing._lines.around(number)
        if around is not None:
            lengths[line] = round(around[0], -3)
    assert lengths == {"2号线": 23_000, "10号线": 57_000}


def test_real_routes_are_the_same_both_ways(beijing: Network):
    dice = random.Random(5)
    for _ in range(300):
        start, end = dice.sample(beijing.stations, 2)
        there, back = beijing.route(start, end), beijing.route(end, start)
        assert there.metres == back.metres
        assert all(a.line != b.line for a, b in pairwise(there.rides))


# Broken files


def break_file(folder: Path, name: str, old: str, new: str) -> Path:
    write(folder, TOWN)
    path = folder / name
    text = path.read_text("utf-8")
    assert text.count(old) >= 1
    path.write_text(text.replace(old, new, 1), "utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "old", "new", "line"),
    [
        ("stations.csv", "name,", "station,", 1),
        ("stations.csv", "39.9,116.0\n", "north,116.0\n", 2),
        ("stations.csv", "39.9,116.0\n", "nan,116.0\n", 2),
        ("stations.csv", "39.9,116.0\n", "99.9,116.0\n", 2),
        ("stations.csv", "39.9,116.0\n", ",116.0\n", 2),
        ("stations.csv", "39.9,116.0\n", "39.9\n", 2),
        ("stations.csv", "环,0,甲", "环,first,甲", 2),
        ("stations.csv", "环,0,甲", "环,0,", 2),
        ("stations.csv", "环,1,乙", "环,1,甲", 3),
        ("stations.csv", "环,1,乙", '环,1,"乙', 3),
        ("edges.csv", "track_m", "metres", 1),
        ("edges.csv", "甲,乙,1000", "甲,乙,far", 2),
        ("edges.csv", "甲,乙,1000", "甲,乙,NaN", 2),
        ("edges.csv", "甲,乙,1000", "甲,乙,inf", 2),
        ("edges.csv", "甲,乙,1000", "甲,乙,-1000", 2),
        ("edges.csv", "甲,乙,1000", "甲,乙,0", 2),
        ("edges.csv", "甲,乙,1000", "甲,乙,500001", 2),
        ("edges.csv", "甲,乙,1000", "甲,甲,1000", 2),
        ("edges.csv", "甲,乙,1000", "甲,乙,1000,5", 2),
        ("edges.csv", "甲,乙,1000", "甲,子,1000", 2),  # known, but not on this line
        ("edges.csv", "甲,乙,1000", "无,乙,1000", 2),
        ("edges.csv", "环,丁,甲,4000", "环,乙,甲,4000", 5),  # twice, the other way round
        ("edges.csv", "岛,卯,辰,800\n", "岛,卯,辰,80", 10),  # cut within the last number
        ("edges.csv", "绕,寅,丑,4900\n", "", 9),  # cut at a line's end, as it were
    ],
)
def test_a_broken_file_is_named_with_its_line(tmp_path: Path, name: str, old: str, new: str, line: int):
    path = break_file(tmp_path, name, old, new)
    with pytest.raises(BadFile) as caught:
        Network.from_csv(tmp_path)
    assert (caught.value.path, caught.value.line) == (path, line)
    assert caught.value.message("zh") != caught.value.message("en")


@pytest.mark.parametrize("name", ["stations.csv", "edges.csv"])
@pytest.mark.parametrize("content", [b"", b"\n\n", b"line,order,name,lat_wgs84,lon_wgs84,from,to,track_m\n"])
def test_an_empty_file_is_bad(tmp_path: Path, name: str, content: bytes):
    write(tmp_path, TOWN)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadFile) as caught:
        Network.from_csv(tmp_path)
    assert (caught.value.path.name, caught.value.line) == (name, 1)


def test_a_file_of_another_encoding_names_the_line(tmp_path: Path):
    write(tmp_path, TOWN)
    path = tmp_path / "stations.csv"
    path.write_bytes(path.read_text("utf-8").encode("gb18030"))
    with pytest.raises(BadFile, match="UTF-8") as caught:
        Network.from_csv(tmp_path)
    assert caught.value.line == 2


def test_a_missing_folder_is_bad(tmp_path: Path):
    with pytest.raises(BadFile, match="cannot be read"):
        Network.from_csv(tmp_path / "nowhere")


def test_a_byte_order_mark_and_windows_line_ends_are_fine(tmp_path: Path):
    write(tmp_path, TOWN)
    for path in tmp_path.iterdir():
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert Network.from_csv(str(tmp_path)).route("甲", "丑").metres == 11_000


@given(st.integers(0, 400), st.sampled_from(["stations.csv", "edges.csv"]))
def test_a_file_cut_anywhere_never_gives_other_lengths(tmp_path_factory: pytest.TempPathFactory, size: int, name: str):
    edges = [edge for edge in TOWN if edge[0] != "环"]  # a ring that lost an edge is a line: nobody can tell
    path = write(tmp_path_factory.mktemp("network"), edges) / name
    whole = path.read_bytes()
    path.write_bytes(whole[:size])
    try:
        lines = Network.from_csv(path.parent).lines
    except BadFile:
        lines = ()
    assert bool(lines) is (size >= len(whole))
