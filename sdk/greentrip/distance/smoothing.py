"""Where somebody most likely was and how fast, given inaccurate fixes: a Kalman filter with a backward pass.

The model is motion with constant velocity that is disturbed at random (white noise of the acceleration), seen through
Gaussian noise of the reported accuracy. Its best estimate given all fixes, earlier and later ones, is a smooth curve
of cubic pieces. How strong the disturbance is follows from how fast the track itself goes, not from a claimed mode:
who goes fast turns and brakes harder, and who stands still is hardly disturbed at all.

Noise is the same to the east and to the north, so both axes share one covariance of three numbers.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from greentrip.distance.plane import Columns, on_plane
from greentrip.trip import Fix

MERGE_S = 4.5
"""Fixes within so many seconds are one measurement, no better than one of them: a receiver's errors last longer.
No whole number, as CHORD_S: else the rounding of a time would decide what is merged of fixes that come every 5 s."""
RADII_PER_SIGMA = 1.515
"""68 % of a two-dimensional normal distribution lie within 1.515 sigma; the accuracy of a fix is that radius."""
TURN_PER_S = 0.05
"""Acceleration noise, m2/s3, per squared speed: one turns by a right angle about every 40 s (2 / 40 s = 0.05)."""
NOISE_M2S3_MIN = 1e-3
"""Of one who seems to stand: (1 cm/s2)2 over ten seconds."""
CHORD_S = 22.5
"""The track's own speed is taken over the chord to so many seconds before and after."""
PAUSE_S_MAX = 3600.0
"""After a longer pause nothing more is forgotten: by then the place before says nothing of the one after."""
START_M, START_MPS = 1e4, 100.0
"""Before the first measurement any place near, and any speed of a vehicle, is as likely."""


@dataclass(frozen=True, slots=True)
class State:
    """Where and how fast at a time (Unix seconds): metres east and north of the first fix of the chain, metres/s."""

    at: float
    east_m: float
    north_m: float
    east_mps: float
    north_mps: float

    @property
    def speed_mps(self) -> float:
        return math.hypot(self.east_mps, self.north_mps)


@dataclass(frozen=True, slots=True)
class Course:
    """Smoothed states as columns, one row a measurement."""

    at: list[float]
    east_m: list[float]
    north_m: list[float]
    east_mps: list[float]
    north_mps: list[float]


def smooth(chain: Sequence[Fix]) -> list[State]:
    """The most likely states of one chain of `clean`, at most one every MERGE_S seconds. No fixes: no states.

    >>> smooth([])
    []
    """
    course = smoothed(merged(on_plane(chain)))
    columns = (course.at, course.east_m, course.north_m, course.east_mps, course.north_mps)
    return [State(*row) for row in zip(*columns, strict=True)]


def merged(columns: Columns) -> Columns:
    """Averages of the rows within MERGE_S of each other; their radius is a mean one too."""
    at = columns.at
    count = len(at)
    starts = []
    row = 0
    while row < count:
        starts.append(row)
        row = bisect_left(at, at[row] + MERGE_S, row + 1)
    if len(starts) == count:
        return columns
    ends = [*starts[1:], count]
    began_at = at[0]
    since = [now - began_at for now in at]
    means = [
        [(sums[end] - sums[start]) / (end - start) for start, end in zip(starts, ends, strict=True)]
        for sums in (
            list(accumulate(column, initial=0.0))
            for column in (since, columns.east_m, columns.north_m, columns.radius_m)
        )
    ]
    return Columns([began_at + mean for mean in means[0]], means[1], means[2], means[3])


def smoothed(measured: Columns) -> Course:
    """The filter forwards, then Bryson and Frazier's backward pass: the adjoint of the filter, without an inverse."""
    if not measured.at:
        return Course([], [], [], [], [])
    x, y, u, v = measured.east_m[0], measured.north_m[0], 0.0, 0.0  # the predicted place and speed
    pp, pv, vv = START_M**2, 0.0, START_MPS**2  # and their covariance
    steps = []
    noises = disturbance(measured)
    before, noise_before = measured.at[0], noises[0]
    for now, east_m, north_m, radius_m, noise in zip(
        measured.at, measured.east_m, measured.north_m, measured.radius_m, noises, strict=True
    ):
        dt = min(now - before, PAUSE_S_MAX)
        spread = dt * (noise_before + noise) / 2
        before, noise_before = now, noise
        x += dt * u
        y += dt * v
        pp += dt * (2 * pv + dt * (vv + spread / 3))
        pv += dt * (vv + spread / 2)
        vv += spread
        weight = 1 / (pp + (radius_m / RADII_PER_SIGMA) ** 2)
        gain, gain_v = pp * weight, pv * weight
        off_x, off_y = east_m - x, north_m - y
        steps.append((dt, x, y, u, v, pp, pv, vv, gain, gain_v, off_x * weight, off_y * weight))
        x += gain * off_x
        y += gain * off_y
        u += gain_v * off_x
        v += gain_v * off_y
        vv -= gain_v * pv
        pp -= gain * pp
        pv -= gain * pv
    states = []
    ax = av_x = ay = av_y = 0.0  # the adjoint of place and speed, east and north
    for dt, x, y, u, v, pp, pv, vv, gain, gain_v, pull_x, pull_y in reversed(steps):
        ax = ax - gain * ax - gain_v * av_x - pull_x
        ay = ay - gain * ay - gain_v * av_y - pull_y
        states.append(
            (x - pp * ax - pv * av_x, y - pp * ay - pv * av_y, u - pv * ax - vv * av_x, v - pv * ay - vv * av_y)
        )
        av_x += dt * ax
        av_y += dt * ay
    xs, ys, us, vs = zip(*reversed(states), strict=True)
    return Course(measured.at, list(xs), list(ys), list(us), list(vs))


def disturbance(measured: Columns) -> list[float]:
    """How strongly the motion is disturbed around each row, m2/s3, from the track's own speed over CHORD_S."""
    at, east_m, north_m = measured.at, measured.east_m, measured.north_m
    last = len(at) - 1
    noises = []
    a = b = 0
    for now in at:
        while a < last and at[a + 1] <= now - CHORD_S:
            a += 1
        while b < last and at[b] < now + CHORD_S:
            b += 1
        chord_mps = math.hypot(east_m[b] - east_m[a], north_m[b] - north_m[a]) / max(at[b] - at[a], CHORD_S)
        noise = TURN_PER_S * chord_mps * chord_mps
        noises.append(noise if noise > NOISE_M2S3_MIN else NOISE_M2S3_MIN)
    return noises
