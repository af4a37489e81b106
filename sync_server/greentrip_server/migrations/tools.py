"""What the steps share. A released step must always do the same: give these functions new names, never new effects."""

from __future__ import annotations

import re
from typing import Any

from alembic import op

PARTITIONS = 16
"""Hash partitions by account on PostgreSQL."""

_PARTITION = re.compile(r".+_p\d\d")


def is_postgresql() -> bool:
    """Whether the step runs on PostgreSQL."""
    return bool(op.get_context().dialect.name == "postgresql")


def partition_names(table: str) -> list[str]:
    """The partitions of a table: `trip_p00` to `trip_p15`."""
    return [f"{table}_p{number:02}" for number in range(PARTITIONS)]


def is_ours(thing: Any, name: str | None, kind: str, reflected: bool, compare_to: Any) -> bool:  # noqa: ANN401
    """Alembic's filter: models know a partitioned table, not its partitions."""
    if kind == "foreign_key_constraint" and reflected:
        # PostgreSQL lists a key that points at a partitioned table once more for each of its partitions.
        name = thing.elements[0].target_fullname.rpartition(".")[0]
    elif kind != "table" or not reflected:
        return True
    return not _PARTITION.fullmatch(name or "")


def partition(table: str) -> None:
    """Make the partitions of a table that was created with PARTITION BY HASH; SQLite has none."""
    if not is_postgresql():
        return
    for number, name in enumerate(partition_names(table)):
        op.execute(
            f"CREATE TABLE {name} PARTITION OF {table} FOR VALUES WITH (MODULUS {PARTITIONS}, REMAINDER {number})"
        )


def check_references() -> None:
    """Refuse to go on when a row refers to one that is not there: for a step that made a table anew on SQLite.

    `db.upgrade()` lets SQLite look away meanwhile, or it would delete with the old table what refers to it.
    """
    if broken := op.get_bind().exec_driver_sql("PRAGMA foreign_key_check").first():
        raise ValueError(f"a row of {broken[0]} refers to a row of {broken[2]} that is not there")


def append_only(table: str) -> None:
    """Let the database refuse UPDATE, DELETE and (on PostgreSQL) TRUNCATE of a partitioned table."""
    if is_postgresql():
        _append_only_postgresql(table)
    else:
        for what in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{what.lower()} BEFORE {what} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only: {what} is refused'); END"
            )


def _append_only_postgresql(table: str) -> None:
    # An integrity error, as on SQLite.
    op.execute(
        "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = '23001'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE ON {table} "
        "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
    )
    # PostgreSQL copies the row trigger to the partitions, but not this one.
    for name in (table, *partition_names(table)):
        op.execute(
            f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {name} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
