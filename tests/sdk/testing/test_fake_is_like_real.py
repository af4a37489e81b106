"""The server that tests play answers as the real one: the same calls, the same statuses, problems and results."""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from greentrip.signing import signer_of, thumbprint
from greentrip.testing import FakeClock, FakeServer
from greentrip.trust import KeyList, open_erasure_certificate, open_key_list, sign_erasure_order
from greentrip.wire import (
    BATCH_LINES_MAX,
    NDJSON,
    RECEIPT_HEADER,
    base64url_decode,
    join_lines,
    split_lines,
)
from support.records import altered, line
from support.server import CONSENTS, NOW, Device, served

TRIPS, STATE, ERASURES = "/v1/trips", "/v1/sync-state", "/v1/trip-erasures"
NUMBER = "13800138000"
WORDS_ONLY = {
    "bytes_max",
    "detail",
    "detail_zh",
    "details",
    "en",
    "field",
    "suggestions",
    "title",
    "title_zh",
    "type",
    "zh",
}
"""Members for people, or that only explain."""


@dataclass
class Side:
    """One of the two servers, and what was seen there."""

    client: httpx.Client
    root_key: str
    tick: Callable[[float], object]
    now: Callable[[], Any]
    code: Callable[[str], str]
    seen: list[object] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    """Ids that each server makes for itself, and what they are called in `seen`."""

    @property
    def keys(self) -> KeyList:
        return open_key_list(self.client.get("/.well-known/greentrip-keys").text, base64url_decode(self.root_key))

    def stranger(self, seed: int) -> Device:
        made = Device(self.client, thumbprint(base64url_decode(self.root_key)), self.keys, now=self.now)
        made.signer = signer_of(bytes([seed]) * 32)
        return made

    def device(self, seed: int, number: str = NUMBER, consents: dict[str, str] = CONSENTS) -> Device:
        made = self.stranger(seed)
        self.see(self.ask_code(number))
        self.see(made.register(self.enrolment, self.code(self.enrolment), consents), made)
        return made

    def ask_code(self, number: str = NUMBER) -> httpx.Response:
        answer = self.client.post("/v1/enrolments", json={"phone": number})
        if answer.status_code == 201:
            self.enrolment = answer.json()["enrolment"]
        return answer

    def see(self, answer: httpx.Response, device: Device | None = None) -> httpx.Response:
        """Keep what an answer says, without what each server words or numbers for itself."""
        signed = RECEIPT_HEADER in answer.headers
        if signed and device is not None:
            device.verify(answer)
        media_type = answer.headers["Content-Type"].partition(";")[0]
        if media_type == NDJSON:
            said: object = [self._plain(json.loads(one)) for one in split_lines(answer.content)]
        else:
            said = self._plain(answer.json())
        kind = answer.json()["type"].rsplit("/", 1)[-1] if media_type == "application/problem+json" else ""
        self.seen.append((answer.request.method, answer.request.url.path, answer.status_code, kind, signed, said))
        return answer

    def call(self, device: Device, method: str, target: str, value: object = None) -> httpx.Response:
        body = b"" if value is None else json.dumps(value).encode()
        return self.see(device.call(method, target, body, "application/json" if body else ""), device)

    def post(self, device: Device, *lines: bytes) -> httpx.Response:
        return self.see(device.call("POST", TRIPS, join_lines(lines), NDJSON), device)

    def _plain(self, value: object, key: str = "") -> object:
        if isinstance(value, dict):
            return {name: self._plain(one, name) for name, one in value.items() if name not in WORDS_ONLY}
        if isinstance(value, list):
            return [self._plain(one) for one in value]
        if key in ("account", "enrolment"):
            return self.names.setdefault(str(value), f"{key} {len(self.names) + 1}")
        return "a certificate" if key == "certificate" else value


def fake() -> Side:
    clock = FakeClock(NOW)
    server = FakeServer(clock)
    client = httpx.Client(transport=server.transport, base_url="https://greentrip.example")
    return Side(client, server.root_key, clock.tick, lambda: server.now, lambda enrolment: server.code)


@pytest.fixture
def sides(tmp_path: Path) -> Iterator[tuple[Side, Side]]:
    """The fake server and the real one, both empty, at the same hour."""
    with served(f"sqlite:///{tmp_path / 'real.sqlite3'}", tmp_path) as real:
        tick = lambda seconds: real.clock.tick(seconds=seconds)  # noqa: E731
        yield fake(), Side(real.client, real.root_key, tick, real.clock, real.code)


def records(count: int, **fields: object) -> list[bytes]:
    """Bytes that are the same on both sides: one trip a day, each of them accepted."""
    dice = random.Random(5)
    days = [(NOW - timedelta(days=number)).date().isoformat() for number in range(1, count + 1)]
    return [line(day, 16, dice=dice, **fields) for day in days]


def enrolling(side: Side) -> None:
    """Codes, devices, purposes."""
    side.see(side.ask_code("five"))
    side.see(side.ask_code())
    phone, other = side.stranger(1), side.stranger(2)
    for device, code, consents in (
        (phone, "xxxxxx", CONSENTS),
        (phone, "xxxxxx", CONSENTS),
        (phone, side.code(side.enrolment), {"programme": "1"}),
        (phone, side.code(side.enrolment), CONSENTS),
        (phone, side.code(side.enrolment), CONSENTS),
        (phone, "xxxxxx", CONSENTS),
        (other, side.code(side.enrolment), CONSENTS),
    ):
        side.see(device.register(side.enrolment, code, consents), device)
    side.see(other.register(str(UUID(int=9, version=4)), "123456"))
    side.see(side.ask_code("+8613800138000"))
    side.tick(11 * 60)
    side.see(other.register(side.enrolment, side.code(side.enrolment)))
    side.see(side.ask_code())
    for _ in range(6):
        side.see(other.register(side.enrolment, "xxxxxx"))
    side.device(2)
    side.device(3, "13900139000")
    body = {"enrolment": side.enrolment, "code": side.code(side.enrolment), "consents": CONSENTS}
    for key in ("short", "!" * 43, 7, None):
        side.call(other, "POST", "/v1/devices", body | {"public_key": key})
    for content in (b"[]", b"{", b"\xff"):
        side.see(side.client.post("/v1/enrolments", content=content, headers={"Content-Type": "application/json"}))
    side.see(side.client.post("/v1/enrolments", content=b"{}"))


def signatures(side: Side) -> None:
    """Who may call, and what a signature must fit."""
    device = side.device(1)
    side.see(side.client.get("/v1/account"))
    for token in ("a.b.c", device.sign("GET", "/v1/account")[:-8] + "AAAAAAAA"):
        side.see(side.client.get("/v1/account", headers={"Greentrip-Signature": token}))
    side.see(side.stranger(7).call("GET", "/v1/account"))
    iat = int(side.now().timestamp())
    for spoilt in (
        {"audience": "another"},
        {"method": "POST"},
        {"target": "/v1/notices"},
        {"digest": "0" * 64},
        {"iat": iat - 299},
        {"iat": iat - 301},
        {"iat": iat + 301},
    ):
        token = device.sign("GET", "/v1/account", **spoilt)
        side.see(side.client.get("/v1/account", headers={"Greentrip-Signature": token}), device)
    side.see(side.client.get("/v1/nothing"))
    quiet = side.device(4, "13900139001", {"location": "1"})
    side.post(quiet, *records(1))


def uploading(side: Side) -> None:
    """Every kind of line, alone and together, again, and from another device."""
    device, lines = side.device(1), records(6)
    side.see(device.call("POST", TRIPS, b"", NDJSON))
    side.see(device.call("POST", TRIPS, lines[0], "application/json"))
    side.see(device.call("POST", TRIPS, join_lines([b"{}"] * (BATCH_LINES_MAX + 1)), NDJSON))
    side.see(device.call("POST", TRIPS, b"x" * 266_241, NDJSON))
    side.post(device, *lines[:3])
    side.post(device, *lines[:2], lines[3], lines[3])
    side.post(device, altered(lines[0], slot=17))
    side.post(device, altered(lines[0], slot=17), lines[4], altered(lines[4], slot=17))
    broken = [b"", b"{}", b"not JSON", lines[5] + b" ", altered(lines[5], slot=99), altered(lines[5], day="yesterday")]
    side.post(device, *broken, lines[5])
    side.post(device, altered(lines[5], v=2), altered(lines[5], colour="green"), altered(lines[5], v=2))
    side.post(side.device(2), *lines)
    side.tick(3 * 86_400)
    side.post(device, lines[0])
    everything(side, device)


def erasing(side: Side) -> None:
    """Trips erased before and after they come, and what comes of them afterwards."""
    device, lines = side.device(1), records(4)
    ids = [json.loads(one)["id"] for one in lines]
    side.post(device, *lines[:2])
    side.call(device, "POST", ERASURES, {"trips": [ids[0], ids[2], ids[0]]})
    side.call(device, "POST", ERASURES, {"trips": [ids[2], ids[0]]})
    side.tick(86_400)
    side.post(device, *lines, altered(lines[0], slot=17), altered(lines[2], slot=17))
    side.post(side.device(2), *lines)
    for trips in ([], ["not an id"], [7], "text", [ids[0]] * 501, None):
        side.call(device, "POST", ERASURES, {"trips": trips})
    side.call(device, "POST", STATE, {"trips": [*ids, str(UUID(int=3, version=4)), str(UUID(int=2, version=4))]})
    side.call(device, "POST", STATE, {"trips": []})
    side.call(device, "POST", STATE, {"trips": [ids[0]] * 2001})
    everything(side, device)


def ending(side: Side) -> None:
    """An account erased by an order, for ever."""
    device, lines = side.device(1), records(2)
    side.post(device, *lines)
    audience = device._audience
    orders = {
        "good": sign_erasure_order(device.signer, audience=audience, id=str(UUID(int=1))),
        "for another server": sign_erasure_order(device.signer, audience="another", id=str(UUID(int=1))),
        "of a stranger": sign_erasure_order(signer_of(b"\7" * 32), audience=audience, id=str(UUID(int=1))),
        "garbage": "a.b.c",
    }
    side.see(side.client.post("/v1/erasure", json={"orders": orders["good"]}))
    answers = {name: [side.see(side.client.post("/v1/erasure", json={"order": one}))] for name, one in orders.items()}
    side.tick(400 * 86_400)
    again = side.see(side.client.post("/v1/erasure", json={"order": orders["good"]}))
    assert again.json() == answers["good"][0].json(), "the same certificate for ever"
    at = open_erasure_certificate(again.json()["certificate"], side.keys, device=device.id, order=orders["good"])
    side.seen.append(at.isoformat())
    side.call(device, "GET", "/v1/account")
    side.post(device, *lines)
    side.see(side.ask_code())
    side.see(device.register(side.enrolment, side.code(side.enrolment)))
    everything(side, side.device(2))


def everything(side: Side, device: Device) -> None:
    """All that a phone may ask about its account."""
    side.call(device, "GET", STATE)
    side.call(device, "GET", "/v1/account")
    for target in ("/v1/account/statement", "/v1/notices"):
        for query in (
            "",
            "?after=1",
            "?limit=1",
            "?after=1&limit=2",
            "?after=99",
            "?limit=0",
            "?limit=201",
            "?after=x",
        ):
            side.call(device, "GET", target + query)


@pytest.mark.parametrize("story", [enrolling, signatures, uploading, erasing, ending], ids=lambda story: story.__name__)
def test_the_same_calls_are_answered_alike(sides: tuple[Side, Side], story: Callable[[Side], None]):
    for side in sides:
        story(side)
    fake, real = sides
    for number, (by_fake, by_real) in enumerate(zip(fake.seen, real.seen, strict=True)):
        assert by_fake == by_real, f"answer {number}"
