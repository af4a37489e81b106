"""Promise 6: a damaged file is moved aside and what can be read is kept; a damaged record costs its neighbours nothing.

What is damaged is never sent as if it were whole, never lost without a word, and never brings down the app.
"""

import random
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greentrip import GreenTrip, GreenTripError, NoTrip, State, StorageError
from greentrip.events import StoreReplaced
from greentrip.record import Evidence
from greentrip.report import Stop
from greentrip.store import NewTrip, Store
from support.disk import Disk, Killed
from support.refusals import refused
from support.trips import ride

SEEDS = range(8)
SEED_FLIPS = 25


def _file(folder: Path) -> Path:
    return folder / next(path.name for path in folder.iterdir() if path.suffix == ".sqlite3")


def _use_all(phone: GreenTrip) -> None:
    """Every call that reads: it answers, or says with an error of ours what is wrong."""
    for call in (phone.trips, phone.stats, phone.receipts, phone.sampling_report, phone.diagnose, phone.accounts):
        with suppress(StorageError):
            call()
    for trip in phone.trips():
        with suppress(GreenTripError):
            phone.receipt(trip.id)
    with suppress(StorageError):
        assert phone.active is None or phone.active.legs is not None
    with suppress(GreenTripError):
        phone.cancel()


def _drain(template, folder: Path, phone: GreenTrip) -> tuple[GreenTrip, bool]:
    """Send all that can be sent, opening the file again where an error asks for that; and whether one was replaced."""
    replaced = phone.recovered is not None
    for _ in range(3):
        report = phone.sync()
        template.clock.tick(7 * 3600)
        if report.stop is Stop.STORAGE:
            phone.close(timeout=0)
            phone = template.open(folder)
            replaced |= phone.recovered is not None
    assert report.stop in (Stop.DONE, Stop.NOT_ENROLLED), report
    return phone, replaced


def _assert_told(template, phone: GreenTrip, lines: dict[str, bytes | None], replaced: bool) -> None:
    """What is at the server has the very bytes that were recorded; of what is not, the person is told."""
    shown = {trip.id: trip.state for trip in phone.trips()}
    damaged = phone.stats().states.get(State.DAMAGED, 0)
    for trip_id, line in lines.items():
        record = template.server.records.get(trip_id)
        if record is not None:
            assert record.line == line
        elif not (replaced or damaged):
            assert shown[trip_id] is State.PENDING, "it waits, for the person to enrol again"
            assert phone.account_id is None
    assert set(template.server.records) <= set(lines)


def _flip(data: bytes, bit: int) -> bytes:
    spoilt = bytearray(data)
    spoilt[bit // 8] ^= 1 << bit % 8
    return bytes(spoilt)


def _check_damaged(template, folder: Path, lines: dict[str, bytes | None]) -> None:
    phone = template.open(folder)
    with suppress(GreenTripError):
        phone.cancel()
    _use_all(phone)
    phone, replaced = _drain(template, folder, phone)
    _assert_told(template, phone, lines, replaced)
    phone.close(timeout=0)
    shutil.rmtree(folder)


@pytest.fixture
def lines(template) -> dict[str, bytes | None]:
    """The bytes of each trip as they were recorded."""
    phone = template.open(template.copy())
    found = {trip.id: trip.record for trip in phone.trips()}
    phone.close(timeout=0)
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_a_flipped_bit_anywhere_in_the_file_is_caught(template, lines: dict[str, bytes | None], seed: int):
    dice = random.Random(seed)
    for _ in range(SEED_FLIPS):
        folder = template.copy()
        file = _file(folder)
        data = file.read_bytes()
        file.write_bytes(_flip(data, dice.randrange(8 * len(data))))
        _check_damaged(template, folder, lines)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_flipped_bit_in_any_stored_record_is_caught_before_it_is_sent(
    template, lines: dict[str, bytes | None], data: st.DataObject
):
    folder = template.copy()
    victim = data.draw(st.sampled_from(template.waiting))
    line = lines[victim] or b""
    file = _file(folder)
    content = file.read_bytes()
    assert content.count(line) == 1
    bit = data.draw(st.integers(0, 8 * len(line) - 1))
    file.write_bytes(_flip(content, 8 * content.index(line) + bit))
    told: list[object] = []
    phone = template.open(folder, observer=told.append)
    report = phone.sync()
    assert report.settled == {State.ACCEPTED: 1}, "its neighbour goes on"
    assert victim not in template.server.records
    assert not any(line in body for body in template.server.posted)
    assert {trip.id: trip.state for trip in phone.trips()}[victim] is State.DAMAGED
    assert [event.trip_id for event in told if type(event).__name__ == "RecordDamaged"] == [victim]
    assert phone.stats().exits[State.DAMAGED] == 1
    phone.close(timeout=0)


COLUMNS = {
    "queue": "seq id line sha256 state prior attempts lease lease_until_ms ask_again_ms result_line receipt"
    " send_after_ms sent settled_ms why",
    "trip": "id recorded_ms summary salts levels",
    "receipt": "jws device request_lines answer_lines at",
    "meta": "value",
    "tally": "count",
    "event": "kind at monotonic boot body",
    "sync_note": "at_hour_ms trigger stop requests waiting settled problem",
    "likeness": "fingerprint",
}
EACH_COLUMN = [(table, column) for table, columns in COLUMNS.items() for column in columns.split()]
VALUES: dict[str, object] = {
    "nothing": None,
    "far": 2**62,
    "below": -(2**62),
    "a text": "\ufffd nothing of ours",
    "bytes": b"\xff\xfe\x00",
    "an object": '{"legs": 5, "months": 5, "from": "x"}',
    "a list": "[[]]",
}


def _spoil(path: Path, table: str, column: str, value: object) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        (key,) = db.execute(f"SELECT name FROM pragma_table_info('{table}') WHERE pk = 1").fetchone()  # noqa: S608
        rows = f"SELECT {key} FROM {table}"  # noqa: S608
        # In the queue one of those that wait; elsewhere each row.
        rows += " WHERE state = 'pending' LIMIT 1" if table == "queue" else ""
        for (row,) in db.execute(rows).fetchall():
            with suppress(sqlite3.IntegrityError):  # what the file itself refuses needs no care of ours
                db.execute(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (value, row))  # noqa: S608


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize(("table", "column"), EACH_COLUMN, ids=[".".join(each) for each in EACH_COLUMN])
def test_whatever_a_column_says_nothing_falls_over(
    template, lines: dict[str, bytes | None], table: str, column: str, value: str
):
    folder = template.copy()
    _spoil(_file(folder), table, column, VALUES[value])
    phone = template.open(folder)
    _use_all(phone)
    phone, replaced = _drain(template, folder, phone)
    _assert_told(template, phone, lines, replaced)
    assert phone.stats().waiting == 0 or phone.account_id is None


@pytest.mark.parametrize("state", ["leased", "held", "asked", "unsupported", "set_aside"])
@pytest.mark.parametrize("column", ["prior", "lease", "lease_until_ms", "ask_again_ms", "send_after_ms", "attempts"])
@pytest.mark.parametrize("value", VALUES)
def test_a_damaged_time_or_lease_never_holds_up_the_queue(template, state: str, column: str, value: str):
    folder = template.copy()
    path = _file(folder)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(
            "UPDATE queue SET state = ?, prior = 'pending', lease = 'x', lease_until_ms = 1 WHERE id = ?",
            (state, template.waiting[0]),
        )
        with suppress(sqlite3.IntegrityError):
            db.execute(f"UPDATE queue SET {column} = ? WHERE id = ?", (VALUES[value], template.waiting[0]))  # noqa: S608
    phone = template.open(folder)
    phone.cancel()
    for _ in range(3):
        phone.sync()
        template.clock.tick(25 * 3600)
    assert {trip.state for trip in phone.trips()} == {State.ACCEPTED}


# Whole files


def test_where_the_folder_went_away_every_call_says_so_and_a_new_opening_begins_anew(template):
    folder = template.copy()
    phone = template.open(folder)
    shutil.rmtree(folder)
    with pytest.raises(StorageError):
        template.finish(phone)
    with pytest.raises(StorageError):
        phone.opt_out("keep")
    with pytest.raises(StorageError):
        phone.erase_trip(template.accepted)
    assert phone.sync().stop is Stop.STORAGE
    phone.close(timeout=0)
    assert template.open(folder).trips() == []


def test_a_file_that_was_removed_or_replaced_takes_no_trip_that_nobody_would_find(template):
    folder = template.copy()
    phone = template.open(folder)
    _file(folder).unlink()
    with refused(StorageError, says="removed or replaced: close and open again"):
        template.finish(phone)
    shutil.copy(_file(template.folder), folder)
    with refused(StorageError, says="removed or replaced"):
        template.finish(phone)
    assert phone.sync().stop is Stop.STORAGE
    phone.close(timeout=0)
    again = template.open(folder)
    template.assert_drains(again, {template.accepted, *template.waiting, template.finish(again)})


def test_an_empty_file_is_a_new_store(template):
    folder = template.copy()
    _file(folder).write_bytes(b"")
    phone = template.open(folder)
    assert (phone.trips(), phone.recovered) == ([], None)
    ride(phone, template.clock)
    assert phone.stats().waiting == 1


def _killed_with_a_log(folder: Path, template) -> set[str]:
    """A phone that recorded one more trip and was killed: that one is in the write-ahead log only."""
    disk = Disk()
    phone = template.open(folder, connection=disk)
    with suppress(NoTrip):
        phone.cancel()
    recorded = {trip.id for trip in phone.trips()} | {ride(phone, template.clock).id}
    file = _file(folder)
    saved = {path: path.read_bytes() for path in folder.iterdir() if path.name.endswith((".sqlite3", "-wal"))}
    disk.let_go()
    for path, content in saved.items():
        path.write_bytes(content)
    assert file.with_name(f"{file.name}-wal").stat().st_size
    return recorded


@pytest.mark.parametrize("left", ["nothing", "an empty file"])
def test_a_log_without_its_file_is_kept_and_what_it_has_is_found(template, left: str):
    """SQLite drops such a log. When nothing was copied into the file yet, the whole store is in it."""
    folder = template.folder.with_name("young")
    recorded = _killed_with_a_log(folder, template)
    file = _file(folder)
    if left == "nothing":
        file.unlink()
    else:
        file.write_bytes(b"")
    told: list[object] = []
    phone = template.open(folder, observer=told.append)
    assert phone.recovered is not None
    assert told == [StoreReplaced(phone.recovered)]
    assert {trip.id for trip in phone.trips()} == recorded


def test_the_log_of_another_file_brings_nobody_down(template, lines: dict[str, bytes | None]):
    one, other = template.copy(), template.copy()
    stranger = _killed_with_a_log(other, template) - set(lines)
    shutil.copy(_file(other).with_name(f"{_file(other).name}-wal"), one)
    phone = template.open(one)
    with suppress(GreenTripError):
        phone.cancel()
    _use_all(phone)
    phone, replaced = _drain(template, one, phone)
    known = lines | {trip.id: trip.record for trip in phone.trips() if trip.id in stranger}
    _assert_told(template, phone, known, replaced)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_of_a_file_that_was_cut_off_what_is_left_is_kept(template, lines: dict[str, bytes | None], share: float):
    folder = template.copy()
    file = _file(folder)
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    told: list[object] = []
    phone = template.open(folder, observer=told.append)
    assert phone.recovered is not None
    assert told == [StoreReplaced(phone.recovered)]
    _use_all(phone)
    phone, _ = _drain(template, folder, phone)
    _assert_told(template, phone, lines, True)
    assert template.open(folder).recovered is None, "told once"


@pytest.mark.parametrize("seed", range(12))
def test_of_a_file_with_pages_of_nonsense_what_can_be_read_is_kept(template, lines: dict[str, bytes | None], seed: int):
    dice = random.Random(seed)
    folder = template.copy()
    file = _file(folder)
    content = bytearray(file.read_bytes())
    for _ in range(dice.randint(1, 4)):
        page = dice.randrange(1, len(content) // 4096)
        content[page * 4096 : (page + 1) * 4096] = dice.randbytes(4096)
    file.write_bytes(bytes(content))
    _check_damaged(template, folder, lines)


def test_records_outlive_the_loss_of_every_other_table(template, lines: dict[str, bytes | None]):
    folder = template.copy()
    with closing(sqlite3.connect(_file(folder))) as db, db:
        roots = dict(db.execute("SELECT name, rootpage FROM sqlite_master WHERE type = 'table'"))
    file = _file(folder)
    content = bytearray(file.read_bytes())
    for table in ("trip", "receipt", "event", "fix", "tally"):
        page = roots[table] - 1
        content[page * 4096 : (page + 1) * 4096] = b"\xa5" * 4096
    file.write_bytes(bytes(content))
    phone = template.open(folder)
    assert phone.recovered is not None
    assert phone.sync().settled == {State.ACCEPTED: 2}
    assert {id: trip.line for id, trip in template.server.records.items()} == lines
    assert phone.stats().recorded == 3


def test_killed_at_any_statement_while_a_damaged_file_is_replaced_nothing_is_lost(
    template, lines: dict[str, bytes | None]
):
    """A second death between the move and the copy must not leave a clean, empty file."""
    spoilt = template.copy()
    file = _file(spoilt)
    with closing(sqlite3.connect(file)) as db:
        (root,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'fix'").fetchone()
    content = bytearray(file.read_bytes())
    content[(root - 1) * 4096 : root * 4096] = b"\xa5" * 4096
    file.write_bytes(bytes(content))
    for number in range(300):
        folder = template.copy()
        shutil.copy(file, _file(folder))
        disk = Disk()
        disk.fail("killed", number)
        with suppress(Killed):
            template.open(folder, connection=disk)
        hit = disk.mend()
        disk.let_go()
        phone = template.open(folder)
        phone.cancel()
        template.assert_drains(phone, set(lines))
        phone.close(timeout=0)
        if not hit:
            return
    raise AssertionError("more statements than opening has")


def test_a_trip_in_progress_outlives_a_damaged_file(template):
    folder = template.copy()
    _spoil_page_of(folder, "likeness")
    phone = template.open(folder)
    assert phone.recovered is not None
    assert phone.active is not None
    template.assert_drains(phone, {template.accepted, *template.waiting, template.finish(phone)})


def test_a_trip_in_progress_that_is_damaged_can_be_cancelled(template):
    folder = template.copy()
    _spoil(_file(folder), "event", "body", "no step")
    phone = template.open(folder)
    for call in (lambda: phone.active, lambda: template.finish(phone), lambda: phone.start("walk", "虎坊桥")):
        with refused(StorageError, says=r"cancel\(\) it"):
            call()
    phone.cancel()
    assert phone.active is None
    template.assert_drains(phone, {template.accepted, *template.waiting})


def _spoil_page_of(folder: Path, table: str) -> None:
    file = _file(folder)
    with closing(sqlite3.connect(file)) as db:
        (root,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    content = bytearray(file.read_bytes())
    content[(root - 1) * 4096 : root * 4096] = b"\xa5" * 4096
    file.write_bytes(bytes(content))


def test_two_openings_find_the_same_damage_and_keep_everything(template, lines: dict[str, bytes | None]):
    folder = template.copy()
    _spoil_page_of(folder, "fix")
    phones = [template.open(folder) for _ in range(2)]
    assert [phone.recovered is not None for phone in phones] == [True, False]
    phones[0].cancel()
    template.assert_drains(phones[1], set(lines))


def test_an_index_that_does_not_fit_its_table_is_found_when_the_file_is_opened(path: Path):
    """A check that leaves out the indices would let every lease fail for ever."""
    with closing(Store(path)) as store:
        levels = Evidence((b"[1]", b"[2]", b"[3]"), (b"a" * 16, b"b" * 16, b"c" * 16))
        store.commit_trip(NewTrip("one", 0, {}, levels, b'{"record":"one"}'))
    content = path.read_bytes()
    at = content.rindex(b"pending")
    path.write_bytes(content[:at] + b"qending" + content[at + 7 :])
    with closing(Store(path)) as store:
        assert store.recovered is not None
        assert len(store.lease("lease", 0, 60_000, 500, 10**9)) == 1


NOTES = {
    "a column": (b"result_line BLOB", b"result_lhne BLOB"),
    "a table": (b"CREATE TABLE queue", b"CREATE TABLE quuue"),
    "a reference": (b"REFERENCES receipt", b"REFERENCES recempt"),
    "an index": (b"ON queue (state, seq)", b"ON queue (statu, seq)"),
    "no text at all": (b"CREATE TABLE queue", b"CREATE TABLE q\xf5eue"),
}


@pytest.mark.parametrize("what", NOTES)
def test_damage_to_what_sqlite_notes_on_its_tables_costs_nothing(template, what: str):
    """Its own check does not look at that, and every statement on such a table fails."""
    folder = template.copy()
    file = _file(folder)
    content = file.read_bytes()
    sound, damaged = NOTES[what]
    assert content.count(sound) == 1
    file.write_bytes(content.replace(sound, damaged))
    phone = template.open(folder)
    assert phone.recovered is not None
    template.assert_drains(phone, {template.accepted, *template.waiting, template.finish(phone)})
