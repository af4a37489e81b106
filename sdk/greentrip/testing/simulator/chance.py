"""One seed decides everything: what the system gives as random, and which thread comes first, since there is one."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from greentrip import threads


@contextmanager
def seeded_process(seed: int) -> Iterator[None]:
    """Within the block the code under test draws its ids, keys and salts from `seed`, and begins no threads.

    For a process that only simulates: what else it draws from the system is foreseeable, too.
    """
    dice = random.Random(seed)
    urandom, begin = os.urandom, threads.begin
    # `secrets` and `random.SystemRandom` hold a reference of their own.
    held = random._urandom  # type: ignore[attr-defined]
    os.urandom = random._urandom = dice.randbytes  # type: ignore[attr-defined]
    threads.begin = _do_at_once
    try:
        yield
    finally:
        os.urandom, threads.begin = urandom, begin
        random._urandom = held  # type: ignore[attr-defined]


def _do_at_once(name: str, work: Callable[[], None]) -> threading.Event:
    ended = threading.Event()
    work()
    ended.set()
    return ended
