"""The bytes of a file of tracks, plain or gzipped, within limits; and what is wrong with a value in it."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from greentrip.errors import BadFile, InvalidInput
from greentrip.trip import Point

FILE_BYTES_MAX = 1_000_000_000
"""Unpacked: a small .gz may hold a large file."""
LINE_BYTES_MAX = 32_000_000
FIXES_MAX = 500_000
"""In one track: more than five days at one fix a second."""
TEXT_CHARS_MAX = 1000
"""In a name, a mode or a time."""
AT_S_MAX = 4_102_444_800
"""The year 2100: a later time is most likely in milliseconds."""
CHUNK_BYTES = 65_536
BEGINNING_BYTES = 16
"""Enough to tell what a file holds."""

OnError = Callable[[BadFile], object]


class Source:
    """The unpacked bytes of a file, counted; damage becomes `BadFile` with the line where it begins."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.line = 1
        self._bytes = 0

    def open(self, file: BinaryIO) -> None:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        self._file: BinaryIO | gzip.GzipFile = gzip.GzipFile(fileobj=file) if packed else file

    def bad(self, line: int, en: str, zh: str) -> BadFile:
        return BadFile(self.path, line, en, zh)

    def beginning(self) -> bytes:
        """The first bytes without white space or a byte order mark; the file is at its beginning afterwards."""
        head = b""
        while not head.strip() and (chunk := self._read(self._file.read, CHUNK_BYTES)):
            head = head[:3] + chunk
        self._file.seek(0)
        self._bytes = 0
        return head.lstrip().removeprefix(b"\xef\xbb\xbf").lstrip()[:BEGINNING_BYTES]

    def chunks(self) -> Iterator[bytes]:
        while chunk := self._read(self._file.read, CHUNK_BYTES):
            yield chunk

    def lines(self) -> Iterator[bytes]:
        """Each line, not longer than LINE_BYTES_MAX; `line` is its number."""
        while text := self._read(self._file.readline, LINE_BYTES_MAX + 1):
            if len(text) > LINE_BYTES_MAX:
                en, zh = f"a line of over {LINE_BYTES_MAX} bytes", f"一行超过 {LINE_BYTES_MAX} 字节"
                raise self.bad(self.line, en, zh)
            yield text
            self.line += 1

    def _read(self, read: Callable[[int], bytes], size: int) -> bytes:
        try:
            data = read(size)
        except (EOFError, gzip.BadGzipFile, zlib.error) as why:
            en, zh = f"the gzip file is cut short or damaged ({why})", f"gzip 文件不完整或已损坏（{why}）"
            raise self.bad(self.line, en, zh) from why
        self._bytes += len(data)
        if self._bytes > FILE_BYTES_MAX:
            en, zh = f"more than {FILE_BYTES_MAX} bytes", f"超过 {FILE_BYTES_MAX} 字节"
            raise self.bad(self.line, en, zh)
        return data


class Wrong(ValueError):
    """A value is wrong: in English and Chinese. Whoever reads the file adds path and line."""

    def __init__(self, en: str, zh: str) -> None:
        super().__init__(en)
        self.en, self.zh = en, zh


def point(where_en: str, where_zh: str, lat: float, lon: float) -> Point:
    try:
        return Point(lat, lon)
    except InvalidInput as why:
        raise Wrong(f"{where_en}: {why.en}", f"{where_zh}：{why.zh}") from why
