"""The view model of the one screen: what it shows, and what its buttons do. No Kivy, and no rule of the programme.

Whatever it shows is text in the chosen language or plain data. `on_change` is called, on the UI thread, when something
may look different.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import StrEnum

from greentrip import (
    ActiveTrip,
    GreenTrip,
    GreenTripError,
    InvalidInput,
    LegView,
    Mode,
    Place,
    Point,
    Station,
    Stats,
    SyncReport,
    TripView,
    needs,
)
from greentrip_demo.background import Background
from greentrip_demo.texts import catalogue, other

SYNC_TIMEOUT_S = 20.0
CHINA_TIME = timezone(timedelta(hours=8), "UTC+8")
"""Trips are shown in the time of the place where they happen, whatever the phone's zone."""


class Phase(StrEnum):
    """Which of its faces the screen shows."""

    READY = "ready"
    RUNNING = "running"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class ModeChoice:
    """One of the five buttons."""

    mode: Mode
    name: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class TripCard:
    """A finished trip in words. `lines` say of each leg whether it counts and why, what was not recorded, and then what
    the server said."""

    id: str
    title: str
    when: str
    grams: str
    state: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class QuestionCard:
    """What the phone asks about a trip before it sends it, and the answers to press: value and name."""

    trip: str
    title: str
    text: str
    answers: tuple[tuple[str, str], ...]


class Recording:
    """Trips of one phone. All methods belong on the UI thread; only `sync` works elsewhere, through `background`."""

    def __init__(
        self,
        green: GreenTrip,
        background: Background,
        *,
        lang: str = "en",
        has_server: bool = True,
        error: GreenTripError | None = None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._green = green
        self._background = background
        self._error = error
        self._report: SyncReport | None = None
        self._active: ActiveTrip | None = None
        self._trips: tuple[TripView, ...] = ()
        self._stats: Stats | None = None
        self._result_id: str | None = None
        self.on_change = on_change
        self.lang = lang
        self.mode = Mode.RAIL
        self.has_server = has_server
        self.syncing = False
        self.cancel_asked = False
        self._look()

    # What the screen shows

    @property
    def phase(self) -> Phase:
        if self._active is None:
            return Phase.READY
        return Phase.INTERRUPTED if self._active.interrupted else Phase.RUNNING

    @property
    def modes(self) -> tuple[ModeChoice, ...]:
        """The five modes; the chosen one is that of the trip in progress, if there is one."""
        current = self._active.mode if self._active else self.mode
        return tuple(ModeChoice(mode, self.text(f"mode_{mode}"), mode is current) for mode in Mode)

    @property
    def needs(self) -> str:
        """What the chosen mode needs so that it earns: shown before the start."""
        return self.text("needs", needs=needs(self.mode, self.lang))

    @property
    def headline(self) -> str:
        """The trip in progress in a few words; empty without one."""
        if self._active is None:
            return ""
        mode, since = self.text(f"mode_{self._active.mode}"), _clock_time(self._active.started_at)
        if self._active.interrupted:
            seen = _clock_time(self._active.last_seen_at)
            return self.text("interrupted_facts", mode=mode, time=since, seen=seen)
        running = self.text("running", mode=mode, time=since)
        legs = self._active.legs
        return running if legs == 1 else self.text("and").join((running, self.text("legs", legs=legs)))

    @property
    def takes_changes(self) -> bool:
        """Whether changes of line may be named for the leg that ends next."""
        return self._active is not None and self._active.mode is Mode.RAIL

    @property
    def error(self) -> str:
        """What is wrong, as a sentence; empty when nothing is."""
        return self._error.message(self.lang) if self._error else ""

    @property
    def trips(self) -> tuple[TripCard, ...]:
        """The finished trips, newest first."""
        return tuple(self._card(trip) for trip in self._trips)

    @property
    def result(self) -> TripCard | None:
        """The trip that was just finished, until the next one starts."""
        return next((self._card(trip) for trip in self._trips if trip.id == self._result_id), None)

    @property
    def question(self) -> QuestionCard | None:
        """The question about the newest trip that waits for an answer."""
        for trip in self._trips:
            if trip.question is not None:
                card = self._card(trip)
                answers = tuple((choice.value, self.text(f"answer_{choice}")) for choice in trip.question.choices)
                title = self.text("ask", title=card.title, when=card.when)
                return QuestionCard(trip.id, title, trip.question.text(self.lang), answers)
        return None

    @property
    def queue(self) -> str:
        if self._stats is None:
            return ""
        return self.text("queue", recorded=self._stats.recorded, waiting=self._stats.waiting)

    @property
    def can_sync(self) -> bool:
        return self.has_server and not self.syncing

    @property
    def sync_message(self) -> str:
        """How the last sync ended and why; empty before the first."""
        if self.syncing:
            return self.text("syncing")
        if self._report is None:
            return ""
        settled = sum(self._report.settled.values())
        return self.text("sync_done", settled=settled, message=self._report.message(self.lang))

    def text(self, key: str, **values: object) -> str:
        """A text of the catalogue in the chosen language."""
        return catalogue(self.lang)[key].format_map(values)

    # What its buttons do

    def switch_language(self) -> None:
        self.lang = other(self.lang)
        self.on_change()

    def choose(self, mode: Mode | str) -> None:
        """Choose the mode of the next trip."""
        self.mode = Mode(mode)
        self.on_change()

    def start(self, place: str) -> bool:
        """Start a trip in the chosen mode. Says whether it did; `error` says why not."""

        def work() -> None:
            self._green.start(self.mode, read_place(place))
            self._result_id = None

        return self._attempt(work)

    def switch(self, mode: Mode | str, place: str, changes: str = "") -> bool:
        """End the present leg at a place and go on in another mode."""
        return self._attempt(lambda: self._green.switch(mode, read_place(place), changes=read_changes(changes)))

    def resume(self) -> bool:
        """Go on with an interrupted trip."""

        def work() -> None:
            self._green.resume()

        return self._attempt(work)

    def finish(self, place: str, changes: str = "") -> bool:
        """End the trip. Without a place it ends at the last position that was recorded, if there is one."""

        def work() -> None:
            end = read_place(place) if place.strip() else None
            self._result_id = self._green.finish(end, changes=read_changes(changes)).id

        return self._attempt(work)

    def ask_cancel(self) -> None:
        """Cancelling loses a trip, so it takes a second tap: `cancel` or `keep`."""
        self.cancel_asked = True
        self.on_change()

    def keep(self) -> None:
        self.cancel_asked = False
        self.on_change()

    def cancel(self) -> bool:
        """Forget the trip in progress."""
        return self._attempt(self._green.cancel)

    def answer(self, trip: str, answer: str) -> bool:
        """Say how a leg was really travelled. The trip that counts from then on is shown as the result."""

        def work() -> None:
            counts = self._green.answer(trip, answer).id
            if self._result_id in (trip, counts):
                self._result_id = counts

        return self._attempt(work)

    def sync(self) -> None:
        """Send what waits, off the UI thread. The report comes by `on_change`."""
        if not self.can_sync:
            return
        self.syncing = True
        self.on_change()
        self._background.run(lambda: self._green.sync(SYNC_TIMEOUT_S), self._synced, self._not_synced)

    # Inside

    def _synced(self, report: SyncReport) -> None:
        self.syncing = False
        self._report = report
        self._look()

    def _not_synced(self, error: GreenTripError) -> None:
        self.syncing = False
        self._error = error
        self._look()

    def _attempt(self, work: Callable[[], None]) -> bool:
        """Do something with the SDK. Its error becomes a sentence on the screen, and the trip stays as it was."""
        self._error = None
        try:
            work()
            self.cancel_asked = False
        except GreenTripError as error:
            self._error = error
        worked = self._error is None
        self._look()
        return worked

    def _look(self) -> None:
        """See what there is now."""
        try:
            self._active, self._stats = self._green.active, self._green.stats()
            self._trips = tuple(self._green.trips())
        except GreenTripError as error:
            self._error = error
        self.on_change()

    def _card(self, trip: TripView) -> TripCard:
        lines = [self._leg(leg) for leg in trip.legs]
        lines += trip.gap_texts(self.lang)
        lines += [rule.text(self.lang) for rule in trip.rules]
        lines += [trip.why_not_sent(self.lang)] if trip.why_not_sent(self.lang) else []
        mg = trip.reduction_mg if trip.official_mg is None else trip.official_mg
        return TripCard(
            id=trip.id,
            title=f"{trip.legs[0].start} → {trip.legs[-1].end}",
            when=f"{trip.day} {_clock_time(trip.started_at)}",
            grams=self.text("grams", grams=_grams(mg)),
            state=self.text(f"state_{trip.state}"),
            lines=tuple(lines),
        )

    def _leg(self, leg: LegView) -> str:
        reasons = self.text("and").join(reason.text(self.lang) for reason in leg.reasons)
        return self.text("leg", mode=self.text(f"mode_{leg.mode}"), km=f"{leg.metres / 1000:.1f}", reasons=reasons)


def read_place(text: str) -> Place:
    """A place as somebody types it: "39.9,116.4" is a point, anything else the name of a station."""
    text = text.strip()
    if not text:
        raise InvalidInput("place", "type a station or lat,lon", "请填写站名或“纬度,经度”")
    try:
        lat, lon = (float(part) for part in re.split("[,，]", text))
    except ValueError:
        return Station(text)
    return Point(lat, lon)


def read_changes(text: str) -> tuple[str, ...] | None:
    """Stations with commas between them; None when none was named."""
    return tuple(name for part in re.split("[,，、;；]", text) if (name := part.strip())) or None


def _grams(mg: int) -> str:
    return f"{(mg + 500) // 1000:,}"


def _clock_time(at: datetime) -> str:
    return at.astimezone(CHINA_TIME).strftime("%H:%M")
