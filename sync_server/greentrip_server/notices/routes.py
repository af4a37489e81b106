"""Notices over HTTP: what a phone has not been told yet."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from sqlmodel import Session

from greentrip_server.errors import rfc3339
from greentrip_server.http import Caller, in_snapshot, signed_object, signed_router
from greentrip_server.notices.models import Notice
from greentrip_server.notices.service import NOTICES_A_PAGE_MAX, notices_page
from greentrip_server.openapi import SIGNED_PROBLEMS, problems
from greentrip_server.runtime import Runtime
from greentrip_server.sync.models import Trip
from greentrip_server.sync.routes import RuleAnswer, rules_answer
from greentrip_server.sync.service import trips_by_id


class NoticeAnswer(msgspec.Struct):
    """What happened to a trip, and in which hour: `kind` is "decision", "erasure" or "conflict".

    `sha256` is the hash of the record that it is about, None when none ever came. `official_mg` and `rules` are the
    trip's as they are now, and empty when its status is another one by now.
    """

    number: int
    at: str
    kind: str
    trip: str
    status: str
    sha256: str | None
    official_mg: int
    rules: list[RuleAnswer]


class NoticesAnswer(msgspec.Struct):
    """A page of notices, oldest first; `next` is the cursor of the next one."""

    notices: list[NoticeAnswer]
    next: int | None


@get(
    "/notices",
    summary="Decisions, erasures and conflicts since a notice, oldest first",
    tags=["account"],
    responses=problems(*SIGNED_PROBLEMS),
)
async def get_notices(
    caller: NamedDependency[Caller],
    runtime: NamedDependency[Runtime],
    after: Annotated[int, QueryParameter(ge=0, le=2**62)] = 0,
    limit: Annotated[int, QueryParameter(ge=1, le=NOTICES_A_PAGE_MAX)] = NOTICES_A_PAGE_MAX,
) -> Response[NoticesAnswer]:
    account_id = caller.device.account_id

    def act(session: Session) -> NoticesAnswer:
        page, next_after = notices_page(session, account_id, after, limit)
        trips = trips_by_id(session, account_id, {notice.trip_id for notice in page})
        return NoticesAnswer([_answer(notice, trips.get(notice.trip_id)) for notice in page], next_after)

    return signed_object(runtime, caller.signed, await in_snapshot(runtime, act))


def _answer(notice: Notice, trip: Trip | None) -> NoticeAnswer:
    same = trip is not None and trip.status == notice.status
    return NoticeAnswer(
        number=notice.number,
        at=rfc3339(notice.at),
        kind=notice.kind,
        trip=str(notice.trip_id),
        status=notice.status,
        sha256=notice.line_sha256,
        official_mg=trip.official_mg if trip is not None and same else 0,
        rules=rules_answer(trip) if trip is not None and same else [],
    )


routes = signed_router(get_notices)
