"""From rides to edges."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from greentrip.packs.draft import Ride
from greentrip.packs.edges import (
    Directed,
    Length,
    both_ways,
    directed_of,
    edges_of,
    is_one_direction,
    is_ring,
    neighbours,
    pieces_of,
    without_expresses,
)

lines_of_track = st.lists(st.integers(600, 4000), min_size=2, max_size=12)


def along(metres: list[int]) -> Directed:
    """A line of so many edges, ridden both ways."""
    return both_ways({(at, at + 1): Length(step) for at, step in enumerate(metres)})


@given(lines_of_track, st.data())
def test_expresses_change_nothing(metres: list[int], data: st.DataObject):
    plain = along(metres)
    stops = data.draw(st.sets(st.integers(0, len(metres)), min_size=2))
    express = {pair: Length(sum(metres[pair[0] : pair[1]])) for pair in pairwise(sorted(stops))}
    assert without_expresses(both_ways(express) | plain) == plain


@given(lines_of_track)
def test_a_line_without_expresses_is_left_as_it_is(metres: list[int]):
    assert without_expresses(along(metres)) == along(metres)
    assert not is_one_direction(along(metres))
    assert [edge.one_way for edge in edges_of(along(metres))] == [False] * len(metres)


@given(lines_of_track)
def test_an_express_the_other_way_shows_that_its_track_is_ridden(metres: list[int]):
    there = {(at, at + 1): Length(step) for at, step in enumerate(metres)}
    back = {(len(metres), 0): Length(sum(metres))}
    assert without_expresses(there | back) == along(metres)


def test_directions_with_tracks_of_their_own_are_two_edges():
    edges = edges_of({(0, 1): Length(1000), (1, 0): Length(1600)})
    assert [(edge.length.metres, edge.one_way) for edge in edges] == [(1000, True), (1600, True)]


def test_directions_over_one_track_are_one_edge_of_the_mean_length():
    (edge,) = edges_of({(0, 1): Length(1000, 90), (1, 0): Length(1020, 110)})
    assert (edge.length, edge.one_way) == (Length(1010, 100), False)


def test_the_median_counts_and_a_ride_within_a_station_does_not():
    rides = [Ride("1", "a", "b", metres) for metres in (1000, 1002, 5000)] + [Ride("1", "a", "a2", 80)]
    assert directed_of(rides, {"a": 0, "a2": 0, "b": 1}) == {(0, 1): Length(1002)}


def test_rings_and_pieces():
    ring = edges_of(both_ways({(0, 1): Length(900), (1, 2): Length(900), (2, 0): Length(900)}))
    assert is_ring(neighbours(ring))
    two = edges_of(both_ways({(0, 1): Length(900), (2, 3): Length(900)}))
    assert pieces_of(neighbours(two)) == [{0, 1}, {2, 3}]
    assert not is_ring(neighbours(two))
    assert not is_ring(neighbours(edges_of(along([900, 900]))))
