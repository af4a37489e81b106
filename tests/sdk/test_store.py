"""What the phone's store promises, with real files and real faults."""

import os
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from greentrip import (
    FileSecrets,
    GreenTrip,
    InvalidInput,
    NoTrip,
    QueueFull,
    State,
    StorageError,
    StorageFull,
    StorageNewer,
    TripRunning,
)
from greentrip import recording as recording_module
from greentrip.record import Evidence
from greentrip.recorder import Event
from greentrip.store import NewTrip, Receipt, Settlement, Store
from greentrip.store import file as store_file
from greentrip.store import journal as store_journal
from greentrip.store import trips as store_trips
from greentrip.store.migrations import MIGRATIONS
from greentrip.testing import FakeClock
from greentrip.trip import Fix, Point
from greentrip.wire import sha256_hex
from support.refusals import refused
from support.trips import FAR_END, HOME, north_of, ride, walk

OpenPhone = Callable[..., GreenTrip]
LEVELS = Evidence((b"[1]", b"[2]", b"[3]"), (b"a" * 16, b"b" * 16, b"c" * 16))
MINUTE = 60_000
BIG = 10**9


@pytest.fixture
def path(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    return tmp_path / "store.sqlite3"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with closing(Store(path)) as opened:
        yield opened


def _add(store: Store, *names: str) -> list[bytes]:
    lines = [b'{"record":"%s"}' % name.encode() for name in names]
    for name, line in zip(names, lines, strict=True):
        store.commit_trip(NewTrip(name, 0, {}, LEVELS, line))
    return lines


def _lease(store: Store, name: str = "lease", now: int = 0, until: int = MINUTE, rows: int = 500, size: int = BIG):
    return store.lease(name, now, until, rows, size)


def _settlement(line: bytes, state: State = State.ACCEPTED, ask_again_ms: int | None = None) -> Settlement:
    return Settlement(sha256_hex(line), state, b'{"status":"%s"}' % state.encode(), ask_again_ms)


RECEIPT = Receipt("a.b.c", "device", ("00",), ("11",), "2026-03-05T08:00:00+00:00")


def _file_of(phone: GreenTrip) -> Path:
    return phone._store.path


# Promises 1 and 2: what was returned is on disk, and its bytes never change


def test_what_finish_returned_is_in_the_file_of_another_process_at_once(phone: GreenTrip, clock: FakeClock):
    trip = ride(phone, clock)
    with closing(sqlite3.connect(_file_of(phone))) as other:
        rows = other.execute("SELECT id, line, sha256, state FROM queue").fetchall()
        assert rows == [(trip.id, trip.record, sha256_hex(trip.record or b""), "pending")]
        assert other.execute("SELECT count(*) FROM event").fetchone() == (0,)
        assert other.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_bytes_are_the_same_after_every_reopening(open_phone: OpenPhone, clock: FakeClock):
    first = open_phone()
    trip = ride(first, clock)
    first.close(timeout=0)
    for _ in range(3):
        again = open_phone()
        assert again.trips() == [trip]
        assert again.trips()[0].record == trip.record
        again.close(timeout=0)


def test_commits_wait_for_the_disk_and_fixes_do_not(store: Store):
    assert store._durable.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    assert store._quick.execute("PRAGMA synchronous").fetchone() == (1,)  # NORMAL
    for connection in (store._durable, store._quick):
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)
        assert connection.execute("PRAGMA busy_timeout").fetchone()[0] >= 5_000
        assert connection.execute("PRAGMA secure_delete").fetchone() == (1,)


def test_its_files_are_for_their_owner_only(store: Store, path: Path):
    _add(store, "one")
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == dict.fromkeys((path.name, f"{path.name}-wal", f"{path.name}-shm"), 0o600)


def test_a_secret_is_its_owners_and_on_disk_with_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    flushed: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda number: flushed.append(str(Path(f"/proc/self/fd/{number}").readlink())))
    FileSecrets(tmp_path).save("device", b"secret")
    (file,) = tmp_path.iterdir()
    assert (file.read_bytes(), stat.S_IMODE(file.stat().st_mode)) == (b"secret", 0o600)
    assert flushed == [str(file.with_suffix(".new")), str(tmp_path)]


def test_the_evidence_opens_the_commitment_of_the_stored_record(phone: GreenTrip, clock: FakeClock):
    trip = ride(phone, clock)
    evidence = phone._store.evidence(trip.id)
    assert evidence is not None
    assert evidence.commitment().encode() in (trip.record or b"")
    with pytest.raises(InvalidInput, match="no trip here"):
        phone._store.evidence("nobody")


def test_a_failed_commit_leaves_the_trip_in_progress(store: Store):
    _add(store, "one")
    store.append_event(Event("start", 1.0, 1.0, "boot", {"mode": "walk"}))
    with pytest.raises(StorageError):
        store.commit_trip(NewTrip("one", 0, {}, LEVELS, b"{}"))  # the id is taken
    assert [event.kind for event in store.events()] == ["start"]
    assert [row.id for row in store.trips()] == ["one"]


def test_the_same_bytes_cannot_be_queued_twice(store: Store):
    (line,) = _add(store, "one")
    with pytest.raises(StorageError, match="SQLITE_CONSTRAINT"):
        store.commit_trip(NewTrip("two", 0, {}, LEVELS, line))
    assert [row.id for row in store.trips()] == ["one"]


# A flipped bit


@pytest.mark.parametrize("column", ["line", "sha256"])
def test_a_flipped_bit_sets_one_record_aside_and_its_neighbours_go_on(store: Store, path: Path, column: str):
    lines = _add(store, "one", "two", "three")
    with closing(sqlite3.connect(path)) as other, other:
        (value,) = other.execute(f"SELECT {column} FROM queue WHERE id = 'two'").fetchone()  # noqa: S608
        spoilt = bytes([value[0] ^ 1]) + value[1:] if isinstance(value, bytes) else "f" * 64
        other.execute(f"UPDATE queue SET {column} = ? WHERE id = 'two'", (spoilt,))  # noqa: S608
    assert [record.line for record in _lease(store)] == [lines[0], lines[2]]
    assert store.states() == {State.LEASED: 2, State.DAMAGED: 1}
    assert store.tallies()["damaged"] == 1
    store.release("lease")
    assert len(_lease(store)) == 2
    assert store.tallies()["damaged"] == 1, "counted once"
    assert len(store.trips()) == 3, "and nothing was deleted"


# Leases


def test_records_are_leased_oldest_first_within_both_limits(store: Store):
    lines = _add(store, *"abcdef")
    size = len(lines[0]) + 1
    assert [record.line for record in _lease(store, "one", rows=4)] == lines[:4]
    store.release("one")
    assert [record.line for record in _lease(store, "two", size=3 * size)] == lines[:3]
    store.release("two")
    assert [record.line for record in _lease(store, "three", size=3 * size - 1)] == lines[:2]


def test_while_one_sends_another_gets_nothing(store: Store, path: Path):
    _add(store, "one", "two")
    assert len(_lease(store, "mine", rows=1)) == 1
    assert _lease(store, "other") == []
    with closing(Store(path)) as other_process:
        assert _lease(other_process, "other") == []
        assert other_process.waiting() == 2


def test_a_lease_ends_by_itself(store: Store):
    _add(store, "one")
    _lease(store, "killed", now=0, until=MINUTE)
    assert _lease(store, "next", now=MINUTE - 1, until=2 * MINUTE - 1) == []
    assert len(_lease(store, "next", now=MINUTE, until=2 * MINUTE)) == 1


def test_a_lease_from_before_the_clock_jumped_back_ends_too(store: Store):
    _add(store, "one")
    year = 365 * 24 * 60 * MINUTE
    _lease(store, "killed", now=year, until=year + MINUTE)
    assert len(_lease(store, "next", now=0, until=MINUTE)) == 1


def test_release_gives_back_the_state_that_was(store: Store):
    lines = _add(store, "pending", "held", "unsupported")
    _lease(store)
    settled = [_settlement(lines[1], State.HELD, 5), _settlement(lines[2], State.UNSUPPORTED, 5)]
    assert len(store.settle("lease", settled, RECEIPT, 0, 0)) == 2
    before = store.states()
    assert before == {State.PENDING: 1, State.HELD: 1, State.UNSUPPORTED: 1}
    assert len(_lease(store, "soon", now=10, until=10 + MINUTE)) == 2, "on which there was no word waits"
    store.release("soon")
    later = 15 * MINUTE
    assert len(_lease(store, "again", now=later, until=later + MINUTE)) == 3
    assert store.states() == {State.LEASED: 3}
    store.release("again")
    assert store.states() == before
    assert store.trip("held").result == {"status": "held"}, "and the last word with it"


def test_an_expired_lease_gives_back_the_state_that_was(store: Store):
    (line,) = _add(store, "held")
    _lease(store)
    store.settle("lease", [_settlement(line, State.HELD, 5)], RECEIPT, 0, 0)
    _lease(store, "killed", now=10, until=10 + MINUTE)
    _lease(store, "next", now=10 + MINUTE, until=10 + 2 * MINUTE)
    store.release("next")
    assert store.states() == {State.HELD: 1}


def test_what_is_held_is_asked_again_when_it_is_time_and_what_is_final_never(store: Store):
    lines = _add(store, "held", "accepted", "rejected", "conflict")
    _lease(store)
    states = (State.HELD, State.ACCEPTED, State.REJECTED, State.CONFLICT)
    asks = (1000, None, None, None)
    store.settle("lease", [_settlement(*each) for each in zip(lines, states, asks, strict=True)], RECEIPT, 0, 0)
    assert _lease(store, "early", now=999, until=MINUTE) == []
    assert [record.id for record in _lease(store, "due", now=1000, until=MINUTE)] == ["held"]


def test_settling_needs_the_lease_and_the_very_hash(store: Store):
    (line,) = _add(store, "one")
    _lease(store, "mine")
    assert len(store.settle("other", [_settlement(line)], RECEIPT, 0, 0)) == 0
    assert store.states() == {State.LEASED: 1}
    assert len(store.settle("mine", [_settlement(b"other bytes")], RECEIPT, 0, 0)) == 0
    assert store.states() == {State.PENDING: 1}, "what no result named goes back"


def test_an_answer_that_comes_after_the_lease_ended_settles_nothing(store: Store):
    (line,) = _add(store, "one")
    _lease(store, "slow")
    _lease(store, "next", now=MINUTE, until=2 * MINUTE)
    assert len(store.settle("slow", [_settlement(line)], RECEIPT, 0, 0)) == 0
    assert len(store.settle("next", [_settlement(line)], RECEIPT, 0, 0)) == 1


def test_a_receipt_is_kept_with_what_it_signs(store: Store):
    (line,) = _add(store, "one")
    assert store.receipt_of("one") is None
    _lease(store)
    store.settle("lease", [_settlement(line)], RECEIPT, 0, 0)
    assert store.receipt_of("one") == (b'{"status":"accepted"}', RECEIPT)
    assert store.trip("one").record == line, "settled bytes stay"


# Promise 11: caps


def test_a_full_queue_refuses_and_evicts_nothing(phone: GreenTrip, clock: FakeClock, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(store_trips, "QUEUE_ROWS_MAX", 2)
    kept = [ride(phone, clock).id for _ in range(2)]
    phone.start("rail", "虎坊桥")
    clock.tick(60)
    with refused(QueueFull, says="2 trips wait"):
        phone.finish(FAR_END)
    assert phone.active is not None
    assert {trip.id for trip in phone.trips()} == set(kept)
    stats = phone.stats()
    assert (stats.refused, stats.exits, stats.recorded, stats.waiting) == (1, {}, 2, 2)
    monkeypatch.undo()
    assert phone.finish(FAR_END).reduction_mg == 2_517_120


def test_a_trip_that_is_not_sent_needs_no_place_in_the_queue(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(store_trips, "QUEUE_ROWS_MAX", 0)
    store.commit_trip(NewTrip("local", 0, {}, LEVELS, None))
    assert store.trip("local").state is State.LOCAL


def test_a_trip_of_endless_fixes_is_refused_a_next_one(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(store_journal, "FIXES_A_TRIP_MAX", 3)
    store.append_event(Event("start", 1.0, 1.0, "boot", {}))
    for _ in range(3):
        store.append_fix(Fix(HOME, 1.0))
    with pytest.raises(ValueError, match="more than 3 fixes"):
        store.append_fix(Fix(HOME, 1.0))
    assert store.fix_count() == 3


# Promise 7: the disk


@contextmanager
def _full(phone: GreenTrip) -> Iterator[None]:
    """SQLite's own limit of pages: no room, on any machine and without rights."""
    connections = (phone._store._durable, phone._store._quick)
    for connection in connections:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
        (free,) = connection.execute("PRAGMA freelist_count").fetchone()
        assert free == 0
    try:
        yield
    finally:
        for connection in connections:
            connection.execute("PRAGMA max_page_count = 1000000")


def _fix_on_and_on(phone: GreenTrip, place: Point) -> None:
    for _ in range(10_000):
        phone.fix(place)


def test_on_a_full_disk_the_trip_goes_on_and_can_be_finished_later(phone: GreenTrip, clock: FakeClock):
    phone.start("walk", HOME)
    end = walk(phone, clock, 3000)
    with _full(phone):
        with refused(StorageFull, says="what was recorded before is kept"):
            phone.finish(end)
        with refused(StorageFull):
            _fix_on_and_on(phone, end)
        active = phone.active
        assert active is not None
        assert not active.interrupted
        assert phone.trips() == []
    trip = phone.finish(end)
    assert trip.legs[0].counted_m >= 2700
    assert phone.trips() == [trip]


def test_on_a_full_disk_sync_says_so_and_does_not_raise(enrolled: GreenTrip, clock: FakeClock, server):
    trip = ride(enrolled, clock)
    with _full(enrolled):
        # Settling is what needs room: results and receipts are long.
        server.plan(lambda request: server.results(padding="x" * 100_000)(request))
        report = enrolled.sync(timeout=0.5)
    assert report.stop.value == "storage"
    assert "make room" in report.detail
    assert report.message("zh") != report.message("en")
    clock.tick(600)
    assert enrolled.sync().settled == {State.ACCEPTED: 1}
    assert enrolled.trips()[0].record == trip.record


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting needs root")
def test_on_a_really_full_disk(open_phone: OpenPhone, clock: FakeClock, tmp_path: Path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "none", disk], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no tmpfs here: {mounted.stderr.strip()}")
    try:
        phone = open_phone(disk)
        done = ride(phone, clock)
        phone.start("walk", HOME)
        end = walk(phone, clock, 500)
        filler = disk / "filler"
        with pytest.raises(OSError, match="No space"):
            _fill(filler)
        with refused(StorageFull):
            _fix_on_and_on(phone, end)
        with refused(StorageFull):
            phone.finish(end)
        assert phone.trips() == [done]
        filler.unlink()
        assert phone.finish(end).legs[0].counted_m >= 400
        phone.close(timeout=0)
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_file_of_a_newer_version_is_refused_and_not_touched(store: Store, path: Path):
    _add(store, "one")
    store.close()
    with closing(sqlite3.connect(path)) as other, other:
        other.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with refused(StorageNewer, says="update the app"):
        Store(path)
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS) + 1,)
        assert other.execute("SELECT count(*) FROM queue").fetchone() == (1,)


@pytest.mark.parametrize("content", [b"garbage " * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_garbage_is_moved_aside_and_a_clean_one_begun(path: Path, content: bytes):
    path.write_bytes(content)
    with closing(Store(path)) as opened:
        _add(opened, "one")
        assert opened.waiting() == 1
        assert opened.recovered is not None
        assert opened.recovered.name.startswith(f"{path.name}.corrupt-")
        assert opened.recovered.read_bytes() == content
    with closing(Store(path)) as again:
        assert (again.recovered, again.waiting()) == (None, 1)


@pytest.mark.parametrize("content", [b"", b"x"])
def test_a_file_that_never_got_its_first_page_is_a_new_store(path: Path, content: bytes):
    path.write_bytes(content)
    with closing(Store(path)) as opened:
        _add(opened, "one")
        assert opened.waiting() == 1


def test_a_folder_that_is_a_file(tmp_path: Path):
    (tmp_path / "folder").write_text("not a folder")
    with refused(StorageError, says="choose another"):
        Store(tmp_path / "folder" / "store.sqlite3")


@contextmanager
def _as_nobody() -> Iterator[None]:
    """Root may write anywhere: as somebody else, nobody in particular, a mode is a mode."""
    if not hasattr(os, "geteuid"):
        pytest.skip("no users here")
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def locked_folder() -> Iterator[Path]:
    # Not in tmp_path, whose parents only their owner can enter.
    folder = Path(tempfile.mkdtemp(prefix="greentrip-locked-"))
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def test_a_read_only_folder_is_refused(locked_folder: Path):
    locked_folder.chmod(0o555)
    with _as_nobody(), refused(StorageError):
        Store(locked_folder / "store.sqlite3")
    with _as_nobody(), refused(StorageError, says="choose another"):
        Store(locked_folder / "deeper" / "store.sqlite3")
    assert list(locked_folder.iterdir()) == []


def test_a_file_that_became_read_only_keeps_what_it_has(locked_folder: Path):
    path = locked_folder / "store.sqlite3"
    with closing(Store(path)) as opened:
        _add(opened, "one")
    for item in (path, locked_folder):
        item.chmod(0o555)
    with _as_nobody(), refused(StorageError):
        Store(path)
    for item in (locked_folder, path):
        item.chmod(0o755)
    with closing(Store(path)) as opened:
        assert opened.waiting() == 1


def test_a_closed_store_says_so(store: Store):
    store.close()
    with refused(StorageError, says="closed"):
        store.events()
    with refused(StorageError, says="closed"):
        store.waiting()


# Other processes and threads


def test_a_lock_of_another_process_is_waited_for(store: Store, path: Path):
    started = threading.Event()

    def hold() -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            started.set()
            threading.Event().wait(0.3)
            other.execute("COMMIT")

    thread = threading.Thread(target=hold)
    thread.start()
    started.wait()
    store.append_event(Event("start", 1.0, 1.0, "boot", {}))
    thread.join()
    assert len(store.events()) == 1


def test_a_lock_that_is_never_given_up_is_a_storage_error(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(store_file, "BUSY_TIMEOUT_MS", 50)
    with closing(Store(path)) as opened, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with refused(StorageError, says="SQLITE_BUSY"):
            opened.append_event(Event("start", 1.0, 1.0, "boot", {}))
        with refused(StorageError, says="SQLITE_BUSY"):
            opened.append_fix(Fix(HOME, 1.0))
        assert opened.events() == [], "reading goes on"
        other.execute("ROLLBACK")
        opened.append_event(Event("start", 1.0, 1.0, "boot", {}))
        assert len(opened.events()) == 1


CHILD = """
import sys
from pathlib import Path
from greentrip.record import Evidence
from greentrip.store import NewTrip, Store

path, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
levels = Evidence((b"[1]", b"[2]", b"[3]"), (b"a" * 16, b"b" * 16, b"c" * 16))
store = Store(path)
sys.stdin.readline()
for number in range(count):
    store.commit_trip(NewTrip(f"{name}-{number}", 0, {}, levels, f'{{"record":"{name}-{number}"}}'.encode()))
    taken = store.lease(f"{name}-{number}", 0, 60_000, 500, 10**9)
    print(len(taken) and len({record.id for record in taken}), flush=True)
    store.release(f"{name}-{number}")
store.close()
"""


def test_two_processes_share_a_file_from_its_first_moment(path: Path):
    """Both migrate, both write, both lease: nothing is lost, and no record is in two hands at once."""
    children = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(CHILD), str(path), name, "25"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two")
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    for child in children:
        out, _ = child.communicate(timeout=60)
        assert child.returncode == 0
        assert len(out.splitlines()) == 25
    with closing(Store(path)) as opened:
        assert opened.states() == {State.PENDING: 50}
        assert len(_lease(opened)) == 50


def test_many_threads_record_into_one_store(store: Store):
    def work(number: int) -> None:
        for step in range(20):
            with suppress(NoTrip):  # another thread has ended the trip
                store.append_fix(Fix(Point(39.9, 116.4), float(number)))
            _add(store, f"{number}-{step}")
            _lease(store, f"{number}")
            store.release(f"{number}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store._durable.execute("SELECT 1")
    assert store.states() == {State.PENDING: 160}
    assert store.tallies() == {"recorded": 160}


def test_only_one_of_many_threads_gets_a_lease(store: Store):
    _add(store, "one", "two")
    taken: list[int] = []
    barrier = threading.Barrier(8)

    def work(number: int) -> None:
        barrier.wait()
        taken.append(len(_lease(store, f"{number}")))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [0] * 7 + [2]


# Migrations


def test_migrations_are_named_in_order_and_run_once(path: Path):
    names = [name for name, _ in MIGRATIONS]
    assert all(re.fullmatch(r"\d{4}_\w+", name) for name in names)
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
    for _ in range(2):
        with closing(Store(path)) as opened:
            assert opened._durable.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)


def test_a_migration_that_was_killed_half_way_is_run_again(path: Path, monkeypatch: pytest.MonkeyPatch):
    name, script = MIGRATIONS[-1]
    broken = (*MIGRATIONS[:-1], (name, f"{script}; no such statement"))
    monkeypatch.setattr(store_file, "MIGRATIONS", broken)
    with pytest.raises(StorageError):
        Store(path)
    monkeypatch.undo()
    with closing(Store(path)) as opened:
        _add(opened, "one")
        assert opened.waiting() == 1


# Promise 4


def test_each_server_has_a_file_of_its_own(open_phone: OpenPhone, clock: FakeClock, tmp_path: Path):
    one = open_phone()
    ride(one, clock)
    other = open_phone(root_key="A" * 43)
    assert other.trips() == []
    assert _file_of(one) != _file_of(other)
    assert north_of(HOME, 1) != HOME


# Two processes on one folder, as an app's window and its service are


@pytest.fixture
def pair(open_phone: OpenPhone) -> tuple[GreenTrip, GreenTrip]:
    """Two openings of the same phone."""
    return open_phone(), open_phone()


def _meanwhile(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Something that the other one does once, after the trip was read and before it is committed."""
    measure, done = recording_module.measure_trip, []

    def measured(*arguments: Any) -> object:
        if not done:
            done.append(True)
            act()
        return measure(*arguments)

    monkeypatch.setattr(recording_module, "measure_trip", measured)


def test_a_trip_that_two_finish_is_one_trip(
    pair: tuple[GreenTrip, GreenTrip], clock: FakeClock, monkeypatch: pytest.MonkeyPatch
):
    window, service = pair
    window.start("rail", "虎坊桥")
    clock.tick(3600)
    _meanwhile(monkeypatch, lambda: service.finish("东夏园"))
    with pytest.raises(NoTrip):
        window.finish("东夏园")
    assert len(window.trips()) == 1
    assert window.stats().waiting == 1


def test_what_the_other_one_records_meanwhile_is_measured_too(
    pair: tuple[GreenTrip, GreenTrip], clock: FakeClock, monkeypatch: pytest.MonkeyPatch
):
    window, service = pair
    window.start("walk", HOME)
    for step in range(60):
        clock.tick(10)
        service.fix(north_of(HOME, 14 * step), accuracy_m=5)

    def ride_on() -> None:
        for step in range(60, 120):
            clock.tick(10)
            service.fix(north_of(HOME, 14 * step), accuracy_m=5)

    _meanwhile(monkeypatch, ride_on)
    assert window.finish().legs[0].metres == pytest.approx(14 * 119, rel=0.05)


def test_a_trip_that_was_finished_is_not_mistaken_for_the_next_one(
    pair: tuple[GreenTrip, GreenTrip], clock: FakeClock, monkeypatch: pytest.MonkeyPatch
):
    window, service = pair
    window.start("rail", "虎坊桥")
    clock.tick(3600)

    def finish_and_start() -> None:
        service.finish("东夏园")
        clock.tick(60)
        service.start("rail", "东夏园")
        clock.tick(3600)

    _meanwhile(monkeypatch, finish_and_start)
    second = window.finish("呼家楼")
    assert [leg.start for leg in second.legs] == ["东夏园"]
    assert len({trip.id for trip in window.trips()}) == 2


def test_only_one_of_two_starts_and_nobody_adds_to_a_trip_that_ended(store: Store, tmp_path: Path):
    with closing(Store(store.path)) as other:
        store.append_event(Event("start", 1.0, 1.0, "boot", {}))
        with pytest.raises(TripRunning):
            other.append_event(Event("start", 2.0, 2.0, "boot", {}))
        other.discard_trip()
        with pytest.raises(NoTrip):
            store.append_event(Event("switch", 3.0, 3.0, "boot", {}))
        with pytest.raises(NoTrip):
            store.append_fix(Fix(HOME, 3.0))
