"""Fixtures of the server's tests."""

from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from greentrip_server.db import Database, upgrade
from greentrip_server.enrolment.models import PersonAccount

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
