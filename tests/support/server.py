"""The server for tests: in this process on a clock of its own, or as processes of its own; and phones that call it."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import httpx

from greentrip import GreenTrip, Network, Point, TripView
from greentrip.clock import Clock
from greentrip.signing import Signer, new_seed, signer_of, thumbprint
from greentrip.testing import AsgiTransport, FakeClock
from greentrip.trip import CHINA_TIME
from greentrip.trust import KeyList, RequestClaims, open_key_list, open_receipt, open_request, sign_request
from greentrip.wire import (
    NDJSON,
    RECEIPT_HEADER,
    SIGNATURE_HEADER,
    base64url,
    base64url_decode,
    body_digest,
    join_lines,
    sha256_hex,
    split_lines,
)
from greentrip_server.app import create_app
from greentrip_server.enrolment.sender import MemorySender
from greentrip_server.ledger.service import LedgerReport, check
from greentrip_server.runtime import Runtime, start
from greentrip_server.settings import Settings

T = TypeVar("T")
Json = dict[str, Any]

NOW = datetime(2026, 3, 5, 8, 30, 15, tzinfo=UTC)
"""A Thursday afternoon in Beijing."""
_numbers = itertools.count(13_800_000_000)

MANY_CALLS = {"device_calls_a_minute_max": 1_000_000, "enrolments_a_minute_max": 1_000_000}
"""Tests call from one address, often, and within one minute of a clock that stands still."""
CONSENTS = {"location": "2026-03", "sync": "2026-03"}
PROGRAM = Path(sys.executable).with_name("greentrip-server")
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
POLL_INTERVAL_S = 0.02


def new_number() -> str:
    """A phone number that no person of this test run has yet."""
    return str(next(_numbers))


def day_from_today(offset: int) -> str:
    """A day in Beijing by this machine's clock: for server processes, whose clock nobody sets."""
    return (datetime.now(CHINA_TIME) + timedelta(days=offset)).date().isoformat()


# In this process


class SettableClock:
    """A server's clock that stands still until it is set."""

    def __init__(self, at: datetime = NOW) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def tick(self, **time_passed: float) -> None:
        """Let time pass: `tick(days=1)`."""
        self.at += timedelta(**time_passed)


@dataclass
class Served:
    """A server in this process: its runtime, and everything that a caller or an operator would use of it."""

    runtime: Runtime
    clock: SettableClock
    transport: httpx.BaseTransport
    url: str = "https://greentrip.example"
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx.Client(transport=self.transport, base_url=self.url)

    @property
    def root_key(self) -> str:
        return base64url(self.runtime.keys.root_public_key)

    @property
    def key_list(self) -> KeyList:
        return open_key_list(self.runtime.keys.key_list, self.runtime.keys.root_public_key)

    def code(self, enrolment: str | None = None) -> str:
        """The code that was sent for an enrolment, or the latest one."""
        sender = self.runtime.sender
        assert isinstance(sender, MemorySender)
        return list(sender.codes.values())[-1] if enrolment is None else sender.codes[UUID(enrolment)]

    def stranger(self) -> "Device":
        """A key that no server knows yet."""
        return Device(self.client, self.runtime.audience, self.key_list, now=self.clock)

    def device(self, number: str = "", consents: Mapping[str, str] = CONSENTS) -> "Device":
        """A new device, of the person with this number or of a new one."""
        made = self.stranger()
        enrolled = made.enrol(number or new_number(), self.code, consents)
        assert enrolled.status_code == 201, enrolled.text
        return made

    def ledger(self) -> LedgerReport:
        """What `greentrip-server ledger check` finds."""
        with self.runtime.database.read() as session:
            return check(session)

    def rows(self, model: type[T], **wanted: object) -> list[T]:
        """The rows of a table, by its primary key."""
        from sqlmodel import select

        with self.runtime.database.read() as session:
            order = list(model.__table__.primary_key.columns)
            return list(session.exec(select(model).filter_by(**wanted).order_by(*order)))


@contextmanager
def served(database_url: str, folder: Path, **settings: object) -> Iterator[Served]:
    """A server in this process on a database that it brings up to date."""
    clock = SettableClock()
    runtime = start(
        Settings(database_url=database_url, data_dir=folder / "server", **(MANY_CALLS | settings)),
        sender=MemorySender(),
        now=clock,
    )
    with AsgiTransport(create_app(runtime), parallel=True) as transport:
        yield Served(runtime, clock, transport)


# A device without an SDK: it signs what it is told to, also what no SDK would


class Device:
    """A key and the calls that it signs. `number` and `account` are set by `enrol`."""

    def __init__(self, client: httpx.Client, audience: str, keys: KeyList, *, now: Any) -> None:
        self.signer: Signer = signer_of(new_seed())
        self.account = ""
        self.number = ""
        self._client = client
        self._audience = audience
        self._keys = keys
        self._now = now

    @property
    def id(self) -> str:
        return thumbprint(self.signer.public_key)

    def enrol(self, number: str, code_of: Any, consents: Mapping[str, str] = CONSENTS) -> httpx.Response:
        """Ask for a code and use it."""
        asked = self._client.post("/v1/enrolments", json={"phone": number})
        self.number = number
        assert asked.status_code == 201, asked.text
        return self.register(asked.json()["enrolment"], code_of(asked.json()["enrolment"]), consents)

    def register(self, enrolment: str, code: str, consents: Mapping[str, str] = CONSENTS) -> httpx.Response:
        """`POST /v1/devices`."""
        body = {
            "enrolment": enrolment,
            "code": code,
            "public_key": base64url(self.signer.public_key),
            "consents": dict(consents),
        }
        answer = self.call("POST", "/v1/devices", json.dumps(body).encode(), "application/json")
        if answer.status_code == 201:
            self.account = answer.json()["account"]
        return answer

    def sign(self, method: str, target: str, body: bytes = b"", media_type: str = "", /, **spoilt: Any) -> str:
        """The signature of a call; `spoilt` replaces claims."""
        claims = {
            "audience": self._audience,
            "device": self.id,
            "method": method,
            "target": target,
            "iat": int(self._now().timestamp()),
            "digest": body_digest(body, ndjson=media_type == NDJSON),
        }
        return sign_request(self.signer, RequestClaims(**(claims | spoilt)))

    def call(
        self, method: str, target: str, body: bytes = b"", media_type: str = "", headers: Mapping[str, str] = {}
    ) -> httpx.Response:
        """A signed call; `headers` replace what it would send."""
        sent = {SIGNATURE_HEADER: self.sign(method, target, body, media_type)}
        if media_type:
            sent["Content-Type"] = media_type
        return self._client.request(method, target, content=body, headers=sent | dict(headers))

    def get(self, target: str) -> Json:
        """The object that answers, its receipt verified."""
        answer = self.call("GET", target)
        assert answer.status_code == 200, answer.text
        self.verify(answer)
        return answer.json()

    def ask(self, target: str, value: Json) -> Json:
        """The object that answers a posted one, its receipt verified."""
        answer = self.call("POST", target, json.dumps(value).encode(), "application/json")
        assert answer.status_code == 200, answer.text
        self.verify(answer)
        return answer.json()

    def erase(self, *trips: str) -> list[str]:
        """Erase trips of the account."""
        return self.ask("/v1/trip-erasures", {"trips": list(trips)})["erased"]

    def post(self, *lines: bytes) -> list[Json]:
        """Bring records; their results, the receipt and each line's hash verified."""
        answer = self.call("POST", "/v1/trips", join_lines(lines), NDJSON)
        assert answer.status_code == 200, answer.text
        self.verify(answer)
        results = results_of(answer)
        assert [result["line"] for result in results] == list(range(len(lines)))
        assert [result["sha256"] for result in results] == [sha256_hex(line) for line in lines]
        return results

    def verify(self, answer: httpx.Response, keys: KeyList | None = None) -> datetime:
        """The time in the answer's receipt, once everything about it is right."""
        request = answer.request
        sent = RequestClaims(
            self._audience,
            self.id,
            request.method,
            request.url.raw_path.decode(),
            open_request(request.headers[SIGNATURE_HEADER], self.signer.public_key).iat,
            body_digest(request.content, ndjson=request.headers.get("Content-Type") == NDJSON),
        )
        return open_receipt(
            answer.headers[RECEIPT_HEADER],
            keys or self._keys,
            sent,
            digest=body_digest(answer.content, ndjson=answer.headers["Content-Type"] == NDJSON),
        ).at


def results_of(answer: httpx.Response) -> list[Json]:
    """The result lines of an answer."""
    assert answer.headers["Content-Type"] == NDJSON
    return [json.loads(line) for line in split_lines(answer.content)]


# As processes


@dataclass
class ServerProcess:
    """`greentrip-server run` as a process of its own."""

    process: subprocess.Popen[str]
    log_file: Path
    facts: Json
    """What it printed."""
    opened: ExitStack
    """The connections of its callers; they close with it."""

    @property
    def url(self) -> str:
        return self.facts["url"]

    @property
    def root_key(self) -> str:
        return self.facts["root_key"]

    @property
    def audience(self) -> str:
        return thumbprint(base64url_decode(self.root_key))

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def client(self) -> httpx.Client:
        """A caller with connections of its own."""
        return self.opened.enter_context(httpx.Client(base_url=self.url, trust_env=False, timeout=30))

    def code(self, enrolment: str | None = None) -> str:
        """The code of an enrolment, or the latest one, as the development sender logged it."""
        words = [json.loads(line).get("event", "") for line in self.log.splitlines() if '"code ' in line]
        return [word.split()[1] for word in words if enrolment is None or word.endswith(enrolment)][-1]

    def stranger(self) -> Device:
        """A key that no server knows yet."""
        client = self.client()
        listed = client.get("/.well-known/greentrip-keys").text
        keys = open_key_list(listed, base64url_decode(self.root_key))
        return Device(client, self.audience, keys, now=lambda: datetime.now(UTC))

    def device(self, number: str = "") -> Device:
        """A new device, of the person with this number or of a new one."""
        made = self.stranger()
        enrolled = made.enrol(number or new_number(), self.code)
        assert enrolled.status_code == 201, enrolled.text
        return made

    def see(self, device: Device) -> Device:
        """A device that was enrolled by another process, calling this one."""
        seen = self.stranger()
        seen.signer, seen.account, seen.number = device.signer, device.account, device.number
        return seen

    def stop(self) -> int:
        """SIGTERM, and the status with which it ended."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_TIMEOUT_S)

    def kill(self) -> None:
        """SIGKILL: no time for anything."""
        self.process.kill()
        self.process.wait(STOP_TIMEOUT_S)


def environment(database_url: str, folder: Path, **settings: object) -> dict[str, str]:
    """The environment of a server program: nothing of the tests' own settings, and these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GREENTRIP_")}
    given = MANY_CALLS | {"database_url": database_url, "data_dir": folder / "server"} | settings
    return kept | {f"GREENTRIP_{name.upper()}": str(value) for name, value in given.items()}


@contextmanager
def server_process(
    database_url: str,
    folder: Path,
    *,
    arguments: Sequence[str] = (),
    name: str = "server",
    program: Sequence[str | Path] = (PROGRAM,),
    **settings: object,
) -> Iterator[ServerProcess]:
    """A server on a free port of this machine, ready to answer; ended by its own process id whatever happens."""
    folder.mkdir(parents=True, exist_ok=True)
    log_file = folder / f"{name}.log"
    command = [*program, "run", "--port", "0", "--json", *arguments]
    with ExitStack() as stack:
        log = stack.enter_context(log_file.open("w"))
        process = stack.enter_context(
            subprocess.Popen(
                command,
                env=environment(database_url, folder, **settings),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        )
        stack.callback(_end, process)
        assert process.stdout is not None
        printed = process.stdout.readline()
        if not printed:
            raise RuntimeError(f"the server did not start: {log_file.read_text()}")
        server = ServerProcess(process, log_file, json.loads(printed), stack.enter_context(ExitStack()))
        wait_until_ready(server)
        yield server


def wait_until_ready(server: ServerProcess) -> None:
    """Return once it answers."""
    deadline, client = time.monotonic() + START_TIMEOUT_S, server.client()
    while time.monotonic() < deadline:
        try:
            if client.get("/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            if server.process.poll() is not None:
                raise RuntimeError(f"the server ended: {server.log}") from None
        time.sleep(POLL_INTERVAL_S)
    raise RuntimeError(f"the server never answered: {server.log}")


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


# Phones


@contextmanager
def phone(
    server: Served | ServerProcess, folder: Path, *, number: str = "", clock: Clock | None = None
) -> Iterator[GreenTrip]:
    """A phone with the SDK on it, enrolled at a server."""
    if clock is None and isinstance(server, Served):
        clock = FakeClock(server.clock())
    transport = server.transport if isinstance(server, Served) else None
    with GreenTrip.open(
        folder,
        server=server.url,
        root_key=server.root_key,
        network=Network.sample(),
        clock=clock,
        transport=transport,
        dice=lambda: 0.0,
    ) as opened:
        opened.request_code(number or new_number())
        opened.enrol(server.code(), CONSENTS)
        yield opened


def commute(phone: GreenTrip, at: datetime) -> TripView:
    """The published commute, entered afterwards: 2517 g, all of them by the metro leg."""
    boarded, left, arrived = (at + timedelta(minutes=minute) for minute in (8, 78, 87))
    phone.start("walk", Point(39.8854, 116.3775), at=at)
    phone.switch("rail", "虎坊桥", at=boarded)
    phone.switch("walk", "东夏园", changes=["双井", "呼家楼"], at=left)
    return phone.finish(Point(39.9058, 116.7272), at=arrived)
