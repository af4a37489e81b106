"""Tables: accounts of people, enrolments under way, devices, consents."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, CheckConstraint, Index, LargeBinary, SmallInteger, String, Uuid, text
from sqlmodel import Field

from greentrip_server.db import Model, Utc, words


class AccountStatus(StrEnum):
    """Whether an account is in use."""

    ACTIVE = "active"
    ERASED = "erased"


class DeviceStatus(StrEnum):
    """Whether a device may still call."""

    ACTIVE = "active"
    ENDED = "ended"


class Purpose(StrEnum):
    """What a person may consent to, each by itself."""

    LOCATION = "location"
    """Recording where a trip goes, on the phone."""
    SYNC = "sync"
    """Sending desensitised records to this server."""
    STATISTICS = "statistics"
    """Counting them in public figures."""
    AUDITS = "audits"
    """Being asked to open the evidence of a trip."""


class PersonAccount(Model, table=True):
    """One person's reduction account. Its row is the lock of everything that belongs to the account."""

    __tablename__ = "person_account"
    __table_args__ = (CheckConstraint("balance_mg >= 0", "balance_not_negative"),)

    id: UUID = Field(default_factory=uuid4, sa_type=Uuid, primary_key=True)
    created_at: datetime = Field(sa_type=Utc)
    balance_mg: int = Field(default=0, sa_type=BigInteger)
    """The sum of the person's postings in mg, kept here so that a check can hold it at 0 or more."""
    status: AccountStatus = Field(default=AccountStatus.ACTIVE, sa_type=words(AccountStatus))


class Enrolment(Model, table=True):
    """A one-time code on its way to a phone. Removed soon after it expires."""

    __tablename__ = "enrolment"
    __table_args__ = (Index(None, "phone_hash", "created_at"),)

    id: UUID = Field(default_factory=uuid4, sa_type=Uuid, primary_key=True)
    phone_hash: str = Field(sa_type=String(64))
    code_hash: str = Field(sa_type=String(64))
    created_at: datetime = Field(sa_type=Utc)
    expires_at: datetime = Field(sa_type=Utc, index=True)
    attempts: int = Field(default=0, sa_type=SmallInteger)
    """Wrong codes so far."""
    used_at: datetime | None = Field(default=None, sa_type=Utc)
    used_by: str | None = Field(default=None, sa_type=String(43))
    """The device that the code registered: it may repeat its call and gets the same answer."""


class Device(Model, table=True):
    """A phone's key. Its id is the key's RFC 7638 thumbprint."""

    __tablename__ = "device"

    id: str = Field(sa_type=String(43), primary_key=True)
    account_id: UUID = Field(sa_type=Uuid, foreign_key="person_account.id", index=True)
    public_key: bytes = Field(sa_type=LargeBinary)
    status: DeviceStatus = Field(default=DeviceStatus.ACTIVE, sa_type=words(DeviceStatus))
    created_at: datetime = Field(sa_type=Utc)


class Consent(Model, table=True):
    """What a person agreed to, to which version of the text, from when until when. Rows stay as history."""

    __tablename__ = "consent"
    __table_args__ = (
        # A version is in force at most once at a time, however often the phone repeats its call.
        Index(
            "uq_consent_in_force",
            "account_id",
            "purpose",
            "version",
            unique=True,
            postgresql_where=text("withdrawn_at IS NULL"),
            sqlite_where=text("withdrawn_at IS NULL"),
        ),
    )

    account_id: UUID = Field(sa_type=Uuid, foreign_key="person_account.id", primary_key=True)
    purpose: Purpose = Field(sa_type=words(Purpose), primary_key=True)
    version: str = Field(sa_type=String(32), primary_key=True)
    given_at: datetime = Field(sa_type=Utc, primary_key=True)
    withdrawn_at: datetime | None = Field(default=None, sa_type=Utc)
