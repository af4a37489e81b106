"""What happened in a world, one line an event: readable, and equal in every replay."""

from __future__ import annotations

import hashlib
from collections.abc import Callable


class Trace:
    """Lines like `day 1 07:31:05  phone 2: ...`. Nobody but a developer of a simulated world reads it."""

    def __init__(self, days: Callable[[], float]) -> None:
        self.lines: list[str] = []
        self._days = days

    def note(self, who: str, what: str) -> None:
        """Add an event, at the present time."""
        seconds = round(self._days() * 86_400)
        day, second = divmod(seconds, 86_400)
        hours, minutes = divmod(second // 60, 60)
        self.lines.append(f"day {day} {hours:02}:{minutes:02}:{second % 60:02}  {who}: {what}")

    @property
    def digest(self) -> str:
        """SHA-256 of all lines."""
        return hashlib.sha256("\n".join(self.lines).encode()).hexdigest()
