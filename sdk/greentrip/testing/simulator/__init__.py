"""Deterministic simulation: phones, networks, clocks, disks and a server in one process, under one seed.

`python -m greentrip.testing.simulator --seeds 100` runs it; `simulate()` is the same in a test. A server of your own
joins by a class that implements `Backend`. [How to](../../../../docs/how-to/simulate.md).
"""

from __future__ import annotations

from greentrip.testing.simulator.backend import Backend, ServerAccount, ServerTrip
from greentrip.testing.simulator.clock import START, PhoneClock, WorldClock
from greentrip.testing.simulator.profiles import (
    COMMUTER,
    COMMUTER_LOSSY,
    HEALTHY,
    HOSTILE,
    LOSSY,
    PROFILES,
    PhoneFaults,
    Profile,
    ServerFaults,
)
from greentrip.testing.simulator.report import Report, SeedResult, Tally
from greentrip.testing.simulator.runner import run, simulate

__all__ = [
    "COMMUTER",
    "COMMUTER_LOSSY",
    "HEALTHY",
    "HOSTILE",
    "LOSSY",
    "PROFILES",
    "START",
    "Backend",
    "PhoneClock",
    "PhoneFaults",
    "Profile",
    "Report",
    "SeedResult",
    "ServerAccount",
    "ServerFaults",
    "ServerTrip",
    "Tally",
    "WorldClock",
    "run",
    "simulate",
]
