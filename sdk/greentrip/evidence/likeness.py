"""Whether a track is the very track of an earlier trip, played again at another time.

The fingerprint is a hash of one stretch of the track, of the steps in time and place from fix to fix: another day, or
every position moved by the same amount, gives the same one. The stretch is the one whose hash is smallest, so a copy
that begins later or ends sooner mostly still holds it. The same way on another day differs by metres and seconds: no
person and no receiver repeats itself so exactly. The fingerprint stays on the phone.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Sequence
from itertools import pairwise

from greentrip.distance.cleaning import usable
from greentrip.distance.sphere import great_circle_m
from greentrip.trip import Fix

STRETCH_FIXES = 16
"""Fixes in a stretch: each tells some bits of noise, so that 16 agree is no chance."""
STRETCH_M_MIN = 50.0
"""A stretch on which nobody moved is like any other such."""
PLACE_STEP_DEG = 1e-5
"""About a metre."""
TIME_STEP_S = 0.1
OFF_GRID = 0.37
"""Where the border between two steps lies, in steps: not where positions and times with few decimals do."""
HASH_BYTES = 16


def fingerprint_of(fixes: Sequence[Fix], salt: bytes = b"") -> str | None:
    """The fingerprint in hex (32 digits), or None for a track too short to have one.

    `salt` (at most 64 bytes) makes the fingerprints of one phone unlike those of another.
    """
    kept = usable(fixes)
    steps = [_step(a, b) for a, b in pairwise(kept)]
    hashes = (
        hashlib.blake2b(b"".join(steps[first : first + STRETCH_FIXES - 1]), digest_size=HASH_BYTES, key=salt).digest()
        for first in range(len(kept) - STRETCH_FIXES + 1)
        if great_circle_m(kept[first].point, kept[first + STRETCH_FIXES - 1].point) >= STRETCH_M_MIN
    )
    smallest = min(hashes, default=None)
    return None if smallest is None else smallest.hex()


def _step(a: Fix, b: Fix) -> bytes:
    """From fix to fix in whole steps of time, latitude and longitude."""
    return struct.pack(
        ">qqq",
        math.floor((b.at - a.at) / TIME_STEP_S + OFF_GRID),
        math.floor((b.point.lat - a.point.lat) / PLACE_STEP_DEG + OFF_GRID),
        math.floor((b.point.lon - a.point.lon) / PLACE_STEP_DEG + OFF_GRID),
    )
