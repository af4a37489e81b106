"""What may leave the phone, written down a second time and without the SDK's help; and a search for what may not.

`findings_of` holds a captured request against the white list; `Secrets.scan` looks for places, names, numbers and times
in any text, as they are and as they hide: escaped, percent-encoded, in base64, as integers of a degree's parts.
"""

import binascii
import json
import platform
import re
import sqlite3
import sys
import urllib.parse
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import h11
import psycopg
from sqlalchemy.engine import make_url

from greentrip.trip import CHINA_TIME

NEAR_DEGREES = 0.02
"""Two kilometres: nearer than any two numbers of these tests are by chance."""
SCALES = {"e6": 10**6, "e7": 10**7}
PAIR_SCALES = (10**2, 10**3, 10**4, 10**5)

_DECIMAL = re.compile(r"(?<![\w.])-?\d{1,3}\.\d{2,}(?![\w.])")
_INTEGER = re.compile(r"(?<![\w.])\d{8,10}(?!\w|\.\d)")
_INTEGER_PAIR = re.compile(r"(?<![\w.])(?=(\d{4,7})\D{1,4}(\d{4,8})(?!\w|\.\d))")
_SECONDS = re.compile(r"(?<!\d)(\d{10})(?:\d{3}|\d{6}|\.\d+)?(?!\d)")
_ISO_MINUTE = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d")
_PHONE = re.compile(r"(?<![\w.])(?:\+?86[ -]?)?1[3-9]\d[ -]?\d{4}[ -]?\d{4}(?!\w)")
_PATH = re.compile(r"(?<![\w.:/])/(?:home|root|Users|tmp|var|private|work|data/(?:user|data))/\w|[A-Z]:\\\\?\w")
_DEVICE = re.compile(
    r"(?<![A-Za-z])(?:iPhone|iPad|iOS|Android|Darwin|Windows|Linux|macOS|HUAWEI|Xiaomi|Redmi|OPPO|vivo|Pixel|Samsung|HarmonyOS"
    r"|arm64|aarch64|x86_64|AMD64|CPython|Python|python-httpx|okhttp|Dalvik)(?![A-Za-z])",
    re.IGNORECASE,
)
_BASE64 = re.compile(r"[A-Za-z0-9_-]{24,}")
_ESCAPED = re.compile(r"\\+u([0-9a-fA-F]{4})")


# What must not be found


@dataclass
class Secrets:
    """What the phone knows and must keep: places, names, numbers, times, and what it is."""

    stations: Iterable[str]
    degrees: set[int] = field(default_factory=set)
    """The used latitudes and longitudes, in steps of NEAR_DEGREES."""
    times: set[int] = field(default_factory=set)
    """The trips' real moments, in Unix seconds."""
    folders: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._names = re.compile("|".join(map(re.escape, sorted(self.stations, key=len, reverse=True))))
        words = {platform.node(), platform.release(), platform.version(), platform.platform(), sys.prefix}
        self.folders |= {str(Path.home()), str(Path.cwd())} - {"/", "/root"}
        self._words = {word for word in words if len(word) > 3}
        self.minutes: set[str] = set()

    def add_place(self, lat: float, lon: float) -> None:
        self.degrees |= {round(value / NEAR_DEGREES) for value in (lat, lon)}

    def add_time(self, at: float) -> None:
        self.times |= {int(at), round(at)}
        for zone in (UTC, CHINA_TIME):
            self.minutes.add(datetime.fromtimestamp(at, zone).isoformat(" ", "minutes")[:16])

    def scan(self, text: str, *, device: bool = True) -> list[str]:
        """What of it stands in the text, in any spelling. `device`: False for a server, which may name itself."""
        found = [hit for view in _views(text) for hit in self._scan(view, device)]
        return list(dict.fromkeys(found))

    def _scan(self, text: str, device: bool) -> Iterator[str]:
        yield from (f"station {hit}" for hit in self._names.findall(text))
        yield from (f"phone number {hit}" for hit in _PHONE.findall(text))
        yield from (f"degrees {hit}" for hit in _DECIMAL.findall(text) if self._near(float(hit)))
        for hit in _INTEGER.findall(text):
            yield from (f"degrees {name} {hit}" for name, scale in SCALES.items() if self._near(int(hit) / scale))
        for pair in _INTEGER_PAIR.findall(text):
            if any(all(self._near(int(part) / scale) for part in pair) for scale in PAIR_SCALES):
                yield f"degrees {pair}"
        yield from (f"time {hit}" for hit in _SECONDS.findall(text) if int(hit) in self.times)
        yield from (f"time {hit}" for hit in _ISO_MINUTE.findall(text) if hit.replace("T", " ") in self.minutes)
        yield from (f"path {folder}" for folder in self.folders if folder in text)
        if device:
            yield from (f"path {hit}" for hit in _PATH.findall(text))
            yield from (f"device {hit}" for hit in _DEVICE.findall(text))
            yield from (f"device {word}" for word in self._words if word in text)

    def _near(self, degrees: float) -> bool:
        return round(abs(degrees) / NEAR_DEGREES) in self.degrees


def _views(text: str) -> Iterator[str]:
    """The text as it is, and with what is encoded in it laid open."""
    yield text
    plain = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)
    plain = urllib.parse.unquote(plain)
    if plain != text:
        yield plain
    for token in _BASE64.findall(text):
        try:
            opened = urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
        except (binascii.Error, UnicodeDecodeError):
            continue
        yield from _views(opened)


# What was sent


@dataclass
class Request:
    """A request as it stood on the wire; `complete` is False when the network was cut in it."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    complete: bool = False


def requests_of(sent: bytes) -> list[Request]:
    """The requests in the bytes that a phone sent on one connection."""
    wire = h11.Connection(h11.SERVER)
    wire.receive_data(sent)
    found: list[Request] = []
    while True:
        event = wire.next_event()
        if isinstance(event, h11.Request):
            headers = [(name.decode(), value.decode()) for name, value in event.headers]
            found.append(Request(event.method.decode(), event.target.decode(), headers))
        elif isinstance(event, h11.Data):
            found[-1].body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            found[-1].complete = True
            wire.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
            wire.send(h11.EndOfMessage())
            wire.start_next_cycle()
        else:
            return found


# What may be sent

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
_KEY = r"[A-Za-z0-9_-]{43}"
_JSON, _LINES, _NOTHING = "application/json", "application/x-ndjson", ""

CALLS: dict[tuple[str, str], tuple[str, bool]] = {
    ("POST", r"/v1/enrolments"): (_JSON, False),
    ("POST", r"/v1/devices"): (_JSON, True),
    ("POST", r"/v1/trips"): (_LINES, True),
    ("GET", r"/v1/account"): (_NOTHING, True),
    ("GET", r"/v1/account/statement(\?after=\d{1,19})?"): (_NOTHING, True),
    ("POST", r"/v1/trip-erasures"): (_JSON, True),
    ("GET", r"/v1/notices(\?after=\d{1,19})?"): (_NOTHING, True),
    ("GET", r"/v1/sync-state"): (_NOTHING, True),
    ("POST", r"/v1/sync-state"): (_JSON, True),
    ("POST", r"/v1/erasure"): (_JSON, False),
    ("GET", r"/\.well-known/greentrip-keys"): (_NOTHING, False),
}
"""Method and target -> media type of the body, and whether the call is signed."""
HEADERS = {
    "host": r"127\.0\.0\.1:\d+",
    "accept": r"\*/\*",
    "accept-encoding": r"gzip",
    "connection": r"keep-alive",
    "user-agent": r"greentrip",
}
"""Of every request, each once. Nothing that differs from phone to phone: no language, no version, no platform."""
RECORD = {
    "v": r"1",
    "id": rf'"{_UUID}"',
    "day": r'"\d{4}-\d\d-\d\d"',
    "slot": r"\d|[1-3]\d|4[0-7]",
    "province": r"11|12|13",
    "legs": None,
    "features": None,
    "flags": r'\[("even"|"gap"|"mock"|"repeat"|"replay"|, )*\]',
    "methodology": r'"[a-z0-9-]+@[0-9a-f]{16}"',
    "reduction_mg": r"\d{1,9}",
    "commitment": r'"[0-9a-f]{64}"',
}
LEG = {
    "mode": r'"(walk|cycle|bus|rail|carpool)"',
    "distance_m": r"0|\d{1,5}0",
    "duration_min": r"[1-9]|[1-5]\d|\d{1,3}[05]",
    "method": r'"(track|rail|endpoints)"',
    "route": r'"(shortest|named|track)"',
}
FEATURES = {
    "leg": r"\d|1[01]",
    "median_kmh": r"\d{0,2}[02468]",
    "p85_kmh": r"\d{0,2}[02468]",
    "p95_kmh": r"\d{0,2}[02468]",
    "moving_kmh": r"\d{0,2}[02468]",
    "stopped_percent": r"100|\d?[05]",
    "fixes": r"[0-3]",
}
ORDER = {"aud": _KEY, "sub": _KEY, "typ": "erasure", "id": _UUID}
"""What an order to erase an account says: no account, no time."""
CLAIMS = {"aud": _KEY, "sub": _KEY, "htm": "GET|POST", "htu": r"/\S*", "iat": r"\d{10}", "digest": r"[0-9a-f]{64}"}


def findings_of(request: Request, secrets: Secrets) -> list[str]:
    """What a request holds that may not be sent."""
    call = next((c for c in CALLS if c[0] == request.method and re.fullmatch(c[1], request.target)), None)
    if call is None:
        return [f"call {request.method} {request.target}"]
    media_type, signed = CALLS[call]
    found = [*_headers(request, media_type, signed)]
    body = request.body.decode(errors="replace")
    if request.complete:
        found += _body(request, body, call[1])
    if call[1] == "/v1/enrolments":
        body = _PHONE.sub("", body, count=1)  # the one place for a number; the white list says where it stands
    for text in (request.target, *(f"{name}: {value}" for name, value in request.headers), body):
        found += secrets.scan(text)
    return found


def _headers(request: Request, media_type: str, signed: bool) -> Iterator[str]:
    expected = dict(HEADERS)
    if media_type:
        expected |= {"content-type": re.escape(media_type), "content-length": r"\d{1,6}"}
    if signed:
        expected["greentrip-signature"] = r"[\w-]+\.[\w-]+\.[\w-]{86}"
    names = [name for name, _ in request.headers]
    yield from (f"header {name} is missing" for name in sorted(expected.keys() - set(names)))
    yield from (f"header {name} comes twice" for name in sorted({n for n in names if names.count(n) > 1}))
    for name, value in request.headers:
        if name not in expected:
            yield f"header {name}: {value}"
        elif not re.fullmatch(expected[name], value):
            yield f"header {name}: {value} looks otherwise"
        elif name == "greentrip-signature":
            yield from _signature(request, value)


def _signature(request: Request, token: str) -> Iterator[str]:
    header, claims = _opened(token)
    yield from _object("signature header", header, {"alg": '"Ed25519"', "kid": f'"{_KEY}"'})
    yield from _object("signature", {key: str(value) for key, value in claims.items()}, _quoted(CLAIMS))
    if (claims.get("htm"), claims.get("htu")) != (request.method, request.target):
        yield "signature of another call"


def _opened(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a JWS."""
    header, claims = (json.loads(urlsafe_b64decode(part + "==")) for part in token.split(".")[:2])
    return header, claims


def _quoted(patterns: dict[str, str]) -> dict[str, str | None]:
    return {key: f'"({pattern})"' for key, pattern in patterns.items()}


def _body(request: Request, body: str, call: str) -> Iterator[str]:
    if request.method == "GET":
        yield from [f"body {body}"] if body else []
    elif call == "/v1/enrolments":
        yield from _object("enrolment", json.loads(body), {"phone": r'"(\+?86)?1\d{10}"'})
    elif call == "/v1/devices":
        device = json.loads(body)
        shape = {"enrolment": rf'"{_UUID}"', "code": r'"\d{6}"', "public_key": f'"{_KEY}"', "consents": None}
        yield from _object("device", device, shape)
        consents: dict[str, str] = device.get("consents", {})
        words = dict.fromkeys(consents.keys() & {"location", "sync", "statistics", "audits"}, r'"[0-9.-]{1,16}"')
        yield from _object("consents", consents, words)
    elif call in ("/v1/trip-erasures", "/v1/sync-state"):
        ids = json.loads(body)
        yield from _object("ids", ids, {"trips": None})
        yield from (f"id {one!r}" for one in ids.get("trips", []) if not re.fullmatch(_UUID, one))
    elif call == "/v1/erasure":
        order = json.loads(body)
        yield from _object("erasure", order, {"order": r'"[\w-]+\.[\w-]+\.[\w-]{86}"'})
        _, claims = _opened(order["order"])
        yield from _object("order", {key: str(value) for key, value in claims.items()}, _quoted(ORDER))
    else:
        for line in body.removesuffix("\n").split("\n"):
            yield from record_findings(line)


def record_findings(line: str) -> Iterator[str]:
    """What a record holds that none may."""
    record = json.loads(line)
    yield from _object("record", record, RECORD)
    for leg in record.get("legs", []):
        shape = LEG if leg.get("method") == "rail" else {key: value for key, value in LEG.items() if key != "route"}
        yield from _object("leg", leg, shape)
        if leg.get("distance_m", 0) % (10 if leg.get("mode") == "rail" else 100):
            yield f"leg of {leg['distance_m']} m"
    for features in record.get("features", []):
        yield from _object("features", features, FEATURES)
    if len(record.get("legs", [])) > 12 or len(record.get("features", [])) > len(record.get("legs", [])):
        yield "record of too many legs or features"
    try:
        date.fromisoformat(str(record.get("day")))
    except ValueError:
        yield f"record of the day {record.get('day')}"
    if line != json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=True):
        yield "record in another spelling, which could hide bits"


def _object(what: str, value: dict[str, Any], shape: dict[str, str | None]) -> Iterator[str]:
    """Fields that are not on the list, are missing, or hold something else."""
    yield from (f"{what}: the field {key} is missing" for key in shape if key not in value)
    for key, item in value.items():
        if key not in shape:
            yield f"{what}: the field {key}"
        elif (pattern := shape[key]) is not None and not re.fullmatch(pattern, json.dumps(item)):
            yield f"{what}: {key} is {item!r}"


# What a server keeps

FINE_TIMES = {
    ("person_account", "created_at"),
    ("device", "created_at"),
    ("enrolment", "created_at"),
    ("enrolment", "expires_at"),
    ("enrolment", "used_at"),
    ("consent", "given_at"),
    ("consent", "withdrawn_at"),
}
"""The columns that may hold a moment finer than an hour: all about accounts and devices, none about trips."""
_FINE_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:(?!00:00(?:\.0+)?(?:\D|$))\d\d")

Value = tuple[str, str, str]


def values_of(database_url: str) -> Iterator[Value]:
    """Table, column and text of every value in a database, whatever its schema."""
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite":
        assert url.database is not None
        with closing(sqlite3.connect(url.database)) as db:
            tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            for table in tables:
                yield from _rows(table, db.execute(f'SELECT * FROM "{table}"'))  # noqa: S608
        return
    with psycopg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False)) as db:
        listed = db.execute(
            "SELECT table_schema, table_name FROM information_schema.tables"
            " WHERE table_schema NOT IN ('pg_catalog', 'information_schema')"
        )
        for schema, table in listed.fetchall():
            yield from _rows(table, db.execute(f'SELECT * FROM "{schema}"."{table}"'))  # noqa: S608


def _rows(table: str, rows: Any) -> Iterator[Value]:
    names = [column[0] for column in rows.description]
    for row in rows.fetchall():
        for name, value in zip(names, row, strict=True):
            if value is not None:
                yield table, name, _text(value)


def _text(value: object) -> str:
    if isinstance(value, bytes | memoryview):
        return bytes(value).decode(errors="replace")
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)


def database_findings(values: Iterable[Value], secrets: Secrets) -> list[str]:
    """What a database holds that no server may know."""
    found = []
    for table, column, text in values:
        found += [f"{table}.{column}: {hit}" for hit in secrets.scan(text)]
        table = re.sub(r"_p?\d+$", "", table)  # a partition is its table
        if (table, column) not in FINE_TIMES and _FINE_TIME.search(text):
            found.append(f"{table}.{column}: a moment, {text}")
    return list(dict.fromkeys(found))
