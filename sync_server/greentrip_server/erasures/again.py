"""After a restore: accounts that were erased after the backup are erased again, as the journal tells."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlmodel import Session, col, select

from greentrip_server.db import Database
from greentrip_server.enrolment.models import AccountStatus, PersonAccount
from greentrip_server.erasures.journal import Journal
from greentrip_server.erasures.service import end_person

IDS_A_QUESTION_MAX = 500


@dataclass(frozen=True, slots=True)
class ErasedAgain:
    """What was done. `listed` = `erased_again` + `already_erased` + `unknown`."""

    listed: int
    """Accounts in the journal."""
    erased_again: int
    """The database had them in use."""
    already_erased: int
    unknown: int
    """The database does not have them: they were opened after the backup."""


def erase_again(database: Database, journal: Journal, at: datetime) -> ErasedAgain:
    """Erase every account of the journal that the database has in use, each in a transaction of its own. Idempotent.

    Raises `SettingsError` for a damaged journal, before anything is erased, and `unavailable`.
    """
    listed = sorted({erased.account_id for erased in journal.read()})
    with database.read() as session:
        statuses = _statuses(session, listed)
    in_use = [account_id for account_id, status in statuses.items() if status is not AccountStatus.ERASED]
    erased = 0
    for account_id in in_use:
        with database.write() as session:
            erased += end_person(session, account_id, at)
    return ErasedAgain(len(listed), erased, len(statuses) - erased, len(listed) - len(statuses))


def _statuses(session: Session, ids: list[UUID]) -> dict[UUID, AccountStatus]:
    found: dict[UUID, AccountStatus] = {}
    for start in range(0, len(ids), IDS_A_QUESTION_MAX):
        some = col(PersonAccount.id).in_(ids[start : start + IDS_A_QUESTION_MAX])
        rows = session.exec(select(PersonAccount.id, PersonAccount.status).where(some))
        found.update({account_id: AccountStatus(status) for account_id, status in rows})
    return found
