"""Notices: written under the account's lock, read by number. No HTTP, no commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, insert
from sqlmodel import Session, col, select

from greentrip_server.db import hour_of
from greentrip_server.notices.models import Notice, NoticeKind

NOTICES_A_PAGE_MAX = 200


@dataclass(frozen=True, slots=True)
class News:
    """What is to be noticed of a trip."""

    kind: NoticeKind
    trip_id: UUID
    status: str
    line_sha256: str | None


def notify(session: Session, account_id: UUID, news: Sequence[News], at: datetime) -> None:
    """Write one notice for each piece of news, in order. The caller holds the account's lock."""
    if not news:
        return
    newest = session.exec(select(func.max(Notice.number)).where(Notice.account_id == account_id)).one() or 0
    rows = [
        {
            "account_id": account_id,
            "number": newest + index,
            "at": hour_of(at),
            "kind": one.kind,
            "trip_id": one.trip_id,
            "status": one.status,
            "line_sha256": one.line_sha256,
        }
        for index, one in enumerate(news, start=1)
    ]
    session.execute(insert(Notice), rows)


def notices_page(session: Session, account_id: UUID, after: int, limit: int) -> tuple[Sequence[Notice], int | None]:
    """The account's notices with a number above `after`, at most `limit`, and the cursor of the next page if any."""
    limit = max(1, min(limit, NOTICES_A_PAGE_MAX))
    page = select(Notice).where(Notice.account_id == account_id, Notice.number > after)
    rows = session.exec(page.order_by(col(Notice.number)).limit(limit + 1)).all()
    return rows[:limit], rows[limit - 1].number if len(rows) > limit else None
