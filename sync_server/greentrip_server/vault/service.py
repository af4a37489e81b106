"""Which account a phone number's hash belongs to: the only door to the vault's table."""

from __future__ import annotations

from uuid import UUID

from sqlmodel import Session, select

from greentrip_server.vault.models import Identity


def account_for(session: Session, phone_hash: str) -> UUID | None:
    """The account of a phone number's hash, or None."""
    return session.exec(select(Identity.account_id).where(Identity.phone_hash == phone_hash)).one_or_none()


def bind(session: Session, phone_hash: str, account_id: UUID) -> None:
    """Tie a phone number's hash to a new account. Raises IntegrityError when either is tied already."""
    session.add(Identity(phone_hash=phone_hash, account_id=account_id))
    session.flush()
