"""Plain tables for a terminal, right also where characters are two columns wide."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

NOTE_COLUMNS_MAX = 12
"""A longer note stands below the table."""


def width(text: str) -> int:
    """The columns that a text takes in a terminal.

    >>> width("km"), width("虎坊桥")
    (2, 6)
    """
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def table(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Rows under a head; the columns whose numbers stand in `right` are set flush right."""
    lines = [list(head), *map(list, rows)]
    widths = [max(width(line[column]) for line in lines) for column in range(len(head))]
    rule = ["-" * size for size in widths]
    return "\n".join(
        "  ".join(_pad(cell, widths[column], column in right) for column, cell in enumerate(line)).rstrip()
        for line in [lines[0], rule, *lines[1:]]
    )


def _pad(text: str, columns: int, right: bool) -> str:
    space = " " * (columns - width(text))
    return space + text if right else text + space


class Footnotes:
    """Sentences that many rows share, written once below the table."""

    def __init__(self) -> None:
        self._notes: list[str] = []

    def mark(self, note: str) -> str:
        """What stands in the row: a short note itself, or the number of a longer one."""
        if width(note) <= NOTE_COLUMNS_MAX:
            return note
        if note not in self._notes:
            self._notes.append(note)
        return f"[{self._notes.index(note) + 1}]"

    def text(self) -> str:
        """The numbered sentences, one a line."""
        return "".join(f"[{number}] {note}\n" for number, note in enumerate(self._notes, start=1))
