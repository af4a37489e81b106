"""A phone is killed before and after each step of what it does. Opened again, it has what it promised, and goes on."""

import shutil
import signal
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import pytest

from greentrip import GreenTrip, State, Stop, SyncReport
from greentrip.store.migrations import MIGRATIONS
from greentrip_server.db import Database
from greentrip_server.enrolment.models import AccountStatus, PersonAccount
from support.child_phone import ChildPhone, PhoneDied, child_phone
from support.commuting import RIDE_FROM, RIDE_S, RIDE_TO, reopened, ride, ride_at
from support.points import AFTER, BEFORE, Point, around
from support.server import CONSENTS, ServerProcess, new_number, phone

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")

RIDES = 3
NOWHERE = "http://127.0.0.1:9"
SYNC_S = 20
POST = "POST /v1/trips"


@dataclass
class Commuter:
    """An enrolled phone with rides that wait, and what `finish()` returned for them."""

    server: ServerProcess
    folder: Path
    number: str = field(default_factory=new_number)
    account: str = ""
    told: dict[str, bytes] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        (found,) = self.folder.glob("*.sqlite3")
        return found

    @contextmanager
    def child(self, *, url: str = "", struck_at: Point | None = None) -> Iterator[ChildPhone]:
        """The phone in a process of its own."""
        with child_phone(self.folder, url or self.server.url, self.server.root_key, struck_at) as started:
            yield started

    @contextmanager
    def opened_again(self) -> Iterator[GreenTrip]:
        """The phone after it was killed once."""
        intact(self.file)
        with reopened(self.folder, self.server) as green:
            assert green.diagnose()["store"]["kills"] == 1
            assert State.LEASED not in green.stats().states
            yield green

    def kept(self, green: GreenTrip, but: Collection[str] = ()) -> dict[str, bytes | None]:
        """The phone's trips by id: what was told is there with the same bytes, except what was being erased."""
        assert green.recovered is None  # nothing had to be mended
        kept = {trip.id: trip.record for trip in green.trips()}
        assert len(kept) == len(green.trips())
        assert {id: line for id, line in self.told.items() if id not in but}.items() <= kept.items()
        return kept

    def leaves_nothing_of(self, ids: Collection[str]) -> None:
        """No file of the phone holds a byte of these records."""
        found = b"".join(path.read_bytes() for path in self.folder.rglob("*") if path.is_file())
        assert not [id for id in ids if self.told[id] in found]


@pytest.fixture
def commuter(server: ServerProcess, tmp_path: Path) -> Commuter:
    made = Commuter(server, tmp_path / "phone")
    with phone(server, made.folder, number=made.number) as green:
        made.account = green.account_id or ""
        for count in range(RIDES):
            trip = ride(green, count)
            made.told[trip.id] = trip.record or b""
    return made


def intact(file: Path) -> None:
    """The file and its write-ahead log are sound. Looked at in a copy: to open it would tidy up after the dead."""
    with TemporaryDirectory() as folder:
        for path in file.parent.glob(f"{file.name}*"):
            shutil.copy(path, folder)
        with closing(sqlite3.connect(Path(folder) / file.name)) as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def killed(child: ChildPhone, point: Point, do: str, *arguments: object, **named: object) -> None:
    """Do it, and die there."""
    child.strike(point)
    child.tell(do, *arguments, **named)
    with pytest.raises(PhoneDied):
        child.answer()
    assert child.died_of() == signal.SIGKILL


def drains(green: GreenTrip) -> SyncReport:
    """Everything is sent, each record is credited once, and phone and server say the same."""
    report = green.sync(SYNC_S)
    assert (report.stop, report.left) == (Stop.DONE, 0), report
    trips, entries, account = green.trips(), green.statement(), green.account()
    assert {trip.state for trip in trips} <= {State.ACCEPTED}
    assert all(green.verify_receipt(trip.id) for trip in trips)
    assert all(count == 1 for count in Counter((entry.trip, entry.kind) for entry in entries).values())
    credited: Counter[str | None] = Counter()
    for entry in entries:
        credited[entry.trip] += entry.mg
    assert {trip: mg for trip, mg in credited.items() if mg} == {trip.id: trip.reduction_mg for trip in trips}
    assert account.balance_mg == sum(trip.reduction_mg for trip in trips)
    assert account.trips.get("accepted", 0) == len(trips)
    return report


# Recording and sending


FINISH = [
    *around("INSERT INTO trip"),
    *around("INSERT INTO queue"),
    *around("DELETE FROM event"),
    *around("COMMIT", since="INSERT INTO queue"),
]


@pytest.mark.parametrize("point", FINISH, ids=str)
def test_killed_while_it_finishes_a_trip(commuter: Commuter, point: Point):
    at = ride_at(RIDES).timestamp()
    with commuter.child() as child:
        child.call("start", "bus", [RIDE_FROM.lat, RIDE_FROM.lon], at=at)
        killed(child, point, "finish", [RIDE_TO.lat, RIDE_TO.lon], at=at + RIDE_S)
    committed = point == Point(AFTER, "COMMIT", since="INSERT INTO queue")
    with commuter.opened_again() as green:
        assert len(commuter.kept(green)) == RIDES + committed
        assert (green.active is None) == committed
        if not committed:
            green.finish(RIDE_TO, at=at + RIDE_S)
        assert drains(green).settled == {State.ACCEPTED: RIDES + 1}


LEASE = [*around("UPDATE queue SET prior"), *around("COMMIT", since="UPDATE queue SET prior")]
SEND = [Point(BEFORE, f"send {POST}"), Point(AFTER, f"send {POST}"), Point(AFTER, f"read {POST}")]
_SETTLE = "UPDATE queue SET state = ?, result_line"
SETTLE = [*around("INSERT INTO receipt"), *around(_SETTLE), *around("COMMIT", since=_SETTLE)]


@pytest.mark.parametrize("point", [*LEASE, *SEND, *SETTLE], ids=str)
def test_killed_while_it_sends(commuter: Commuter, point: Point):
    with commuter.child() as child:
        killed(child, point, "sync", SYNC_S)
    settled = point == Point(AFTER, "COMMIT", since=_SETTLE)
    with commuter.opened_again() as green:
        assert commuter.kept(green) == commuter.told
        # The lease of the dead ended with it: no waiting.
        assert drains(green).settled == ({} if settled else {State.ACCEPTED: RIDES})


def test_what_was_sent_when_it_was_killed_can_be_erased(commuter: Commuter):
    """Nobody heard that it arrived, so the server is told."""
    erased = next(iter(commuter.told))
    with commuter.child() as child:
        killed(child, Point(AFTER, f"read {POST}"), "sync", SYNC_S)
    with commuter.opened_again() as green:
        green.erase_trip(erased)
        drains(green)
        trips = green.account().trips
        assert (trips["accepted"], trips["erased"]) == (RIDES - 1, 1)


_GIVE_BACK = "UPDATE queue SET state = coalesce(prior"


@pytest.mark.parametrize("point", around(_GIVE_BACK, since="UPDATE queue SET prior"), ids=str)
def test_killed_while_it_gives_back_what_nobody_answered(commuter: Commuter, point: Point):
    with commuter.child(url=NOWHERE) as child:
        killed(child, point, "sync", SYNC_S)
    with commuter.opened_again() as green:
        assert commuter.kept(green) == commuter.told
        assert drains(green).settled == {State.ACCEPTED: RIDES}


ENROL = [
    Point(BEFORE, "send POST /v1/devices"),
    Point(AFTER, "send POST /v1/devices"),
    Point(AFTER, "read POST /v1/devices"),
    *around("INSERT INTO meta", since="read POST /v1/devices"),
]


@pytest.mark.parametrize("point", ENROL, ids=str)
def test_killed_while_it_enrols(server: ServerProcess, tmp_path: Path, point: Point):
    """The key was kept before it was used, and the code is good for it again: the account is the same."""
    commuter = Commuter(server, tmp_path / "phone")
    with reopened(commuter.folder, server) as green:
        trip = ride(green, 0)
        commuter.told[trip.id] = trip.record or b""
        green.request_code(commuter.number)
    code = server.code()
    with commuter.child() as child:
        killed(child, point, "enrol", code, CONSENTS)
    with commuter.opened_again() as green:
        account = green.enrol(code, CONSENTS)
        assert drains(green).settled == {State.ACCEPTED: 1}
        other = server.device(commuter.number)
        assert other.account == account
        assert other.get("/v1/account")["balance_mg"] == trip.reduction_mg


# A newer version of the app


def as_of_schema(file: Path, version: int) -> None:
    """Turn the file into one that an older version wrote: the same rows, as far as it had columns for them."""
    older = file.with_suffix(".older")
    with closing(sqlite3.connect(older)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        for _, script in MIGRATIONS[:version]:
            db.executescript(script)
        db.execute("ATTACH ? AS newer", (str(file),))
        for (table,) in db.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'").fetchall():
            names = ", ".join(row[1] for row in db.execute(f"PRAGMA main.table_info({table})"))
            db.execute(f"INSERT INTO main.{table} ({names}) SELECT {names} FROM newer.{table}")  # noqa: S608
        db.execute(f"PRAGMA user_version = {version}")
        db.commit()
    older.replace(file)


MIGRATE = [
    *around("CREATE TABLE likeness"),
    *around("COMMIT", since="CREATE TABLE likeness"),
    *around("ALTER TABLE queue ADD COLUMN why"),
    *around("PRAGMA user_version = 3"),
    *around("COMMIT", since="PRAGMA user_version = 3"),
]


@pytest.mark.parametrize("point", MIGRATE, ids=str)
def test_killed_while_it_migrates(commuter: Commuter, point: Point):
    as_of_schema(commuter.file, 1)
    with commuter.child(struck_at=point) as child:
        assert child.died_of() == signal.SIGKILL
    with reopened(commuter.folder, commuter.server) as green:
        assert commuter.kept(green) == commuter.told
        assert drains(green).settled == {State.ACCEPTED: RIDES}


# What the person takes back


ERASE_TRIP = [
    *around("DELETE FROM queue"),
    *around("COMMIT", since="DELETE FROM queue"),
    *around("PRAGMA wal_checkpoint(TRUNCATE)"),
]


@pytest.mark.parametrize("sent", [False, True], ids=["unsent", "sent"])
@pytest.mark.parametrize("point", ERASE_TRIP, ids=str)
def test_killed_while_it_erases_a_trip(commuter: Commuter, point: Point, sent: bool):
    erased = next(iter(commuter.told))
    with commuter.child() as child:
        if sent:
            child.call("sync", SYNC_S)
        killed(child, point, "erase_trip", erased)
    committed = point.step != "DELETE FROM queue" and point != Point(BEFORE, "COMMIT", since="DELETE FROM queue")
    with commuter.opened_again() as green:
        assert set(commuter.kept(green, but=[erased])) == set(commuter.told) - ({erased} if committed else set())
        if committed:
            commuter.leaves_nothing_of([erased])
        drains(green)


TELL = "POST /v1/trip-erasures"
TELL_ERASURE = [
    Point(BEFORE, f"send {TELL}"),
    Point(AFTER, f"send {TELL}"),
    Point(AFTER, f"read {TELL}"),
    *around("UPDATE erasure SET done = 1"),
    *around("COMMIT", since="UPDATE erasure SET done = 1"),
]


@pytest.mark.parametrize("point", TELL_ERASURE, ids=str)
def test_killed_while_it_tells_the_server_of_an_erasure(commuter: Commuter, point: Point):
    erased = next(iter(commuter.told))
    with commuter.child() as child:
        child.call("sync", SYNC_S)
        child.call("erase_trip", erased)
        killed(child, point, "sync", SYNC_S)
    with commuter.opened_again() as green:
        assert set(commuter.kept(green, but=[erased])) == set(commuter.told) - {erased}
        drains(green)
        trips = green.account().trips
        assert (trips["accepted"], trips["erased"]) == (RIDES - 1, 1)


OPT_OUT = [*around("INSERT INTO meta"), *around("COMMIT", since="INSERT INTO meta")]
ERASING_OPT_OUT = [*OPT_OUT, *around("DELETE FROM queue"), *around("PRAGMA wal_checkpoint(TRUNCATE)")]


@pytest.mark.parametrize(
    ("pending", "point"),
    [("keep", point) for point in OPT_OUT] + [("erase", point) for point in ERASING_OPT_OUT],
    ids=str,
)
def test_killed_while_the_person_opts_out(commuter: Commuter, pending: str, point: Point):
    with commuter.child() as child:
        killed(child, point, "opt_out", pending)
    with commuter.opened_again() as green:
        out, erased = green.opted_out, green.opted_out and pending == "erase"
        assert out == (point == Point(AFTER, "COMMIT", since="INSERT INTO meta") or "wal_checkpoint" in point.step)
        assert set(commuter.kept(green, but=commuter.told if erased else ())) == (
            set() if erased else set(commuter.told)
        )
        if erased:
            commuter.leaves_nothing_of(commuter.told)
        if out:
            assert (green.sync(SYNC_S).stop, green.sync(SYNC_S).requests) == (Stop.OPTED_OUT, 0)
            green.opt_in()
        drains(green)


ORDER = "POST /v1/erasure"
CERTIFIED = f"read {ORDER}"
ERASE_BEFORE = [*around("DELETE FROM queue"), Point(BEFORE, "COMMIT", since="DELETE FROM sync_note")]
ERASE_AFTER = [
    Point(AFTER, "COMMIT", since="DELETE FROM sync_note"),
    *around("VACUUM"),
    *around("PRAGMA wal_checkpoint(TRUNCATE)"),
    Point(BEFORE, f"send {ORDER}"),
    Point(AFTER, f"send {ORDER}"),
    Point(AFTER, CERTIFIED),
    *around("DELETE FROM meta WHERE name = ?", since=CERTIFIED),
    *around("COMMIT", since=CERTIFIED),
]


@pytest.mark.parametrize("point", ERASE_BEFORE, ids=str)
def test_killed_before_everything_is_erased_nothing_is(commuter: Commuter, point: Point):
    with commuter.child() as child:
        child.call("sync", SYNC_S)
        killed(child, point, "erase", SYNC_S)
    with commuter.opened_again() as green:
        assert commuter.kept(green) == commuter.told
        drains(green)


@pytest.mark.parametrize("point", ERASE_AFTER, ids=str)
def test_killed_while_everything_is_erased_the_order_still_arrives(
    commuter: Commuter, point: Point, database: Database
):
    with commuter.child() as child:
        child.call("sync", SYNC_S)
        killed(child, point, "erase", SYNC_S)
    with commuter.opened_again() as green:
        assert (green.account_id, green.trips()) == (None, [])
        commuter.leaves_nothing_of(commuter.told)
        assert not [path for path in commuter.folder.rglob("*") if path.is_file() and "sqlite3" not in path.name]
        green.sync(SYNC_S)
        assert green.sync(SYNC_S).stop is Stop.NOT_ENROLLED  # not even the order is left
    with database.read() as session:
        person = session.get(PersonAccount, UUID(commuter.account))
        assert person is not None
        assert (person.status, person.balance_mg) == (AccountStatus.ERASED, 0)
