"""The ledger: credits, balances, statements, and the check that it all adds up.

Every transfer is double-entry: its postings add up to 0. Whoever posts holds the account's lock, and keeps the cached
balance equal to the sum of the person's postings. Nothing here commits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Select, and_, case, func, insert, or_, select
from sqlmodel import Session, col

from greentrip_server.checks.outcome import Status
from greentrip_server.db import hour_of
from greentrip_server.enrolment.models import AccountStatus, PersonAccount
from greentrip_server.errors import device_ended, not_found
from greentrip_server.ledger.models import Posting, Transfer, Unit
from greentrip_server.sync.models import Trip

STATEMENT_ENTRIES_MAX = 200

Question = Select[*tuple[Any, ...]]


class Book(StrEnum):
    """The books that postings go to."""

    PERSON = "person"
    """What the person has."""
    RECOGNISED = "programme:recognised"
    """Where credited reductions come from; minus its sum is all that was ever recognised."""


class TransferKind(StrEnum):
    """What a transfer is for."""

    TRIP = "trip"
    """The credit of an accepted trip."""
    TRIP_ERASURE = "trip_erasure"
    """Takes back the credit of a trip that its person erased."""


@dataclass(frozen=True, slots=True)
class Credit:
    """What one trip earned, in mg."""

    trip_id: UUID
    mg: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a person's statement. `amount` is signed and in `unit`; `number` counts from 1 and is the cursor.

    `balance` is what the person has in that unit after it.
    """

    number: int
    transfer_id: UUID
    kind: str
    unit: Unit
    amount: int
    balance: int
    trip_id: UUID | None
    corrects: UUID | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Statement:
    """A page of a person's entries, oldest first. `next_after` is the cursor of the next page, None on the last."""

    entries: tuple[Entry, ...]
    next_after: int | None


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule that the ledger breaks: how often, and where first."""

    rule: str
    count: int
    first: str


@dataclass(frozen=True, slots=True)
class LedgerReport:
    """What `check` found. `person_mg` is what all people have, `recognised_mg` what was ever credited to them, net."""

    accounts: int
    transfers: int
    person_mg: int
    recognised_mg: int
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        return not self.findings


def lock_account(session: Session, account_id: UUID) -> PersonAccount:
    """The account's row, held until the transaction ends and as it is now. Raises `not_found`.

    Lock several accounts in the order of their ids, or two transactions may wait for each other.
    """
    session.flush()  # what was changed here but not yet written would be read over
    # On SQLite FOR UPDATE is left out, and the write transaction excludes everybody else.
    account = session.get(PersonAccount, account_id, with_for_update=True, populate_existing=True)
    if account is None:
        raise not_found("account", "账户")
    return account


def lock_account_in_use(session: Session, account_id: UUID) -> PersonAccount:
    """`lock_account` for a device's call. Raises `device_ended` when the account was erased since the call began."""
    account = lock_account(session, account_id)
    if account.status is AccountStatus.ERASED:
        raise device_ended()
    return account


def balance(session: Session, account_id: UUID) -> int:
    """The person's reduction in mg. Raises `not_found`."""
    of_account = select(col(PersonAccount.balance_mg)).where(col(PersonAccount.id) == account_id)
    found: int | None = session.execute(of_account).scalar()
    if found is None:
        raise not_found("account", "账户")
    return found


def credit_trips(session: Session, account_id: UUID, credits: Sequence[Credit], at: datetime) -> None:
    """Credit accepted trips to their person: from what is recognised to what the person has. 0 mg posts nothing.

    The trips must be stored (flushed) before. Raises IntegrityError when one was credited already, ValueError for a
    negative amount. Of `at` only the hour is kept: the entry must not tell more than the trip does.
    """
    if any(credit.mg < 0 for credit in credits):
        raise ValueError("a trip never earns less than 0 mg")
    earned = [credit for credit in credits if credit.mg]
    if not earned:
        return
    _post(session, account_id, [_Movement(TransferKind.TRIP, one.trip_id, one.mg) for one in earned], at)


def cancel_credits(session: Session, account_id: UUID, trip_ids: Sequence[UUID], at: datetime) -> None:
    """Take back what these trips brought, each by a transfer that names the one that it corrects.

    Idempotent: what was taken back already is not taken back again. Trips that brought nothing are left alone.
    """
    credits = (
        select(col(Transfer.id), col(Transfer.trip_id), col(Posting.amount))
        .join(Posting, _of_transfer())
        .where(_of_person(), col(Transfer.account_id) == account_id, col(Transfer.kind) == TransferKind.TRIP)
        .where(col(Transfer.trip_id).in_(trip_ids), col(Transfer.id).not_in(_corrected(account_id)))
        .order_by(col(Transfer.number))
    )
    cancelled = [
        _Movement(TransferKind.TRIP_ERASURE, trip_id, -amount, corrects=transfer_id)
        for transfer_id, trip_id, amount in session.execute(credits)
    ]
    if cancelled:
        _post(session, account_id, cancelled, at)


def statement(session: Session, account_id: UUID, after: int = 0, limit: int = STATEMENT_ENTRIES_MAX) -> Statement:
    """The person's entries with a number above `after`, at most `limit` (1 to STATEMENT_ENTRIES_MAX)."""
    limit = max(1, min(limit, STATEMENT_ENTRIES_MAX))
    rows = session.execute(
        select(Transfer, func.sum(col(Posting.amount)))
        .join(Posting, _of_transfer())
        .where(col(Transfer.account_id) == account_id, col(Transfer.number) > after, _of_person())
        .group_by(*(column for column in Transfer.__table__.columns))  # type: ignore[attr-defined]
        .order_by(col(Transfer.number))
        .limit(limit + 1)
    ).all()
    balances = {unit: _balance_until(session, account_id, unit, after) for unit in Unit}
    entries = []
    for transfer, amount in rows[:limit]:
        balances[transfer.unit] += int(amount)
        entries.append(_entry(transfer, int(amount), balances[transfer.unit]))
    return Statement(tuple(entries), entries[-1].number if len(rows) > limit else None)


def check(session: Session) -> LedgerReport:
    """Whether the whole ledger adds up. Reads everything: give it `database.read(timeout_s=...)`."""
    findings = (
        _finding(session, "every transfer has postings that add up to 0", _unbalanced()),
        _finding(session, "every balance is the sum of its postings", _wrong_balances()),
        _finding(session, "accepted trips are credited with their mg, others with nothing", _wrong_credits()),
    )
    return LedgerReport(
        accounts=_number(session, select(func.count()).select_from(PersonAccount)),
        transfers=_number(session, select(func.count()).select_from(Transfer)),
        person_mg=_number(session, _sum_of(Book.PERSON)),
        recognised_mg=-_number(session, _sum_of(Book.RECOGNISED)),
        findings=tuple(finding for finding in findings if finding is not None),
    )


@dataclass(frozen=True, slots=True)
class _Movement:
    """A transfer to be made: so many mg to the person (+) or from the person (-)."""

    kind: TransferKind
    trip_id: UUID
    mg: int
    corrects: UUID | None = None


def _post(session: Session, account_id: UUID, movements: Sequence[_Movement], at: datetime) -> None:
    account = lock_account(session, account_id)
    first = _next_number(session, account_id)
    transfers = [
        {
            "account_id": account_id,
            "id": uuid4(),
            "number": first + index,
            "kind": movement.kind,
            "unit": Unit.MG,
            "trip_id": movement.trip_id,
            "corrects": movement.corrects,
            "created_at": hour_of(at),
        }
        for index, movement in enumerate(movements)
    ]
    postings = [
        {"account_id": account_id, "transfer_id": transfer["id"], "line": line, "book": book, "amount": amount}
        for transfer, movement in zip(transfers, movements, strict=True)
        for line, (book, amount) in enumerate([(Book.PERSON, movement.mg), (Book.RECOGNISED, -movement.mg)])
    ]
    session.execute(insert(Transfer), transfers)
    session.execute(insert(Posting), postings)
    account.balance_mg += sum(movement.mg for movement in movements)
    session.flush()


def _corrected(account_id: UUID) -> Question:
    """The ids of the account's transfers that another one corrects."""
    return select(col(Transfer.corrects)).where(
        col(Transfer.account_id) == account_id, col(Transfer.corrects).is_not(None)
    )


def _next_number(session: Session, account_id: UUID) -> int:
    newest = select(func.max(col(Transfer.number))).where(col(Transfer.account_id) == account_id)
    return _number(session, newest) + 1


def _balance_until(session: Session, account_id: UUID, unit: Unit, number: int) -> int:
    """The sum of the person's postings in a unit up to an entry."""
    return _number(
        session,
        select(func.sum(col(Posting.amount)))
        .join(Transfer, _of_transfer())
        .where(col(Transfer.account_id) == account_id, col(Transfer.unit) == unit, _of_person())
        .where(col(Transfer.number) <= number),
    )


def _entry(transfer: Transfer, amount: int, balance_after: int) -> Entry:
    return Entry(
        number=transfer.number,
        transfer_id=transfer.id,
        kind=transfer.kind,
        unit=transfer.unit,
        amount=amount,
        balance=balance_after,
        trip_id=transfer.trip_id,
        corrects=transfer.corrects,
        at=transfer.created_at,
    )


# --- the check's questions: each selects what is wrong, its names first -----------------------------------------------


def _of_transfer() -> Any:  # noqa: ANN401 - SQLAlchemy's conditions
    same_account = col(Posting.account_id) == col(Transfer.account_id)
    return and_(same_account, col(Posting.transfer_id) == col(Transfer.id))


def _of_person() -> Any:  # noqa: ANN401
    return col(Posting.book) == Book.PERSON


def _sum_of(book: Book) -> Question:
    return (
        select(func.sum(col(Posting.amount)))
        .join(Transfer, _of_transfer())
        .where(col(Posting.book) == book, col(Transfer.unit) == Unit.MG)
    )


def _unbalanced() -> Question:
    total = func.sum(col(Posting.amount))
    return (
        select(col(Transfer.account_id), col(Transfer.id), total.label("total"))
        .outerjoin(Posting, _of_transfer())
        .group_by(col(Transfer.account_id), col(Transfer.id))
        .having(or_(total.is_(None), total != 0))
    )


def _wrong_balances() -> Question:
    sums = _person_sums(col(Transfer.account_id)).subquery()
    expected = func.coalesce(sums.c.mg, 0)
    return (
        select(col(PersonAccount.id), col(PersonAccount.balance_mg), expected.label("expected_mg"))
        .outerjoin(sums, sums.c.account_id == col(PersonAccount.id))
        .where(col(PersonAccount.balance_mg) != expected)
    )


def _wrong_credits() -> Question:
    # Corrections count too: what a trip brought in the end is what it is worth now.
    sums = _person_sums(col(Transfer.account_id), col(Transfer.trip_id)).subquery()
    credited = func.coalesce(sums.c.mg, 0)
    worth = case((col(Trip.status) == Status.ACCEPTED, col(Trip.official_mg)), else_=0)
    return (
        select(col(Trip.account_id), col(Trip.id), worth.label("worth_mg"), credited.label("credited_mg"))
        .outerjoin(sums, and_(sums.c.account_id == col(Trip.account_id), sums.c.trip_id == col(Trip.id)))
        .where(worth != credited)
    )


def _person_sums(*by: Any) -> Question:  # noqa: ANN401
    return (
        select(*by, func.sum(col(Posting.amount)).label("mg"))
        .join(Posting, _of_transfer())
        .where(_of_person(), col(Transfer.unit) == Unit.MG)
        .group_by(*by)
    )


def _finding(session: Session, rule: str, wrong: Question) -> Finding | None:
    count = _number(session, select(func.count()).select_from(wrong.subquery()))
    if not count:
        return None
    names = list(wrong.selected_columns)
    row = session.execute(wrong.order_by(*names[:2]).limit(1)).one()
    return Finding(rule, count, _name_row(names, row))


def _name_row(columns: Sequence[Any], row: Iterable[object]) -> str:
    return ", ".join(f"{column.key}={value}" for column, value in zip(columns, row, strict=True))


def _number(session: Session, question: Question) -> int:
    # PostgreSQL adds up integers into a Decimal, and nothing into NULL.
    return int(session.execute(question).scalar() or 0)
