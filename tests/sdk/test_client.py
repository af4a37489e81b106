"""GreenTrip as an app holds it: opening, the account, views and closing."""

import json
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from greentrip import (
    Account,
    BadFile,
    Closed,
    Entry,
    GreenTrip,
    InvalidInput,
    Network,
    NotEnrolled,
    Point,
    Refused,
    State,
    Stop,
    StorageError,
    Unproven,
    Unreachable,
    Untrusted,
    needs,
)
from greentrip.testing import FakeClock, FakeServer, problem
from greentrip.trip import Mode
from greentrip.wire import base64url_decode
from support.refusals import refused
from support.trips import FAR_END, HOME, ride, walk

OpenPhone = Callable[..., GreenTrip]
CONSENTS = {"location": "2026-03", "sync": "2026-03"}


def _answering(handler: Callable[[httpx.Request], httpx.Response]) -> httpx.MockTransport:
    return httpx.MockTransport(handler)


# Opening


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://greentrip.example", "must use https"),
        ("http://192.168.1.5:8000", "must use https"),
        ("ftp://greentrip.example", "look like https"),
        ("greentrip.example", "look like https"),
        ("https://", "look like https"),
        ("", "look like https"),
        ("https://user:secret@greentrip.example", "host and path only"),
        ("https://greentrip.example/?key=1", "host and path only"),
        ("https://greentrip.example/#top", "host and path only"),
        ("https://greentrip.example:port", "not a URL"),
        ("https://[::1", "not a URL"),
    ],
)
def test_a_server_that_cannot_be_is_refused_before_anything_is_written(
    open_phone: OpenPhone, tmp_path: Path, url: str, says: str
):
    with refused(InvalidInput, "server", says):
        open_phone(server=url)
    assert not (tmp_path / "phone").exists()


@pytest.mark.parametrize("url", ["http://localhost:8080", "http://127.0.0.1", "http://[::1]:1/x", "https://x.cn/a/"])
def test_https_anywhere_and_http_on_this_machine(open_phone: OpenPhone, url: str):
    assert open_phone(server=url).trips() == []


@pytest.mark.parametrize("key", ["", "short", "A" * 42, "A" * 44, "*" * 43, "é" * 43, "A" * 42 + "B"])
def test_a_root_key_that_cannot_be_is_refused(open_phone: OpenPhone, tmp_path: Path, key: str):
    with refused(InvalidInput, "root_key", "43 characters"):
        open_phone(root_key=key)
    assert not (tmp_path / "phone").exists()


def test_opening_needs_no_network(open_phone: OpenPhone, clock: FakeClock):
    def nobody(request: httpx.Request) -> httpx.Response:
        raise AssertionError("nothing may be sent")

    phone = open_phone(transport=_answering(nobody))
    assert ride(phone, clock).reduction_mg == 2_517_120
    assert phone.sync().stop is Stop.NOT_ENROLLED


def test_a_broken_network_file_names_file_and_line(tmp_path: Path):
    (tmp_path / "stations.csv").write_text("line,order,name,lat_wgs84,lon_wgs84\nM1,1,A,91,116\n")
    (tmp_path / "edges.csv").write_text("line,from,to,track_m\n")
    with refused(BadFile) as caught:
        Network.from_csv(tmp_path)
    assert (caught.value.path, caught.value.line) == (tmp_path / "stations.csv", 2)


# The account


def test_enrolling_keeps_a_key_that_only_the_owner_can_read(phone: GreenTrip, server: FakeServer, tmp_path: Path):
    assert phone.account_id is None
    phone.request_code("13800000000")
    assert phone.enrol("123456", CONSENTS) == "account-1"
    assert phone.account_id == "account-1"
    (key,) = (tmp_path / "phone").rglob("*.key")
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    assert len(key.read_bytes()) == 32
    request = server.requests[-2]
    assert json.loads(request.content)["consents"] == CONSENTS
    assert key.read_bytes() not in request.content


def test_a_code_must_be_requested_first(phone: GreenTrip):
    with refused(InvalidInput, "code", "request_code"):
        phone.enrol("123456", CONSENTS)
    with refused(NotEnrolled):
        phone.account()
    with refused(NotEnrolled):
        phone.statement()


def test_an_answer_lost_while_enrolling_finds_the_same_key_again(
    open_phone: OpenPhone, server: FakeServer, clock: FakeClock
):
    keys: list[bytes] = []

    def lose_once(request: httpx.Request) -> httpx.Response:
        answer = server.transport.handler(request)
        if request.url.path == "/v1/devices":
            keys.append(base64url_decode(json.loads(request.content)["public_key"]))
            if len(keys) == 1:
                raise httpx.ReadError("lost")
        return answer

    phone = open_phone(transport=_answering(lose_once))
    phone.request_code("13800000000")
    with refused(Unreachable, says="nothing is lost"):
        phone.enrol("123456", CONSENTS)
    assert phone.account_id is None
    phone.close(timeout=0)
    again = open_phone(transport=_answering(lose_once))
    assert again.enrol("123456", CONSENTS) == "account-1"
    assert keys[0] == keys[1]


def test_the_account_is_found_again_and_never_changed(open_phone: OpenPhone, enrolled: GreenTrip, server: FakeServer):
    enrolled.close(timeout=0)
    again = open_phone()
    assert again.account_id == "account-1"
    server.plan(lambda request: server.json(request, {"account": "account-2"}), path="/v1/devices")
    with refused(Untrusted, says="another account"):
        again.enrol("123456", CONSENTS)
    assert again.account_id == "account-1"


def test_a_no_of_the_server_is_passed_on_in_both_languages(open_phone: OpenPhone):
    answer = problem(422, "phone-number", detail="not a phone number", detail_zh="手机号不正确")
    phone = open_phone(transport=_answering(lambda _: answer))
    with refused(Refused, says="not a phone number") as caught:
        phone.request_code("5")
    assert (caught.value.status, caught.value.kind) == (422, "phone-number")
    assert caught.value.message("zh") == "手机号不正确"
    assert caught.value.problem["status"] == 422


def test_a_no_without_chinese_words_still_has_some(open_phone: OpenPhone):
    phone = open_phone(transport=_answering(lambda _: problem(403, "closed")))
    with refused(Refused, says="closed"):
        phone.request_code("13800000000")


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, content=b"<html>"),
        httpx.Response(200, content=b"[]"),
        httpx.Response(200, content=b"{}"),
        httpx.Response(200, content=b"[" * 100_000),
        httpx.Response(204),
        httpx.Response(302, headers={"Location": "https://portal.example"}),
        httpx.Response(404, content=b"<html>"),
        problem(503),
    ],
    ids=lambda answer: f"{answer.status_code} {answer.content[:6]!r}",
)
def test_what_is_not_this_servers_answer_is_unreachable(open_phone: OpenPhone, answer: httpx.Response):
    phone = open_phone(transport=_answering(lambda _: answer))
    with refused(Unreachable):
        phone.request_code("13800000000")


def test_the_account_says_what_counts_and_what_waits(enrolled: GreenTrip, clock: FakeClock):
    ride(enrolled, clock)
    enrolled.sync()
    for _ in range(2):
        ride(enrolled, clock)
    counts = {"accepted": 1, "held": 0, "rejected": 0, "erased": 0}
    assert enrolled.account() == Account("account-1", 2_517_120, counts, 2, 5_034_240)


def test_the_statement_is_read_to_its_last_page(enrolled: GreenTrip, clock: FakeClock, server: FakeServer):
    trips = [ride(enrolled, clock) for _ in range(3)]
    enrolled.sync()
    server.page_rows_max = 2
    at = f"{server.now:%Y-%m-%dT%H}:00:00Z"
    assert enrolled.statement() == [
        Entry(at, "trip", trip.id, 2_517_120, number * 2_517_120) for number, trip in enumerate(trips, start=1)
    ]


@pytest.mark.parametrize("call", ["account", "statement"])
def test_an_answer_without_a_receipt_or_its_fields_is_not_believed(enrolled: GreenTrip, server: FakeServer, call: str):
    path = {"account": "/v1/account", "statement": "/v1/account/statement"}[call]
    server.plan(lambda request: server.json(request, {"colour": "green"}), path=path)
    with refused(Unreachable, says="the answer has no"):
        getattr(enrolled, call)()
    server.plan(httpx.Response(200, json={"colour": "green"}), path=path)
    with refused(Untrusted, says="no receipt"):
        getattr(enrolled, call)()


@pytest.mark.parametrize(
    ("asks", "waits_s", "part"), [("account", 1, "iat"), ("account", 30 * 86_400, "iat"), ("statement", 0, "htu")]
)
def test_a_replayed_answer_is_not_believed(
    open_phone: OpenPhone, enrolled: GreenTrip, server: FakeServer, clock: FakeClock, asks: str, waits_s: int, part: str
):
    """Every reading has the same empty body: an old answer, or that to another reading, must not pass for this one."""
    kept: list[httpx.Response] = []
    real = server.json
    server.json = lambda request, value: kept.append(real(request, value)) or kept[0]
    server.ahead_s = 60  # what the replay would teach, were it believed
    enrolled.account()
    server.ahead_s = 0
    enrolled._store.put("clock_offset_s", "0")
    clock.tick(waits_s)
    with refused(Untrusted, says=f"{part} does not fit"):
        getattr(enrolled, asks)()
    assert enrolled._store.get("clock_offset_s") == "0"
    server.json = real
    getattr(enrolled, asks)()


# Receipts


def test_a_kept_receipt_proves_a_trip_without_a_network(
    open_phone: OpenPhone, enrolled: GreenTrip, clock: FakeClock, server: FakeServer
):
    trip = ride(enrolled, clock)
    with refused(Unproven, says="no receipt"):
        enrolled.verify_receipt(trip.id)
    with refused(Unproven, says="no receipt"):
        enrolled.verify_receipt("nobody")
    enrolled.sync()
    enrolled.close(timeout=0)

    def nobody(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("offline")

    offline = open_phone(transport=_answering(nobody))
    assert offline.verify_receipt(trip.id) == server.now


@pytest.mark.parametrize(
    ("column", "table"), [("line", "queue"), ("result_line", "queue"), ("jws", "receipt"), ("answer_lines", "receipt")]
)
def test_a_receipt_that_was_changed_proves_nothing(enrolled: GreenTrip, clock: FakeClock, column: str, table: str):
    trips = [ride(enrolled, clock) for _ in range(2)]
    enrolled.sync()
    db = enrolled._store._durable
    (value,) = db.execute(f"SELECT {column} FROM {table} ORDER BY rowid LIMIT 1").fetchone()  # noqa: S608
    spoilt = value[:-2] + b"!}" if isinstance(value, bytes) else value.replace("a", "b").replace("1", "2")
    db.execute(f"UPDATE {table} SET {column} = ?", (spoilt,))  # noqa: S608
    with refused(Unproven):
        enrolled.verify_receipt(trips[0].id)


# Views


def test_trips_are_shown_newest_first_and_alike_after_reopening(
    open_phone: OpenPhone, phone: GreenTrip, clock: FakeClock
):
    trips = [ride(phone, clock) for _ in range(3)]
    assert phone.trips() == trips[::-1]
    phone.close(timeout=0)
    assert open_phone().trips() == trips[::-1]


def test_places_are_shown_as_words(phone: GreenTrip, clock: FakeClock):
    phone.start("walk", Point(39.900001, 116.4))
    end = walk(phone, clock, 300)
    (leg,) = phone.finish(end).legs
    assert leg.start == "39.90000, 116.40000"
    assert leg.end.startswith("39.90270")


def test_a_trips_day_is_taken_at_utc_plus_8(phone: GreenTrip, clock: FakeClock):
    clock.tick(15.5 * 3600)  # 23:30 in China
    assert ride(phone, clock).day == "2026-03-05"
    assert ride(phone, clock).day == "2026-03-06"


def test_stats_count_what_happened(enrolled: GreenTrip, clock: FakeClock):
    ride(enrolled, clock)
    enrolled.start("bus", HOME)
    enrolled.cancel()
    stats = enrolled.stats()
    assert (stats.recorded, stats.local, stats.cancelled, stats.waiting) == (1, 0, 1, 1)
    assert (stats.states, stats.exits, stats.rules) == ({State.PENDING: 1}, {}, {})
    assert enrolled.receipt(enrolled.trips()[0].id) is None
    assert enrolled.receipt("nobody") is None


def test_every_mode_says_what_it_needs_before_it_starts():
    for mode in Mode:
        assert needs(mode).isascii()
        assert not needs(mode, "zh").isascii()


# Closing


def test_a_closed_phone_says_so_at_every_call(phone: GreenTrip):
    phone.close()
    calls: list[Callable[[], object]] = [
        lambda: phone.start("walk", HOME),
        lambda: phone.switch("walk", HOME),
        lambda: phone.fix(HOME),
        lambda: phone.finish(HOME),
        lambda: phone.request_code("5"),
        lambda: phone.enrol("5", {}),
        lambda: phone.receipt("x"),
        lambda: phone.active,
        lambda: phone.account_id,
        phone.resume,
        phone.cancel,
        phone.trips,
        phone.stats,
        phone.sync,
        phone.account,
        phone.statement,
        phone.close,
        lambda: phone.close(timeout=0),
    ]
    for call in calls:
        with refused(Closed):
            call()


def test_closing_sends_what_it_can_and_says_what_is_left(enrolled: GreenTrip, clock: FakeClock, server: FakeServer):
    ride(enrolled, clock)
    report = enrolled.close()
    assert (report.settled, report.left) == ({State.ACCEPTED: 1}, 0)


def test_closing_in_no_time_sends_nothing(enrolled: GreenTrip, clock: FakeClock, server: FakeServer):
    ride(enrolled, clock)
    assert enrolled.close(timeout=0).left == 1
    assert server.requests == []


def test_a_with_block_lets_go_of_the_file_and_keeps_the_trip(
    open_phone: OpenPhone, clock: FakeClock, server: FakeServer
):
    with open_phone() as phone:
        phone.start("rail", "虎坊桥")
        clock.tick(60)
    assert server.requests == []
    with open_phone() as phone:
        assert phone.finish(FAR_END).reduction_mg == 2_517_120
        phone.close(timeout=0)  # closing inside the block is fine
    with pytest.raises(StorageError):
        phone._store.events()


# Threads


def test_fixes_come_from_many_threads(phone: GreenTrip, clock: FakeClock):
    phone.start("walk", HOME)
    errors: list[BaseException] = []

    def feed() -> None:
        try:
            for _ in range(50):
                phone.fix(HOME, accuracy_m=5)
                assert phone.active is not None
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=feed) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    active = phone.active
    assert active is not None
    assert active.fixes == 300


def test_trips_are_recorded_while_another_thread_syncs(enrolled: GreenTrip, clock: FakeClock, server: FakeServer):
    reports = []
    stop = threading.Event()

    def keep_syncing() -> None:
        while not stop.is_set():
            reports.append(enrolled.sync(timeout=0.2))

    thread = threading.Thread(target=keep_syncing)
    thread.start()
    for _ in range(20):
        ride(enrolled, clock, minutes=0.01)
    stop.set()
    thread.join()
    clock.tick(600)
    reports.append(enrolled.sync())
    assert enrolled.stats().states == {State.ACCEPTED: 20}
    assert sum(report.settled.get(State.ACCEPTED, 0) for report in reports) == 20
