"""Migrations: they make what the models say, keep every row, and leave the ledger's triggers in place."""

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID, uuid4

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import CheckConstraint, exc, inspect, select, text
from sqlalchemy.dialects.postgresql import insert as postgresql_insert

from greentrip_server.checks.outcome import Status
from greentrip_server.db import Database, _config, insert_new, is_current, metadata, upgrade
from greentrip_server.enrolment.models import PersonAccount
from greentrip_server.ledger.models import Posting, Transfer
from greentrip_server.migrations.tools import PARTITIONS, is_ours, partition_names
from greentrip_server.sync.models import Trip, TripBytes
from support.stored import credit_trip, stored_trip

APPEND_ONLY = ("transfer", "posting")
REPLACE_ALL = "INSERT OR REPLACE INTO {0} SELECT * FROM {0}"
PARTITIONED = (
    "trip",
    "trip_bytes",
    "sync_request",
    "transfer",
    "posting",
    "trip_erasure",
    "account_erasure",
    "notice",
    "trip_conflict",
)


@pytest.fixture
def credited(database: Database, account_id: UUID, now: datetime) -> UUID:
    """An account with one credited trip; returns the account."""
    with database.write() as session:
        credit_trip(session, account_id, stored_trip(session, account_id, 7, now), 7, now)
    return account_id


def test_the_migrations_make_what_the_models_say(database: Database):
    with database.engine.connect() as connection:
        options = {"include_object": is_ours, "compare_type": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata()) == []


def test_the_checks_are_those_of_the_models(database: Database):
    # Alembic does not compare these.
    found, wanted = set(), set()
    for table in metadata().sorted_tables:
        found |= {(table.name, check["name"]) for check in inspect(database.engine).get_check_constraints(table.name)}
        checks = [check for check in table.constraints if isinstance(check, CheckConstraint)]
        wanted |= {(table.name, database.engine.dialect.identifier_preparer.format_constraint(c)) for c in checks}
    assert found == wanted
    assert len(wanted) > 8


def test_the_triggers_are_there(database: Database):
    if database.is_postgresql:
        question = (
            "SELECT c.relname, t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE NOT tgisinternal"
        )
        wanted = {
            (name, f"{table}_no_{what}")
            for table in APPEND_ONLY
            for name in (table, *partition_names(table))
            for what in ("change", "truncate")
        }
    else:
        question = "SELECT tbl_name, name FROM sqlite_master WHERE type = 'trigger'"
        wanted = {(table, f"{table}_no_{what}") for table in APPEND_ONLY for what in ("update", "delete")}
    with database.read() as session:
        assert {tuple(row) for row in session.execute(text(question))} == wanted


def test_what_belongs_to_an_account_is_partitioned_by_it(database: Database):
    if not database.is_postgresql:
        pytest.skip("SQLite has no partitions")
    question = text(
        "SELECT p.relname, pg_get_partkeydef(p.oid), count(*) FROM pg_inherits i "
        "JOIN pg_class p ON p.oid = i.inhparent WHERE p.relkind = 'p' GROUP BY p.relname, p.oid"
    )
    with database.read() as session:
        found = {tuple(row) for row in session.execute(question)}
    assert found == {(table, "HASH (account_id)", PARTITIONS) for table in PARTITIONED}


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize("change", ["UPDATE {} SET account_id = account_id", "DELETE FROM {}"])
def test_the_ledger_refuses_changes(database: Database, credited: UUID, table: str, change: str):
    def attempt() -> None:
        with database.write() as session:
            session.execute(text(change.format(table)))

    # On PostgreSQL it is a partition that speaks.
    with pytest.raises(exc.IntegrityError, match=rf"{table}(_p\d\d)? is append-only: \w+ is refused"):
        attempt()


@pytest.mark.parametrize("table", APPEND_ONLY)
def test_sqlite_refuses_insert_or_replace(database: Database, credited: UUID, table: str):
    if database.is_postgresql:
        pytest.skip("PostgreSQL has no INSERT OR REPLACE; see ON CONFLICT DO UPDATE")

    def attempt() -> None:
        with database.write() as session:
            session.execute(text("PRAGMA defer_foreign_keys = ON"))
            session.execute(text(REPLACE_ALL.format(table)))

    with pytest.raises(exc.IntegrityError, match="append-only: DELETE is refused"):
        attempt()


@pytest.mark.parametrize("table", APPEND_ONLY)
def test_postgresql_refuses_truncate_of_the_table_and_of_every_partition(
    database: Database, credited: UUID, table: str
):
    if not database.is_postgresql:
        pytest.skip("SQLite has no TRUNCATE")

    def attempt(name: str) -> None:
        with database.write() as session:
            session.execute(text(f"TRUNCATE {name} CASCADE"))

    for name in (table, *partition_names(table)):
        with pytest.raises(exc.IntegrityError, match="append-only: TRUNCATE is refused"):
            attempt(name)


def test_postgresql_refuses_an_upsert(database: Database, credited: UUID):
    if not database.is_postgresql:
        pytest.skip("see INSERT OR REPLACE")

    def attempt() -> None:
        with database.write() as session:
            posting = session.execute(text("SELECT * FROM posting LIMIT 1")).mappings().one()
            statement = postgresql_insert(Posting).values(**(dict(posting) | {"amount": 1}))
            upsert = statement.on_conflict_do_update(
                index_elements=["account_id", "transfer_id", "line"], set_={"amount": statement.excluded.amount}
            )
            session.execute(upsert)

    with pytest.raises(exc.IntegrityError, match="append-only: UPDATE is refused"):
        attempt()


def test_the_ledger_still_takes_inserts_that_may_repeat(database: Database, credited: UUID):
    with database.write() as session:
        rows = [dict(row) for row in session.execute(text("SELECT * FROM posting")).mappings()]
        rows = [row | {"account_id": credited, "transfer_id": UUID(str(row["transfer_id"]))} for row in rows]
        assert len(rows) == 2
        assert insert_new(session, Posting, rows) == []
        assert session.execute(text("SELECT count(*) FROM transfer")).scalar() == 1


def test_transfers_are_bound_to_trips_that_exist(database: Database, account_id: UUID, now: datetime):
    def attempt() -> None:
        with database.write() as session:
            credit_trip(session, account_id, uuid4(), 7, now)

    with pytest.raises(exc.IntegrityError):
        attempt()
    assert Transfer.__tablename__ == "transfer"


# From an earlier version


@pytest.fixture
def first(database_url: str) -> Iterator[Database]:
    """A database of the first version."""
    made = Database(database_url)
    with made.engine.connect() as connection:
        connection.detach()
        command.upgrade(_config(connection), "0001")
    yield made
    made.close()


@pytest.fixture
def account(first: Database, now: datetime) -> UUID:
    """An account of the first version, with a trip of every status that there was."""
    made = PersonAccount(id=uuid4(), created_at=now)
    with first.write() as session:
        session.add(made)
        session.flush()
        for status in (Status.ACCEPTED, Status.HELD, Status.REJECTED):
            trip_id = stored_trip(session, made.id, 7, now, status)
            session.add(TripBytes(account_id=made.id, trip_id=trip_id, line=status.encode()))
            if status is Status.ACCEPTED:
                credit_trip(session, made.id, trip_id, 7, now)
    return made.id


def _everything(database: Database) -> dict[str, list[str]]:
    tables = [metadata().tables[name] for name in ("person_account", "trip", "trip_bytes", "transfer", "posting")]
    with database.read() as session:
        return {table.name: sorted(str(row) for row in session.execute(select(table))) for table in tables}


def test_an_upgrade_keeps_every_row_and_what_holds_them(first: Database, account: UUID):
    before = _everything(first)
    assert not is_current(first)
    upgrade(first)
    assert is_current(first)
    assert _everything(first) == before
    test_the_migrations_make_what_the_models_say(first)
    test_the_checks_are_those_of_the_models(first)
    test_the_triggers_are_there(first)
    for table in APPEND_ONLY:
        test_the_ledger_refuses_changes(first, account, table, "DELETE FROM {}")

    def orphan() -> None:
        with first.write() as session:
            session.execute(text("DELETE FROM trip"))

    with pytest.raises(exc.IntegrityError):
        orphan()


def test_an_upgrade_that_finds_a_broken_reference_changes_nothing(first: Database, account: UUID):
    if first.is_postgresql:
        pytest.skip("PostgreSQL never lets a reference break")
    with first.engine.connect() as connection:
        raw = connection.connection.cursor()
        raw.execute("PRAGMA foreign_keys = OFF")
        raw.execute("DELETE FROM trip WHERE status = 'accepted'")
        connection.detach()
    with pytest.raises(ValueError, match="refers to a row of trip that is not there"):
        upgrade(first)
    assert not is_current(first)
    with first.read() as session:
        assert session.execute(text("SELECT count(*) FROM trip")).scalar() == 2


def test_only_an_erased_trip_has_lost_what_was_known_of_it(database: Database, account_id: UUID, now: datetime):
    def spoil(status: Status, **changes: object) -> None:
        with database.write() as session:
            trip = session.get(Trip, (account_id, stored_trip(session, account_id, 7, now, status)))
            for column, value in changes.items():
                setattr(trip, column, value)

    spoil(Status.ERASED)
    for status, changes in ((Status.ACCEPTED, {"slot": None}), (Status.ERASED, {"slot": 16})):
        with pytest.raises(exc.IntegrityError, match="erased_is_blank"):
            spoil(status, **changes)
