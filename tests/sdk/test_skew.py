"""Versions that do not match: a newer server, an older one, one that was rolled back, and records of years ago.

Nothing is lost, nothing settles wrongly, and nobody is hammered.
"""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import httpx
import pytest

from greentrip import GreenTrip, Refused, ServerError, State, Stop, Unreachable
from greentrip.signing.jws import open_token, sign
from greentrip.store.migrations import MIGRATIONS
from greentrip.testing import FakeClock, FakeServer, problem
from greentrip.wire import RECEIPT_HEADER, sha256_hex, split_lines
from support.trips import ride

OpenPhone = Callable[..., GreenTrip]
HOUR_S = 3600
DAY_S = 24 * HOUR_S
ONCE_S = 0.5
"""Shorter than the first back-off (dice are 1.0): one attempt and no more."""

MORE = {"added_in_v2": {"deep": [1, {"x": None}]}, "": "no name", "状态": "好"}
"""Members that a later version may add."""


def _states(phone: GreenTrip) -> list[State]:
    return [trip.state for trip in phone.trips()]


def _day(phone: GreenTrip, clock: FakeClock, days: int = 1) -> None:
    """Let days pass with background passes alone: a look every ten minutes."""
    for _ in range(days * 24 * 6):
        clock.tick(600)
        phone._worker.run_due()


# A newer server: more than we know


def test_members_that_results_have_more_are_ignored(enrolled: GreenTrip, server: FakeServer, clock: FakeClock):
    trip = ride(enrolled, clock)
    rules = [{"rule": "speed", "severity": "note", "en": "fast", "zh": "快", **MORE}, {"severity": "note"}, 5, None]
    server.plan(server.results(rules=rules, **MORE))
    assert enrolled.sync().settled == {State.ACCEPTED: 1}
    (rule,) = enrolled.trips()[0].rules
    assert (rule.id, rule.text("zh")) == ("speed", "快")
    assert enrolled.verify_receipt(trip.id)


def test_members_that_a_receipt_has_more_are_ignored(enrolled: GreenTrip, server: FakeServer, clock: FakeClock):
    def answer(request: httpx.Request) -> httpx.Response:
        response = server.serve(request)
        claims = dict(open_token(response.headers[RECEIPT_HEADER], lambda kid: server.online.public_key))
        response.headers[RECEIPT_HEADER] = sign(server.online, claims | MORE)
        return response

    server.plan(answer)
    trip = ride(enrolled, clock)
    assert enrolled.sync().settled == {State.ACCEPTED: 1}
    assert enrolled.verify_receipt(trip.id)


def test_members_that_a_key_list_has_more_are_ignored(enrolled: GreenTrip, server: FakeServer, clock: FakeClock):
    server.rotate()
    listed = dict(open_token(server.key_list(), lambda kid: server.voucher.public_key))
    keys = [{**key, **MORE} for key in listed["keys"]]
    later = sign(server.voucher, {**listed, "keys": keys, **MORE})
    server.plan(httpx.Response(200, text=later), path="/.well-known/greentrip-keys")
    trip = ride(enrolled, clock)
    assert enrolled.sync().settled == {State.ACCEPTED: 1}
    assert enrolled.verify_receipt(trip.id)


def test_members_that_a_problem_has_more_are_ignored(enrolled: GreenTrip, server: FakeServer, clock: FakeClock):
    ride(enrolled, clock)
    server.plan(problem(503, "unavailable_in_v2", detail="later", **MORE))
    report = enrolled.sync(ONCE_S)
    assert (report.stop, report.left, report.detail) == (Stop.WAIT, 1, "later")
    server.plan(problem(403, "consent_v3", **MORE), path="/v1/account")
    with pytest.raises(Refused) as refused:
        enrolled.account()
    assert refused.value.kind == "consent_v3"
    clock.tick(DAY_S)
    assert enrolled.sync().settled == {State.ACCEPTED: 1}


def test_members_that_other_answers_have_more_are_ignored(enrolled: GreenTrip, server: FakeServer, clock: FakeClock):
    ride(enrolled, clock)
    enrolled.sync()
    account, entries = enrolled.account(), enrolled.statement()
    server.accounts["account-1"].erase([enrolled.trips()[0].id], server.now)
    notices = enrolled.notices()

    def more(request: httpx.Request) -> httpx.Response:
        answer = json.loads(server.serve(request).content)
        fuller = {
            key: [{**item, **MORE} for item in value] if isinstance(value, list) else value
            for key, value in answer.items()
        }
        return server.json(request, {**fuller, **MORE})

    for path in ("/v1/account", "/v1/account/statement", "/v1/notices"):
        server.plan(more, path=path)
    server.plan(more, path="/v1/account")
    assert enrolled.account().id == account.id
    assert enrolled.statement()[: len(entries)] == entries
    assert enrolled.notices() == notices != []


@pytest.mark.parametrize("status", ["issued", "retry", "", "ACCEPTED", "local", "damaged", "set_aside", None, 7, ["x"]])
def test_an_unknown_status_leaves_a_record_pending(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock, status: object
):
    trip = ride(enrolled, clock)
    server.plan(server.results(status))
    report = enrolled.sync(ONCE_S)
    assert (report.stop, report.settled, report.left) == (Stop.WAIT, {}, 1)
    assert enrolled.receipt(trip.id) is None
    clock.tick(DAY_S)
    assert enrolled.sync().settled == {State.ACCEPTED: 1}
    assert len(set(server.posted)) == 1, "the very same bytes"


def test_a_status_that_stays_unknown_is_not_asked_for_again_and_again(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock
):
    """A server of next year and a phone that nobody updates: its records wait, and it is quiet about it."""
    for _ in range(20):
        ride(enrolled, clock, minutes=20)
    server.plan(*[server.results("issued")] * 1000)
    enrolled.sync(ONCE_S)
    _day(enrolled, clock)
    server.requests.clear()
    _day(enrolled, clock, days=7)
    assert 7 <= len(server.posted) <= 7 * 5, "at least daily, and at most every few hours"
    assert set(_states(enrolled)) == {State.PENDING}
    server.script.clear()
    _day(enrolled, clock, days=2)
    assert set(_states(enrolled)) == {State.ACCEPTED}


def test_a_record_of_which_a_result_says_nothing_does_not_stop_its_neighbours(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock
):
    for _ in range(5):
        ride(enrolled, clock)

    def one_missing(request: httpx.Request) -> httpx.Response:
        return server.lines(request, [server.result(line) for line in split_lines(request.content)[1:]])

    server.plan(one_missing)
    assert enrolled.sync(ONCE_S).settled == {State.ACCEPTED: 4}
    ride(enrolled, clock)
    assert enrolled.sync(ONCE_S).settled[State.ACCEPTED] >= 1
    clock.tick(DAY_S)
    enrolled.sync()
    assert set(_states(enrolled)) == {State.ACCEPTED}


# Results that contradict themselves, or are none


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"5",
        b"[]",
        b"null",
        b'"accepted"',
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"status": "accepted"}',
        b'{"status": "accepted", "sha256": 5}',
        b'{"status": "accepted", "sha256": "' + b"0" * 64 + b'"}',
        b'{"status": "accepted", "sha256": ["x"]}',
    ],
    ids=lambda line: line[:20].decode("latin-1") or "empty",
)
def test_a_line_that_is_no_result_settles_nothing(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock, line: bytes
):
    trip = ride(enrolled, clock)
    server.plan(lambda request: server.lines(request, [line]))
    report = enrolled.sync(ONCE_S)
    assert (report.settled, report.left) == ({}, 1)
    assert enrolled.receipt(trip.id) is None
    clock.tick(DAY_S)
    assert enrolled.sync().settled == {State.ACCEPTED: 1}


def test_the_same_record_twice_with_two_statuses_settles_nothing(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock
):
    ride(enrolled, clock)

    def both(request: httpx.Request) -> httpx.Response:
        (line,) = split_lines(request.content)
        return server.lines(request, [server.result(line), server.result(line, "rejected")])

    server.plan(both)
    assert enrolled.sync(ONCE_S).settled == {}
    clock.tick(DAY_S)
    assert enrolled.sync().settled == {State.ACCEPTED: 1}


def test_the_same_result_twice_settles_once(enrolled: GreenTrip, server: FakeServer, clock: FakeClock):
    ride(enrolled, clock)

    def twice(request: httpx.Request) -> httpx.Response:
        (line,) = split_lines(request.content)
        return server.lines(request, [server.result(line)] * 2)

    server.plan(twice)
    assert enrolled.sync().settled == {State.ACCEPTED: 1}
    assert enrolled.stats().exits == {State.ACCEPTED: 1}


@pytest.mark.parametrize("id", [None, 5, "another", ""])
def test_a_result_is_known_by_its_hash_and_not_by_its_id(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock, id: object
):
    trip = ride(enrolled, clock)

    def without_id(request: httpx.Request) -> httpx.Response:
        (line,) = split_lines(request.content)
        result = server.result(line) | {"id": id}
        return server.lines(request, [{key: value for key, value in result.items() if value is not None}])

    server.plan(without_id)
    assert enrolled.sync().settled == {State.ACCEPTED: 1}
    assert enrolled.verify_receipt(trip.id)


# Other answers that are none

WRONG_VALUES = (None, 5, True, "text", [], [5], [None], {}, {"next": 1}, {"account": "a"})
CALLS: dict[str, Callable[[GreenTrip], object]] = {
    "/v1/account": lambda phone: phone.account(),
    "/v1/account/statement": lambda phone: phone.statement(),
    "/v1/notices": lambda phone: phone.notices(),
}


@pytest.mark.parametrize("path", CALLS)
def test_an_answer_of_a_wrong_type_is_an_error_of_ours(enrolled: GreenTrip, server: FakeServer, path: str):
    """Signed by the server, and still not of this protocol: whoever calls gets a `ServerError`."""
    honest: list[dict[str, object]] = []

    def keep(request: httpx.Request) -> httpx.Response:
        answer = server.serve(request)
        honest.append(json.loads(answer.content))
        return answer

    server.plan(keep, path=path)
    CALLS[path](enrolled)
    whole = [json.dumps(value).encode() for value in WRONG_VALUES]
    members = [
        json.dumps({**honest[0], name: value}).encode()
        for name in honest[0]
        for value in (None, 5, True, "text", ["text"], [{}], {"x": {}}, [{"number": "1"}])
    ]
    for body in (*whole, *members, b"", b"no json", b"[" * 100_000):
        server.plan(lambda request, body=body: server.sign(request, httpx.Response(200, content=body)), path=path)
        server.plan(*[server.serve] * 3, path=path)  # the next pages
        with suppress(ServerError):
            CALLS[path](enrolled)
        server.script.clear()


@pytest.mark.parametrize("value", [None, 5, [], {}], ids=str)
def test_an_enrolment_of_a_wrong_type_is_none(phone: GreenTrip, server: FakeServer, value: object):
    server.plan(httpx.Response(201, json={"enrolment": value}), path="/v1/enrolments")
    with pytest.raises(Unreachable, match="enrolment"):
        phone.request_code("13800000000")
    phone.request_code("13800000000")
    server.plan(lambda request: _registered(server, request, value), path="/v1/devices")
    with pytest.raises(Unreachable, match="account"):
        phone.enrol("123456", {"location": "1", "sync": "1"})
    assert phone.account_id is None
    assert phone.enrol("123456", {"location": "1", "sync": "1"}) == "account-1"


def _registered(server: FakeServer, request: httpx.Request, account: object) -> httpx.Response:
    server.serve(request)
    return server.json(request, {"account": account}, 201)


@pytest.mark.parametrize("path", ["/v1/notices", "/v1/sync-state", "/v1/trip-erasures"])
@pytest.mark.parametrize("value", [None, 5, "text", [], {}, {"months": 5}, {"months": {"2026-03": 5}}], ids=str)
def test_an_errand_that_is_answered_with_something_else_stops_no_record(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock, path: str, value: object
):
    erased = ride(enrolled, clock)
    enrolled.sync()
    enrolled.erase_trip(erased.id)
    server.plan(*[lambda request: server.json(request, value)] * 2000, path=path)
    assert enrolled.repair(ONCE_S).stop is not Stop.FAULT
    for _ in range(3):
        ride(enrolled, clock)
        _day(enrolled, clock)
    assert _states(enrolled) == [State.ACCEPTED] * 3
    server.script.clear()
    _day(enrolled, clock, days=2)
    assert server.records[erased.id].status is State.ERASED


# An older server: less than we know


def test_what_a_server_does_not_support_is_asked_for_daily_until_it_has_learnt(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock
):
    trips = [ride(enrolled, clock) for _ in range(3)]
    server.plan(*[server.results("unsupported")] * 1000)
    assert enrolled.sync().settled == {State.UNSUPPORTED: 3}
    server.requests.clear()
    _day(enrolled, clock, days=10)
    assert 9 <= len(server.posted) <= 11, "once a day, all in one call"
    assert enrolled.stats().exits == {}
    server.script.clear()
    _day(enrolled, clock, days=2)
    assert set(_states(enrolled)) == {State.ACCEPTED}
    assert {trip.record for trip in trips} == {trip.line for trip in server.records.values()}


@pytest.mark.parametrize("path", ["/v1/notices", "/v1/sync-state", "/v1/trip-erasures"])
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_fails_at_an_errand_alone_still_gets_records(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock, path: str, status: int
):
    erased = ride(enrolled, clock)
    enrolled.sync()
    enrolled.erase_trip(erased.id)
    server.plan(*[problem(status)] * 2000, path=path)
    enrolled.repair(ONCE_S)
    ride(enrolled, clock)
    _day(enrolled, clock, days=2)
    assert _states(enrolled) == [State.ACCEPTED]
    server.script.clear()
    _day(enrolled, clock, days=2)
    assert server.records[erased.id].status is State.ERASED


def test_a_server_without_the_newer_calls_still_gets_records(enrolled: GreenTrip, server: FakeServer, clock: FakeClock):
    """An errand that a server does not know is put off; records go on."""
    for path in ("/v1/notices", "/v1/sync-state", "/v1/trip-erasures"):
        server.plan(*[problem(404, "not_found")] * 1000, path=path)
    erased = ride(enrolled, clock)
    enrolled.sync()
    enrolled.erase_trip(erased.id)
    for _ in range(3):
        ride(enrolled, clock)
        assert enrolled.sync().settled == {State.ACCEPTED: 1}
    server.requests.clear()
    _day(enrolled, clock, days=3)
    assert len(server.requests) <= 4 * 3 * 2, "each is asked for about once a day"
    server.script.clear()
    _day(enrolled, clock, days=2)
    assert server.records[erased.id].status is State.ERASED


# A server that was rolled back


def test_what_was_accepted_is_not_sent_to_a_server_that_no_longer_understands_it(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock
):
    ride(enrolled, clock)
    enrolled.sync()
    server.requests.clear()
    server.plan(*[server.results("unsupported")] * 1000)
    _day(enrolled, clock, days=3)
    assert enrolled.sync().settled == {}
    assert server.posted == []
    assert _states(enrolled) == [State.ACCEPTED]


@pytest.mark.parametrize("status", ["accepted", "rejected", "conflict", "erased"])
def test_a_final_result_never_comes_back(enrolled: GreenTrip, server: FakeServer, clock: FakeClock, status: str):
    """A later answer that names an old record too, with another status, is not about what was sent."""
    old = ride(enrolled, clock)
    server.plan(server.results(status))
    enrolled.sync()

    def about_the_old_one_too(request: httpx.Request) -> httpx.Response:
        lines = [*split_lines(request.content), old.record or b""]
        return server.lines(request, [server.result(line, "unsupported") for line in lines])

    new = ride(enrolled, clock)
    server.plan(about_the_old_one_too)
    enrolled.sync()
    states = {trip.id: trip.state for trip in enrolled.trips()}
    assert states == {old.id: State(status), new.id: State.UNSUPPORTED}


def test_a_record_under_way_when_the_server_is_rolled_back_waits(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock
):
    """Accepted, the answer lost, and then a server that does not understand it: it waits until the server is new."""
    trip = ride(enrolled, clock)
    server.plan(server.lose_answer, server.results("unsupported"))
    enrolled.sync(timeout=60)
    assert _states(enrolled) == [State.UNSUPPORTED]
    _day(enrolled, clock, days=2)
    assert _states(enrolled) == [State.ACCEPTED]
    assert server.balance_mg == trip.reduction_mg, "once"


# A server that was restored from a backup


def _enrol(phone: GreenTrip) -> GreenTrip:
    phone.request_code("13800000000")
    phone.enrol("123456", {"location": "2026-03", "sync": "2026-03"})
    return phone


def test_what_a_restored_server_lost_is_sent_again_also_a_whole_month(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock
):
    before = server.backup()
    trips = [ride(enrolled, clock) for _ in range(3)]
    enrolled.sync()
    server.restore(before)
    assert server.records == {}
    assert enrolled.repair().stop is Stop.DONE
    assert {trip.record for trip in trips} == {trip.line for trip in server.records.values()}
    assert server.balance_mg == sum(trip.reduction_mg for trip in trips)


def test_a_backup_of_the_very_state_that_was_compared_last_hides_nothing(
    open_phone: OpenPhone, enrolled: GreenTrip, server: FakeServer, clock: FakeClock, tmp_path: Path
):
    """Of two phones with one account neither has all; what differs for good must not hide what is lost."""
    other = _enrol(open_phone(tmp_path / "other"))
    for phone in (enrolled, other):
        ride(phone, clock)
        phone.sync()
    enrolled.repair()
    before = server.backup()
    lost = ride(enrolled, clock)
    enrolled.sync()
    server.restore(before)
    assert lost.id not in server.records
    enrolled.repair()
    assert lost.id in server.records
    assert len(server.records) == 3


def test_two_phones_of_one_account_do_not_compare_id_by_id_every_week(
    open_phone: OpenPhone, enrolled: GreenTrip, server: FakeServer, clock: FakeClock, tmp_path: Path
):
    other = _enrol(open_phone(tmp_path / "other"))
    for phone in (enrolled, other):
        ride(phone, clock)
        phone.sync()
    enrolled.repair()
    server.requests.clear()
    enrolled.repair()
    paths = [(request.method, request.url.path) for request in server.requests]
    assert ("GET", "/v1/sync-state") in paths
    assert ("POST", "/v1/sync-state") not in paths


# A record of years ago

OLD_RECORD = (
    b'{"commitment":"3d2f152ec0c00802f6cd634fe48380cb6b348fe7d88b67682f806f8f87ddb86b","day":"2026-03-05",'
    b'"features":[{"fixes":2,"leg":0,"median_kmh":14,"moving_kmh":14,"p85_kmh":16,"p95_kmh":18,"stopped_percent":0}],'
    b'"flags":[],"id":"913804bb-e75c-495c-bbf4-1b6cdc73dde3","legs":[{"distance_m":3300,"duration_min":15,'
    b'"method":"track","mode":"cycle"},{"distance_m":34960,"duration_min":70,"method":"rail","mode":"rail",'
    b'"route":"named"}],"methodology":"db11t-3043-2024@86c88764306516fd","province":11,"reduction_mg":2831610,'
    b'"slot":15,"v":1}'
)
OLD_SHA256 = "364907b2fae0fcfd6482951b46eaf225d296444dcb4fee8e3b180da6fbf0c5e7"
"""The example of docs/reference/record.md."""
OLD_LEG = {
    "mode": "rail",
    "start": "虎坊桥",
    "end": "东夏园",
    "minutes": 70,
    "metres": 34_958,
    "low_m": 34_958,
    "high_m": 34_958,
    "counted_m": 34_960,
    "method": "rail",
    "route": "named",
    "changes": ["双井", "呼家楼"],
    "gap": False,
    "ug": 2_517_120_000,
    "reasons": ["earns"],
}
"""As the first version kept a leg for showing."""


def _first_version(path: Path) -> None:
    """Put the first version's file, with one record that waits, in the place of a store; the account stays."""
    with closing(sqlite3.connect(path)) as db:
        meta = db.execute("SELECT name, value FROM meta WHERE name IN ('account', 'key_list')").fetchall()
    for end in ("", "-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as db, db:
        db.executescript(MIGRATIONS[0][1])
        db.execute("PRAGMA user_version = 1")
        db.executemany("INSERT INTO meta VALUES (?, ?)", meta)
        summary = {"started_at": 1_772_666_000.0, "ended_at": 1_772_670_200.0, "reduction_mg": 2_831_610}
        trip = json.loads(OLD_RECORD)["id"]
        db.execute(
            "INSERT INTO trip VALUES (?, ?, ?, ?, ?)",
            (trip, 1_772_670_200_000, json.dumps(summary | {"legs": [OLD_LEG]}), b"s" * 48, b""),
        )
        db.execute(
            "INSERT INTO queue (id, line, sha256, state) VALUES (?, ?, ?, 'pending')", (trip, OLD_RECORD, OLD_SHA256)
        )
        db.execute("INSERT INTO tally VALUES ('recorded', 1)")


def test_a_record_of_the_first_version_is_sent_as_it_was_years_later(
    open_phone: OpenPhone, enrolled: GreenTrip, server: FakeServer, clock: FakeClock, tmp_path: Path
):
    assert sha256_hex(OLD_RECORD) == OLD_SHA256
    enrolled.close()
    (path,) = (tmp_path / "phone").glob("*.sqlite3")
    _first_version(path)
    clock.tick(5 * 365 * DAY_S)
    phone = open_phone()
    assert phone.stats().waiting == 1
    assert phone.sync().settled == {State.ACCEPTED: 1}
    assert server.posted == [OLD_RECORD + b"\n"]
    (trip,) = phone.trips()
    assert (trip.record, trip.day, trip.official_mg) == (OLD_RECORD, "2026-03-05", 2_831_610)
    assert phone.verify_receipt(trip.id)


def test_what_an_older_app_recorded_is_never_written_anew(
    open_phone: OpenPhone, enrolled: GreenTrip, server: FakeServer, clock: FakeClock, tmp_path: Path
):
    """Held for years by one server after the other, and every time the same bytes."""
    enrolled.close()
    (path,) = (tmp_path / "phone").glob("*.sqlite3")
    _first_version(path)
    phone = open_phone()
    server.judge = lambda record: State.HELD
    for answer in (server.results("unsupported"), server.serve, server.results("unsupported"), server.serve):
        server.plan(answer)
        phone.sync()
        clock.tick(200 * DAY_S)
    assert _states(phone) == [State.HELD]
    server.decide(phone.trips()[0].id, State.ACCEPTED)
    assert phone.sync().settled == {State.ACCEPTED: 1}
    assert len(server.posted) >= 5
    assert set(server.posted) == {OLD_RECORD + b"\n"}
