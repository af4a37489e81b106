"""Erasures of trips and accounts, notices, conflicts; an erased trip keeps its id and hash, and nothing about it."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from greentrip_server.migrations.tools import check_references, is_postgresql, partition

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
BY_ACCOUNT: dict[str, Any] = {"postgresql_partition_by": "HASH (account_id)"}
STATUSES = "status IN ('accepted', 'held', 'rejected', 'erased')"
BLANKED = (
    "day", "slot", "province", "commitment", "methodology", "phone_mg", "features_sha256", "duration_low_min",
)  # fmt: skip
ERASED_IS_BLANK = " AND ".join(f"(status = 'erased') = ({column} IS NULL)" for column in BLANKED)


def upgrade() -> None:
    _trip()
    op.create_index("ix_trip_account_id_line_sha256", "trip", ["account_id", "line_sha256"])
    corrected = sa.text("corrects IS NOT NULL")
    op.create_index(
        "uq_transfer_corrected_once",
        "transfer",
        ["account_id", "corrects", "kind"],
        unique=True,
        postgresql_where=corrected,
        sqlite_where=corrected,
    )
    _erasures()
    _notices()
    _conflicts()
    for table in ("trip_erasure", "account_erasure", "notice", "trip_conflict"):
        partition(table)


def downgrade() -> None:
    raise NotImplementedError("evidence is not unwritten: restore a backup")


def _account(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["account_id"], ["person_account.id"], f"fk_{table}_person_account")


def _trip() -> None:
    if not is_postgresql():
        _trip_anew()
        return
    for column in BLANKED:
        op.alter_column("trip", column, nullable=True)
    op.drop_constraint(op.f("ck_trip_status_known"), "trip")
    op.create_check_constraint(op.f("ck_trip_status_known"), "trip", STATUSES)
    op.create_check_constraint(op.f("ck_trip_erased_is_blank"), "trip", ERASED_IS_BLANK)


def _trip_anew() -> None:
    """SQLite cannot change a constraint: the table is made anew, and its rows are copied."""
    table = op.create_table(
        "trip_anew",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("device_id", sa.String(43), nullable=False),
        sa.Column("day", sa.Date(), nullable=True),
        sa.Column("slot", sa.SmallInteger(), nullable=True),
        sa.Column("province", sa.SmallInteger(), nullable=True),
        sa.Column("received_hour", INSTANT, nullable=False),
        sa.Column("received_month", sa.String(7), nullable=False),
        sa.Column("line_sha256", sa.String(64), nullable=False),
        sa.Column("commitment", sa.String(64), nullable=True),
        sa.Column("methodology", sa.String(81), nullable=True),
        sa.Column("official_methodology", sa.String(81), nullable=True),
        sa.Column("phone_mg", sa.BigInteger(), nullable=True),
        sa.Column("official_mg", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("rules", JSON, nullable=False),
        sa.Column("held_until", sa.Date(), nullable=True),
        sa.Column("features_sha256", sa.String(64), nullable=True),
        sa.Column("duration_low_min", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("account_id", "id", name="pk_trip"),
        _account("trip"),
        sa.CheckConstraint("slot BETWEEN 0 AND 47", name=op.f("ck_trip_slot_of_a_day")),
        sa.CheckConstraint("phone_mg >= 0", name=op.f("ck_trip_phone_mg_not_negative")),
        sa.CheckConstraint("official_mg >= 0", name=op.f("ck_trip_official_mg_not_negative")),
        sa.CheckConstraint(STATUSES, name=op.f("ck_trip_status_known")),
        sa.CheckConstraint(ERASED_IS_BLANK, name=op.f("ck_trip_erased_is_blank")),
    )
    columns = ", ".join(column.name for column in table.columns)
    op.execute(f"INSERT INTO trip_anew ({columns}) SELECT {columns} FROM trip")  # noqa: S608 - no value is in it
    op.drop_table("trip")
    op.rename_table("trip_anew", "trip")
    op.create_index("ix_trip_account_id_day", "trip", ["account_id", "day"])
    op.create_index("ix_trip_account_id_received_month", "trip", ["account_id", "received_month"])
    op.create_index("ix_trip_features_sha256", "trip", ["features_sha256"])
    check_references()


def _erasures() -> None:
    op.create_table(
        "trip_erasure",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("trip_id", sa.Uuid(), nullable=False),
        sa.Column("received_hour", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "trip_id", name="pk_trip_erasure"),
        _account("trip_erasure"),
        **BY_ACCOUNT,
    )
    op.create_table(
        "account_erasure",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("order_sha256", sa.String(64), nullable=False),
        sa.Column("device_id", sa.String(43), nullable=False),
        sa.Column("kid", sa.String(43), nullable=False),
        sa.Column("certificate", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "order_sha256", name="pk_account_erasure"),
        _account("account_erasure"),
        **BY_ACCOUNT,
    )


def _notices() -> None:
    op.create_table(
        "notice",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("trip_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("line_sha256", sa.String(64), nullable=True),
        sa.PrimaryKeyConstraint("account_id", "number", name="pk_notice"),
        _account("notice"),
        sa.CheckConstraint("kind IN ('decision', 'erasure', 'conflict')", name=op.f("ck_notice_noticekind_known")),
        **BY_ACCOUNT,
    )


def _conflicts() -> None:
    op.create_table(
        "trip_conflict",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("trip_id", sa.Uuid(), nullable=False),
        sa.Column("line_sha256", sa.String(64), nullable=False),
        sa.Column("device_id", sa.String(43), nullable=False),
        sa.Column("received_hour", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "trip_id", "line_sha256", name="pk_trip_conflict"),
        sa.ForeignKeyConstraint(["account_id", "trip_id"], ["trip.account_id", "trip.id"], "fk_trip_conflict_trip"),
        **BY_ACCOUNT,
    )
