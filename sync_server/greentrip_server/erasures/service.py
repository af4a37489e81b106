"""Erasing: single trips, and whole accounts by an order that needs no living device. No HTTP, no commit.

What is left of an erased trip is its id, its hash and when it came: enough that the same bytes never count again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy import delete, func, update
from sqlmodel import Session, col, select

from greentrip.wire import sha256_hex
from greentrip_server.checks.outcome import Status
from greentrip_server.db import hour_of, insert_new
from greentrip_server.enrolment.models import AccountStatus, Device
from greentrip_server.enrolment.service import end_account, forget_person
from greentrip_server.erasures.journal import ErasedAccount, Journal
from greentrip_server.erasures.models import AccountErasure, TripErasure
from greentrip_server.errors import too_many
from greentrip_server.ledger.service import cancel_credits, lock_account, lock_account_in_use
from greentrip_server.notices.models import Notice, NoticeKind
from greentrip_server.notices.service import News, notify
from greentrip_server.sync.models import BLANKED_WHEN_ERASED, SyncRequest, Trip, TripBytes

_log = structlog.get_logger(__name__)

ERASURES_A_CALL_MAX = 500
ORDERS_AN_ACCOUNT_MAX = 64
"""Each phone of a person signs one; a thief of a key shall not fill the table."""
ORDERS_WAIT_S = 86_400


def erased_among(session: Session, account_id: UUID, ids: Collection[UUID]) -> set[UUID]:
    """Those of the ids that the person erased."""
    if not ids:
        return set()
    erased = select(TripErasure.trip_id).where(TripErasure.account_id == account_id, col(TripErasure.trip_id).in_(ids))
    return set(session.exec(erased))


def erase_trips(session: Session, account_id: UUID, ids: Collection[UUID], at: datetime) -> list[UUID]:
    """Erase trips of the account, whether they came already or not; all ids, sorted. Raises `device_ended`.

    Idempotent. At most ERASURES_A_CALL_MAX ids.
    """
    lock_account_in_use(session, account_id)
    rows = [{"account_id": account_id, "trip_id": one, "received_hour": hour_of(at)} for one in set(ids)]
    new = sorted(row.trip_id for row in insert_new(session, TripErasure, rows))
    hashes = _blank(session, account_id, new, at)
    notify(session, account_id, [_news(one, hashes.get(one)) for one in new], at)
    return sorted(set(ids))


@dataclass(frozen=True, slots=True)
class Order:
    """A verified erasure order: the device that signed it, and the JWS as it came."""

    device: Device
    jws: str


@dataclass(frozen=True, slots=True)
class Certifier:
    """How certificates are signed. `trusted(kid)`: whether phones still believe what that online key signed."""

    kid: str
    sign: Callable[[], str]
    trusted: Callable[[str], bool]


def erase_account(session: Session, order: Order, certifier: Certifier, journal: Journal, at: datetime) -> str:
    """Carry out an order; the certificate, for ever the same one for the same order.

    Only when the key that signed it left the key list is it signed anew: no phone would believe the old one.
    Raises `too_many` for ever new orders, `unavailable` when the journal cannot be written.
    """
    account_id, digest = order.device.account_id, sha256_hex(order.jws.encode())
    end_person(session, account_id, at)
    kept = session.get(AccountErasure, (account_id, digest))
    if kept is not None and certifier.trusted(kept.kid):
        return kept.certificate
    if kept is None:
        _check_orders(session, account_id)
    made = AccountErasure(
        account_id=account_id,
        order_sha256=digest,
        device_id=order.device.id,
        kid=certifier.kid,
        certificate=certifier.sign(),
    )
    session.merge(made)
    session.flush()
    # Before the commit: one that fails then is made up for at the next start. After it, a crash could lose the line.
    journal.append(ErasedAccount(account_id, digest, certifier.kid, hour_of(at)))
    _log.info("account erased", order=digest, by="device")
    return made.certificate


def erase_for_staff(session: Session, account_id: UUID, why: str, journal: Journal, at: datetime) -> bool:
    """Erase an account whose person has no key left to order it with. False when it was erased already.

    Raises `not_found`, and `unavailable` when the journal cannot be written.
    """
    if not end_person(session, account_id, at):
        return False
    erased = ErasedAccount.by_staff(account_id, why, at)
    journal.append(erased)
    _log.info("account erased", order=erased.order_sha256, by="staff")
    return True


def end_person(session: Session, account_id: UUID, at: datetime) -> bool:
    """Erase all that an account has and end it. False when it was erased already. Raises `not_found`."""
    # Before the account's lock, and in this order, as enrolment does it: nobody waits for somebody who waits for them.
    forget_person(session, account_id)
    account = lock_account(session, account_id)
    if account.status is AccountStatus.ERASED:
        return False
    _erase_everything(session, account_id, at)
    end_account(session, account, at)
    return True


def _erase_everything(session: Session, account_id: UUID, at: datetime) -> None:
    """All trips of an account and what was told about them, in steps that a database takes at once."""
    living = select(Trip.id).where(Trip.account_id == account_id, Trip.status != Status.ERASED).order_by(col(Trip.id))
    ids = session.exec(living).all()
    for start in range(0, len(ids), ERASURES_A_CALL_MAX):
        _blank(session, account_id, ids[start : start + ERASURES_A_CALL_MAX], at)
    session.execute(delete(Notice).where(col(Notice.account_id) == account_id))
    # Who brought them, and the second of each call: evidence of records that are no more.
    session.execute(delete(SyncRequest).where(col(SyncRequest.account_id) == account_id))


def _blank(session: Session, account_id: UUID, ids: Sequence[UUID], at: datetime) -> dict[UUID, str]:
    """Take from those of the trips that are there their credit, their bytes and all about the way; their hashes."""
    here = (col(Trip.account_id) == account_id, col(Trip.id).in_(ids))
    hashes = dict(session.exec(select(Trip.id, Trip.line_sha256).where(*here)).all())
    cancel_credits(session, account_id, list(hashes), at)
    bytes_here = (col(TripBytes.account_id) == account_id, col(TripBytes.trip_id).in_(ids))
    session.execute(delete(TripBytes).where(*bytes_here))
    nothing = dict.fromkeys(BLANKED_WHEN_ERASED) | {"official_methodology": None, "held_until": None}
    erased = {"status": Status.ERASED, "official_mg": 0, "rules": []}
    session.execute(update(Trip).where(*here).values(**nothing, **erased))
    return hashes


def _news(trip_id: UUID, line_sha256: str | None) -> News:
    return News(NoticeKind.ERASURE, trip_id, Status.ERASED, line_sha256)


def _check_orders(session: Session, account_id: UUID) -> None:
    count = select(func.count()).select_from(AccountErasure).where(AccountErasure.account_id == account_id)
    if session.exec(count).one() >= ORDERS_AN_ACCOUNT_MAX:
        raise too_many(ORDERS_WAIT_S)
