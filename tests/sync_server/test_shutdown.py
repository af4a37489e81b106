"""Going down: what began is committed and answered, nothing new begins; and a killed server's commit is not lost."""

import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from support.blocked import POLL_INTERVAL_S, WAIT_TIMEOUT_S, in_its_way, wait_until_blocked
from support.records import METRO_MG, line
from support.server import STOP_TIMEOUT_S, ServerProcess, day_from_today, server_process

TICK_S = 0.05

DIES_AFTER_COMMIT = """\
import os, signal
from greentrip_server.cli import main
from greentrip_server.sync import routes
routes.signed_lines = lambda *parts: os.kill(os.getpid(), signal.SIGKILL)
main()
"""
"""A server that is killed after its commit and before its answer."""


def refused(client: httpx.Client) -> bool:
    """Whether a new call is sent away, or finds nobody."""
    try:
        answer = client.get("/v1/methodologies")
    except httpx.TransportError:
        return True
    if answer.status_code != 503:
        return False
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["Connection"] == "close"
    return True


@pytest.mark.parametrize("workers", [1, 2])
def test_what_began_is_committed_and_answered(database_url: str, tmp_path: Path, workers: int):
    arguments = ["--workers", str(workers)]
    with server_process(database_url, tmp_path, arguments=arguments) as server, ThreadPoolExecutor(1) as pool:
        device, batch = server.device(), [line(day_from_today(-1), slot) for slot in (10, 20)]
        waiting = [server.client() for _ in range(4)]
        for client in waiting:  # connections that stay open
            assert client.get("/health/live").status_code == 200
        with in_its_way(database_url, device.account):
            sending = pool.submit(device.post, *batch)
            wait_until_blocked(database_url)
            server.process.send_signal(signal.SIGTERM)
            if workers == 1:
                time.sleep(TICK_S)
                assert all(refused(client) for client in waiting)
            else:
                wait_until_refused(server)
            assert not sending.done()
        results = sending.result(STOP_TIMEOUT_S)
        assert [result["status"] for result in results] == ["accepted", "accepted"]
        assert server.process.wait(STOP_TIMEOUT_S) == 0
        assert '"fault"' not in server.log
    with server_process(database_url, tmp_path, name="next") as server:
        again = server.see(device).post(*batch)
        assert [(result["status"], result["duplicate"]) for result in again] == [("accepted", True)] * 2


def wait_until_refused(server: ServerProcess) -> None:
    deadline = time.monotonic() + WAIT_TIMEOUT_S
    while not refused(server.client()):
        assert time.monotonic() < deadline
        time.sleep(POLL_INTERVAL_S)


def test_a_server_killed_between_commit_and_answer(database_url: str, tmp_path: Path):
    record = line(day_from_today(-1))
    program = [sys.executable, "-c", DIES_AFTER_COMMIT]
    with server_process(database_url, tmp_path, program=program) as doomed:
        device = doomed.device()
        with pytest.raises(httpx.TransportError):
            device.post(record)
        assert doomed.process.wait(STOP_TIMEOUT_S) == -signal.SIGKILL
    with server_process(database_url, tmp_path, name="next") as server:
        device = server.see(device)
        assert device.get("/v1/account")["balance_mg"] == METRO_MG
        (result,) = device.post(record)
        assert (result["status"], result["duplicate"]) == ("accepted", True)
        assert device.get("/v1/account")["balance_mg"] == METRO_MG
        assert len(device.get("/v1/account/statement")["entries"]) == 1
