"""Tables: transfers and their postings. The database itself refuses to change or delete them."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid4

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKeyConstraint,
    Index,
    SmallInteger,
    String,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlmodel import Field

from greentrip_server.db import PARTITIONED, Model, Utc, words


class Unit(StrEnum):
    """What a transfer moves: milligrams of CO2 reduction, or fen."""

    MG = "mg"
    FEN = "fen"


class Transfer(Model, table=True):
    """One movement in an account: two or more postings that add up to 0."""

    __tablename__ = "transfer"
    __table_args__ = (
        ForeignKeyConstraint(["account_id", "trip_id"], ["trip.account_id", "trip.id"]),
        ForeignKeyConstraint(["account_id", "corrects"], ["transfer.account_id", "transfer.id"]),
        UniqueConstraint("account_id", "number"),
        # A trip is credited once; whatever changes that later names the transfer that it corrects.
        Index(
            "uq_transfer_once_a_trip",
            "account_id",
            "trip_id",
            "kind",
            unique=True,
            postgresql_where=text("corrects IS NULL"),
            sqlite_where=text("corrects IS NULL"),
        ),
        # And nothing takes a transfer back twice.
        Index(
            "uq_transfer_corrected_once",
            "account_id",
            "corrects",
            "kind",
            unique=True,
            postgresql_where=text("corrects IS NOT NULL"),
            sqlite_where=text("corrects IS NOT NULL"),
        ),
        PARTITIONED,
    )

    account_id: UUID = Field(sa_type=Uuid, foreign_key="person_account.id", primary_key=True)
    id: UUID = Field(default_factory=uuid4, sa_type=Uuid, primary_key=True)
    number: int = Field(sa_type=BigInteger)
    """Counts the account's transfers from 1: the order of its statement. Drawn under the account's lock."""
    kind: str = Field(sa_type=String(32))
    unit: Unit = Field(sa_type=words(Unit))
    trip_id: UUID | None = Field(default=None, sa_type=Uuid)
    corrects: UUID | None = Field(default=None, sa_type=Uuid)
    created_at: datetime = Field(sa_type=Utc)


class Posting(Model, table=True):
    """One line of a transfer: an amount into (+) or out of (-) a book, in the transfer's unit."""

    __tablename__ = "posting"
    __table_args__ = (
        ForeignKeyConstraint(["account_id", "transfer_id"], ["transfer.account_id", "transfer.id"]),
        CheckConstraint("amount <> 0", "amount_not_zero"),
        PARTITIONED,
    )

    account_id: UUID = Field(sa_type=Uuid, primary_key=True)
    transfer_id: UUID = Field(sa_type=Uuid, primary_key=True)
    line: int = Field(sa_type=SmallInteger, primary_key=True)
    book: str = Field(sa_type=String(64))
    amount: int = Field(sa_type=BigInteger)
