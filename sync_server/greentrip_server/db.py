"""The database: sessions that commit before the answer is made, column types, and the base of every table.

One engine, synchronous, for SQLite (embedded) and PostgreSQL alike. Services take a `Session` and never commit:
whoever opens `Database.write()` does, at its end.
"""

from __future__ import annotations

import hashlib
import json
import pkgutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    JSON,
    Connection,
    DateTime,
    Dialect,
    Engine,
    Enum,
    MetaData,
    Row,
    Table,
    create_engine,
    event,
    exc,
    func,
    make_url,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.types import TypeDecorator
from sqlmodel import Session, SQLModel

from greentrip_server.errors import Problem, SettingsError, unavailable

CONNECT_TIMEOUT_S = 5
RETRY_SOON_S = 1
"""Somebody else was writing: over in a moment."""
RETRY_LATER_S = 30
"""The database is down, or its disk is full: somebody has to do something."""
_MIGRATIONS = "greentrip_server:migrations"
_MIGRATION_LOCK = 0x677265656E  # "green"; PostgreSQL names advisory locks by number
_one_alembic = threading.Lock()  # Alembic keeps what it works on in globals of the process
_BEGIN = "greentrip_begin"  # our own execution option: how SQLite begins
# Deadlock, serialization failure, lock not available (https://www.postgresql.org/docs/current/errcodes-appendix.html).
_PASSING_STATES = frozenset({"40P01", "40001", "55P03"})
_PASSING_SQLITE = ("database is locked", "database table is locked")


# --- tables ----------------------------------------------------------------------------------------------------------


class Model(SQLModel):
    """The base of every table. Its constraints have names, so that a migration can find them again."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(referred_table_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
        }
    )


def metadata() -> MetaData:
    """All tables of all domains: imports every `models.py` of this package."""
    import greentrip_server

    for module in pkgutil.iter_modules(greentrip_server.__path__):
        domain = f"greentrip_server.{module.name}"
        if module.ispkg and any(m.name == "models" for m in pkgutil.iter_modules(import_module(domain).__path__)):
            import_module(f"{domain}.models")
    return Model.metadata


class Utc(TypeDecorator[datetime]):
    """An instant: aware in, aware (UTC) out, on both databases. A naive one is a mistake and raises ValueError."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.utcoffset() is None:
            raise ValueError(f"{value!r} has no time zone")
        value = value.astimezone(UTC)
        return value if dialect.name == "postgresql" else value.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        # SQLite has no time zones: what we wrote there was UTC.
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class UtcHour(Utc):
    """The hour of an instant. Anything finer raises ValueError: the minute of arrival would tell about the trip."""

    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value != hour_of(value):
            raise ValueError(f"{value!r} is not a whole hour")
        return super().process_bind_param(value, dialect)


def hour_of(at: datetime) -> datetime:
    """The start of the UTC hour of an instant."""
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def words(kind: type[StrEnum]) -> Enum:
    """A text column that holds the words of `kind` and nothing else (a CHECK), and gives them back as its members."""
    return Enum(
        kind,
        name=f"{kind.__name__.lower()}_known",
        native_enum=False,
        create_constraint=True,
        length=16,
        values_callable=lambda members: [member.value for member in members],
    )


def json_column() -> JSON:
    """JSON; on PostgreSQL in the kind that can be searched."""
    return JSON().with_variant(JSONB(), "postgresql")


PARTITIONED = {"postgresql_partition_by": "HASH (account_id)"}
"""The last item of `__table_args__` of a table whose rows belong to an account."""


# --- sessions --------------------------------------------------------------------------------------------------------


class Database:
    """One database and its connections. Thread-safe; make it once a process, after any fork."""

    def __init__(
        self, url: str, *, connections_max: int = 20, wait_s: float = 10.0, statement_timeout_s: float = 15.0
    ) -> None:
        self.engine = _engine(url, connections_max, wait_s, statement_timeout_s)
        self._writer = self.engine.execution_options(**{_BEGIN: "IMMEDIATE"})
        # A reader sees one moment, as SQLite's do anyway, and cannot write by mistake.
        self._reader = (
            self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            if self.is_postgresql
            else self.engine.execution_options(**{_BEGIN: "DEFERRED"})
        )

    @property
    def is_postgresql(self) -> bool:
        return self.engine.dialect.name == "postgresql"

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that commits at the end of the block, and rolls back when the block raises.

        Raises `unavailable` when the database cannot be used; then whether a commit arrived is not known, and the
        call must be one that can be repeated.
        """
        with _as_problems(), Session(self._writer, expire_on_commit=False) as session:
            # Begin now: on SQLite the write lock is then held before anything is read.
            session.connection()
            try:
                yield session
            except Problem as problem:
                if problem.keeps_writes:
                    session.commit()
                raise
            session.commit()

    @contextmanager
    def read(self, *, timeout_s: float | None = None) -> Iterator[Session]:
        """A transaction that sees one moment and cannot write. `timeout_s` replaces the limit of a statement."""
        with _as_problems(), Session(self._reader, expire_on_commit=False) as session:
            if timeout_s is not None and self.is_postgresql:
                limit = select(func.set_config("statement_timeout", f"{round(timeout_s * 1000)}ms", True))
                session.connection().execute(limit)
            yield session

    def ping(self) -> None:
        """Ask the database for a sign of life; raises `unavailable`."""
        with self.read() as session:
            session.connection().execute(text("SELECT 1"))

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


@contextmanager
def _as_problems() -> Iterator[None]:
    try:
        yield
    except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError) as error:
        raise unavailable(_retry_after_s(error)) from error
    except exc.DBAPIError as error:
        if not error.connection_invalidated:
            raise
        raise unavailable(RETRY_SOON_S) from error


def _retry_after_s(error: exc.SQLAlchemyError) -> int:
    """How long a failure usually lasts, in seconds."""
    original = getattr(error, "orig", None)
    passing = getattr(original, "sqlstate", None) in _PASSING_STATES or str(original).startswith(_PASSING_SQLITE)
    return RETRY_SOON_S if passing or isinstance(error, exc.TimeoutError) else RETRY_LATER_S


def lock_word(session: Session, word: str) -> None:
    """Let only one transaction at a time hold `word`, until it ends: for what has no row yet that could be locked."""
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        number = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big", signed=True)
        connection.execute(select(func.pg_advisory_xact_lock(number)))
    # On SQLite the write transaction excludes all others already.


def insert_new(
    session: Session, model: type[Model], rows: Sequence[Mapping[str, object]]
) -> list[Row[tuple[Any, ...]]]:
    """Insert the rows that are not there yet, in the order of their keys; returns the keys of those inserted.

    The order keeps two transactions that insert the same rows from waiting for each other.
    """
    if not rows:
        return []
    table = cast("Table", model.__table__)  # type: ignore[attr-defined]  # SQLModel does not declare it
    keys = list(table.primary_key.columns)
    ordered = sorted(rows, key=lambda row: [str(row[key.name]) for key in keys])
    connection = session.connection()
    insert = postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert
    statement = insert(table).on_conflict_do_nothing().returning(*keys)
    return list(connection.execute(statement, [dict(row) for row in ordered]).all())


# --- engines ---------------------------------------------------------------------------------------------------------


def _engine(url: str, connections_max: int, wait_s: float, statement_timeout_s: float) -> Engine:
    try:
        address = make_url(url)
    except exc.ArgumentError:
        # Without the address: it may hold a password.
        raise SettingsError(["GREENTRIP_DATABASE_URL: is not a database address"]) from None
    shared: dict[str, Any] = {
        "pool_size": connections_max,
        "max_overflow": 0,
        "pool_timeout": wait_s,
        # Messages of failed statements reach the log; their values may be about people.
        "hide_parameters": True,
        "json_serializer": _compact_json,
    }
    if address.drivername == "postgresql+psycopg":
        # Without the pre-ping, every idle connection would fail one request after the database was restarted.
        connect = _postgresql_arguments(statement_timeout_s)
        return create_engine(
            address, **shared, pool_pre_ping=True, isolation_level="READ COMMITTED", connect_args=connect
        )
    if address.get_backend_name() == "sqlite" and address.database and address.database != ":memory:":
        _make_private(Path(address.database))
        return _sqlite_engine(create_engine(address, **shared), wait_s)
    raise SettingsError(
        ["GREENTRIP_DATABASE_URL: must be sqlite:///<file> or postgresql+psycopg://<user>:<password>@<host>/<name>"]
    )


def _postgresql_arguments(statement_timeout_s: float) -> dict[str, Any]:
    limit_ms = round(statement_timeout_s * 1000)
    options = {
        "statement_timeout": limit_ms,
        # A process that hangs with locks in its hand must not stop the others.
        "idle_in_transaction_session_timeout": 4 * limit_ms,
        "timezone": "UTC",
    }
    return {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "application_name": "greentrip",
        "options": " ".join(f"-c {name}={value}" for name, value in options.items()),
    }


def _make_private(path: Path) -> None:
    """Make the file, readable by its owner only, if there is none; its WAL inherits that."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # There already, or not to be made: SQLite says which. Never open a file that is there: to close it drops locks.
    with suppress(OSError):
        path.touch(0o600, exist_ok=False)


def _sqlite_engine(engine: Engine, wait_s: float) -> Engine:
    @event.listens_for(engine, "connect")
    def prepare(connection: Any, record: object) -> None:  # noqa: ANN401 - sqlite3 or what else is put in its place
        connection.isolation_level = None  # Python's sqlite3 would begin by itself, too late and not IMMEDIATE
        for pragma in (
            f"busy_timeout = {round(wait_s * 1000)}",
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            "recursive_triggers = ON",  # without it, INSERT OR REPLACE walks past the append-only triggers
            "secure_delete = ON",  # what is erased is overwritten
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        how = connection.get_execution_options().get(_BEGIN, "IMMEDIATE")
        connection.exec_driver_sql(f"PRAGMA query_only = {'ON' if how == 'DEFERRED' else 'OFF'}")
        connection.exec_driver_sql(f"BEGIN {how}")

    return engine


def _compact_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# --- migrations ------------------------------------------------------------------------------------------------------


def upgrade(database: Database) -> None:
    """Bring the tables to the newest version. Processes that start at once wait for each other; the first does it.

    Raises `unavailable` when the database cannot be used. Nothing is changed when a migration fails.
    """
    with _one_alembic, _as_problems(), database.engine.connect() as connection:
        # Not one of the pool's connections any more: it closes at the end, and with it end its lock and settings.
        connection.detach()
        if database.is_postgresql:
            connection.execute(text("SET statement_timeout = 0"))
            connection.execute(select(func.pg_advisory_lock(_MIGRATION_LOCK)))
            connection.commit()
        else:
            # A step that makes a table anew must not count as deleting what others refer to; it checks them itself.
            # Between transactions only, so past SQLAlchemy, which would begin one.
            connection.connection.cursor().execute("PRAGMA foreign_keys = OFF")
        command.upgrade(_config(connection), "head")


def is_current(database: Database) -> bool:
    """Whether the tables are of the version that this code needs. Raises `unavailable`."""
    with _as_problems(), database.engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_heads()
    return set(found) == set(ScriptDirectory.from_config(_config()).get_heads())


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", _MIGRATIONS)
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
