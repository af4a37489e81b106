"""Intake: records come in, are checked and recomputed, and are credited in the same transaction. No HTTP, no commit."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal, cast
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement, and_, func, or_
from sqlmodel import Session, col, select

from greentrip.methodology import Methodology, reduce_trip
from greentrip.record import RecordInvalid, RecordUnsupported, TripRecord, decode
from greentrip.trip import CHINA_TIME
from greentrip.wire import JsonValue, canonical, digest_of, sha256_hex
from greentrip_server.checks.features import features_sha256
from greentrip_server.checks.outcome import Outcome, Status, verdict
from greentrip_server.checks.overlap import NEIGHBOUR_DAYS, Occupied, low_duration_min
from greentrip_server.checks.policy import Policy
from greentrip_server.checks.rules import Context, Others, run, shape_outcome
from greentrip_server.db import Database, hour_of, insert_new, lock_word
from greentrip_server.enrolment.models import Device
from greentrip_server.ledger.service import Credit, credit_trips, lock_account
from greentrip_server.methodologies.service import Methodologies
from greentrip_server.sync.models import SyncRequest, Trip, TripBytes

PAGE_ROWS_MAX = 200

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Rulebook:
    """By what records are judged: the policy, the methodologies, and whether this is a real server."""

    policy: Policy
    methodologies: Methodologies
    environment: Literal["development", "production"]


@dataclass(frozen=True, slots=True)
class Received:
    """A batch as it came: who sent it, the exact lines, the signature over them, and when."""

    device: Device
    lines: Sequence[bytes]
    digest: str
    jws: str
    at: datetime


def receive(session: Session, batch: Received, rulebook: Rulebook) -> list[bytes]:
    """One canonical result line for each line of the batch, in order.

    The account is locked first: whoever reads its other trips sees them settled. Lines are judged one after the other,
    so that the results do not depend on how a phone cut its batches. Idempotent: a repeat gets the current result.
    """
    account_id = batch.device.account_id
    lock_account(session, account_id)
    intake = _Intake(session, batch, rulebook)
    results = [canonical({"line": number, **intake.take(line)}) for number, line in enumerate(batch.lines)]
    intake.post()
    row = SyncRequest(
        account_id=account_id,
        digest=batch.digest,
        result_digest=digest_of(map(sha256_hex, results)),
        device_id=batch.device.id,
        jws=batch.jws,
        line_hashes=[sha256_hex(line) for line in batch.lines],
        received_hour=hour_of(batch.at),
    )
    insert_new(session, SyncRequest, [row.model_dump()])
    return results


def recheck_due(session: Session, account_id: UUID, rulebook: Rulebook, at: datetime) -> int:
    """Judge again the account's held trips whose day has come, or that no methodology covered; how many are free."""
    lock_account(session, account_id)
    # In the order of travel: which of two trips at once counts must not hang on how a database happens to read.
    in_order = (col(Trip.day), col(Trip.slot), col(Trip.id))
    due = select(Trip).where(Trip.account_id == account_id, _is_due(at)).order_by(*in_order)
    judge = _Judge(session, account_id, rulebook, at)
    count = sum(judge.again(trip) for trip in session.exec(due).all())
    judge.post()
    return count


def recheck_all(database: Database, rulebook: Rulebook, at: datetime) -> int:
    """`recheck_due` for every account that has such a trip, one transaction each."""
    due = select(Trip.account_id).where(_is_due(at)).distinct()
    with database.read() as session:
        accounts = sorted(session.exec(due).all())
    count = 0
    for account_id in accounts:
        with database.write() as session:
            count += recheck_due(session, account_id, rulebook, at)
    return count


class _Intake:
    """The lines of one batch, judged in order under the account's lock."""

    def __init__(self, session: Session, batch: Received, rulebook: Rulebook) -> None:
        self._session = session
        self._batch = batch
        self._account_id = batch.device.account_id
        self._judge = _Judge(session, self._account_id, rulebook, batch.at)
        self._records = {line: _decoded(line) for line in set(batch.lines)}
        records = [record for record in self._records.values() if isinstance(record, TripRecord)]
        self._known = _known_trips(session, self._account_id, {UUID(record.id) for record in records})
        self._judge.prepare(records)

    def post(self) -> None:
        """Credit the batch's accepted trips."""
        self._judge.post()

    def take(self, line: bytes) -> dict[str, JsonValue]:
        """The result of one line."""
        record, digest = self._records[line], sha256_hex(line)
        if isinstance(record, RecordUnsupported):
            return {"sha256": digest, "status": "unsupported", "state": "unsupported", "rules": [_said(record)]}
        if isinstance(record, RecordInvalid):
            rules = [shape_outcome(record).to_json()]
            return {"sha256": digest, "status": "rejected", "state": "rejected", "official_mg": 0, "rules": rules}
        known = self._known.get(UUID(record.id))
        if known is None:
            self._known[UUID(record.id)] = stored = self._store(record, line, digest)
            return result_of(stored)
        if known.line_sha256 != digest:
            # Never by chance: somebody reuses ids, or a phone was copied. For staff, by hash: no place, no person.
            _log.warning("conflict", kept=known.line_sha256, refused=digest)
            return {"id": record.id, "sha256": digest, "status": "conflict", "state": "conflict", "rules": [_CONFLICT]}
        self._judge.again(known)
        return {**result_of(known), "duplicate": True}

    def _store(self, record: TripRecord, line: bytes, digest: str) -> Trip:
        trip = Trip(
            account_id=self._account_id,
            id=UUID(record.id),
            device_id=self._batch.device.id,
            day=date.fromisoformat(record.day),
            slot=record.slot,
            province=record.province,
            received_hour=hour_of(self._batch.at),
            received_month=self._batch.at.astimezone(UTC).strftime("%Y-%m"),
            line_sha256=digest,
            commitment=record.commitment,
            methodology=record.methodology,
            phone_mg=record.reduction_mg,
            official_mg=0,
            status=Status.HELD,
            features_sha256=features_sha256(record),
            duration_low_min=low_duration_min(record.legs),
        )
        judged = self._judge.judge(record)
        judged.write_to(trip)
        self._session.add(trip)
        self._session.flush()
        self._session.add(TripBytes(account_id=trip.account_id, trip_id=trip.id, line=line))
        self._judge.credit(trip)
        return trip


@dataclass(frozen=True, slots=True)
class _Judged:
    methodology: Methodology | None
    official_mg: int
    outcomes: tuple[Outcome, ...]

    def write_to(self, trip: Trip) -> None:
        decided = verdict(self.outcomes)
        trip.status = decided.status
        trip.held_until = decided.held_until
        trip.official_mg = 0 if trip.status is Status.REJECTED else self.official_mg
        trip.official_methodology = self.methodology.reference if self.methodology else None
        trip.rules = [outcome.to_json() for outcome in self.outcomes]


class _Judge:
    """Judges records of one account; knows the account's accepted trips near them."""

    def __init__(self, session: Session, account_id: UUID, rulebook: Rulebook, at: datetime) -> None:
        self._session = session
        self._account_id = account_id
        self._rulebook = rulebook
        self._at = at
        self._near: dict[UUID, Trip] = {}
        self._equal: dict[str, int] = {}
        self._credits: list[Credit] = []

    def prepare(self, records: Iterable[TripRecord]) -> None:
        """Read what the checks need to know beside the records, in two queries for a whole batch."""
        found = list(records)
        if not found:
            return
        days = [date.fromisoformat(record.day) for record in found]
        near = timedelta(days=NEIGHBOUR_DAYS)
        low, high = _shifted(min(days), -near), _shifted(max(days), near)
        accepted = select(Trip).where(
            Trip.account_id == self._account_id, Trip.status == Status.ACCEPTED, Trip.day >= low, Trip.day <= high
        )
        self._near |= {trip.id: trip for trip in self._session.exec(accepted)}
        wanted = sorted({features_sha256(record) for record in found if record.features})
        for features in wanted:
            # Accounts that bring the same track at once must see each other. After the account's lock, and in one
            # order, so that nobody waits for somebody who waits for them.
            lock_word(self._session, f"features:{features}")
        others = (
            select(Trip.features_sha256, func.count(func.distinct(Trip.account_id)))
            .where(col(Trip.features_sha256).in_(wanted), Trip.account_id != self._account_id)
            .group_by(Trip.features_sha256)
        )
        self._equal |= dict(self._session.exec(others).all())

    def judge(self, record: TripRecord) -> _Judged:
        """What the formula and the checks say of a record. `prepare` has seen it."""
        day = date.fromisoformat(record.day)
        methodology = self._rulebook.methodologies.official(day, record.province)
        official_mg = reduce_trip(methodology, day, [leg.facts() for leg in record.legs]).mg if methodology else 0
        context = Context(
            record=record,
            today=_day(self._at),
            methodology=methodology,
            official_mg=official_mg,
            same_file=methodology is not None and methodology.reference == record.methodology,
            others=self._others(record, day),
            policy=self._rulebook.policy,
            environment=self._rulebook.environment,
            provinces_served=self._rulebook.methodologies.provinces,
        )
        return _Judged(methodology, official_mg, tuple(run(context)))

    def again(self, trip: Trip) -> bool:
        """Judge a held trip again if its day has come or its methodology was missing; whether it is now free."""
        waits_for_day = trip.held_until is None or trip.held_until > _day(self._at)
        if trip.status is not Status.HELD or (waits_for_day and trip.official_methodology is not None):
            return False
        kept = self._session.get(TripBytes, (trip.account_id, trip.id))
        if kept is None:
            return False  # erased meanwhile
        record = decode(kept.line)
        self.prepare([record])
        self.judge(record).write_to(trip)
        self._session.add(trip)
        self.credit(trip)
        return trip.status is not Status.HELD

    def credit(self, trip: Trip) -> None:
        """Note an accepted trip for `post`; the trips that follow see it."""
        if trip.status is Status.ACCEPTED:
            self._near[trip.id] = trip
            self._credits.append(Credit(trip.id, trip.official_mg))

    def post(self) -> None:
        """Post what was credited, all at once: one by one it costs a query for each line of a batch."""
        self._session.flush()
        credit_trips(self._session, self._account_id, self._credits, self._at)
        self._credits.clear()

    def _others(self, record: TripRecord, day: date) -> Others:
        near = [trip for trip in self._near.values() if abs((trip.day - day).days) <= NEIGHBOUR_DAYS]
        return Others(
            same_account=tuple(Occupied(trip.day, trip.slot, trip.duration_low_min) for trip in near),
            trips_that_day=sum(trip.day == day for trip in near),
            accounts_with_equal_features=self._equal.get(features_sha256(record), 0),
        )


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
    """Count and digest of the account's record ids for each month of arrival: where a phone finds a difference."""
    ids: dict[str, list[str]] = {}
    rows = select(Trip.received_month, Trip.id).where(Trip.account_id == account_id)
    for month, trip_id in session.exec(rows):
        ids.setdefault(month, []).append(str(trip_id))
    return {month: MonthState(len(found), ids_digest(found)) for month, found in sorted(ids.items())}


def ids_digest(ids: Iterable[str]) -> str:
    """SHA-256 over the sorted ids, each with a newline."""
    return hashlib.sha256("".join(f"{one}\n" for one in sorted(ids)).encode()).hexdigest()


def trips_page(session: Session, account_id: UUID, after: UUID | None, limit: int) -> Sequence[Trip]:
    """The account's trips in the order of their ids, from after one of them."""
    page = select(Trip).where(Trip.account_id == account_id).order_by(col(Trip.id)).limit(min(limit, PAGE_ROWS_MAX))
    return session.exec(page.where(Trip.id > after) if after else page).all()


def records_of(session: Session, trips: Sequence[Trip]) -> dict[UUID, TripRecord]:
    """The records of trips whose bytes were not erased."""
    if not trips:
        return {}
    rows = select(TripBytes).where(
        TripBytes.account_id == trips[0].account_id, col(TripBytes.trip_id).in_([trip.id for trip in trips])
    )
    return {row.trip_id: decode(row.line) for row in session.exec(rows)}


def count_by_status(session: Session, account_id: UUID) -> Mapping[str, int]:
    """How many of the account's trips have each status."""
    rows = select(Trip.status, func.count()).where(Trip.account_id == account_id).group_by(Trip.status)
    found = dict(session.exec(rows).all())
    return {status.value: found.get(status, 0) for status in Status}


def _decoded(line: bytes) -> TripRecord | RecordInvalid | RecordUnsupported:
    try:
        return decode(line)
    except (RecordInvalid, RecordUnsupported) as error:
        return error


def _known_trips(session: Session, account_id: UUID, ids: set[UUID]) -> dict[UUID, Trip]:
    rows = select(Trip).where(Trip.account_id == account_id, col(Trip.id).in_(ids))
    return {trip.id: trip for trip in session.exec(rows)} if ids else {}


def _is_due(at: datetime) -> ColumnElement[bool]:
    """Held trips that may be free now: their day has come, or there was no methodology for them."""
    free = or_(col(Trip.held_until) <= _day(at), col(Trip.official_methodology).is_(None))
    return and_(col(Trip.status) == Status.HELD, free)


def _said(error: RecordUnsupported) -> JsonValue:
    return {"rule": "unsupported", "severity": "hold", "en": error.en, "zh": error.zh, "field": error.field}


_CONFLICT: JsonValue = {
    "rule": "conflict",
    "severity": "reject",
    "en": "another record has this id; the first one stays, and this one does not count",
    "zh": "该编号已有另一条记录，以先到者为准；本条不计入",
}


def _day(at: datetime) -> date:
    return at.astimezone(CHINA_TIME).date()


def _shifted(day: date, by: timedelta) -> date:
    """The day so much later, within what a date can hold: a phone may send any year."""
    try:
        return day + by
    except OverflowError:
        return day
