"""Promise 5: a file of any earlier version becomes one of now, whatever state its rows are in: same bytes."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

from greentrip import GreenTrip, State
from greentrip.store import Store
from greentrip.store.migrations import MIGRATIONS
from greentrip.testing import FakeClock, FakeServer
from support.disk import Disk, Killed
from support.trips import ride

NOW = len(MIGRATIONS)
EARLIER = range(1, NOW)
OLD_STATES = ("pending", "leased", "accepted", "held", "rejected", "conflict", "unsupported", "asked", "withdrawn")
"""What a record could be before version 3."""
OLD_TABLES = {
    "meta": "name value",
    "trip": "id recorded_ms summary salts levels",
    "receipt": "id jws device request_lines answer_lines at",
    "queue": "seq id line sha256 state prior attempts lease lease_until_ms ask_again_ms result_line receipt",
    "tally": "reason count",
    "event": "seq kind at monotonic boot body",
    "likeness": "fingerprint trip",
}

Rows = list[tuple[object, ...]]


def _rows(path: Path, table: str) -> Rows:
    columns = OLD_TABLES[table].replace(" ", ", ")
    with closing(sqlite3.connect(path)) as db:
        return db.execute(f"SELECT {columns} FROM {table} ORDER BY 1, 2").fetchall()  # noqa: S608


@pytest.fixture
def lived(quick_folder: Path, open_phone: Callable[..., GreenTrip], clock: FakeClock) -> Path:
    """The folder of a phone with a record in each of the old states, and a trip in progress."""
    folder = quick_folder / "phone"
    phone = open_phone(folder)
    phone.request_code("13800000000")
    phone.enrol("123456", {"location": "2026-03", "sync": "2026-03"})
    ids = [ride(phone, clock).id for _ in OLD_STATES]
    phone.start("rail", "虎坊桥")
    clock.tick(60)
    phone.close(timeout=0)
    (path,) = folder.glob("*.sqlite3")
    with closing(sqlite3.connect(path)) as db, db:
        for trip_id, state in zip(ids, OLD_STATES, strict=True):
            db.execute(
                "UPDATE queue SET state = ?, prior = CASE ? WHEN 'leased' THEN 'pending' END,"
                " attempts = ? IN ('leased', 'held', 'unsupported', 'accepted', 'rejected', 'conflict'),"
                " lease = CASE ? WHEN 'leased' THEN 'old' END, lease_until_ms = CASE ? WHEN 'leased' THEN 1 END"
                " WHERE id = ?",
                (state, state, state, state, state, trip_id),
            )
        settled = "('accepted', 'held', 'rejected', 'conflict', 'unsupported')"
        db.execute("INSERT INTO receipt VALUES (1, 'a.b.c', 'device', '[]', '[]', '2026-03-05T00:00:00+00:00')")
        db.execute(f"UPDATE queue SET receipt = 1, result_line = CAST('{{}}' AS BLOB) WHERE state IN {settled}")  # noqa: S608
    return folder


def _aged(lived: Path, version: int) -> Path:
    """The same phone as a greentrip of that version left it."""
    folder = lived.with_name(f"version-{version}")
    shutil.copytree(lived, folder)
    (path,) = folder.glob("*.sqlite3")
    (source,) = lived.glob("*.sqlite3")
    for file in folder.glob("*.sqlite3*"):
        file.unlink()
    with closing(sqlite3.connect(path)) as db:
        for _, script in MIGRATIONS[:version]:
            db.executescript(script)
        db.execute(f"PRAGMA user_version = {version}")
        db.execute("PRAGMA journal_mode = WAL")
        with db:
            for table, columns in OLD_TABLES.items():
                if table == "likeness" and version < 2:
                    continue
                marks = ", ".join("?" * len(columns.split()))
                values = columns.replace(" ", ", ")
                db.executemany(f"INSERT INTO {table} ({values}) VALUES ({marks})", _rows(source, table))  # noqa: S608
    return folder


def _kept(path: Path) -> dict[str, Rows]:
    """What must be as it was: everything but what the new version counts anew."""
    rows = {table: _rows(path, table) for table in OLD_TABLES if table != "likeness"}
    attempts = OLD_TABLES["queue"].split().index("attempts")
    rows["queue"] = [(*row[:attempts], *row[attempts + 1 :]) for row in rows["queue"]]
    return rows


@pytest.mark.parametrize("version", EARLIER)
def test_every_row_of_an_earlier_version_is_kept_as_it_was(lived: Path, version: int):
    (path,) = _aged(lived, version).glob("*.sqlite3")
    before = _kept(path)
    with closing(Store(path)) as store:
        assert store.schema == NOW
        assert store.recovered is None
    assert _kept(path) == before
    with closing(sqlite3.connect(path)) as db:
        sent = dict(db.execute("SELECT state, sent FROM queue"))
    assert {state for state, was in sent.items() if was} == set(OLD_STATES) - {"pending", "asked", "withdrawn"}


@pytest.mark.parametrize("version", EARLIER)
def test_what_waited_in_an_earlier_version_is_sent_and_the_trip_goes_on(
    lived: Path, version: int, open_phone: Callable[..., GreenTrip], server: FakeServer, clock: FakeClock
):
    folder = _aged(lived, version)
    phone = open_phone(folder)
    lines = {trip.id: trip.record for trip in phone._store.trips()}
    before = {trip.state: trip.id for trip in phone._store.trips()}
    assert set(before) == {State(state) for state in OLD_STATES}
    finished = phone.finish("东夏园")
    clock.tick(5 * 24 * 3600)  # the question lapses
    phone.sync()
    after = {trip.id: trip.state for trip in phone._store.trips()}
    for state in ("pending", "leased", "held", "unsupported", "asked"):
        assert after[before[State(state)]] is State.ACCEPTED
        assert server.records[before[State(state)]].line == lines[before[State(state)]]
    for state in ("accepted", "rejected", "conflict", "withdrawn"):
        assert after[before[State(state)]] is State(state)
    assert after[finished.id] is State.ACCEPTED


@pytest.mark.parametrize("version", [0, *EARLIER])
def test_a_migration_that_is_killed_at_any_statement_is_run_again(lived: Path, version: int):
    template = _aged(lived, version) if version else lived.with_name("empty")
    if not version:
        template.mkdir()
        (template / "store.sqlite3").touch()
    (name,) = [path.name for path in template.glob("*.sqlite3")]
    before = _kept(template / name) if version else {}
    folder = lived.with_name("victim")
    for number in range(200):
        shutil.copytree(template, folder)
        path, disk = folder / name, Disk()
        disk.fail("killed", number)
        with suppress(Killed):
            Store(path, disk)
        hit = disk.mend()
        disk.let_go()
        with closing(Store(path)) as store:
            assert store.schema == NOW
            assert store.recovered is None
        if version:
            assert _kept(path) == before
        shutil.rmtree(folder)
        if not hit:
            return
    raise AssertionError("more statements than migrations have")


CHILD = """
import sys
from pathlib import Path
from greentrip.store import Store

sys.stdin.readline()
store = Store(Path(sys.argv[1]))
print(store.schema, store.recovered, sum(store.states().values()))
store.close()
"""


@pytest.mark.parametrize("version", EARLIER)
def test_two_processes_that_migrate_at_once_do_it_once(lived: Path, version: int):
    (path,) = _aged(lived, version).glob("*.sqlite3")
    before = _kept(path)
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    for child in children:
        out, _ = child.communicate(timeout=60)
        assert out.split() == [str(NOW), "None", str(len(OLD_STATES))]
    assert _kept(path) == before


def test_a_table_that_the_version_does_not_have_is_damage_and_every_record_goes_into_a_clean_file(lived: Path):
    (path,) = _aged(lived, 1).glob("*.sqlite3")
    before = _kept(path)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE likeness (no_such_migration TEXT)")
    with closing(Store(path)) as store:
        assert store.recovered is not None
        assert sum(store.states().values()) == len(OLD_STATES)
    after = _kept(path)
    bytes_of = slice(1, 4)
    assert [row[bytes_of] for row in after["queue"]] == [row[bytes_of] for row in before["queue"]]
