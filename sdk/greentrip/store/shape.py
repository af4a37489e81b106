"""Whether a file has the tables of its version: damage to SQLite's own notes on them is no damage to it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import cache

from greentrip.store.migrations import MIGRATIONS

Shape = frozenset[tuple[object, ...]]

_COLUMNS = (
    'SELECT m.name, c.cid, c.name, c.type, c."notnull", c.dflt_value, c.pk FROM sqlite_master m,'
    " pragma_table_info(m.name) c WHERE m.type = 'table'"
)
_INDICES = (
    'SELECT m.name, i.name, i."unique", c.seqno, c.name FROM sqlite_master m, pragma_index_list(m.name) i,'
    " pragma_index_info(i.name) c WHERE m.type = 'table'"
)
_REFERENCES = (
    'SELECT m.name, k."from", k."table", k."to" FROM sqlite_master m, pragma_foreign_key_list(m.name) k'
    " WHERE m.type = 'table'"
)


def has_its_shape(db: sqlite3.Connection, version: int) -> bool:
    """Whether the tables, their columns, indices and references are those of this version (0: none)."""
    return _shape(db) == _expected(version)


def mend_notes(damaged: sqlite3.Connection, sound: sqlite3.Connection) -> None:
    """Write anew what SQLite notes on the tables of a damaged file, as far as it is clear which is which."""
    good = {row[1]: row for row in sound.execute("SELECT type, name, tbl_name, sql FROM sqlite_master")}
    damaged.execute("PRAGMA writable_schema = ON")
    found = damaged.execute("SELECT rowid, name FROM sqlite_master").fetchall()
    lost = set(good) - {name for _, name in found}
    for rowid, name in found:
        row = good.get(name) or (good[lost.pop()] if len(lost) == 1 else None)
        if row is not None:
            damaged.execute(
                "UPDATE sqlite_master SET type = ?, name = ?, tbl_name = ?, sql = ? WHERE rowid = ?", (*row, rowid)
            )
    damaged.execute("PRAGMA writable_schema = RESET")


def _shape(db: sqlite3.Connection) -> Shape:
    return frozenset(row for query in (_COLUMNS, _INDICES, _REFERENCES) for row in db.execute(query))


@cache
def _expected(version: int) -> Shape:
    with closing(sqlite3.connect(":memory:")) as db:
        for _, script in MIGRATIONS[:version]:
            db.executescript(script)
        return _shape(db)
