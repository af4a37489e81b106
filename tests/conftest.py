"""Fixtures that every folder of tests shares."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from support.postgres import PostgresServer, PostgresUnavailable

# How long an example takes says something about the machine, not about the code.
settings.register_profile("greentrip", deadline=None)
settings.load_profile("greentrip")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of third-party data: real tracks and the Beijing rail network. Not part of the project."""
    named = os.environ.get("GREENTRIP_SHARED_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no shared data in {folder}; GREENTRIP_SHARED_DATA names another folder")
    return folder


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A running PostgreSQL server; one for all tests of a process, so whoever stops it starts it again."""
    try:
        server = PostgresServer()
    except PostgresUnavailable as why:
        pytest.skip(str(why))
    with server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The SQLAlchemy URL of a new, empty database. A test that asks for it runs on both kinds."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'greentrip.sqlite3'}"
        return
    # Asked for here and not as an argument: SQLite's half needs no server.
    server: PostgresServer = request.getfixturevalue("postgres_server")
    server.start()  # a test before may have failed while it was stopped
    name = server.create_database()
    yield server.url(name)
    server.start()
    server.drop_database(name)
