"""Erasing over HTTP: trips by a signed call, an account by an order that is as good as its signature."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Response, Router, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from greentrip.signing.jws import BadToken
from greentrip.trust import open_erasure_order, sign_erasure_certificate, signer_id
from greentrip_server.enrolment.models import Device
from greentrip_server.enrolment.service import known_device
from greentrip_server.erasures.service import ERASURES_A_CALL_MAX, Certifier, Order, erase_account, erase_trips
from greentrip_server.errors import signature
from greentrip_server.http import Caller, in_snapshot, in_transaction, json_only, signed_object, signed_router
from greentrip_server.openapi import SIGNED_PROBLEMS, problems
from greentrip_server.runtime import Runtime

ORDER_CHARS_MAX = 2048


class TripErasuresRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Ids of the account's trips, whether they came already or not."""

    trips: Annotated[list[UUID], msgspec.Meta(min_length=1, max_length=ERASURES_A_CALL_MAX)]


class TripErasuresAnswer(msgspec.Struct):
    """All ids that were asked for, sorted: none of them counts or will ever count."""

    erased: list[str]


class ErasureRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A JWS by the device's key over {aud, sub, typ: "erasure", id}."""

    order: Annotated[str, msgspec.Meta(min_length=1, max_length=ORDER_CHARS_MAX)]


class ErasureAnswer(msgspec.Struct):
    """A JWS by an online key over {sub, order: the SHA-256 of the order, at}."""

    certificate: str


@post(
    "/trip-erasures",
    status_code=200,
    guards=[json_only],
    summary="Erase trips, before or after they come",
    tags=["account"],
    responses=problems(*SIGNED_PROBLEMS, "media_type"),
)
async def post_trip_erasures(
    data: JSONBody[TripErasuresRequest], caller: NamedDependency[Caller], runtime: NamedDependency[Runtime]
) -> Response[TripErasuresAnswer]:
    account_id, now = caller.device.account_id, runtime.now()
    erased = await in_transaction(runtime, lambda session: erase_trips(session, account_id, data.trips, now))
    return signed_object(runtime, caller.signed, TripErasuresAnswer([str(one) for one in erased]))


@post(
    "/erasure",
    status_code=200,
    guards=[json_only],
    summary="Erase the account by an order that its device signed; also for a device that was ended",
    tags=["account"],
    responses=problems("malformed", "signature", "unknown_device", "timeout", "too_large", "media_type", "too_many"),
)
async def post_erasure(data: JSONBody[ErasureRequest], runtime: NamedDependency[Runtime]) -> ErasureAnswer:
    device_id = _signer(data.order)
    device = await in_snapshot(runtime, lambda session: known_device(session, device_id))
    _verify(data.order, device, runtime)
    runtime.limits.check_device(device.id)
    now, keys = runtime.now(), runtime.keys
    certifier = Certifier(
        kid=keys.kid,
        sign=lambda: sign_erasure_certificate(keys.signer, device=device.id, order=data.order, at=now),
        trusted=lambda kid: keys.listed.find(kid) is not None,
    )
    order = Order(device, data.order)
    return ErasureAnswer(
        await in_transaction(runtime, lambda session: erase_account(session, order, certifier, runtime.journal, now))
    )


def _signer(token: str) -> str:
    try:
        return signer_id(token)
    except BadToken as error:
        raise signature("order", str(error), "注销指令不正确") from None


def _verify(token: str, device: Device, runtime: Runtime) -> None:
    try:
        order = open_erasure_order(token, device.public_key)
    except BadToken as error:
        raise signature("order", str(error), "注销指令不正确") from None
    if order.audience != runtime.audience:
        raise signature("audience", "the order is for another server", "该指令属于其他服务器")


routes = Router("/v1", route_handlers=[post_erasure])
signed_routes = signed_router(post_trip_erasures)
