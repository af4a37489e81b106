"""Table: notices, counted in each account."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, String, Uuid
from sqlmodel import Field

from greentrip_server.db import PARTITIONED, Model, UtcHour, words


class NoticeKind(StrEnum):
    """What happened to a trip."""

    DECISION = "decision"
    """A held trip is held no longer: `status` says what became of it."""
    ERASURE = "erasure"
    """The person erased it, perhaps on another phone."""
    CONFLICT = "conflict"
    """Other bytes came under its id; they were refused, and staff see it."""


class Notice(Model, table=True):
    """One thing that happened to a trip after the phone had its result."""

    __tablename__ = "notice"
    __table_args__ = (PARTITIONED,)

    account_id: UUID = Field(sa_type=Uuid, foreign_key="person_account.id", primary_key=True)
    number: int = Field(sa_type=BigInteger, primary_key=True)
    """Counts the account's notices from 1, without gaps: drawn under the account's lock."""
    at: datetime = Field(sa_type=UtcHour)
    kind: NoticeKind = Field(sa_type=words(NoticeKind))
    trip_id: UUID = Field(sa_type=Uuid)
    status: str = Field(sa_type=String(16))
    """As in the protocol's results."""
    line_sha256: str | None = Field(default=None, sa_type=String(64))
    """Of the bytes that it is about: what a phone settles by. None for a trip that never came."""
