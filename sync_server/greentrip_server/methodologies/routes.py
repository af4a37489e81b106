"""The rules that anyone may read: methodologies and the policy of the checks, each signed by the server."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Router, get
from litestar.di import NamedDependency

from greentrip.methodology import Methodology
from greentrip.signing.jws import sign
from greentrip_server.checks.reference import describe_rules
from greentrip_server.openapi import problems
from greentrip_server.runtime import Runtime


class MethodologyAnswer(msgspec.Struct):
    """A methodology file as it is, and a JWS by the server's online key over its reference, hash and dates."""

    reference: str
    id: str
    title_en: str
    title_zh: str
    provinces: list[int]
    valid_from: str
    valid_until: str | None
    issuance: bool
    unconfirmed: dict[str, int]
    sha256: str
    toml: str
    jws: str


class MethodologiesAnswer(msgspec.Struct):
    """Every file that this server knows."""

    methodologies: list[MethodologyAnswer]


class PolicyAnswer(msgspec.Struct):
    """The policy of the checks, its rules in words, and a JWS over its reference."""

    reference: str
    valid_from: str
    rules: list[dict[str, Any]]
    jws: str


@get("/methodologies", summary="The methodology files, signed", tags=["rules"], responses=problems())
async def get_methodologies(runtime: NamedDependency[Runtime]) -> MethodologiesAnswer:
    return MethodologiesAnswer([_answer(runtime, file) for file in runtime.rulebook.methodologies.files])


@get("/policies", summary="The policy of the checks, signed", tags=["rules"], responses=problems())
async def get_policies(runtime: NamedDependency[Runtime]) -> PolicyAnswer:
    policy = runtime.rulebook.policy
    claims = {"policy": policy.reference, "valid_from": policy.valid_from.isoformat()}
    rules = [dict(rule) for rule in describe_rules(policy)]
    return PolicyAnswer(policy.reference, policy.valid_from.isoformat(), rules, sign(runtime.keys.signer, claims))


def _answer(runtime: Runtime, file: Methodology) -> MethodologyAnswer:
    valid_until = file.valid_until.isoformat() if file.valid_until else None
    claims = {
        "methodology": file.reference,
        "sha256": file.sha256,
        "valid_from": file.valid_from.isoformat(),
        "valid_until": valid_until,
    }
    return MethodologyAnswer(
        reference=file.reference,
        id=file.id,
        title_en=file.title_en,
        title_zh=file.title_zh,
        provinces=sorted(file.provinces),
        valid_from=file.valid_from.isoformat(),
        valid_until=valid_until,
        issuance=file.issuance,
        unconfirmed={mode: len(factors) for mode, factors in file.unconfirmed().items()},
        sha256=file.sha256,
        toml=file.text,
        jws=sign(runtime.keys.signer, claims),
    )


routes = Router("/v1", route_handlers=[get_methodologies, get_policies])
