"""`greentrip-server` that is struck at a point: before or after a statement, or a COMMIT. A program, not a module.

Its first argument is the point as JSON, the others are the server's own.
"""

import json
import sys
from typing import Any

from points import AFTER, BEFORE, Fuse, Point
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session

from greentrip_server.cli import cli


def watch(fuse: Fuse) -> None:
    """Let every statement of every database pass."""

    @event.listens_for(Engine, "before_cursor_execute")
    def before(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        fuse.passes(BEFORE, statement)

    @event.listens_for(Engine, "after_cursor_execute")
    def after(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        fuse.passes(AFTER, statement)

    @event.listens_for(Engine, "commit")
    def before_commit(connection: Any) -> None:
        fuse.passes(BEFORE, "COMMIT")

    @event.listens_for(Session, "after_commit")
    def after_commit(session: Any) -> None:
        fuse.passes(AFTER, "COMMIT")


if __name__ == "__main__":
    watch(Fuse(Point(*json.loads(sys.argv.pop(1)))))
    cli()
