"""What a `FakeServer` remembers: people's accounts, their trips, erasures, notices and statements. No HTTP, no keys."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from greentrip.record import RecordInvalid, RecordUnsupported, TripRecord, decode
from greentrip.states import State
from greentrip.trust import rfc3339
from greentrip.wire import JsonValue, sha256_hex

Judge = Callable[[TripRecord], State]
"""What becomes of a new record: `State.ACCEPTED`, `HELD` or `REJECTED`."""


@dataclass
class FakeTrip:
    """A trip as the server knows it."""

    id: str
    month: str
    """UTC, YYYY-MM: when the record came, or was erased before it came."""
    status: State
    line: bytes | None = None
    """The record's bytes, until they are erased."""
    sha256: str | None = None
    """Of the bytes; None when it was erased before they came."""
    official_mg: int = 0
    rules: list[JsonValue] = field(default_factory=list)

    def result(self) -> dict[str, JsonValue]:
        """Its current result, as in the protocol."""
        return {
            "id": self.id,
            "sha256": self.sha256,
            "status": self.status,
            "state": self.status,
            "official_mg": self.official_mg,
            "rules": self.rules,
        }


@dataclass
class FakeAccount:
    """One person's account."""

    id: str
    consents: dict[str, str] = field(default_factory=dict)
    """The version of each purpose that the person agreed to last."""
    devices: set[str] = field(default_factory=set)
    trips: dict[str, FakeTrip] = field(default_factory=dict)
    """By id, in the order of arrival, for ever."""
    statement: list[dict[str, JsonValue]] = field(default_factory=list)
    notices: list[dict[str, JsonValue]] = field(default_factory=list)
    erased: bool = False
    """The whole account."""
    balance_mg: int = 0
    _ids: dict[str, str] = field(default_factory=dict, repr=False)
    """The trip of each hash."""
    _conflicts: set[str] = field(default_factory=set, repr=False)
    """The hashes of bytes that came under the id of another record."""

    def take(self, line: bytes, now: datetime, judge: Judge) -> dict[str, JsonValue]:
        """The result of one line that came; it is stored when it is new. Idempotent."""
        digest = sha256_hex(line)
        if digest in self._ids:
            # Before the bytes are read: a server that was rolled back knows what it no longer understands.
            return {**self.trips[self._ids[digest]].result(), "duplicate": True}
        try:
            record = decode(line)
        except RecordUnsupported as error:
            return {"sha256": digest, **_status(State.UNSUPPORTED), "rules": [_rule("unsupported", "hold", error)]}
        except RecordInvalid as error:
            rules: list[JsonValue] = [_rule("shape", "reject", error)]
            return {"sha256": digest, **_status(State.REJECTED), "official_mg": 0, "rules": rules}
        known = self.trips.get(record.id)
        if known is None:
            return self._store(record, line, now, judge(record)).result()
        if known.status is State.ERASED:
            return {**known.result(), "sha256": digest}
        if digest not in self._conflicts:
            self._conflicts.add(digest)
            self._tell(now, "conflict", known.id, State.CONFLICT, digest)
        return {"id": record.id, "sha256": digest, **_status(State.CONFLICT), "rules": [CONFLICT]}

    def decide(self, id: str, status: State, now: datetime, official_mg: int | None = None) -> None:
        """Staff looked at a held trip. Raises KeyError for an unknown one, ValueError for one that is not held."""
        trip = self.trips[id]
        if trip.status is not State.HELD:
            raise ValueError(f"the trip is {trip.status}, not held")
        trip.status = status
        trip.official_mg = 0 if status is State.REJECTED else trip.official_mg if official_mg is None else official_mg
        self._credit(trip, now)
        self._tell(now, "decision", id, status, trip.sha256)

    def erase(self, ids: Iterable[str], now: datetime) -> list[str]:
        """Erase trips, whether or not they came. Idempotent; returns all that were asked for, sorted."""
        asked = sorted(set(ids))
        for id in asked:
            trip = self.trips.setdefault(id, FakeTrip(id, _month(now), State.HELD))
            if trip.status is not State.ERASED:
                self._erase(trip, now)
                self._tell(now, "erasure", id, trip.status, trip.sha256)
        return asked

    def erase_all(self, now: datetime) -> None:
        """Erase the whole account: its bytes, its balance, its devices."""
        for trip in self.trips.values():
            if trip.status is not State.ERASED:
                self._erase(trip, now)
        self.erased = True
        self.consents.clear()
        self.notices.clear()

    def missing(self, ids: Iterable[str]) -> list[str]:
        """Those of which there is neither a trip nor an erasure."""
        return sorted(set(ids) - set(self.trips))

    def months(self) -> dict[str, JsonValue]:
        """Count and digest of the ids by month of arrival."""
        found: dict[str, list[str]] = {}
        for trip in self.trips.values():
            found.setdefault(trip.month, []).append(trip.id)
        return {month: {"count": len(ids), "digest": _ids_digest(ids)} for month, ids in sorted(found.items())}

    def counts(self) -> dict[str, JsonValue]:
        """How many trips have each status."""
        statuses = [trip.status for trip in self.trips.values() if trip.sha256]
        return {status.value: statuses.count(status) for status in STATUSES}

    def notices_after(self, number: int) -> list[dict[str, JsonValue]]:
        """The notices above a number, each with what its trip counts for now."""
        return [notice | self._now(notice) for notice in self.notices[number:]]

    def _store(self, record: TripRecord, line: bytes, now: datetime, status: State) -> FakeTrip:
        mg = 0 if status is State.REJECTED else record.reduction_mg
        trip = FakeTrip(record.id, _month(now), status, line, sha256_hex(line), mg)
        self.trips[trip.id] = trip
        self._ids[sha256_hex(line)] = trip.id
        self._credit(trip, now)
        return trip

    def _credit(self, trip: FakeTrip, now: datetime) -> None:
        if trip.status is State.ACCEPTED and trip.official_mg:
            self._post(now, "trip", trip.id, trip.official_mg)

    def _erase(self, trip: FakeTrip, now: datetime) -> None:
        if trip.status is State.ACCEPTED and trip.official_mg:
            self._post(now, "trip_erasure", trip.id, -trip.official_mg)
        trip.status, trip.line, trip.official_mg, trip.rules = State.ERASED, None, 0, []

    def _tell(self, now: datetime, kind: str, id: str, status: State, sha256: str | None) -> None:
        number = len(self.notices) + 1
        notice: dict[str, JsonValue] = {"number": number, "at": _hour(now), "kind": kind, "trip": id}
        self.notices.append(notice | {"status": status, "sha256": sha256})

    def _now(self, notice: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        trip = self.trips[str(notice["trip"])]
        same = trip.status == notice["status"]
        return {"official_mg": trip.official_mg if same else 0, "rules": trip.rules if same else []}

    def _post(self, now: datetime, kind: str, trip: str, mg: int) -> None:
        self.balance_mg += mg
        number = len(self.statement) + 1
        entry: dict[str, JsonValue] = {
            "number": number,
            "at": _hour(now),
            "kind": kind,
            "trip": trip,
            "mg": mg,
            "balance_mg": self.balance_mg,
        }
        self.statement.append(entry)


@dataclass
class Enrolment:
    """A code that was sent."""

    phone: str
    expires_at: datetime
    tries_left: int
    used_by: str = ""
    """The device that used it."""


@dataclass
class FakeBooks:
    """All that a `FakeServer` would have in its database: see `FakeServer.backup`."""

    accounts: dict[str, FakeAccount] = field(default_factory=dict)
    people: dict[str, str] = field(default_factory=dict)
    """The account of each phone number."""
    devices: dict[str, bytes] = field(default_factory=dict)
    """The public key of each device, also of an ended one."""
    ended: set[str] = field(default_factory=set)
    """Devices that may call no more."""
    enrolments: dict[str, Enrolment] = field(default_factory=dict)
    codes: int = 0
    """How many were sent."""
    certificates: dict[str, str] = field(default_factory=dict)
    """By the erasure order."""

    def account_of(self, device: str) -> FakeAccount:
        """The account of a device. Raises StopIteration for an unknown one."""
        return next(account for account in self.accounts.values() if device in account.devices)

    def join(self, phone: str, device: str) -> FakeAccount:
        """The account of the person with this number, with this device in it; a new one if need be."""
        id = self.people.setdefault(phone, f"account-{len(self.accounts) + 1}")
        account = self.accounts.setdefault(id, FakeAccount(id))
        account.devices.add(device)
        return account

    def erase(self, account: FakeAccount, now: datetime) -> None:
        """Erase a whole account; the person may open a new one."""
        account.erase_all(now)
        self.ended |= account.devices
        gone = {phone for phone, id in self.people.items() if id == account.id}
        self.people = {phone: id for phone, id in self.people.items() if phone not in gone}
        self.enrolments = {id: one for id, one in self.enrolments.items() if one.phone not in gone}


STATUSES: Sequence[State] = (State.ACCEPTED, State.HELD, State.REJECTED, State.ERASED)
"""What a stored trip may be."""

CONFLICT: Mapping[str, JsonValue] = {
    "rule": "conflict",
    "severity": "reject",
    "en": "another record has this id; the first one stays, and this one does not count",
    "zh": "该编号已有另一条记录，以先到者为准；本条不计入",
}


def _status(status: State) -> dict[str, JsonValue]:
    return {"status": status, "state": status}


def _rule(rule: str, severity: str, error: RecordInvalid | RecordUnsupported) -> JsonValue:
    return {"rule": rule, "severity": severity, "en": error.en, "zh": error.zh}


def _ids_digest(ids: Iterable[str]) -> str:
    return hashlib.sha256("".join(f"{one}\n" for one in sorted(ids)).encode()).hexdigest()


def _month(at: datetime) -> str:
    return at.strftime("%Y-%m")


def _hour(at: datetime) -> str:
    return rfc3339(at.replace(minute=0, second=0))
