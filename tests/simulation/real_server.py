"""The project's own server under simulation: the whole application on a real database, in this process."""

import logging
import shutil
import sqlite3
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import event, exc
from sqlmodel import select

from greentrip.testing import AsgiTransport, Interrupted
from greentrip.testing.simulator import START, ServerAccount, ServerTrip
from greentrip.wire import base64url
from greentrip_server.app import create_app
from greentrip_server.enrolment.models import PersonAccount
from greentrip_server.enrolment.sender import MemorySender
from greentrip_server.ledger.service import check
from greentrip_server.limits import Limits
from greentrip_server.runtime import start
from greentrip_server.settings import Settings
from greentrip_server.sync.judge import recheck_all
from greentrip_server.sync.keys import ServerKeys, add_online_key
from greentrip_server.sync.models import Trip, TripBytes

MEMORY = Path("/dev/shm")
"""Where Linux keeps files in memory: nothing here has to outlive the process, and every commit is flushed."""


def quick_folder() -> Path:
    """A new folder, in memory where that is possible."""
    return Path(tempfile.mkdtemp(prefix="greentrip-", dir=MEMORY if MEMORY.is_dir() else None))


class RealServer:
    """Implements `greentrip.testing.simulator.Backend` on SQLite: one file, put back from a template for each seed."""

    def __init__(self) -> None:
        self.interrupt: Callable[[], bool] = lambda: False
        self._folder = quick_folder()
        self._now: Callable[[], datetime] = lambda: START
        self._database_is_up = True
        _be_silent()
        self._sender = MemorySender()
        # One address, thousands of worlds, and each begins at the same minute.
        settings = Settings(
            database_url=self._database_url(), data_dir=self._folder / "server", enrolments_a_minute_max=10**9
        )
        self._runtime = start(settings, sender=self._sender, now=lambda: self._now())
        self._database = self._runtime.database
        self._watch_statements()
        self.transport = AsgiTransport(create_app(self._runtime), interrupt=lambda: self.interrupt())
        self._keep("template")
        self._keys = settings.key_list_file.parent
        shutil.copytree(self._keys, self._folder / "keys")

    @property
    def root_key(self) -> str:
        return base64url(self._runtime.keys.root_public_key)

    def begin(self, now: Callable[[], datetime]) -> None:
        self._now, self._database_is_up = now, True
        self._sender.codes.clear()
        self._runtime.journal.path.unlink(missing_ok=True)
        shutil.rmtree(self._keys)
        shutil.copytree(self._folder / "keys", self._keys)
        self._load_keys()
        self._put_back("template")
        self.start()

    def end(self) -> None:
        self.transport.stop()
        shutil.rmtree(self._folder)

    def last_code(self) -> str:
        return list(self._sender.codes.values())[-1]

    def kill(self) -> None:
        # Its connections drop; what they had not committed is lost.
        self._database.engine.dispose()

    def start(self) -> None:
        # What a process holds beside its database: who called how often.
        settings = self._runtime.settings
        fresh = Limits(
            device_calls_max=settings.device_calls_a_minute_max,
            enrolments_max=settings.enrolments_a_minute_max,
            now=lambda: self._now(),
        )
        vars(self._runtime.limits).update(vars(fresh))

    def set_database(self, up: bool) -> None:
        self._database_is_up = up

    def backup(self) -> None:
        self._keep("backup")

    def restore(self) -> None:
        self._put_back("backup")

    def rotate_keys(self, *, stolen: bool) -> None:
        drop = [self._runtime.keys.kid] if stolen else []
        add_online_key(self._keys, self._now(), drop=drop)
        self._load_keys()

    def maintain(self) -> None:
        recheck_all(self._database, self._runtime.rulebook, self._now())

    def accounts(self) -> Mapping[str, ServerAccount]:
        with self._database.read() as session:
            lines = {(row.account_id, row.trip_id): row.line for row in session.exec(select(TripBytes))}
            trips: dict[Any, dict[str, ServerTrip]] = defaultdict(dict)
            for trip in session.exec(select(Trip)):
                line = lines.get((trip.account_id, trip.id))
                trips[trip.account_id][str(trip.id)] = ServerTrip(trip.status.value, trip.official_mg, line)
            return {
                str(account.id): ServerAccount(trips[account.id], account.balance_mg)
                for account in session.exec(select(PersonAccount))
            }

    def findings(self) -> Sequence[str]:
        with self._database.read() as session:
            return [f"{one.rule}: {one.count} times, first {one.first}" for one in check(session).findings]

    def _load_keys(self) -> None:
        # A new process would read them; for a new key this one is not made anew.
        object.__setattr__(self._runtime, "keys", ServerKeys.load(self._runtime.settings, self._now()))

    # The database

    def _database_url(self) -> str:
        return f"sqlite:///{self._folder / 'server.sqlite3'}"

    def _keep(self, name: str) -> None:
        """Copy the whole database aside."""
        self._database.engine.dispose()  # the last connection takes the write-ahead log into the file
        shutil.copyfile(self._folder / "server.sqlite3", self._folder / name)

    def _put_back(self, name: str) -> None:
        self._database.engine.dispose()
        for end in ("-wal", "-shm"):
            (self._folder / f"server.sqlite3{end}").unlink(missing_ok=True)
        shutil.copyfile(self._folder / name, self._folder / "server.sqlite3")

    def _watch_statements(self) -> None:
        @event.listens_for(self._database.engine, "before_cursor_execute")
        def before(connection: Any, cursor: Any, statement: str, *rest: object) -> None:
            if self.interrupt():
                raise Interrupted
            if not self._database_is_up:
                raise exc.OperationalError(statement, None, sqlite3.OperationalError("unable to open database file"))

        @event.listens_for(self._database.engine, "commit")
        def commit(connection: Any) -> None:
            if self.interrupt():
                raise Interrupted


def _be_silent() -> None:
    """Thousands of worlds would log millions of requests."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.getLogger().setLevel(logging.CRITICAL)
