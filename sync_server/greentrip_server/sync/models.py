"""Tables: trips, their exact bytes, and what was signed when they came in."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Date,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Text,
    Uuid,
)
from sqlmodel import Field

from greentrip_server.checks.outcome import Status
from greentrip_server.db import PARTITIONED, Model, UtcHour, json_column, words

BLANKED_WHEN_ERASED = (
    "day",
    "slot",
    "province",
    "commitment",
    "methodology",
    "phone_mg",
    "features_sha256",
    "duration_low_min",
)
"""The columns that an erased trip has lost. The database holds that it has lost all of them, and no other trip any."""


class Trip(Model, table=True):
    """One trip as the server knows it. Account and id together are its name, for ever.

    An erased trip keeps them, its hash and when it came: enough to know its bytes again, and nothing about the way.
    """

    __tablename__ = "trip"
    __table_args__ = (
        CheckConstraint("slot BETWEEN 0 AND 47", "slot_of_a_day"),
        CheckConstraint("phone_mg >= 0", "phone_mg_not_negative"),
        CheckConstraint("official_mg >= 0", "official_mg_not_negative"),
        CheckConstraint(
            " AND ".join(f"(status = 'erased') = ({column} IS NULL)" for column in BLANKED_WHEN_ERASED),
            "erased_is_blank",
        ),
        Index(None, "account_id", "day"),
        Index(None, "account_id", "received_month"),
        Index(None, "account_id", "line_sha256"),
        PARTITIONED,
    )

    account_id: UUID = Field(sa_type=Uuid, foreign_key="person_account.id", primary_key=True)
    id: UUID = Field(sa_type=Uuid, primary_key=True)
    device_id: str = Field(sa_type=String(43))
    day: date | None = Field(sa_type=Date)
    """The local day (UTC+8) of the start."""
    slot: int | None = Field(sa_type=SmallInteger)
    """The half-hour of the start, 0..47."""
    province: int | None = Field(sa_type=SmallInteger)
    received_hour: datetime = Field(sa_type=UtcHour)
    received_month: str = Field(sa_type=String(7))
    """The UTC month of arrival, YYYY-MM: what /v1/sync-state counts by."""
    line_sha256: str = Field(sa_type=String(64))
    commitment: str | None = Field(sa_type=String(64))
    methodology: str | None = Field(sa_type=String(81))
    """By which the phone computed, `id@hash16`."""
    official_methodology: str | None = Field(default=None, sa_type=String(81))
    """By which the server computed; None when none was in force."""
    phone_mg: int | None = Field(sa_type=BigInteger)
    official_mg: int = Field(sa_type=BigInteger)
    status: Status = Field(sa_type=words(Status))
    """A conflict is answered and noted (`TripConflict`), but changes nothing here: the first bytes stay."""
    rules: list[dict[str, Any]] = Field(default_factory=list, sa_type=json_column())
    """What the rules had to say, as in the protocol's results (`checks.outcome.Outcome.to_json`)."""
    held_until: date | None = Field(default=None, sa_type=Date)
    features_sha256: str | None = Field(sa_type=String(64), index=True)
    """Hash of canonical day, slot, legs and features: finds the same trip in other accounts."""
    duration_low_min: int | None = Field(sa_type=Integer)
    """The least whole minutes that the trip took, since legs' minutes are rounded up."""


class TripBytes(Model, table=True):
    """A record's bytes as they came. A row can be erased alone; the trip keeps their hash."""

    __tablename__ = "trip_bytes"
    __table_args__ = (
        ForeignKeyConstraint(["account_id", "trip_id"], ["trip.account_id", "trip.id"]),
        PARTITIONED,
    )

    account_id: UUID = Field(sa_type=Uuid, primary_key=True)
    trip_id: UUID = Field(sa_type=Uuid, primary_key=True)
    line: bytes = Field(sa_type=LargeBinary)


class SyncRequest(Model, table=True):
    """Evidence of what a device signed and what the server answered: once for each different answer."""

    __tablename__ = "sync_request"
    __table_args__ = (PARTITIONED,)

    account_id: UUID = Field(sa_type=Uuid, foreign_key="person_account.id", primary_key=True)
    digest: str = Field(sa_type=String(64), primary_key=True)
    """The request's digest as signed: SHA-256 over its line hashes."""
    result_digest: str = Field(sa_type=String(64), primary_key=True)
    """The answer's, as in its receipt: a repeat may be answered differently, when a trip is no longer held."""
    device_id: str = Field(sa_type=String(43))
    jws: str = Field(sa_type=Text)
    line_hashes: list[str] = Field(sa_type=json_column())
    received_hour: datetime = Field(sa_type=UtcHour)


class TripConflict(Model, table=True):
    """Other bytes that came under the id of a stored trip. They are not kept: staff see two hashes and a device."""

    __tablename__ = "trip_conflict"
    __table_args__ = (
        ForeignKeyConstraint(["account_id", "trip_id"], ["trip.account_id", "trip.id"]),
        PARTITIONED,
    )

    account_id: UUID = Field(sa_type=Uuid, primary_key=True)
    trip_id: UUID = Field(sa_type=Uuid, primary_key=True)
    line_sha256: str = Field(sa_type=String(64), primary_key=True)
    """Of the bytes that were refused; the trip has that of the bytes that stay."""
    device_id: str = Field(sa_type=String(43))
    received_hour: datetime = Field(sa_type=UtcHour)
    """When they first came."""
