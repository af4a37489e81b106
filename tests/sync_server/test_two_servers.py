"""Several server processes, one PostgreSQL: what SQLite cannot show. Two at once, killed ones, a database that goes."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlmodel import func, select

from greentrip import State, Stop
from greentrip.evidence import Features
from greentrip.record import RecordLeg
from greentrip.trip import CHINA_TIME, Method, Mode
from greentrip.trust import sign_erasure_order
from greentrip.wire import NDJSON, join_lines
from greentrip_server.db import Database
from greentrip_server.ledger.models import Transfer
from greentrip_server.ledger.service import check
from greentrip_server.sync.models import Trip, TripBytes
from greentrip_server.vault.models import Identity
from support.postgres import PostgresServer
from support.records import METRO_MG, line, record
from support.server import (
    ServerProcess,
    commute,
    day_from_today,
    new_number,
    phone,
    server_process,
    wait_until_ready,
)

ROUNDS = 20
COMMIT_TIMEOUT_S = 20.0


@dataclass
class Pair:
    """Two server processes on one database, and a look at it past them."""

    one: ServerProcess
    other: ServerProcess
    database: Database
    postgres: PostgresServer
    url: str
    folder: Path

    def count(self, model: type, **wanted: object) -> int:
        with self.database.read() as session:
            return session.exec(select(func.count()).select_from(model).filter_by(**wanted)).one()

    def deadlocks(self) -> int:
        """How often PostgreSQL had to end a transaction to free another one."""
        with self.database.engine.connect() as connection:
            question = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
            return connection.exec_driver_sql(question).scalar_one()


@pytest.fixture(scope="module")
def running(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    postgres_server.start()
    name, folder = postgres_server.create_database(), tmp_path_factory.mktemp("servers")
    url = postgres_server.url(name)
    database = Database(url)
    with ExitStack() as stack:
        one = stack.enter_context(server_process(url, folder, name="one"))
        other = stack.enter_context(server_process(url, folder, name="other"))
        yield Pair(one, other, database, postgres_server, url, folder)
        postgres_server.start()
    database.close()
    postgres_server.drop_database(name)


@pytest.fixture
def pair(running: Pair) -> Iterator[Pair]:
    """The two servers; whatever a test did to them, the ledger adds up and nobody waited for nobody."""
    yield running
    running.postgres.start()
    with running.database.read() as session:
        report = check(session)
    assert report.ok, report.findings
    assert running.deadlocks() == 0
    for server in (running.one, running.other):
        assert '"fault"' not in server.log


Call = tuple[Callable[..., Any], *tuple[Any, ...]]


def at_once(*calls: Call) -> list[Any]:
    """What the calls (a function and its arguments) return, begun at the same moment."""
    gate = threading.Barrier(len(calls))

    def begin(call: Call) -> Any:
        gate.wait()
        return call[0](*call[1:])

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(begin, calls))


def test_one_of_two_trips_at_once_is_credited(pair: Pair):
    left = pair.one.device()
    right = pair.other.device(left.number)
    assert left.account == right.account
    assert left.id != right.id
    for number in range(1, ROUNDS + 1):
        day = day_from_today(-2 * number)
        # Both orders of days, and a trip of both that is in nobody's way.
        first, second = line(day, 16), line(day, 17)
        mine, theirs = line(day, 30), line(day, 40)
        results = at_once((left.post, first, mine), (right.post, theirs, second))
        overlapping = [results[0][0], results[1][1]]
        assert sorted(result["status"] for result in overlapping) == ["accepted", "held"]
        (held,) = (result for result in overlapping if result["status"] == "held")
        assert [rule["rule"] for rule in held["rules"]] == ["overlap"]
        assert [results[0][1]["status"], results[1][0]["status"]] == ["accepted", "accepted"]
    assert left.get("/v1/account")["balance_mg"] == 3 * ROUNDS * METRO_MG
    assert pair.count(Transfer, account_id=UUID(left.account)) == 3 * ROUNDS
    numbers = [entry["number"] for entry in right.get("/v1/account/statement")["entries"]]
    assert numbers == list(range(1, 3 * ROUNDS + 1))


def test_the_same_track_by_many_at_once_is_seen(pair: Pair):
    """As one after the other: the first three stand, whoever they are, and everybody else is held."""
    people = [server.device() for server in (pair.one, pair.other) * 4]
    ride = RecordLeg(Mode.CYCLE, 12_000, 45, Method.TRACK)
    shape = replace(
        record(day_from_today(-3), 20, ride),
        features=(Features(0, median_kmh=14, p85_kmh=16, p95_kmh=18, moving_kmh=14, stopped_percent=5, fixes=2),),
    )
    lines = [replace(shape, id=str(uuid4())).to_bytes() for _ in people]
    results = [
        found[0] for found in at_once(*((person.post, mine) for person, mine in zip(people, lines, strict=True)))
    ]
    assert Counter(result["status"] for result in results) == {"accepted": 3, "held": 5}


def test_the_same_batch_at_once_is_credited_once(pair: Pair):
    left = pair.one.device()
    right = pair.other.see(left)
    for number in range(1, ROUNDS + 1):
        batch = [line(day_from_today(-number), slot) for slot in (10, 20, 30)]
        # The other way round, too: two phones may hold the same records in another order.
        results = at_once((left.post, *batch), (right.post, *reversed(batch)))
        by_id = [{result["id"]: result for result in found} for found in results]
        for id in by_id[0]:
            both = [found[id] for found in by_id]
            assert [result["status"] for result in both] == ["accepted", "accepted"]
            assert sorted(result.get("duplicate", False) for result in both) == [False, True]
    assert left.get("/v1/account")["balance_mg"] == 3 * ROUNDS * METRO_MG


def test_an_upload_and_the_erasure_of_the_same_trip_at_once(pair: Pair):
    """Whoever is first: it is erased in the end, and nothing of it counts."""
    left = pair.one.device()
    right = pair.other.see(left)
    for number in range(1, ROUNDS + 1):
        gone, kept = line(day_from_today(-number), 10), line(day_from_today(-number), 30)
        ids = [json.loads(gone)["id"]]
        results, erased = at_once((left.post, gone, kept), (right.erase, *ids))
        assert erased == ids
        assert [result["status"] for result in results] in (["accepted", "accepted"], ["erased", "accepted"])
        assert right.post(gone)[0]["status"] == "erased"
    account = left.get("/v1/account")
    assert (account["balance_mg"], account["trips"]["accepted"]) == (ROUNDS * METRO_MG, ROUNDS)
    assert pair.count(TripBytes, account_id=UUID(left.account)) == ROUNDS
    assert [notice["number"] for notice in left.get("/v1/notices")["notices"]] == list(range(1, ROUNDS + 1))


def test_the_same_erasure_at_once(pair: Pair):
    left = pair.one.device()
    right = pair.other.see(left)
    for number in range(1, ROUNDS + 1):
        records = [line(day_from_today(-number), slot) for slot in (10, 20, 30)]
        left.post(*records)
        ids = [json.loads(record)["id"] for record in records]
        assert at_once((left.erase, *ids), (right.erase, *reversed(ids))) == [sorted(ids)] * 2
    assert left.get("/v1/account")["balance_mg"] == 0
    assert pair.count(Transfer, account_id=UUID(left.account)) == 2 * 3 * ROUNDS


def test_an_account_that_is_erased_while_it_is_used(pair: Pair):
    for number in range(1, 6):
        left = pair.one.device()
        right = pair.other.see(left)
        third = pair.other.stranger()
        asked = pair.one.client().post("/v1/enrolments", json={"phone": left.number}).json()["enrolment"]
        batch = join_lines([line(day_from_today(-number), slot) for slot in (10, 20, 30)])
        order = sign_erasure_order(left.signer, audience=pair.one.audience, id=str(uuid4()))
        senders = [partial(server.client().post, json={"order": order}) for server in (pair.one, pair.other)]
        post, register, erase, again = at_once(
            (left.call, "POST", "/v1/trips", batch, NDJSON),
            (third.register, asked, pair.one.code(asked)),
            *((send, "/v1/erasure") for send in senders),
        )
        assert post.status_code in (200, 403)
        assert erase.json() == again.json()
        assert right.call("GET", "/v1/account").status_code == 403
        # The third phone came before the erasure, and ended with the account; or after it, and has a new one; or its
        # code was gone.
        assert register.status_code in (201, 403, 422)
        if register.status_code == 201 and third.account != left.account:
            assert third.get("/v1/account")["balance_mg"] == 0
        elif register.status_code == 201:
            assert third.call("GET", "/v1/account").status_code == 403
        account = UUID(left.account)
        assert pair.count(TripBytes, account_id=account) == pair.count(Identity, account_id=account) == 0
        assert pair.count(Trip, account_id=account) == pair.count(Trip, account_id=account, status="erased")


def test_many_people_at_once(pair: Pair):
    people = [pair.one.device() for _ in range(4)]
    seen = [pair.other.see(person) for person in people]
    batches = {person.id: [line(day_from_today(-n), 16) for n in range(1, 11)] for person in people}
    at_once(*((device.post, *batches[device.id]) for device in people + seen))
    assert [device.get("/v1/account")["balance_mg"] for device in people] == [10 * METRO_MG] * len(people)


def test_two_first_devices_of_one_person_are_one_account(pair: Pair):
    number = new_number()
    devices = [pair.one.stranger(), pair.other.stranger()]
    asked = [pair.one.client().post("/v1/enrolments", json={"phone": number}).json()["enrolment"] for _ in devices]
    codes = [pair.one.code(enrolment) for enrolment in asked]
    answers = at_once(*((device.register, *given) for device, *given in zip(devices, asked, codes, strict=True)))
    assert [answer.status_code for answer in answers] == [201, 201]
    assert devices[0].account == devices[1].account
    assert devices[0].id != devices[1].id


# Killed


@pytest.mark.parametrize("delay_s", [None, 0.0, 0.01, 0.03], ids=lambda delay: f"after {delay}")
def test_a_server_killed_before_it_answers(pair: Pair, tmp_path: Path, delay_s: float | None):
    """SIGKILL somewhere between request and answer; without a delay: once the commit can be seen."""
    number, start_of_day = new_number(), datetime.now(CHINA_TIME).replace(hour=8, minute=0)
    with (
        server_process(pair.url, pair.folder, name=f"killed-{delay_s}") as doomed,
        phone(doomed, tmp_path / "phone", number=number) as app,
    ):
        trip = commute(app, start_of_day - timedelta(days=1))
        with ThreadPoolExecutor(1) as pool:
            sending = pool.submit(app.sync, timeout=1)
            if delay_s is None:
                _wait_until(lambda: pair.count(Trip, id=UUID(trip.id)) == 1)
            else:
                time.sleep(delay_s)
            doomed.kill()
            report = sending.result()
        # The answer may have come just in time; if not, nothing settled and nothing is lost.
        assert (report.stop, report.left) in {(Stop.OFFLINE, 1), (Stop.DONE, 0)}
    with phone(pair.one, tmp_path / "phone", number=number) as app:
        app.sync()
        (view,) = app.trips()
        assert (view.state, view.official_mg) == (State.ACCEPTED, METRO_MG)
        assert app.account().balance_mg == METRO_MG
        assert [entry.mg for entry in app.statement()] == [METRO_MG]
    assert pair.count(Transfer, trip_id=UUID(trip.id)) == 1


def _wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + COMMIT_TIMEOUT_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_server_killed_while_it_holds_the_account(pair: Pair, tmp_path: Path):
    """Its lock goes with it: the other server does not wait for a dead one."""
    with server_process(pair.url, pair.folder, name="killed-busy") as doomed:
        device = doomed.device()
        survivor = pair.one.see(device)
        batch = join_lines([line(day_from_today(-n), slot) for n in range(1, 101) for slot in (10, 20, 30)])
        with ThreadPoolExecutor(1) as pool:
            sending = pool.submit(device.call, "POST", "/v1/trips", batch, NDJSON)
            time.sleep(0.1)
            doomed.kill()
            sending.exception()
        began = time.monotonic()
        results = survivor.post(*batch.splitlines())
        assert time.monotonic() - began < COMMIT_TIMEOUT_S
    assert {result["status"] for result in results} == {"accepted"}
    # One transaction: all of them were stored, or none.
    assert len({result.get("duplicate", False) for result in results}) == 1
    assert survivor.get("/v1/account")["balance_mg"] == 300 * METRO_MG


# A database that goes


@pytest.mark.parametrize("crash", [False, True], ids=["stopped", "crashed"])
def test_a_database_that_goes_and_comes_back(pair: Pair, tmp_path: Path, crash: bool):
    device = pair.one.device()
    with phone(pair.other, tmp_path / "phone") as app:
        commute(app, datetime.now(CHINA_TIME) - timedelta(days=2))
        pair.postgres.stop(crash=crash)
        try:
            answer = device.call("POST", "/v1/trips", join_lines([line(day_from_today(-1))]), NDJSON)
            assert (answer.status_code, answer.json()["type"]) == (503, "/problems/unavailable")
            assert int(answer.headers["Retry-After"]) == answer.json()["retry_after_s"] > 0
            client = pair.one.client()
            assert client.get("/health/live").status_code == 200
            assert client.get("/health/ready").status_code == 503
            # Nothing about it needs the database.
            assert client.get("/v1/methodologies").status_code == 200
            report = app.sync(timeout=5)
            assert (report.stop, report.left) == (Stop.WAIT, 1)
            # The server asked for silence, and gets it.
            assert app.sync(timeout=5).requests == 0
        finally:
            pair.postgres.start()
        for server in (pair.one, pair.other):
            wait_until_ready(server)
        assert device.post(line(day_from_today(-1)))[0]["status"] == "accepted"
        assert device.get("/v1/account")["balance_mg"] == METRO_MG
        assert app.account().waiting == 1
