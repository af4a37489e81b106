"""After `os.fork()` a child has its parent's memory, but none of its threads: locks may be held by nobody, and
connections belong to the parent. Whatever holds such things is watched here and told in the child.

Worse are the locks that a library shares with the whole process, as SQLite does: a thread that is inside it at the
fork leaves them locked in the child for ever. So whoever calls such a library holds a guard, and a fork waits for it.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Protocol
from weakref import WeakSet

HOLD_S_MAX = 6.0
"""A fork waits so long for the guards: a little longer than a store waits for another process's lock."""


class ForkAware(Protocol):
    """Forgets, in the child, what belongs to the parent."""

    def after_fork(self) -> None:
        """Called in the child, before anything else runs there."""


class Guarded(Protocol):
    """Calls a library that bears no fork, in any thread, and only while it holds this."""

    def fork_guard(self) -> threading.RLock:
        """The lock."""


class _Held(threading.local):
    """The guards that this thread holds, since it forks."""

    def __init__(self) -> None:
        self.guards: list[threading.RLock] = []


_watched: WeakSet[ForkAware] = WeakSet()
_guarded: WeakSet[Guarded] = WeakSet()
_held = _Held()


def watch(thing: ForkAware) -> None:
    """Tell `thing` when it wakes up in a child; for as long as it lives."""
    _watched.add(thing)


def guard(thing: Guarded) -> None:
    """Let no fork happen while another thread holds the guard of `thing`; for as long as it lives."""
    _guarded.add(thing)


def _before() -> None:
    deadline = time.monotonic() + HOLD_S_MAX
    for lock in [thing.fork_guard() for thing in list(_guarded)]:
        if lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
            _held.guards.append(lock)


def _let_go() -> None:
    while _held.guards:
        _held.guards.pop().release()


def _in_child() -> None:
    _let_go()
    for thing in list(_watched):
        thing.after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(before=_before, after_in_parent=_let_go, after_in_child=_in_child)
