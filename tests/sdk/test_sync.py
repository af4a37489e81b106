"""Sending: exact bytes, settled one by one by the server's signed results and by nothing else; sync() never raises."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from greentrip import GreenTrip, NotEnrolled, State, Stop, SyncReport
from greentrip.signing import signer_of
from greentrip.testing import FakeClock, FakeServer, problem
from greentrip.trust import open_request
from greentrip.wire import ANSWER_BYTES_MAX, NDJSON, RECEIPT_HEADER, SIGNATURE_HEADER, sha256_hex, split_lines
from support.trips import ride

OpenPhone = Callable[..., GreenTrip]
ONCE_S = 0.5
"""Shorter than the first back-off (dice are 1.0): one attempt and no more."""
HOUR_S = 3600
STRANGER = signer_of(b"\x66" * 32)


@pytest.fixture
def loaded(enrolled: GreenTrip, clock: FakeClock) -> GreenTrip:
    """A phone with an account and two trips to send."""
    for _ in range(2):
        ride(enrolled, clock)
    return enrolled


def _states(phone: GreenTrip) -> list[State]:
    return [trip.state for trip in phone.trips()]


def _nothing_happened(phone: GreenTrip, report: SyncReport, stop: Stop) -> None:
    """No record settled, none was lost, and the report says so in two languages."""
    assert report.stop is stop
    assert report.settled == {}
    assert report.left == 2
    assert report.message("en") != report.message("zh-CN")
    assert _states(phone) == [State.PENDING] * 2
    assert phone.stats().exits == {}
    assert all(phone.receipt(trip.id) is None for trip in phone.trips())


def _drains(phone: GreenTrip, server: FakeServer, clock: FakeClock) -> None:
    """Once the fault is over, the same bytes go out and settle."""
    clock.tick(25 * HOUR_S)
    sent = len(server.posted)
    waiting = {trip.record for trip in phone.trips() if trip.state is not State.ACCEPTED}
    report = phone.sync()
    assert report.stop is Stop.DONE
    assert report.left == 0
    assert set(_states(phone)) == {State.ACCEPTED}
    before, after = (
        {line for body in part for line in split_lines(body)} for part in (server.posted[:sent], server.posted[sent:])
    )
    assert waiting == after <= before, "retries send the very same bytes, and only what has not settled"


# The good way


def test_trips_are_sent_as_they_are_and_settle(loaded: GreenTrip, server: FakeServer):
    trips = loaded.trips()
    report = loaded.sync()
    assert report == SyncReport({State.ACCEPTED: 2}, 0, Stop.DONE, "", 1)
    (body,) = server.posted
    assert set(split_lines(body)) == {trip.record for trip in trips}
    assert body.endswith(b"\n")
    assert _states(loaded) == [State.ACCEPTED] * 2
    assert [trip.official_mg for trip in loaded.trips()] == [2_517_120] * 2
    assert loaded.stats().exits == {"accepted": 2}
    assert loaded.stats().waiting == 0


def test_records_go_out_oldest_first_and_only_once(enrolled: GreenTrip, clock: FakeClock, server: FakeServer):
    trips = [ride(enrolled, clock) for _ in range(3)]
    enrolled.sync()
    assert split_lines(server.posted[0]) == [trip.record for trip in trips]
    again = enrolled.sync()
    assert (again.stop, again.requests, len(server.posted)) == (Stop.DONE, 0, 1)


def test_a_request_shows_nothing_of_the_phone(loaded: GreenTrip, server: FakeServer):
    loaded.sync()
    request = next(r for r in server.requests if r.url.path == "/v1/trips")
    assert request.headers["user-agent"] == "greentrip"
    assert request.headers["content-type"] == NDJSON
    assert "cookie" not in request.headers
    assert set(request.headers) <= {
        "host", "accept", "accept-encoding", "connection", "user-agent", "content-length", "content-type",
        SIGNATURE_HEADER.lower(),
    }  # fmt: skip


def test_a_cookie_never_comes_back(loaded: GreenTrip, server: FakeServer, clock: FakeClock):
    server.plan(problem(503, headers={"Set-Cookie": "mark=phone-7; Max-Age=99999"}))
    loaded.sync(ONCE_S)
    _drains(loaded, server, clock)
    assert all("cookie" not in request.headers for request in server.requests)


def test_a_big_queue_goes_in_batches(enrolled: GreenTrip, clock: FakeClock, server: FakeServer):
    from greentrip import sync

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sync, "BATCH_LINES_MAX", 2)
        for _ in range(5):
            ride(enrolled, clock)
        report = enrolled.sync()
    assert [len(split_lines(body)) for body in server.posted] == [2, 2, 1]
    assert (report.settled, report.requests) == ({State.ACCEPTED: 5}, 3)


def test_a_receipt_proves_a_result_offline(loaded: GreenTrip, server: FakeServer):
    loaded.sync()
    for trip in loaded.trips():
        kept = loaded.receipt(trip.id)
        assert kept is not None
        line, receipt = kept
        assert json.loads(line)["sha256"] == sha256_hex(trip.record or b"")
        assert sha256_hex(line) in receipt.answer_lines
        assert sha256_hex(trip.record or b"") in receipt.request_lines
        assert receipt.at == server.now.isoformat()


# Results one by one


@pytest.mark.parametrize("status", ["accepted", "rejected", "conflict", "erased", "held", "unsupported"])
def test_every_status_is_kept_with_the_reasons(loaded: GreenTrip, server: FakeServer, status: str):
    rule = {"rule": "speed", "severity": "soft", "en": "too fast", "zh": "速度过快"}
    server.plan(server.results(status, rules=[rule, "not a rule"], official_mg=7))
    report = loaded.sync()
    assert (report.stop, report.settled) == (Stop.DONE, {State(status): 2})
    assert _states(loaded) == [State(status)] * 2
    trip = loaded.trips()[0]
    assert trip.official_mg == 7
    assert [(r.id, r.text("en"), r.text("zh")) for r in trip.rules] == [("speed", "too fast", "速度过快")]
    assert loaded.stats().states == {State(status): 2}
    assert loaded.stats().exits == ({} if status in ("held", "unsupported") else {status: 2})
    assert loaded.stats().rules == {"speed": 2}
    assert trip.record is not None, "settled bytes stay on the phone"


@pytest.mark.parametrize("status", ["rejected", "conflict", "accepted"])
def test_what_is_final_is_never_sent_again(loaded: GreenTrip, server: FakeServer, clock: FakeClock, status: str):
    # What is accepted must also be there, or the phone finds that the server has lost it, and brings it again.
    server.plan(server.serve if status == "accepted" else server.results(status))
    loaded.sync()
    clock.tick(400 * 24 * HOUR_S)
    loaded.sync()
    assert len(server.posted) == 1


@pytest.mark.parametrize("status", ["held", "unsupported"])
def test_what_is_not_final_is_asked_again_daily(loaded: GreenTrip, server: FakeServer, clock: FakeClock, status: str):
    server.plan(server.results(status))
    loaded.sync()
    clock.tick(23 * HOUR_S)
    assert loaded.sync().requests == 0
    clock.tick(2 * HOUR_S)
    server.plan(server.results(status, duplicate=True))
    assert loaded.sync().settled == {State(status): 2}
    _drains(loaded, server, clock)
    assert len(set(server.posted)) == 1


@pytest.mark.parametrize(
    ("held_until", "asked_after_h"),
    [("2026-03-06", 15), ("2027-01-01", 24), ("2020-01-01", 24), ("soon", 24), (5, 24), (None, 24)],
)
def test_a_held_record_is_asked_again_on_its_day(
    enrolled: GreenTrip, server: FakeServer, clock: FakeClock, held_until: object, asked_after_h: int
):
    """2026-03-06 begins in China 15 hours after 2026-03-05T01:00Z."""
    ride(enrolled, clock)
    server.plan(server.results("held", held_until=held_until))
    enrolled.sync()
    clock.tick((asked_after_h - 1) * HOUR_S + (0 if asked_after_h > 1 else 30))
    assert enrolled.sync().requests == 0
    clock.tick(HOUR_S)
    assert enrolled.sync().requests == 1


@pytest.mark.parametrize(
    "status", ["retry", "accepted!", "ACCEPTED", "", "pending", "leased", "local", "set_aside", None, 5]
)
def test_an_unknown_status_leaves_a_record_pending(
    loaded: GreenTrip, server: FakeServer, clock: FakeClock, status: object
):
    server.plan(server.results(status))
    _nothing_happened(loaded, loaded.sync(ONCE_S), Stop.WAIT)
    _drains(loaded, server, clock)


def test_one_of_each_settles_each_as_it_is(enrolled: GreenTrip, server: FakeServer, clock: FakeClock):
    trips = [ride(enrolled, clock) for _ in range(6)]
    statuses = ["accepted", "rejected", "conflict", "held", "unsupported", "retry"]
    server.plan(
        lambda request: server.lines(
            request, [server.result(line, s) for line, s in zip(split_lines(request.content), statuses, strict=True)]
        )
    )
    report = enrolled.sync(ONCE_S)
    assert report.settled == {State(status): 1 for status in statuses[:5]}
    assert report.left == 1
    found = {trip.id: trip.state for trip in enrolled.trips()}
    assert [found[trip.id] for trip in trips] == [State(s) if s != "retry" else State.PENDING for s in statuses]
    assert enrolled.stats().exits == dict.fromkeys(statuses[:3], 1), "held and unsupported are not final"
    clock.tick(60)
    enrolled.sync(ONCE_S)
    assert split_lines(server.posted[-1]) == [trips[-1].record], "only the missing one is sent again"


def test_a_missing_result_leaves_its_record_pending(loaded: GreenTrip, server: FakeServer, clock: FakeClock):
    server.plan(lambda request: server.lines(request, [server.result(split_lines(request.content)[0])]))
    report = loaded.sync(ONCE_S)
    assert (report.settled, report.left, report.stop) == ({State.ACCEPTED: 1}, 1, Stop.WAIT)
    assert sorted(_states(loaded)) == [State.ACCEPTED, State.PENDING]
    _drains(loaded, server, clock)


def test_an_empty_answer_settles_nothing(loaded: GreenTrip, server: FakeServer, clock: FakeClock):
    server.plan(lambda request: server.lines(request, []))
    _nothing_happened(loaded, loaded.sync(ONCE_S), Stop.WAIT)
    _drains(loaded, server, clock)


def test_results_that_contradict_each_other_settle_nothing(loaded: GreenTrip, server: FakeServer, clock: FakeClock):
    def contradict(request: httpx.Request) -> httpx.Response:
        lines = split_lines(request.content)
        return server.lines(request, [server.result(line, s) for line in lines for s in ("accepted", "rejected")])

    server.plan(contradict)
    _nothing_happened(loaded, loaded.sync(ONCE_S), Stop.WAIT)
    _drains(loaded, server, clock)


def test_the_same_result_twice_settles_once(loaded: GreenTrip, server: FakeServer):
    server.plan(lambda request: server.lines(request, [server.result(e) for e in split_lines(request.content) * 2]))
    assert loaded.sync().settled == {State.ACCEPTED: 2}
    assert loaded.stats().exits == {"accepted": 2}


def test_results_for_records_that_were_not_sent_are_left_alone(loaded: GreenTrip, server: FakeServer, clock: FakeClock):
    def foreign(request: httpx.Request) -> httpx.Response:
        line = split_lines(request.content)[0]
        return server.lines(request, [server.result(line) | {"sha256": sha256_hex(b"another")}])

    server.plan(foreign)
    _nothing_happened(loaded, loaded.sync(ONCE_S), Stop.WAIT)
    _drains(loaded, server, clock)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"not json",
        b"[]",
        b"5",
        b"null",
        b'{"status":"accepted"}',
        b'{"sha256":5,"status":"accepted"}',
        b"\xff\xfe",
    ],
)
def test_lines_that_are_no_results_cost_their_neighbours_nothing(loaded: GreenTrip, server: FakeServer, line: bytes):
    server.plan(lambda request: server.lines(request, [line, *map(server.result, split_lines(request.content)), line]))
    assert loaded.sync().settled == {State.ACCEPTED: 2}


def test_unknown_fields_in_an_answer_are_ignored(loaded: GreenTrip, server: FakeServer):
    server.plan(server.results(colour="green", nested={"a": [1.5, None]}))
    assert loaded.sync().settled == {State.ACCEPTED: 2}


# Nothing settles without a valid receipt


def _unsigned(server: FakeServer, request: httpx.Request) -> httpx.Response:
    response = server.results()(request)
    del response.headers[RECEIPT_HEADER]
    return response


def _for_other_bytes(server: FakeServer, request: httpx.Request) -> httpx.Response:
    signed = server.results("rejected")(request)
    response = server.results("accepted")(request)
    response.headers[RECEIPT_HEADER] = signed.headers[RECEIPT_HEADER]
    return response


def _raw(receipt: str) -> Callable[[FakeServer, httpx.Request], httpx.Response]:
    def answer(server: FakeServer, request: httpx.Request) -> httpx.Response:
        response = server.results()(request)
        response.headers[RECEIPT_HEADER] = receipt
        return response

    return answer


def _spoilt(**changes) -> Callable[[FakeServer, httpx.Request], httpx.Response]:
    def answer(server: FakeServer, request: httpx.Request) -> httpx.Response:
        found = {key: value(server) if callable(value) else value for key, value in changes.items()}
        return server.lines(request, [server.result(line) for line in split_lines(request.content)], **found)

    return answer


BAD_RECEIPTS = {
    "none": _unsigned,
    "empty": _raw(""),
    "garbage": _raw("garbage"),
    "three parts of garbage": _raw("a.b.c"),
    "no algorithm": _raw("eyJhbGciOiJub25lIn0.e30."),
    "for other bytes": _for_other_bytes,
    "for another device": _spoilt(answered={"device": "somebody"}),
    "for another request": _spoilt(answered={"digest": "0" * 64}),
    "for another method": _spoilt(answered={"method": "PUT"}),
    "for another address": _spoilt(answered={"target": "/v1/account"}),
    "for another second": _spoilt(answered={"iat": 1_772_000_000}),
    "by a stranger": _spoilt(signer=STRANGER),
    "by the root": _spoilt(signer=lambda server: server._root),
    "before the key was valid": _spoilt(at=datetime(1960, 1, 1, tzinfo=UTC)),
    "after the key was valid": _spoilt(at=datetime(2100, 1, 1, tzinfo=UTC)),
}


@pytest.mark.parametrize("answer", BAD_RECEIPTS.values(), ids=BAD_RECEIPTS)
def test_nothing_settles_without_a_valid_receipt(
    loaded: GreenTrip,
    server: FakeServer,
    clock: FakeClock,
    answer: Callable[[FakeServer, httpx.Request], httpx.Response],
):
    server.plan(lambda request: answer(server, request))
    report = loaded.sync(ONCE_S)
    _nothing_happened(loaded, report, Stop.UNTRUSTED)
    assert "cannot be trusted" in report.detail
    _drains(loaded, server, clock)


def test_a_replayed_answer_settles_nothing(loaded: GreenTrip, server: FakeServer, clock: FakeClock):
    """An old answer with its receipt, to another request."""
    kept: list[httpx.Response] = []

    def keep(request: httpx.Request) -> httpx.Response:
        kept.append(server.results()(request))
        return problem(503)

    server.plan(keep)
    loaded.sync(ONCE_S)
    ride(loaded, clock)
    server.plan(lambda _: kept[0])
    report = loaded.sync(ONCE_S)
    assert report.stop is Stop.UNTRUSTED
    assert report.left == 3


# Answers of others


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, headers={"Content-Type": "text/html"}, content=b"<html>Welcome to our Wi-Fi</html>"),
        httpx.Response(200, content=b""),
        httpx.Response(200, headers={"Content-Type": "application/json"}, content=b"{}"),
        httpx.Response(
            200, headers={"Content-Encoding": "gzip", "Content-Type": NDJSON}, stream=httpx.ByteStream(b"no")
        ),
    ],
    ids=["html", "empty", "json", "broken gzip"],
)
def test_a_captive_portal_is_no_answer(loaded: GreenTrip, server: FakeServer, clock: FakeClock, answer: httpx.Response):
    server.plan(answer)
    _nothing_happened(loaded, loaded.sync(ONCE_S), Stop.OFFLINE)
    _drains(loaded, server, clock)


@pytest.mark.parametrize("status", [204, 301, 302, 303, 307, 308])
def test_204_and_redirects_are_tried_again_and_never_followed(
    loaded: GreenTrip, server: FakeServer, clock: FakeClock, status: int
):
    server.plan(httpx.Response(status, headers={"Location": "https://elsewhere.example/"}))
    _nothing_happened(loaded, loaded.sync(ONCE_S), Stop.WAIT)
    assert {request.url.host for request in server.requests} == {"greentrip.example"}
    _drains(loaded, server, clock)


@pytest.mark.parametrize("status", [408, 425, 500, 502, 503, 504])
def test_passing_trouble_is_tried_again_within_the_time_there_is(
    loaded: GreenTrip, server: FakeServer, clock: FakeClock, status: int
):
    server.plan(*[problem(status)] * 3)
    started = clock.monotonic()
    report = loaded.sync(timeout=60)
    assert (report.settled, report.requests, report.stop) == ({State.ACCEPTED: 2}, 4, Stop.DONE)
    assert clock.monotonic() - started == pytest.approx(1 + 2 + 4, abs=0.01), "back-off doubles"
    assert len(set(server.posted)) == 1, "the very same bytes"


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_trouble_that_lasts_ends_by_the_deadline(loaded: GreenTrip, server: FakeServer, clock: FakeClock, status: int):
    server.plan(*[problem(status)] * 50)
    started = clock.monotonic()
    report = loaded.sync(timeout=20)
    assert clock.monotonic() - started <= 20
    _nothing_happened(loaded, report, Stop.WAIT)
    server.script.clear()
    _drains(loaded, server, clock)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_retry_after_is_kept_to_even_when_the_person_taps(
    loaded: GreenTrip, server: FakeServer, clock: FakeClock, status: int, form: str
):
    at = datetime.fromtimestamp(clock.now(), UTC) + timedelta(seconds=120)
    text = "120" if form == "seconds" else at.strftime("%a, %d %b %Y %H:%M:%S GMT")
    server.plan(problem(status, headers={"Retry-After": text}))
    _nothing_happened(loaded, loaded.sync(timeout=60), Stop.WAIT)
    clock.tick(100)
    _nothing_happened(loaded, loaded.sync(), Stop.WAIT)
    assert len(server.posted) == 1, "silence means silence"
    clock.tick(20)
    assert loaded.sync().settled == {State.ACCEPTED: 2}


def test_a_retry_after_outlives_the_process_but_not_a_clock_jump(
    loaded: GreenTrip, server: FakeServer, clock: FakeClock, open_phone: OpenPhone
):
    server.plan(problem(503, headers={"Retry-After": "3600"}))
    loaded.sync(ONCE_S)
    loaded.close(timeout=0)
    again = open_phone()
    assert again.sync().requests == 0
    clock.wall -= 10 * 365 * 24 * HOUR_S
    clock.tick(25 * HOUR_S)
    assert again.sync().stop is Stop.WAIT
    clock.tick(25 * HOUR_S)
    assert again.sync().left == 0, "a wait until ten years hence is a wait of a day"


@pytest.mark.parametrize("text", ["-1", "NaN", "soon", "", "0"])
def test_an_absurd_retry_after_is_no_floor(loaded: GreenTrip, server: FakeServer, text: str):
    server.plan(problem(503, headers={"Retry-After": text}))
    assert loaded.sync(timeout=30).settled == {State.ACCEPTED: 2}


def test_a_retry_after_of_ages_is_a_day(loaded: GreenTrip, server: FakeServer, clock: FakeClock):
    server.plan(problem(503, headers={"Retry-After": "1e12"}))
    loaded.sync(ONCE_S)
    clock.tick(24 * HOUR_S + 1)
    assert loaded.sync().left == 0


def test_401_says_that_the_phone_must_enrol_again(loaded: GreenTrip, server: FakeServer, clock: FakeClock):
    server.plan(problem(401, "signature", detail="unknown device"))
    report = loaded.sync(timeout=60)
    _nothing_happened(loaded, report, Stop.LOGIN)
    assert (report.requests, report.detail) == (1, "unknown device")
    _drains(loaded, server, clock)


@pytest.mark.parametrize("status", [403, 404, 405, 410, 415, 426])
def test_a_no_to_the_whole_call_is_said_and_not_repeated_at_once(
    loaded: GreenTrip, server: FakeServer, clock: FakeClock, status: int
):
    server.plan(problem(status, "consent", detail="consent has ended"))
    report = loaded.sync(timeout=60)
    _nothing_happened(loaded, report, Stop.PAUSED)
    assert (report.requests, report.detail) == (1, "consent has ended")
    _drains(loaded, server, clock)


@pytest.mark.parametrize("status", [400, 413])
def test_a_no_to_one_record_deletes_nothing(loaded: GreenTrip, server: FakeServer, clock: FakeClock, status: int):
    server.plan(*[problem(status)] * 9)
    loaded.sync(timeout=60)
    assert len(loaded.trips()) == 2
    assert all(trip.record for trip in loaded.trips())


def test_a_problem_without_words_still_has_some(loaded: GreenTrip, server: FakeServer):
    server.plan(httpx.Response(403, content=b"<html>"))
    assert loaded.sync(ONCE_S).detail == "HTTP 403"


@pytest.mark.parametrize("body", [b"[" * 100_000, b"{", b"[]", b"\xff"])
def test_a_problem_that_cannot_be_read_does_not_raise(loaded: GreenTrip, server: FakeServer, body: bytes):
    server.plan(httpx.Response(403, headers={"Content-Type": "application/problem+json"}, content=body))
    assert loaded.sync(ONCE_S).detail == "HTTP 403"


FAULTS = [
    httpx.ConnectError("refused"),
    httpx.ConnectTimeout("connect"),
    httpx.ReadTimeout("read"),
    httpx.WriteError("write"),
    httpx.ReadError("reset"),
    httpx.RemoteProtocolError("truncated"),
    httpx.ProxyError("proxy"),
    httpx.DecodingError("gzip"),
    httpx.InvalidURL("url"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_no_answer_is_offline_and_loses_nothing(
    loaded: GreenTrip, server: FakeServer, clock: FakeClock, fault: Exception
):
    def fail(request: httpx.Request) -> httpx.Response:
        raise fault

    server.plan(fail)
    report = loaded.sync(ONCE_S)
    _nothing_happened(loaded, report, Stop.OFFLINE)
    assert type(fault).__name__ in report.detail
    _drains(loaded, server, clock)


def test_an_answer_lost_after_the_servers_commit_settles_on_the_next_try(
    loaded: GreenTrip, server: FakeServer, clock: FakeClock
):
    def lose(request: httpx.Request) -> httpx.Response:
        server.results()(request)
        raise httpx.ReadError("reset")

    server.plan(lose, server.results(duplicate=True))
    report = loaded.sync(timeout=30)
    assert report.settled == {State.ACCEPTED: 2}
    assert server.posted[0] == server.posted[1]


def test_an_endless_answer_is_cut_off(loaded: GreenTrip, server: FakeServer, clock: FakeClock):
    server.plan(lambda request: server.lines(request, [b" " * (ANSWER_BYTES_MAX + 1)]))
    report = loaded.sync(ONCE_S)
    _nothing_happened(loaded, report, Stop.OFFLINE)
    assert str(ANSWER_BYTES_MAX) in report.detail
    _drains(loaded, server, clock)


class _Drip(httpx.SyncByteStream):
    def __iter__(self) -> Iterator[bytes]:
        for _ in range(200):
            time.sleep(0.05)
            yield b" "


def test_an_answer_that_drips_ends_with_the_time_there_is(loaded: GreenTrip, server: FakeServer, clock: FakeClock):
    """Each byte comes well within httpx's own limit; all of them would take ten seconds."""
    server.plan(httpx.Response(200, headers={"Content-Type": NDJSON}, stream=_Drip()))
    started = time.monotonic()
    _nothing_happened(loaded, loaded.sync(timeout=0.4), Stop.OFFLINE)
    assert time.monotonic() - started < 5
    _drains(loaded, server, clock)


# Clocks and keys


def test_a_wrong_clock_is_learnt_from_a_signed_answer_and_the_call_repeated_once(
    loaded: GreenTrip, server: FakeServer, clock: FakeClock
):
    server.ahead_s = 7 * HOUR_S
    server.plan(server.clock_problem)
    report = loaded.sync(ONCE_S)
    assert (report.settled, report.stop) == ({State.ACCEPTED: 2}, Stop.DONE)
    assert len(server.posted) == 2
    requests = [r for r in server.requests if r.url.path == "/v1/trips"]
    (key,) = server.devices.values()
    first, second = (open_request(r.headers[SIGNATURE_HEADER], key).iat for r in requests)
    assert second - first == 7 * HOUR_S
    assert second == int(server.now.timestamp())


def test_the_clock_is_learnt_once_and_for_the_next_time(loaded: GreenTrip, server: FakeServer, clock: FakeClock):
    server.ahead_s = -HOUR_S
    server.plan(server.clock_problem)
    loaded.sync()
    ride(loaded, clock)
    loaded.sync()
    (key,) = server.devices.values()
    last = open_request(server.requests[-1].headers[SIGNATURE_HEADER], key)
    assert last.iat == int(server.now.timestamp())
    assert loaded.trips()[0].day == "2026-03-05", "the server's time never rewrites a trip's day"


def test_a_server_that_goes_on_about_the_clock_gets_two_calls_and_then_a_rest(
    loaded: GreenTrip, server: FakeServer, clock: FakeClock
):
    """It is no reason to enrol again."""
    server.plan(*[server.clock_problem] * 5)
    _nothing_happened(loaded, loaded.sync(ONCE_S), Stop.WAIT)
    assert len(server.posted) == 2
    server.script.clear()
    _drains(loaded, server, clock)


def test_an_unsigned_word_about_the_clock_is_not_believed(loaded: GreenTrip, server: FakeServer, clock: FakeClock):
    server.plan(problem(401, "clock"))
    _nothing_happened(loaded, loaded.sync(ONCE_S), Stop.WAIT)
    assert len(server.posted) == 1
    _drains(loaded, server, clock)


def test_an_old_word_about_the_clock_does_not_move_it(loaded: GreenTrip, server: FakeServer, clock: FakeClock):
    """A signed refusal of the very same records, of an earlier second, when the server's clock was off."""
    kept: list[httpx.Response] = []

    def keep(request: httpx.Request) -> httpx.Response:
        server.ahead_s = 7 * HOUR_S
        kept.append(server.clock_problem(request))
        server.ahead_s = 0
        return problem(503)

    server.plan(keep)
    loaded.sync(ONCE_S)
    clock.tick(HOUR_S)
    offset = loaded._store.get("clock_offset_s")
    server.plan(lambda _: kept[0])
    _nothing_happened(loaded, loaded.sync(ONCE_S), Stop.WAIT)
    assert server.posted[0] == server.posted[1]
    assert len(server.posted) == 2, "not repeated: nothing was learnt"
    assert loaded._store.get("clock_offset_s") == offset
    _drains(loaded, server, clock)


@pytest.mark.parametrize("taken_s", [1, 20])
def test_the_repeat_and_the_key_list_get_only_the_time_that_is_left(
    loaded: GreenTrip, server: FakeServer, clock: FakeClock, taken_s: int
):
    def slowly(handler: Callable[[httpx.Request], httpx.Response]) -> Callable[[httpx.Request], httpx.Response]:
        def answer(request: httpx.Request) -> httpx.Response:
            clock.tick(taken_s)
            return handler(request)

        return answer

    server.rotate()
    server.requests.clear()
    server.plan(slowly(server.clock_problem), slowly(server.results()))
    assert loaded.sync(timeout=25).settled == {State.ACCEPTED: 2}
    keys, trips = "/.well-known/greentrip-keys", "/v1/trips"
    assert [r.url.path for r in server.requests] == [trips, keys, trips]
    first_s, *others_s = (r.extensions["timeout"]["read"] for r in server.requests)
    # A little is kept of the 25 s, for the pass to end by itself.
    assert 24 <= first_s <= 25
    assert others_s == [pytest.approx(first_s - taken_s)] * 2


def test_a_new_online_key_is_fetched_when_it_first_signs(loaded: GreenTrip, server: FakeServer, clock: FakeClock):
    server.plan(lambda request: server.lines(request, [server.result(split_lines(request.content)[0])]))
    loaded.sync(ONCE_S)
    server.rotate(keep_old=False)
    clock.tick(60)
    fetched = sum(r.url.path.endswith("greentrip-keys") for r in server.requests)
    loaded.sync()
    assert _states(loaded) == [State.ACCEPTED] * 2
    assert sum(r.url.path.endswith("greentrip-keys") for r in server.requests) == fetched + 1
    ride(loaded, clock)
    loaded.sync()
    assert sum(r.url.path.endswith("greentrip-keys") for r in server.requests) == fetched + 1, "and is then known"


def test_an_older_key_list_is_a_replay(loaded: GreenTrip, server: FakeServer, clock: FakeClock):
    """Whoever stole an old online key cannot bring back the list on which it stood."""
    ride(loaded, clock)
    loaded.sync()
    ride(loaded, clock)
    ride(loaded, clock)
    server.seq = 0
    server.online = STRANGER
    report = loaded.sync(ONCE_S)
    assert (report.stop, report.left) == (Stop.UNTRUSTED, 2)
    assert "older key list" in report.detail


def test_a_key_list_by_another_root_is_not_believed(loaded: GreenTrip, server: FakeServer):
    server.voucher = STRANGER
    server.rotate()
    report = loaded.sync(ONCE_S)
    _nothing_happened(loaded, report, Stop.UNTRUSTED)
    assert "key list: unknown key" in report.detail


# When not to send


def test_without_an_account_nothing_is_sent(phone: GreenTrip, server: FakeServer, clock: FakeClock):
    ride(phone, clock)
    report = phone.sync()
    assert (report.stop, report.left, server.requests) == (Stop.NOT_ENROLLED, 1, [])
    assert report.message("zh") != report.message("en")
    with pytest.raises(NotEnrolled):
        phone.account()


def test_while_another_sends_it_says_busy(loaded: GreenTrip, server: FakeServer, clock: FakeClock):
    now_ms = round(clock.now() * 1000)
    loaded._store.hurry(now_ms)
    assert len(loaded._store.lease("another process", now_ms, now_ms + 60_000, 1, 10**6)) == 1
    report = loaded.sync()
    assert (report.stop, report.left, server.posted) == (Stop.BUSY, 2, [])
    clock.tick(61)
    assert loaded.sync().settled == {State.ACCEPTED: 2}


def test_a_sender_that_was_killed_frees_its_records(
    loaded: GreenTrip, server: FakeServer, clock: FakeClock, open_phone: OpenPhone
):
    class Killed(BaseException):
        pass

    def die(request: httpx.Request) -> httpx.Response:
        raise Killed

    server.plan(die)
    with pytest.raises(Killed):
        loaded.sync()
    again = open_phone()
    assert again.sync().stop is Stop.BUSY
    clock.tick(200)
    assert again.sync().settled == {State.ACCEPTED: 2}
    assert server.posted[0] == server.posted[1]


def test_trips_recorded_while_a_batch_is_under_way_wait_for_their_own_time(
    loaded: GreenTrip, server: FakeServer, clock: FakeClock
):
    """The person asked for what there was; the server must not learn when the new one ended."""

    def meanwhile(request: httpx.Request) -> httpx.Response:
        ride(loaded, clock, minutes=0.1)
        return server.results()(request)

    server.plan(meanwhile)
    report = loaded.sync()
    assert (report.settled, report.requests, report.left) == ({State.ACCEPTED: 2}, 1, 1)
    assert loaded.sync().settled == {State.ACCEPTED: 1}


def test_a_sync_that_takes_too_long_stops_between_batches(loaded: GreenTrip, server: FakeServer, clock: FakeClock):
    from greentrip import sync

    def slow(request: httpx.Request) -> httpx.Response:
        clock.tick(60)
        return server.results()(request)

    ride(loaded, clock)
    server.plan(slow)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sync, "BATCH_LINES_MAX", 2)
        report = loaded.sync(timeout=30)
    assert (report.settled, report.left, report.stop, report.requests) == ({State.ACCEPTED: 2}, 1, Stop.TIME, 1)
    assert loaded.sync().settled == {State.ACCEPTED: 1}


def test_nothing_to_send_is_no_request(enrolled: GreenTrip, server: FakeServer):
    assert enrolled.sync() == SyncReport()
    assert server.requests == []


def test_success_ends_the_memory_of_failures(loaded: GreenTrip, server: FakeServer, clock: FakeClock):
    server.plan(*[problem(503)] * 3, server.results(), problem(503))
    loaded.sync(timeout=60)
    ride(loaded, clock)
    started = clock.monotonic()
    assert loaded.sync(timeout=60).settled == {State.ACCEPTED: 1}
    assert clock.monotonic() - started == pytest.approx(1, abs=0.01), "the first back-off is short again"


def test_every_exit_is_counted_by_its_reason(enrolled: GreenTrip, server: FakeServer, clock: FakeClock):
    for _ in range(5):
        ride(enrolled, clock)
    db = enrolled._store._durable
    db.execute("UPDATE queue SET sha256 = ? WHERE seq = 5", ("0" * 64,))
    statuses = ["accepted", "rejected", "conflict", "retry"]
    server.plan(
        lambda request: server.lines(
            request, [server.result(line, s) for line, s in zip(split_lines(request.content), statuses, strict=True)]
        )
    )
    enrolled.sync(ONCE_S)
    stats = enrolled.stats()
    assert stats.exits == {"accepted": 1, "rejected": 1, "conflict": 1, "damaged": 1}
    assert (stats.recorded, stats.waiting) == (5, 1)
    assert stats.recorded == stats.waiting + sum(stats.exits.values())
    assert len(enrolled.trips()) == 5


def test_every_stop_has_two_texts():
    for stop in Stop:
        report = SyncReport(stop=stop)
        assert report.message("en").isascii()
        assert not report.message("zh").isascii()
