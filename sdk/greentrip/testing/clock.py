"""A clock that moves only when told; `sleep` moves it, so nothing waits."""

from __future__ import annotations

from datetime import UTC, datetime

START = datetime(2026, 3, 5, 0, 0, tzinfo=UTC)


class FakeClock:
    """Implements `greentrip.Clock`. `wall` may be set to make the wall clock jump; `reboot()` starts a new boot."""

    def __init__(self, start: datetime = START) -> None:
        self.wall = start.timestamp()
        self._monotonic = 1_000.0
        self._boot = 1

    def now(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self._monotonic

    def boot_id(self) -> str:
        return f"boot-{self._boot}"

    def sleep(self, seconds: float) -> None:
        self.tick(seconds)

    def tick(self, seconds: float) -> None:
        """Let time pass."""
        self.wall += seconds
        self._monotonic += seconds

    def reboot(self) -> None:
        """A new boot: the monotonic clock begins again."""
        self._boot += 1
        self._monotonic = 0.0
