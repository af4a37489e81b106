"""What a track above ground shows of a rail ride, and that what is not clear is not told."""

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accuracy.rail_rides import Receiver, simulate
from greentrip.distance.rail import NAMED_LONGER_MAX, Network, RailRoute, recognise
from greentrip.distance.rail.pack import Pack, PackEdge, PackLine, PackStation
from greentrip.distance.rail.recognise import SHOWN_SPOTS_MIN, SPOT_M, spots_of
from greentrip.distance.sphere import great_circle_m, moved
from greentrip.errors import InvalidInput, NoRoute
from greentrip.measure import estimate_leg
from greentrip.trip import Fix, Leg, Method, Mode, Point, Route, Station
from support.rail_town import town

CENTRE = Point(39.9, 116.4)
CALM = Receiver(noise_m=8.0, every_s=10.0)


def grid_network(north_m: float = 1500) -> Network:
    """From 甲 east to 乙 in four edges: the line 南 straight, the line 北 by a parallel `north_m` to the north."""
    places = [("甲", 0, 0), ("南1", 1000, 0), ("南2", 2000, 0), ("南3", 3000, 0), ("乙", 4000, 0)]
    places += [("北1", 1000, north_m), ("北2", 2000, north_m), ("北3", 3000, north_m)]
    stations = tuple(PackStation(name, point=moved(CENTRE, east, north)) for name, east, north in places)
    edges = [PackEdge(0, at, at + 1, 1020) for at in range(4)]
    edges += [PackEdge(1, a, b, m) for a, b, m in ((0, 5, 1070), (5, 6, 1010), (6, 7, 1010), (7, 4, 1070))]
    return Network(town_of(stations, edges, ("南", "北")))


def town_of(stations: Sequence[PackStation], edges: Sequence[PackEdge], lines: Sequence[str]) -> Pack:
    return town(stations=tuple(stations), edges=tuple(edges), lines=tuple(map(PackLine, lines)))


def ride(network: Network, route: RailRoute, receiver: Receiver = CALM, seed: int = 1) -> tuple[Fix, ...]:
    return simulate(random.Random(seed), network, route, 1.0, receiver).fixes


def by_line(network: Network, line: str) -> RailRoute:
    return next(route for route in network.plausible("甲", "乙", 10) if route.rides[0].line == line)


# Routes


@pytest.mark.parametrize("line", ["南", "北"])
@pytest.mark.parametrize("receiver", [Receiver(10, 1), Receiver(10, 10), Receiver(30, 30)])
def test_the_track_shows_which_line_was_ridden(line: str, receiver: Receiver):
    network = grid_network(600)
    seen = recognise(network, ride(network, by_line(network, line), receiver), "甲", "乙")
    assert seen is not None
    assert seen.route is not None
    assert (seen.route.kind, seen.route.rides) == (Route.TRACK, by_line(network, line).rides)


def test_lines_too_near_each_other_are_not_told_apart():
    network = grid_network(150)
    seen = recognise(network, ride(network, by_line(network, "北")), "甲", "乙")
    assert seen is None or seen.route is None


def test_a_shown_route_that_is_too_long_never_counts():
    network = grid_network()
    north = network.plausible("甲", "乙")[1]
    long = town_of(
        network._pack.stations,
        [
            edge if edge.line == 0 else PackEdge(1, edge.start, edge.end, edge.metres + 60)
            for edge in network._pack.edges
        ],
        ("南", "北"),
    )
    longer = Network(long)
    assert north.metres <= 4080 * (1 + NAMED_LONGER_MAX) < longer.plausible("甲", "乙")[1].metres
    fixes = ride(longer, by_line(longer, "北"))
    seen = recognise(longer, fixes, "甲", "乙")
    assert seen is None or seen.route is None
    leg = rail_leg(Station("甲"), Station("乙"), fixes)
    assert (estimate_leg(leg, longer).metres, estimate_leg(leg, longer).route) == (4080, Route.SHORTEST)


def test_one_plausible_route_needs_no_track():
    network = Network.sample()
    route = network.route("虎坊桥", "东夏园")
    assert recognise(network, ride(network, route), "虎坊桥", "东夏园") is None


def test_a_track_elsewhere_shows_nothing():
    network = grid_network()
    elsewhere = tuple(Fix(moved(fix.point, 3000, 5000), fix.at) for fix in ride(network, by_line(network, "南")))
    assert recognise(network, elsewhere, "甲", "乙") is None
    assert recognise(network, elsewhere) is None


# Stations


def test_stations_are_where_the_track_comes_to_the_network_and_leaves_it():
    network = grid_network()
    fixes = ride(network, by_line(network, "南"))
    seen = recognise(network, fixes)
    assert seen is not None
    assert (seen.start, seen.end) == ("甲", "乙")
    part = [fix for fix in fixes if 900 < great_circle_m(CENTRE, fix.point) < 3100]
    seen = recognise(network, part)
    assert seen is not None
    assert (seen.start, seen.end, seen.route) == ("南1", "南3", None)
    seen = recognise(network, part, start="甲")
    assert seen is not None
    assert (seen.start, seen.end) == ("甲", "南3")
    back = [Fix(fix.point, 5000 - fix.at) for fix in reversed(fixes)]
    seen = recognise(network, back)
    assert seen is not None
    assert (seen.start, seen.end) == ("乙", "甲")


def test_the_walk_to_the_station_is_no_part_of_the_ride():
    network = grid_network()
    fixes = [Fix(fix.point, fix.at + 600) for fix in ride(network, by_line(network, "南"))]
    walk = [Fix(moved(CENTRE, 0, 40.0 * step - 600), 40.0 * step) for step in range(15)]
    seen = recognise(network, [*walk, *fixes])
    assert seen is not None
    assert (seen.start, seen.end) == ("甲", "乙")


def test_a_long_ride_that_only_crosses_the_network_is_not_one_on_it():
    network = grid_network()
    points = [moved(CENTRE, -15_000 + 300 * step, 0) for step in range(120)]  # an express from far away to far away
    assert recognise(network, [Fix(point, 10.0 * at) for at, point in enumerate(points)]) is None


def test_a_street_that_crosses_a_line_shows_no_ride():
    network = grid_network()
    points = [moved(CENTRE, 2000, -1500 + 100 * step) for step in range(40)]
    assert recognise(network, [Fix(point, 10.0 * at) for at, point in enumerate(points)]) is None


def test_a_tunnel_in_the_middle_does_not_matter():
    network = grid_network()
    fixes = [fix for fix in ride(network, by_line(network, "南")) if not 100 < fix.at < 240]
    assert max(b.at - a.at for a, b in pairwise(fixes)) > 120
    seen = recognise(network, fixes)
    assert seen is not None
    assert (seen.start, seen.end) == ("甲", "乙")


# Legs


def rail_leg(
    start: Point | Station, end: Point | Station, fixes: Sequence[Fix] = (), changes: tuple[str, ...] = ()
) -> Leg:
    return Leg(Mode.RAIL, start, end, 0.0, 1800.0, tuple(fixes), changes)


FAR_WEST, FAR_EAST = moved(CENTRE, -1400, 0), moved(CENTRE, 5400, 0)


def test_a_leg_without_stations_gets_them_from_the_track():
    network = grid_network()
    fixes = ride(network, by_line(network, "北"))
    estimate = estimate_leg(rail_leg(FAR_WEST, FAR_EAST, fixes), network)
    assert (estimate.method, estimate.stations, estimate.route) == (Method.RAIL, ("甲", "乙"), Route.TRACK)
    assert estimate.metres == by_line(network, "北").metres
    assert estimate.low_m <= by_line(network, "南").metres
    without = estimate_leg(rail_leg(FAR_WEST, FAR_EAST), network)
    assert without.method is Method.ENDPOINTS


def test_named_stations_stay_whatever_the_track_shows():
    network = grid_network()
    fixes = ride(network, by_line(network, "北"))
    named = replace(rail_leg(Station("甲"), Station("乙"), fixes), changes=())
    assert estimate_leg(named, network).route is Route.TRACK
    to_south3 = estimate_leg(rail_leg(Station("甲"), Station("南3"), fixes), network)
    assert (to_south3.stations, to_south3.metres, to_south3.route) == (("甲", "南3"), 3060, Route.SHORTEST)


def test_a_track_that_is_not_clear_is_measured_as_before():
    network = grid_network()
    street = [Fix(moved(CENTRE, 50.0 * at, 700), 5.0 * at) for at in range(60)]
    estimate = estimate_leg(rail_leg(FAR_WEST, FAR_EAST, street), network)
    assert estimate.method is Method.TRACK


# Anything at all


fix_lists = st.lists(
    st.builds(
        Fix,
        st.builds(Point, st.floats(39.85, 39.95), st.floats(116.35, 116.5)) | st.just(Point(0.0, 0.0)),
        st.floats(0, 4000) | st.sampled_from([float("nan"), float("inf"), 0.0]),
        st.none() | st.floats(-1, 2000),
    ),
    max_size=60,
)


@settings(max_examples=60)
@given(fix_lists, st.sampled_from([None, "甲", "南2"]), st.sampled_from([None, "乙", "北2"]))
def test_any_fixes_give_a_ride_of_the_network_or_none(fixes: list[Fix], start: str | None, end: str | None):
    network = grid_network()
    seen = recognise(network, fixes, start, end)
    if seen is not None:
        assert seen.start in (network.stations if start is None else (start,))
        assert seen.end in (network.stations if end is None else (end,))
        assert seen.start != seen.end


@given(st.floats(1, 60), st.integers(2, 300), st.floats(0, 40))
def test_spots_are_apart_however_often_there_is_a_fix(every_s: float, count: int, mps: float):
    fixes = [Fix(moved(CENTRE, mps * every_s * at, 0), every_s * at) for at in range(count)]
    spots = spots_of(fixes)
    assert all(great_circle_m(a, b) >= SPOT_M * 0.99 for a, b in pairwise(spots))
    assert len(spots) <= mps * every_s * (count - 1) / SPOT_M + 2


# The real network


def test_simulated_rides_are_recognised_and_never_lengthened(shared_data: Path):
    """Seeded, all above ground; the accuracy report has more of them, and rides that are partly underground."""
    network = Network.from_csv(shared_data / "beijing_rail")
    dice = random.Random(20241015)
    placed = [name for name in network.stations if network.has_point(name)]
    told = right = 0
    for _ in range(60):
        route = dice.choice(network.plausible(*dice.sample(placed, 2)))
        track = simulate(dice, network, route, 1.0, Receiver(dice.uniform(10, 30), dice.choice((5, 15, 30))))
        assert track.shown is not None
        seen = recognise(network, track.fixes)
        if len(spots_of(track.fixes)) > 2 * SHOWN_SPOTS_MIN:
            told += 1
            right += seen is not None and (seen.start, seen.end) == (route.rides[0].start, route.rides[-1].end)
        if seen is not None:
            counted = seen.route or network.route(seen.start, seen.end)
            assert counted.metres <= route.metres * 1.01
    assert right >= 0.9 * told


def test_what_the_network_refuses_is_refused_with_a_track_too():
    network = grid_network()
    fixes = ride(network, by_line(network, "南"))
    with pytest.raises(InvalidInput):
        recognise(network, fixes, "甲", "无")
    island = town_of(
        [*network._pack.stations, PackStation("岛"), PackStation("屿")],
        [*network._pack.edges, PackEdge(2, 8, 9, 500)],
        ("南", "北", "岛线"),
    )
    with pytest.raises(NoRoute):
        recognise(Network(island), fixes, "甲", "岛")
