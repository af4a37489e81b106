"""Randomness that a seed decides: also the ids, keys and salts that the code under test draws from the system."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def seeded_entropy(seed: int) -> Iterator[None]:
    """Within the block, what the system gives as random follows from `seed`. For a process that only simulates."""
    dice = random.Random(seed)
    urandom = os.urandom
    # `secrets` and `random.SystemRandom` hold a reference of their own.
    kept = random._urandom  # type: ignore[attr-defined]
    os.urandom = random._urandom = dice.randbytes  # type: ignore[attr-defined]
    try:
        yield
    finally:
        os.urandom = urandom
        random._urandom = kept  # type: ignore[attr-defined]
