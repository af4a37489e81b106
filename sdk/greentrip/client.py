"""`GreenTrip`: the one object that an app holds. It records trips on the phone and sends what may leave it."""

from __future__ import annotations

import hashlib
import random
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from greentrip.arrival import Suggestion
from greentrip.clock import Clock, SystemClock
from greentrip.correction import Answer, check_answer, corrected
from greentrip.distance.cleaning import ends_of, is_null_island
from greentrip.distance.datum import AnyPlace, AnyPoint, wgs84_of
from greentrip.distance.rail import Network
from greentrip.errors import (
    Closed,
    InvalidInput,
    NoQuestion,
    NoTrip,
    StationClosed,
    StorageError,
    TripRunning,
    Untrusted,
)
from greentrip.evidence import fingerprint_of
from greentrip.http import Http, check_server
from greentrip.keeping import kept, kept_flags, kept_legs
from greentrip.measure import Measured, estimate_leg, measure_trip, point_of, station_of
from greentrip.membership import Membership
from greentrip.methodology import Methodology, bundled
from greentrip.recorder import (
    CHANGE,
    DECLINE,
    RESUME,
    START,
    SWITCH,
    ActiveTrip,
    Event,
    active_trip,
    check_mode,
    check_switch,
    checked_fix,
    last_step,
    legs_of,
    place_to_json,
    resumed,
    stamp,
)
from greentrip.remote import Remote, check_root_key
from greentrip.sampling import FixRequest
from greentrip.secrets_store import FileSecrets, SecretStore
from greentrip.store import Mark, NewTrip, Receipt, State, Store
from greentrip.sync import Sender, Stop, SyncReport
from greentrip.trip import Fix, Flag, Leg, Mode, Place, Point, Station
from greentrip.under_way import Followed, decline_body, fix_request, follow, followed_by, running_leg, suggestion_of
from greentrip.views import Account, Entry, Sampling, Stats, TripView, sampling_of, view_of

if TYPE_CHECKING:
    import httpx

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
        self._membership = Membership(store, remote, secrets)
        self._network = network
        self._methodology = methodology
        self._clock = clock
        self._sender = Sender(store, remote, clock, dice)
        self._lock = threading.RLock()
        self._alive = False
        self._followed: Followed | None = None
        self._open = True

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
        self, mode: Mode | str, at_place: AnyPlace | str, *, at: datetime | float | None = None, replayed: bool = False
    ) -> None:
        """Begin a trip in `mode` at a point (of any datum) or a station. On disk when it returns.

        `at` (aware datetime or Unix seconds) enters a trip afterwards; `replayed` marks one that is played from a file.
        """
        with self._ready():
            if self._store.events():
                raise TripRunning
            # UUIDv4, from the system's random source: a time-ordered id would tell the minute.
            trip_id = str(uuid.uuid4())
            body = {"trip": trip_id, "mode": check_mode(mode), "replayed": replayed}
            self._append(START, [], at, place=self._place(at_place), **body)
            self._alive = True

    def switch(
        self,
        mode: Mode | str,
        at_place: AnyPlace | str,
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
            at_s, monotonic, boot = stamp(self._clock, events, at)
            ending = legs_of(events, self._store.fixes(), place, at_s, changes)[-1]
            # Refuses a leg of no length or an impossible change now, not at the end.
            estimate_leg(ending, self._network)
            if not self._alive:
                # Going on without resume() leaves the same gap. It ends now, whenever the change is said to have been.
                self._go_on(events, at_s if at is None else max(at_s, self._clock.now()))
            self._store.append_event(Event(kind, at_s, monotonic, boot, body))

    def fix(
        self,
        point: AnyPoint,
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
            self._store.append_fix(checked_fix(self._clock, events, wgs84_of(point), at, accuracy_m, mock))

    def resume(self) -> ActiveTrip:
        """Go on with a trip that was interrupted; the time in between is marked as a gap."""
        with self._ready():
            events = self._running()
            if not self._alive:
                self._go_on(events, stamp(self._clock, events, None)[0])
            active = self.active
            if active is None:
                raise NoTrip
            return active

    def finish(
        self,
        at_place: AnyPlace | str | None = None,
        *,
        changes: Sequence[str] | None = None,
        at: datetime | float | None = None,
    ) -> TripView:
        """End the trip and return what it earned; committed to disk with its record and queue entry before it returns.

        Without a place it ends at the last fix that can be used, at that fix's time. `changes` are those of the last
        leg and take the place of those that were named on the way. Raises `InvalidInput` and keeps the trip running
        when something about it cannot be right.
        """
        with self._ready():
            # Another process may record into the same trip: what it added meanwhile is measured too.
            while True:
                mark = self._store.mark()
                events, fixes = self._running(), self._store.fixes()
                place, ended_at = self._end(events, fixes, at_place, at)
                legs = legs_of(events, fixes, place, ended_at, changes, self._alive)
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

    # On the way

    def next_fix(self, *, saver: bool = False, above_ground: bool = False, moving: bool | None = None) -> FixRequest:
        """Which position to ask the location service for now; ask again after each fix, and when none came.

        `saver`: the phone saves its battery; `above_ground`: a metro that does not run in a tunnel; `moving`: what the
        phone's motion sensor says. Survives the app's death. Raises `NoTrip`.
        """
        with self._ready():
            events = self._running()
            leg, now_s = running_leg(events), stamp(self._clock, events, None)[0]
            followed = follow(self._followed, leg, self._network, saver=saver, above_ground=above_ground)
            self._followed = followed_by(followed, *self._store.fixes_after(followed.seen))
            return fix_request(self._followed, now_s, moving)

    def suggestion(self) -> Suggestion | None:
        """That you arrived, or go on otherwise, and since when, by the fixes of this leg; None while nothing shows it.

        To say yes, `finish(place, at=...)` or `switch(mode, place, at=...)` with what it holds; to say no, `decline()`.
        Raises `NoTrip`.
        """
        with self._ready():
            leg = running_leg(self._running())
            return suggestion_of(leg, self._store.fixes(since=leg.started_at), self._network)

    def decline(self, suggestion: Suggestion) -> None:
        """Say no to a suggestion: it is not made again for this stop, or this change. On disk when it returns."""
        with self._ready():
            events = self._running()
            self._append(DECLINE, events, None, **decline_body(suggestion, self._network))

    def sampling_report(self) -> tuple[Sampling, ...]:
        """How many fixes were asked for, by mode, over the finished trips of this phone."""
        with self._ready():
            return sampling_of(self._store.trips())

    def answer(self, trip_id: str, answer: Answer | Mode | str) -> TripView:
        """Answer a trip's `question`: how the leg was really travelled. Returns the trip that counts from now on.

        The claimed mode: the trip is sent as it is. Another mode: a corrected trip takes its place. A car, an e-bike or
        anything else is no mode of the standard: the leg is left out, and a trip of nothing else is never sent. Raises
        `NoQuestion`, or `InvalidInput` when the leg cannot have been that; then the question stays open.
        """
        with self._ready():
            trip = self._store.trip(trip_id)
            question = view_of(trip).question
            if question is None:
                raise NoQuestion
            said = check_answer(answer)
            if said.mode is question.claimed:
                self._store.confirm(trip_id)
                return view_of(self._store.trip(trip_id))
            legs = corrected(kept_legs(self._store.evidence(trip_id)), question.leg, said)
            instead = self._measured_again(legs, kept_flags(trip)) if legs else None
            self._store.withdraw(trip_id, said, instead)
            return view_of(self._store.trip(instead.id if instead else trip_id))

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
            not_final = (*under_way, State.ASKED, State.HELD, State.UNSUPPORTED)
            return Stats(
                recorded=tallies.get("recorded", 0) + tallies.get("local", 0),
                local=tallies.get("local", 0),
                cancelled=tallies.get("cancelled", 0),
                waiting=sum(states.get(state, 0) for state in under_way),
                asked=states.get(State.ASKED, 0),
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
        self._membership.request_code(phone)

    def enrol(self, code: str, consents: Mapping[str, str]) -> str:
        """Open (or join) the account with the code; `consents` names each purpose and the version that was accepted.

        Idempotent: repeated after a lost answer, it gives the same account. Returns the account's id.
        """
        self._check_open()
        return self._membership.enrol(code, consents)

    @property
    def account_id(self) -> str | None:
        """The account of this phone, or None before enrol()."""
        with self._ready():
            return self._membership.id

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
        return self._membership.account([trip for trip in self.trips() if trip.state in (State.PENDING, State.LEASED)])

    def statement(self) -> list[Entry]:
        """Every entry of the account, oldest first. Raises `ServerError`."""
        self._check_open()
        return self._membership.statement()

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

    def _go_on(self, events: Sequence[Event], at_s: float) -> None:
        """Record that the app runs again, and since when it did not."""
        self._store.append_event(resumed(self._clock, events, self._store.last_fix(), at_s))
        self._alive = True

    def _append(self, kind: str, events: Sequence[Event], at: datetime | float | None, **body: object) -> None:
        at_s, monotonic, boot = stamp(self._clock, events, at)
        place = body.get("place")
        if isinstance(place, Point | Station):
            body["place"] = place_to_json(place)
        self._store.append_event(Event(kind, at_s, monotonic, boot, body))

    def _place(self, place: AnyPlace | str) -> Place:
        found = Station(place) if isinstance(place, str) else wgs84_of(place)
        if not isinstance(found, Point | Station):
            raise InvalidInput("place", f"{place!r} is neither a Point nor a station name", "应为坐标点或站名")
        if isinstance(found, Point) and is_null_island(found):
            raise InvalidInput(
                "place",
                "0/0 is what a receiver without a position says: wait for a fix, or give the place otherwise",
                "0/0 表示尚未定位：请等待定位，或以其他方式指定地点",
            )
        point_of(found, self._network)  # an unknown station is refused now, with suggestions
        if isinstance(found, Station) and self._network is not None and self._network.is_closed(found.name):
            raise StationClosed("place", self._network.name_of(found.name))
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
        self,
        events: Sequence[Event],
        fixes: Sequence[Fix],
        at_place: AnyPlace | str | None,
        at: datetime | float | None,
    ) -> tuple[Place, float]:
        """Where and when a trip ends; without a place at the last fix that tells where one was."""
        if at_place is not None:
            return self._place(at_place), stamp(self._clock, events, at)[0]
        ends = ends_of(fixes)
        if ends is None:
            en, zh = "no fix tells where the trip ended: say where", "没有可用的轨迹点：请指定终点"
            raise InvalidInput("place", en, zh)
        newest = ends[1]
        # Not compared with the wall clock, which may have jumped back since.
        last_at = max(newest.at, last_step(events).at)
        return newest.point, last_at if at is None else stamp(self._clock, events, at)[0]

    def _commit(self, trip_id: str, measured: Measured, mark: Mark) -> TripView | None:
        """The finished trip, or None when it went on since the mark."""
        salt = bytes.fromhex(self._store.salt())
        likenesses = [found for item in measured.legs if (found := fingerprint_of(item.leg.fixes, salt))]
        if self._store.knows(likenesses):
            measured = replace(measured, flags=measured.flags | {Flag.REPEAT})
        trip = kept(trip_id, measured, self._methodology, self._clock.now(), likenesses, ask=True)
        try:
            if not self._store.commit_trip(trip, mark):
                return None
        except StorageError:
            self._store.count_quietly("refused")
            raise
        self._alive = False
        return view_of(self._store.trip(trip.id))

    def _measured_again(self, legs: Sequence[Leg], flags: frozenset[Flag]) -> NewTrip:
        measured = measure_trip(legs, self._network, self._methodology, flags)
        return kept(str(uuid.uuid4()), measured, self._methodology, self._clock.now())
