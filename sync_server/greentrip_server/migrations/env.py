"""Alembic's entry: runs the steps on the connection that `db.upgrade()` hands over, all in one transaction."""

from __future__ import annotations

from alembic import context

from greentrip_server.db import metadata
from greentrip_server.migrations.tools import is_ours

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata(),
    include_object=is_ours,
    # Alembic believes that SQLite cannot; it can, once Python's sqlite3 stops beginning by itself.
    transactional_ddl=True,
    # SQLite changes a table by making it anew, and its triggers are lost: call append_only() again after.
    render_as_batch=True,
)

with context.begin_transaction():
    context.run_migrations()
