"""The border: everything that the SDK sends, logs, and makes a server keep, held against a white list.

One long run does all that an app can do, over a relay that keeps the bytes on the wire as they pass below TLS. Then
everything is read. That the search finds what it is for is shown by planting each kind of leak.
"""

import json
import logging
import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from greentrip import GreenTrip, Network, Point, Refused, State, Stop, SystemClock
from greentrip.testing import Relay
from greentrip.trip import CHINA_TIME
from greentrip.wire import base64url
from privacy.border import (
    Request,
    Secrets,
    database_findings,
    findings_of,
    record_findings,
    requests_of,
    values_of,
)
from support.postgres import PostgresServer
from support.server import CONSENTS, ServerProcess, server_process

NUMBERS = ("13912345678", "+8613887654321")
HOME, WORK = Point(39.8853127, 116.3776841), Point(39.9061723, 116.7268459)
PARK = Point(39.9342871, 116.4127653)
PAGE_ROWS = 200
GREENTRIP = Path(sys.executable).with_name("greentrip")


class AheadClock(SystemClock):
    """A phone's clock that is an hour ahead."""

    def now(self) -> float:
        return super().now() + 3600


@dataclass
class Captured:
    """All that passed and all that stayed, once the run is over."""

    secrets: Secrets
    sent: list[bytes]
    sdk_log: str
    server_log: str
    database_url: str

    @property
    def requests(self) -> list[Request]:
        return [request for sent in self.sent for request in requests_of(sent)]

    @property
    def records(self) -> list[dict[str, Any]]:
        trips = [r.body for r in self.requests if r.target == "/v1/trips" and r.complete]
        return [json.loads(line) for body in trips for line in body.splitlines()]


class Run:
    """Does everything that an app can do with the SDK, and remembers what of it is nobody's business."""

    def __init__(self, server: ServerProcess, folder: Path, secrets: Secrets) -> None:
        self.server = server
        self.folder = folder
        self.secrets = secrets
        self.network = Relay(int(server.url.rsplit(":", 1)[1]))
        self.url = f"http://127.0.0.1:{self.network.port}"
        self.dice = random.Random(20241001)
        self.at = datetime.now(CHINA_TIME).replace(hour=6, minute=13, second=37).timestamp() - 20 * 86_400

    def open(self, name: str, clock: SystemClock | None = None) -> GreenTrip:
        return GreenTrip.open(
            self.folder / name,
            server=self.url,
            root_key=self.server.root_key,
            network=Network.sample(),
            clock=clock,
            dice=lambda: 0.0,
        )

    def everything(self) -> None:
        with self.open("phone") as green:
            self.enrol(green)
            self.network.cut()
            self.all_modes(green)
            assert green.sync(1).stop is Stop.OFFLINE
            self.network.restore()
            assert green.sync(30).stop is Stop.DONE
            self.network.cut()
            assert green.sync(1).stop is Stop.DONE  # nothing waits
            with pytest.raises(Exception, match="cannot be reached"):
                green.account()
            self.network.restore()
            self.many_trips(green)
            assert green.sync(60).stop is Stop.DONE
            assert len(green.statement()) > PAGE_ROWS
            assert green.account().balance_mg > 0
            self.trip(green, "bus", HOME, PARK, 1500)
        with self.open("phone", AheadClock()) as green:  # told the time, and calls again
            assert green.sync(30).settled == {State.ACCEPTED: 1}
        self.replay()
        self.take_back()

    def enrol(self, green: GreenTrip) -> None:
        green.request_code(NUMBERS[0])
        with pytest.raises(Refused):
            green.enrol("000000", CONSENTS)
        green.enrol(self.server.code(), CONSENTS | {"statistics": "1", "audits": "1"})

    def all_modes(self, green: GreenTrip) -> None:
        for mode in ("walk", "cycle", "bus", "carpool"):
            self.trip(green, mode, HOME, PARK, 3000, fixes=60)
            self.trip(green, mode, PARK, WORK, 5400)
        self.trip(green, "rail", "虎坊桥", "东夏园", 4200, changes=["双井", "呼家楼"])
        self.trip(green, "rail", Point(39.8893, 116.3922), Point(39.9021, 116.7112), 4200)  # near stations
        self.trip(green, "rail", PARK, Point(40.0123457, 116.5123457), 2400, fixes=80)  # near none
        self.trip(green, "rail", "国贸", "草房", 2400, fixes=50)
        begun = self.begin()
        green.start("walk", HOME, at=begun)
        green.fix(HOME, at=begun + 7, mock=True, accuracy_m=4.7)
        green.switch("rail", "虎坊桥", at=begun + 600)
        green.switch("rail", "双井", at=begun + 1500)
        green.switch("walk", "国贸", at=begun + 2400)
        self.know(HOME, begun + 7, begun + 600, begun + 1500, begun + 2400)
        green.finish(Point(39.9101234, 116.4591234), at=begun + 3000)
        green.start("walk", HOME, at=begun + 9000)
        green.cancel()
        self.trip(green, "bus", Point(37.8712345, 112.5512345), HOME, 3000)  # out of the programme: stays on the phone
        self.know(Point(37.8712345, 112.5512345))

    def many_trips(self, green: GreenTrip) -> None:
        """More than a page of the statement."""
        for _ in range(PAGE_ROWS + 10):
            self.trip(green, "bus", HOME, PARK, 1500, hours=1.25)

    def trip(
        self,
        green: GreenTrip,
        mode: str,
        start: Point | str,
        end: Point | str,
        seconds: int,
        *,
        fixes: int = 0,
        changes: list[str] | None = None,
        hours: float = 2.0,
    ) -> None:
        at = self.begin(hours)
        green.start(mode, start, at=at)
        a, b = (Network.sample().point_of(p) if isinstance(p, str) else p for p in (start, end))
        for step in range(fixes):
            share = step / fixes
            lat, lon = a.lat + (b.lat - a.lat) * share, a.lon + (b.lon - a.lon) * share
            point = Point(lat + self.dice.gauss(0, 4e-5), lon + self.dice.gauss(0, 4e-5))
            green.fix(point, at=at + seconds * share, accuracy_m=self.dice.choice([None, 6.5]))
            self.know(point, at + seconds * share)
        trip = green.finish(end, changes=changes, at=at + seconds)
        if trip.question is not None:  # steady speeds look like an e-bike's
            green.answer(trip.id, mode)
        self.know(a, at)
        self.know(b, at + seconds)

    def begin(self, hours: float = 2.0) -> float:
        """The start of the next trip: a moment that no clock strikes."""
        self.at += hours * 3600 + self.dice.randrange(1, 50)
        return self.at

    def know(self, point: Point, *times: float) -> None:
        self.secrets.add_place(point.lat, point.lon)
        for at in times:
            self.secrets.add_time(at)

    def replay(self) -> None:
        """By the command line, in a process of its own: another person, enrolled, two tracks, two syncs."""
        at = int(self.at) - 30 * 86_400
        rows = []
        for mode, metres_a_step in (("walk", 14), ("Bike", 45)):
            fixes = []
            for step in range(90):
                fixes.append([at + 10 * step, 39.9512345 + step * metres_a_step * 9e-6, 116.3812345])
                self.know(Point(*fixes[-1][1:]), fixes[-1][0])
            rows.append({"user": "walker", "mode": mode, "start": fixes[0][0], "end": fixes[-1][0], "fixes": fixes})
            at += 7200
        file = self.folder / "tracks.jsonl"
        file.write_text("\n".join(map(json.dumps, rows)))
        with subprocess.Popen(
            [GREENTRIP, "enrol", "--phone", NUMBERS[1], *self.where(), "--lang", "en"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as enrolling:
            assert enrolling.stderr is not None
            assert enrolling.stderr.readline() == "a code was sent to the number\n"
            out, err = enrolling.communicate(self.server.code() + "\n", timeout=60)
        assert (enrolling.returncode, err) == (0, ""), out
        for verb, *arguments in (("replay", str(file)), ("sync",), ("account",)):
            done = subprocess.run([GREENTRIP, verb, *arguments, *self.where()], capture_output=True, text=True)
            assert (done.returncode, done.stderr) == (0, ""), done.stdout

    def take_back(self) -> None:
        """One trip, and everything of the other person; and what the phone asks of its server weekly."""
        with self.open("phone") as green:
            accepted = [trip for trip in green.trips() if trip.state is State.ACCEPTED]
            green.erase_trip(accepted[0].id)
            green.erase_trip(accepted[-1].id)
            assert green.repair(30).stop is Stop.DONE
            assert {notice.kind for notice in green.notices()} >= {"erasure"}
            green.opt_out("keep")
            green.opt_in()
            assert green.diagnose()
        with self.open("walker") as green:
            assert green.erase(30)

    def where(self) -> list[str]:
        return ["--folder", str(self.folder / "walker"), "--server", self.url, "--root-key", self.server.root_key]


@pytest.fixture(scope="module")
def run_on(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Captured]:
    """The run on a kind of database; once a kind."""
    done: dict[str, Captured] = {}

    def run(kind: str) -> Captured:
        if kind not in done:
            done[kind] = _run(kind, request, tmp_path_factory.mktemp("border"))
        return done[kind]

    return run


@pytest.fixture(params=["sqlite", "postgresql"])
def captured(request: pytest.FixtureRequest, run_on: Callable[[str], Captured]) -> Captured:
    return run_on(request.param)


@pytest.fixture
def sample(run_on: Callable[[str], Captured]) -> Captured:
    """One run that leaks are planted in."""
    return run_on("sqlite")


def _run(kind: str, request: pytest.FixtureRequest, folder: Path) -> Captured:
    url = f"sqlite:///{folder / 'server.sqlite3'}"
    if kind == "postgresql":
        postgres: PostgresServer = request.getfixturevalue("postgres_server")
        postgres.start()
        url = postgres.url(postgres.create_database())
    secrets = Secrets(stations_of(request), folders={str(folder)})
    log_file = logging.FileHandler(folder / "sdk.log")
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(log_file)
    root.setLevel(logging.DEBUG)
    try:
        with server_process(url, folder, log_level="DEBUG") as server:
            run = Run(server, folder, secrets)
            with run.network:
                run.everything()
                sent = [bytes(connection) for connection in run.network.sent]
            return Captured(secrets, sent, (folder / "sdk.log").read_text(), server.log, url)
    finally:
        root.removeHandler(log_file)
        root.setLevel(level)
        log_file.close()


def stations_of(request: pytest.FixtureRequest) -> set[str]:
    """The names of the network in use, and of the whole real one where it is there."""
    names = set(Network.sample().stations)
    try:
        real: Path = request.getfixturevalue("shared_data") / "beijing_rail"
    except pytest.skip.Exception:
        return names
    return names | set(Network.from_csv(real).stations)


def test_the_run_did_everything(captured: Captured):
    called = {f"{request.method} {request.target.partition('?')[0]}" for request in captured.requests}
    assert called == {
        "POST /v1/enrolments",
        "POST /v1/devices",
        "POST /v1/trips",
        "GET /v1/account",
        "GET /v1/account/statement",
        "POST /v1/trip-erasures",
        "GET /v1/notices",
        "GET /v1/sync-state",
        "POST /v1/sync-state",
        "POST /v1/erasure",
        "GET /.well-known/greentrip-keys",
    }
    assert any("?after=" in request.target for request in captured.requests)
    legs = [leg for record in captured.records for leg in record["legs"]]
    assert {leg["mode"] for leg in legs} == {"walk", "cycle", "bus", "rail", "carpool"}
    assert {(leg["method"], leg.get("route")) for leg in legs if leg["mode"] == "rail"} == {
        ("rail", "named"),
        ("rail", "shortest"),
        ("track", None),
    }
    assert {flag for record in captured.records for flag in record["flags"]} == {"even", "mock", "replay"}
    assert len({record["id"] for record in captured.records}) > PAGE_ROWS + 10
    assert len(captured.secrets.times) > 500


def test_nothing_is_sent_that_is_not_on_the_list(captured: Captured):
    found = [(r.method, r.target, hit) for r in captured.requests for hit in findings_of(r, captured.secrets)]
    assert found == []


def test_every_byte_on_the_wire_was_read_as_a_request(captured: Captured):
    """Nothing is sent beside HTTP; a request that the network cut is scanned as far as it came."""
    assert sum(map(len, captured.sent)) > 50_000
    for sent in captured.sent:
        read = requests_of(sent)
        assert [request for request in read[:-1] if not request.complete] == []
        assert read or not sent.strip()
        rest = sent.decode()
        for number in NUMBERS:
            rest = rest.replace(json.dumps({"phone": number}), "")
        assert captured.secrets.scan(rest) == []


def test_the_sdk_logs_no_place_and_no_secret(captured: Captured):
    assert "/v1/trips" in captured.sdk_log  # httpx was heard
    assert captured.secrets.scan(captured.sdk_log) == []


def test_the_server_logs_no_place_and_no_number(captured: Captured):
    assert "code " in captured.server_log
    assert captured.secrets.scan(captured.server_log, device=False) == []


def test_the_database_holds_no_place_and_no_number(captured: Captured):
    values = list(values_of(captured.database_url))
    assert {table for table, _, _ in values} > {"trip", "trip_bytes", "sync_request", "identity", "posting"}
    lines = {text for table, column, text in values if (table, column) == ("trip_bytes", "line")}
    assert len(lines) > PAGE_ROWS
    assert database_findings(values, captured.secrets) == []
    if captured.database_url.startswith("sqlite"):
        # Also what is deleted and not yet overwritten.
        for file in Path(captured.database_url.removeprefix("sqlite:///")).parent.glob("server.sqlite3*"):
            content = file.read_bytes()
            assert not [word for word in (*captured.secrets.stations, *NUMBERS) if word.encode() in content]


# The search finds what it is for


SECRETS_AT = 1_790_000_017


@pytest.fixture(scope="module")
def secrets() -> Secrets:
    known = Secrets(Network.sample().stations)
    known.add_place(39.8853127, 116.3776841)
    known.add_time(SECRETS_AT)
    return known


@pytest.mark.parametrize(
    "leak",
    [
        "39.89",
        "at 39.8853127, 116.3776841",
        "-116.38",
        '{"lat":398853127}',
        '{"lon":1163776841}',
        "39885313",
        "[3988,11638]",
        "39885 116378",
        "虎坊桥",
        "\\u864e\\u574a\\u6865",
        "%E8%99%8E%E5%9D%8A%E6%A1%A5",
        base64url('{"from":"虎坊桥","to":"东夏园"}'.encode()),
        base64url(b'{"from":[39.8853,116.3777]}'),
        "13912345678",
        "+86 139 1234 5678",
        "Dalvik/2.1.0 (Linux; U; Android 14; Pixel 8)",
        "iPhone15,2",
        "arm64",
        "python-httpx/0.28.1",
        "/ho" + "me/somebody/trips.sqlite3",
        "/data/data/org.example/files",
        "C:\\Users\\somebody",
        str(SECRETS_AT),
        f"{SECRETS_AT}123",
        f"{SECRETS_AT}.5",
        datetime.fromtimestamp(SECRETS_AT, CHINA_TIME).isoformat(),
        str(datetime.fromtimestamp(SECRETS_AT, CHINA_TIME).astimezone(tz=None).strftime("%Y-%m-%d %H:%M")),
    ],
)
def test_the_scan_finds_every_kind_of_leak(secrets: Secrets, leak: str):
    assert secrets.scan(f"before {leak} after")
    assert secrets.scan(json.dumps({"x": leak}))


@pytest.mark.parametrize(
    "harmless",
    [
        "127.0.0.1:39885",
        "2026-03-05",
        "distance_m 34960, 70 min",
        "2517120",
        "e84e5d86c3919ee2641c7e3867d6dc783a72db4259986b835909d5c1602c2543",
        str(SECRETS_AT + 60),
        "db11t-3043-2024@86c88764306516fd",
        "轨迹由文件回放生成",
    ],
)
def test_the_scan_leaves_the_rest_alone(secrets: Secrets, harmless: str):
    assert secrets.scan(harmless) == []


@pytest.fixture
def post(sample: Captured) -> Request:
    """A captured call that brought records, one of them with features and one by named changes."""
    calls = [r for r in sample.requests if r.target == "/v1/trips" and b'"named"' in r.body and b'"p95_kmh"' in r.body]
    assert findings_of(calls[0], sample.secrets) == []
    return calls[0]


def plant(request: Request, change: Callable[[dict[str, Any]], object]) -> Request:
    """The call with something done to the record that has a named route."""
    lines = request.body.decode().splitlines()
    at = next(number for number, line in enumerate(lines) if '"named"' in line)
    record = json.loads(lines[at])
    change(record)
    lines[at] = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return replace(request, body=("\n".join(lines) + "\n").encode())


COARSE = {
    "leg": 0,
    "median_kmh": 12,
    "p85_kmh": 16,
    "p95_kmh": 18,
    "moving_kmh": 14,
    "stopped_percent": 5,
    "fixes": 1,
}
PLANTED: dict[str, Callable[[dict[str, Any]], object]] = {
    "a new field": lambda r: r.update(interval=[1, 2]),
    "a sequence number": lambda r: r.update(seq=17),
    "a field in a leg": lambda r: r["legs"][0].update(heading=90),
    "a field in the features": lambda r: r.update(features=[COARSE | {"bearing": 3}]),
    "a missing field": lambda r: r.pop("slot"),
    "a place as the methodology": lambda r: r.update(methodology="39.8853127@0123456789abcdef"),
    "a station as the route": lambda r: r["legs"][0].update(route="虎坊桥"),
    "a coordinate as the figure": lambda r: r.update(reduction_mg=398_853_127),
    "a time as the id": lambda r: r.update(id="0191f7a0-7b3c-7000-8000-000000000000"),
    "the minute as the slot": lambda r: r.update(slot=461),
    "a moment as the day": lambda r: r.update(day="2026-03-05T07:41:00"),
    "metres that are not rounded": lambda r: r["legs"][0].update(distance_m=34_958),
    "seconds as the duration": lambda r: r["legs"][0].update(duration_min=4_203),
    "an hour and a minute": lambda r: r["legs"][0].update(duration_min=61),
    "a fraction": lambda r: r["legs"][0].update(duration_min=7.5),
    "exact speeds": lambda r: r.update(features=[COARSE | {"moving_kmh": 13}]),
    "a device among the flags": lambda r: r["flags"].append("iPhone15,2"),
    "something in place of the province": lambda r: r.update(province="虎坊桥"),
}


@pytest.mark.parametrize("what", PLANTED)
def test_a_leak_in_a_record_is_caught(sample: Captured, post: Request, what: str):
    spoilt = plant(post, PLANTED[what])
    assert findings_of(spoilt, sample.secrets) != []


def test_bits_hidden_in_the_spelling_are_caught(post: Request):
    line = post.body.decode().splitlines()[0]
    assert list(record_findings(line)) == []
    assert list(record_findings(line.replace(":", ": ", 1))) != []
    assert list(record_findings(json.dumps(dict(reversed(json.loads(line).items())), separators=(",", ":")))) != []


@pytest.mark.parametrize(
    "header",
    [
        ("accept-language", "zh-CN"),
        ("user-agent", "greentrip/0.1.0 (Android 14; Pixel 8)"),
        ("cookie", "id=1"),
        ("x-device", "1"),
        ("accept", "*/*"),  # a second one
        ("referer", "http://127.0.0.1/"),
        ("traceparent", "00-1-1-00"),
    ],
)
def test_a_leak_in_a_header_is_caught(sample: Captured, post: Request, header: tuple[str, str]):
    assert findings_of(replace(post, headers=[*post.headers, header]), sample.secrets) != []
    others = [(name, value) for name, value in post.headers if name != header[0]]
    if header[0] == "user-agent":
        assert findings_of(replace(post, headers=[*others, header]), sample.secrets) != []


@pytest.mark.parametrize("target", ["/v1/trips?lat=39.8853", "/v1/telemetry", "/v1/account/statement?after=x"])
def test_a_call_that_is_not_on_the_list_is_caught(sample: Captured, post: Request, target: str):
    assert findings_of(replace(post, target=target), sample.secrets) != []
    assert findings_of(replace(post, method="GET", target=target), sample.secrets) != []


def test_a_number_is_allowed_in_one_place_only(sample: Captured):
    asked = next(r for r in sample.requests if r.target == "/v1/enrolments")
    assert findings_of(asked, sample.secrets) == []
    spoilt = json.dumps({"phone": NUMBERS[0], "other": NUMBERS[1]}).encode()
    assert findings_of(replace(asked, body=spoilt), sample.secrets) != []
    registered = next(r for r in sample.requests if r.target == "/v1/devices")
    assert findings_of(registered, sample.secrets) == []
    body = json.loads(registered.body)
    for leak in ({"model": "x"}, {"consents": {"location": NUMBERS[0]}}, {"code": NUMBERS[0]}):
        assert findings_of(replace(registered, body=json.dumps(body | leak).encode()), sample.secrets) != []


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("trip", "commitment", "39.8853127"),
        ("trip", "rules", '[{"rule": "speed", "en": "from \\u864e\\u574a\\u6865"}]'),
        ("trip", "received_hour", "2026-03-05 07:41:17.000000"),
        ("trip_bytes", "line", "到 东夏园".encode()),
        ("sync_request", "jws", base64url(b'{"lat":39.8853127,"lon":116.3776841}')),
        ("identity", "phone_hash", NUMBERS[0]),
        ("device", "public_key", b"Pixel 8 Android"),
        ("trip", "slot", 398_853_127),
    ],
)
def test_a_leak_in_the_database_is_caught(sample: Captured, tmp_path: Path, table: str, column: str, value: Any):
    copy = tmp_path / "copy.sqlite3"
    with (
        closing(sqlite3.connect(sample.database_url.removeprefix("sqlite:///"))) as source,
        closing(sqlite3.connect(copy)) as db,
    ):
        source.backup(db)
        db.execute("PRAGMA ignore_check_constraints = ON")
        db.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = (SELECT min(rowid) FROM {table})", (value,))  # noqa: S608
        db.commit()
    found = database_findings(values_of(f"sqlite:///{copy}"), sample.secrets)
    assert [hit for hit in found if hit.startswith(f"{table}.{column}: ")]


def test_a_leak_in_a_log_is_caught(sample: Captured):
    for line in ("DEBUG greentrip: start at 39.8853127", 'INFO {"from": "虎坊桥"}', f"WARNING number {NUMBERS[0]}"):
        assert sample.secrets.scan(f"{sample.sdk_log}\n{line}\n") != []
        assert sample.secrets.scan(f"{sample.server_log}\n{line}\n", device=False) != []
