"""Enrolment over HTTP: a code to a number, then a device."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import msgspec
from anyio import to_thread
from litestar import Response, Router, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from greentrip.signing import KEY_BYTES
from greentrip.wire import base64url_decode
from greentrip_server.enrolment.service import CODE_DIGITS, NewDevice, enrol, register_device
from greentrip_server.errors import invalid, rfc3339
from greentrip_server.http import AnyRequest, check_signature, in_transaction, json_only, signed_object, unsigned_token
from greentrip_server.openapi import RECEIPT, SIGNED_BY_DEVICE, problems
from greentrip_server.runtime import Runtime


class EnrolmentRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A mobile number, in E.164 or as 11 digits of the mainland."""

    phone: Annotated[str, msgspec.Meta(max_length=32)]


class EnrolmentAnswer(msgspec.Struct):
    """The enrolment that the code belongs to, and until when the code is good."""

    enrolment: str
    expires_at: str


class DeviceRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The code, the new device's Ed25519 public key (base64url), and the accepted version of each consent."""

    enrolment: UUID
    code: Annotated[str, msgspec.Meta(min_length=1, max_length=4 * CODE_DIGITS)]
    public_key: Annotated[str, msgspec.Meta(min_length=43, max_length=43)]
    consents: Annotated[dict[str, str], msgspec.Meta(max_length=16)]


class DeviceAnswer(msgspec.Struct):
    """The account that the device belongs to."""

    account: str
    device: str


@post(
    "/enrolments",
    guards=[json_only],
    summary="Send a one-time code to a phone number",
    tags=["enrolment"],
    responses=problems("malformed", "timeout", "too_large", "media_type", "invalid", "too_many"),
)
async def post_enrolment(
    data: JSONBody[EnrolmentRequest], request: AnyRequest, runtime: NamedDependency[Runtime]
) -> EnrolmentAnswer:
    runtime.limits.check_address(request.client.host if request.client else "")
    begun = await to_thread.run_sync(enrol, runtime.database, runtime.hasher, runtime.sender, data.phone, runtime.now())
    return EnrolmentAnswer(str(begun.enrolment_id), rfc3339(begun.expires_at))


@post(
    "/devices",
    guards=[json_only],
    summary="Register a device with its code; signed by the new key",
    tags=["enrolment"],
    security=SIGNED_BY_DEVICE,
    response_headers=[RECEIPT],
    responses=problems(
        "malformed",
        "signature",
        "clock",
        "device_ended",
        "timeout",
        "too_large",
        "media_type",
        "invalid",
        "code_wrong",
        "code_expired",
    ),
)
async def post_device(
    data: JSONBody[DeviceRequest], request: AnyRequest, runtime: NamedDependency[Runtime]
) -> Response[DeviceAnswer]:
    public_key = _public_key(data.public_key)
    signed = await check_signature(request, runtime, unsigned_token(request), public_key)
    new = NewDevice(data.enrolment, data.code.strip(), public_key, data.consents)
    device = await in_transaction(runtime, lambda session: register_device(session, runtime.hasher, new, runtime.now()))
    return signed_object(runtime, signed, DeviceAnswer(str(device.account_id), device.id), status=201)


def _public_key(text: str) -> bytes:
    try:
        key = base64url_decode(text)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise invalid("public_key", f"must be {KEY_BYTES} bytes in base64url", f"须为 {KEY_BYTES} 字节的 base64url")
    return key


routes = Router("/v1", route_handlers=[post_enrolment, post_device])
