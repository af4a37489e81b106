"""Requests that stay inside of their transaction, since somebody else has the account that they need."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg
from sqlalchemy import URL, make_url

WAIT_TIMEOUT_S = 20.0
POLL_INTERVAL_S = 0.02
SQLITE_WAIT_S = 0.5
"""SQLite cannot be asked who waits: there a request has a moment for it."""


@contextmanager
def in_its_way(database_url: str, account: str) -> Iterator[None]:
    """Hold an account (on SQLite: everything) until the block ends."""
    address = make_url(database_url)
    if address.get_backend_name() == "sqlite":
        with closing(sqlite3.connect(str(address.database), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")
        return
    with psycopg.connect(_plain(address)) as other:
        other.execute("SELECT id FROM person_account WHERE id = %s FOR UPDATE", [account])
        yield
        other.rollback()


def wait_until_blocked(database_url: str, requests: int = 1) -> None:
    """Return once so many requests wait for what `in_its_way` holds."""
    address = make_url(database_url)
    if address.get_backend_name() == "sqlite":
        time.sleep(SQLITE_WAIT_S)
        return
    question = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    deadline = time.monotonic() + WAIT_TIMEOUT_S
    with psycopg.connect(_plain(address), autocommit=True) as looking:
        while looking.execute(question).fetchone()[0] < requests:
            assert time.monotonic() < deadline
            time.sleep(POLL_INTERVAL_S)


def _plain(address: URL) -> str:
    return address.set(drivername="postgresql").render_as_string(hide_password=False)
