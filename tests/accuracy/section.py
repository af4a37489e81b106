"""A part of the accuracy report: its own module computes the figures, draws the plots, and writes them down."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Progress = Callable[[str], None]
"""Told what is being computed: whatever takes longer than half a second says so."""


@dataclass(frozen=True, slots=True)
class Target:
    """A figure that the design wants: what was measured, the limit, and over how many cases."""

    name: str
    value: float
    low: float
    high: float
    unit: str
    count: int
    count_min: int = 0
    """With fewer cases the figure is shown and proves nothing either way."""

    @property
    def reached(self) -> bool:
        return self.low <= self.value <= self.high

    @property
    def verdict(self) -> str:
        said = "reached" if self.reached else "**missed**"
        return said if self.count >= self.count_min else f"{said}, of too few cases to tell"


@dataclass(frozen=True, slots=True)
class Section:
    """`markdown` begins with a heading of level 2; plots are PNG files that it names relative to the report."""

    markdown: str
    targets: tuple[Target, ...] = ()


Build = Callable[[Path, Path, Progress], Section]
"""(folder of the shared data, folder for the plots, progress) -> the section."""
