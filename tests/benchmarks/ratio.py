"""A measured ratio: ours against a named baseline, timed in turns in the same run."""

import time
from collections.abc import Callable
from dataclasses import dataclass

ROUNDS = 7
"""Each side runs so often; the least time of a side is the one that other work disturbed least."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """Seconds of ours and of the baseline for the same work, and the limit of their ratio (None: only reported)."""

    name: str
    baseline: str
    ours_s: float
    baseline_s: float
    limit: float | None

    @property
    def ratio(self) -> float:
        return self.ours_s / self.baseline_s

    @property
    def reached(self) -> bool:
        return self.limit is None or self.ratio <= self.limit


def compare(
    name: str,
    ours: Callable[[], object],
    baseline: str,
    other: Callable[[], object],
    limit: float | None,
    rounds: int = ROUNDS,
) -> Ratio:
    """Times both sides in turns, each after one run that is not counted."""
    ours(), other()
    times: list[tuple[float, float]] = [(_seconds(ours), _seconds(other)) for _ in range(rounds)]
    return Ratio(name, baseline, min(t for t, _ in times), min(t for _, t in times), limit)


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
