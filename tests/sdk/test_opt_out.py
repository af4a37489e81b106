"""Promise 20: opting out takes effect before it returns, whatever is under way: nothing is recorded or sent then."""

import threading
from collections.abc import Callable

import httpx
import pytest

from greentrip import GreenTrip, InvalidInput, OptedOut, State
from greentrip import sync as sync_module
from greentrip.events import PersonOptedOut, RecordDamaged, RecordSettled
from greentrip.report import Stop
from greentrip.testing import FakeClock, FakeServer, problem
from support.refusals import refused
from support.traces import found_in
from support.trips import HOME, ride, walk

OpenPhone = Callable[..., GreenTrip]
DAY_S = 24 * 3600

pending = pytest.mark.parametrize("pending", ["erase", "keep"])


def _sends_nothing(phone: GreenTrip, server: FakeServer, clock: FakeClock) -> None:
    """Not now, not on a tap, not by itself in the days that follow."""
    before = len(server.posted)
    assert phone.sync().stop is Stop.OPTED_OUT
    for _ in range(5):
        clock.tick(DAY_S)
        phone.network_changed(True)
        phone._worker.run_due()
        phone.sync()
    assert len(server.posted) == before


@pending
def test_nothing_is_sent_after_it_and_what_was_kept_is_sent_after_opting_in(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock, pending: str
):
    trips = [ride(enrolled, clock).id for _ in range(2)]
    enrolled.opt_out(pending)
    assert enrolled.opted_out
    _sends_nothing(enrolled, server, clock)
    kept = trips if pending == "keep" else []
    assert sorted(trip.id for trip in enrolled.trips()) == sorted(kept)
    enrolled.opt_in()
    assert not enrolled.opted_out
    enrolled.sync()
    assert sorted(server.records) == sorted(kept)


@pending
def test_it_outlives_the_process(open_phone: OpenPhone, enrolled: GreenTrip, server, clock: FakeClock, pending: str):
    ride(enrolled, clock)
    enrolled.opt_out(pending)
    enrolled.close(timeout=1)
    phone = open_phone()
    assert phone.opted_out
    _sends_nothing(phone, server, clock)


@pending
def test_in_the_middle_of_a_trip_nothing_more_is_recorded(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock, pending: str
):
    enrolled.start("walk", HOME)
    end = walk(enrolled, clock, 1000)
    before = enrolled._store.fix_count()
    enrolled.opt_out(pending)
    if pending == "keep":
        with refused(OptedOut, says="opt_in"):
            enrolled.fix(end)
        with refused(OptedOut):
            enrolled.switch("bus", end)
        with refused(OptedOut):
            enrolled.finish(end)
        assert enrolled._store.fix_count() == before
        enrolled.opt_in()
        enrolled.finish(end)
        assert enrolled.sync().settled == {State.ACCEPTED: 1}
    else:
        assert enrolled.active is None
        with refused(OptedOut):
            enrolled.start("walk", HOME)


def test_what_is_erased_with_it_leaves_no_bytes(enrolled: GreenTrip, tmp_path, server: FakeServer, clock: FakeClock):
    settled = ride(enrolled, clock)
    enrolled.sync()
    gone = ride(enrolled, clock)
    enrolled.start("walk", HOME)
    enrolled.opt_out("erase")
    assert [trip.id for trip in enrolled.trips()] == [settled.id], "what was settled is the server's too"
    assert found_in(tmp_path / "phone", [gone.record or b"", gone.id]) == []
    assert enrolled.stats().exits == {State.ACCEPTED: 1, State.ERASED: 1}


@pending
@pytest.mark.parametrize("background", [False, True])
def test_with_a_request_under_way_the_call_is_cut_and_nothing_follows(
    open_phone: OpenPhone, server: FakeServer, clock: FakeClock, pending: str, background: bool
):
    """Hundreds of records: many requests would follow. The call under way ends, and there is no next one."""
    phone = open_phone(background=background)
    phone.request_code("13800000000")
    phone.enrol("123456", {"location": "2026-03", "sync": "2026-03"})
    ids = [ride(phone, clock).id for _ in range(3)]
    came, go = threading.Event(), threading.Event()

    def hold(request: httpx.Request) -> httpx.Response:
        came.set()
        go.wait(10)
        return server.serve(request)

    server.plan(hold)
    reports: list[object] = []
    syncing = threading.Thread(target=lambda: reports.append(phone.sync(timeout=10)))
    syncing.start()
    assert came.wait(10)
    phone.opt_out(pending)
    sent = len(server.posted)
    go.set()
    syncing.join()
    assert sent == 1
    _sends_nothing(phone, server, clock)
    shown = {trip.id: trip.state for trip in phone.trips()}
    assert shown == (dict.fromkeys(ids, State.PENDING) if pending == "keep" else {})
    assert len(server.posted) == 1
    phone.opt_in()
    clock.tick(DAY_S)
    phone.sync()
    if pending == "keep":
        assert {trip.state for trip in phone.trips()} == {State.ACCEPTED}
    else:  # they had been sent, so the server is told
        assert {record.status for record in server.records.values()} <= {State.ERASED}
    phone.close(timeout=0)


@pending
def test_a_retry_that_waits_sends_nothing(enrolled: GreenTrip, server: FakeServer, clock: FakeClock, pending: str):
    ride(enrolled, clock)
    server.plan(problem(503, "unavailable", {"Retry-After": "3600"}))
    assert enrolled.sync().stop is Stop.WAIT
    enrolled.opt_out(pending)
    clock.tick(2 * 3600)
    _sends_nothing(enrolled, server, clock)


@pending
def test_between_two_batches_nothing_more_goes(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, pending: str
):
    """An observer that opts out, on the very thread that sends."""
    monkeypatch.setattr(sync_module, "BATCH_LINES_MAX", 1)
    for _ in range(3):
        ride(enrolled, clock)
    out = threading.Event()

    def opt_out(event: object) -> None:
        if isinstance(event, RecordSettled):
            enrolled.opt_out(pending)
            out.set()

    enrolled._tell._observer = opt_out
    assert enrolled.sync().stop in (Stop.OPTED_OUT, Stop.SUSPENDED)
    assert out.wait(10)
    enrolled._worker.stop(10)
    enrolled._worker.start(background=False)
    enrolled._tell._observer = None
    assert len(server.posted) == 1
    _sends_nothing(enrolled, server, clock)


def test_an_observer_that_opts_out_before_the_first_byte_is_sent_stops_it(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock
):
    """Records were leased already; one of them was found damaged, and that was told."""
    damaged, sound = ride(enrolled, clock), ride(enrolled, clock)
    enrolled._store._durable.execute("UPDATE queue SET line = x'00' WHERE id = ?", (damaged.id,))
    enrolled._tell._observer = lambda event: enrolled.opt_out("keep") if isinstance(event, RecordDamaged) else None
    enrolled.sync()
    enrolled._worker.stop(10)  # the observer spoke on the worker's thread: it ends after that
    enrolled._tell._observer = None
    assert server.posted == []
    assert {trip.id: trip.state for trip in enrolled.trips()}[sound.id] is State.PENDING


def test_erasures_are_still_told(enrolled: GreenTrip, server: FakeServer, clock: FakeClock):
    """They are the person's no as well."""
    trip = ride(enrolled, clock)
    enrolled.sync()
    enrolled.opt_out("keep")
    enrolled.erase_trip(trip.id)
    enrolled.sync()
    assert server.records[trip.id].status is State.ERASED


def test_nothing_else_is_asked_for_and_nobody_wakes_up(enrolled: GreenTrip, server: FakeServer, clock: FakeClock):
    ride(enrolled, clock)
    enrolled.sync()
    enrolled.opt_out("keep")
    server.requests.clear()
    clock.tick(60 * DAY_S)
    assert enrolled._next_due_ms() is None, "the weekly questions rest too"
    enrolled._worker.run_due()  # what opting out itself asked for
    assert enrolled._worker.run_due() is None
    assert server.requests == []


def test_it_says_what_it_takes(enrolled: GreenTrip):
    with refused(InvalidInput, "pending", "neither"):
        enrolled.opt_out("perhaps")  # type: ignore[arg-type]
    assert not enrolled.opted_out


def test_it_is_told(open_phone: OpenPhone):
    told: list[object] = []
    open_phone(observer=told.append).opt_out("keep")
    assert PersonOptedOut() in told
