"""What one phone keeps for each record is bounded, and a backlog of months drains at once."""

from datetime import UTC, datetime
from pathlib import Path

from greentrip import GreenTrip, Network, State, Stop
from greentrip.testing import FakeClock
from greentrip.testing.simulator import START
from simulation.real_server import RealServer
from simulation.soak import soak
from support.trips import ride

BACKLOG_TRIPS = 300
BACKLOG_DAYS = 60


def test_file_and_memory_are_bounded():
    """A tenth of what `make soak` does."""
    assert soak(1_000) == []


def test_sixty_days_offline_drain_in_one_sync(tmp_path: Path):
    server, clock = RealServer(), FakeClock(START)
    server.begin(lambda: datetime.fromtimestamp(clock.now(), UTC))
    phone = GreenTrip.open(
        tmp_path,
        server="https://greentrip.example",
        root_key=server.root_key,
        network=Network.sample(),
        clock=clock,
        transport=server.transport,
    )
    with phone:
        phone.request_code("13800000000")
        phone.enrol(server.last_code(), {"location": "2026-03", "sync": "2026-03"})
        for _ in range(BACKLOG_TRIPS):
            ride(phone, clock)
            clock.tick(BACKLOG_DAYS * 86_400 / BACKLOG_TRIPS - 3600)
        report = phone.sync(timeout=60)
        assert (report.stop, report.left) == (Stop.DONE, 0)
        assert report.settled == {State.ACCEPTED: BACKLOG_TRIPS}
        assert report.requests <= 5
    server.end()
