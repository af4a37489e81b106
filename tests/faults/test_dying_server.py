"""The server dies at each step of taking a batch, meets one twice at once, loses its database: trips count once."""

import json
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path
from threading import Barrier
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import make_url
from sqlmodel import select

from greentrip import State, Stop
from greentrip.wire import NDJSON, join_lines
from greentrip_server.checks.outcome import Status
from greentrip_server.db import Database
from greentrip_server.erasures.models import AccountErasure
from greentrip_server.ledger.service import balance, check
from greentrip_server.sync.models import Trip
from support import points
from support.commuting import reopened, ride
from support.points import AFTER, BEFORE, Point, around, wait_until_stopped
from support.postgres import PostgresServer
from support.records import METRO_MG, line
from support.server import ServerProcess, day_from_today, phone, results_of, server_process, wait_until_ready

MORTAL = Path(points.__file__).with_name("mortal_server.py")
RIDES = 3
SYNC_S = 20
LATER_S = 600.0
"""Longer than any server asks for silence."""
ROUNDS = 5


def adds_up(url: str, accepted: set[str]) -> None:
    """The ledger is sound, and what it has credited is exactly what was accepted."""
    database = Database(url)
    try:
        with database.read() as session:
            report = check(session)
            trips = session.exec(select(Trip).where(Trip.status == Status.ACCEPTED)).all()
    finally:
        database.close()
    assert report.ok, report.findings
    assert {str(trip.id) for trip in trips} == accepted
    assert report.person_mg == report.recognised_mg == sum(trip.official_mg for trip in trips)


@contextmanager
def mortal_server(url: str, folder: Path, point: Point) -> Iterator[ServerProcess]:
    """A server that dies there."""
    program = [sys.executable, MORTAL, json.dumps(astuple(point))]
    with server_process(url, folder, name="mortal", program=program) as running:
        yield running


_TAKEN = "INSERT INTO trip "
TAKE = [Point(AFTER, _TAKEN), Point(AFTER, "INSERT INTO posting"), *around("COMMIT", since=_TAKEN)]


@pytest.mark.parametrize("point", TAKE, ids=str)
def test_a_server_killed_at_each_step_of_taking_a_batch(database_url: str, tmp_path: Path, point: Point):
    folder = tmp_path / "phone"
    with mortal_server(database_url, tmp_path, point) as doomed, phone(doomed, folder) as green:
        rides = {ride(green, count).id for count in range(RIDES)}
        assert green.sync(1).settled == {}
        assert doomed.process.wait(SYNC_S) == -signal.SIGKILL
    committed = point == Point(AFTER, "COMMIT", since=_TAKEN)
    adds_up(database_url, rides if committed else set())
    with server_process(database_url, tmp_path) as server, reopened(folder, server) as green:
        assert green.sync(SYNC_S).settled == {State.ACCEPTED: RIDES}
        assert {entry.trip for entry in green.statement()} == rides
        assert len(green.statement()) == RIDES
    adds_up(database_url, rides)


@pytest.mark.parametrize("table", ["trip_erasure", "account_erasure"])
def test_a_server_killed_between_an_erasure_and_its_answer(
    postgres_url: str, database: Database, tmp_path: Path, table: str
):
    """It is told again: a trip is cancelled once, an account's order gets the certificate that it had."""
    folder = tmp_path / "phone"
    point = Point(AFTER, "COMMIT", since=f"INSERT INTO {table} ")
    with mortal_server(postgres_url, tmp_path, point) as doomed, phone(doomed, folder) as green:
        account = UUID(green.account_id)
        erased, kept = ride(green, 0), ride(green, 1)
        assert green.sync(SYNC_S).settled == {State.ACCEPTED: 2}
        if table == "trip_erasure":
            green.erase_trip(erased.id)
            green.sync(1)
        else:
            assert not green.erase(1)
        assert doomed.process.wait(SYNC_S) == -signal.SIGKILL
    with server_process(postgres_url, tmp_path) as server, reopened(folder, server) as green:
        report = green.sync(SYNC_S)
        if table == "trip_erasure":
            assert report.stop is Stop.DONE
            assert [entry.mg for entry in green.statement()] == [
                erased.reduction_mg,
                kept.reduction_mg,
                -erased.reduction_mg,
            ]
        else:
            assert green.sync(SYNC_S).stop is Stop.NOT_ENROLLED  # the order has its certificate
    with database.read() as session:
        orders = session.exec(select(AccountErasure).where(AccountErasure.account_id == account)).all()
        assert len(orders) == (table == "account_erasure")
        assert balance(session, account) == (kept.reduction_mg if table == "trip_erasure" else 0)
        assert check(session).ok


@pytest.mark.parametrize("moment", [BEFORE, AFTER])
def test_a_database_that_ends_the_connection_of_a_transaction(
    postgres_server: PostgresServer, postgres_url: str, tmp_path: Path, moment: str
):
    """The server stops there, its connection is ended, and it goes on: 503 to the phone, and nothing half-way."""
    folder = tmp_path / "phone"
    point = Point(moment, _TAKEN, signal=signal.SIGSTOP)
    with mortal_server(postgres_url, tmp_path, point) as stopped, phone(stopped, folder) as green:
        rides = {ride(green, count).id for count in range(RIDES)}
        with ThreadPoolExecutor(1) as pool:
            sending = pool.submit(green.sync, 2)
            wait_until_stopped(stopped.process.pid)
            end_connections_of(postgres_url)
            stopped.process.send_signal(signal.SIGCONT)
            assert sending.result().settled == {}
        with reopened(folder, stopped, LATER_S) as later:
            assert later.sync(SYNC_S).settled == {State.ACCEPTED: RIDES}
            assert {entry.trip for entry in later.statement()} == rides


@pytest.mark.parametrize("crash", [False, True], ids=["stopped", "crashed"])
def test_a_database_that_is_away_while_a_phone_sends(
    postgres_server: PostgresServer, server: ServerProcess, tmp_path: Path, crash: bool
):
    folder = tmp_path / "phone"
    with phone(server, folder) as green:
        before = ride(green, 0).id
        assert green.sync(SYNC_S).settled == {State.ACCEPTED: 1}
        waiting = ride(green, 1).id
        postgres_server.stop(crash=crash)
        try:
            assert green.sync(2).settled == {}
            assert green.stats().waiting == 1
        finally:
            postgres_server.start()
        wait_until_ready(server)
        with reopened(folder, server, LATER_S) as later:
            assert later.sync(SYNC_S).settled == {State.ACCEPTED: 1}
            assert [entry.trip for entry in later.statement()] == [before, waiting]


def test_the_same_batch_twice_at_once(database_url: str, tmp_path: Path):
    """Both get the same results, one of them as duplicates; in either order of the lines."""
    with server_process(database_url, tmp_path) as server:
        left = server.device()
        right = server.see(left)
        sent: set[str] = set()
        for number in range(1, ROUNDS + 1):
            batch = [line(day_from_today(-number), slot) for slot in (10, 20, 30)]
            answers = at_once((left, join_lines(batch)), (right, join_lines(reversed(batch))))
            assert all(result["status"] == "accepted" for results in answers for result in results.values())
            for id in answers[0]:
                assert sorted(results[id].get("duplicate", False) for results in answers) == [False, True]
            sent |= set(answers[0])
        assert left.get("/v1/account")["balance_mg"] == 3 * ROUNDS * METRO_MG
        assert len(left.get("/v1/account/statement")["entries"]) == 3 * ROUNDS
    adds_up(database_url, sent)


def at_once(*calls: tuple[Any, bytes]) -> list[dict[str, Any]]:
    """The results by id of batches that devices post at the same moment."""
    gate = Barrier(len(calls))

    def post(call: tuple[Any, bytes]) -> dict[str, Any]:
        device, body = call
        gate.wait()
        answer = device.call("POST", "/v1/trips", body, NDJSON)
        device.verify(answer)
        return {result["id"]: result for result in results_of(answer)}

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(post, calls))


def end_connections_of(url: str) -> None:
    """Let PostgreSQL end every connection to a database but this one."""
    address = make_url(url).set(drivername="postgresql").render_as_string()
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f"{end} AND pid <> pg_backend_pid() AND application_name = 'greentrip'")
