"""The calls of a `FakeServer`, one function each, by the rules of the protocol."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, cast
from uuid import UUID

import httpx

from greentrip.signing import KEY_BYTES, thumbprint
from greentrip.signing.jws import BadToken
from greentrip.testing.answers import problem
from greentrip.testing.fake_books import Enrolment, FakeAccount
from greentrip.trust import (
    CLOCK_WINDOW_S,
    open_erasure_order,
    open_request,
    rfc3339,
    sign_erasure_certificate,
    signer_id,
)
from greentrip.wire import (
    BATCH_LINES_MAX,
    NDJSON,
    SIGNATURE_HEADER,
    JsonValue,
    base64url_decode,
    body_digest,
    canonical,
    split_lines,
)

if TYPE_CHECKING:
    from greentrip.testing.fake_server import FakeServer

Call = Callable[["FakeServer", httpx.Request], httpx.Response]

TRIPS = "/v1/trips"
JSON = "application/json"
BODY_BYTES_MAX = 266_240
PAGE_ROWS_MAX = 200
ERASED_TRIPS_MAX = 500
ASKED_TRIPS_MAX = 2000
CODE_LIFE = timedelta(minutes=10)
TRIES_MAX = 5
KEY_CHARS = 43
PURPOSES = ("location", "sync", "statistics", "audits")


class CallRefused(Exception):
    """Ends a call with this answer."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__(answer.status_code)
        self.answer = answer


def get_keys(server: FakeServer, request: httpx.Request) -> httpx.Response:
    """The signed key list."""
    return httpx.Response(200, headers={"Content-Type": "application/jose"}, text=server.key_list())


def post_enrolment(server: FakeServer, request: httpx.Request) -> httpx.Response:
    """A code is sent to a phone number: always `server.code`."""
    phone = _text(_object(request), "phone").removeprefix("+86")
    if not phone.removeprefix("+").isdigit():
        raise _invalid("phone")
    server.books.codes += 1
    id, expires_at = str(UUID(int=server.books.codes, version=4)), server.now + CODE_LIFE
    server.books.enrolments[id] = Enrolment(phone, expires_at, TRIES_MAX)
    answer = {"enrolment": id, "expires_at": rfc3339(expires_at)}
    return httpx.Response(201, headers={"Content-Type": JSON}, content=canonical(answer))


def post_device(server: FakeServer, request: httpx.Request) -> httpx.Response:
    """A key joins the account of the person who has the code. Idempotent by the key."""
    body = _object(request)
    text = _text(body, "public_key")
    if len(text) != KEY_CHARS:
        raise _malformed("public_key")
    try:
        key = base64url_decode(text)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise _invalid("public_key")
    device = thumbprint(key)
    _check_signature(server, request, key)
    consents = body.get("consents")
    if not isinstance(consents, dict) or not all(purpose in PURPOSES for purpose in consents):
        raise _invalid("consents")
    enrolment = server.books.enrolments.get(_text(body, "enrolment"))
    used_by = enrolment.used_by if enrolment else ""
    if enrolment is None or enrolment.used_by != device:
        enrolment = _use_code(server, enrolment, _text(body, "code"), device)
    if device in server.books.ended:
        enrolment.used_by = used_by  # a refused call uses up no code
        raise CallRefused(problem(403, "device_ended"))
    server.books.devices[device] = key
    account = server.books.join(enrolment.phone, device)
    account.consents |= cast("dict[str, str]", consents)
    return server.json(request, {"account": account.id, "device": device}, 201)


def post_trips(server: FakeServer, request: httpx.Request) -> httpx.Response:
    """Records in, one result a line out."""
    account = _caller(server, request)
    if _media_type(request) != NDJSON:
        raise CallRefused(problem(415, "media_type"))
    lines = split_lines(request.content)
    if not lines:
        raise _malformed("body")
    if len(lines) > BATCH_LINES_MAX:
        raise CallRefused(problem(413, "too_large"))
    if "sync" not in account.consents:
        raise CallRefused(problem(403, "consent", purpose="sync"))
    results = [account.take(line, server.now, server.judge) for line in lines]
    return server.lines(request, [canonical({"line": number, **result}) for number, result in enumerate(results)])


def get_sync_state(server: FakeServer, request: httpx.Request) -> httpx.Response:
    """Count and digest of ids by month."""
    return server.json(request, {"months": _caller(server, request).months()})


def post_sync_state(server: FakeServer, request: httpx.Request) -> httpx.Response:
    """Which of these ids never came."""
    account = _caller(server, request)
    return server.json(request, {"missing": account.missing(_ids(request, 0, ASKED_TRIPS_MAX))})


def post_trip_erasures(server: FakeServer, request: httpx.Request) -> httpx.Response:
    """Erase single trips."""
    account = _caller(server, request)
    return server.json(request, {"erased": account.erase(_ids(request, 1, ERASED_TRIPS_MAX), server.now)})


def get_account(server: FakeServer, request: httpx.Request) -> httpx.Response:
    """The balance and the counts."""
    account = _caller(server, request)
    return server.json(request, {"account": account.id, "balance_mg": account.balance_mg, "trips": account.counts()})


def get_statement(server: FakeServer, request: httpx.Request) -> httpx.Response:
    """A page of the account's entries."""
    account = _caller(server, request)
    return _page(server, request, "entries", lambda after: account.statement[after:])


def get_notices(server: FakeServer, request: httpx.Request) -> httpx.Response:
    """A page of the account's notices."""
    account = _caller(server, request)
    return _page(server, request, "notices", account.notices_after)


def post_erasure(server: FakeServer, request: httpx.Request) -> httpx.Response:
    """Erase the account of whoever signed the order. The same certificate answers it while its key is on the list."""
    order = _text(_object(request), "order")
    try:
        device = signer_id(order)
        key = server.books.devices.get(device)
        if key is None:
            raise CallRefused(problem(401, "unknown_device"))
        audience = open_erasure_order(order, key).audience
    except BadToken as error:
        raise CallRefused(problem(401, "signature", part="order", detail=str(error))) from None
    if audience != server.audience:
        raise CallRefused(problem(401, "signature", part="audience"))
    server.books.erase(server.books.account_of(device), server.now)
    kept = server.books.certificates.get(order)
    if kept is None or signer_id(kept) not in {key.kid for key in server.keys}:
        kept = sign_erasure_certificate(server.online, device=device, order=order, at=server.now)
        server.books.certificates[order] = kept
    answer = canonical({"certificate": kept})
    return httpx.Response(200, headers={"Content-Type": JSON}, content=answer)


CALLS: Mapping[tuple[str, str], Call] = {
    ("GET", "/.well-known/greentrip-keys"): get_keys,
    ("POST", "/v1/enrolments"): post_enrolment,
    ("POST", "/v1/devices"): post_device,
    ("POST", TRIPS): post_trips,
    ("GET", "/v1/sync-state"): get_sync_state,
    ("POST", "/v1/sync-state"): post_sync_state,
    ("POST", "/v1/trip-erasures"): post_trip_erasures,
    ("GET", "/v1/account"): get_account,
    ("GET", "/v1/account/statement"): get_statement,
    ("GET", "/v1/notices"): get_notices,
    ("POST", "/v1/erasure"): post_erasure,
}


def _caller(server: FakeServer, request: httpx.Request) -> FakeAccount:
    """The account of the device that signed this call."""
    token = request.headers.get(SIGNATURE_HEADER)
    try:
        device = signer_id(token) if token else ""
    except BadToken:
        device = ""
    if not device:
        raise CallRefused(problem(401, "signature", part="token" if token else "missing"))
    key = server.books.devices.get(device)
    if key is None:
        raise CallRefused(problem(401, "unknown_device"))
    if device in server.books.ended:
        raise CallRefused(problem(403, "device_ended"))
    _check_signature(server, request, key)
    return server.books.account_of(device)


def _check_signature(server: FakeServer, request: httpx.Request, key: bytes) -> None:
    try:
        claims = open_request(request.headers.get(SIGNATURE_HEADER, ""), key)
    except BadToken as error:
        raise CallRefused(problem(401, "signature", part="token", detail=str(error))) from None
    came = {
        "audience": server.audience,
        "method": request.method,
        "target": request.url.raw_path.decode(),
        "digest": body_digest(request.content, ndjson=_media_type(request) == NDJSON),
    }
    for part, value in came.items():
        if getattr(claims, part) != value:
            raise CallRefused(problem(401, "signature", part=part))
    if abs(server.now.timestamp() - claims.iat) > CLOCK_WINDOW_S:
        refusal = problem(401, "clock", server_time=rfc3339(server.now))
        raise CallRefused(server.sign(request, refusal, claims=claims))


def _use_code(server: FakeServer, enrolment: Enrolment | None, code: str, device: str) -> Enrolment:
    if enrolment is None or enrolment.used_by or not enrolment.tries_left or enrolment.expires_at <= server.now:
        raise CallRefused(problem(422, "code_expired", field="code"))
    if code != server.code:
        enrolment.tries_left -= 1
        raise CallRefused(problem(422, "code_wrong", field="code", tries_left=enrolment.tries_left))
    enrolment.used_by = device
    return enrolment


def _page(
    server: FakeServer, request: httpx.Request, name: str, rows_after: Callable[[int], list[dict[str, JsonValue]]]
) -> httpx.Response:
    """A page of rows that are numbered from 1; `after` is the number of the last row of the page before."""
    try:
        after = int(request.url.params.get("after", 0))
        limit = int(request.url.params.get("limit", PAGE_ROWS_MAX))
    except ValueError:
        raise _malformed("after") from None
    if after < 0 or not 1 <= limit <= PAGE_ROWS_MAX:
        raise _malformed("limit")
    rows = rows_after(after)
    page = rows[: min(limit, server.page_rows_max)]
    return server.json(request, {name: page, "next": after + len(page) if len(page) < len(rows) else None})


def _ids(request: httpx.Request, low: int, high: int) -> list[str]:
    ids = _object(request).get("trips")
    if not isinstance(ids, list) or not low <= len(ids) <= high:
        raise _malformed("trips")
    try:
        return [str(UUID(id)) for id in ids]
    except (AttributeError, TypeError, ValueError):
        raise _malformed("trips") from None


def _object(request: httpx.Request) -> dict[str, object]:
    if _media_type(request) != JSON:
        raise CallRefused(problem(415, "media_type"))
    try:
        value = json.loads(request.content)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise _malformed("body")
    return cast("dict[str, object]", value)


def _text(body: Mapping[str, object], field: str) -> str:
    value = body.get(field)
    if not isinstance(value, str):
        raise _malformed(field)
    return value


def _media_type(request: httpx.Request) -> str:
    found: str = request.headers.get("content-type", "")
    return found.partition(";")[0].strip().lower()


def _malformed(field: str) -> CallRefused:
    return CallRefused(problem(400, "malformed", field=field))


def _invalid(field: str) -> CallRefused:
    return CallRefused(problem(422, "invalid", field=field))
