"""The ledger: credits, statements, and the check that finds what does not add up."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import exc, func, select, text
from sqlmodel import Session

from greentrip_server.checks.outcome import Status
from greentrip_server.db import Database, hour_of, upgrade
from greentrip_server.enrolment.models import PersonAccount
from greentrip_server.errors import Problem
from greentrip_server.ledger.models import Posting, Transfer, Unit
from greentrip_server.ledger.service import (
    Book,
    Credit,
    balance,
    check,
    credit_trips,
    lock_account,
    statement,
)
from support.stored import credit_trip, stored_trip

MG_MAX = 10**12  # what a record may say


def correct(session: Session, account_id: UUID, trip_id: UUID, mg: int, now: datetime) -> None:
    """Post a correction of a trip's credit by `mg`, as a later domain will."""
    account = lock_account(session, account_id)
    first = session.execute(select(Transfer).where(Transfer.trip_id == trip_id)).scalars().one()
    numbers = select(func.max(Transfer.number)).where(Transfer.account_id == account_id)
    transfer = Transfer(
        account_id=account_id,
        number=session.execute(numbers).scalar_one() + 1,
        kind="correction",
        unit=Unit.MG,
        trip_id=trip_id,
        corrects=first.id,
        created_at=now,
    )
    session.add(transfer)
    session.flush()
    for line, (book, amount) in enumerate([(Book.PERSON, mg), (Book.RECOGNISED, -mg)]):
        session.add(Posting(account_id=account_id, transfer_id=transfer.id, line=line, book=book, amount=amount))
    account.balance_mg += mg


def test_a_credit_is_two_postings_and_the_balance(database: Database, account_id: UUID, now: datetime):
    with database.write() as session:
        trip_id = stored_trip(session, account_id, 2_517_000, now)
        credit_trip(session, account_id, trip_id, 2_517_000, now)
    with database.read() as session:
        assert balance(session, account_id) == 2_517_000
        [transfer] = session.execute(select(Transfer)).scalars()
        postings = session.execute(select(Posting).order_by(Posting.line)).scalars().all()
        assert check(session).ok
    assert (transfer.kind, transfer.unit, transfer.trip_id, transfer.number) == ("trip", Unit.MG, trip_id, 1)
    assert [(posting.book, posting.amount) for posting in postings] == [
        ("person", 2_517_000),
        ("programme:recognised", -2_517_000),
    ]


def test_an_entry_keeps_only_the_hour(database: Database, account_id: UUID, now: datetime):
    with database.write() as session:
        credit_trip(session, account_id, stored_trip(session, account_id, 1, now), 1, now)
    with database.read() as session:
        [entry] = statement(session, account_id).entries
    assert now != hour_of(now)
    assert entry.at == hour_of(now)


def test_nothing_is_posted_for_nothing(database: Database, account_id: UUID, now: datetime):
    with database.write() as session:
        credit_trip(session, account_id, stored_trip(session, account_id, 0, now), 0, now)
    with database.read() as session:
        assert statement(session, account_id).entries == ()
        assert check(session).ok


def test_a_trip_is_credited_once(database: Database, account_id: UUID, now: datetime):
    with database.write() as session:
        trip_id = stored_trip(session, account_id, 5, now)
        credit_trip(session, account_id, trip_id, 5, now)

    def again() -> None:
        with database.write() as session:
            credit_trip(session, account_id, trip_id, 5, now)

    with pytest.raises(exc.IntegrityError):
        again()
    with database.read() as session:
        assert balance(session, account_id) == 5


def test_a_negative_credit_is_a_mistake(database: Database, account_id: UUID, now: datetime):
    with database.read() as session, pytest.raises(ValueError, match="never earns less"):
        credit_trip(session, account_id, uuid4(), -1, now)


def test_an_unknown_account_has_nothing(database: Database, now: datetime):
    with database.write() as session:
        for ask in (balance, lock_account):
            with pytest.raises(Problem, match="not_found"):
                ask(session, uuid4())
        assert statement(session, uuid4()).entries == ()


def test_locking_does_not_lose_what_was_changed_before(database: Database, account_id: UUID):
    with database.write() as session:
        lock_account(session, account_id).balance_mg = 7
        assert lock_account(session, account_id).balance_mg == 7


def test_credits_at_once_are_all_counted(database: Database, account_id: UUID, now: datetime):
    with database.write() as session:
        trips = [stored_trip(session, account_id, 10, now) for _ in range(24)]

    def credit(trip_id: UUID) -> None:
        with database.write() as session:
            credit_trip(session, account_id, trip_id, 10, now)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(credit, trips))
    with database.read() as session:
        assert balance(session, account_id) == 240
        assert [entry.number for entry in statement(session, account_id).entries] == list(range(1, 25))
        assert check(session).ok


def test_a_statement_is_read_page_by_page(database: Database, account_id: UUID, now: datetime):
    amounts = list(range(1, 8))
    with database.write() as session:
        credit_trips(
            session, account_id, [Credit(stored_trip(session, account_id, mg, now), mg) for mg in amounts], now
        )
    read: list[int] = []
    after: int | None = 0
    pages = 0
    with database.read() as session:
        while after is not None:
            page = statement(session, account_id, after, limit=3)
            read += [entry.amount for entry in page.entries]
            after = page.next_after
            pages += 1
    assert read == amounts
    assert pages == 3


def test_a_statement_shows_corrections(database: Database, account_id: UUID, now: datetime):
    with database.write() as session:
        trip_id = stored_trip(session, account_id, 100, now)
        credit_trip(session, account_id, trip_id, 100, now)
        correct(session, account_id, trip_id, -30, now)
        session.execute(text("UPDATE trip SET official_mg = 70"))
    with database.read() as session:
        first, second = statement(session, account_id).entries
        assert (first.amount, second.amount, second.corrects) == (100, -30, first.transfer_id)
        report = check(session)
    assert report.ok
    assert (report.person_mg, report.recognised_mg, report.transfers, report.accounts) == (70, 70, 2, 1)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_any_credits_add_up(kind: str, request: pytest.FixtureRequest, tmp_path_factory, now: datetime):
    # One database for all examples: each begins with accounts of its own.
    if kind == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('ledger')}/a.sqlite3"
    else:
        server = request.getfixturevalue("postgres_server")
        server.start()
        url = server.url(server.create_database())
    database = Database(url)
    upgrade(database)
    trips = st.tuples(st.integers(0, MG_MAX), st.sampled_from(Status))

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(st.lists(trips, max_size=12), min_size=1, max_size=3))
    def add_up(people: list[list[tuple[int, Status]]]) -> None:
        with database.write() as session:
            for trips_of_person in people:
                account = PersonAccount(id=uuid4(), created_at=now)
                session.add(account)
                session.flush()
                ids = [stored_trip(session, account.id, mg, now, status) for mg, status in trips_of_person]
                earned = [
                    Credit(trip_id, mg)
                    for trip_id, (mg, status) in zip(ids, trips_of_person, strict=True)
                    if status is Status.ACCEPTED
                ]
                credit_trips(session, account.id, earned, now)
                assert balance(session, account.id) == sum(credit.mg for credit in earned)
            report = check(session)
            assert report.ok, report
            assert report.person_mg == report.recognised_mg

    add_up()
    database.close()


# --- what the check finds --------------------------------------------------------------------------------------------


def one_sided(session: Session, account_id: UUID, now: datetime) -> None:
    trip_id = stored_trip(session, account_id, 5, now)
    transfer = Transfer(account_id=account_id, number=1, kind="trip", unit=Unit.MG, trip_id=trip_id, created_at=now)
    session.add(transfer)
    session.flush()
    session.add(Posting(account_id=account_id, transfer_id=transfer.id, line=0, book=Book.PERSON, amount=5))
    lock_account(session, account_id).balance_mg += 5


def empty(session: Session, account_id: UUID, now: datetime) -> None:
    session.add(Transfer(account_id=account_id, number=1, kind="x", unit=Unit.MG, created_at=now))


def wrong_balance(session: Session, account_id: UUID, now: datetime) -> None:
    lock_account(session, account_id).balance_mg += 1


def not_credited(session: Session, account_id: UUID, now: datetime) -> None:
    stored_trip(session, account_id, 5, now)
    stored_trip(session, account_id, 6, now)


def credited_wrongly(session: Session, account_id: UUID, now: datetime) -> None:
    credit_trip(session, account_id, stored_trip(session, account_id, 5, now), 6, now)


def credited_though_held(session: Session, account_id: UUID, now: datetime) -> None:
    credit_trip(session, account_id, stored_trip(session, account_id, 5, now, Status.HELD), 5, now)


@pytest.mark.parametrize(
    ("damage", "rule", "count"),
    [
        (one_sided, "add up to 0", 1),
        (empty, "add up to 0", 1),
        (wrong_balance, "every balance", 1),
        (not_credited, "accepted trips", 2),
        (credited_wrongly, "accepted trips", 1),
        (credited_though_held, "accepted trips", 1),
    ],
)
def test_the_check_finds(
    database: Database,
    account_id: UUID,
    now: datetime,
    damage: Callable[[Session, UUID, datetime], None],
    rule: str,
    count: int,
):
    with database.write() as session:
        damage(session, account_id, now)
    with database.read() as session:
        report = check(session)
    assert not report.ok
    [finding] = report.findings
    assert rule in finding.rule
    assert finding.count == count
    assert str(account_id) in finding.first
