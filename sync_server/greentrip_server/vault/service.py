"""Which account a phone number's hash belongs to: the only door to the vault's table."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import delete
from sqlmodel import Session, col, select

from greentrip_server.vault.models import Identity


def account_for(session: Session, phone_hash: str) -> UUID | None:
    """The account of a phone number's hash, or None."""
    return session.exec(select(Identity.account_id).where(Identity.phone_hash == phone_hash)).one_or_none()


def phone_hash_of(session: Session, account_id: UUID) -> str | None:
    """The phone number's hash of an account, or None when it was forgotten."""
    return session.exec(select(Identity.phone_hash).where(Identity.account_id == account_id)).one_or_none()


def forget(session: Session, account_id: UUID) -> None:
    """Untie an account from its person, for ever."""
    session.execute(delete(Identity).where(col(Identity.account_id) == account_id))


def bind(session: Session, phone_hash: str, account_id: UUID) -> None:
    """Tie a phone number's hash to a new account. Raises IntegrityError when either is tied already."""
    session.add(Identity(phone_hash=phone_hash, account_id=account_id))
    session.flush()
