"""What the phone asks beside its records never stands in their way, and what failed of it is told."""

from collections.abc import Callable

import httpx
import pytest

from greentrip import GreenTrip, State, Stop
from greentrip.testing import FakeClock, FakeServer, problem
from support.trips import ride

HOUR_S = 3600
Answer = httpx.Response | Callable[[httpx.Request], httpx.Response]


def _away(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused")


TROUBLE = [
    problem(503),
    problem(503, headers={"Retry-After": "60"}),
    problem(429),
    problem(429, headers={"Retry-After": "60"}),
    problem(401, "unknown_device"),
    problem(403, "device_ended"),
    problem(404, "not_found"),
    _away,
]


@pytest.mark.parametrize("answer", TROUBLE)
def test_an_app_that_only_taps_sends_records_while_an_erasure_fails(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock, answer: Answer
):
    gone = ride(enrolled, clock)
    enrolled.sync()
    enrolled.erase_trip(gone.id)
    for _ in range(12):
        kept = ride(enrolled, clock)
        server.plan(*[answer] * 10, path="/v1/trip-erasures")
        enrolled.sync(timeout=20)
        assert server.records[kept.id].status is State.ACCEPTED
        clock.tick(2 * HOUR_S)


@pytest.mark.parametrize("answer", TROUBLE)
def test_an_order_that_is_not_taken_holds_up_no_record_of_the_next_account(
    phone: GreenTrip, server: FakeServer, clock: FakeClock, answer: Answer
):
    """The server was restored to before the enrolment, and does not know who orders."""
    before = server.backup()
    _enrol(phone)
    ride(phone, clock)
    phone.sync()
    server.plan(_away, path="/v1/erasure")
    assert not phone.erase(timeout=1)
    server.restore(before)
    _enrol(phone)
    server.plan(*[answer] * 100, path="/v1/erasure")
    kept = ride(phone, clock)
    assert phone.sync(timeout=20).settled == {State.ACCEPTED: 1}
    later = ride(phone, clock)
    for _ in range(60):
        clock.tick(HOUR_S / 3)
        phone._worker.run_due()
    assert {server.records[one.id].status for one in (kept, later)} == {State.ACCEPTED}


def test_one_order_that_nobody_takes_does_not_hold_up_the_next(phone: GreenTrip, server: FakeServer, clock: FakeClock):
    before = server.backup()
    _enrol(phone)
    server.plan(_away, path="/v1/erasure")
    phone.erase(timeout=1)
    server.restore(before)
    _enrol(phone)
    assert len(phone._store.erasure_orders()) == 1
    phone.erase(timeout=20)
    assert len(phone._store.erasure_orders()) == 1, "the second was certified; the first waits for its server"


def test_a_repair_that_nobody_answered_says_so_and_the_next_tap_goes_on(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock
):
    backup = server.backup()
    lost = ride(enrolled, clock)
    enrolled.sync()
    server.restore(backup)
    server.plan(_away, path="/v1/sync-state")
    assert enrolled.repair(timeout=0.5).stop is Stop.OFFLINE
    clock.tick(60)
    assert enrolled.sync().stop is Stop.DONE
    assert server.records[lost.id].status is State.ACCEPTED


@pytest.mark.parametrize(("answer", "stop"), [(problem(404), Stop.PAUSED), (problem(503), Stop.WAIT)])
def test_an_erasure_that_was_not_told_is_not_done(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock, answer: httpx.Response, stop: Stop
):
    gone = ride(enrolled, clock)
    enrolled.sync()
    enrolled.erase_trip(gone.id)
    server.plan(*[answer] * 3, path="/v1/trip-erasures")
    assert enrolled.sync(timeout=0.5).stop is stop
    assert server.records[gone.id].status is State.ACCEPTED


def _enrol(phone: GreenTrip) -> None:
    phone.request_code("13800000000")
    phone.enrol("123456", {"location": "2026-03", "sync": "2026-03"})


@pytest.mark.parametrize("jump_s", [-60.0, -HOUR_S, -10 * 365 * 24 * HOUR_S])
def test_a_retry_that_was_planned_before_the_clock_jumped_back_comes(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock, jump_s: float
):
    """Read again and again by a timer alone, without a trigger."""
    ride(enrolled, clock)
    server.plan(*[problem(503)] * 12)
    enrolled.sync(timeout=600)
    clock.wall += jump_s
    for _ in range(200):
        clock.tick(120)
        assert enrolled._next_due_ms() is not None or not enrolled.stats().waiting
        enrolled._worker.run_due()
    assert enrolled.stats().waiting == 0
