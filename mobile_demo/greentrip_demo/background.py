"""Slow work off the UI thread. What comes of it is handed back to the UI thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NoReturn, TypeVar

from greentrip import GreenTripError

T = TypeVar("T")
Schedule = Callable[[Callable[[], None]], object]
"""Calls a function soon, on the UI thread. It is itself called from other threads."""


class Background:
    """Runs each piece of work in a thread of its own. After `close()` nothing is handed back any more."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._threads: list[threading.Thread] = []
        self._open = True

    def run(self, work: Callable[[], T], done: Callable[[T], None], failed: Callable[[GreenTripError], None]) -> None:
        """Do `work`; then call `done` with its result or `failed` with its error, on the UI thread."""
        # A daemon: a server that does not answer must not keep a closed app alive.
        thread = threading.Thread(target=self._run, args=(work, done, failed), daemon=True)
        self._threads = [old for old in self._threads if old.is_alive()] + [thread]
        thread.start()

    def close(self, timeout_s: float = 0.0) -> None:
        """Forget what still runs, after waiting for it for a while."""
        self._open = False
        for thread in self._threads:
            thread.join(timeout_s)

    def _run(self, work: Callable[[], T], done: Callable[[T], None], failed: Callable[[GreenTripError], None]) -> None:
        try:
            result = work()
        except GreenTripError as error:
            refused = error
            self._hand_back(lambda: failed(refused))
        except Exception as error:
            fault = error
            # A fault of the program: it surfaces where it is seen, not in a thread that nobody watches.
            self._hand_back(lambda: _raise(fault))
        else:
            self._hand_back(lambda: done(result))

    def _hand_back(self, call: Callable[[], None]) -> None:
        if self._open:
            self._schedule(lambda: call() if self._open else None)


def _raise(fault: Exception) -> NoReturn:
    raise fault
