"""Judging: what the formula and the checks say of a record, at first and again when its time has come. No commit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, or_
from sqlmodel import Session, col, select

from greentrip.methodology import Methodology, reduce_trip
from greentrip.record import TripRecord
from greentrip.trip import CHINA_TIME
from greentrip_server.checks.features import features_sha256
from greentrip_server.checks.outcome import Outcome, Status, verdict
from greentrip_server.checks.overlap import NEIGHBOUR_DAYS, Occupied
from greentrip_server.checks.policy import Policy
from greentrip_server.checks.rules import Context, Others, run
from greentrip_server.db import Database, lock_word
from greentrip_server.ledger.service import Credit, credit_trips, lock_account
from greentrip_server.methodologies.service import Methodologies
from greentrip_server.notices.models import NoticeKind
from greentrip_server.notices.service import News, notify
from greentrip_server.sync.models import Trip, TripBytes
from greentrip_server.sync.service import readable


@dataclass(frozen=True, slots=True)
class Rulebook:
    """By what records are judged: the policy, the methodologies, and whether this is a real server."""

    policy: Policy
    methodologies: Methodologies
    environment: Literal["development", "production"]


def recheck_due(session: Session, account_id: UUID, rulebook: Rulebook, at: datetime) -> int:
    """Judge again the account's held trips whose day has come, or that no methodology covered; how many are free."""
    lock_account(session, account_id)
    # In the order of travel: which of two trips at once counts must not hang on how a database happens to read.
    in_order = (col(Trip.day), col(Trip.slot), col(Trip.id))
    due = select(Trip).where(Trip.account_id == account_id, _is_due(at)).order_by(*in_order)
    judge = Judge(session, account_id, rulebook, at)
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


class Judge:
    """Judges records of one account; knows the account's accepted trips near them. `post` writes what follows."""

    def __init__(self, session: Session, account_id: UUID, rulebook: Rulebook, at: datetime) -> None:
        self._session = session
        self._account_id = account_id
        self._rulebook = rulebook
        self._at = at
        self._near: dict[UUID, Occupied] = {}
        self._equal: dict[str, int] = {}
        self._credits: list[Credit] = []
        self._news: list[News] = []

    def prepare(self, records: Iterable[TripRecord]) -> None:
        """Read what the checks need to know beside the records, in two queries for a whole batch."""
        found = list(records)
        if not found:
            return
        days = [date.fromisoformat(record.day) for record in found]
        near = timedelta(days=NEIGHBOUR_DAYS)
        low, high = _shifted(min(days), -near), _shifted(max(days), near)
        accepted = select(Trip).where(
            Trip.account_id == self._account_id,
            Trip.status == Status.ACCEPTED,
            col(Trip.day) >= low,
            col(Trip.day) <= high,
        )
        self._near |= {trip.id: _occupied(trip) for trip in self._session.exec(accepted)}
        wanted = sorted({features_sha256(record) for record in found if record.features})
        for features in wanted:
            # Accounts that bring the same track at once must see each other. After the account's lock, and in one
            # order, so that nobody waits for somebody who waits for them.
            lock_word(self._session, f"features:{features}")
        others = (
            select(Trip.features_sha256, func.count(func.distinct(Trip.account_id)))
            .where(col(Trip.features_sha256).in_(wanted), Trip.account_id != self._account_id)
            .group_by(col(Trip.features_sha256))
        )
        self._equal |= {features: count for features, count in self._session.exec(others) if features}

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
        record = readable(kept.line) if kept else None
        if not isinstance(record, TripRecord):
            return False  # a server that was rolled back cannot read what a newer one took; it stays as it is
        self.prepare([record])
        self.judge(record).write_to(trip)
        self._session.add(trip)
        self.credit(trip)
        if trip.status is Status.HELD:
            return False
        self._news.append(News(NoticeKind.DECISION, trip.id, trip.status, trip.line_sha256))
        return True

    def credit(self, trip: Trip) -> None:
        """Note an accepted trip for `post`; the trips that follow see it."""
        if trip.status is Status.ACCEPTED:
            self._near[trip.id] = _occupied(trip)
            self._credits.append(Credit(trip.id, trip.official_mg))

    def post(self) -> None:
        """Post what was credited and tell the news, all at once: one by one it costs a query for each line."""
        self._session.flush()
        credit_trips(self._session, self._account_id, self._credits, self._at)
        notify(self._session, self._account_id, self._news, self._at)
        self._credits.clear()
        self._news.clear()

    def _others(self, record: TripRecord, day: date) -> Others:
        near = [other for other in self._near.values() if abs((other.day - day).days) <= NEIGHBOUR_DAYS]
        return Others(
            same_account=tuple(near),
            trips_that_day=sum(other.day == day for other in near),
            accounts_with_equal_features=self._equal.get(features_sha256(record), 0),
        )


def _occupied(trip: Trip) -> Occupied:
    if trip.day is None or trip.slot is None or trip.duration_low_min is None:
        raise ValueError("an erased trip takes no time")
    return Occupied(trip.day, trip.slot, trip.duration_low_min)


def _is_due(at: datetime) -> ColumnElement[bool]:
    """Held trips that may be free now: their day has come, or there was no methodology for them."""
    free = or_(col(Trip.held_until) <= _day(at), col(Trip.official_methodology).is_(None))
    return and_(col(Trip.status) == Status.HELD, free)


def _day(at: datetime) -> date:
    return at.astimezone(CHINA_TIME).date()


def _shifted(day: date, by: timedelta) -> date:
    """The day so much later, within what a date can hold: a phone may send any year."""
    try:
        return day + by
    except OverflowError:
        return day
