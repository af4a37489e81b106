"""Phones, server and database are processes, and each of them dies again and again. In the end everything adds up.

What happens is by dice: the seed is in the name of the test. When it happens is the machine's affair.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import UUID

import pytest
from sqlmodel import select

from greentrip import State, Stop
from greentrip.testing import Relay
from greentrip.wire import sha256_hex
from greentrip_server.checks.outcome import Status
from greentrip_server.db import Database
from greentrip_server.ledger.service import balance, check
from greentrip_server.sync.models import Trip, TripBytes
from support.commuting import reopened
from support.postgres import PostgresServer, free_port
from support.server import ServerProcess, phone, server_process

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")

SEEDS = int(os.environ.get("GREENTRIP_FAULT_SEEDS", "3"))
PHONES = 3
MISFORTUNES = 8
TESTS = Path(__file__).resolve().parent.parent
CHILD = Path(__file__).with_name("storm_child.py")
CALM_S = (0.1, 0.6)
"""Between two misfortunes, and while one lasts."""
END_S = 30.0
SYNC_S = 60
LATER_S = 2 * 3600.0
"""The phones' clocks ran fast, and an erasure that met a server in trouble is told again after an hour."""


@dataclass
class Storm:
    """Everything that may die."""

    dice: random.Random
    folder: Path
    postgres: PostgresServer
    database: str
    network: Relay
    port: int
    up: ExitStack
    """What is to be ended at the end: the server of the moment."""
    phones: "list[StormPhone]" = field(default_factory=list)
    happened: Counter[str] = field(default_factory=Counter)

    @property
    def url(self) -> str:
        return self.postgres.url(self.database)

    def start_server(self) -> ServerProcess:
        """The server, on the port that it always has."""
        arguments = ("--port", str(self.port))
        self.server = self.up.enter_context(server_process(self.url, self.folder, arguments=arguments))
        return self.server

    @property
    def seen(self) -> ServerProcess:
        """The server as phones see it: through the network."""
        return replace(self.server, facts=self.server.facts | {"url": f"http://127.0.0.1:{self.network.port}"})

    # Misfortunes

    def kill_a_phone(self) -> None:
        """And start it again."""
        one = self.dice.choice(self.phones)
        one.die()
        one.live()

    def kill_the_server(self) -> None:
        """And start it again."""
        self.server.kill()
        self.calm()
        self.up.close()
        self.start_server()

    def stop_the_database(self) -> None:
        """And start it again."""
        self.postgres.stop(crash=self.dice.random() < 0.5)
        self.calm()
        self.postgres.start()

    def cut_the_network(self) -> None:
        """And mend it."""
        self.network.cut()
        self.calm()
        self.network.restore()

    def calm(self) -> None:
        """Let some time pass."""
        time.sleep(self.dice.uniform(*CALM_S))

    def rage(self) -> None:
        """Misfortune after misfortune."""
        kinds = [self.kill_a_phone, self.kill_the_server, self.stop_the_database, self.cut_the_network]
        for _ in range(MISFORTUNES):
            self.calm()
            what = self.dice.choice(kinds)
            what()
            self.happened[what.__name__] += 1


@dataclass
class StormPhone:
    """A phone in a process, and all that it said in all its lives."""

    storm: Storm
    folder: Path
    name: str
    began: float
    account: UUID
    process: subprocess.Popen[str] | None = None
    lives: int = 0
    next_ride: int = 0
    told: dict[str, str] = field(default_factory=dict)
    """What `finish()` returned: the hash of each record."""
    erasing: set[str] = field(default_factory=set)
    erased: set[str] = field(default_factory=set)

    def live(self) -> None:
        """Start the process."""
        self.lives += 1
        seen = self.storm.seen
        arguments = (self.folder, seen.url, seen.root_key, self.began, self.next_ride, f"{self.name} {self.lives}")
        self.process = subprocess.Popen(
            [sys.executable, CHILD, *map(str, arguments)],
            env=os.environ | {"PYTHONPATH": str(TESTS)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def die(self) -> None:
        """SIGKILL; nothing happens when there is no process."""
        if self.process is not None:
            self.process.kill()
            self._listen(-signal.SIGKILL)

    def end(self) -> None:
        """Close in order."""
        self._listen(0)

    def _listen(self, status: int) -> None:
        assert self.process is not None
        process, self.process = self.process, None
        out, err = process.communicate(timeout=END_S)
        assert (process.returncode, err) == (status, "")
        for line in out.splitlines(keepends=True):
            if line.endswith("\n"):  # the last one may have been cut by the kill
                self._hear(*line.split())

    def _hear(self, word: str, *rest: str) -> None:
        match word, *rest:
            case "began", number:
                self.next_ride = int(number) + 1
            case "recorded", trip, digest:
                self.told[trip] = digest
            case "erasing", trip:
                self.erasing.add(trip)
            case "erased", trip:
                self.erased.add(trip)

    # In the end

    def drains(self) -> int:
        """One sync settles all that is left, and the phone is where its server is. Returns how many were left."""
        with reopened(self.folder, self.storm.server, LATER_S) as green:
            report = green.sync(SYNC_S)
            assert (report.stop, report.left) == (Stop.DONE, 0), report
            kept = {trip.id: trip.record or b"" for trip in green.trips()}
            assert {trip.state for trip in green.trips()} == {State.ACCEPTED}
            self._kept_what_it_told(kept)
            stats = green.stats()
            assert stats.recorded == len(kept) + stats.exits.get(State.ERASED, 0)
            assert all(green.verify_receipt(trip) for trip in kept)
            assert green.account().balance_mg == sum(trip.reduction_mg for trip in green.trips())
            credited = Counter({entry.trip: 0 for entry in green.statement()})
            for entry in green.statement():
                credited[entry.trip] += entry.mg
            assert {trip for trip, mg in credited.items() if mg} == set(kept)
        self._is_what_the_server_has(kept)
        return sum(report.settled.values())

    def _kept_what_it_told(self, kept: dict[str, bytes]) -> None:
        surely = {trip: digest for trip, digest in self.told.items() if trip not in self.erasing}
        assert surely.items() <= {trip: sha256_hex(line) for trip, line in kept.items()}.items()
        assert not self.erased & set(kept)
        # A kill may have come between the commit and the word.
        assert len(set(kept) - set(self.told)) <= self.lives

    def _is_what_the_server_has(self, kept: dict[str, bytes]) -> None:
        database = Database(self.storm.url)
        try:
            with database.read() as session:
                accepted = select(Trip).where(Trip.account_id == self.account, Trip.status == Status.ACCEPTED)
                trips = {str(trip.id): trip for trip in session.exec(accepted)}
                lines = session.exec(select(TripBytes).where(TripBytes.account_id == self.account))
                assert {str(item.trip_id): item.line for item in lines} == kept
                assert {trip: found.line_sha256 for trip, found in trips.items()} == {
                    trip: sha256_hex(line) for trip, line in kept.items()
                }
                assert balance(session, self.account) == sum(trip.official_mg for trip in trips.values())
        finally:
            database.close()


@pytest.fixture
def storm(postgres_server: PostgresServer, tmp_path: Path, seed: int) -> Iterator[Storm]:
    postgres_server.start()
    name, port = postgres_server.create_database(), free_port()
    with ExitStack() as stack:
        stack.callback(postgres_server.drop_database, name)
        stack.callback(postgres_server.start)
        network = stack.enter_context(Relay(port))
        up = stack.enter_context(ExitStack())
        made = Storm(random.Random(seed), tmp_path, postgres_server, name, network, port, up)
        server = made.start_server()
        for number in range(PHONES):
            folder = tmp_path / f"phone-{number}"
            with phone(server, folder) as green:
                account = UUID(green.account_id)
            made.phones.append(StormPhone(made, folder, f"{seed}-{number}", time.time(), account))
        try:
            yield made
        finally:
            for one in made.phones:
                one.die()


@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_dies_everything_adds_up(storm: Storm, seed: int):
    for one in storm.phones:
        one.live()
    storm.rage()
    for one in storm.phones:
        one.end() if storm.dice.random() < 0.5 else one.die()
    left = [one.drains() for one in storm.phones]
    database = Database(storm.url)
    with database.read() as session:
        report = check(session)
    database.close()
    assert report.ok, report.findings
    recorded = sum(len(one.told) for one in storm.phones)
    assert recorded > PHONES
    print(f"seed {seed}: {recorded} trips, {sum(left)} of them left for the end; {dict(storm.happened)}")
