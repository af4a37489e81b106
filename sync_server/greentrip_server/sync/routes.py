"""Records in, results out; what the phone may ask about its account; the key list."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import MediaType, Response, get, post
from litestar.di import NamedDependency
from litestar.openapi.spec import OpenAPIMediaType, Operation, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import FromQuery, JSONBody, QueryParameter
from sqlmodel import Session

from greentrip.methodology import LegReduction, reduce_leg
from greentrip.record import RecordLeg, TripRecord
from greentrip.wire import BATCH_LINES_MAX, NDJSON, split_lines
from greentrip_server.enrolment.models import Purpose
from greentrip_server.enrolment.service import require_consent
from greentrip_server.errors import malformed, media_type, rfc3339, too_large
from greentrip_server.http import (
    AnyRequest,
    Caller,
    in_snapshot,
    in_transaction,
    json_only,
    signed_lines,
    signed_object,
    signed_router,
)
from greentrip_server.ledger.service import balance, statement
from greentrip_server.openapi import SIGNED_PROBLEMS, problems
from greentrip_server.runtime import Runtime
from greentrip_server.sync.intake import Received, receive
from greentrip_server.sync.models import Trip
from greentrip_server.sync.service import (
    PAGE_ROWS_MAX,
    MonthState,
    count_by_status,
    missing,
    records_of,
    sync_state,
    trips_page,
)

JWS_MEDIA_TYPE = "application/jose"
SYNC_STATE_IDS_MAX = 2000


class SyncStateAnswer(msgspec.Struct):
    """For each month of arrival (UTC, YYYY-MM): how many records came, and the SHA-256 over their sorted ids, each
    with a newline. A phone compares it with what it sent. Erased ids count as there."""

    months: dict[str, MonthState]


class MissingRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Ids of records that the phone has a result of."""

    trips: Annotated[list[UUID], msgspec.Meta(max_length=SYNC_STATE_IDS_MAX)]


class MissingAnswer(msgspec.Struct):
    """Those of the ids that the server knows nothing of, sorted: send them again."""

    missing: list[str]


class AccountAnswer(msgspec.Struct):
    """The balance in milligrams, and how many trips have each status."""

    account: str
    balance_mg: int
    trips: dict[str, int]


class RuleAnswer(msgspec.Struct):
    """What a rule said of a trip, in English and Chinese."""

    rule: str
    severity: str
    en: str
    zh: str


class LegAnswer(msgspec.Struct):
    """What a leg earned, in micrograms, and why."""

    mode: str
    distance_m: int
    duration_min: int
    method: str
    counted_m: int
    ug: int
    reasons: list[str]


class TripAnswer(msgspec.Struct):
    """A trip as the server knows it. An erased one has lost all but its id."""

    id: str
    day: str | None
    province: int | None
    status: str
    state: str
    official_mg: int
    methodology: str | None
    held_until: str | None
    rules: list[RuleAnswer]
    legs: list[LegAnswer]


class TripsAnswer(msgspec.Struct):
    """A page of trips; `next` is the cursor of the next one."""

    trips: list[TripAnswer]
    next: str | None


class EntryAnswer(msgspec.Struct):
    """A line of the statement: milligrams, and the balance after it."""

    number: int
    at: str
    kind: str
    trip: str | None
    mg: int
    balance_mg: int


class StatementAnswer(msgspec.Struct):
    """A page of the statement, oldest entry first; `next` is the cursor of the next one."""

    entries: list[EntryAnswer]
    next: int | None


@dataclass
class _RecordsOperation(Operation):
    """The framework cannot know that this body is read line by line."""

    def __post_init__(self) -> None:
        line = Schema(type=OpenAPIType.STRING, description="one canonical record a line (docs/reference/record.md)")
        self.request_body = RequestBody({NDJSON: OpenAPIMediaType(schema=line)}, required=True)


@post(
    "/trips",
    status_code=200,
    media_type=NDJSON,
    operation_class=_RecordsOperation,
    summary="Bring records, one a line; one signed result a line, in order",
    tags=["sync"],
    responses=problems(*SIGNED_PROBLEMS, "consent", "media_type"),
)
async def post_trips(
    request: AnyRequest, caller: NamedDependency[Caller], runtime: NamedDependency[Runtime]
) -> Response[bytes]:
    lines = _lines(request.content_type[0], await request.body())
    claims, token = caller.signed.claims, caller.signed.token
    budget_s = runtime.settings.intake_budget_s
    batch = Received(caller.device, lines, claims.digest, token, runtime.now(), budget_s)

    def act(session: Session) -> list[bytes]:
        require_consent(session, caller.device.account_id, Purpose.SYNC)
        return receive(session, batch, runtime.rulebook)

    return signed_lines(runtime, caller.signed, await in_transaction(runtime, act))


@get(
    "/sync-state",
    summary="Count and digest of the received record ids by month",
    tags=["sync"],
    responses=problems(*SIGNED_PROBLEMS),
)
async def get_sync_state(
    caller: NamedDependency[Caller], runtime: NamedDependency[Runtime]
) -> Response[SyncStateAnswer]:
    months = await in_snapshot(runtime, lambda session: sync_state(session, caller.device.account_id))
    return signed_object(runtime, caller.signed, SyncStateAnswer(months))


@post(
    "/sync-state",
    status_code=200,
    guards=[json_only],
    summary="Which of these records the server does not have, after a restore from a backup",
    tags=["sync"],
    responses=problems(*SIGNED_PROBLEMS, "media_type"),
)
async def post_sync_state(
    data: JSONBody[MissingRequest], caller: NamedDependency[Caller], runtime: NamedDependency[Runtime]
) -> Response[MissingAnswer]:
    account_id = caller.device.account_id
    found = await in_snapshot(runtime, lambda session: missing(session, account_id, data.trips))
    return signed_object(runtime, caller.signed, MissingAnswer([str(one) for one in found]))


@get("/account", summary="Balance and counts of the account", tags=["account"], responses=problems(*SIGNED_PROBLEMS))
async def get_account(caller: NamedDependency[Caller], runtime: NamedDependency[Runtime]) -> Response[AccountAnswer]:
    account_id = caller.device.account_id

    def act(session: Session) -> AccountAnswer:
        return AccountAnswer(str(account_id), balance(session, account_id), dict(count_by_status(session, account_id)))

    return signed_object(runtime, caller.signed, await in_snapshot(runtime, act))


@get(
    "/account/trips",
    summary="Every trip of the account with its state and reasons",
    tags=["account"],
    responses=problems(*SIGNED_PROBLEMS),
)
async def get_trips(
    caller: NamedDependency[Caller],
    runtime: NamedDependency[Runtime],
    after: FromQuery[UUID | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=PAGE_ROWS_MAX)] = PAGE_ROWS_MAX,
) -> Response[TripsAnswer]:
    def act(session: Session) -> TripsAnswer:
        trips = trips_page(session, caller.device.account_id, after, limit)
        records = records_of(session, trips)
        answers = [_trip_answer(runtime, trip, records.get(trip.id)) for trip in trips]
        return TripsAnswer(answers, str(trips[-1].id) if len(trips) == limit else None)

    return signed_object(runtime, caller.signed, await in_snapshot(runtime, act))


@get(
    "/account/statement",
    summary="Every entry of the account, oldest first",
    tags=["account"],
    responses=problems(*SIGNED_PROBLEMS),
)
async def get_statement(
    caller: NamedDependency[Caller],
    runtime: NamedDependency[Runtime],
    after: Annotated[int, QueryParameter(ge=0, le=2**62)] = 0,
    limit: Annotated[int, QueryParameter(ge=1, le=PAGE_ROWS_MAX)] = PAGE_ROWS_MAX,
) -> Response[StatementAnswer]:
    page = await in_snapshot(runtime, lambda session: statement(session, caller.device.account_id, after, limit))
    entries = [
        EntryAnswer(
            number=entry.number,
            at=rfc3339(entry.at),
            kind=entry.kind,
            trip=str(entry.trip_id) if entry.trip_id else None,
            mg=entry.amount,
            balance_mg=entry.balance,
        )
        for entry in page.entries
    ]
    return signed_object(runtime, caller.signed, StatementAnswer(entries, page.next_after))


@get(
    "/.well-known/greentrip-keys",
    media_type=JWS_MEDIA_TYPE,
    summary="The online keys, signed by the offline root key",
    tags=["trust"],
    responses=problems(),
)
async def get_keys(runtime: NamedDependency[Runtime]) -> Response[str]:
    return Response(runtime.keys.key_list, media_type=MediaType.TEXT, headers={"Content-Type": JWS_MEDIA_TYPE})


def _lines(content_type: str, body: bytes) -> list[bytes]:
    if content_type != NDJSON:
        raise media_type(NDJSON)
    lines = split_lines(body)
    if not lines:
        raise malformed("body", "holds no record", "没有任何记录")
    if len(lines) > BATCH_LINES_MAX:
        raise too_large(len(body))
    return lines


def _trip_answer(runtime: Runtime, trip: Trip, record: TripRecord | None) -> TripAnswer:
    return TripAnswer(
        id=str(trip.id),
        day=trip.day.isoformat() if trip.day else None,
        province=trip.province,
        status=trip.status.value,
        state=trip.status.value,
        official_mg=trip.official_mg,
        methodology=trip.official_methodology,
        held_until=trip.held_until.isoformat() if trip.held_until else None,
        rules=rules_answer(trip),
        legs=[_leg_answer(runtime, record, leg) for leg in record.legs] if record else [],
    )


def rules_answer(trip: Trip) -> list[RuleAnswer]:
    """What the rules said of a trip, without the numbers."""
    return [RuleAnswer(*(str(rule[key]) for key in ("rule", "severity", "en", "zh"))) for rule in trip.rules]


def _leg_answer(runtime: Runtime, record: TripRecord, leg: RecordLeg) -> LegAnswer:
    day = date.fromisoformat(record.day)
    methodology = runtime.rulebook.methodologies.official(day, record.province)
    part = reduce_leg(methodology, day, leg.facts()) if methodology else LegReduction(0, 0, ())
    return LegAnswer(
        mode=leg.mode,
        distance_m=leg.distance_m,
        duration_min=leg.duration_min,
        method=leg.method,
        counted_m=part.counted_m,
        ug=part.ug,
        reasons=list(part.reasons),
    )


signed_routes = signed_router(post_trips, get_sync_state, post_sync_state, get_account, get_trips, get_statement)
