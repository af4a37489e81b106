"""How often one caller may call: counted a minute, in this process, for a bounded number of callers."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime

from greentrip_server.errors import too_many

WINDOW_S = 60
CALLERS_MAX = 100_000
"""So many are counted at once, about 20 MB; beyond it, who has not called for the longest is forgotten."""


class RateLimit:
    """At most `calls_max` calls of each caller in each whole minute of `now`'s clock. Thread-safe."""

    def __init__(self, calls_max: int, now: Callable[[], datetime], callers_max: int = CALLERS_MAX) -> None:
        self._calls_max = calls_max
        self._callers_max = callers_max
        self._now = now
        self._lock = threading.Lock()
        self._counts: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def check(self, caller: str) -> None:
        """Count a call. Raises `too_many` until the minute is over."""
        seconds = self._now().timestamp()
        minute = math.floor(seconds / WINDOW_S)
        with self._lock:
            last, count = self._counts.pop(caller, (minute, 0))
            # A clock that jumps, either way, begins a new minute: nobody waits for a time that does not come.
            count = count + 1 if last == minute else 1
            self._counts[caller] = (minute, count)
            if len(self._counts) > self._callers_max:
                self._counts.popitem(last=False)
        if count > self._calls_max:
            raise too_many(max(1, math.ceil((minute + 1) * WINDOW_S - seconds)))


class Limits:
    """The limits of one server process: for each device, and for each address that asks for codes."""

    def __init__(self, *, device_calls_max: int, enrolments_max: int, now: Callable[[], datetime]) -> None:
        self._devices = RateLimit(device_calls_max, now)
        self._addresses = RateLimit(enrolments_max, now)

    def check_device(self, device_id: str) -> None:
        """Count a call that a device signed, once that is verified: nobody can use up another's calls."""
        self._devices.check(device_id)

    def check_address(self, address: str) -> None:
        """Count an enrolment from a network address."""
        self._addresses.check(address)
