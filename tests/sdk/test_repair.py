"""A server that was restored from a backup gets back exactly what it lost, and hears of erasures again."""

import json
import uuid
from collections.abc import Callable

import pytest

from greentrip import GreenTrip, State
from greentrip.report import Stop
from greentrip.testing import FakeClock, FakeServer, FakeTrip, problem
from support.trips import ride

OpenPhone = Callable[..., GreenTrip]
DAY_S = 24 * 3600
WEEK_S = 7 * DAY_S


def _settle(phone: GreenTrip, clock: FakeClock, count: int) -> list[str]:
    ids = [ride(phone, clock).id for _ in range(count)]
    phone.sync()
    return ids


def _sent(server: FakeServer) -> list[str]:
    return [json.loads(line)["id"] for body in server.posted for line in body.splitlines()]


def test_exactly_what_was_lost_is_sent_again(enrolled: GreenTrip, server: FakeServer, clock: FakeClock):
    before = _settle(enrolled, clock, 3)
    backup = server.backup()
    lost = _settle(enrolled, clock, 2)
    server.restore(backup)
    server.requests.clear()
    report = enrolled.repair()
    assert report.stop is Stop.DONE
    assert sorted(_sent(server)) == sorted(lost)
    assert set(server.records) == {*before, *lost}
    assert server.balance_mg == sum(trip.official_mg for trip in server.records.values())
    server.requests.clear()
    enrolled.repair()
    assert _sent(server) == [], "and it is not sent twice"


def test_by_itself_it_is_found_within_four_weeks_and_asked_for_no_sooner(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock
):
    backup = server.backup()
    lost = _settle(enrolled, clock, 1)
    clock.tick(60)
    enrolled.sync()  # the time begins
    server.restore(backup)
    server.requests.clear()
    due_ms = enrolled._next_due_ms()
    assert due_ms is not None
    assert due_ms / 1000 == pytest.approx(clock.now() + 4 * WEEK_S, abs=DAY_S)
    for _ in range(27):
        clock.tick(DAY_S)
        enrolled._worker.run_due()
        enrolled.sync()
    assert server.requests == []
    clock.tick(DAY_S + 60)
    enrolled._worker.run_due()
    assert _sent(server) == lost
    assert set(server.records) == set(lost)


def test_four_weeks_cost_a_healthy_phone_one_small_call(enrolled: GreenTrip, server: FakeServer, clock: FakeClock):
    _settle(enrolled, clock, 3)
    enrolled.sync()
    server.requests.clear()
    for _ in range(40):
        clock.tick(WEEK_S + 60)
        enrolled.sync()
    # And the list of keys, which had grown old.
    assert len(server.requests) <= 2 * 10
    assert server.posted == []


def test_erasures_are_told_again_also_when_nothing_else_was_lost(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock
):
    kept, gone = _settle(enrolled, clock, 2)
    backup = server.backup()
    enrolled.erase_trip(gone)
    enrolled.sync()
    assert server.records[gone].status is State.ERASED
    server.restore(backup)
    assert server.records[gone].status is State.ACCEPTED
    enrolled.repair()
    enrolled.sync()
    assert server.records[gone].status is State.ERASED
    assert server.records[kept].status is State.ACCEPTED
    assert server.balance_mg == server.records[kept].official_mg


def test_what_was_held_and_lost_is_sent_again_and_decided_anew(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock
):
    server.judge = lambda record: State.HELD
    backup = server.backup()
    (held,) = _settle(enrolled, clock, 1)
    assert enrolled.trips()[0].state is State.HELD
    server.restore(backup)
    server.judge = lambda record: State.ACCEPTED
    enrolled.repair()
    assert [(trip.id, trip.state) for trip in enrolled.trips()] == [(held, State.ACCEPTED)]


def test_what_was_rejected_does_not_come_back(enrolled: GreenTrip, server: FakeServer, clock: FakeClock):
    server.judge = lambda record: State.REJECTED
    backup = server.backup()
    _settle(enrolled, clock, 1)
    server.restore(backup)
    server.requests.clear()
    enrolled.repair()
    assert server.posted == []


def test_two_phones_of_one_account_each_send_what_is_theirs(
    open_phone: OpenPhone, enrolled: GreenTrip, server: FakeServer, clock: FakeClock, tmp_path
):
    other = open_phone(tmp_path / "other")
    other.request_code("13800000000")
    assert other.enrol("123456", {"location": "2026-03", "sync": "2026-03"}) == enrolled.account_id
    backup = server.backup()
    mine, theirs = _settle(enrolled, clock, 2), _settle(other, clock, 2)
    server.restore(backup)
    server.requests.clear()
    enrolled.repair()
    assert sorted(_sent(server)) == sorted(mine)
    other.repair()
    assert set(server.records) == {*mine, *theirs}
    assert server.balance_mg == sum(trip.official_mg for trip in server.records.values())
    server.requests.clear()
    for phone in (enrolled, other):
        phone.repair()
    assert server.posted == []


@pytest.mark.parametrize("count", [1_999, 2_000, 2_001, 5_000])
def test_thousands_of_ids_are_compared_in_pieces(enrolled: GreenTrip, server: FakeServer, clock: FakeClock, count: int):
    backup = server.backup()
    (real,) = _settle(enrolled, clock, 1)
    server.restore(backup)
    known = [str(uuid.UUID(int=number, version=4)) for number in range(1, count)]
    with enrolled._store._write() as db:
        db.executemany("INSERT INTO trip VALUES (?, 0, '{}', x'', x'')", [(one,) for one in known])
        db.executemany(
            "INSERT INTO queue (id, line, sha256, state) VALUES (?, CAST(? AS BLOB), ?, 'accepted')",
            [(one, one, one) for one in known],
        )
    account = next(iter(server.accounts.values()))
    account.trips |= {one: FakeTrip(one, "2026-02", State.ACCEPTED) for one in known}
    server.requests.clear()
    enrolled.repair()
    asked = [
        json.loads(request.content)["trips"]
        for request in server.requests
        if request.url.path == "/v1/sync-state" and request.method == "POST"
    ]
    assert all(len(piece) <= 2_000 for piece in asked)
    assert {one for piece in asked for one in piece} == {real, *known}
    assert _sent(server) == [real]
    assert account.trips[real].status is State.ACCEPTED


def test_a_comparison_that_is_interrupted_goes_on(
    open_phone: OpenPhone, enrolled: GreenTrip, server: FakeServer, clock: FakeClock
):
    backup = server.backup()
    lost = _settle(enrolled, clock, 2)
    server.restore(backup)
    server.plan(*[problem(503, "unavailable") for _ in range(3)], path="/v1/sync-state")
    enrolled.repair(timeout=0.5)
    enrolled.close(timeout=0)
    phone = open_phone()
    for _ in range(4):
        clock.tick(3600)
        phone._worker.run_due()
    assert set(server.records) == set(lost)


def test_an_account_that_was_opened_after_the_backup_is_opened_again_and_gets_everything(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock
):
    empty = type(server.backup())()
    trips = _settle(enrolled, clock, 2)
    server.restore(empty)
    ride(enrolled, clock)
    assert enrolled.sync().stop is Stop.LOGIN
    enrolled.request_code("13800000000")
    enrolled.enrol("123456", {"location": "2026-03", "sync": "2026-03"})
    enrolled.sync()
    assert set(trips) < set(server.records)
    assert {trip.state for trip in enrolled.trips()} == {State.ACCEPTED}


# Notices


def test_a_decision_is_asked_for_at_once(enrolled: GreenTrip, server: FakeServer, clock: FakeClock):
    """When the app has read of it; else on the next day."""
    server.judge = lambda record: State.HELD
    (held,) = _settle(enrolled, clock, 1)
    server.decide(held, State.ACCEPTED)
    assert enrolled.sync().settled == {}
    assert [notice.kind for notice in enrolled.notices()] == ["decision"]
    assert enrolled.sync().settled == {State.ACCEPTED: 1}
    assert enrolled.trips()[0].state is State.ACCEPTED


def test_notices_come_page_by_page_from_after_a_number(enrolled: GreenTrip, server: FakeServer, clock: FakeClock):
    server.judge = lambda record: State.HELD
    for one in _settle(enrolled, clock, 3):
        server.decide(one, State.REJECTED)
    server.page_rows_max = 2
    assert [notice.number for notice in enrolled.notices()] == [1, 2, 3]
    assert [notice.number for notice in enrolled.notices(after=2)] == [3]


def test_when_the_servers_keys_have_changed_it_compares_at_once(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock
):
    """An operator who restored a backup rotates them."""
    backup = server.backup()
    lost = _settle(enrolled, clock, 2)
    server.restore(backup)
    server.rotate()
    server.requests.clear()
    (new,) = _settle(enrolled, clock, 1)
    enrolled.sync()
    assert set(server.records) == {*lost, new}
