"""Compact JWS (RFC 7515) with `alg: Ed25519` (RFC 9864) over canonical JSON. Nothing else is accepted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

from greentrip.signing import Signer, thumbprint, verify
from greentrip.wire import JsonValue, base64url, base64url_decode, canonical, parse_canonical

TOKEN_CHARS_MAX = 64 * 1024


class BadToken(ValueError):
    """The token is malformed or its signature is wrong; the text says which part."""


def sign(signer: Signer, payload: Mapping[str, JsonValue]) -> str:
    """A compact JWS whose `kid` is the signer's thumbprint."""
    header = canonical({"alg": "Ed25519", "kid": thumbprint(signer.public_key)})
    signed = f"{base64url(header)}.{base64url(canonical(payload))}"
    return f"{signed}.{base64url(signer.sign(signed.encode('ascii')))}"


def key_id(token: str) -> str:
    """The `kid` of a token, not yet verified: for looking up the key."""
    return _header(token)["kid"]


def open_token(token: str, key_of: Callable[[str], bytes | None]) -> dict[str, JsonValue]:
    """The payload of a token, verified with the key that `key_of(kid)` gives. Raises `BadToken`."""
    kid = key_id(token)
    public_key = key_of(kid)
    if public_key is None:
        raise BadToken(f"unknown key {kid}")
    signed, _, signature = token.rpartition(".")
    try:
        if not verify(public_key, signed.encode("ascii"), base64url_decode(signature)):
            raise BadToken("wrong signature")
        payload = parse_canonical(base64url_decode(signed.partition(".")[2]))
    except BadToken:
        raise
    except ValueError as error:
        raise BadToken(f"malformed token: {error}") from None
    if not isinstance(payload, dict):
        raise BadToken("the payload is not an object")
    return cast("dict[str, JsonValue]", payload)


def _header(token: str) -> dict[str, str]:
    if len(token) > TOKEN_CHARS_MAX:
        raise BadToken(f"longer than {TOKEN_CHARS_MAX} characters")
    parts = token.split(".")
    if len(parts) != 3:
        raise BadToken("not a compact JWS of three parts")
    try:
        header = parse_canonical(base64url_decode(parts[0]))
    except ValueError as error:
        raise BadToken(f"malformed header: {error}") from None
    if not isinstance(header, dict) or set(header) != {"alg", "kid"} or header["alg"] != "Ed25519":
        raise BadToken("the header must hold alg Ed25519 and kid, and nothing else")
    if not isinstance(header["kid"], str):
        raise BadToken("kid is not a string")
    return cast("dict[str, str]", header)
