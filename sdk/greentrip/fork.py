"""After `os.fork()` a child has its parent's memory, but none of its threads: locks may be held by nobody, and
connections belong to the parent. Whatever holds such things is watched here and told in the child."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class ForkAware(Protocol):
    """Forgets, in the child, what belongs to the parent."""

    def after_fork(self) -> None:
        """Called in the child, before anything else runs there."""


_watched: WeakSet[ForkAware] = WeakSet()


def watch(thing: ForkAware) -> None:
    """Tell `thing` when it wakes up in a child; for as long as it lives."""
    _watched.add(thing)


def _in_child() -> None:
    for thing in list(_watched):
        thing.after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_in_child)
