"""Fixtures of the server's tests."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import make_url

from greentrip_server.db import Database, upgrade
from greentrip_server.enrolment.models import PersonAccount
from support.postgres import PostgresServer
from support.server import Served, served

NOW = datetime(2026, 3, 5, 8, 30, 15, tzinfo=UTC)


@pytest.fixture
def now() -> datetime:
    """A Thursday afternoon in Beijing."""
    return NOW


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A database with all tables. A test that asks for it runs on SQLite and on PostgreSQL."""
    made = Database(database_url)
    upgrade(made)
    yield made
    made.close()


@pytest.fixture
def account_id(database: Database) -> UUID:
    """An account with nothing in it."""
    account = PersonAccount(id=uuid4(), created_at=NOW)
    with database.write() as session:
        session.add(account)
    return account.id


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server in this process for all tests of a module, on both kinds of database: each test brings new people."""
    folder = tmp_path_factory.mktemp("server")
    if request.param == "sqlite":
        with served(f"sqlite:///{folder / 'greentrip.sqlite3'}", folder) as running:
            yield running
        return
    postgres = request.getfixturevalue("postgres_server")
    postgres.start()
    name = postgres.create_database()
    with served(postgres.url(name), folder) as running:
        yield running
    postgres.start()
    postgres.drop_database(name)


@pytest.fixture
def backup(database_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[[], str]]:
    """Copies the database, as an operator would, and gives the address of the copy. Nobody may be using it."""
    address = make_url(database_url)
    if address.get_backend_name() == "sqlite":

        def copy() -> str:
            copied = tmp_path / "backup.sqlite3"
            with closing(sqlite3.connect(str(address.database))) as source, closing(sqlite3.connect(copied)) as target:
                source.backup(target)
            return f"sqlite:///{copied}"

        yield copy
        return
    postgres: PostgresServer = request.getfixturevalue("postgres_server")
    made: list[str] = []

    def copy_postgresql() -> str:
        made.append(postgres.copy_database(str(address.database)))
        return postgres.url(made[-1])

    yield copy_postgresql
    for name in made:
        postgres.drop_database(name)
