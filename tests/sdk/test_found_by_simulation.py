"""What the simulator found first, each as a test of its own."""

from collections.abc import Callable
from datetime import timedelta

from greentrip import GreenTrip, State, Stop
from greentrip.testing import FakeClock, FakeServer
from greentrip.testing.simulator.habits import CONSENTS
from support.trips import ride


def test_a_clock_that_is_ahead_does_not_take_the_day_of_a_held_trip_for_over(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock
):
    """By the phone's clock the day has come; the server says that it has not, a minute later too."""
    ride(enrolled, clock)
    tomorrow = (server.now + timedelta(days=1)).date().isoformat()
    server.ahead_s, clock.wall = -3 * 86_400.0, clock.wall + 3 * 86_400.0
    for _ in range(100):
        server.plan(server.results(State.HELD, held_until=tomorrow))
    assert enrolled.sync().settled == {State.HELD: 1}
    for _ in range(60):
        clock.tick(60)
        enrolled._worker.run_due()
    assert len(server.posted) == 1


def test_two_processes_of_an_app_have_one_key(
    open_phone: Callable[..., GreenTrip], server: FakeServer, clock: FakeClock
):
    """The second was opened before the first enrolled. It neither makes a key of its own nor says "not enrolled"."""
    first, second = open_phone(), open_phone()
    first.request_code("13800000000")
    account = first.enrol("123456", CONSENTS)
    ride(second, clock)
    assert second.sync().settled == {State.ACCEPTED: 1}
    second.request_code("13800000000")
    assert second.enrol("123456", CONSENTS) == account
    assert len(server.devices) == 1
    ride(first, clock)
    assert first.sync().stop is Stop.DONE


def test_a_plan_that_says_now_is_due_also_within_a_millisecond(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock
):
    ride(enrolled, clock)
    clock.tick(6 * 3600)
    clock.wall = round(clock.wall) + 0.000_4
    assert enrolled._worker.run_due() is not None
