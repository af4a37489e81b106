"""Work in a daemon thread of its own, which nobody has to end.

One small door, so that the simulator can have the work done in the caller's thread: then a seed decides everything.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


def begin(name: str, work: Callable[[], None]) -> threading.Event:
    """Start a thread; the event is set when its work has ended. Raises RuntimeError when there is no thread to be had:
    the system gives no more, or the interpreter exits."""
    ended = threading.Event()

    def run() -> None:
        try:
            work()
        finally:
            ended.set()

    threading.Thread(target=run, name=name, daemon=True).start()
    return ended
