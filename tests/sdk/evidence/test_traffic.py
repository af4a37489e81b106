"""The simulated legs move as the labelled Beijing tracks do, by the quantiles that may be passed on."""

import random
from itertools import pairwise
from math import hypot

import pytest

from accuracy.traffic import TRAFFIC, driven

MEAN_KMH = {
    "walk": (3.3, 5.5, 12.0),
    "cycle": (7.4, 12.3, 16.8),
    "bus": (10.2, 18.1, 29.3),
    "rail": (19.4, 40.4, 52.4),
    "car": (18.3, 36.2, 53.0),
    "taxi": (9.1, 25.7, 52.0),
}
"""5th, 50th and 95th percentile of a leg's mean speed; the walks' last is of mislabelled ones."""
METRES = {"walk": 1500, "cycle": 3000, "bus": 6000, "rail": 9000, "car": 10_000, "taxi": 7000}
LEGS = 150


@pytest.mark.parametrize("kind", MEAN_KMH)
def test_mean_speeds_are_those_of_beijing(kind: str):
    dice = random.Random(1)
    means = []
    for _ in range(LEGS):
        way = driven(dice, TRAFFIC[kind], METRES[kind] * dice.uniform(0.5, 1.5))
        metres = sum(hypot(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(way))
        means.append(metres / len(way) * 3.6)
    means.sort()
    low, middle, high = MEAN_KMH[kind]
    assert means[LEGS // 2] == pytest.approx(middle, rel=0.15)
    assert means[LEGS // 20] == pytest.approx(low, rel=0.35)
    if kind != "walk":
        assert means[-LEGS // 20] == pytest.approx(high, rel=0.2)
