"""Fixtures of the server's tests."""

from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from greentrip_server.db import Database, upgrade
from greentrip_server.enrolment.models import PersonAccount
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
