"""The doubles that ship to app developers do what they say."""

import socket
from datetime import UTC, datetime

import pytest

from greentrip import Clock
from greentrip.testing import FakeClock, Relay


def test_a_fake_clock_moves_only_when_told():
    fake = FakeClock(datetime(2026, 1, 1, tzinfo=UTC))
    clock: Clock = fake
    before = clock.now(), clock.monotonic(), clock.boot_id()
    assert (clock.now(), clock.monotonic(), clock.boot_id()) == before
    assert before[0] == datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    clock.sleep(5)
    assert (clock.now(), clock.monotonic()) == (before[0] + 5, before[1] + 5)
    fake.wall -= 1000
    assert clock.monotonic() == before[1] + 5, "the wall clock jumps alone"
    fake.reboot()
    assert clock.boot_id() != before[2]
    assert clock.monotonic() < before[1]


@pytest.fixture
def echo() -> socket.socket:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(10)
    yield listener
    listener.close()


def test_a_relay_passes_bytes_on_can_be_cut_and_comes_back(echo: socket.socket):
    with Relay(echo.getsockname()[1]) as relay:
        with socket.create_connection(("127.0.0.1", relay.port), timeout=10) as phone:
            server, _ = echo.accept()
            phone.sendall(b"hello")
            assert server.recv(5) == b"hello"
            server.sendall(b"world")
            assert phone.recv(5) == b"world"
            relay.cut()
            assert phone.recv(1) == b"", "an open connection breaks"
            server.close()
        with pytest.raises(OSError, match=r".+"):
            socket.create_connection(("127.0.0.1", relay.port), timeout=2)
        relay.restore()
        with socket.create_connection(("127.0.0.1", relay.port), timeout=10) as phone:
            server, _ = echo.accept()
            phone.sendall(b"again")
            assert server.recv(5) == b"again"
            server.close()
        assert [bytes(sent) for sent in relay.sent] == [b"hello", b"again"]
        assert [bytes(got) for got in relay.received] == [b"world", b""]
