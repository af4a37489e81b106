"""The time of a simulated world, and the clocks of its phones, which are wrong in every way that clocks are."""

from __future__ import annotations

from datetime import UTC, datetime

START = datetime(2026, 3, 5, 8, 30, tzinfo=UTC)
"""A Thursday afternoon in Beijing, within the years of the bundled methodology."""


class WorldClock:
    """The true time, which the server's clock shows. It moves only when told, so nothing waits."""

    def __init__(self, start: datetime = START) -> None:
        self.started_s = start.timestamp()
        self.at_s = self.started_s

    def __call__(self) -> datetime:
        return datetime.fromtimestamp(self.at_s, UTC)

    @property
    def days(self) -> float:
        """The days that have passed since the start."""
        return (self.at_s - self.started_s) / 86_400

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.at_s += max(0.0, seconds)


class PhoneClock:
    """Implements `greentrip.Clock`: a phone's wall clock may be off, drift and jump; `sleep` moves the whole world."""

    def __init__(self, world: WorldClock, *, offset_s: float = 0.0, drift_ppm: float = 0.0) -> None:
        self._world = world
        self._drift = drift_ppm / 1_000_000
        self._set_at_s = world.at_s
        self._shown_s = world.at_s + offset_s
        self._booted_s = world.at_s
        self._boots = 1

    def now(self) -> float:
        return self._shown_s + (self._world.at_s - self._set_at_s) * (1 + self._drift)

    @property
    def off_s(self) -> float:
        """By how much the wall clock is wrong."""
        return abs(self.now() - self._world.at_s)

    def monotonic(self) -> float:
        return self._world.at_s - self._booted_s

    def boot_id(self) -> str:
        return f"boot-{self._boots}"

    def sleep(self, seconds: float) -> None:
        self._world.advance(seconds)

    def set(self, shown_s: float) -> None:
        """Show this time (Unix seconds) from now on: somebody, or the network, sets the clock."""
        self._set_at_s, self._shown_s = self._world.at_s, shown_s

    def mend(self) -> None:
        """Show the true time."""
        self.set(self._world.at_s)

    def reboot(self) -> None:
        """The phone starts again: its monotonic clock begins at 0."""
        self._booted_s = self._world.at_s
        self._boots += 1
