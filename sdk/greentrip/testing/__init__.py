"""Doubles for the tests of apps that embed greentrip: a clock that stands still, a network that can be cut."""

from __future__ import annotations

from greentrip.testing.clock import FakeClock
from greentrip.testing.relay import Relay

__all__ = ["FakeClock", "Relay"]
