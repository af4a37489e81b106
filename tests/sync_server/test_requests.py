"""Bad requests: each ends in a problem document that says which part is wrong, in two languages, and tells no more."""

import gzip
import io
import json
import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import httpx
import pytest

from greentrip import Refused, State
from greentrip.signing import new_seed, signer_of
from greentrip.testing import FakeClock
from greentrip.wire import BATCH_LINES_MAX, NDJSON, RECEIPT_HEADER, SIGNATURE_HEADER, base64url, join_lines
from greentrip_server.enrolment.models import Device as DeviceRow
from greentrip_server.enrolment.models import DeviceStatus, PersonAccount, Purpose
from greentrip_server.enrolment.service import withdraw_consent
from greentrip_server.errors import KINDS, PROBLEM_MEDIA_TYPE
from greentrip_server.log import configure
from greentrip_server.sync.models import Trip
from support.records import line
from support.server import CONSENTS, NOW, Device, Json, Served, commute, new_number, phone

CHINESE = re.compile("[\u4e00-\u9fff]")
LEAKS = re.compile(
    r"(?<!\w)(\+?86)?1[3-9]\d{9}(?!\w)"
    r"|Traceback|File \"|\bSELECT\b|\bINSERT\b|sqlalchemy|psycopg|sqlite3|greentrip_server"
)
JSON = "application/json"

Heard = list[httpx.Response]


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """The log as a server process writes it, at its most talkative."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    text = io.StringIO()
    configure("DEBUG")
    root.handlers[0].setStream(text)
    yield text
    root.handlers, root.level = handlers, level


@pytest.fixture
def server(shared_server: Served, log: io.StringIO) -> Iterator[Served]:
    """A server; nothing that it answers or logs during a test tells more than it should."""
    shared_server.clock.at = NOW
    shared_server.runtime.sender.codes.clear()
    heard: list[httpx.Response] = []
    shared_server.client.event_hooks = {"response": [heard.append]}
    yield shared_server
    shared_server.client.event_hooks = {}
    assert shared_server.ledger().ok
    for answer in heard:
        assert not LEAKS.search(answer.read().decode()), answer.text
    assert not LEAKS.search(log.getvalue()), log.getvalue()
    assert all(json.loads(entry) for entry in log.getvalue().splitlines())


@pytest.fixture
def device(server: Served) -> Device:
    return server.device()


def trips_of(server: Served, device: Device) -> list[Trip]:
    return server.rows(Trip, account_id=UUID(device.account))


def problem(answer: httpx.Response, kind: str, **members: object) -> Json:
    """The problem document of an answer, once everything that all of them share is right."""
    known = KINDS[kind]
    assert answer.headers["Content-Type"] == PROBLEM_MEDIA_TYPE, answer.text
    document = answer.json()
    assert document["type"] == f"/problems/{kind}", document
    assert answer.status_code == document["status"] == known.status
    assert (document["title"], document["title_zh"]) == (known.title_en, known.title_zh)
    assert document["detail"]
    assert CHINESE.search(document["detail_zh"])
    assert not CHINESE.search(document["detail"])
    assert ("WWW-Authenticate" in answer.headers) == (known.status == 401)
    assert {name: document[name] for name in members} == members
    return document


def post(device: Device, body: bytes, media_type: str = NDJSON, **headers: str) -> httpx.Response:
    return device.call("POST", "/v1/trips", body, media_type, headers)


# Signatures


def test_a_call_without_a_signature(server: Served):
    for method, target in (("GET", "/v1/account"), ("POST", "/v1/trips"), ("GET", "/v1/sync-state")):
        problem(server.client.request(method, target), "signature", part="missing")


@pytest.mark.parametrize("token", ["x", "a.b.c", "..", "e30.e30.e30", "é".encode().decode("latin-1"), "a" * 70_000])
def test_a_token_that_is_none(server: Served, token: str):
    answer = server.client.get("/v1/account", headers={SIGNATURE_HEADER: token.encode("latin-1")})
    problem(answer, "signature", part="token")


def test_a_token_that_somebody_else_signed(server: Served, device: Device):
    token = device.sign("GET", "/v1/account")
    signed, _, signature = token.rpartition(".")
    other = signer_of(new_seed()).sign(signed.encode())
    for spoilt in (base64url(other), signature[:-4], base64url(b"\0" * 64)):
        answer = server.client.get("/v1/account", headers={SIGNATURE_HEADER: f"{signed}.{spoilt}"})
        problem(answer, "signature", part="token")


@pytest.mark.parametrize(
    ("part", "spoilt"),
    [
        ("audience", {"audience": "another-server"}),
        ("method", {"method": "GET"}),
        ("method", {"method": "post"}),
        ("target", {"target": "/v1/account"}),
        ("target", {"target": "/v1/trips?x=1"}),
        ("digest", {"digest": "0" * 64}),
        ("digest", {"digest": ""}),
        ("token", {"device": "somebody"}),
        ("token", {"iat": "now"}),
        ("token", {"iat": True}),
    ],
    ids=str,
)
def test_a_signature_of_another_call(server: Served, device: Device, part: str, spoilt: Json):
    body = join_lines([line()])
    token = device.sign("POST", "/v1/trips", body, NDJSON, **spoilt)
    problem(post(device, body, **{SIGNATURE_HEADER: token}), "signature", part=part)
    assert not trips_of(server, device)


def test_a_flipped_bit_in_the_body(server: Served, device: Device):
    body = join_lines([line()])
    token = device.sign("POST", "/v1/trips", body, NDJSON)
    for place in (0, len(body) // 2, len(body) - 2):
        flipped = bytearray(body)
        flipped[place] ^= 1
        problem(post(device, bytes(flipped), **{SIGNATURE_HEADER: token}), "signature", part="digest")
    # A body that is not NDJSON is one line: its digest is another one.
    problem(post(device, body, JSON, **{SIGNATURE_HEADER: token}), "signature", part="digest")
    assert not trips_of(server, device)


def test_a_signature_over_another_query(server: Served, device: Device):
    token = device.sign("GET", "/v1/account/trips?limit=1")
    answer = server.client.get("/v1/account/trips?limit=2", headers={SIGNATURE_HEADER: token})
    problem(answer, "signature", part="target")
    assert device.call("GET", "/v1/account/trips?limit=%31&limit=1").status_code in (200, 400)
    assert device.get("/v1/account/trips?limit=1") == {"trips": [], "next": None}


def test_an_unknown_device(server: Served):
    stranger = server.stranger()
    problem(stranger.call("GET", "/v1/account"), "unknown_device")
    problem(post(stranger, join_lines([line()])), "unknown_device")


def test_an_ended_device(server: Served, device: Device):
    with server.runtime.database.write() as session:
        row = session.get(DeviceRow, device.id)
        row.status = DeviceStatus.ENDED
        session.add(row)
    problem(post(device, join_lines([line()])), "device_ended")
    # Nor may its key come back with a new code.
    asked = server.client.post("/v1/enrolments", json={"phone": device.number}).json()["enrolment"]
    problem(device.register(asked, server.code(asked)), "device_ended")


# Clocks


@pytest.mark.parametrize("off_s", [-600, -301, 301, 600, 10**9, -(2**52), 2**52])
def test_a_request_from_another_time(server: Served, device: Device, off_s: int):
    iat = int(NOW.timestamp()) + off_s
    token = device.sign("GET", "/v1/account", iat=iat)
    answer = server.client.get("/v1/account", headers={SIGNATURE_HEADER: token})
    problem(answer, "clock", server_time="2026-03-05T08:30:15Z")
    # The phone sets its clock by this, so it is signed.
    assert device.verify(answer) == NOW.replace(microsecond=0)


@pytest.mark.parametrize("off_s", [-300, 0, 300])
def test_a_request_within_five_minutes(server: Served, device: Device, off_s: int):
    token = device.sign("GET", "/v1/account", iat=int(NOW.timestamp()) + off_s)
    assert server.client.get("/v1/account", headers={SIGNATURE_HEADER: token}).status_code == 200


@pytest.mark.parametrize(
    ("off", "state"),
    [
        (timedelta(minutes=-10), State.ACCEPTED),
        (timedelta(minutes=10), State.ACCEPTED),
        (timedelta(days=365), State.ACCEPTED),
        (timedelta(days=-3650), State.HELD),  # a phone that thinks so enters its trips ten years too early
    ],
    ids=str,
)
def test_the_sdk_learns_the_time_and_loses_nothing(server: Served, tmp_path, off: timedelta, state: State):
    clock = FakeClock(NOW + off)
    with phone(server, tmp_path / "phone", clock=clock) as app:
        commute(app, min(NOW, NOW + off) - timedelta(days=1))
        assert app.sync().settled == {state: 1}
        clock.wall = (NOW - 2 * off).timestamp()  # and again, the other way round
        assert app.account().trips[state] == 1


# Consent


def test_no_consent_no_records(server: Served):
    device = server.device(consents={"location": "2026-03"})
    problem(post(device, join_lines([line()])), "consent", purpose="sync")
    assert not trips_of(server, device)
    # What is there may still be looked at.
    assert device.get("/v1/account")["balance_mg"] == 0


def test_a_withdrawn_consent(server: Served, device: Device):
    with server.runtime.database.write() as session:
        withdraw_consent(session, UUID(device.account), Purpose.SYNC, NOW)
    problem(post(device, join_lines([line()])), "consent", purpose="sync")


# Bodies


def test_bodies_that_are_too_large(server: Served, device: Device):
    limit = server.runtime.settings.body_bytes_max
    for target, media_type in (("/v1/trips", NDJSON), ("/v1/devices", JSON), ("/v1/enrolments", JSON)):
        answer = device.call("POST", target, b" " * (limit + 1), media_type)
        problem(answer, "too_large", bytes_max=limit)

    def without_length() -> Iterator[bytes]:
        yield from (b"x" * 1000 for _ in range(limit // 1000 + 1))

    body = b"".join(without_length())
    token = device.sign("POST", "/v1/trips", body, NDJSON)
    answer = server.client.post(
        "/v1/trips", content=without_length(), headers={SIGNATURE_HEADER: token, "Content-Type": NDJSON}
    )
    problem(answer, "too_large", bytes_max=limit)


def test_too_many_lines(server: Served, device: Device):
    problem(post(device, b"\n" * (BATCH_LINES_MAX + 1)), "too_large")
    assert post(device, b"{\n" * BATCH_LINES_MAX).status_code == 200


def test_a_body_without_records(server: Served, device: Device):
    problem(post(device, b""), "malformed", field="body")
    # A lone newline is one empty line, which is a line that cannot be right.
    assert post(device, b"\n").status_code == 200


@pytest.mark.parametrize("media_type", ["", JSON, "text/plain", "application/x-www-form-urlencoded", "x", "/", ";"])
def test_other_media_types(server: Served, device: Device, media_type: str):
    problem(post(device, join_lines([line()]), media_type), "media_type")
    body = json.dumps({"phone": new_number()}).encode()
    sent = {"Content-Type": media_type} if media_type else {}
    if media_type != JSON:
        problem(server.client.post("/v1/enrolments", content=body, headers=sent), "media_type")
        answer = device.call("POST", "/v1/devices", body, media_type)
        problem(answer, "media_type")


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "Application/JSON", " application/json ;x"])
def test_json_by_any_spelling(server: Served, media_type: str):
    body = json.dumps({"phone": new_number()}).encode()
    answer = server.client.post("/v1/enrolments", content=body, headers={"Content-Type": media_type})
    assert answer.status_code == 201


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate, gzip", "x-unknown"])
def test_compressed_bodies(server: Served, device: Device, coding: str):
    plain = join_lines([line()])
    packed = gzip.compress(plain)
    token = device.sign("POST", "/v1/trips", plain, NDJSON)
    answer = post(device, packed, **{SIGNATURE_HEADER: token, "Content-Encoding": coding})
    document = problem(answer, "media_type")
    assert "Content-Encoding" in document["detail"]
    answer = server.client.post("/v1/enrolments", content=packed, headers={"Content-Encoding": coding})
    problem(answer, "media_type")
    # And without saying so, it is a line that cannot be read: nothing is stored.
    assert post(device, packed).status_code == 200
    assert not trips_of(server, device)


def test_a_body_that_says_identity(server: Served, device: Device):
    assert post(device, join_lines([line()]), **{"Content-Encoding": "identity"}).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"13800138000"',
        b"{}",
        b'{"phone": null}',
        b'{"phone": 13800138000}',
        b'{"phone": "13800138000", "phone": "13900139000"}',
        b'{"phone": "13800138000", "name": "x"}',
        b'{"phone": "1380013800\\ud800"}',
        b'{"phone": NaN}',
        '{"phone": "电"}'.encode("gb18030"),
        '{"phone": "13800138000"}'.encode("utf-16"),
        b"[" * 100_000,
        b'{"phone": ' + b"9" * 5000 + b"}",
    ],
    ids=lambda body: repr(body[:40]),
)
def test_json_that_is_not_what_the_call_takes(server: Served, body: bytes):
    answer = server.client.post("/v1/enrolments", content=body, headers={"Content-Type": JSON})
    document = problem(answer, "malformed")
    assert document["field"]
    assert not server.runtime.sender.codes


def test_a_device_call_with_a_key_twice(server: Served):
    new = server.stranger()
    asked = server.client.post("/v1/enrolments", json={"phone": new_number()}).json()["enrolment"]
    key = base64url(new.signer.public_key)
    body = (
        f'{{"enrolment":"{asked}","code":"{server.code(asked)}","public_key":"{key}",'
        f'"consents":{{"sync":"1","sync":"2"}}}}'
    )
    problem(new.call("POST", "/v1/devices", body.encode(), JSON), "malformed", field="body")
    assert not server.rows(DeviceRow, id=new.id)


# Addresses


@pytest.mark.parametrize(
    "target", ["/v2/trips", "/v1", "/v1/trips/x", "/problems/none", "/schema-assets/none", "/%00", "/.env"]
)
def test_an_unknown_address(server: Served, target: str):
    problem(server.client.get(f"{server.url}{target}"), "not_found")


def test_the_pages_of_a_folder_of_assets_stay_in_it(server: Served):
    for target in ("/schema-assets/../settings.py", "/schema-assets/%2e%2e/__init__.py", "/schema-assets/..%2fx"):
        problem(server.client.get(httpx.URL(server.url).copy_with(raw_path=target.encode())), "not_found")


@pytest.mark.parametrize(
    ("method", "target", "allowed"),
    [
        ("GET", "/v1/trips", "POST"),
        ("DELETE", "/v1/trips", "POST"),
        ("PUT", "/v1/account", "GET"),
        ("POST", "/v1/account", "GET"),
        ("PATCH", "/health/live", "GET"),
        ("GET", "/v1/enrolments", "POST"),
        ("TRACE", "/v1/devices", "POST"),
    ],
)
def test_a_wrong_method(server: Served, method: str, target: str, allowed: str):
    answer = server.client.request(method, target)
    problem(answer, "method_not_allowed")
    assert allowed in answer.headers["Allow"].split(", ")


@pytest.mark.parametrize(
    ("target", "field"),
    [
        ("/v1/account/trips?limit=0", "limit"),
        ("/v1/account/trips?limit=201", "limit"),
        ("/v1/account/trips?limit=x", "limit"),
        ("/v1/account/trips?limit=", "limit"),
        ("/v1/account/trips?after=1", "after"),
        ("/v1/account/trips?after=%00", "after"),
        ("/v1/account/trips?after='%20OR%201=1", "after"),
        ("/v1/account/statement?after=-1", "after"),
        ("/v1/account/statement?after=9999999999999999999999", "after"),
        ("/v1/account/statement?after=1.5", "after"),
        ("/v1/account/statement?limit=%ff", "limit"),
    ],
)
def test_bad_query_parameters(device: Device, target: str, field: str):
    problem(device.call("GET", target), "malformed", field=field)


# Enrolment


@pytest.mark.parametrize(
    "number",
    ["12345", "1380013800", "138001380001", "12800138000", "+8612800138000", "+861380013800", "phone", "+1234",
     "0" * 32, "13800138000; DROP TABLE", "+86 138 0013 8000 0", "１３８００１３", "13800\u0000138000"],
)  # fmt: skip
def test_a_phone_number_in_a_wrong_form(server: Served, number: str):
    problem(server.client.post("/v1/enrolments", json={"phone": number}), "invalid", field="phone")
    assert not server.runtime.sender.codes


@pytest.mark.parametrize("number", ["", "+1"])
def test_a_phone_number_that_is_too_short(server: Served, number: str):
    document = problem(server.client.post("/v1/enrolments", json={"phone": number}), "invalid", field="phone")
    assert "11 digits" in document["detail"]
    assert "11 位" in document["detail_zh"]


def test_a_phone_number_of_endless_length(server: Served):
    problem(server.client.post("/v1/enrolments", json={"phone": "1" * 33}), "malformed", field="phone")


@pytest.fixture
def asked(server: Served) -> str:
    return server.client.post("/v1/enrolments", json={"phone": new_number()}).json()["enrolment"]


@pytest.fixture
def new(server: Served) -> Device:
    return server.stranger()


def _wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10**6:06}"


def test_five_wrong_codes_end_an_enrolment(server: Served, new: Device, asked: str):
    code, people = server.code(asked), server.rows(PersonAccount)
    for left in (4, 3, 2, 1, 0):
        problem(new.register(asked, _wrong(code)), "code_wrong", field="code", tries_left=left)
    problem(new.register(asked, code), "code_expired", field="code")
    assert server.rows(PersonAccount) == people


def test_an_expired_code(server: Served, new: Device, asked: str):
    server.clock.tick(minutes=10)
    problem(new.register(asked, server.code(asked)), "code_expired")


def test_a_used_code_is_good_for_its_device_only(server: Served, new: Device, asked: str):
    code = server.code(asked)
    assert new.register(asked, code).status_code == 201
    # The answer may have been lost: the same key gets the same answer.
    again = new.register(asked, code)
    assert (again.status_code, again.json()["account"]) == (201, new.account)
    thief = server.stranger()
    problem(thief.register(asked, code), "code_expired")


def test_a_code_for_an_enrolment_that_never_was(new: Device):
    problem(new.register(str(uuid4()), "123456"), "code_expired")


def test_too_many_codes(server: Served):
    number = new_number()
    for _ in range(5):
        assert server.client.post("/v1/enrolments", json={"phone": number}).status_code == 201
        server.clock.tick(minutes=1)
    answer = server.client.post("/v1/enrolments", json={"phone": f"+86{number}"})
    problem(answer, "too_many", retry_after_s=55 * 60)
    assert answer.headers["Retry-After"] == "3300"


@pytest.mark.parametrize(
    ("changed", "kind", "field"),
    [
        ({"enrolment": "x"}, "malformed", "enrolment"),
        ({"code": ""}, "malformed", "code"),
        ({"code": "1" * 25}, "malformed", "code"),
        ({"code": 123456}, "malformed", "code"),
        ({"public_key": "x"}, "malformed", "public_key"),
        ({"public_key": "?" * 43}, "invalid", "public_key"),
        ({"public_key": "A" * 42 + "B"}, "invalid", "public_key"),
        ({"consents": {"fame": "1"}}, "invalid", "consents"),
        ({"consents": {"sync": ""}}, "invalid", "consents.sync"),
        ({"consents": {"sync": "v" * 33}}, "invalid", "consents.sync"),
        ({"consents": {"sync": "v\u0000"}}, "invalid", "consents.sync"),
        ({"consents": {"sync": 1}}, "malformed", None),
        ({"consents": []}, "malformed", "consents"),
        ({"surname": "x"}, "malformed", None),
    ],
    ids=str,
)
def test_a_device_call_with_a_wrong_value(
    server: Served, new: Device, asked: str, changed: Json, kind: str, field: str | None
):
    body = {
        "enrolment": asked,
        "code": server.code(asked),
        "public_key": base64url(new.signer.public_key),
        "consents": CONSENTS,
    }
    answer = new.call("POST", "/v1/devices", json.dumps(body | changed).encode(), JSON)
    document = problem(answer, kind)
    assert document["field"]
    assert field in (None, document["field"])
    assert not server.rows(DeviceRow, id=new.id)


def test_a_public_key_that_did_not_sign(server: Served, new: Device, asked: str):
    other = signer_of(new_seed())
    body = {
        "enrolment": asked,
        "code": server.code(asked),
        "public_key": base64url(other.public_key),
        "consents": CONSENTS,
    }
    problem(new.call("POST", "/v1/devices", json.dumps(body).encode(), JSON), "signature", part="token")
    assert not server.rows(DeviceRow, id=new.id)


def test_a_key_of_another_person(server: Served, new: Device, asked: str):
    new.register(asked, server.code(asked))
    asked = server.client.post("/v1/enrolments", json={"phone": new_number()}).json()["enrolment"]
    problem(new.register(asked, server.code(asked)), "invalid", field="public_key")


def test_the_sdk_hands_on_both_languages(server: Served, tmp_path):
    with phone(server, tmp_path / "phone") as app, pytest.raises(Refused) as caught:
        app.request_code("12345")
    assert caught.value.kind == "invalid"
    assert CHINESE.search(caught.value.message("zh"))
    assert not CHINESE.search(caught.value.message("en"))


# Faults


class Secret(Exception):
    """What a fault may hold."""


def test_a_fault_tells_nothing(server: Served, device: Device, monkeypatch: pytest.MonkeyPatch, log: io.StringIO):
    def fail(*args: object) -> None:
        raise Secret("SELECT phone FROM identity: 13800138000")

    monkeypatch.setattr("greentrip_server.sync.routes.balance", fail)
    answer = device.call("GET", "/v1/account")
    problem(answer, "internal")
    assert RECEIPT_HEADER not in answer.headers
    (fault,) = [json.loads(entry) for entry in log.getvalue().splitlines() if '"fault"' in entry]
    assert fault["type"] == "Secret"
    assert fault["where"].startswith("test_requests.py:")


def test_what_is_logged_about_a_request(server: Served, device: Device, log: io.StringIO):
    log.truncate(0)
    log.seek(0)
    device.call("GET", "/v1/account/trips?limit=7")
    server.client.get("/v1/13800138000?phone=13800138000", headers={"User-Agent": "13800138000"})
    (logged,) = (json.loads(entry) for entry in log.getvalue().splitlines() if '"request"' in entry)
    # The route as it was declared, without the query; an address that is none of ours leaves no line at all.
    assert (logged["method"], logged["route"], logged["status"], logged["problem"]) == (
        "GET", "/v1/account/trips", 200, None,
    )  # fmt: skip


def test_a_database_that_fails_is_a_503(server: Served, device: Device, monkeypatch: pytest.MonkeyPatch):
    from sqlalchemy.exc import OperationalError

    def fail(*args: object) -> None:
        raise OperationalError("SELECT 1", {}, Exception("server closed the connection"))

    monkeypatch.setattr("greentrip_server.sync.routes.receive", fail)
    answer = post(device, join_lines([line()]))
    document = problem(answer, "unavailable")
    assert answer.headers["Retry-After"] == str(document["retry_after_s"])
    assert int(answer.headers["Retry-After"]) > 0


# What is right


def test_public_calls_need_no_signature(server: Served):
    for target in ("/", "/v1/methodologies", "/v1/policies", "/health/live", "/health/ready", "/schema"):
        assert server.client.get(target).status_code == 200


def test_problem_pages_are_in_both_languages(server: Served):
    for kind, known in KINDS.items():
        for lang, title in (("en", known.title_en), ("zh", known.title_zh)):
            page = server.client.get(f"/problems/{kind}?lang={lang}")
            assert (page.status_code, page.headers["Content-Language"]) == (200, lang)
            assert title in page.text.replace("&#39;", "'")
            by_header = server.client.get(f"/problems/{kind}", headers={"Accept-Language": f"{lang}-XX,fr;q=0.5"})
            assert by_header.text == page.text


def test_the_server_time_of_the_clock_problem_is_the_servers(server: Served, device: Device):
    server.clock.at = datetime(2027, 1, 1, tzinfo=UTC)
    token = device.sign("GET", "/v1/account", iat=0)
    answer = server.client.get("/v1/account", headers={SIGNATURE_HEADER: token})
    problem(answer, "clock", server_time="2027-01-01T00:00:00Z")
