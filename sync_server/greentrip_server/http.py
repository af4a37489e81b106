"""Between HTTP and the services: who calls, exact bodies, signed answers, problems. It decides nothing about trips."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import msgspec
import structlog
from anyio import to_thread
from litestar import Request, Response, Router
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from sqlmodel import Session

from greentrip.signing.jws import BadToken
from greentrip.trust import CLOCK_WINDOW_S, RequestClaims, open_request, sign_receipt, signer_id
from greentrip.wire import (
    NDJSON,
    RECEIPT_HEADER,
    SIGNATURE_HEADER,
    JsonValue,
    body_digest,
    canonical,
    digest_of,
    join_lines,
    sha256_hex,
)
from greentrip_server import errors
from greentrip_server.enrolment.models import Device
from greentrip_server.enrolment.service import device_of
from greentrip_server.errors import PROBLEM_MEDIA_TYPE, Problem
from greentrip_server.openapi import RECEIPT, SIGNED_BY_DEVICE
from greentrip_server.runtime import Runtime

T = TypeVar("T")
AnyRequest = Request[Any, Any, Any]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Signed:
    """A request whose signature is right: what it claims, all of it true of the request, and the token itself."""

    claims: RequestClaims
    token: str


@dataclass(frozen=True, slots=True)
class Caller:
    """An enrolled device and the request that it signed."""

    device: Device
    signed: Signed


class StrictRequest(Request[Any, Any, Any]):
    """A request whose JSON has one reading only: the framework's decoder takes the last of two equal keys."""

    async def json(self) -> Any:  # noqa: ANN401 - the framework's signature
        body = await self.body()
        try:
            json.loads(body.decode(), object_pairs_hook=_each_once)
            # Also refuses NaN and lone surrogates; the other one finds keys that come twice.
            return msgspec.json.decode(body)
        except (ValueError, msgspec.DecodeError, RecursionError):
            raise errors.malformed("body", "is not JSON with each key once", "不是有效的 JSON，或键有重复") from None


def plain_only(request: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """A guard against compressed bodies: what is signed, hashed and limited is what comes over the wire."""
    if request.headers.get("content-encoding", "").strip().lower() not in ("", "identity"):
        raise errors.content_encoding()


def json_only(request: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """A guard for calls that take JSON: the framework would try to read anything as JSON."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise errors.media_type("application/json")


async def in_transaction(runtime: Runtime, act: Callable[[Session], T]) -> T:
    """Run `act` in a thread, in one transaction that is committed before this returns."""

    def work() -> T:
        with runtime.database.write() as session:
            return act(session)

    return await to_thread.run_sync(work)


async def in_snapshot(runtime: Runtime, act: Callable[[Session], T]) -> T:
    """Run `act` in a thread, reading one moment of the database."""

    def work() -> T:
        with runtime.database.read() as session:
            return act(session)

    return await to_thread.run_sync(work)


async def provide_caller(request: AnyRequest, runtime: NamedDependency[Runtime]) -> Caller:
    """The enrolled device that signed this request.

    Raises `signature`, `clock`, `unknown_device`, `device_ended`, `too_many`.
    """
    token = _token(request)
    device = await in_snapshot(runtime, lambda session: device_of(session, _signer(token)))
    signed = await check_signature(request, runtime, token, device.public_key)
    runtime.limits.check_device(device.id)
    return Caller(device, signed)


async def check_signature(request: AnyRequest, runtime: Runtime, token: str, public_key: bytes) -> Signed:
    """Compare what the token claims with what came: audience, call, body and time."""
    try:
        claims = open_request(token, public_key)
    except BadToken as error:
        raise errors.signature("token", str(error), "签名令牌不正确") from None
    body = await request.body()
    digest = body_digest(body, ndjson=request.content_type[0] == NDJSON)
    _compare(
        claims, RequestClaims(runtime.audience, claims.device, request.method, _target(request), claims.iat, digest)
    )
    request.state.signed = Signed(claims, token)
    if abs(runtime.now().timestamp() - claims.iat) > CLOCK_WINDOW_S:
        raise errors.clock(runtime.now())
    return cast("Signed", request.state.signed)


def signed_router(*handlers: HTTPRouteHandler) -> Router:
    """Calls under /v1 that a device signs and whose answers have a receipt."""
    return Router(
        "/v1",
        route_handlers=handlers,
        dependencies={"caller": Provide(provide_caller)},
        security=SIGNED_BY_DEVICE,
        response_headers=[RECEIPT],
    )


def signed_object(runtime: Runtime, signed: Signed, value: T, status: int = 200) -> Response[T]:
    """A JSON object whose receipt proves it to the phone."""
    body = canonical(cast("JsonValue", msgspec.to_builtins(value)))
    headers = {RECEIPT_HEADER: _receipt(runtime, signed, digest_of([sha256_hex(body)]))}
    # The exact bytes are what is signed, so they are made here and not by the framework.
    return Response(cast("T", body), status_code=status, media_type="application/json", headers=headers)


def signed_lines(runtime: Runtime, signed: Signed, lines: Sequence[bytes]) -> Response[bytes]:
    """NDJSON whose receipt proves each line."""
    headers = {RECEIPT_HEADER: _receipt(runtime, signed, digest_of(map(sha256_hex, lines)))}
    return Response(join_lines(lines), media_type=NDJSON, headers=headers)


def problem_response(request: AnyRequest, problem: Problem) -> Response[bytes]:
    """RFC 9457. A refusal of the clock is signed: the phone sets its clock by it."""
    body = canonical(problem.document())
    headers = problem.headers()
    signed = request.state.get("signed")
    if problem.kind == "clock" and signed is not None:
        runtime = cast("Runtime", request.app.state.runtime)
        headers[RECEIPT_HEADER] = _receipt(runtime, signed, digest_of([sha256_hex(body)]))
    request.state.problem = problem.kind
    return Response(body, status_code=problem.status, media_type=PROBLEM_MEDIA_TYPE, headers=headers)


def on_problem(request: AnyRequest, error: Problem) -> Response[bytes]:
    """A problem that one of us raised."""
    return problem_response(request, error)


def on_http_exception(request: AnyRequest, error: HTTPException) -> Response[bytes]:
    """What the framework refuses, in our words."""
    status = error.status_code
    if status == 404:
        return problem_response(request, errors.not_found("address", "地址"))
    if status == 405:
        answer = problem_response(request, Problem("method_not_allowed", "not at this address", "该地址不支持此方法"))
        answer.headers |= dict(error.headers or {})
        return answer
    if status == 413:
        return problem_response(
            request, errors.too_large(cast("Runtime", request.app.state.runtime).settings.body_bytes_max)
        )
    if status == 415:
        return problem_response(request, errors.media_type("application/json"))
    if 400 <= status < 500:
        field, why = _validation(error)
        return problem_response(request, errors.malformed(field, why, "缺失或格式不正确"))
    return on_fault(request, error)


def on_fault(request: AnyRequest, error: Exception) -> Response[bytes]:
    """A fault of ours: the log says where, the caller learns only that nothing was changed."""
    # Type and place only: a message or local variables may hold what must not be logged.
    _log.error("fault", type=type(error).__name__, where=_where(error))
    return problem_response(request, errors.internal())


def unsigned_token(request: AnyRequest) -> str:
    """The request's signature, not verified yet: for the call that brings a new key."""
    return _token(request)


def _each_once(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key comes twice")
    return found


def _token(request: AnyRequest) -> str:
    token = request.headers.get(SIGNATURE_HEADER)
    if not token:
        raise errors.signature("missing", f"the header {SIGNATURE_HEADER} is missing", f"缺少请求头 {SIGNATURE_HEADER}")
    return token


def _signer(token: str) -> str:
    try:
        return signer_id(token)
    except BadToken as error:
        raise errors.signature("token", str(error), "签名令牌不正确") from None


def _compare(claims: RequestClaims, came: RequestClaims) -> None:
    for part in ("audience", "method", "target", "digest"):
        if getattr(claims, part) != getattr(came, part):
            raise errors.signature(part, "does not fit this request", "与本次请求不符")


def _target(request: AnyRequest) -> str:
    raw = request.scope.get("raw_path") or request.scope["path"].encode()
    query = request.scope.get("query_string") or b""
    path = raw.partition(b"?")[0].decode("latin-1")
    return f"{path}?{query.decode('latin-1')}" if query else path


def _receipt(runtime: Runtime, signed: Signed, digest: str) -> str:
    keys = runtime.keys
    return sign_receipt(keys.signer, signed.claims, digest=digest, at=runtime.now(), keys=keys.listed.seq)


def _validation(error: HTTPException) -> tuple[str, str]:
    extra = getattr(error, "extra", None)
    if isinstance(extra, list) and extra and isinstance(extra[0], dict):
        return str(extra[0].get("key") or "body"), str(extra[0].get("message") or error.detail)
    return "body", str(error.detail)


def _where(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}" if trace else "unknown"
