"""People, vault, trips and ledger."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from greentrip_server.migrations.tools import append_only, partition

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
BY_ACCOUNT: dict[str, Any] = {"postgresql_partition_by": "HASH (account_id)"}


def upgrade() -> None:
    _enrolment()
    _vault()
    _sync()
    _ledger()


def downgrade() -> None:
    raise NotImplementedError("evidence is not unwritten: restore a backup")


def _account(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["account_id"], ["person_account.id"], f"fk_{table}_person_account")


def _enrolment() -> None:
    op.create_table(
        "person_account",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("balance_mg", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_person_account"),
        sa.CheckConstraint("balance_mg >= 0", name=op.f("ck_person_account_balance_not_negative")),
        sa.CheckConstraint("status IN ('active', 'erased')", name=op.f("ck_person_account_accountstatus_known")),
    )
    op.create_table(
        "enrolment",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("phone_hash", sa.String(64), nullable=False),
        sa.Column("code_hash", sa.String(64), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.Column("attempts", sa.SmallInteger(), nullable=False),
        sa.Column("used_at", INSTANT, nullable=True),
        sa.Column("used_by", sa.String(43), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_enrolment"),
    )
    op.create_index("ix_enrolment_phone_hash_created_at", "enrolment", ["phone_hash", "created_at"])
    op.create_index("ix_enrolment_expires_at", "enrolment", ["expires_at"])
    op.create_table(
        "device",
        sa.Column("id", sa.String(43), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_device"),
        _account("device"),
        sa.CheckConstraint("status IN ('active', 'ended')", name=op.f("ck_device_devicestatus_known")),
    )
    op.create_index("ix_device_account_id", "device", ["account_id"])
    op.create_table(
        "consent",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.String(16), nullable=False),
        sa.Column("version", sa.String(32), nullable=False),
        sa.Column("given_at", INSTANT, nullable=False),
        sa.Column("withdrawn_at", INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("account_id", "purpose", "version", "given_at", name="pk_consent"),
        _account("consent"),
        sa.CheckConstraint(
            "purpose IN ('location', 'sync', 'statistics', 'audits')", name=op.f("ck_consent_purpose_known")
        ),
    )
    in_force = sa.text("withdrawn_at IS NULL")
    op.create_index(
        "uq_consent_in_force",
        "consent",
        ["account_id", "purpose", "version"],
        unique=True,
        postgresql_where=in_force,
        sqlite_where=in_force,
    )


def _vault() -> None:
    op.create_table(
        "identity",
        sa.Column("phone_hash", sa.String(64), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("phone_hash", name="pk_identity"),
        sa.UniqueConstraint("account_id", name="uq_identity_account_id"),
    )


def _sync() -> None:
    op.create_table(
        "trip",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("device_id", sa.String(43), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("slot", sa.SmallInteger(), nullable=False),
        sa.Column("province", sa.SmallInteger(), nullable=False),
        sa.Column("received_hour", INSTANT, nullable=False),
        sa.Column("received_month", sa.String(7), nullable=False),
        sa.Column("line_sha256", sa.String(64), nullable=False),
        sa.Column("commitment", sa.String(64), nullable=False),
        sa.Column("methodology", sa.String(81), nullable=False),
        sa.Column("official_methodology", sa.String(81), nullable=True),
        sa.Column("phone_mg", sa.BigInteger(), nullable=False),
        sa.Column("official_mg", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("rules", JSON, nullable=False),
        sa.Column("held_until", sa.Date(), nullable=True),
        sa.Column("features_sha256", sa.String(64), nullable=False),
        sa.Column("duration_low_min", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "id", name="pk_trip"),
        _account("trip"),
        sa.CheckConstraint("slot BETWEEN 0 AND 47", name=op.f("ck_trip_slot_of_a_day")),
        sa.CheckConstraint("phone_mg >= 0", name=op.f("ck_trip_phone_mg_not_negative")),
        sa.CheckConstraint("official_mg >= 0", name=op.f("ck_trip_official_mg_not_negative")),
        sa.CheckConstraint("status IN ('accepted', 'held', 'rejected')", name=op.f("ck_trip_status_known")),
        **BY_ACCOUNT,
    )
    op.create_index("ix_trip_account_id_day", "trip", ["account_id", "day"])
    op.create_index("ix_trip_account_id_received_month", "trip", ["account_id", "received_month"])
    op.create_index("ix_trip_features_sha256", "trip", ["features_sha256"])
    op.create_table(
        "trip_bytes",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("trip_id", sa.Uuid(), nullable=False),
        sa.Column("line", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "trip_id", name="pk_trip_bytes"),
        sa.ForeignKeyConstraint(["account_id", "trip_id"], ["trip.account_id", "trip.id"], "fk_trip_bytes_trip"),
        **BY_ACCOUNT,
    )
    op.create_table(
        "sync_request",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("result_digest", sa.String(64), nullable=False),
        sa.Column("device_id", sa.String(43), nullable=False),
        sa.Column("jws", sa.Text(), nullable=False),
        sa.Column("line_hashes", JSON, nullable=False),
        sa.Column("received_hour", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "digest", "result_digest", name="pk_sync_request"),
        _account("sync_request"),
        **BY_ACCOUNT,
    )
    for table in ("trip", "trip_bytes", "sync_request"):
        partition(table)


def _ledger() -> None:
    op.create_table(
        "transfer",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("unit", sa.String(16), nullable=False),
        sa.Column("trip_id", sa.Uuid(), nullable=True),
        sa.Column("corrects", sa.Uuid(), nullable=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "id", name="pk_transfer"),
        _account("transfer"),
        sa.ForeignKeyConstraint(["account_id", "trip_id"], ["trip.account_id", "trip.id"], "fk_transfer_trip"),
        sa.ForeignKeyConstraint(
            ["account_id", "corrects"], ["transfer.account_id", "transfer.id"], "fk_transfer_transfer"
        ),
        sa.UniqueConstraint("account_id", "number", name="uq_transfer_account_id_number"),
        sa.CheckConstraint("unit IN ('mg', 'fen')", name=op.f("ck_transfer_unit_known")),
        **BY_ACCOUNT,
    )
    first = sa.text("corrects IS NULL")
    op.create_index(
        "uq_transfer_once_a_trip",
        "transfer",
        ["account_id", "trip_id", "kind"],
        unique=True,
        postgresql_where=first,
        sqlite_where=first,
    )
    op.create_table(
        "posting",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("transfer_id", sa.Uuid(), nullable=False),
        sa.Column("line", sa.SmallInteger(), nullable=False),
        sa.Column("book", sa.String(64), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "transfer_id", "line", name="pk_posting"),
        sa.ForeignKeyConstraint(
            ["account_id", "transfer_id"], ["transfer.account_id", "transfer.id"], "fk_posting_transfer"
        ),
        sa.CheckConstraint("amount <> 0", name=op.f("ck_posting_amount_not_zero")),
        **BY_ACCOUNT,
    )
    for table in ("transfer", "posting"):
        partition(table)
        append_only(table)
