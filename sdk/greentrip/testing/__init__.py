"""Doubles for the tests of apps that embed greentrip: a clock that stands still, networks that fail, servers to play.

[How to test your app](../../../docs/how-to/test-your-app.md) shows each of them at work.
"""

from __future__ import annotations

from greentrip.testing.answers import portal, problem
from greentrip.testing.asgi import AsgiTransport, Interrupted
from greentrip.testing.clock import FakeClock
from greentrip.testing.fake_books import FakeAccount, FakeBooks, FakeTrip
from greentrip.testing.fake_server import FakeServer
from greentrip.testing.flaky_disk import DiskFaults, FlakyDisk, Killed
from greentrip.testing.flaky_transport import Exchange, FlakyTransport, NetworkFaults
from greentrip.testing.loopback import Loopback
from greentrip.testing.relay import Relay

__all__ = [
    "AsgiTransport",
    "DiskFaults",
    "Exchange",
    "FakeAccount",
    "FakeBooks",
    "FakeClock",
    "FakeServer",
    "FakeTrip",
    "FlakyDisk",
    "FlakyTransport",
    "Interrupted",
    "Killed",
    "Loopback",
    "NetworkFaults",
    "Relay",
    "portal",
    "problem",
]
