"""The bands of the scorecard: how far above or below what is usual for a kind of travel a speed lies, in points.

Points say how rare a value is among honest legs of that kind: 1 beyond one leg in 10, 2 beyond one in 20, 4 beyond one
in 100, 8 beyond what it can do. Limits are rounded to a record's steps. A comment says where each kind's come from.

Sources, cited by the bands:
* **Beijing**: quantiles of mean speed and of the 95th percentile of the speed between fixes, by mode, on labelled
  tracks of 30 people, 2007 to 2011. A 95th percentile between raw fixes holds the receiver's noise; here tracks are
  smoothed. How the one translates to the other, and to the other features, is reckoned by simulated legs that meet
  those quantiles (`tests/accuracy/traffic.py`).
* **Stops**: Chen and others, bus delay at stops in Beijing (doi 10.1155/2013/745370): buses run at 22 km/h in the peak.
* **E-bike**: GB 17761-2018 ends the motor's help at 25 km/h.
* **Law**: 80 km/h on urban expressways, 120 on motorways; lines in Beijing run at 80 to 160 km/h.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

RARE, UNUSUAL, SELDOM, HARDLY = 1, 2, 4, 8
"""Beyond one honest leg in 10, in 20, in 100, and beyond what the kind can do."""


class Kind(StrEnum):
    """How somebody can have travelled, whether or not the standard has a mode for it."""

    WALK = "walk"
    CYCLE = "cycle"
    EBIKE = "ebike"
    BUS = "bus"
    RAIL = "rail"
    CAR = "car"


class Measure(StrEnum):
    """What a band looks at; all of it is in a record's features. km/h."""

    MEDIAN = "median"
    P85 = "p85"
    P95 = "p95"
    MOVING = "moving"
    SPREAD = "spread"
    """The 95th percentile less the mean while moving: who pedals keeps a pace, who has a motor speeds up and brakes."""
    UNEVEN = "uneven"
    """The 85th percentile less the median: traffic stands or creeps for half of the time, and is quick where it can."""


@dataclass(frozen=True, slots=True)
class Bands:
    """Limits in km/h with points: above each of `high`, below each of `low`. The gravest that holds counts."""

    high: tuple[tuple[int, int], ...]
    low: tuple[tuple[int, int], ...] = ()

    def points(self, value: int) -> int:
        """The points of a value; 0 where it is usual.

        >>> Bands(high=((8, 1), (12, 4)), low=((4, 2),)).points(14)
        4
        """
        above = [points for limit, points in self.high if value > limit]
        below = [points for limit, points in self.low if value < limit]
        return max([0, *above, *below])


def _above(*limits: int) -> tuple[tuple[int, int], ...]:
    """Limits in the order of their points; not every measure has all four."""
    return tuple(zip(limits, (RARE, UNUSUAL, SELDOM, HARDLY), strict=False))


BANDS: Mapping[Kind, Mapping[Measure, Bands]] = {
    # Beijing: mean 2.6, 3.3, 5.5, 12, 20 (1, 5, 50, 95, 99 %); 95th percentile 12, above 50 on one leg in 20. The top
    # are jumps, and rides that belong to the label by mistake: they raise the fastest moments of an honest walk, so
    # those say little here, while the mean while moving says most. A runner of 12 km/h stays below what is asked.
    Kind.WALK: {
        Measure.MEDIAN: Bands(_above(8, 10, 12, 16)),
        Measure.MOVING: Bands(_above(8, 10, 12, 14)),
        Measure.P85: Bands(_above(10, 14, 22)),
        Measure.P95: Bands(_above(14, 18)),
        Measure.SPREAD: Bands(_above(8)),
    },
    # Beijing: mean 5.3, 7.4, 12.3, 16.8, 17.7; 95th percentile 20, on one leg in 20 above 34 with its noise. Quicker
    # riders keep their pace, so that the spread stays. One in 20 is as slow as 7.4 with rests, 8 without: so slow is
    # unusual, and no more. Unevenness: of 193 simulated legs 6, 4 and 1 % lie beyond 8, 10 and 14.
    Kind.CYCLE: {
        Measure.MEDIAN: Bands(_above(16, 18, 22, 28)),
        Measure.MOVING: Bands(_above(16, 18, 20, 26), ((10, RARE), (8, UNUSUAL), (6, SELDOM))),
        Measure.P85: Bands(_above(20, 22, 24, 28), ((12, RARE), (10, UNUSUAL), (8, SELDOM))),
        Measure.P95: Bands(_above(20, 22, 26, 32), ((12, RARE), (10, UNUSUAL), (8, SELDOM))),
        Measure.SPREAD: Bands(_above(5, 6, 8, 10)),
        Measure.UNEVEN: Bands(_above(8, 10, 14)),
    },
    # E-bike: the motor helps up to 25 km/h; many were built before 2019 or are tuned, so the top is soft.
    Kind.EBIKE: {
        Measure.MEDIAN: Bands(_above(24, 26, 30, 36)),
        Measure.MOVING: Bands(_above(22, 24, 26, 32), ((16, RARE), (14, SELDOM))),
        Measure.P85: Bands(_above(26, 28, 30, 36), ((18, UNUSUAL), (16, SELDOM))),
        Measure.P95: Bands(_above(28, 32, 36, 42), ((20, UNUSUAL), (18, SELDOM))),
        Measure.SPREAD: Bands(_above(8, 9, 11, 16)),
    },
    # Beijing: mean 5.4, 10.2, 18.1, 29.3, 42.5; 95th percentile 43, above 61 on one leg in 20. Stops: 22 in the peak.
    # A fifth to a third of the time at stops makes 12 and 8 while moving of the slowest 5 and 1 %.
    Kind.BUS: {
        Measure.MEDIAN: Bands(_above(26, 30, 36, 50)),
        Measure.MOVING: Bands(_above(30, 32, 36, 46), ((16, RARE), (12, UNUSUAL), (8, SELDOM), (6, HARDLY))),
        Measure.P85: Bands(_above(42, 46, 52, 66), ((20, RARE), (16, UNUSUAL), (12, SELDOM))),
        Measure.P95: Bands(_above(50, 54, 60, 76), ((24, RARE), (20, UNUSUAL), (16, SELDOM), (12, HARDLY))),
        Measure.SPREAD: Bands(_above(24, 28, 32, 44)),
    },
    # Beijing: mean 9.4, 19.4, 40.4, 52.4, 64; 95th percentile 71, above 91 on one leg in 20. Law: up to 160. Trams, and
    # tracks that hold the stations only, are slower.
    Kind.RAIL: {
        Measure.MEDIAN: Bands(_above(80, 100, 130, 160)),
        Measure.MOVING: Bands(_above(70, 90, 120, 150), ((20, RARE), (16, UNUSUAL), (12, SELDOM), (8, HARDLY))),
        Measure.P85: Bands(_above(100, 120, 150, 170), ((26, RARE), (22, UNUSUAL), (16, SELDOM), (12, HARDLY))),
        Measure.P95: Bands(_above(110, 130, 160, 200), ((34, RARE), (28, UNUSUAL), (22, SELDOM), (16, HARDLY))),
        Measure.SPREAD: Bands(_above(60, 80, 100, 120)),
    },
    # Beijing: cars 10.7, 18.3, 36.2, 53, 60.2 and 75, 95; taxis 6.1, 9.1, 25.7, 52, 56 and 60, 80. Law: 120. One kind:
    # the low bands are those of taxis in a jam.
    Kind.CAR: {
        Measure.MEDIAN: Bands(_above(66, 80, 110, 140)),
        Measure.MOVING: Bands(_above(60, 70, 100, 130), ((18, RARE), (14, UNUSUAL), (10, SELDOM), (8, HARDLY))),
        Measure.P85: Bands(_above(80, 96, 120, 150), ((24, RARE), (18, UNUSUAL), (12, SELDOM), (8, HARDLY))),
        Measure.P95: Bands(_above(90, 104, 130, 160), ((36, RARE), (28, UNUSUAL), (18, SELDOM), (12, HARDLY))),
        Measure.SPREAD: Bands(_above(44, 52, 64, 80)),
    },
}
