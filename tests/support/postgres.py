"""A PostgreSQL server of the tests' own: made, started, stopped and removed by them, and by no one else.

Not the machine's server: tests stop this one in the middle of a request, and none of its data is worth
a flush to disk.
"""

import atexit
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from pathlib import Path
from typing import Self

import psycopg

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
POLL_INTERVAL_S = 0.05
PORT_ATTEMPTS_MAX = 20
CONNECTIONS_MAX = 200

# Below what Linux hands out to outgoing connections, so that nothing takes the port of a stopped server.
PORTS = range(20_000, 32_000)


class PostgresUnavailable(Exception):
    """There is no PostgreSQL to run here; the text says what is missing."""


class PostgresServer:
    """One PostgreSQL server on 127.0.0.1, with its data in a temporary folder.

    Its port and data outlive `stop()` and `restart()`: an engine that was made before finds it again after.
    """

    def __init__(self) -> None:
        self._programs = find_programs()
        self._owner = find_owner()
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def pid(self) -> int | None:
        """The process id of the running server; None while it is stopped."""
        return self._process.pid if self._process else None

    def url(self, database: str) -> str:
        """The SQLAlchemy URL of a database on this server."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"

    def create_database(self) -> str:
        """Create an empty database and return its name."""
        name = f"test_{uuid.uuid4().hex}"
        self._administer(f'CREATE DATABASE "{name}"')
        return name

    def copy_database(self, name: str, copy: str | None = None) -> str:
        """A new database that holds what this one does; nobody may be connected to it. Returns its name."""
        copy = copy or f"test_{uuid.uuid4().hex}"
        self._administer(f'CREATE DATABASE "{copy}" TEMPLATE "{name}"')
        return copy

    def drop_database(self, name: str) -> None:
        """Remove a database, and end the connections that a test left open on it."""
        self._administer(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def start(self) -> None:
        """Start the server, and return when it answers. A running one is left as it is."""
        if self._process is not None and self._process.poll() is None:
            return
        if self._folder is None:
            self._make_cluster()
        # Another process may take the port between our look at it and the server's: then take another one,
        # but only before the first start, for later the port is in someone's URL.
        for _ in range(PORT_ATTEMPTS_MAX):
            self._spawn()
            if self._wait_until_it_answers():
                return
            if "could not bind" not in self._log_text():
                break
            self.port = free_port()
        raise RuntimeError(f"PostgreSQL did not start. Its log ends so:\n{self._log_text()[-2000:]}")

    def stop(self, *, crash: bool = False) -> None:
        """Stop the server and wait until it is gone. With `crash` it gets no time for a checkpoint."""
        process, self._process = self._process, None
        if process is None:
            return
        # Both end open connections; the default, SIGTERM, would wait for the clients to leave.
        process.send_signal(signal.SIGQUIT if crash else signal.SIGINT)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def restart(self) -> None:
        """Stop and start: same port, same data, every connection broken."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop the server and remove its data."""
        self.stop(crash=True)  # the data goes anyway
        if self._folder is not None:
            shutil.rmtree(self._folder)
            self._folder = None
        atexit.unregister(self.close)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _make_cluster(self) -> None:
        # pytest's tmp_path is closed to other users, and as root the server runs as another user.
        self._folder = Path(tempfile.mkdtemp(prefix="greentrip-postgres-", dir="/tmp"))
        atexit.register(self.close)  # also when a run ends without tearing its fixtures down
        if self._owner is not None:
            os.chown(self._folder, self._owner.pw_uid, self._owner.pw_gid)
        options = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync"]
        done = subprocess.run(
            [self._programs / "initdb", "--pgdata", self._folder / "data", *options],
            **self._as_owner(),
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise RuntimeError(f"initdb failed: {done.stderr}")

    def _spawn(self) -> None:
        assert self._folder is not None
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": CONNECTIONS_MAX,
            # The machine does not crash in a test, but the server does: a commit must then be with the kernel.
            "fsync": "off",
            "full_page_writes": "off",
        }
        command = [self._programs / "postgres", "-D", self._folder / "data"]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        # When the test process is killed, no Python of ours runs any more: the kernel tells the server then.
        if setpriv := shutil.which("setpriv"):
            command = [setpriv, "--pdeathsig", "INT", "--", *command]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, **self._as_owner(), stdout=log, stderr=log)

    def _wait_until_it_answers(self) -> bool:
        assert self._process is not None
        deadline = time.monotonic() + START_TIMEOUT_S
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                self._administer("SELECT 1")
            except psycopg.OperationalError:
                time.sleep(POLL_INTERVAL_S)
            else:
                return True
        self.stop(crash=True)
        return False

    def _administer(self, statement: str) -> None:
        address = {"host": "127.0.0.1", "port": self.port, "user": "postgres", "dbname": "postgres"}
        with psycopg.connect(**address, autocommit=True) as connection:
            connection.execute(statement)

    def _as_owner(self) -> dict[str, object]:
        # The new process itself changes its user, so there is no `su` between us and the server's process id.
        place = {"cwd": self._folder}
        if self._owner is None:
            return place
        return place | {"user": self._owner.pw_uid, "group": self._owner.pw_gid, "extra_groups": []}

    @property
    def _log(self) -> Path:
        assert self._folder is not None
        return self._folder / "log"

    def _log_text(self) -> str:
        return self._log.read_text(errors="replace")


def find_programs() -> Path:
    """The folder with initdb and postgres: the one on the PATH, or else Debian's newest."""
    on_path = shutil.which("initdb")
    found = [Path(on_path).resolve()] if on_path else []
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=_major_version, reverse=True)
    for initdb in found:
        if (initdb.parent / "postgres").exists():
            return initdb.parent
    raise PostgresUnavailable("PostgreSQL is not installed: no initdb on the PATH or in /usr/lib/postgresql")


def find_owner() -> pwd.struct_passwd | None:
    """The user whom the server runs as; None is ourselves. PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        raise PostgresUnavailable("we are root, and there is no user postgres to run PostgreSQL as") from None


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on."""
    dice = random.SystemRandom()  # tests seed the common generator, and workers would then collide
    for _ in range(PORT_ATTEMPTS_MAX):
        port = dice.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise RuntimeError(f"no free port among {PORT_ATTEMPTS_MAX} tried")


def _major_version(initdb: Path) -> float:
    return float(initdb.parent.parent.name)
