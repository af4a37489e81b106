"""docs/reference/protocol.md and record.md say what phone and server really do."""

import json
import re
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from greentrip.evidence import Features
from greentrip.methodology import bundled, reduce_trip
from greentrip.record import RecordLeg, TripRecord, decode
from greentrip.signing import signer_of
from greentrip.trip import Flag, Method, Mode, Route
from greentrip.trust import KeyList, OnlineKey, sign_key_list
from greentrip.wire import NDJSON, RECEIPT_HEADER, SIGNATURE_HEADER, base64url, canonical, sha256_hex
from greentrip_server.checks import bundled as policy
from support.server import CONSENTS, Device, Served, served

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"
PROTOCOL = (REFERENCE / "protocol.md").read_text(encoding="utf-8")
RECORD = (REFERENCE / "record.md").read_text(encoding="utf-8")
ROOT_SEED, DEVICE_SEED, ONLINE_SEED = (bytes(range(start, start + 32)) for start in (0, 32, 64))
AS_JSON = {"Content-Type": "application/json"}
SINCE, UNTIL = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 2, 5, tzinfo=UTC)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The server of the worked example."""
    folder = tmp_path_factory.mktemp("protocol")
    keys = folder / "server" / "keys"
    keys.mkdir(parents=True)
    listed = KeyList(1, SINCE, (OnlineKey(signer_of(ONLINE_SEED).public_key, SINCE, UNTIL),))
    (keys / "root.pub").write_text(base64url(signer_of(ROOT_SEED).public_key))
    (keys / "online.seed").write_text(base64url(ONLINE_SEED))
    (keys / "keys.jws").write_text(sign_key_list(signer_of(ROOT_SEED), listed))
    with served(f"sqlite:///{folder / 'greentrip.sqlite3'}", folder) as made:
        yield made


def _section(title: str) -> str:
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", PROTOCOL, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


def _blocks(language: str, text: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)\n```$", text, re.MULTILINE | re.DOTALL)


def _message(text: str) -> tuple[str, dict[str, str], str]:
    head, _, body = text.partition("\n\n")
    first, *headers = head.splitlines()
    return first, dict(header.split(": ", 1) for header in headers), body


def _shape(value: Any) -> Any:
    """What stays of an answer when its values are left out; months are names of the moment."""
    if isinstance(value, dict):
        return {re.sub(r"\d{4}-\d\d", "month", key): _shape(item) for key, item in value.items()}
    return [_shape(item) for item in value] if isinstance(value, list) else type(value).__name__


def test_the_worked_example_is_what_happens(server: Served):
    page = _section("A worked example")
    asked, answered = map(_message, _blocks("http", page))
    claims, receipt = map(json.loads, _blocks("json", page))
    device = Device(server.client, server.runtime.audience, server.key_list, now=server.clock)
    device.signer = signer_of(DEVICE_SEED)
    assert device.enrol("13800138000", server.code, CONSENTS).status_code == 201
    body = f"{asked[2]}\n".encode()
    method, target, _ = asked[0].split()

    assert device.sign(method, target, body, NDJSON) == asked[1][SIGNATURE_HEADER]
    answer = server.client.request(method, target, content=body, headers=asked[1])
    assert f"HTTP/1.1 {answer.status_code} {answer.reason_phrase}" == answered[0]
    assert answer.text == f"{answered[2]}\n"
    assert {name: answer.headers[name] for name in answered[1]} == answered[1]
    for token, payload in ((asked[1][SIGNATURE_HEADER], claims), (answered[1][RECEIPT_HEADER], receipt)):
        assert token.split(".")[1] == base64url(canonical(payload))

    for target in ("/v1/sync-state", "/v1/account", "/v1/account/trips", "/v1/account/statement"):
        (shown,) = _blocks("json", _section(f"GET {target}"))
        assert _shape(device.get(target)) == _shape(json.loads(shown)), target
    _repair_and_erasures_are_as_shown(server, device)


def _repair_and_erasures_are_as_shown(server: Served, device: Device) -> None:
    for target in ("/v1/sync-state", "/v1/trip-erasures"):
        value, shown = map(json.loads, _blocks("json", _section(f"POST {target}")))
        assert device.ask(target, value) == shown, target
    (shown,) = _blocks("json", _section("GET /v1/notices"))
    assert device.get("/v1/notices") == json.loads(shown)
    body, order, answer, certificate = _blocks("json", _section("POST /v1/erasure"))
    assert server.client.post("/v1/erasure", content=body, headers=AS_JSON).json() == json.loads(answer)
    for token, payload in ((json.loads(body)["order"], order), (json.loads(answer)["certificate"], certificate)):
        assert token.split(".")[1] == base64url(payload.encode())


def test_enrolment_is_as_shown(server: Served):
    asked, shown = map(json.loads, _blocks("json", _section("POST /v1/enrolments")))
    answer = server.client.post("/v1/enrolments", json=asked)
    assert answer.status_code == 201
    assert _shape(answer.json()) == _shape(shown)
    body, shown = map(json.loads, _blocks("json", _section("POST /v1/devices")))
    device = Device(server.client, server.runtime.audience, server.key_list, now=server.clock)
    enrolment = answer.json()["enrolment"]
    registered = device.register(enrolment, server.code(enrolment), body["consents"])
    assert _shape(json.loads(registered.request.content)) == _shape(body)
    assert _shape(registered.json()) == _shape(shown)


def test_the_key_list_is_as_shown(server: Served):
    (shown,) = _blocks("json", _section("The key list"))
    answer = server.client.get("/.well-known/greentrip-keys")
    assert answer.headers["Content-Type"] == "application/jose"
    assert answer.text.split(".")[1] == base64url(shown.encode())


def test_the_rules_have_the_members_shown(server: Served):
    for target, item in (("/v1/methodologies", "methodologies"), ("/v1/policies", "rules")):
        answer, (shown,) = server.client.get(target).json(), _blocks("text", _section(f"GET {target}"))
        members = {*answer, *answer[item][0]}
        assert members <= set(re.findall(r'"(\w+)":', shown)), target
    assert policy().reference in PROTOCOL


def test_every_address_is_on_the_page(server: Served):
    answers = server.client.get("/schema/openapi.json").json()["paths"]
    for path, calls in answers.items():
        for method in calls:
            assert f"`{method.upper()} {path}`" in PROTOCOL, path


def test_the_example_record_is_a_record():
    (line,) = (block for block in _blocks("json", RECORD) if block.startswith("{"))
    record = decode(line.encode("ascii"))
    assert record.to_bytes().decode() == line
    assert f"({len(line)} bytes)" in RECORD
    assert sha256_hex(line.encode()) in RECORD
    assert record.methodology == bundled().reference
    day = datetime.fromisoformat(record.day).date()
    assert reduce_trip(bundled(), day, [leg.facts() for leg in record.legs]).mg == record.reduction_mg


def test_every_field_and_word_of_a_record_is_on_the_page():
    named = set(re.findall(r"^\| `([a-z0-9_]+)` \|", RECORD, re.MULTILINE))
    assert named == {field.name for kind in (TripRecord, RecordLeg, Features) for field in fields(kind)} | set(Flag)
    for kind in (Mode, Method, Route, Flag):
        assert [word for word in kind if f"`{word}`" not in RECORD] == []


def test_the_openapi_document_is_the_one_that_a_server_shows(server: Served):
    page = json.loads((REFERENCE / "openapi.json").read_text(encoding="utf-8"))
    shown = server.client.get("/schema/openapi.json").json()
    assert page == shown, "run: make docs"
