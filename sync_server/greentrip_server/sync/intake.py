"""Intake: records come in, are checked and recomputed, and are credited in the same transaction. No HTTP, no commit."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from uuid import UUID

import structlog
from sqlmodel import Session, col, select

from greentrip.record import RecordInvalid, TripRecord
from greentrip.wire import JsonValue, canonical, digest_of, sha256_hex
from greentrip_server.checks.features import features_sha256
from greentrip_server.checks.outcome import Status
from greentrip_server.checks.overlap import low_duration_min
from greentrip_server.checks.rules import shape_outcome
from greentrip_server.db import hour_of, insert_new
from greentrip_server.enrolment.models import Device
from greentrip_server.erasures.service import erased_among
from greentrip_server.ledger.service import lock_account_in_use
from greentrip_server.notices.models import NoticeKind
from greentrip_server.notices.service import News, notify
from greentrip_server.sync.judge import Judge, Rulebook
from greentrip_server.sync.models import SyncRequest, Trip, TripBytes, TripConflict
from greentrip_server.sync.service import Unreadable, readable, result_of, trips_by_id

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Received:
    """A batch as it came: who sent it, the exact lines, the signature over them, and when.

    `budget_s`: after so many seconds no further line is begun, so that the phone has its answer in time.
    """

    device: Device
    lines: Sequence[bytes]
    digest: str
    jws: str
    at: datetime
    budget_s: float


def receive(
    session: Session, batch: Received, rulebook: Rulebook, monotonic: Callable[[], float] = time.monotonic
) -> list[bytes]:
    """One canonical result line for each line of the batch, in order. Raises `device_ended` for an erased account.

    The account is locked first: whoever reads its other trips sees them settled. Lines are judged one after the other,
    so that the results do not depend on how a phone cut its batches: one that ran out of time is as if it had been cut
    there. The first line always has its turn. Idempotent: a repeat gets the current result.
    """
    account_id = batch.device.account_id
    lock_account_in_use(session, account_id)
    until = monotonic() + batch.budget_s
    intake = _Intake(session, batch, rulebook)
    results: list[bytes] = []
    for number, line in enumerate(batch.lines):
        in_time = number == 0 or monotonic() < until
        results.append(canonical({"line": number, **(intake.take(line) if in_time else _later(line))}))
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


class _Intake:
    """The lines of one batch, judged in order under the account's lock."""

    def __init__(self, session: Session, batch: Received, rulebook: Rulebook) -> None:
        self._session = session
        self._batch = batch
        self._account_id = batch.device.account_id
        self._judge = Judge(session, self._account_id, rulebook, batch.at)
        self._conflicts: dict[str, Trip] = {}
        self._records = {line: readable(line) for line in set(batch.lines)}
        records = [record for record in self._records.values() if isinstance(record, TripRecord)]
        ids = {UUID(record.id) for record in records}
        self._known = trips_by_id(session, self._account_id, ids)
        self._erased = erased_among(session, self._account_id, ids)
        unread = {sha256_hex(line) for line, record in self._records.items() if not isinstance(record, TripRecord)}
        self._unread = _trips_by_hash(session, self._account_id, unread)
        self._judge.prepare(records)

    def post(self) -> None:
        """Credit the batch's accepted trips, and note its conflicts."""
        self._judge.post()
        if self._conflicts:
            rows = [self._conflict(*one) for one in self._conflicts.items()]
            new = {row.line_sha256 for row in insert_new(self._session, TripConflict, rows)}
            # In the order of the lines: a database gives its own.
            news = [
                News(NoticeKind.CONFLICT, kept.id, "conflict", digest)
                for digest, kept in self._conflicts.items()
                if digest in new
            ]
            notify(self._session, self._account_id, news, self._batch.at)

    def take(self, line: bytes) -> dict[str, JsonValue]:
        """The result of one line."""
        record, digest = self._records[line], sha256_hex(line)
        if not isinstance(record, TripRecord):
            # Bytes that a newer server took, before this one was put back in its place, have their result.
            known = self._unread.get(digest)
            return self._repeated(known) if known else _refused(record, digest)
        trip_id = UUID(record.id)
        known = self._known.get(trip_id)
        if known is not None and known.line_sha256 == digest:
            return self._repeated(known)
        if trip_id in self._erased:
            return {**_of(record, digest, "erased"), "official_mg": 0, "rules": []}
        if known is None:
            self._known[trip_id] = stored = self._store(record, line, digest)
            return result_of(stored)
        # Never by chance: somebody reuses ids, or a phone was copied. For staff, by hash: no place, no person.
        _log.warning("conflict", kept=known.line_sha256, refused=digest)
        self._conflicts[digest] = known
        return {**_of(record, digest, "conflict"), "rules": [_CONFLICT]}

    def _repeated(self, known: Trip) -> dict[str, JsonValue]:
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

    def _conflict(self, digest: str, kept: Trip) -> dict[str, object]:
        return {
            "account_id": self._account_id,
            "trip_id": kept.id,
            "line_sha256": digest,
            "device_id": self._batch.device.id,
            "received_hour": hour_of(self._batch.at),
        }


def _trips_by_hash(session: Session, account_id: UUID, hashes: set[str]) -> dict[str, Trip]:
    rows = select(Trip).where(Trip.account_id == account_id, col(Trip.line_sha256).in_(hashes))
    return {trip.line_sha256: trip for trip in session.exec(rows)} if hashes else {}


def _of(record: TripRecord, digest: str, status: str) -> dict[str, JsonValue]:
    return {"id": record.id, "sha256": digest, "status": status, "state": status}


def _refused(error: Unreadable, digest: str) -> dict[str, JsonValue]:
    if isinstance(error, RecordInvalid):
        rules = [shape_outcome(error).to_json()]
        return {"sha256": digest, "status": "rejected", "state": "rejected", "official_mg": 0, "rules": rules}
    said: JsonValue = {"rule": "unsupported", "severity": "hold", "en": error.en, "zh": error.zh, "field": error.field}
    return {"sha256": digest, "status": "unsupported", "state": "unsupported", "rules": [said]}


def _later(line: bytes) -> dict[str, JsonValue]:
    """The result of a line that was not looked at."""
    return {"sha256": sha256_hex(line), "status": "retry", "state": "retry", "rules": [_RETRY]}


_CONFLICT: JsonValue = {
    "rule": "conflict",
    "severity": "reject",
    "en": "another record has this id; the first one stays, and this one does not count",
    "zh": "该编号已有另一条记录，以先到者为准；本条不计入",
}
_RETRY: JsonValue = {
    "rule": "retry",
    "severity": "hold",
    "en": "the server ran out of time before this record; nothing of it was stored: send it again",
    "zh": "服务器未来得及处理本条记录，尚未保存：请重新发送",
}
