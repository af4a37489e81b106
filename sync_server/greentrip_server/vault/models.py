"""Table: who a person is. Nothing but vault/service.py may import it (a test says so)."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import String, Uuid
from sqlmodel import Field

from greentrip_server.db import Model


class Identity(Model, table=True):
    """Which account belongs to a phone number's hash.

    No foreign key ties it to the account, so that the vault can move to a database of its own.
    """

    __tablename__ = "identity"

    phone_hash: str = Field(sa_type=String(64), primary_key=True)
    account_id: UUID = Field(sa_type=Uuid, unique=True)
