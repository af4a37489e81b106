"""Sixty days without a network, on the real server: one sync drains them."""

from pathlib import Path

from greentrip import State, Stop
from greentrip.wire import BATCH_LINES_MAX
from support.commuting import RIDES_A_DAY, ride
from support.server import ServerProcess, phone

DAYS, RIDES_EACH = 60, 5
SYNC_S = 240


def test_sixty_days_drain_in_one_sync(server: ServerProcess, tmp_path: Path):
    with phone(server, tmp_path / "phone") as green:
        numbers = [day * RIDES_A_DAY + count for day in reversed(range(DAYS)) for count in range(RIDES_EACH)]
        recorded = [ride(green, number) for number in numbers]
        report = green.sync(SYNC_S)
        assert (report.stop, report.left) == (Stop.DONE, 0)
        assert report.settled == {State.ACCEPTED: DAYS * RIDES_EACH}
        assert report.requests == -(-len(recorded) // BATCH_LINES_MAX)
        statement = green.statement()
        assert [entry.trip for entry in statement] == [trip.id for trip in recorded]  # in the order of their days
        assert statement[-1].balance_mg == sum(trip.reduction_mg for trip in recorded)
        assert green.account().balance_mg == statement[-1].balance_mg
