"""What the SDK asks of a signature scheme: Ed25519 (RFC 8032), 32-byte keys, 64-byte signatures."""

from __future__ import annotations

from typing import Protocol

KEY_BYTES = 32
SIGNATURE_BYTES = 64


class Signer(Protocol):
    """Holds a private key. An app may put its phone's secure hardware behind this."""

    @property
    def public_key(self) -> bytes:
        """The 32 bytes of the public key."""

    def sign(self, message: bytes) -> bytes:
        """The 64-byte signature."""


class Scheme(Protocol):
    """One library that can do Ed25519."""

    name: str

    def signer(self, seed: bytes) -> Signer:
        """The signer of a 32-byte private seed."""

    def verify(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        """Whether the signature is right; False for malformed keys and signatures too."""
