"""A server to play keeps what a real one keeps, and answers what a test has planned."""

import socket
from uuid import UUID

import httpx
import pytest

from greentrip import GreenTrip, State, Stop
from greentrip.signing import thumbprint
from greentrip.testing import AsgiTransport, FakeClock, FakeServer, Loopback, portal, problem
from greentrip.trust import ONLINE_KEYS_MAX, open_key_list
from greentrip.wire import base64url_decode, sha256_hex
from support.trips import ride

ONCE_S = 0.05
HOUR_S = 3600.0
URL = "https://greentrip.example"


@pytest.fixture
def loaded(enrolled: GreenTrip, clock: FakeClock) -> GreenTrip:
    """A phone with one trip that waits."""
    ride(enrolled, clock)
    return enrolled


def the_trip(phone: GreenTrip):
    (trip,) = phone.trips()
    return trip


def later(phone: GreenTrip, clock: FakeClock):
    """What a phone says a day later, when nothing stops it any more."""
    clock.tick(25 * HOUR_S)
    return phone.sync()


# What it keeps


def test_a_record_is_kept_by_id_and_credited_once(loaded: GreenTrip, server: FakeServer, clock: FakeClock):
    server.plan(server.lose_answer)
    loaded.sync(ONCE_S)
    trip = the_trip(loaded)
    assert trip.state == State.PENDING
    (kept,) = server.records.values()
    assert (kept.id, kept.line, kept.sha256) == (trip.id, trip.record, sha256_hex(trip.record))
    later(loaded, clock)
    assert the_trip(loaded).state == State.ACCEPTED
    assert server.balance_mg == kept.official_mg == trip.reduction_mg
    assert len(server.posted) == 2


def test_half_an_answer_settles_nothing(loaded: GreenTrip, server: FakeServer, clock: FakeClock):
    server.plan(server.cut_answer)
    report = loaded.sync(ONCE_S)
    assert (report.settled, report.left) == ({}, 1)
    later(loaded, clock)
    assert the_trip(loaded).state == State.ACCEPTED
    assert server.balance_mg == the_trip(loaded).reduction_mg


def test_the_judge_decides_and_staff_decide_later(loaded: GreenTrip, server: FakeServer, clock: FakeClock):
    server.judge = lambda record: State.HELD
    loaded.sync()
    trip = the_trip(loaded)
    assert (trip.state, server.balance_mg) == (State.HELD, 0)
    server.decide(trip.id, State.ACCEPTED, official_mg=7)
    assert server.balance_mg == 7
    later(loaded, clock)
    assert (the_trip(loaded).state, the_trip(loaded).official_mg) == (State.ACCEPTED, 7)
    (account,) = server.accounts.values()
    (notice,) = account.notices_after(0)
    assert (notice["kind"], notice["trip"], notice["status"], notice["official_mg"]) == (
        "decision",
        trip.id,
        "accepted",
        7,
    )
    with pytest.raises(ValueError, match="accepted, not held"):
        server.decide(trip.id, State.REJECTED)
    with pytest.raises(KeyError, match="no account"):
        server.decide("nothing", State.REJECTED)


def test_what_is_rejected_counts_nothing(loaded: GreenTrip, server: FakeServer):
    server.judge = lambda record: State.REJECTED
    loaded.sync()
    assert the_trip(loaded).state == State.REJECTED
    assert server.balance_mg == 0
    server.judge = lambda record: State.HELD


def test_a_restored_backup_has_forgotten_what_came_after_it(loaded: GreenTrip, server: FakeServer, clock: FakeClock):
    loaded.sync()
    backup = server.backup()
    ride(loaded, clock)
    loaded.sync()
    assert len(server.records) == 2
    server.restore(backup)
    assert len(server.records) == 1
    ride(loaded, clock)
    loaded.sync()
    server.restore(backup)
    assert len(server.records) == 1, "a backup can be restored again"
    assert server.balance_mg == sum(trip.official_mg for trip in server.records.values())


def test_a_device_can_be_ended(loaded: GreenTrip, server: FakeServer):
    (device,) = server.devices
    server.end_device(device)
    report = loaded.sync()
    assert (report.stop, report.left) == (Stop.PAUSED, 1)


def test_people_are_told_apart_by_their_numbers(server: FakeServer, open_phone, tmp_path, clock: FakeClock):
    accounts = []
    for number, name in enumerate(("13800000000", "+8613800000000", "13900000000")):
        phone = open_phone(tmp_path / str(number))
        phone.request_code(name)
        accounts.append(phone.enrol(server.code, {"sync": "1"}))
    assert accounts == ["account-1", "account-1", "account-2"]
    assert list(server.accounts) == ["account-1", "account-2"]
    assert len(server.accounts["account-1"].devices) == 2


# What is planned


def test_what_is_planned_comes_first_and_once(loaded: GreenTrip, server: FakeServer):
    def unplug(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("unplugged")

    plans = [problem(503), portal(), portal(redirect=True), httpx.Response(204), httpx.ConnectError("no route"), unplug]
    server.plan(*plans, server.results("held"))
    for _ in plans:
        loaded.sync(ONCE_S)
    assert server.records == {}
    loaded.sync(timeout=3600)
    assert the_trip(loaded).state == State.HELD
    assert server.records == {}, "a planned result is only said"
    assert len(server.posted) == len(plans) + 1


def test_any_call_can_be_planned(enrolled: GreenTrip, server: FakeServer):
    server.plan(
        lambda request: server.json(request, {"account": "a", "balance_mg": 5, "trips": {}}), path="/v1/account"
    )
    assert enrolled.account().balance_mg == 5
    assert enrolled.account().balance_mg == 0


def test_a_large_body_can_be_refused(loaded: GreenTrip, server: FakeServer, clock: FakeClock):
    for _ in range(7):
        ride(loaded, clock)
    server.body_bytes_max = 1_500
    assert loaded.sync(timeout=60).settled == {State.ACCEPTED: 8}
    assert max(len(body) for body in server.posted) > server.body_bytes_max
    assert len(server.records) == 8


# Clocks and keys


def test_a_clock_ahead_is_told_and_learnt(loaded: GreenTrip, server: FakeServer):
    server.ahead_s = 7 * HOUR_S
    assert loaded.sync().settled == {State.ACCEPTED: 1}
    assert len(server.posted) == 2


def test_a_revoked_key_leaves_the_list(server: FakeServer):
    root = base64url_decode(server.root_key)
    first = thumbprint(server.online.public_key)
    server.rotate()
    both = open_key_list(server.key_list(), root)
    assert (both.seq, len(both.keys)) == (2, 2)
    assert both.find(first) is not None
    server.rotate(keep_old=False)
    alone = open_key_list(server.key_list(), root)
    assert (alone.seq, len(alone.keys), alone.find(first)) == (3, 1, None)
    for _ in range(2 * ONLINE_KEYS_MAX):
        server.rotate()
    assert len(open_key_list(server.key_list(), root).keys) == ONLINE_KEYS_MAX


def test_a_rotated_key_strands_no_phone(loaded: GreenTrip, server: FakeServer, clock: FakeClock):
    for keep_old in (True, False):
        server.rotate(keep_old=keep_old)
        report = loaded.sync()
        assert (report.stop, report.left) == (Stop.DONE, 0)
        ride(loaded, clock)
    assert server.balance_mg == sum(trip.official_mg for trip in server.records.values())


# Other ways to reach it


def test_it_is_an_asgi_application(server: FakeServer, open_phone, clock: FakeClock):
    with AsgiTransport(server) as transport:
        phone = open_phone(transport=transport)
        phone.request_code("13800000000")
        phone.enrol(server.code, {"sync": "1"})
        ride(phone, clock)
        assert phone.sync().settled == {State.ACCEPTED: 1}
        assert phone.statement()[0].mg == server.balance_mg
        phone.close(timeout=0)


@pytest.mark.parametrize(("step", "kept"), [(0, 0), (1, 0), (2, 1)])
def test_killed_as_an_application_it_has_kept_all_or_nothing(
    server: FakeServer, open_phone, clock: FakeClock, step: int, kept: int
):
    with AsgiTransport(server) as transport:
        phone = open_phone(transport=transport)
        phone.request_code("13800000000")
        phone.enrol(server.code, {"sync": "1"})
        ride(phone, clock)
        asked = iter(range(1_000))
        transport.interrupt = lambda: next(asked) == step
        assert phone.sync(ONCE_S).left == 1
        assert len(server.records) == kept
        transport.interrupt = lambda: False
        later(phone, clock)
        assert (len(server.records), the_trip(phone).state) == (1, State.ACCEPTED)
        phone.close(timeout=0)


def test_it_can_be_reached_over_a_socket(server: FakeServer, open_phone, clock: FakeClock):
    with Loopback(server.transport) as served:
        phone = open_phone(server=served.url, transport=None)
        phone.request_code("13800000000")
        phone.enrol(server.code, {"sync": "1"})
        ride(phone, clock)
        server.plan(httpx.ReadError("unplugged"))
        assert phone.sync(ONCE_S).left == 1
        later(phone, clock)
        assert the_trip(phone).state == State.ACCEPTED
        assert phone.statement()[0].mg == server.balance_mg
        phone.close(timeout=0)
    with pytest.raises(OSError, match=r".+"):
        socket.create_connection(("127.0.0.1", served.port), timeout=2)


# Signatures: what the real one refuses, this one refuses too (test_fake_is_like_real.py has the rest)


def test_nobody_is_served_without_a_signature(server: FakeServer):
    client = httpx.Client(transport=server.transport, base_url=URL)
    for method, path in (
        ("GET", "/v1/account"),
        ("POST", "/v1/trips"),
        ("GET", "/v1/notices"),
        ("GET", "/v1/sync-state"),
    ):
        assert client.request(method, path).status_code == 401
    assert client.get("/v1/nothing").status_code == 404
    assert client.delete("/v1/trips").status_code == 404
    assert UUID(client.post("/v1/enrolments", json={"phone": "13800000000"}).json()["enrolment"])
