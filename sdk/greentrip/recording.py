"""Recording a trip on the phone: every step is on disk when the call returns, and nothing needs a network."""

from __future__ import annotations

import threading
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from greentrip.arrival import Suggestion
from greentrip.clock import Clock
from greentrip.correction import Answer, check_answer, corrected
from greentrip.distance.cleaning import ends_of, is_null_island
from greentrip.distance.datum import AnyPlace, AnyPoint, wgs84_of
from greentrip.distance.rail import Network
from greentrip.errors import InvalidInput, NoQuestion, NoTrip, StationClosed, StorageError, TripRunning
from greentrip.events import Teller, TripRecorded
from greentrip.evidence import fingerprint_of
from greentrip.keeping import kept, kept_flags, kept_legs
from greentrip.measure import Measured, estimate_leg, measure_trip, point_of, station_of
from greentrip.methodology import Methodology
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
from greentrip.sampling import FixRequest
from greentrip.store import Mark, NewTrip, Store
from greentrip.trip import Fix, Flag, Leg, Mode, Place, Point, Station
from greentrip.under_way import Followed, decline_body, fix_request, follow, followed_by, running_leg, suggestion_of
from greentrip.views import Sampling, TripView, sampling_of, view_of


class Recording(ABC):
    """The half of `GreenTrip` that records. It needs the store, the network of rails and the methodology, no server."""

    def __init__(
        self,
        store: Store,
        network: Network | None,
        methodology: Methodology,
        clock: Clock,
        dice: Callable[[], float],
        send_delay_s: float,
        tell: Teller,
    ) -> None:
        self._store = store
        self._network = network
        self._methodology = methodology
        self._clock = clock
        self._dice = dice
        self._send_delay_s = send_delay_s
        self._tell = tell
        self._lock = threading.RLock()
        self._alive = False
        self._followed: Followed | None = None

    @abstractmethod
    def _ready(self) -> threading.RLock:
        """The lock of every call on the store; raises `Closed` where the object was closed."""

    def _recorded(self, trip: TripView) -> None:
        """A trip is on disk."""
        self._tell(TripRecorded(trip.id, trip.state))

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
            trip = None
            # Another process may record into the same trip: what it added meanwhile is measured too.
            while trip is None:
                mark = self._store.mark()
                events, fixes = self._running(), self._store.fixes()
                place, ended_at = self._end(events, fixes, at_place, at)
                legs = legs_of(events, fixes, place, ended_at, changes, self._alive)
                measured = measure_trip(legs, self._network, self._methodology, self._flags(events))
                trip = self._commit(str(events[0].body["trip"]), measured, mark)
        self._recorded(trip)
        return trip

    def cancel(self) -> None:
        """Forget the trip in progress."""
        with self._ready():
            if not self._store.mark().events:
                raise NoTrip
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

    # Inside

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
        trip = self._delayed(kept(trip_id, measured, self._methodology, self._clock.now(), likenesses, ask=True))
        try:
            row = self._store.commit_trip(trip, mark)
        except StorageError:
            self._store.count_quietly("refused")
            raise
        if row is None:
            return None
        self._alive = False
        return view_of(row)

    def _measured_again(self, legs: Sequence[Leg], flags: frozenset[Flag]) -> NewTrip:
        measured = measure_trip(legs, self._network, self._methodology, flags)
        return self._delayed(kept(str(uuid.uuid4()), measured, self._methodology, self._clock.now()))

    def _delayed(self, trip: NewTrip) -> NewTrip:
        """With the random time before which the phone does not send it by itself: the server must not learn when a
        trip ended."""
        return replace(trip, send_after_ms=trip.recorded_ms + round(self._dice() * self._send_delay_s * 1000))
