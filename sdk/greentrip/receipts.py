"""What a kept receipt proves, checked without a network: from what a phone keeps, or from a file and the root key.

A bundle is one line of canonical JSON with a newline: every byte of it is fixed by a hash or a signature, or by the
form itself, so any change is found. Its members are those of `Bundle`, and `v`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Self, cast

from greentrip.errors import InvalidInput, Unproven
from greentrip.remote import TRIPS_TARGET, check_root_key
from greentrip.signing import thumbprint
from greentrip.signing.jws import BadToken, key_id
from greentrip.store import Receipt
from greentrip.trust import KeyList, ReceiptFacts, open_kept_receipt, open_key_list
from greentrip.wire import ANSWER_BYTES_MAX, canonical, digest_of, parse_canonical, sha256_hex

BUNDLE_VERSION = "greentrip-receipt-1"
BUNDLE_BYTES_MAX = 2 * ANSWER_BYTES_MAX
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Proof:
    """What a receipt proves: the pinned server said this of exactly the bytes that left the phone."""

    trip: str
    status: str
    """As the server said it, such as `accepted`."""
    official_mg: int | None
    signed_at: datetime
    key: str
    """The id of the online key that signed."""
    key_list: int
    """The `seq` of the list that vouches for that key; a key that is not on a later list may have been stolen."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """All that a receipt needs to be checked with the root key alone."""

    record: str
    """The line that left the phone."""
    result: str
    """The line that the server answered for it."""
    jws: str
    """The receipt: the value of `Greentrip-Receipt`."""
    at: str
    """When it was signed (RFC 3339)."""
    device: str
    request_lines: Sequence[str]
    """The SHA-256 of each line of the request, in order."""
    answer_lines: Sequence[str]
    """The SHA-256 of each line of the answer, in order."""
    key_list: str
    """The list of online keys, as a JWS by the root."""

    @classmethod
    def of(cls, record: bytes, result: bytes, receipt: Receipt, key_list: str | None) -> Self:
        """The bundle of what a phone keeps. Raises `Unproven` when that cannot be a bundle."""
        if key_list is None:
            raise Unproven("no key list is kept: sync() first", "本机未保存密钥列表，请先同步")
        try:
            lines = record.decode("ascii"), result.decode("utf-8")
        except (AttributeError, UnicodeDecodeError):  # also where the file gives a text, or nothing, for bytes
            raise Unproven("what this phone kept is damaged", "本机保存的凭证已损坏") from None
        hashes = receipt.request_lines, receipt.answer_lines
        return cls(*lines, receipt.jws, receipt.at, receipt.device, *hashes, key_list)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The bundle in a file. Raises `InvalidInput`: anything but the very bytes that `to_bytes` gives is refused."""
        if len(data) > BUNDLE_BYTES_MAX:
            raise _no_bundle(f"longer than {BUNDLE_BYTES_MAX} bytes", f"超过 {BUNDLE_BYTES_MAX} 字节")
        if not data.endswith(b"\n"):
            raise _no_bundle("its end is missing", "结尾缺失")
        try:
            value = parse_canonical(data[:-1])
        except InvalidInput:
            raise _no_bundle("not as greentrip wrote it", "内容已被改动") from None
        if not isinstance(value, dict) or value.pop("v", None) != BUNDLE_VERSION:
            raise _no_bundle(f"not of version {BUNDLE_VERSION}: update greentrip", "版本不符：请升级 greentrip")
        if set(value) != set(cls.__slots__) or not all(_is_member(name, item) for name, item in value.items()):
            raise _no_bundle("a member is missing, of another type, or too many", "字段缺失、多余或类型不符")
        return cls(**cast("dict[str, str]", value))

    def to_bytes(self) -> bytes:
        """The bundle as a file: canonical JSON and a newline."""
        return canonical({"v": BUNDLE_VERSION, **asdict(self)}) + b"\n"


def verify_bundle(data: bytes, root_key: str) -> Proof:
    """What an exported receipt proves, with nothing but the server's root key (base64url) and no network.

    Raises `InvalidInput` when it is no bundle as `GreenTrip.export_receipt` makes it, `Unproven` when it proves
    nothing: any changed byte is found.
    """
    return check_bundle(Bundle.from_bytes(data), check_root_key(root_key))


def check_bundle(bundle: Bundle, root_key: bytes) -> Proof:
    """What a bundle proves to one who knows the server's root key. Raises `Unproven`, naming the part."""
    result = _result_of(bundle)
    try:
        listed = _key_list_of(bundle, root_key)
        facts = open_kept_receipt(
            bundle.jws,
            listed,
            device=bundle.device,
            method="POST",
            target=TRIPS_TARGET,
            request_digest=digest_of(bundle.request_lines),
            digest=digest_of(bundle.answer_lines),
        )
    except BadToken as error:
        raise Unproven(str(error), "签名未通过验证") from None
    _check_facts(facts, bundle, listed.seq)
    official = result.get("official_mg")
    return Proof(
        trip=str(_object_of(bundle.record).get("id")),
        status=str(result.get("status")),
        official_mg=official if isinstance(official, int) else None,
        signed_at=facts.at,
        key=key_id(bundle.jws),
        key_list=listed.seq,
    )


def _result_of(bundle: Bundle) -> dict[str, object]:
    """The server's result, once it is clear that it is for this record and that the receipt covers both lines."""
    digest, answered = sha256_hex(bundle.record.encode()), sha256_hex(bundle.result.encode())
    if not all(map(_HASH.fullmatch, (*bundle.request_lines, *bundle.answer_lines))):
        raise Unproven("the receipt's hashes are damaged", "凭证中的哈希值已损坏")
    if digest not in bundle.request_lines or answered not in bundle.answer_lines:
        raise Unproven("the receipt is for other bytes", "凭证与记录或结果的内容不符")
    result = _object_of(bundle.result)
    if result.get("sha256") != digest:
        raise Unproven("the result is for another record", "结果属于另一条记录")
    return result


def _key_list_of(bundle: Bundle, root_key: bytes) -> KeyList:
    if key_id(bundle.key_list) != thumbprint(root_key):
        raise Unproven(
            "its key list is not by this root key: check that you have the root key of its server",
            "密钥列表不是由该根公钥签署的：请核对服务器的根公钥",
        )
    return open_key_list(bundle.key_list, root_key)


def _object_of(line: str) -> dict[str, object]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _check_facts(facts: ReceiptFacts, bundle: Bundle, seq: int) -> None:
    if facts.at.isoformat() != bundle.at:
        raise Unproven("at does not fit", "签署时间不符")
    if facts.keys > seq:
        raise Unproven("the key list is older than the receipt", "密钥列表早于凭证")


def _is_member(name: str, value: object) -> bool:
    if name in ("request_lines", "answer_lines"):
        return isinstance(value, list) and all(map(_is_text, value))
    return _is_text(value)


def _is_text(value: object) -> bool:
    # JSON can escape half a character, which is none.
    return isinstance(value, str) and not any("\ud800" <= char <= "\udfff" for char in value)


def _no_bundle(en: str, zh: str) -> InvalidInput:
    return InvalidInput("receipt", f"this is no receipt of greentrip: {en}", f"这不是 greentrip 凭证：{zh}")
