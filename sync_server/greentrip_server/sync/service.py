"""What is known of trips: results, counts and pages. It reads; intake and judge write."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast
from uuid import UUID

from sqlalchemy import and_, func
from sqlmodel import Session, col, select

from greentrip.record import RecordInvalid, RecordUnsupported, TripRecord, decode
from greentrip.wire import JsonValue
from greentrip_server.checks.outcome import Status
from greentrip_server.erasures.models import TripErasure
from greentrip_server.sync.models import Trip, TripBytes, TripConflict

PAGE_ROWS_MAX = 200
CONFLICTS_LISTED_MAX = 10_000

Unreadable = RecordInvalid | RecordUnsupported


def readable(line: bytes) -> TripRecord | Unreadable:
    """The record in a line, or why this server cannot read it."""
    try:
        return decode(line)
    except (RecordInvalid, RecordUnsupported) as error:
        return error


def result_of(trip: Trip) -> dict[str, JsonValue]:
    """A stored trip's current result, as in the protocol."""
    result: dict[str, JsonValue] = {
        "id": str(trip.id),
        "sha256": trip.line_sha256,
        "status": trip.status.value,
        "state": trip.status.value,
        "official_mg": trip.official_mg,
        "rules": cast("JsonValue", trip.rules),
    }
    if trip.held_until is not None:
        result["held_until"] = trip.held_until.isoformat()
    return result


@dataclass(frozen=True, slots=True)
class MonthState:
    """How many records arrived in a month, and the digest of their ids."""

    count: int
    digest: str


def sync_state(session: Session, account_id: UUID) -> dict[str, MonthState]:
    """Count and digest of the account's record ids for each month of arrival: where a phone finds a difference.

    An erased trip keeps its place; one that was erased before it came stands in the month of its erasure.
    """
    months = dict(session.exec(select(Trip.id, Trip.received_month).where(Trip.account_id == account_id)).all())
    erasures = select(TripErasure).where(TripErasure.account_id == account_id)
    for erasure in session.exec(erasures):
        months.setdefault(erasure.trip_id, erasure.received_hour.astimezone(UTC).strftime("%Y-%m"))
    ids: dict[str, list[str]] = {}
    for trip_id, month in months.items():
        ids.setdefault(month, []).append(str(trip_id))
    return {month: MonthState(len(found), ids_digest(found)) for month, found in sorted(ids.items())}


def ids_digest(ids: Iterable[str]) -> str:
    """SHA-256 over the sorted ids, each with a newline."""
    return hashlib.sha256("".join(f"{one}\n" for one in sorted(ids)).encode()).hexdigest()


def missing(session: Session, account_id: UUID, ids: Collection[UUID]) -> list[UUID]:
    """Those of the ids of which there is neither a trip nor an erasure, sorted: what a phone should send again."""
    if not ids:
        return []
    trips = select(Trip.id).where(Trip.account_id == account_id, col(Trip.id).in_(ids))
    erasures = select(TripErasure.trip_id).where(
        TripErasure.account_id == account_id, col(TripErasure.trip_id).in_(ids)
    )
    return sorted({*ids} - {*session.exec(trips)} - {*session.exec(erasures)})


def trips_by_id(session: Session, account_id: UUID, ids: Collection[UUID]) -> dict[UUID, Trip]:
    """Those of the account's trips that have one of these ids."""
    rows = select(Trip).where(Trip.account_id == account_id, col(Trip.id).in_(ids))
    return {trip.id: trip for trip in session.exec(rows)} if ids else {}


def trips_page(session: Session, account_id: UUID, after: UUID | None, limit: int) -> Sequence[Trip]:
    """The account's trips in the order of their ids, from after one of them."""
    page = select(Trip).where(Trip.account_id == account_id).order_by(col(Trip.id)).limit(min(limit, PAGE_ROWS_MAX))
    return session.exec(page.where(Trip.id > after) if after else page).all()


def records_of(session: Session, trips: Sequence[Trip]) -> dict[UUID, TripRecord]:
    """The records of trips whose bytes were not erased, and that this server can read."""
    if not trips:
        return {}
    rows = select(TripBytes).where(
        TripBytes.account_id == trips[0].account_id, col(TripBytes.trip_id).in_([trip.id for trip in trips])
    )
    found = {row.trip_id: readable(row.line) for row in session.exec(rows)}
    return {trip_id: record for trip_id, record in found.items() if isinstance(record, TripRecord)}


def count_by_status(session: Session, account_id: UUID) -> Mapping[str, int]:
    """How many of the account's trips have each status."""
    rows = select(Trip.status, func.count()).where(Trip.account_id == account_id).group_by(col(Trip.status))
    found = dict(session.exec(rows).all())
    return {status.value: found.get(status, 0) for status in Status}


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two lines under one id, by their hashes, and which device brought the second one when (the hour)."""

    account: UUID
    trip: UUID
    kept: str
    refused: str
    device: str
    hour: datetime


def conflicts(session: Session, limit: int = CONFLICTS_LISTED_MAX) -> list[Conflict]:
    """The conflicts of all accounts, newest first, at most `limit`."""
    same = and_(col(Trip.account_id) == col(TripConflict.account_id), col(Trip.id) == col(TripConflict.trip_id))
    order = (col(TripConflict.received_hour).desc(), col(TripConflict.account_id), col(TripConflict.line_sha256))
    rows = select(TripConflict, Trip.line_sha256).join(Trip, same).order_by(*order)
    found = session.exec(rows.limit(max(1, min(limit, CONFLICTS_LISTED_MAX))))
    return [
        Conflict(one.account_id, one.trip_id, kept, one.line_sha256, one.device_id, one.received_hour)
        for one, kept in found
    ]
