"""A few hundred worlds on the project's own server: nothing is lost, counted twice or stuck."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from greentrip.testing.simulator import COMMUTER, COMMUTER_LOSSY, HEALTHY, HOSTILE, LOSSY, Profile, Tally, simulate
from simulation.postgres_server import RealServerOnPostgres
from simulation.real_server import RealServer
from support.postgres import PostgresServer

CHUNK_SEEDS = 25
"""So many worlds a test: the processes of a test run share the tests out among them."""
HOSTILE_SEEDS = 200
COSTS = [(HEALTHY, CHUNK_SEEDS, 1.05), (LOSSY, CHUNK_SEEDS, 1.5), (COMMUTER, 10, 1.05), (COMMUTER_LOSSY, 10, 1.5)]
"""How bad it is, over how many worlds, and the requests for each settled record at most."""


@pytest.fixture(scope="module")
def server() -> Iterator[RealServer]:
    made = RealServer()
    yield made
    made.end()


@pytest.mark.parametrize("first", range(0, HOSTILE_SEEDS, CHUNK_SEEDS))
def test_nothing_is_lost_counted_twice_or_stuck(server: RealServer, first: int):
    for result in simulate(range(first, first + CHUNK_SEEDS), HOSTILE, server):
        assert result.violations == (), f"make simulate FIRST={result.seed} SEEDS=1 ARGS=--trace"


@pytest.mark.parametrize(("profile", "seeds", "requests_max"), COSTS, ids=[profile.name for profile, _, _ in COSTS])
def test_requests_for_each_settled_record(server: RealServer, profile: Profile, seeds: int, requests_max: float):
    """All that a phone asks after its enrolment, erasures, decisions and repairs too."""
    total = Tally()
    for result in simulate(range(seeds), profile, server):
        assert result.violations == (), f"make simulate PROFILE={profile.name} FIRST={result.seed} SEEDS=1"
        total.add(result.tally)
    assert total.settled == total.recorded > 500
    assert total.requests_each <= requests_max


def test_a_seed_replays_exactly(server: RealServer):
    """Threads of the server's own, its database and its keys change nothing of it."""
    first = [result.digest for result in simulate(range(4), HOSTILE, server)]
    assert [result.digest for result in simulate(range(4), HOSTILE, server)] == first


def test_nothing_is_lost_on_postgresql(postgres_server: PostgresServer):
    server = RealServerOnPostgres(postgres_server)
    for result in simulate(range(5), replace(HOSTILE, steps=40), server):
        assert result.violations == (), result.seed
    server.end()
