"""Keys and signatures: Ed25519 through `cryptography`, or `ecdsa` where that cannot be built. Same bytes either way."""

from __future__ import annotations

import secrets
from functools import cache
from importlib import import_module
from typing import cast

from greentrip.signing.interface import KEY_BYTES, SIGNATURE_BYTES, Scheme, Signer
from greentrip.wire import base64url, canonical, sha256_hex

__all__ = [
    "KEY_BYTES",
    "SIGNATURE_BYTES",
    "Scheme",
    "Signer",
    "new_seed",
    "scheme",
    "signer_of",
    "thumbprint",
    "verify",
]


@cache
def scheme(name: str | None = None) -> Scheme:
    """The scheme called `name`, or the best that is installed."""
    names = (name,) if name else ("cryptography", "ecdsa")
    for candidate in names:
        try:
            return cast("Scheme", import_module(f"greentrip.signing.by_{candidate}"))
        except ModuleNotFoundError as error:
            # Only a missing library moves us on; an unknown name is the caller's mistake.
            if error.name is None or error.name.startswith("greentrip"):
                raise
    raise ModuleNotFoundError("greentrip needs `cryptography` (or, on iOS, `ecdsa`): install one of them")


def new_seed() -> bytes:
    """A fresh private key from the system's random source."""
    return secrets.token_bytes(KEY_BYTES)


def signer_of(seed: bytes) -> Signer:
    """The signer of a private seed."""
    return scheme().signer(seed)


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` over `message` was made by the holder of `public_key`."""
    return scheme().verify(public_key, message, signature)


def thumbprint(public_key: bytes) -> str:
    """The RFC 7638 thumbprint of an Ed25519 key: how devices and servers are named."""
    jwk = canonical({"crv": "Ed25519", "kty": "OKP", "x": base64url(public_key)})
    return base64url(bytes.fromhex(sha256_hex(jwk)))
