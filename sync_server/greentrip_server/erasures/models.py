"""Tables: which trips were erased, and the certificates of erased accounts."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import String, Text, Uuid
from sqlmodel import Field

from greentrip_server.db import PARTITIONED, Model, UtcHour


class TripErasure(Model, table=True):
    """A trip that its person erased, whether or not it ever came: whatever comes under its id never counts."""

    __tablename__ = "trip_erasure"
    __table_args__ = (PARTITIONED,)

    account_id: UUID = Field(sa_type=Uuid, foreign_key="person_account.id", primary_key=True)
    trip_id: UUID = Field(sa_type=Uuid, primary_key=True)
    received_hour: datetime = Field(sa_type=UtcHour)


class AccountErasure(Model, table=True):
    """The certificate that answers an erasure order, for ever the same."""

    __tablename__ = "account_erasure"
    __table_args__ = (PARTITIONED,)

    account_id: UUID = Field(sa_type=Uuid, foreign_key="person_account.id", primary_key=True)
    order_sha256: str = Field(sa_type=String(64), primary_key=True)
    device_id: str = Field(sa_type=String(43))
    kid: str = Field(sa_type=String(43))
    """The online key that signed the certificate."""
    certificate: str = Field(sa_type=Text)
