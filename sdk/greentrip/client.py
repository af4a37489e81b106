"""`GreenTrip`: the one object that an app holds. It records trips on the phone and sends what may leave it."""

from __future__ import annotations

import hashlib
import json
import random
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

from greentrip.clock import Clock, SystemClock
from greentrip.distance.rail import Network
from greentrip.errors import Closed, InvalidInput, NoTrip, StorageError, TripRunning, Untrusted
from greentrip.http import Http, check_server
from greentrip.measure import Measured, estimate_leg, measure_trip, point_of, station_of
from greentrip.methodology import Methodology, bundled
from greentrip.record import MeasuredTrip, desensitise
from greentrip.recorder import (
    CHANGE,
    RESUME,
    START,
    SWITCH,
    ActiveTrip,
    Event,
    active_trip,
    check_mode,
    check_switch,
    checked_fix,
    legs_of,
    place_to_json,
    stamp,
)
from greentrip.remote import Remote, check_root_key, field_of
from greentrip.secrets_store import FileSecrets, SecretStore
from greentrip.signing import KEY_BYTES, Signer, new_seed, signer_of
from greentrip.store import Mark, Receipt, State, Store
from greentrip.sync import Sender, Stop, SyncReport
from greentrip.trip import Fix, Flag, Mode, Place, Point, Station
from greentrip.views import Account, Entry, Stats, TripView, summary_of, view_of
from greentrip.wire import base64url

if TYPE_CHECKING:
    import httpx

PAGES_MAX = 1_000
SYNC_TIMEOUT_S = 30.0
CLOSE_TIMEOUT_S = 5.0


class GreenTrip:
    """Records low-carbon trips offline and earns credits for them.

    Everything about a trip is kept in one SQLite file in `folder`; only the desensitised record is ever sent. All
    methods may be called from any thread. Make it with `GreenTrip.open()`; use it as a context manager or `close()` it.
    """

    def __init__(
        self,
        store: Store,
        remote: Remote,
        http: Http,
        secrets: SecretStore,
        network: Network | None,
        methodology: Methodology,
        clock: Clock,
        dice: Callable[[], float],
    ) -> None:
        self._store = store
        self._remote = remote
        self._http = http
        self._secrets = secrets
        self._network = network
        self._methodology = methodology
        self._clock = clock
        self._sender = Sender(store, remote, clock, dice)
        self._lock = threading.RLock()
        self._alive = False
        self._open = True
        remote.signer = _device_key(secrets)

    @classmethod
    def open(
        cls,
        folder: Path | str,
        *,
        server: str,
        root_key: str,
        network: Network | None = None,
        methodology: Methodology | None = None,
        secrets: SecretStore | None = None,
        clock: Clock | None = None,
        transport: httpx.BaseTransport | None = None,
        dice: Callable[[], float] = random.random,
    ) -> GreenTrip:
        """Open the trips of one server in `folder`. Needs no network; a trip in progress is found again.

        `server` is an https URL (http on this machine only), `root_key` its pinned key as base64url
        (`greentrip-server keys show`). `network` enables rail by stations. Raises `InvalidInput` or `StorageError`.
        """
        server = check_server(server)
        root = check_root_key(root_key)
        folder = Path(folder)
        name = hashlib.sha256(root).hexdigest()[:16]
        store = Store(folder / f"greentrip-{name}.sqlite3")
        http = Http(server, transport)
        clock = clock or SystemClock()
        remote = Remote(http, root, store, clock)
        secrets = secrets or FileSecrets(folder / f"greentrip-{name}")
        return cls(store, remote, http, secrets, network, methodology or bundled(), clock, dice)

    # Recording

    def start(
        self, mode: Mode | str, at_place: Place | str, *, at: datetime | float | None = None, replayed: bool = False
    ) -> None:
        """Begin a trip in `mode` at a point or a station. On disk when it returns.

        `at` (aware datetime or Unix seconds) enters a trip afterwards; `replayed` marks one that is played from a file.
        """
        with self._ready():
            if self._store.events():
                raise TripRunning
            # UUIDv4, from the system's random source: a time-ordered id would tell the minute.
            trip_id = str(uuid.uuid4())
            body = {"trip": trip_id, "mode": check_mode(mode), "replayed": replayed}
            self._append(START, None, at, place=self._place(at_place), **body)
            self._alive = True

    def switch(
        self,
        mode: Mode | str,
        at_place: Place | str,
        *,
        changes: Sequence[str] | None = None,
        at: datetime | float | None = None,
    ) -> None:
        """End the present leg at a place and go on in `mode`. From rail to rail it names a change of lines instead.

        `changes` are the stations where the leg that ends changed lines, for example ("双井", "呼家楼"); they take the
        place of those that were named on the way.
        """
        with self._ready():
            events = self._running()
            mode, place = check_mode(mode), self._place(at_place)
            last_mode = [event.body["mode"] for event in events if event.kind in (START, SWITCH)][-1]
            body: dict[str, object]
            if mode is Mode.RAIL and last_mode == Mode.RAIL:
                kind, body, changes = CHANGE, {"station": self._station(place)}, None
            else:
                check_switch(events)
                kind = SWITCH
                body = {"mode": mode, "place": place_to_json(place), "changes": changes and list(changes)}
            at_s, monotonic, boot = stamp(self._clock, events[-1], at)
            ending = legs_of(events, self._store.fixes(), place, at_s, changes)[-1]
            # Refuses a leg of no length or an impossible change now, not at the end.
            estimate_leg(ending, self._network)
            if not self._alive:
                # Going on without resume() leaves the same gap.
                self._store.append_event(Event(RESUME, at_s, monotonic, boot, {}))
                self._alive = True
            self._store.append_event(Event(kind, at_s, monotonic, boot, body))

    def fix(
        self,
        point: Point,
        *,
        at: datetime | float | None = None,
        accuracy_m: float | None = None,
        mock: bool = False,
    ) -> None:
        """Add a position to the trip in progress. `accuracy_m`: 68 % radius; `mock`: what the system says of it.

        Hand over every position as the system gives it: a negative accuracy marks an invalid one (iOS), a satellite's
        time may be ahead of a slow clock. What cannot be used is left out when the trip is measured.
        """
        with self._ready():
            events = self._running()
            self._store.append_fix(checked_fix(self._clock, events[-1], point, at, accuracy_m, mock))

    def resume(self) -> ActiveTrip:
        """Go on with a trip that was interrupted; the time in between is marked as a gap."""
        with self._ready():
            events = self._running()
            if not self._alive:
                self._append(RESUME, events[-1], None)
                self._alive = True
            active = self.active
            if active is None:
                raise NoTrip
            return active

    def finish(
        self,
        at_place: Place | str | None = None,
        *,
        changes: Sequence[str] | None = None,
        at: datetime | float | None = None,
    ) -> TripView:
        """End the trip and return what it earned; committed to disk with its record and queue entry before it returns.

        Without a place it ends at the last fix, at that fix's time. `changes` are those of the last leg and take the
        place of those that were named on the way. Raises `InvalidInput` and keeps the trip running
        when something about it cannot be right.
        """
        with self._ready():
            # Another process may record into the same trip: what it added meanwhile is measured too.
            while True:
                mark = self._store.mark()
                events, fixes = self._running(), self._store.fixes()
                place, ended_at = self._end(events, fixes, at_place, at)
                legs = legs_of(events, fixes, place, ended_at, changes)
                measured = measure_trip(legs, self._network, self._methodology, self._flags(events))
                trip = self._commit(str(events[0].body["trip"]), measured, mark)
                if trip is not None:
                    return trip

    def cancel(self) -> None:
        """Forget the trip in progress."""
        with self._ready():
            self._running()
            self._store.discard_trip()
            self._alive = False

    @property
    def active(self) -> ActiveTrip | None:
        """The trip in progress, or None. `interrupted`: the app died since; resume(), finish() or cancel() it."""
        with self._ready():
            return active_trip(self._store.events(), self._store.last_fix(), self._store.fix_count(), self._alive)

    # What there is

    def trips(self) -> list[TripView]:
        """Every finished trip on this phone, newest first, with the server's last word on it."""
        with self._ready():
            return [view_of(row) for row in self._store.trips()]

    def stats(self) -> Stats:
        """Counts: recorded, waiting, and how records left the queue, by state and rule."""
        with self._ready():
            states, tallies = self._store.states(), self._store.tallies()
            rules: dict[str, int] = {}
            for trip in self._store.trips():
                for rule in view_of(trip).rules:
                    rules[rule.id] = rules.get(rule.id, 0) + 1
            under_way = (State.PENDING, State.LEASED)
            not_final = (*under_way, State.HELD, State.UNSUPPORTED)
            return Stats(
                recorded=tallies.get("recorded", 0) + tallies.get("local", 0),
                local=tallies.get("local", 0),
                cancelled=tallies.get("cancelled", 0),
                waiting=sum(states.get(state, 0) for state in under_way),
                states=states,
                exits={state: count for state, count in states.items() if state not in not_final},
                refused=tallies.get("refused", 0),
                rules=rules,
            )

    def receipt(self, trip_id: str) -> tuple[bytes, Receipt] | None:
        """The server's signed result line for a trip and the receipt that proves it offline, or None so far."""
        with self._ready():
            return self._store.receipt_of(trip_id)

    def verify_receipt(self, trip_id: str) -> datetime:
        """Check a trip's receipt again from what this phone keeps, without a network. Returns when the server signed.

        It proves that the pinned server gave this result for exactly the bytes that left the phone. Raises `Untrusted`.
        """
        with self._ready():
            try:
                found = self._store.receipt_of(trip_id)
                record = self._store.trip(trip_id).record if found else None
            except ValueError:
                raise Untrusted("what this phone kept is damaged") from None
            if found is None or record is None:
                raise Untrusted("there is no receipt for this trip")
            return self._remote.verify_kept(record, *found)

    # The server

    def request_code(self, phone: str) -> None:
        """Ask the server to send a one-time code to a phone number. Raises `Refused` or `Unreachable`."""
        self._check_open()
        answer = self._remote.plain("POST", "/v1/enrolments", json.dumps({"phone": phone}).encode())
        self._store.put("enrolment", str(field_of(answer, "enrolment")))

    def enrol(self, code: str, consents: Mapping[str, str]) -> str:
        """Open (or join) the account with the code; `consents` names each purpose and the version that was accepted.

        Idempotent: repeated after a lost answer, it gives the same account. Returns the account's id.
        """
        # Network calls never hold the lock: a fix must not wait for a server.
        self._check_open()
        enrolment = self._store.get("enrolment")
        if enrolment is None:
            raise InvalidInput("code", "no code was requested: request_code() first", "请先获取验证码")
        body = {
            "enrolment": enrolment,
            "code": code,
            "public_key": base64url(self._device_signer().public_key),
            "consents": dict(consents),
        }
        answer = self._remote.fetch("POST", "/v1/devices", json.dumps(body).encode())
        account = str(field_of(answer, "account"))
        self._bind(account)
        return account

    @property
    def account_id(self) -> str | None:
        """The account of this phone, or None before enrol()."""
        with self._ready():
            return self._store.get("account")

    def sync(self, timeout: float = SYNC_TIMEOUT_S) -> SyncReport:
        """Send what waits, for at most `timeout` seconds. Says what settled, what is left and why; does not raise."""
        self._check_open()
        try:
            if self.account_id is None:
                return SyncReport(left=self._store.waiting(), stop=Stop.NOT_ENROLLED)
            return self._sender.sync(timeout)
        except StorageError as error:
            # The store counts what is left when it can be read again; what was leased frees itself.
            return SyncReport(stop=Stop.STORAGE, detail=error.en)

    def account(self) -> Account:
        """The account's balance by the server, and what still waits here. Raises `ServerError`."""
        self._check_open()
        answer = self._remote.fetch("GET", "/v1/account")
        waiting = [trip for trip in self.trips() if trip.state in (State.PENDING, State.LEASED)]
        return Account(
            id=str(field_of(answer, "account")),
            balance_mg=cast("int", field_of(answer, "balance_mg")),
            trips=cast("dict[str, int]", field_of(answer, "trips")),
            waiting=len(waiting),
            waiting_mg=sum(trip.reduction_mg for trip in waiting),
        )

    def statement(self) -> list[Entry]:
        """Every entry of the account, oldest first. Raises `ServerError`."""
        self._check_open()
        entries: list[Entry] = []
        target = "/v1/account/statement"
        for _ in range(PAGES_MAX):
            page = self._remote.fetch("GET", target)
            entries += [_entry(item) for item in cast("list[dict[str, object]]", field_of(page, "entries"))]
            if not page.get("next"):
                return entries
            target = f"/v1/account/statement?after={page['next']}"
        raise Untrusted(f"a statement of more than {PAGES_MAX} pages")

    # Life

    def close(self, timeout: float = CLOSE_TIMEOUT_S) -> SyncReport:
        """Send what can be sent within `timeout` seconds (0: nothing), then let go of the file. Says what is left."""
        self._check_open()
        report = self.sync(timeout) if timeout > 0 else SyncReport(left=self._store.waiting())
        with self._lock:
            self._open = False
            self._http.close()
            self._store.close()
        return report

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._open:
            self.close(timeout=0)

    # Inside

    def _ready(self) -> threading.RLock:
        self._check_open()
        return self._lock

    def _check_open(self) -> None:
        if not self._open:
            raise Closed

    def _running(self) -> list[Event]:
        events = self._store.events()
        if not events:
            raise NoTrip
        return events

    def _append(self, kind: str, last: Event | None, at: datetime | float | None, **body: object) -> None:
        at_s, monotonic, boot = stamp(self._clock, last, at)
        place = body.get("place")
        if isinstance(place, Point | Station):
            body["place"] = place_to_json(place)
        self._store.append_event(Event(kind, at_s, monotonic, boot, body))

    def _place(self, place: Place | str) -> Place:
        found = Station(place) if isinstance(place, str) else place
        if not isinstance(found, Point | Station):
            raise InvalidInput("place", f"{place!r} is neither a Point nor a station name", "应为坐标点或站名")
        point_of(found, self._network)  # an unknown station is refused now, with suggestions
        return found

    def _station(self, place: Place) -> str:
        name = station_of(place, self._network) if self._network else None
        if name is None:
            raise InvalidInput("place", "a change of lines happens at a station", "换乘须在车站进行")
        return name

    def _flags(self, events: Sequence[Event]) -> frozenset[Flag]:
        resumed = {Flag.GAP} if any(event.kind == RESUME for event in events) or not self._alive else set()
        return frozenset(resumed | ({Flag.REPLAY} if events[0].body.get("replayed") else set()))

    def _end(
        self, events: Sequence[Event], fixes: Sequence[Fix], at_place: Place | str | None, at: datetime | float | None
    ) -> tuple[Place, float]:
        """Where and when a trip ends; without a place at its last fix."""
        if at_place is not None:
            return self._place(at_place), stamp(self._clock, events[-1], at)[0]
        if not fixes:
            raise InvalidInput("place", "no fix was recorded: say where the trip ended", "没有轨迹点：请指定终点")
        newest = max(fixes, key=lambda fix: fix.at)
        # Not compared with the wall clock, which may have jumped back since.
        last_at = max(newest.at, events[-1].at)
        return newest.point, last_at if at is None else stamp(self._clock, events[-1], at)[0]

    def _commit(self, trip_id: str, measured: Measured, mark: Mark) -> TripView | None:
        """The finished trip, or None when it went on since the mark."""
        trip = MeasuredTrip(
            id=trip_id,
            legs=measured.legs,
            province=measured.province or 0,
            methodology=self._methodology.reference,
            reduction_mg=measured.reduction.mg,
            flags=measured.flags,
        )
        record, evidence = desensitise(trip)
        line = record.to_bytes() if measured.province is not None else None
        try:
            recorded_ms = round(self._clock.now() * 1000)
            if not self._store.commit_trip(trip.id, recorded_ms, summary_of(measured), evidence, line, mark):
                return None
        except StorageError:
            self._store.count_quietly("refused")
            raise
        self._alive = False
        return view_of(self._store.trip(trip.id))

    def _device_signer(self) -> Signer:
        """This phone's key, made at the first need and kept before it is used: a lost answer must find it again."""
        with self._lock:
            if self._remote.signer is None:
                seed = new_seed()
                self._secrets.save("device", seed)
                self._remote.signer = signer_of(seed)
            return self._remote.signer

    def _bind(self, account: str) -> None:
        known = self.account_id
        if known not in (None, account):
            raise Untrusted("the server names another account for this phone's key")
        self._store.put("account", account)


def _device_key(secrets: SecretStore) -> Signer | None:
    seed = secrets.load("device")
    if seed is not None and len(seed) != KEY_BYTES:
        raise StorageError(
            "this phone's key is damaged: remove it and enrol again; trips are kept",
            "本机密钥已损坏：请删除密钥后重新开户；出行记录均会保留",
        )
    return signer_of(seed) if seed else None


def _entry(item: Mapping[str, object]) -> Entry:
    trip = item.get("trip")
    return Entry(
        at=str(field_of(item, "at")),
        kind=str(field_of(item, "kind")),
        trip=str(trip) if trip is not None else None,
        mg=cast("int", field_of(item, "mg")),
        balance_mg=cast("int", field_of(item, "balance_mg")),
    )
