"""The database: transactions, faults, the UTC type, and inserts that may repeat."""

import sqlite3
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Column, MetaData, Table, exc, func, insert, select, text

from greentrip_server.db import Database, Utc, UtcHour, hour_of, insert_new, is_current, lock_word, upgrade
from greentrip_server.enrolment.models import AccountStatus, Enrolment, PersonAccount
from greentrip_server.errors import Problem, SettingsError, code_wrong, not_found
from support.postgres import PostgresServer

EAST = timezone(timedelta(hours=8))


def new_account(at: datetime) -> PersonAccount:
    return PersonAccount(id=uuid4(), created_at=at)


def accounts(database: Database) -> int:
    with database.read() as session:
        return session.execute(select(func.count()).select_from(PersonAccount)).scalar_one()


def test_write_commits_at_the_end(database: Database, now: datetime):
    with database.write() as session:
        session.add(new_account(now))
    assert accounts(database) == 1


def test_write_rolls_back_when_the_block_raises(database: Database, now: datetime):
    def fail(error: Exception) -> None:
        with database.write() as session:
            session.add(new_account(now))
            session.flush()
            raise error

    with pytest.raises(ZeroDivisionError):
        fail(ZeroDivisionError())
    with pytest.raises(Problem, match="no such trip"):
        fail(not_found("trip", "出行"))
    assert accounts(database) == 0


def test_a_problem_that_keeps_writes_commits(database: Database, now: datetime):
    def refuse() -> None:
        with database.write() as session:
            session.add(new_account(now))
            raise code_wrong(4)

    with pytest.raises(Problem) as caught:
        refuse()
    assert caught.value.kind == "code_wrong"
    assert accounts(database) == 1


def test_read_cannot_write_and_does_not_spoil_the_connection(database: Database, now: datetime):
    def write_in_a_reader() -> None:
        with database.read() as session:
            session.add(new_account(now))
            session.flush()

    # PostgreSQL calls it an internal error, SQLite an operational one.
    with pytest.raises((Problem, exc.InternalError)):
        write_in_a_reader()
    for _ in range(3):
        with database.write() as session:
            session.add(new_account(now))
    assert accounts(database) == 3


def test_read_sees_one_moment(database: Database, now: datetime):
    count = select(func.count()).select_from(PersonAccount)
    with database.read() as reader:
        before = reader.execute(count).scalar_one()
        with database.write() as writer:
            writer.add(new_account(now))
        assert reader.execute(count).scalar_one() == before == 0


def test_rows_come_back_typed_and_usable_after_the_commit(database: Database, now: datetime):
    account = new_account(now)
    with database.write() as session:
        session.add(account)
    assert account.id, "a row is not expired by the commit"
    with database.read() as session:
        found = session.get(PersonAccount, account.id)
    assert found is not None
    assert found.status is AccountStatus.ACTIVE
    assert isinstance(found.id, UUID)


def test_the_database_refuses_a_balance_below_zero(database: Database, account_id: UUID):
    def overdraw() -> None:
        with database.write() as session:
            session.execute(text("UPDATE person_account SET balance_mg = -1"))

    with pytest.raises(exc.IntegrityError, match="balance_not_negative"):
        overdraw()


@pytest.mark.parametrize(
    "at",
    [
        datetime(2026, 3, 5, 0, 0, 0, 123456, tzinfo=UTC),
        datetime(2026, 3, 5, 8, 0, tzinfo=EAST),
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    ],
)
def test_instants_come_back_aware_and_equal(database_url: str, at: datetime):
    database = Database(database_url)
    table = Table("instants", MetaData(), Column("at", Utc))
    with database.write() as session:
        table.create(session.connection())
        session.execute(insert(table), [{"at": at}, {"at": None}])
        found = session.execute(select(table.c.at).where(table.c.at.is_not(None))).scalar_one()
        nothing = session.execute(select(func.count()).where(table.c.at.is_(None))).scalar_one()
    database.close()
    assert found == at
    assert found.tzinfo is UTC
    assert nothing == 1


def test_instants_refuse_the_naive_and_hours_the_finer(database_url: str, now: datetime):
    database = Database(database_url)
    assert Utc().process_bind_param(now, database.engine.dialect) is not None
    with pytest.raises(ValueError, match="no time zone"):
        Utc().process_bind_param(now.replace(tzinfo=None), database.engine.dialect)
    with pytest.raises(ValueError, match="not a whole hour"):
        UtcHour().process_bind_param(now, database.engine.dialect)
    assert UtcHour().process_bind_param(hour_of(now), database.engine.dialect) is not None
    database.close()


def test_naive_instants_never_reach_a_table(database: Database, now: datetime):
    def write_naive() -> None:
        with database.write() as session:
            session.add(new_account(now.replace(tzinfo=None)))

    with pytest.raises(exc.StatementError, match="no time zone"):
        write_naive()


def test_insert_new_skips_what_is_there(database: Database, now: datetime):
    rows = [{"id": uuid4(), "created_at": now, "balance_mg": 0, "status": AccountStatus.ACTIVE} for _ in range(3)]
    with database.write() as session:
        assert len(insert_new(session, PersonAccount, rows[:2])) == 2
        assert [row.id for row in insert_new(session, PersonAccount, rows)] == [rows[2]["id"]]
        assert insert_new(session, PersonAccount, []) == []
    assert accounts(database) == 3


def test_messages_of_failed_statements_hide_values(database: Database, now: datetime):
    row = {"id": uuid4(), "phone_hash": "hunter2", "code_hash": "x", "created_at": now, "expires_at": now}

    def insert_twice() -> None:
        with database.write() as session:
            session.execute(insert(Enrolment), [row | {"attempts": 0}])
            session.execute(insert(Enrolment), [row | {"attempts": 0}])

    with pytest.raises(exc.IntegrityError) as caught:
        insert_twice()
    assert "hunter2" not in str(caught.value)


def test_a_locked_word_is_waited_for(database: Database):
    order: list[str] = []
    held = threading.Event()

    def first() -> None:
        with database.write() as session:
            lock_word(session, "phone:x")
            held.set()
            threading.Event().wait(0.3)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    assert held.wait(10)
    with database.write() as session:
        lock_word(session, "phone:x")
        order.append("second")
    thread.join()
    assert order == ["first", "second"]


def test_processes_that_start_at_once_make_the_tables_once(database_url: str):
    program = "import sys; from greentrip_server.db import Database, upgrade; upgrade(Database(sys.argv[1]))"
    processes = [subprocess.Popen([sys.executable, "-c", program, database_url]) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    database = Database(database_url)
    assert is_current(database)
    database.close()


def test_threads_that_start_at_once_make_the_tables_once(database_url: str):
    database = Database(database_url)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(upgrade, [database] * 4))
    assert is_current(database)
    database.close()


def test_an_empty_database_is_not_current(database_url: str):
    database = Database(database_url)
    assert not is_current(database)
    database.close()


@pytest.mark.parametrize(
    "url", ["", "sqlite://", "sqlite:///:memory:", "mysql://u:hunter2@h/d", "postgresql://u:hunter2@h/d", "hunter2"]
)
def test_other_addresses_are_refused_without_showing_them(url: str):
    with pytest.raises(SettingsError) as caught:
        Database(url)
    assert "GREENTRIP_DATABASE_URL" in str(caught.value)
    assert "hunter2" not in str(caught.value)


# --- faults ----------------------------------------------------------------------------------------------------------


def unavailable_after(database: Database, action: str = "SELECT 1") -> int | None:
    """How long the answer says to wait, in seconds, when a write transaction runs `action`."""
    with pytest.raises(Problem) as caught, database.write() as session:
        session.execute(text(action))
    assert caught.value.kind == "unavailable"
    assert caught.value.__cause__ is not None, "the log needs the cause"
    return caught.value.retry_after_s


def test_sqlite_is_set_up_to_keep_its_promises(tmp_path: Path):
    database = Database(f"sqlite:///{tmp_path}/new/folder/a.sqlite3")
    with database.write() as session:
        pragmas = ("journal_mode", "synchronous", "foreign_keys", "recursive_triggers", "busy_timeout", "secure_delete")
        found = {name: session.execute(text(f"PRAGMA {name}")).scalar() for name in pragmas}
    database.close()
    assert found == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "recursive_triggers": 1,
        "busy_timeout": 10_000,
        "secure_delete": 1,
    }


def test_sqlite_files_are_for_their_owner_only(tmp_path: Path):
    tmp_path.chmod(0o755)
    database = Database(f"sqlite:///{tmp_path}/a.sqlite3")
    with database.write() as session:
        session.execute(text("CREATE TABLE t (x INT)"))
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    database.close()
    assert modes == dict.fromkeys(("a.sqlite3", "a.sqlite3-wal", "a.sqlite3-shm"), 0o600)


def test_a_locked_sqlite_file_is_a_short_wait(tmp_path: Path):
    path = tmp_path / "a.sqlite3"
    database = Database(f"sqlite:///{path}", wait_s=0.1)
    database.ping()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert unavailable_after(database) == 1
    database.ping()  # readers go on
    other.execute("ROLLBACK")
    other.close()
    with database.write() as session:
        assert session.execute(text("SELECT 1")).scalar() == 1
    database.close()


def test_a_full_disk_is_a_long_wait_and_nothing_is_half_written(tmp_path: Path):
    database = Database(f"sqlite:///{tmp_path}/a.sqlite3")
    with database.write() as session:
        session.execute(text("CREATE TABLE t (x BLOB)"))
        session.execute(text("PRAGMA max_page_count = 10"))
    assert unavailable_after(database, "INSERT INTO t VALUES (zeroblob(100000))") == 30
    with database.read() as session:
        assert session.execute(text("SELECT count(*) FROM t")).scalar() == 0
    database.close()


def test_no_free_connection_is_a_short_wait(tmp_path: Path):
    database = Database(f"sqlite:///{tmp_path}/a.sqlite3", connections_max=1, wait_s=0.1)
    with database.read() as session:
        session.execute(text("SELECT 1"))
        assert unavailable_after(database) == 1
    database.close()


def test_postgresql_down_and_back(postgres_server: PostgresServer):
    name = postgres_server.create_database()
    database = Database(postgres_server.url(name))
    database.ping()
    postgres_server.stop()
    assert unavailable_after(database) == 30
    with pytest.raises(Problem, match="unavailable"):
        database.ping()
    postgres_server.start()
    database.ping()
    database.close()
    postgres_server.drop_database(name)


def test_postgresql_dies_inside_a_transaction(postgres_server: PostgresServer):
    name = postgres_server.create_database()
    database = Database(postgres_server.url(name))

    def lose_the_connection() -> None:
        with database.write() as session:
            session.execute(text("CREATE TABLE t (x int)"))
            postgres_server.restart()
            session.execute(text("INSERT INTO t VALUES (1)"))

    with pytest.raises(Problem, match="unavailable"):
        lose_the_connection()
    with database.read() as session:
        assert session.execute(text("SELECT to_regclass('t')")).scalar() is None
    database.close()
    postgres_server.drop_database(name)


def test_postgresql_ends_statements_that_take_too_long(postgres_server: PostgresServer):
    name = postgres_server.create_database()
    database = Database(postgres_server.url(name), statement_timeout_s=0.1)
    assert unavailable_after(database, "SELECT pg_sleep(5)") == 30
    with database.read(timeout_s=5) as session:
        session.execute(text("SELECT pg_sleep(0.2)"))
        assert session.execute(text("SHOW statement_timeout")).scalar() == "5s"
    with database.read() as session:
        assert session.execute(text("SHOW statement_timeout")).scalar() == "100ms"
    database.close()
    postgres_server.drop_database(name)


def test_a_deadlock_is_a_short_wait(postgres_server: PostgresServer):
    name = postgres_server.create_database()
    database = Database(postgres_server.url(name))
    with database.write() as session:
        session.execute(text("CREATE TABLE t (x int PRIMARY KEY, y int)"))
        session.execute(text("INSERT INTO t VALUES (1, 0), (2, 0)"))
    touch = text("UPDATE t SET y = y + 1 WHERE x = :x")
    both = threading.Barrier(2)
    waits: list[int | None] = []

    def update(*order: int) -> None:
        try:
            with database.write() as session:
                session.execute(touch, {"x": order[0]})
                both.wait(10)
                session.execute(touch, {"x": order[1]})
        except Problem as problem:
            waits.append(problem.retry_after_s)

    threads = [threading.Thread(target=update, args=order) for order in ((1, 2), (2, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert waits == [1]
    database.close()
    postgres_server.drop_database(name)
