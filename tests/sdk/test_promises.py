"""What a whole phone promises where no other test says it: nothing waits for a tap, every record is counted."""

import gzip
import json
import random
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx
import pytest

from greentrip import GreenTrip, State, Stop, Untrusted
from greentrip.client import SEND_DELAY_S
from greentrip.testing import FakeClock, FakeServer, portal, problem
from greentrip.wire import NDJSON, RECEIPT_HEADER, split_lines
from support.trips import ride

OpenPhone = Callable[..., GreenTrip]
Answers = Callable[[FakeServer], list[object]]
CONSENTS = {"location": "2026-03", "sync": "2026-03"}
HOUR_S = 3600
DAY_S = 24 * HOUR_S
ONCE_S = 0.5
"""Shorter than the first back-off (dice are 1.0): one attempt and no more."""
PASSES_MAX = 60


def _wait_until_due(phone: GreenTrip, clock: FakeClock) -> float:
    """Let time pass until the phone itself has something to do. Returns how long that was, in seconds."""
    due_ms = phone._sender.next_due_ms()
    assert due_ms is not None, "something waits, and no try is planned"
    wait_s = max(0.0, due_ms / 1000 - clock.now())
    clock.tick(wait_s)
    return wait_s


def _drains_alone(phone: GreenTrip, clock: FakeClock) -> float:
    """Background passes alone settle everything: no tap, no new trip. Returns how long it took, in seconds."""
    took_s = 0.0
    for _ in range(PASSES_MAX):
        took_s += _wait_until_due(phone, clock)
        phone._worker.run_due()
        if {trip.state for trip in phone.trips()} == {State.ACCEPTED}:
            return took_s
    raise AssertionError("it did not come to an end")


# Promise 3: an answer that is lost after the commit


def _by_timeout(server: FakeServer, request: httpx.Request) -> httpx.Response:
    server.serve(request)
    raise httpx.ReadTimeout("no answer in time", request=request)


def _by_broken_gzip(server: FakeServer, request: httpx.Request) -> httpx.Response:
    packed = gzip.compress(server.serve(request).content)[:-6]
    headers = {"Content-Type": NDJSON, "Content-Encoding": "gzip"}
    return httpx.Response(200, headers=headers, stream=httpx.ByteStream(packed))


def _by_a_proxy(server: FakeServer, request: httpx.Request) -> httpx.Response:
    server.serve(request)
    return problem(504)


def _without_a_receipt(server: FakeServer, request: httpx.Request) -> httpx.Response:
    answer = server.serve(request)
    del answer.headers[RECEIPT_HEADER]
    return answer


LOST: dict[str, Callable[[FakeServer, httpx.Request], httpx.Response]] = {
    "timeout": _by_timeout,
    "reset": FakeServer.lose_answer,
    "truncated": FakeServer.cut_answer,
    "broken gzip": _by_broken_gzip,
    "a proxy's 504": _by_a_proxy,
    "no receipt": _without_a_receipt,
}


@pytest.mark.parametrize("lost", LOST.values(), ids=LOST)
def test_whatever_becomes_of_an_answer_after_the_commit_a_trip_counts_once(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock, lost: Callable[..., httpx.Response]
):
    trips = [ride(enrolled, clock) for _ in range(3)]
    server.plan(lambda request: lost(server, request))
    report = enrolled.sync(ONCE_S)
    assert (report.settled, report.left) == ({}, 3)
    assert server.balance_mg == sum(trip.reduction_mg for trip in trips), "the server has them"
    clock.tick(DAY_S)
    assert enrolled.sync().settled == {State.ACCEPTED: 3}
    assert server.posted[0] == server.posted[1]
    assert server.balance_mg == sum(trip.reduction_mg for trip in trips)


# Promise 4: only the person moves trips to another account


@pytest.fixture
def forgotten(open_phone: OpenPhone, server: FakeServer, clock: FakeClock, tmp_path: Path) -> GreenTrip:
    """A phone with a trip accepted and one that waits, whose server was set back to before its enrolment; since then
    somebody else has got the name of its account."""
    before = server.backup()
    phone = _enrol(open_phone(), "13800000000")
    ride(phone, clock)
    phone.sync()
    ride(phone, clock)
    server.restore(before)
    _enrol(open_phone(tmp_path / "another"), "13900000000")
    assert phone.sync().stop is Stop.LOGIN
    phone.request_code("13800000000")
    return phone


def _enrol(phone: GreenTrip, number: str) -> GreenTrip:
    phone.request_code(number)
    phone.enrol("123456", CONSENTS)
    return phone


def test_a_server_that_names_another_account_is_not_believed(forgotten: GreenTrip, server: FakeServer):
    with pytest.raises(Untrusted, match="another account"):
        forgotten.enrol("123456", CONSENTS)
    assert forgotten.account_id == "account-1"
    assert [account.trips for account in server.accounts.values()] == [{}, {}]


def test_where_the_person_says_so_the_trips_go_to_the_account_that_the_server_names(
    forgotten: GreenTrip, server: FakeServer, clock: FakeClock
):
    with pytest.raises(Untrusted):
        forgotten.enrol("123456", CONSENTS)
    forgotten.request_code("13800000000")  # the code before was used up by the key that was thrown away
    assert forgotten.enrol("123456", CONSENTS, replace_account=True) == "account-2"
    clock.tick(DAY_S)
    assert forgotten.sync().settled == {State.ACCEPTED: 2}
    trips = {trip.id: trip.record for trip in forgotten.trips()}
    assert {name: set(account.trips) for name, account in server.accounts.items()} == {
        "account-1": set(),
        "account-2": set(trips),
    }
    assert {trip: server.records[trip].line for trip in trips} == trips
    assert forgotten.account().balance_mg == sum(trip.reduction_mg for trip in forgotten.trips())


# Promise 8: settled bytes stay


@pytest.mark.parametrize(("status", "kept_for_good"), [(State.ACCEPTED, True), (State.REJECTED, False)])
def test_settled_bytes_stay_for_400_days_and_what_is_accepted_for_good(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock, status: State, kept_for_good: bool
):
    first = ride(enrolled, clock)
    server.judge = lambda record: status if record.id == first.id else State.ACCEPTED
    enrolled.sync()
    for days, there in ((398, True), (3, kept_for_good), (5 * 365, kept_for_good)):
        clock.tick(days * DAY_S)
        ride(enrolled, clock)  # bytes go after an answer: the server's time counts
        enrolled.sync()
        kept = {trip.id: trip for trip in enrolled.trips()}[first.id]
        assert (kept.record == first.record) is there
        assert kept.state is status


def test_a_phone_whose_clock_is_years_ahead_removes_nothing(enrolled: GreenTrip, server: FakeServer, clock: FakeClock):
    first = ride(enrolled, clock)
    server.judge = lambda record: State.REJECTED
    enrolled.sync()
    clock.wall += 10 * 365 * DAY_S
    server.ahead_s = -10 * 365 * DAY_S
    ride(enrolled, clock)
    enrolled.sync()
    assert {trip.id: trip.record for trip in enrolled.trips()}[first.id] == first.record


# Promise 9: every record is accounted for


def test_whatever_happened_to_a_record_it_is_counted(enrolled: GreenTrip, server: FakeServer, clock: FakeClock):
    trips = [ride(enrolled, clock) for _ in range(9)]
    fates = ["accepted", "held", "rejected", "conflict", "unsupported", "erased", "retry"]
    server.plan(_one_of_each(server, fates))
    enrolled._store._durable.execute("UPDATE queue SET sha256 = ? WHERE id = ?", ("0" * 64, trips[8].id))
    enrolled.erase_trip(trips[7].id)
    enrolled.sync(ONCE_S)
    stats = enrolled.stats()
    assert stats.exits == {"accepted": 1, "rejected": 1, "conflict": 1, "damaged": 1, "erased": 2}
    assert stats.waiting == 1
    assert {stats.states[State.HELD], stats.states[State.UNSUPPORTED]} == {1}
    not_final = stats.waiting + stats.states[State.HELD] + stats.states[State.UNSUPPORTED]
    assert stats.recorded == 9 == not_final + sum(stats.exits.values())


def _one_of_each(server: FakeServer, statuses: list[str]) -> Callable[[httpx.Request], httpx.Response]:
    def answer(request: httpx.Request) -> httpx.Response:
        lines = split_lines(request.content)
        return server.lines(request, [server.result(*pair) for pair in zip(lines, statuses, strict=False)])

    return answer


# Promise 10: what is no failure uses no attempts


def _attempts(phone: GreenTrip) -> int:
    kept = phone._store.get("retry")
    return int(json.loads(kept)["attempts"]) if kept else 0


NO_FAILURES: Mapping[str, httpx.Response] = {
    "login": problem(401, "unknown_device"),
    "paused": problem(403, "consent"),
    "rate-limited": problem(429),
    "asked to wait": problem(503, "unavailable", {"Retry-After": "60"}),
}


@pytest.mark.parametrize("answer", NO_FAILURES.values(), ids=NO_FAILURES)
def test_paused_rate_limited_or_logged_out_uses_no_attempts(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock, answer: httpx.Response
):
    ride(enrolled, clock)
    server.plan(*[answer] * 20)
    for _ in range(10):
        _wait_until_due(enrolled, clock)
        enrolled._worker.run_due()
    assert len(server.posted) >= 9
    assert _attempts(enrolled) == 0
    server.script.clear()
    server.plan(problem(500))
    clock.tick(DAY_S)
    enrolled.sync(ONCE_S)
    assert _attempts(enrolled) == 1, "a failure is one"


@pytest.mark.parametrize("away", ["offline", "opted out", "asleep"])
def test_time_away_uses_no_attempts_and_makes_no_calls(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock, away: str
):
    ride(enrolled, clock)
    leave, back = {
        "offline": (lambda: enrolled.network_changed(online=False), lambda: enrolled.network_changed(online=True)),
        "opted out": (lambda: enrolled.opt_out("keep"), enrolled.opt_in),
        "asleep": (enrolled.suspend, enrolled.wake),
    }[away]
    leave()
    for _ in range(30):
        clock.tick(600)
        enrolled._worker.run_due()
    assert server.requests == []
    back()
    assert _attempts(enrolled) == 0
    assert _drains_alone(enrolled, clock) <= SEND_DELAY_S


# Promises 15 and 17: every failed round plans its own next try


FAILURES: dict[str, Answers] = {
    "400 to all": lambda server: [problem(400)] * 9,
    "401": lambda server: [problem(401, "unknown_device")] * 3,
    "403": lambda server: [problem(403, "consent")] * 3,
    "404": lambda server: [problem(404)] * 3,
    "410": lambda server: [problem(410)] * 3,
    "413 to all": lambda server: [problem(413)] * 9,
    "426": lambda server: [problem(426)] * 3,
    "429": lambda server: [problem(429)] * 3,
    "500": lambda server: [problem(500)] * 20,
    "503 for a day": lambda server: [problem(503, "unavailable", {"Retry-After": "86400"})],
    "a portal": lambda server: [portal(), portal(redirect=True)],
    "no route": lambda server: [httpx.ConnectError("no route")] * 20,
    "unsigned": lambda server: [lambda request: _without_a_receipt(server, request)] * 3,
    "no results": lambda server: [lambda request: server.lines(request, [])] * 3,
    "an unknown status": lambda server: [server.results("issued")] * 3,
    "held": lambda server: [server.results("held")],
    "unsupported": lambda server: [server.results("unsupported")] * 3,
    "clock": lambda server: [server.clock_problem] * 6,
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_after_any_failure_the_rest_is_sent_without_a_tap_or_a_new_trip(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock, failure: Answers
):
    trips = [ride(enrolled, clock) for _ in range(3)]
    server.plan(*failure(server))
    took_s = _drains_alone(enrolled, clock)
    assert took_s <= 4 * DAY_S
    assert {trip.record for trip in trips} == {trip.line for trip in server.records.values()}
    assert server.balance_mg == sum(trip.reduction_mg for trip in trips)


def test_a_plan_outlives_the_process(open_phone: OpenPhone, enrolled: GreenTrip, server: FakeServer, clock: FakeClock):
    ride(enrolled, clock)
    clock.tick(SEND_DELAY_S)
    server.plan(problem(403, "consent"))
    enrolled._worker.run_due()
    planned_ms = enrolled._sender.next_due_ms()
    enrolled.close(timeout=0)
    again = open_phone()
    assert again._sender.next_due_ms() == planned_ms
    clock.tick(6 * HOUR_S - 1)
    assert again._worker.run_due() is None
    clock.tick(1)
    report = again._worker.run_due()
    assert report is not None
    assert report.stop is Stop.DONE


# The random delay


def test_by_itself_a_phone_sends_each_trip_a_random_time_after_it_ended(
    open_phone: OpenPhone, enrolled: GreenTrip, server: FakeServer, clock: FakeClock
):
    phone = open_phone(dice=random.Random(5).random)
    waited_s: list[float] = []
    for _ in range(40):
        trip, ended = ride(phone, clock), clock.now()
        _drains_alone(phone, clock)
        assert server.posted[-1] == (trip.record or b"") + b"\n"
        waited_s.append(clock.now() - ended)
    assert max(waited_s) <= SEND_DELAY_S
    tenths = Counter(int(wait_s // (SEND_DELAY_S / 10)) for wait_s in waited_s)
    assert len(tenths) >= 8, "spread over all of it"
    assert max(tenths.values()) <= 10


def test_a_tap_waits_for_no_delay_and_the_next_trip_has_its_own(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock
):
    ride(enrolled, clock)
    enrolled._worker.run_due()
    assert server.posted == []
    assert enrolled.sync().settled == {State.ACCEPTED: 1}
    ride(enrolled, clock)
    clock.tick(SEND_DELAY_S - 1)
    assert enrolled._worker.run_due() is None
    assert _drains_alone(enrolled, clock) == 1
