"""The key list on the phone: rotation strands nobody, one honest answer drops a stolen key, and replays are refused."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest

from greentrip import GreenTrip, State, Stop, Untrusted
from greentrip.events import KeyListChanged
from greentrip.keyring import KEY_LIST_AGE_S_MAX, KEYS_TARGET, REFRESH_PAUSE_S
from greentrip.signing import Signer, signer_of
from greentrip.store import Store
from greentrip.testing import FakeClock, FakeServer, problem
from greentrip.wire import split_lines
from support.trips import ride

OpenPhone = Callable[..., GreenTrip]
ONCE_S = 0.5
"""Shorter than the first back-off (dice are 1.0): one attempt and no more."""
DAY_S = 24 * 3600.0
STRANGER = signer_of(b"\x66" * 32)


def _fetched(server: FakeServer) -> int:
    """How often the key list was asked for."""
    return sum(request.url.path == KEYS_TARGET for request in server.requests)


def _states(phone: GreenTrip) -> list[State]:
    return [trip.state for trip in phone.trips()]


def _by(server: FakeServer, signer: Signer, seq: int, status: str = "accepted") -> Callable[..., httpx.Response]:
    """An answer by this key, which says that the list of this number is in force; the server behind knows nothing."""

    def answer(request: httpx.Request) -> httpx.Response:
        results = [server.result(line, status) for line in split_lines(request.content)]
        return server.lines(request, results, signer=signer, keys=seq)

    return answer


def _again(phone: GreenTrip, clock: FakeClock) -> None:
    """Once the fault is over, everything settles."""
    clock.tick(DAY_S)
    assert phone.sync().stop is Stop.DONE
    assert set(_states(phone)) == {State.ACCEPTED}
    for trip in phone.trips():
        phone.verify_receipt(trip.id)


# Rotation


def test_the_list_is_fetched_once_and_kept(enrolled: GreenTrip, server: FakeServer, clock: FakeClock):
    for _ in range(3):
        ride(enrolled, clock)
        enrolled.sync()
    assert _fetched(server) == 0, "it came with the enrolment"


@pytest.mark.parametrize("keep_old", [True, False], ids=["rotated", "revoked"])
def test_a_new_key_strands_no_phone(enrolled: GreenTrip, server: FakeServer, clock: FakeClock, keep_old: bool):
    server.rotate(keep_old=keep_old)
    ride(enrolled, clock)
    assert enrolled.sync().settled == {State.ACCEPTED: 1}
    assert _fetched(server) == 1
    ride(enrolled, clock)
    enrolled.sync()
    assert _fetched(server) == 1


def test_many_rotations_while_a_phone_is_away_strand_it_not(enrolled: GreenTrip, server: FakeServer, clock: FakeClock):
    ride(enrolled, clock)
    for _ in range(40):  # more than a list has room for
        server.rotate()
    clock.tick(400 * DAY_S)
    assert enrolled.sync().settled == {State.ACCEPTED: 1}
    _again(enrolled, clock)


def test_a_key_that_was_prolonged_is_believed_by_the_new_list(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock
):
    (key,) = server.keys
    server.keys = [replace(key, valid_until=server.now + timedelta(days=1))]
    server.seq += 1
    ride(enrolled, clock)
    enrolled.sync()
    clock.tick(2 * DAY_S)
    server.keys = [key]
    server.seq += 1
    ride(enrolled, clock)
    assert enrolled.sync().settled == {State.ACCEPTED: 1}


def test_a_key_that_has_ended_settles_nothing(enrolled: GreenTrip, server: FakeServer, clock: FakeClock):
    (key,) = server.keys
    server.keys = [replace(key, valid_until=server.now - timedelta(seconds=1))]
    server.seq += 1
    ride(enrolled, clock)
    report = enrolled.sync(ONCE_S)
    assert (report.stop, report.left) == (Stop.UNTRUSTED, 1)
    assert "not valid at that time" in report.detail
    server.rotate()
    _again(enrolled, clock)


@pytest.mark.parametrize(
    "answer",
    [problem(503), problem(404), httpx.Response(204), httpx.ConnectError("no route"), httpx.ReadTimeout("slow")],
    ids=["503", "404", "204", "no route", "timeout"],
)
def test_without_a_list_nothing_settles_and_nothing_is_lost(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock, answer: httpx.Response | Exception
):
    server.rotate()
    server.plan(answer, path=KEYS_TARGET)
    trip = ride(enrolled, clock)
    report = enrolled.sync(ONCE_S)
    assert (report.stop, report.left, report.settled) == (Stop.OFFLINE, 1, {})
    assert enrolled.receipt(trip.id) is None
    _again(enrolled, clock)
    assert len(set(server.posted)) == 1, "the very same bytes"


def test_a_damaged_list_is_fetched_again(enrolled: GreenTrip, server: FakeServer, clock: FakeClock):
    _store(enrolled).put("key_list", "no.list.any-more")
    ride(enrolled, clock)
    assert enrolled.sync().settled == {State.ACCEPTED: 1}
    _store(enrolled).put("key_list_at", "yesterday")
    _store(enrolled).put("clock_offset_s", "much")
    ride(enrolled, clock)
    assert enrolled.sync().settled == {State.ACCEPTED: 1}


# Replays and strangers


def test_a_list_with_a_lower_number_is_a_replay(enrolled: GreenTrip, server: FakeServer, clock: FakeClock):
    old = server.key_list()
    server.rotate()
    ride(enrolled, clock)
    enrolled.sync()
    server.rotate()
    server.plan(httpx.Response(200, text=old), path=KEYS_TARGET)
    ride(enrolled, clock)
    report = enrolled.sync(ONCE_S)
    assert (report.stop, report.left) == (Stop.UNTRUSTED, 1)
    assert "older key list than one seen before" in report.detail
    _again(enrolled, clock)


def test_a_list_older_than_the_receipt_says_is_not_enough(enrolled: GreenTrip, server: FakeServer, clock: FakeClock):
    """A cache on the way still has the list with the key that was stolen."""
    old = server.key_list()
    server.rotate()
    server.plan(httpx.Response(200, text=old), path=KEYS_TARGET)
    server.plan(_by(server, server.online, server.seq))
    ride(enrolled, clock)
    report = enrolled.sync(ONCE_S)
    assert (report.stop, report.left) == (Stop.UNTRUSTED, 1)
    _again(enrolled, clock)


@pytest.mark.parametrize("text", ["", "<html>Wi-Fi</html>", "a.b.c", "公钥"])
def test_what_is_no_list_is_not_believed(enrolled: GreenTrip, server: FakeServer, clock: FakeClock, text: str):
    server.rotate()
    server.plan(httpx.Response(200, text=text), path=KEYS_TARGET)
    ride(enrolled, clock)
    report = enrolled.sync(ONCE_S)
    assert (report.stop, report.left) == (Stop.UNTRUSTED, 1)
    _again(enrolled, clock)


def test_a_list_by_another_root_is_not_believed(enrolled: GreenTrip, server: FakeServer, clock: FakeClock):
    root, server.voucher = server.voucher, STRANGER
    server.rotate()
    ride(enrolled, clock)
    report = enrolled.sync(ONCE_S)
    assert (report.stop, report.left) == (Stop.UNTRUSTED, 1)
    server.voucher = root
    _again(enrolled, clock)


def test_a_stranger_costs_a_look_at_the_list_and_no_more(enrolled: GreenTrip, server: FakeServer, clock: FakeClock):
    server.plan(_by(server, STRANGER, server.seq))
    ride(enrolled, clock)
    report = enrolled.sync(ONCE_S)
    assert (report.stop, report.left, _fetched(server)) == (Stop.UNTRUSTED, 1, 1)
    _again(enrolled, clock)


# A stolen key


def test_one_honest_answer_drops_a_stolen_key(enrolled: GreenTrip, server: FakeServer, clock: FakeClock):
    stolen, seq = server.online, server.seq
    server.rotate(keep_old=False)
    ride(enrolled, clock)
    assert enrolled.sync().settled == {State.ACCEPTED: 1}
    for claimed in (seq, server.seq, server.seq + 1):
        server.plan(_by(server, stolen, claimed))
        trip = ride(enrolled, clock)
        report = enrolled.sync(ONCE_S)
        assert (report.stop, report.settled) == (Stop.UNTRUSTED, {}), "whatever number the thief names"
        assert enrolled.receipt(trip.id) is None
        _again(enrolled, clock)


def test_an_answer_by_a_good_key_that_names_a_newer_list_is_checked_by_that_list(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock
):
    """The server signs with a key that is on both lists; only the number tells that another one was stolen."""
    stolen = server.online
    server.rotate()
    ride(enrolled, clock)
    enrolled.sync()
    server.keys = [key for key in server.keys if key.public_key != stolen.public_key]
    server.seq += 1
    before = _fetched(server)
    ride(enrolled, clock)
    assert enrolled.sync().settled == {State.ACCEPTED: 1}
    assert _fetched(server) == before + 1
    server.plan(_by(server, stolen, server.seq))
    ride(enrolled, clock)
    assert enrolled.sync(ONCE_S).stop is Stop.UNTRUSTED


def test_what_a_stolen_key_signed_is_asked_for_again(enrolled: GreenTrip, server: FakeServer, clock: FakeClock):
    """The thief took one record and said that it was accepted; another one the server itself had accepted."""
    honest = ride(enrolled, clock)
    enrolled.sync()
    server.plan(_by(server, server.online, server.seq))
    swallowed = ride(enrolled, clock)
    assert enrolled.sync().settled == {State.ACCEPTED: 1}
    assert set(server.records) == {honest.id}, "the server knows nothing of the second"
    server.rotate(keep_old=False)
    ride(enrolled, clock)
    enrolled.sync()
    _again(enrolled, clock)
    assert set(server.records) == {trip.id for trip in enrolled.trips()}
    assert server.records[swallowed.id].line == swallowed.record
    assert server.balance_mg == sum(trip.reduction_mg for trip in enrolled.trips()), "each once"


def test_a_lie_of_the_thief_is_corrected(enrolled: GreenTrip, server: FakeServer, clock: FakeClock):
    server.plan(_by(server, server.online, server.seq, "rejected"))
    lied_about = ride(enrolled, clock)
    assert enrolled.sync().settled == {State.REJECTED: 1}
    server.rotate(keep_old=False)
    ride(enrolled, clock)
    enrolled.sync()
    _again(enrolled, clock)
    assert lied_about.id in server.records


def test_a_process_that_dies_while_it_drops_a_key_does_it_again(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
):
    class Killed(BaseException):
        pass

    old = ride(enrolled, clock)
    enrolled.sync()
    server.rotate(keep_old=False)
    ride(enrolled, clock)
    put = Store.put

    def die_at_the_list(store: Store, name: str, value: str) -> None:
        if name == "key_list":
            raise Killed
        put(store, name, value)

    with monkeypatch.context() as dying:
        dying.setattr(Store, "put", die_at_the_list)
        with pytest.raises(Killed):
            enrolled.sync(ONCE_S)
    clock.tick(DAY_S)
    assert enrolled.sync().stop is Stop.DONE
    assert enrolled.trips()[-1].id == old.id
    _again(enrolled, clock)


def test_receipts_by_a_dropped_key_prove_nothing_until_they_are_fresh(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock
):
    trip = ride(enrolled, clock)
    enrolled.sync()
    server.rotate(keep_old=False)
    enrolled.account()  # any honest answer will do
    with pytest.raises(Untrusted, match="unknown key"):
        enrolled.verify_receipt(trip.id)
    _again(enrolled, clock)


# Age


def test_an_old_list_is_fetched_again(enrolled: GreenTrip, server: FakeServer, clock: FakeClock):
    """Where only the thief answers, no receipt names a newer list."""
    stolen, seq = server.online, server.seq
    server.rotate(keep_old=False)
    clock.tick(KEY_LIST_AGE_S_MAX + 3600)
    server.plan(_by(server, stolen, seq))
    ride(enrolled, clock)
    report = enrolled.sync(ONCE_S)
    assert (report.stop, report.settled, _fetched(server)) == (Stop.UNTRUSTED, {}, 1)
    _again(enrolled, clock)


def test_until_then_a_thief_who_holds_back_all_honest_answers_is_believed(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock
):
    """The limit of it: a week at most, and only until the first honest answer."""
    stolen, seq = server.online, server.seq
    server.rotate(keep_old=False)
    clock.tick(KEY_LIST_AGE_S_MAX - 2 * 3600)
    server.plan(_by(server, stolen, seq))
    ride(enrolled, clock)
    assert enrolled.sync().settled == {State.ACCEPTED: 1}
    ride(enrolled, clock)
    assert enrolled.sync().settled == {State.ACCEPTED: 2}, "with the first, which is asked for again"
    assert len(server.records) == 2


def test_an_old_list_that_nobody_renews_goes_on(enrolled: GreenTrip, server: FakeServer, clock: FakeClock):
    server.plan(*[problem(503)] * 3, path=KEYS_TARGET)
    clock.tick(KEY_LIST_AGE_S_MAX + 3600)
    for _ in range(3):
        ride(enrolled, clock, minutes=10)
        assert enrolled.sync().settled == {State.ACCEPTED: 1}
    assert _fetched(server) == 1, "it is not asked for with every answer"
    clock.tick(REFRESH_PAUSE_S)
    ride(enrolled, clock, minutes=10)
    enrolled.sync()
    assert _fetched(server) == 2


def test_a_list_that_was_renewed_is_young_again(enrolled: GreenTrip, server: FakeServer, clock: FakeClock):
    for week in range(1, 4):
        clock.tick(KEY_LIST_AGE_S_MAX + 3600)
        ride(enrolled, clock)
        enrolled.sync()
        assert _fetched(server) == week
        clock.tick(2 * REFRESH_PAUSE_S)
        ride(enrolled, clock)
        enrolled.sync()
        assert _fetched(server) == week


def test_a_thief_who_names_an_old_time_cannot_keep_a_list_young(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock
):
    """What the server's clock shows is what the thief says it shows."""
    stolen, seq, then = server.online, server.seq, server.now
    server.rotate(keep_old=False)
    clock.tick(KEY_LIST_AGE_S_MAX + 3600)

    def as_of_then(request: httpx.Request) -> httpx.Response:
        results = [server.result(line) for line in split_lines(request.content)]
        return server.lines(request, results, signer=stolen, keys=seq, at=then)

    server.plan(as_of_then)
    ride(enrolled, clock)
    report = enrolled.sync(ONCE_S)
    assert (report.stop, report.settled, _fetched(server)) == (Stop.UNTRUSTED, {}, 1)


@pytest.mark.parametrize(("phone_s", "server_s"), [(1, 0), (-1, 0), (0, 1), (0, -1)])
def test_a_clock_that_jumps_costs_one_look_at_the_list(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock, phone_s: int, server_s: int
):
    jump_s = 2 * KEY_LIST_AGE_S_MAX
    clock.wall += phone_s * jump_s
    server.ahead_s = (server_s - phone_s) * jump_s
    for _ in range(2):
        ride(enrolled, clock)
        assert enrolled.sync().settled == {State.ACCEPTED: 1}
    assert _fetched(server) == 1


def test_the_observer_is_told_of_a_new_list(open_phone: OpenPhone, server: FakeServer, clock: FakeClock):
    told: list[object] = []
    phone = open_phone(observer=told.append)
    phone.request_code("13800000000")
    phone.enrol("123456", {"location": "2026-03", "sync": "2026-03"})
    server.rotate()
    ride(phone, clock)
    phone.sync()
    assert [event.seq for event in told if isinstance(event, KeyListChanged)] == [1, 2]


def _store(phone: GreenTrip) -> Store:
    return phone._store
