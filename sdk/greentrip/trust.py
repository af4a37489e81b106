"""Who signed what: key lists, requests and receipts, erasure orders and certificates. Both sides use these functions.

The phone pins one offline root key; the root signs the list of online keys; an online key signs receipts. So an online
key can be rotated or revoked without stranding a phone. The server's identity (`aud`) is the root key's thumbprint:
it stays the same behind proxies and new host names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

from greentrip.signing import KEY_BYTES, Signer, thumbprint
from greentrip.signing.jws import BadToken, key_id, open_token, sign
from greentrip.wire import JsonValue, base64url, base64url_decode, sha256_hex

CLOCK_WINDOW_S = 300
"""A request's `iat` may differ from the server's time by this much."""
ONLINE_KEYS_MAX = 32


def rfc3339(at: datetime) -> str:
    """An instant as RFC 3339 in UTC, whole seconds."""
    return at.astimezone(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")


def parse_rfc3339(text: str) -> datetime:
    """The instant of an RFC 3339 text with a zone; raises ValueError."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text!r} names no zone")
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{text!r} is before year 1 or after year 9999 in UTC") from None


class KeyNotValid(BadToken):
    """The key that signed is on the list, but not for that time: a newer list may know better."""


@dataclass(frozen=True, slots=True)
class OnlineKey:
    """A key that may sign receipts from `valid_from` until `valid_until`."""

    public_key: bytes
    valid_from: datetime
    valid_until: datetime

    @property
    def kid(self) -> str:
        return thumbprint(self.public_key)


@dataclass(frozen=True, slots=True)
class KeyList:
    """The online keys that the root vouches for. A list with a lower `seq` than one seen before is a replay."""

    seq: int
    issued_at: datetime
    keys: tuple[OnlineKey, ...]

    def find(self, kid: str) -> OnlineKey | None:
        return next((key for key in self.keys if key.kid == kid), None)


def sign_key_list(root: Signer, listed: KeyList) -> str:
    """The key list as a JWS by the root."""
    return sign(
        root,
        {
            "iss": thumbprint(root.public_key),
            "seq": listed.seq,
            "issued_at": rfc3339(listed.issued_at),
            "keys": [
                {
                    "kid": key.kid,
                    "x": base64url(key.public_key),
                    "from": rfc3339(key.valid_from),
                    "until": rfc3339(key.valid_until),
                }
                for key in listed.keys
            ],
        },
    )


def open_key_list(token: str, root_public_key: bytes) -> KeyList:
    """The key list in a JWS, verified against the pinned root. Raises `BadToken`."""
    root_id = thumbprint(root_public_key)
    payload = open_token(token, lambda kid: root_public_key if kid == root_id else None)
    seq, items = payload.get("seq"), payload.get("keys")
    if payload.get("iss") != root_id or isinstance(seq, bool) or not isinstance(seq, int):
        raise BadToken("malformed key list: iss or seq")
    if not isinstance(items, list) or len(items) > ONLINE_KEYS_MAX:
        raise BadToken(f"malformed key list: keys must be a list of at most {ONLINE_KEYS_MAX}")
    try:
        keys = tuple(_online_key(cast("dict[str, str]", item)) for item in items)
        return KeyList(seq, parse_rfc3339(cast("str", payload.get("issued_at"))), keys)
    except BadToken:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BadToken(f"malformed key list: {error!r}") from None


def _online_key(item: dict[str, str]) -> OnlineKey:
    key = OnlineKey(base64url_decode(item["x"]), parse_rfc3339(item["from"]), parse_rfc3339(item["until"]))
    if len(key.public_key) != KEY_BYTES or item["kid"] != key.kid:
        raise BadToken("malformed key list: kid is not the thumbprint of x")
    return key


@dataclass(frozen=True, slots=True)
class RequestClaims:
    """What a phone signs of a request: for whom, by which device, which call, when (Unix seconds), which body."""

    audience: str
    device: str
    method: str
    target: str
    iat: int
    digest: str


def sign_request(signer: Signer, claims: RequestClaims) -> str:
    """The value of the `Greentrip-Signature` header."""
    return sign(
        signer,
        {
            "aud": claims.audience,
            "sub": claims.device,
            "htm": claims.method,
            "htu": claims.target,
            "iat": claims.iat,
            "digest": claims.digest,
        },
    )


def open_request(token: str, public_key: bytes) -> RequestClaims:
    """The claims in a request's signature, verified with the device's key. Raises `BadToken`, naming the part.

    The caller compares audience, target, time and digest with what it received.
    """
    device = thumbprint(public_key)
    payload = open_token(token, lambda kid: public_key if kid == device else None)
    texts = {key: payload.get(key) for key in ("aud", "sub", "htm", "htu", "digest")}
    iat = payload.get("iat")
    for key, value in texts.items():
        if not isinstance(value, str):
            raise BadToken(f"{key} is missing")
    if isinstance(iat, bool) or not isinstance(iat, int):
        raise BadToken("iat is missing")
    if texts["sub"] != device:
        raise BadToken("sub is not the signing device")
    found = cast("dict[str, str]", texts)
    return RequestClaims(found["aud"], found["sub"], found["htm"], found["htu"], iat, found["digest"])


@dataclass(frozen=True, slots=True)
class ReceiptFacts:
    """What a receipt says beside the call that it answers: when it was signed, and the `seq` of the key list then.

    A reader whose list has a lower `seq` fetches the list again before it believes the receipt: one honest answer is
    enough to make a phone drop an online key that was stolen.
    """

    at: datetime
    keys: int


def sign_receipt(signer: Signer, answered: RequestClaims, *, digest: str, at: datetime, keys: int) -> str:
    """The value of the `Greentrip-Receipt` header: these answer lines belong to that call of that device."""
    return sign(signer, {**_receipt_parts(answered, digest), "at": rfc3339(at), "keys": keys})


def open_receipt(token: str, keys: KeyList, answered: RequestClaims, *, digest: str) -> ReceiptFacts:
    """What a receipt says that fits the call and the answer lines. Raises `BadToken`, naming the part.

    The caller compares `keys` of what it gets with the `seq` of the list that it used.
    """
    return _open_receipt(token, keys, _receipt_parts(answered, digest))


def open_kept_receipt(
    token: str, keys: KeyList, *, device: str, method: str, target: str, request_digest: str, digest: str
) -> ReceiptFacts:
    """As `open_receipt`, later, for one who kept the lines but not the second of the call: `iat` is not compared."""
    parts = {"sub": device, "htm": method, "htu": target, "request": request_digest, "digest": digest}
    return _open_receipt(token, keys, parts)


def _receipt_parts(answered: RequestClaims, digest: str) -> dict[str, JsonValue]:
    """What a receipt says of the call and the answer."""
    return {
        "sub": answered.device,
        "htm": answered.method,
        "htu": answered.target,
        "iat": answered.iat,
        "request": answered.digest,
        "digest": digest,
    }


def _open_receipt(token: str, keys: KeyList, parts: Mapping[str, JsonValue]) -> ReceiptFacts:
    payload, at = _open_online(token, keys, parts)
    seq = payload.get("keys")
    if isinstance(seq, bool) or not isinstance(seq, int):
        raise BadToken("keys is missing")
    return ReceiptFacts(at, seq)


def _open_online(token: str, keys: KeyList, parts: Mapping[str, JsonValue]) -> tuple[Mapping[str, JsonValue], datetime]:
    """The payload and the time of a token that has these parts, by a listed key that was valid at that time."""
    found: list[OnlineKey] = []

    def key_of(kid: str) -> bytes | None:
        key = keys.find(kid)
        if key is not None:
            found.append(key)
        return key.public_key if key else None

    payload = open_token(token, key_of)
    for part, expected in parts.items():
        if payload.get(part) != expected:
            raise BadToken(f"{part} does not fit")
    try:
        at = parse_rfc3339(cast("str", payload.get("at")))
    except (TypeError, ValueError):
        raise BadToken("at is missing") from None
    if not found[0].valid_from <= at <= found[0].valid_until:
        raise KeyNotValid("the key was not valid at that time")
    return payload, at


ERASURE = "erasure"
"""The `typ` of an erasure order: no other token that a device signs has one."""


@dataclass(frozen=True, slots=True)
class ErasureOrder:
    """A person's order to erase the whole account of a device, from a server. `id` tells one order from another.

    It names no time: it is signed before the device's key is thrown away, and is as good years later.
    """

    audience: str
    device: str
    id: str


def sign_erasure_order(signer: Signer, *, audience: str, id: str) -> str:
    """The order as a JWS by the device's key."""
    device = thumbprint(signer.public_key)
    return sign(signer, {"aud": audience, "sub": device, "typ": ERASURE, "id": id})


def open_erasure_order(token: str, public_key: bytes) -> ErasureOrder:
    """The order in a JWS, verified with the device's key. Raises `BadToken`; the caller compares the audience."""
    device = thumbprint(public_key)
    payload = open_token(token, lambda kid: public_key if kid == device else None)
    audience, id = payload.get("aud"), payload.get("id")
    if payload.get("typ") != ERASURE:
        raise BadToken("typ is not that of an erasure order")
    if payload.get("sub") != device:
        raise BadToken("sub is not the signing device")
    if not isinstance(audience, str) or not isinstance(id, str):
        raise BadToken("aud or id is missing")
    return ErasureOrder(audience, device, id)


def sign_erasure_certificate(signer: Signer, *, device: str, order: str, at: datetime) -> str:
    """The server's word that it carried out a device's order (the JWS, as it came)."""
    return sign(signer, {"sub": device, "order": sha256_hex(order.encode()), "at": rfc3339(at)})


def open_erasure_certificate(token: str, keys: KeyList, *, device: str, order: str) -> datetime:
    """When the server carried out the order (a JWS, as it was sent). Raises `BadToken`, naming the part."""
    return _open_online(token, keys, {"sub": device, "order": sha256_hex(order.encode())})[1]


def signer_id(token: str) -> str:
    """The key id that a token claims, unverified: for looking up the device or the online key."""
    return key_id(token)
