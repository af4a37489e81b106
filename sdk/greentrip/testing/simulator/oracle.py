"""What must be true once the faults have stopped and everything has drained. Pure: it only compares.

Accepted on the server = recorded on the phones - erased - refused with a reason; no record counted twice; every balance
equals the sum of its accepted records; nothing waits; phone and server say the same of each record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from greentrip.states import State
from greentrip.testing.simulator.backend import ServerAccount, ServerTrip
from greentrip.testing.simulator.report import SETTLED
from greentrip.testing.simulator.told import Member, Record, Wish
from greentrip.views import Stats, TripView

COUNTS = State.ACCEPTED


@dataclass(frozen=True, slots=True)
class Shown:
    """What one phone shows in the end, and whose."""

    phone: str
    member: Member
    trips: Mapping[str, TripView]
    stats: Stats


def of_phone(shown: Shown, accounts: Mapping[str, ServerAccount]) -> list[str]:
    """What a phone and the server do not say alike, in sentences that name the record."""
    account = accounts.get(shown.member.account or "")
    if shown.member.records and account is None:
        return [f"{shown.phone}: the server does not know its account"]
    there = account.trips if account else {}
    found = [
        f"{shown.phone}: {trip_id} {why}"
        for trip_id, record in shown.member.records.items()
        if (why := _of_record(record, shown.trips.get(trip_id), there.get(trip_id)))
    ]
    strange = set(shown.trips) - set(shown.member.records)
    found += [f"{shown.phone}: nobody recorded {one}" for one in sorted(strange) if shown.trips[one].record]
    return found + _of_counts(shown)


def ends_of(member: Member, trips: Mapping[str, TripView]) -> Counter[str]:
    """How each record of a person on a phone ended: erased, or in the state that the phone shows."""
    ends: Counter[str] = Counter()
    for trip_id, record in member.records.items():
        view = trips.get(trip_id)
        ends["erased" if record.wish is Wish.ERASE else view.state.value if view else "lost"] += 1
    return ends


def _of_record(record: Record, view: TripView | None, trip: ServerTrip | None) -> str:
    """What is wrong about one record; empty when all is well."""
    if trip is not None and trip.line is not None and trip.line != record.line:
        return "is at the server with other bytes than finish() returned"
    if record.wish is Wish.ERASE:
        if view is not None:
            return "was erased and is shown"
        if trip is not None and (trip.status != State.ERASED or trip.line is not None):
            return f"was erased and is {trip.status} at the server"
        return ""
    if view is None:
        return "was recorded and is gone from the phone"
    if record.wish is Wish.WITHDRAW:
        known = "" if trip is None else f" and {trip.status} at the server"
        return "" if view.state is State.WITHDRAWN and not known else f"was withdrawn, and is {view.state}{known}"
    if record.rotten and view.state is State.DAMAGED:
        return ""
    if view.record != record.line:
        return "has other bytes on the phone than finish() returned"
    if trip is None:
        return f"is {view.state} on the phone and not at the server"
    if view.state not in SETTLED or view.state != trip.status:
        return f"is {view.state} on the phone and {trip.status} at the server"
    if view.state is State.REJECTED and not view.rules:
        return "was refused without a reason"
    if view.state is COUNTS and view.official_mg != trip.mg:
        return f"counts {view.official_mg} mg on the phone and {trip.mg} mg at the server"
    return ""


def _of_counts(shown: Shown) -> list[str]:
    stats = shown.stats
    waiting = sum(stats.states.get(state, 0) for state in (State.PENDING, State.LEASED))
    found = []
    if waiting or stats.waiting:
        found.append(f"{shown.phone}: {waiting} records still wait")
    not_final = (State.HELD, State.UNSUPPORTED, State.SET_ASIDE)
    parts = stats.local + stats.waiting + stats.asked + sum(stats.exits.values())
    parts += sum(stats.states.get(state, 0) for state in not_final)
    if parts != stats.recorded:
        found.append(f"{shown.phone}: stats() says {stats.recorded} recorded, and its parts are {parts}")
    return found


def of_accounts(members: Iterable[Member], accounts: Mapping[str, ServerAccount]) -> list[str]:
    """What an account has that nobody recorded for it, and balances that are no sums."""
    recorded: dict[str, set[str]] = {}
    for member in members:
        recorded.setdefault(member.account or "", set()).update(member.records)
    return [
        wrong
        for account_id, account in accounts.items()
        for wrong in _of_account(account_id, account, recorded.get(account_id, set()))
    ]


def of_former(member: Member, accounts: Mapping[str, ServerAccount]) -> list[str]:
    """What is left of an account that was erased."""
    account = accounts.get(member.account or "")
    if account is None:
        return []
    kept = [one for one, trip in account.trips.items() if trip.status != State.ERASED or trip.line is not None]
    found = [f"account {member.account} was erased, and {one} is still there" for one in kept]
    return found + ([f"account {member.account} was erased, and has a balance"] if account.balance_mg else [])


def _of_account(account_id: str, account: ServerAccount, recorded: set[str]) -> list[str]:
    found = [f"account {account_id}: {one} was never recorded" for one in sorted(set(account.trips) - recorded)]
    counted = sum(trip.mg for trip in account.trips.values() if trip.status == COUNTS)
    if counted != account.balance_mg:
        found.append(f"account {account_id}: the balance is {account.balance_mg} mg, its accepted records {counted} mg")
    return found
