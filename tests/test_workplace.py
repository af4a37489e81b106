"""The tests' own tools work. A database that does not start would make all else fail in stranger ways."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy

from support.postgres import PostgresServer, PostgresUnavailable


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A server to stop and break, apart from the one that other tests run on."""
    with _new_server() as server:
        yield server


def test_both_databases_answer_and_are_empty(database_url: str):
    engine = sqlalchemy.create_engine(database_url)
    with engine.connect() as connection:
        assert connection.scalar(sqlalchemy.text("SELECT 1")) == 1
    assert sqlalchemy.inspect(engine).get_table_names() == []
    engine.dispose()


def test_postgres_keeps_data_and_address_over_a_restart(own_server: PostgresServer):
    database = own_server.create_database()
    with _connect(own_server, database) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    address = own_server.url(database)
    own_server.restart()
    assert own_server.url(database) == address
    with _connect(own_server, database) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


@pytest.mark.parametrize("crash", [False, True])
def test_a_stopped_postgres_leaves_no_process(own_server: PostgresServer, crash: bool):
    pid = own_server.pid
    assert pid is not None
    processes = _family(pid)
    assert len(processes) > 1, "the server has workers"
    with _connect(own_server, "postgres"):  # an open connection does not hold it up
        own_server.stop(crash=crash)
    # The workers are the server's children, not ours; init collects them a moment after the server went.
    assert _becomes_true(lambda: not any(_lives(process) for process in processes))
    with pytest.raises(psycopg.OperationalError):
        _connect(own_server, "postgres")


def test_a_closed_postgres_leaves_no_files():
    with _new_server() as server:
        folder = server._folder
        assert folder is not None
        assert folder.is_dir()
    assert not folder.exists()


def test_postgres_ends_with_a_killed_test_process():
    _new_server()
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv of util-linux: without it a killed run leaves its server")
    program = (
        "import time; from support.postgres import PostgresServer\n"
        "server = PostgresServer(); server.start()\n"
        "print(server.pid, server._folder, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=Path(__file__).parent, stdout=subprocess.PIPE, text=True
    ) as victim:
        assert victim.stdout is not None
        pid, folder = victim.stdout.readline().split()
        victim.send_signal(signal.SIGKILL)
    assert _becomes_true(lambda: not _lives(int(pid)))
    shutil.rmtree(folder)  # a killed process cleans nothing up


def _new_server() -> PostgresServer:
    try:
        return PostgresServer()
    except PostgresUnavailable as why:
        pytest.skip(str(why))


def _connect(server: PostgresServer, database: str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(server.url(database).replace("+psycopg", ""))


def _family(pid: int) -> list[int]:
    children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
    return [pid, *map(int, children)]


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A process that ended and was not collected yet, by a container's lazy init for one, still has an id.
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")


def _becomes_true(condition: Callable[[], bool], timeout_s: float = 10.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
