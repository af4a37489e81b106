"""Ed25519 by pure-Python `ecdsa`, for platforms where `cryptography` cannot be built (iOS).

It is not constant-time (CVE-2024-23342): somebody who can time many signatures on the phone itself might learn the
key. It signs one request a batch, with a key that can only add trips to its owner's account.
"""

from __future__ import annotations

from ecdsa import BadSignatureError, Ed25519, SigningKey, VerifyingKey
from ecdsa.errors import MalformedPointError

from greentrip.signing.interface import KEY_BYTES, SIGNATURE_BYTES, Signer

name = "ecdsa"


class _Signer:
    def __init__(self, seed: bytes) -> None:
        if len(seed) != KEY_BYTES:
            raise ValueError(f"a private key has {KEY_BYTES} bytes")
        self._key = SigningKey.from_string(seed, curve=Ed25519)
        self._public_key = bytes(self._key.verifying_key.to_string())

    @property
    def public_key(self) -> bytes:
        return self._public_key

    def sign(self, message: bytes) -> bytes:
        return bytes(self._key.sign(message))


def signer(seed: bytes) -> Signer:
    return _Signer(seed)


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    if len(signature) != SIGNATURE_BYTES:
        return False
    try:
        return bool(VerifyingKey.from_string(public_key, curve=Ed25519).verify(signature, message))
    except (BadSignatureError, MalformedPointError, ValueError, AssertionError):
        return False
