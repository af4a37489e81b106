"""The region pack: one file that holds all a phone needs to know of a region's rails. See docs/reference/pack.md.

A short header (what it is, version of the format, length and SHA-256 of the rest), then JSON, compressed. So a file of
another version, cut short or damaged is told apart before anything of it is believed.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from pathlib import Path

from greentrip.distance.rail.pack_json import check, decode, encode
from greentrip.distance.rail.pack_model import (
    Pack,
    PackChange,
    PackEdge,
    PackLine,
    PackStation,
    Polygon,
    Ring,
    Source,
)
from greentrip.errors import BadFile, InvalidInput

__all__ = [
    "FORMAT_VERSION",
    "PACK_BYTES_MAX",
    "Pack",
    "PackChange",
    "PackEdge",
    "PackLine",
    "PackStation",
    "Polygon",
    "Ring",
    "Source",
    "is_pack",
    "read_pack",
    "write_pack",
]

MAGIC = b"GTRPACK\n"
FORMAT_VERSION = 1
"""Grows when an older greentrip could no longer read the file right; rows may get more cells at their end without."""
PACK_BYTES_MAX = 8_000_000
"""Twenty times what Beijing may take (400 KB): a larger file is none that a phone should load."""
JSON_BYTES_MAX = 64_000_000
"""What a pack may unfold to: names and numbers shrink to a fifth, never to an eighth."""

_HEADER = struct.Struct(">8sHI32s")
"""Magic, version, bytes and SHA-256 of the compressed rest."""


def is_pack(path: Path | str) -> bool:
    """Whether the file begins as a pack does. False when it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def write_pack(pack: Pack, path: Path | str) -> None:
    """Writes the file; the same pack gives the same bytes. Positions are kept to 1e-6 degrees, about 0.1 m.

    Raises `InvalidInput` that names what no pack may hold, and `BadFile` when the file cannot be written.
    """
    path = Path(path)
    check(pack)
    body = zlib.compress(encode(pack), 9)
    if _HEADER.size + len(body) > PACK_BYTES_MAX:
        raise InvalidInput(
            "pack", f"larger than {PACK_BYTES_MAX} bytes: simplify outlines", f"超过 {PACK_BYTES_MAX} 字节：请简化边界"
        )
    try:
        path.write_bytes(_HEADER.pack(MAGIC, FORMAT_VERSION, len(body), hashlib.sha256(body).digest()) + body)
    except OSError as why:
        raise BadFile(path, 0, f"cannot be written: {why.strerror}", f"无法写入：{why.strerror}") from why


def read_pack(path: Path | str) -> Pack:
    """Reads the file whole and checks all of it. Raises `BadFile` that says what is wrong and what to do."""
    path = Path(path)
    body = _body(path, _bytes(path))
    try:
        unfold = zlib.decompressobj()
        raw = unfold.decompress(body, JSON_BYTES_MAX)
        if not unfold.eof:
            raise ValueError(f"more than {JSON_BYTES_MAX} bytes")
        pack = decode(raw)
        check(pack)
    except InvalidInput as why:
        raise BadFile(path, 0, f"{why.en}: build it anew", f"{why.zh}：请重新生成") from why
    except _NOT_A_PACKS as why:
        en = f"its content is no pack's ({why}): build it anew with greentrip-pack build"
        raise BadFile(path, 0, en, f"内容不符合线网包格式（{why}）：请用 greentrip-pack build 重新生成") from why
    return pack


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(PACK_BYTES_MAX + 1)
    except OSError as why:
        raise BadFile(path, 0, f"cannot be read: {why.strerror}", f"无法读取：{why.strerror}") from why
    if len(raw) > PACK_BYTES_MAX:
        raise BadFile(path, 0, f"larger than {PACK_BYTES_MAX} bytes", f"文件超过 {PACK_BYTES_MAX} 字节")
    return raw


def _body(path: Path, raw: bytes) -> bytes:
    """What follows the header, once the header is found right."""
    if not MAGIC.startswith(raw[: len(MAGIC)]):
        en = "no region pack: make one with greentrip-pack build"
        raise BadFile(path, 0, en, "不是线网包文件：请用 greentrip-pack build 生成")
    if len(raw) < _HEADER.size:
        raise _cut(path, len(raw), None)
    _, version, size, digest = _HEADER.unpack_from(raw)
    if version != FORMAT_VERSION:
        do_en, do_zh = ("update greentrip", "请更新 greentrip") if version > FORMAT_VERSION else _REBUILD
        raise BadFile(
            path,
            0,
            f"a pack of format {version}, and this greentrip reads format {FORMAT_VERSION}: {do_en}",
            f"线网包格式为 {version}，本版本只支持格式 {FORMAT_VERSION}：{do_zh}",
        )
    body = raw[_HEADER.size :]
    if len(body) < size:
        raise _cut(path, len(raw), _HEADER.size + size)
    if len(body) > size or hashlib.sha256(body).digest() != digest:
        en = "damaged: its bytes are not those that were written; copy it again"
        raise BadFile(path, 0, en, "文件已损坏：内容与校验值不符，请重新复制")
    return body


_NOT_A_PACKS = (zlib.error, ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)
"""What JSON of another shape makes of `decode`."""
_REBUILD = ("build it anew with greentrip-pack build", "请用 greentrip-pack build 重新生成")


def _cut(path: Path, size: int, whole: int | None) -> BadFile:
    of_en, of_zh = (f" of {whole}", f"，应为 {whole} 字节") if whole else ("", "")
    return BadFile(
        path, 0, f"cut short: {size}{of_en} bytes; copy it again", f"文件不完整：只有 {size} 字节{of_zh}；请重新复制"
    )
