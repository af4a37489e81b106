"""Rows as the server stores them, for tests of what lies below the intake."""

from datetime import date, datetime
from uuid import UUID, uuid4

from sqlmodel import Session

from greentrip_server.checks.outcome import Status
from greentrip_server.db import hour_of
from greentrip_server.ledger.service import Credit, credit_trips
from greentrip_server.sync.models import BLANKED_WHEN_ERASED, Trip


def stored_trip(session: Session, account_id: UUID, mg: int, now: datetime, status: Status = Status.ACCEPTED) -> UUID:
    """Store a trip that is worth `mg`, if it is not erased; returns its id."""
    trip = Trip(
        account_id=account_id,
        id=uuid4(),
        device_id="d",
        day=date(2026, 3, 5),
        slot=16,
        province=11,
        received_hour=hour_of(now),
        received_month="2026-03",
        line_sha256="0" * 64,
        commitment="0" * 64,
        methodology="m@0123456789abcdef",
        phone_mg=mg,
        official_mg=mg,
        status=status,
        features_sha256="0" * 64,
        duration_low_min=1,
    )
    if status is Status.ERASED:
        for column in BLANKED_WHEN_ERASED:
            setattr(trip, column, None)
    session.add(trip)
    session.flush()
    return trip.id


def credit_trip(session: Session, account_id: UUID, trip_id: UUID, mg: int, now: datetime) -> None:
    """Credit one trip, as the intake credits a batch."""
    credit_trips(session, account_id, [Credit(trip_id, mg)], now)
