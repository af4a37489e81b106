"""A server that the phones of these tests share: a process of its own, on PostgreSQL."""

from collections.abc import Iterator

import pytest

from greentrip_server.db import Database
from support.postgres import PostgresServer
from support.server import ServerProcess, server_process


@pytest.fixture(scope="session")
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A database for every server of these tests."""
    postgres_server.start()
    name = postgres_server.create_database()
    yield postgres_server.url(name)
    postgres_server.start()
    postgres_server.drop_database(name)


@pytest.fixture(scope="session")
def database(postgres_url: str) -> Iterator[Database]:
    """A look at the database past the servers."""
    made = Database(postgres_url)
    yield made
    made.close()


@pytest.fixture(scope="session")
def server(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server for every test that lets it live; each test brings people of its own."""
    with server_process(postgres_url, tmp_path_factory.mktemp("server")) as running:
        yield running
