"""A phone for tests: GreenTrip on a clock that stands still, against a server that the test plays."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from greentrip import Closed, GreenTrip, Network
from greentrip.testing import FakeClock, FakeServer

OpenPhone = Callable[..., GreenTrip]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(scope="session")
def network() -> Network:
    return Network.sample()


@pytest.fixture
def server(clock: FakeClock) -> FakeServer:
    return FakeServer(clock)


@pytest.fixture
def open_phone(tmp_path: Path, clock: FakeClock, network: Network, server: FakeServer) -> Iterator[OpenPhone]:
    """Opens the phone's folder, any number of times: each is a new process as far as GreenTrip can tell."""
    opened: list[GreenTrip] = []

    def open_it(folder: Path | None = None, **changes) -> GreenTrip:
        settings = {
            "server": "https://greentrip.example",
            "root_key": server.root_key,
            "network": network,
            "clock": clock,
            "transport": server.transport,
            "dice": lambda: 1.0,
        }
        phone = GreenTrip.open(folder or tmp_path / "phone", **(settings | changes))
        opened.append(phone)
        return phone

    yield open_it
    for phone in opened:
        with suppress(Closed):
            phone.close(timeout=0)


@pytest.fixture
def phone(open_phone: OpenPhone) -> GreenTrip:
    return open_phone()


@pytest.fixture
def enrolled(phone: GreenTrip, server: FakeServer) -> GreenTrip:
    """A phone with an account."""
    phone.request_code("13800000000")
    phone.enrol("123456", {"location": "2026-03", "sync": "2026-03"})
    server.requests.clear()
    return phone
