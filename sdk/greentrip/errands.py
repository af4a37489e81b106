"""What the phone tells and asks the server beside its records: erasures first, and every four weeks a comparison.

An errand is one call. It never stands in the way of records: a server that does not know the call is asked again a day
later, whatever else there is to send goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

from greentrip.errors import Unreachable
from greentrip.events import Erased, Event
from greentrip.remote import Remote, field_of
from greentrip.store import OPTED_OUT, Store
from greentrip.store.rows import is_id
from greentrip.wire import ids_digest, sha256_hex

CHECK_IN_S = 28 * 24 * 3600.0
"""So often the phone asks whether the server still has what it signed for. When the server's keys have changed it asks
at once: an operator who restored a backup rotates them."""
LATER_S = 24 * 3600.0
"""After an answer that refuses the call, or is none of this protocol."""
SOON_S = 3600.0
"""After an answer that promises better. Longer than any back-off: records go first meanwhile."""
UNANSWERED_S = 1800.0
"""After no answer, or none that can be trusted. Longer than any back-off, too."""
ERASURES_A_CALL_MAX = 500
IDS_A_CALL_MAX = 2_000
CHECKED = "checked_ms"
_MONTHS = "months_verified"
_SWEEP = "sweep"
"""While ids are compared: how many were, and the months that the server named."""


@dataclass(frozen=True, slots=True)
class Errand:
    """One call and what to do with its verified answer. Unsigned calls answer with something signed in themselves."""

    name: str
    method: str
    target: str
    body: bytes
    done: Callable[[Mapping[str, object]], None]
    signed: bool = True


class Errands:
    """Which errand is due next."""

    def __init__(self, store: Store, remote: Remote, tell: Callable[[Event], None]) -> None:
        self._store = store
        self._remote = remote
        self._tell = tell

    def urgent(self, now_ms: int) -> Errand | None:
        """What the person ordered: to erase."""
        for order in self._store.erasure_orders():
            if self._is_due(_name_of(order), now_ms):
                certified = partial(self._certified, order)
                return Errand(_name_of(order), "POST", "/v1/erasure", _json({"order": order}), certified, signed=False)
        ids = self._to_erase()[:ERASURES_A_CALL_MAX]
        if ids and self._is_due("trip_erasures", now_ms):
            body = _json({"trips": ids})
            return Errand("trip_erasures", "POST", "/v1/trip-erasures", body, lambda value: self._erased(ids, value))
        return None

    def routine(self, now_ms: int) -> Errand | None:
        """What is due every four weeks, one call after the other."""
        if not self._is_due("check_in", now_ms):
            return None
        if self._store.get(_SWEEP) is not None:
            return self._compare(self._kept(_SWEEP), now_ms)
        checked_ms = self._store.number(CHECKED)
        if not checked_ms:
            if self._store.has_told():
                self._store.put(CHECKED, str(now_ms))  # the time begins with the first result
            return None
        # A time ahead is absurd: the clock was ahead then.
        if 0 <= now_ms - checked_ms < CHECK_IN_S * 1000:
            return None
        return self._compare({}, now_ms)

    def next_due_ms(self, now_ms: int, *, signed: bool) -> int | None:
        """When the next errand is due by itself (over: now); None while none is. `signed`: the phone has a key."""
        times = [self._later_ms(_name_of(order), now_ms) for order in self._store.erasure_orders()]
        if signed and self._to_erase():
            times.append(self._later_ms("trip_erasures", now_ms))
        checked_ms, sweeps = self._store.number(CHECKED), self._store.get(_SWEEP)
        begins = checked_ms or sweeps or self._store.has_told()
        if signed and begins and not self._store.get(OPTED_OUT):
            # As `routine` has it: a time ahead is absurd, and over; the first time begins now.
            over = sweeps or not checked_ms or checked_ms > now_ms
            planned_ms = now_ms if over else checked_ms + round(CHECK_IN_S * 1000)
            times.append(max(self._later_ms("check_in", now_ms), planned_ms))
        return max(now_ms, min(times)) if times else None

    def check_in_now(self) -> None:
        """Do not wait for the time to be over."""
        self._store.put(CHECKED, "1")
        self._store.drop("later:check_in")

    def hurry(self) -> None:
        """The person asks now: what was put off of the person's own orders, or of a repair, is tried again."""
        orders = map(_name_of, self._store.erasure_orders())
        asked = ("check_in",) if self._store.number(CHECKED) == 1 else ()
        for name in ("trip_erasures", *orders, *asked):
            if self._store.get(f"later:{name}") is not None:
                self._store.drop(f"later:{name}")

    def put_off(self, errand: Errand, now_ms: int, pause_s: float) -> None:
        """The server does not take this call: ask again after a pause, at most `LATER_S`."""
        self._store.put(f"later:{errand.name}", str(now_ms + round(pause_s * 1000)))

    # What the answers mean

    def _certified(self, order: str, value: Mapping[str, object]) -> None:
        self._remote.open_certificate(order, field_of(value, "certificate", str))
        self._store.confirm_order(order)
        self._tell(Erased(certified=True))

    def _erased(self, asked: Sequence[str], value: Mapping[str, object]) -> None:
        told = set(map(str, field_of(value, "erased", list)))
        if not told.intersection(asked):
            raise Unreachable("the answer erases nothing of what was asked")
        self._store.confirm_erasures([one for one in asked if one in told])

    def _compare(self, sweep: dict[str, object], now_ms: int) -> Errand:
        """First by month and digest; where those differ, id by id, in pieces."""
        start = sweep.get("from")
        if not isinstance(start, int):
            return Errand("check_in", "GET", "/v1/sync-state", b"", lambda value: self._months(value, now_ms))
        ids = _sound(self._store.settled_ids())[start : start + IDS_A_CALL_MAX]
        body = _json({"trips": ids})
        return Errand(
            "check_in", "POST", "/v1/sync-state", body, lambda value: self._missing(ids, sweep, value, now_ms)
        )

    def _months(self, value: Mapping[str, object], now_ms: int) -> None:
        months = field_of(value, "months", dict)
        theirs = {str(month): field_of(state, "digest", str) for month, state in months.items()}
        ours = {month: ids_digest(ids) for month, ids in self._store.settled_months().items()}
        # Another phone's trips make a month differ for good: it is compared again when either side has changed.
        both = {month: [theirs.get(month), ours.get(month)] for month in {*theirs, *ours}}
        verified = self._kept(_MONTHS)
        if any(pair[0] != pair[1] and pair != verified.get(month) for month, pair in both.items()):
            self._store.put(_SWEEP, json.dumps({"from": 0, "months": both}))
        else:
            self._finish(now_ms)

    def _missing(
        self, asked: Sequence[str], sweep: Mapping[str, object], value: Mapping[str, object], now_ms: int
    ) -> None:
        lost = set(map(str, field_of(value, "missing", list))).intersection(asked)
        if lost:
            self._store.requeue(sorted(lost))  # it was set back to a time before these
        if len(asked) < IDS_A_CALL_MAX:
            self._store.put(_MONTHS, json.dumps(sweep.get("months", {})))
            self._finish(now_ms)
        else:
            start = cast("int", sweep["from"]) + len(asked) - len(lost)
            self._store.put(_SWEEP, json.dumps({**sweep, "from": start}))

    def _to_erase(self) -> list[str]:
        return _sound(self._store.erasures())

    def _finish(self, now_ms: int) -> None:
        self._store.drop(_SWEEP)
        self._store.put(CHECKED, str(now_ms))
        # A server that was set back has forgotten what it was told to erase since, and no comparison shows that.
        self._store.repeat_erasures()

    def _kept(self, name: str) -> dict[str, object]:
        """An object that this phone keeps; an empty one where it is damaged: then the comparison begins anew."""
        try:
            value = json.loads(self._store.get(name) or "{}")
        except (ValueError, RecursionError):
            value = {}
        return value if isinstance(value, dict) else {}

    def _is_due(self, name: str, now_ms: int) -> bool:
        return self._later_ms(name, now_ms) <= now_ms

    def _later_ms(self, name: str, now_ms: int) -> int:
        """Until when an errand was put off; 0 for a time so far ahead that the clock must have jumped back since."""
        later_ms = self._store.number(f"later:{name}")
        return later_ms if later_ms <= now_ms + LATER_S * 1000 else 0


def _name_of(order: str) -> str:
    return f"erasure:{sha256_hex(order.encode())[:16]}"


def _sound(ids: Sequence[str]) -> list[str]:
    """Those that are ids: one that was damaged would make a server refuse its neighbours too."""
    return [one for one in ids if is_id(one)]


def _json(value: object) -> bytes:
    return json.dumps(value).encode()
