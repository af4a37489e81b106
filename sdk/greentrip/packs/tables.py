"""Tables of comma-separated values in a folder, a zip archive or a file of their own, row by row."""

from __future__ import annotations

import csv
import gzip
import io
import math
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from greentrip.errors import BadFile
from greentrip.trip import Point

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

TABLE_BYTES_MAX = 4_000_000_000
"""No table is larger unpacked; stop_times of a whole country has about 1 GB."""
YES = frozenset({"1", "yes", "true", "y", "是"})
NO = frozenset({"", "0", "no", "false", "n", "否"})


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table, its cells trimmed. A column that is not there reads as empty."""

    path: Path
    line: int
    cells: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells.get(column, "")

    def error(self, en: str, zh: str) -> BadFile:
        return BadFile(self.path, self.line, en, zh)

    def text(self, column: str) -> str:
        """A cell that may not be empty."""
        if not self[column]:
            raise self.error(f"{column!r} is empty", f"“{column}”为空")
        return self[column]

    def number(self, column: str, low: float, high: float) -> float:
        """A finite number within low..high."""
        text = self[column]
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not low <= number <= high:
            en = f"{column} {text!r} is not a number within {low:g}..{high:g}"
            raise self.error(en, f"{column} “{text}”不是 {low:g}..{high:g} 之内的数字")
        return number

    def flag(self, column: str) -> bool:
        """Yes or no; an empty cell is no."""
        word = self[column].lower()
        if word not in YES | NO:
            raise self.error(f"{column} {word!r} is neither yes nor no", f"{column} “{word}”应为 yes 或 no")
        return word in YES

    def parts(self, column: str) -> tuple[str, ...]:
        """The parts of a cell between vertical bars."""
        return tuple(part.strip() for part in self[column].split("|") if part.strip())

    def point(self, lat: str, lon: str) -> Point | None:
        """A position, or None when both cells are empty."""
        if not self[lat] and not self[lon]:
            return None
        return Point(self.number(lat, -90, 90), self.number(lon, -180, 180))


class Tables:
    """The tables of a folder or a zip archive, by their file names. Plain or with .gz behind the name.

    `end_needed`: a table whose last line has no line end counts as cut short.
    """

    def __init__(self, path: Path, end_needed: bool = False) -> None:
        self.path = path
        self._end_needed = end_needed
        self._archive: dict[str, str] = {}
        if path.is_dir():
            return
        try:
            with zipfile.ZipFile(path) as archive:
                # Some feeds have their files in one folder inside the archive.
                self._archive = {Path(name).name: name for name in archive.namelist() if not name.endswith("/")}
        except (OSError, NotImplementedError, zipfile.BadZipFile) as why:
            raise unreadable(path, why) from why

    def __contains__(self, name: str) -> bool:
        return name in self._archive or (self.path / name).is_file() or (self.path / f"{name}.gz").is_file()

    def rows(self, name: str, needed: Sequence[str]) -> Iterator[Row]:
        """The rows of a table. Raises `BadFile` when it or a needed column is missing, or it cannot be read."""
        if name not in self:
            raise BadFile(self.path / name, 0, "there is no such file", "缺少该文件")
        return read_rows(self.path / name, self._open(name), needed, self._end_needed)

    def optional(self, name: str, needed: Sequence[str]) -> Iterator[Row]:
        """The rows of a table that need not be there."""
        return self.rows(name, needed) if name in self else iter(())

    @contextmanager
    def _open(self, name: str) -> Iterator[IO[bytes]]:
        if name in self._archive:
            with zipfile.ZipFile(self.path) as archive, archive.open(self._archive[name]) as file:
                yield file
        else:
            plain = self.path / name
            with opened(plain if plain.is_file() else self.path / f"{name}.gz") as file:
                yield file


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """A file, unpacked when its name ends in .gz."""
    with path.open("rb") as raw:
        if path.suffix == ".gz":
            with gzip.GzipFile(fileobj=raw) as file:
                yield cast("IO[bytes]", file)
        else:
            yield raw


def read_rows(
    path: Path, opening: AbstractContextManager[IO[bytes]], needed: Sequence[str], end_needed: bool = False
) -> Iterator[Row]:
    """The rows of one table; blank lines are passed over. `path` is what errors name."""
    at = 0
    header: list[str] = []
    try:
        with opening as file:
            counted = _Counted(path, file)
            reader = csv.reader(io.TextIOWrapper(io.BufferedReader(counted), "utf-8-sig", newline=""), strict=True)
            for cells in reader:
                at = reader.line_num
                if not any(cells):
                    continue
                if not header:
                    header = _header(path, at, cells, needed)
                    continue
                if len(cells) != len(header):
                    en, zh = f"{len(cells)} columns, not {len(header)}", f"有 {len(cells)} 列，应为 {len(header)} 列"
                    raise BadFile(path, at, en, zh)
                yield Row(path, at, dict(zip(header, map(str.strip, cells), strict=True)))
    except UnicodeDecodeError as why:
        raise BadFile(path, at + 1, "not UTF-8 text: save it as UTF-8", "不是 UTF-8 编码：请另存为 UTF-8") from why
    except csv.Error as why:
        raise BadFile(path, at + 1, f"broken CSV: {why}", f"CSV 格式有误：{why}") from why
    except (OSError, EOFError, RuntimeError, zlib.error, zipfile.BadZipFile) as why:  # RuntimeError: encrypted
        raise unreadable(path, why) from why
    if not header:
        raise BadFile(path, 1, "the file is empty", "文件为空")
    if end_needed and counted.last not in b"\r\n":
        en = "the last line has no line end: the file was cut short (if it is whole, add a line end)"
        raise BadFile(path, at, en, "最后一行没有换行符：文件可能不完整（如确认完整，请补上换行）")


def unreadable(path: Path, why: Exception) -> BadFile:
    """The error for a file that the system or its compression refuses."""
    reason = (why.strerror if isinstance(why, OSError) else None) or str(why)
    return BadFile(path, 0, f"cannot be read: {reason}", f"无法读取：{reason}")


def _header(path: Path, at: int, cells: Sequence[str], needed: Sequence[str]) -> list[str]:
    header = [cell.strip() for cell in cells]
    for missing in (name for name in needed if name not in header):
        raise BadFile(path, at, f"there is no column {missing!r}", f"缺少“{missing}”列")
    return header


class _Counted(io.RawIOBase):
    """A stream of at most TABLE_BYTES_MAX that remembers its last byte."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._path, self._file, self._bytes = path, file, 0
        self.last = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        into = memoryview(buffer)
        chunk = self._file.read(len(into))
        into[: len(chunk)] = chunk
        self._bytes += len(chunk)
        if self._bytes > TABLE_BYTES_MAX:
            raise BadFile(self._path, 0, f"larger than {TABLE_BYTES_MAX} bytes", f"超过 {TABLE_BYTES_MAX} 字节")
        self.last = chunk[-1:] or self.last
        return len(chunk)
