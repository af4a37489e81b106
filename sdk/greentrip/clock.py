"""Time as an argument: everything that needs the time takes a `Clock`, so that tests can hold it still."""

from __future__ import annotations

import time
import uuid
from functools import cache
from pathlib import Path
from typing import Protocol

_BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")


class Clock(Protocol):
    """What the SDK asks of a clock."""

    def now(self) -> float:
        """Unix seconds by the wall clock; may jump."""

    def monotonic(self) -> float:
        """Seconds that never run backwards within one boot."""

    def boot_id(self) -> str:
        """Names the boot that `monotonic` belongs to."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The phone's own clock."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        # time.monotonic() stands still while a phone sleeps; the boot clock does not.
        if hasattr(time, "CLOCK_BOOTTIME"):
            return time.clock_gettime(time.CLOCK_BOOTTIME)
        return time.monotonic()

    def boot_id(self) -> str:
        return boot_id()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@cache
def boot_id() -> str:
    """Names this boot of the machine. Where the system does not tell, this process: durations use the wall clock."""
    return system_boot_id() or uuid.uuid4().hex


@cache
def system_boot_id() -> str:
    """Names this boot of the machine; empty where the system does not tell, as on iOS."""
    try:
        return _BOOT_ID_FILE.read_text().strip()
    except OSError:
        return ""
