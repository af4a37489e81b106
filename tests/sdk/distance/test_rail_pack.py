"""What a region pack adds to a network: other names, entrances, closed stations, one-way edges, seconds and minutes."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greentrip import GreenTrip
from greentrip.distance.rail import (
    CHANGE_MINUTES,
    CHANGE_WAIT_MINUTES,
    ROUTES_MAX,
    SLOWER_MINUTES_MAX,
    TRAIN_KMH_MEAN,
    Network,
    RailRoute,
    Ride,
    estimate_rail,
)
from greentrip.distance.rail.pack import Pack, PackEdge, PackLine, PackStation
from greentrip.distance.sphere import great_circle_m
from greentrip.errors import AmbiguousStation, InvalidInput, NoRoute, StationClosed, UnknownStation
from greentrip.testing import FakeClock
from greentrip.trip import Point
from support.rail_town import EDGES, changes, network, town, with_station

# Names


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("东门", "东门"),
        ("East Gate", "东门"),
        ("eastgate", "东门"),
        (" EAST  gate ", "东门"),
        ("Dōngmén", "东门"),
        ("dong men", "东门"),
        ("ＤＯＮＧＭＥＮ", "东门"),
        ("绿源(1号线)", "绿源(1号线)"),
        ("绿源（1号线）", "绿源(1号线)"),
        ("绿源 1号线", "绿源(1号线)"),
        ("T1", "机场"),
        ("terminal 1", "机场"),
    ],
)
def test_a_station_has_many_names(written: str, name: str):
    found = Network(with_station(town(), "机场", aliases=("T1", "Terminal 1")))
    assert found.name_of(written) == name
    if name != "西湖":
        assert found.route(written, "西湖").rides[0].start == name


@pytest.mark.parametrize("written", ["绿源", "Lüyuan", "lǜ yuán", "LUYUAN"])
def test_one_name_of_two_stations_lists_both(written: str):
    with pytest.raises(AmbiguousStation) as caught:
        network().route("东门", written)
    assert isinstance(caught.value, UnknownStation)
    assert (caught.value.field, caught.value.suggestions) == ("end", ("绿源(1号线)", "绿源(2号线)"))
    assert caught.value.message("zh") == f"终点：有多个车站名为“{written}”：请选择绿源(1号线)或绿源(2号线)"


def test_a_point_near_one_of_them_picks_it():
    assert network().nearest(Point(39.901, 116.441)) == "绿源(1号线)"
    assert network().nearest(Point(39.941, 116.421)) == "绿源(2号线)"


@pytest.mark.parametrize(
    ("wrong", "right"), [("east gat", "东门"), ("Dongmem", "东门"), ("South", "南站"), ("西湖站", "西湖")]
)
def test_near_names_in_any_writing(wrong: str, right: str):
    with pytest.raises(UnknownStation) as caught:
        network().name_of(wrong, "start")
    assert right in caught.value.suggestions


@given(st.text(max_size=200))
def test_any_text_is_a_station_or_a_typed_error(text: str):
    try:
        found = {network().name_of(text)}
    except UnknownStation as error:
        found = set(error.suggestions)
    assert found <= set(network().stations)


# Near a point


def test_an_entrance_is_as_good_as_the_station():
    door = Point(39.9, 116.408)
    found = Network(with_station(town(), "东门", entrances=(door,)))
    assert network().nearest(Point(39.9, 116.4081), 200) is None
    assert found.nearest(Point(39.9, 116.4081), 200) == "东门"


@given(st.floats(39.88, 39.96), st.floats(116.38, 116.48), st.floats(10, 3000))
def test_the_nearest_is_the_nearest_of_all(lat: float, lon: float, within_m: float):
    point = Point(lat, lon)
    found = network()
    away_m, name = min((great_circle_m(point, found.point_of(name)), name) for name in found.stations)
    assert found.nearest(point, within_m) == (name if away_m <= within_m else None)


# Closed stations


def test_trains_pass_through_a_closed_station():
    closed = Network(with_station(town(), "绿源(1号线)", closed=True))
    assert closed.route("南站", "机场").metres == 4000
    assert closed.is_closed("绿源(1号线)")
    assert closed.nearest(Point(39.9, 116.44)) is None


@pytest.mark.parametrize(
    ("ride", "field"),
    [(("南站", "东门"), "start"), (("东门", "南站"), "end"), (("东门", "机场", ("South Railway Station",)), "changes")],
)
def test_nobody_gets_on_off_or_over_at_a_closed_station(ride: tuple[str, str], field: str):
    closed = Network(with_station(town(), "南站", closed=True))
    with pytest.raises(StationClosed) as caught:
        closed.route(*ride)
    assert (caught.value.field, caught.value.name) == (field, "南站")
    assert "已封闭" in caught.value.message("zh")
    with pytest.raises(NoRoute):
        closed.route("东门", "机场")  # one would have to change there


def test_a_phone_refuses_a_closed_station_at_once(open_phone: Callable[..., GreenTrip]):
    phone = open_phone(network=Network(with_station(town(), "南站", closed=True)))
    with pytest.raises(StationClosed):
        phone.start("rail", "Nanzhan")
    assert phone.active is None


def test_a_trip_by_any_name_is_told_by_the_one_name(open_phone: Callable[..., GreenTrip], clock: FakeClock):
    phone = open_phone(network=network())
    phone.start("rail", "dongmen")
    clock.tick(600)
    with pytest.raises(InvalidInput, match="both ends are at 东门"):
        phone.finish("East Gate")
    leg = phone.finish("Xī Hú").legs[0]
    assert (leg.start, leg.end, leg.counted_m) == ("东门", "西湖", 3100)


# One-way edges and rings


def test_a_one_way_edge_is_ridden_one_way():
    found = network()
    assert found.route("绿源(1号线)", "机场").metres == 1800
    assert found.route("机场", "绿源(1号线)").metres == 7200  # by 南站
    assert found.route("机场", "西湖").metres == 6700
    assert found.route("西湖", "机场").metres == 5700
    there, back = found.route("南站", "机场"), found.route("机场", "南站")
    assert found.stations_of(there.rides[0]) == ("南站", "绿源(1号线)", "机场")
    assert found.stations_of(back.rides[0]) == ("机场", "南站")


def test_a_station_that_trains_only_leave(tmp_path: Path):
    stations = (PackStation("甲"), PackStation("乙"))
    pack = replace(town(), lines=(PackLine("1"),), stations=stations, edges=(PackEdge(0, 0, 1, 900, one_way=True),))
    assert Network(pack).route("甲", "乙").metres == 900
    with pytest.raises(NoRoute):
        Network(pack).route("乙", "甲")


def test_both_ways_around_a_ring_are_plausible():
    found = network()
    short, long = found.plausible("东门", "西湖")
    assert (short.metres, long.metres) == (3100, 3400)
    assert found.stations_of(short.rides[0]) == ("东门", "南站", "西湖")
    assert found.stations_of(long.rides[0]) == ("东门", "北园", "西湖")
    assert [metres for _, metres in found.stops(long)] == [0, 2000, 3400]
    assert len(found.plausible("东门", "南站")) == 1  # nobody goes 5 100 m around for 1 400 m


def test_an_estimate_covers_all_plausible_routes():
    estimate = estimate_rail(network(), "东门", "西湖")
    assert (estimate.metres, estimate.low_m, estimate.high_m) == (3100, 3069, 3400)


def test_a_line_of_two_rings_is_no_ring_and_one_without_edges_is_none():
    stations = tuple(PackStation(name) for name in "甲乙丙丁戊己")
    edges = tuple(PackEdge(0, a, b, 900) for a, b in ((0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3)))
    found = network(stations=stations, edges=edges, lines=(PackLine("两环"), PackLine("空")))
    assert [route.metres for route in found.plausible("甲", "乙")] == [900]
    with pytest.raises(NoRoute):
        found.route("甲", "丁")
    assert found.lines_at("甲") == ("两环",)


# Seconds and minutes


def test_minutes_are_the_packs_where_it_says():
    edges = tuple(replace(edge, seconds=180) if edge.line == 0 else edge for edge in EDGES)
    found = network(edges=edges, changes=changes((1, 0, 1, 1.5)))
    route = found.route("东门", "机场")
    drive = 4000 * 60 / (TRAIN_KMH_MEAN * 1000)
    assert [ride.minutes for ride in route.rides] == pytest.approx([3, drive])
    assert route.minutes == pytest.approx(3 + 1.5 + CHANGE_WAIT_MINUTES + drive)
    back = found.route("机场", "东门")
    assert back.minutes == pytest.approx(3 + CHANGE_MINUTES + 5000 * 60 / (TRAIN_KMH_MEAN * 1000))


def test_an_express_makes_the_slow_line_implausible():
    """A route that counts must be about as quick as the quickest, however few metres it has."""
    names = ("甲", "乙", "丙")
    edges = [PackEdge(0, 0, 1, 10_000), PackEdge(0, 1, 2, 10_000), PackEdge(1, 0, 2, 22_000)]
    pack = replace(
        town(), lines=(PackLine("慢"), PackLine("快")), stations=tuple(map(PackStation, names)), edges=tuple(edges)
    )
    assert Network(pack).route("甲", "丙").metres == 20_000
    quick = replace(pack, edges=(*edges[:2], replace(edges[2], seconds=1200)))
    assert Network(quick).route("甲", "丙").metres == 22_000


# All plausible ways, against a search that tries everything


@st.composite
def towns(draw: st.DrawFn) -> Pack:
    """Some lines over few stations, with one-way edges, seconds, changes and a closed station."""
    size = draw(st.integers(4, 6))
    lines = draw(st.integers(1, 3))
    edges: list[PackEdge] = []
    for line in range(lines):
        way = draw(st.permutations(range(size)))[: draw(st.integers(2, size))]
        closes = draw(st.booleans()) and len(way) > 2
        for a, b in pairwise([*way, *way[:1]] if closes else way):
            seconds = draw(st.none() | st.integers(60, 900))
            edges.append(PackEdge(line, a, b, draw(st.integers(500, 9000)), draw(st.integers(0, 4)) == 0, seconds))
    served = {(edge.line, at) for edge in edges for at in (edge.start, edge.end)}
    known = [(at, a, b) for a, at in served for b in range(lines) if a != b and (b, at) in served]
    some = draw(st.lists(st.sampled_from(sorted(known)), unique=True, max_size=4)) if known else []
    walks = changes(*((*change, draw(st.integers(0, 16)) / 2) for change in some))
    closed = draw(st.none() | st.integers(2, size - 1))
    stations = tuple(PackStation(f"s{at}", closed=at == closed) for at in range(size))
    names = tuple(PackLine(f"l{line}") for line in range(lines))
    return replace(town(), lines=names, stations=stations, edges=tuple(edges), changes=walks)


Tried = tuple[int, float, tuple[str, ...]]


def everything(found: Network) -> list[Tried]:
    """Metres, minutes and lines of every way from s0 to s1 that changes nowhere twice."""
    lines = found._lines
    tried: list[Tried] = []

    def ride(at: int, came_by: int, metres: int, minutes: float, ridden: tuple[int, ...], seen: frozenset[int]) -> None:
        for line in lines.lines_of[at]:
            if line == came_by:
                continue
            change = lines.change_minutes(at, came_by, line) if ridden else 0.0
            for other, (step_m, step_minutes) in lines.onward(line, at).items():
                there = (metres + step_m, minutes + change + step_minutes)
                if other == 1:
                    tried.append((*there, tuple(found.lines[one] for one in (*ridden, line))))
                elif other not in seen and lines.is_interchange(other):
                    ride(other, line, *there, (*ridden, line), seen | {other})

    ride(0, -1, 0, 0.0, (), frozenset({0}))
    return tried


@given(towns())
def test_no_plausible_route_is_missed_and_none_is_made_up(pack: Pack):
    found = Network(pack)
    tried = everything(found)
    try:
        routes = found.plausible("s0", "s1", most=1000)
    except NoRoute:
        assert not tried
        return
    for route in routes:
        check_rides(found, route.rides, route.minutes)
    quickest = min(route.minutes for route in routes)  # it may go around a ring the other way
    latest = min([quickest, *(minutes for _, minutes, _ in tried)]) + SLOWER_MINUTES_MAX
    assert all(route.minutes <= quickest + SLOWER_MINUTES_MAX + 1e-9 for route in routes)
    assert [route.metres for route in routes] == sorted(route.metres for route in routes)
    for metres, minutes, lines in tried:
        assert minutes > latest - 1e-9 or any(is_as_good(route, metres, minutes, lines) for route in routes)
    assert found.route("s0", "s1") == routes[0]
    told = found.plausible("s0", "s1")
    assert len(told) == min(ROUTES_MAX, len(routes))
    assert {routes[0], min(routes, key=lambda route: route.minutes)} <= set(told)


def is_as_good(route: RailRoute, metres: int, minutes: float, lines: tuple[str, ...]) -> bool:
    """Whether the route stands for a way: by the same lines in no more metres, or better in everything."""
    same = tuple(ride.line for ride in route.rides) == lines
    fewer = len(route.rides) < len(lines) and route.minutes <= minutes + 1e-9
    return route.metres <= metres and (same or fewer)


def check_rides(found: Network, rides: Sequence[Ride], minutes: float) -> None:
    """Rides join, and their minutes and changes add up."""
    lines, total = found._lines, sum(ride.minutes for ride in rides)
    for a, b in pairwise(rides):
        assert a.end == b.start
        assert a.line != b.line
        at = found.stations.index(a.end)
        assert at not in lines.closed
        total += lines.change_minutes(at, found.lines.index(a.line), found.lines.index(b.line))
    assert total == pytest.approx(minutes)
    for ride in rides:
        names = found.stations_of(ride)
        assert (names[0], names[-1]) == (ride.start, ride.end)


# Beijing


def test_muxidi_is_two_stations(shared_data: Path):
    beijing = Network.from_csv(shared_data / "beijing_rail")
    with pytest.raises(AmbiguousStation) as caught:
        beijing.route("木樨地", "虎坊桥")
    assert set(caught.value.suggestions) == {"木樨地(1号线)", "木樨地(16号线)"}
    assert "木樨地(16号线)" not in [
        name for route in beijing.plausible("木樨地（1号线）", "国家图书馆") for name in route.changes
    ]


def test_alternatives_of_the_published_ride(shared_data: Path):
    routes = Network.from_csv(shared_data / "beijing_rail").plausible("虎坊桥", "东夏园")
    assert [(route.metres, [ride.line for ride in route.rides]) for route in routes] == [
        (34_872, ["7号线", "14号线", "6号线"]),
        (34_958, ["7号线", "10号线", "6号线"]),
        (35_325, ["7号线", "5号线", "6号线"]),
    ]


def test_a_network_of_many_pairs_has_no_surprise(shared_data: Path):
    """Seeded: up to three routes, the first counts, and the interval covers all of them."""
    beijing, dice = Network.from_csv(shared_data / "beijing_rail"), random.Random(3)
    for _ in range(300):
        start, end = dice.sample(beijing.stations, 2)
        routes = beijing.plausible(start, end)
        estimate = estimate_rail(beijing, start, end)
        assert 1 <= len(routes) <= ROUTES_MAX
        assert estimate.metres == routes[0].metres == beijing.route(start, end).metres
        assert all(estimate.low_m <= route.metres <= estimate.high_m for route in routes)


def test_a_place_without_a_position_is_left_out_of_the_stops():
    found = Network(with_station(town(), "北园", point=None))
    long = found.plausible("东门", "西湖")[1]
    assert [metres for _, metres in found.stops(long)] == [0, 3400]
    with pytest.raises(InvalidInput, match="not where it is"):
        found.point_of("北园")
