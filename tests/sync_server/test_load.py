"""Under load: who comes too many or too often is told when to come again; who drips is not waited for for ever."""

import itertools
import socket
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest

from greentrip.wire import NDJSON, SIGNATURE_HEADER, join_lines
from greentrip_server.errors import Problem
from greentrip_server.limits import RateLimit
from greentrip_server.load import RETRY_AFTER_S_MAX, RETRY_AFTER_S_MIN, Gate
from support.blocked import in_its_way, wait_until_blocked
from support.records import line
from support.server import NOW, day_from_today, new_number, served, server_process

# So many at once


def entered(gate: Gate) -> Problem | None:
    try:
        gate.enter()
    except Problem as problem:
        return problem
    return None


def test_the_gate_counts_who_is_in():
    gate = Gate(2)
    assert (entered(gate), entered(gate)) == (None, None)
    assert entered(gate).kind == "unavailable"
    gate.leave()
    assert entered(gate) is None
    gate.leave()
    gate.close()
    assert entered(gate).kind == "unavailable"


def test_who_is_sent_away_comes_back_spread_out():
    gate = Gate(1)
    gate.enter()
    waits = {entered(gate).retry_after_s for _ in range(2000)}
    assert waits == set(range(RETRY_AFTER_S_MIN, RETRY_AFTER_S_MAX + 1))
    for dice, wait in ((0.0, RETRY_AFTER_S_MIN), (0.999999, RETRY_AFTER_S_MAX)):
        gate = Gate(1, dice=lambda value=dice: value)
        gate.enter()
        assert entered(gate).retry_after_s == wait


def test_more_than_there_is_room_for_are_sent_away_and_lose_nothing(tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'greentrip.sqlite3'}"
    with served(url, tmp_path, requests_in_flight_max=2) as server:
        device, body = server.device(), join_lines([line()])
        for _ in range(2):
            server.runtime.gate.enter()
        refused = device.call("POST", "/v1/trips", body, NDJSON)
        assert (refused.status_code, refused.json()["type"]) == (503, "/problems/unavailable")
        assert RETRY_AFTER_S_MIN <= int(refused.headers["Retry-After"]) <= RETRY_AFTER_S_MAX
        assert int(refused.headers["Retry-After"]) == refused.json()["retry_after_s"]
        assert refused.headers["Connection"] == "close"
        assert server.client.get("/health/live").status_code == 200
        assert server.client.get("/health/ready").status_code == 503
        server.runtime.gate.leave()
        assert device.call("POST", "/v1/trips", body, NDJSON).status_code == 200


def test_a_real_server_that_has_all_that_it_takes(database_url: str, tmp_path: Path):
    with (
        server_process(database_url, tmp_path, requests_in_flight_max=2) as server,
        ThreadPoolExecutor(2) as pool,
    ):
        device = server.device()
        batches = [[line(day_from_today(-1), slot)] for slot in (10, 20)]
        senders = [server.see(device) for _ in batches]
        with in_its_way(database_url, device.account):
            sent = [pool.submit(sender.post, *batch) for sender, batch in zip(senders, batches, strict=True)]
            wait_until_blocked(database_url, len(sent))
            refused = device.call("GET", "/v1/account")
            assert (refused.status_code, refused.json()["type"]) == (503, "/problems/unavailable")
            assert RETRY_AFTER_S_MIN <= int(refused.headers["Retry-After"]) <= RETRY_AFTER_S_MAX
            assert server.client().get("/health/live").status_code == 200
        assert [one.result()[0]["status"] for one in sent] == ["accepted", "accepted"]
        assert device.get("/v1/account")["trips"]["accepted"] == 2


def test_a_request_that_ends_badly_leaves_too(tmp_path: Path):
    with served(f"sqlite:///{tmp_path / 'greentrip.sqlite3'}", tmp_path, requests_in_flight_max=1) as server:
        for _ in range(3):
            assert server.client.get("/v1/account").status_code == 401
            assert server.client.get("/v1/account/trips?limit=0").status_code in (400, 401)
        assert server.client.get("/v1/methodologies").status_code == 200


# So often


def test_a_caller_has_so_many_calls_a_minute():
    now = [datetime(2026, 3, 5, 8, 30, 15, tzinfo=NOW.tzinfo)]
    limit = RateLimit(2, lambda: now[0])
    for _ in range(2):
        limit.check("a")
    with pytest.raises(Problem) as refused:
        limit.check("a")
    assert (refused.value.kind, refused.value.retry_after_s) == ("too_many", 45)
    limit.check("b")
    now[0] += timedelta(seconds=45)
    limit.check("a")


@pytest.mark.parametrize("jump", [timedelta(days=-3650), timedelta(days=3650)])
def test_a_clock_that_jumps_locks_nobody_out(jump: timedelta):
    now = [NOW]
    limit = RateLimit(1, lambda: now[0])
    limit.check("a")
    now[0] += jump
    limit.check("a")


def test_the_callers_that_are_counted_are_bounded():
    limit = RateLimit(1, lambda: NOW, callers_max=10)
    for number in range(1000):
        limit.check(f"caller {number}")
    assert len(limit._counts) == 10
    with pytest.raises(Problem):
        limit.check("caller 999")
    # Who was forgotten begins anew: a limit may be too kind, never too strict.
    limit.check("caller 0")


def test_a_device_that_calls_too_often(tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'greentrip.sqlite3'}"
    with served(url, tmp_path, device_calls_a_minute_max=3) as server:
        device, other = server.device(), server.device()
        for _ in range(3):
            device.get("/v1/account")
        refused = device.call("POST", "/v1/trips", join_lines([line()]), NDJSON)
        assert (refused.status_code, refused.json()["type"]) == (429, "/problems/too_many")
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        assert other.get("/v1/account")["trips"]["accepted"] == 0
        # Who cannot sign for a device cannot use up its calls.
        thief = server.stranger()
        for _ in range(9):
            token = thief.sign("GET", "/v1/account", device=other.id)
            assert server.client.get("/v1/account", headers={SIGNATURE_HEADER: token}).status_code == 401
        other.get("/v1/account")
        server.clock.tick(minutes=1)
        device.get("/v1/account")


def test_an_address_that_asks_for_too_many_codes(tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'greentrip.sqlite3'}"
    with served(url, tmp_path, enrolments_a_minute_max=2) as server:
        answers = [server.client.post("/v1/enrolments", json={"phone": new_number()}) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [201, 201, 429]
        assert len(server.runtime.sender.codes) == 2
        server.clock.tick(minutes=1)
        assert server.client.post("/v1/enrolments", json={"phone": new_number()}).status_code == 201


# So slowly: on a socket, since only there a body comes in parts


def head(method: str, path: str, **headers: object) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).replace("_", "-").encode()


def answer_of(connection: socket.socket) -> str:
    """Everything that comes until the server closes."""
    return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


def test_bodies_that_drip_and_heads_that_are_too_large(tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'greentrip.sqlite3'}"
    with server_process(url, tmp_path, body_timeout_s=0.5, head_bytes_max=4096) as server:
        address = (server.url.split("//")[1].split(":")[0], int(server.url.rsplit(":", 1)[1]))
        begin = head("POST", "/v1/enrolments", Content_Type="application/json", Content_Length=100)
        with socket.create_connection(address, timeout=20) as dripping:
            dripping.sendall(begin + b"{")
            said = answer_of(dripping)
        assert said.startswith("HTTP/1.1 408 ")
        assert "connection: close" in said.lower()
        assert "retry-after: 5" in said.lower()
        assert "/problems/timeout" in said
        with socket.create_connection(address, timeout=20) as large:
            large.sendall(b"GET /health/live HTTP/1.1\r\nX: " + b"x" * 100_000)
            assert answer_of(large).startswith("HTTP/1.1 400 ")
        assert server.client().get("/health/live").status_code == 200
        assert '"fault"' not in server.log


def test_connections_that_do_nothing_are_bounded(tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'greentrip.sqlite3'}"
    with server_process(url, tmp_path, requests_in_flight_max=2, idle_connections_max=3) as server:
        host, port = server.url.split("//")[1].split(":")
        idle = [socket.create_connection((host, int(port)), timeout=20) for _ in range(8)]
        with httpx.Client(base_url=server.url, trust_env=False) as client:
            assert client.get("/v1/methodologies").status_code == 503
            for connection in idle:
                connection.close()
            answers = (client.get("/v1/methodologies").status_code for _ in itertools.count())
            assert next(status for status in answers if status != 503) == 200
