"""Bytes that both sides agree on: canonical JSON, lines, hashes. See docs/reference/protocol.md.

Canonical means RFC 8785 for what we allow: objects, arrays, strings, booleans, null and integers up to 2**53 - 1;
no floats. Strings are ASCII-escaped, which equals RFC 8785 for the ASCII strings of a record.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from greentrip.errors import InvalidInput

INTEGER_MAX = 2**53 - 1
"""The largest integer that every JSON reader keeps exact (RFC 8785, section 3.2.2.3)."""
DEPTH_MAX = 8
"""Nesting that our documents never reach; deeper input is refused before it costs anything."""

LEG_COUNT_MAX = 12
BATCH_LINES_MAX = 500
BATCH_BYTES_MAX = 256 * 1024
RECORD_BYTES_MAX = 8 * 1024
ANSWER_BYTES_MAX = 4 * 1024 * 1024

NDJSON = "application/x-ndjson"
SIGNATURE_HEADER = "Greentrip-Signature"
RECEIPT_HEADER = "Greentrip-Receipt"

JsonValue = None | bool | int | str | Sequence["JsonValue"] | Mapping[str, "JsonValue"]


def canonical(value: JsonValue) -> bytes:
    """The one encoding of `value`. Raises `InvalidInput` for floats, big integers and deep nesting."""
    _check(value, "value", 0)
    return json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":")).encode("ascii")


def parse_canonical(line: bytes) -> JsonValue:
    """The value of a canonical line. Raises `InvalidInput` unless re-encoding gives the very same bytes.

    Comparing bytes also refuses what JSON readers let through: duplicate keys, other escapes, 1.0 for 1, white space.
    """
    try:
        value = cast("JsonValue", json.loads(line.decode("ascii")))
        again = canonical(value)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("line", f"not JSON ({error})", "不是有效的 JSON") from None
    if again != line:
        raise InvalidInput("line", "not in canonical form (RFC 8785)", "不是规范形式（RFC 8785）")
    return value


def _check(value: JsonValue, where: str, depth: int) -> None:
    if depth > DEPTH_MAX:
        raise InvalidInput(where, f"nested deeper than {DEPTH_MAX}", f"嵌套超过 {DEPTH_MAX} 层")
    if value is None or isinstance(value, bool | str):
        return
    if isinstance(value, int):
        if abs(value) > INTEGER_MAX:
            raise InvalidInput(where, "integer beyond 2**53 - 1", "整数超出 2**53 - 1")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise InvalidInput(where, "a key is not a string", "键不是字符串")
            _check(item, f"{where}.{key}", depth + 1)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check(item, f"{where}[{index}]", depth + 1)
    else:
        raise InvalidInput(where, f"{type(value).__name__} is not allowed", f"不允许的类型 {type(value).__name__}")


def sha256_hex(data: bytes) -> str:
    """SHA-256 in lower-case hex."""
    return hashlib.sha256(data).hexdigest()


def join_lines(lines: Iterable[bytes]) -> bytes:
    """Lines as an NDJSON body: each ends with a newline."""
    return b"".join(line + b"\n" for line in lines)


def split_lines(body: bytes) -> list[bytes]:
    """The lines of an NDJSON body, without newlines; an empty line in the middle stays, and will be refused as one."""
    if not body:
        return []
    return body.removesuffix(b"\n").split(b"\n")


def digest_of(line_hashes: Iterable[str]) -> str:
    """SHA-256 over the concatenated SHA-256 of the lines.

    A single record can so be proven with its own hash and its neighbours', and be erased alone.
    """
    joined = hashlib.sha256()
    for line_hash in line_hashes:
        joined.update(bytes.fromhex(line_hash))
    return joined.hexdigest()


def ids_digest(ids: Iterable[str]) -> str:
    """SHA-256 over the sorted ids, each with a newline: how phone and server compare what they have."""
    return hashlib.sha256("".join(f"{one}\n" for one in sorted(ids)).encode()).hexdigest()


def body_digest(body: bytes, *, ndjson: bool) -> str:
    """The digest of a whole body: a body that is not NDJSON is one line, an empty body none."""
    lines = split_lines(body) if ndjson else ([body] if body else [])
    return digest_of(map(sha256_hex, lines))


def base64url(data: bytes) -> str:
    """Base64url without padding (RFC 7515, appendix C)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def base64url_decode(text: str) -> bytes:
    """The bytes of strict base64url; raises ValueError for padding, foreign characters or loose trailing bits."""
    try:
        data = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError(f"not base64url: {error}") from None
    if base64url(data) != text:
        raise ValueError("not base64url")
    return data
