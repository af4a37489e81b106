"""A simulated phone: a folder, a clock, a disk, a network, the app's processes, and the person who holds it."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from greentrip import GreenTrip, GreenTripError, State, TripView
from greentrip.errors import StorageError
from greentrip.report import Stop
from greentrip.testing.flaky_disk import FlakyDisk, Killed
from greentrip.testing.flaky_transport import FlakyTransport
from greentrip.testing.simulator.clock import PhoneClock
from greentrip.testing.simulator.line import PhoneLine
from greentrip.testing.simulator.told import Member, Wish

if TYPE_CHECKING:
    from greentrip.testing.simulator.world import World

T = TypeVar("T")
SERVER_URL = "https://greentrip.example"
CONSENTS = {"location": "2026-03", "sync": "2026-03"}
REST_S = 60.0
"""After a pass that sent nothing although one was due: the thread of a real app looks up again after a while, too."""
CLOCK_OFF_S_MAX = 600.0
DRIFT_PPM_MAX = 200.0
NUMBERS_A_PHONE = 1_000
"""Phone numbers of the second person on a phone are so much higher."""
OPEN_TRIES_MAX = 20
"""A disk that refuses to open the store so often is a fault of the simulation."""


@dataclass
class Process:
    """One process of the app."""

    app: GreenTrip
    disk: FlakyDisk
    slot: int


class Phone:
    """One phone. What its person does is in `habits`."""

    def __init__(self, world: World, name: str, number: str) -> None:
        self.world = world
        self.name = name
        self.folder: Path = world.folder / name.replace(" ", "-")
        self.dice = random.Random(f"{world.seed}/{name}")
        profile = world.profile
        wrong = profile.wrong_clocks
        self.clock = PhoneClock(
            world.clock,
            offset_s=self.dice.uniform(-1, 1) * CLOCK_OFF_S_MAX * wrong,
            drift_ppm=self.dice.uniform(-1, 1) * DRIFT_PPM_MAX * wrong,
        )
        self.network = FlakyTransport(
            world.server,
            profile.network,
            random.Random(f"{world.seed}/{name}/network"),
            self.clock,
            counts=world.tally.network,
        )
        self._line = PhoneLine(self.network, self._count, self._meanwhile)
        self._number = int(number)
        self.members: dict[int, Member] = {}
        """Who has trips on it, by the slot of their file."""
        self.former: list[Member] = []
        """Who erased everything."""
        self.processes: list[Process] = []
        self.killed_at: str | None = None
        self._busy = False
        self.needs_login = False
        """The app says that the server does not know this phone's key."""
        self._rests_until_s = 0.0

    @property
    def member(self) -> Member:
        """Whose account the app uses now."""
        return self.members[self.slot]

    @property
    def slot(self) -> int:
        """Which of the phone's files is in use."""
        while not self.processes:
            self.open()
        return self.processes[0].slot

    @property
    def app(self) -> GreenTrip:
        """The app's first process; opened when there is none."""
        while not self.processes:
            self.open()
        return self.processes[0].app

    def new_member(self, slot: int) -> Member:
        """Somebody who begins to use the phone, without an account."""
        return Member(str(self._number + NUMBERS_A_PHONE * slot))

    def note(self, what: str) -> None:
        """Put a line into the trace."""
        self.world.trace.note(self.name, what)

    # Processes

    def open(self) -> None:
        """Start one more process of the app. On a disk that fails it is tried again."""
        for _ in range(OPEN_TRIES_MAX):
            disk = FlakyDisk(
                self.world.disk_faults,
                random.Random(f"{self.world.seed}/{self.name}/{self.dice.random()}"),
                self.world.tally.faults,
                told=self.note,
                waits=False,
            )
            try:
                app = GreenTrip.open(
                    self.folder,
                    server=SERVER_URL,
                    root_key=self.world.server.backend.root_key,
                    network=self.world.rails,
                    clock=self.clock,
                    transport=self._line,
                    dice=self.dice.random,
                    connection=disk,
                )
            except (StorageError, Killed) as error:
                self.note(f"could not open its store: {type(error).__name__}")
                disk.abandon(alone=not self.processes)
                continue
            process = Process(app, disk, app._slots.current)
            self.processes.append(process)
            self.members.setdefault(process.slot, self.new_member(process.slot))
            self.note("the app runs" if not process.slot else f"the app runs, for account {process.slot}")
            if len(self.processes) == 1:
                self.reread()
            return
        raise RuntimeError(f"{self.name} cannot open its store")

    def kill(self, process: Process) -> None:
        """SIGKILL: its connections end, its locks with them, and nobody closes anything."""
        process.disk.dead = True
        self.processes.remove(process)
        process.app._worker.stop(0)
        process.disk.abandon(alone=not self.processes)

    def close(self) -> None:
        """All processes end in order, or die while they do."""
        for process in list(self.processes):
            with suppress(Killed):
                process.app.close(timeout=0)
            if process.disk.dead:
                self.kill(process)
            else:
                self.processes.remove(process)

    def reread(self) -> None:
        """A person looks at their trips: what was in doubt is told now."""
        shown = self.shown()
        account = self.act("look at the account", lambda app: app.account_id or "")
        if shown is None or account is None:
            return
        member = self.member
        member.account = account or member.account
        for trip in shown.values():
            if trip.record is None or trip.id in member.records or trip.state is State.DAMAGED:
                continue
            if not member.doubts:
                self.world.violate(f"{self.name} shows a trip that nobody made: {trip.id}")
            member.doubts -= 1
            self.heard(trip.id, trip.record)
            self.note(f"found {trip.id}, which was recorded after all")
        member.doubts = 0
        for trip_id, record in member.records.items():
            if record.wish is Wish.EITHER:
                record.wish = Wish.COUNT if trip_id in shown else Wish.ERASE
        for trip_id in member.answered & set(shown):
            if shown[trip_id].state is State.WITHDRAWN:
                member.records[trip_id].wish = Wish.WITHDRAW

    def heard(self, trip_id: str, line: bytes) -> None:
        """The app says that there is this record."""
        self.member.heard(trip_id, line)
        self.world.tally.recorded += 1

    def shown(self) -> dict[str, TripView] | None:
        """The trips that the app shows, by id; None when the disk fails."""
        trips = self.act("look at the trips", lambda app: app.trips())
        if trips is None:
            return None
        # A trip that was withdrawn lies beside the one in its place, of the same time.
        times = [trip.started_at for trip in trips if trip.state is not State.WITHDRAWN]
        if len(set(times)) < len(times):
            self.world.violate(f"{self.name} shows a trip twice")
        return {trip.id: trip for trip in trips}

    # What the person does

    def act(self, what: str, act: Callable[[GreenTrip], T]) -> T | None:
        """Let the app do something; None when it said no, or died."""
        app = self.app
        process = self.processes[0]
        self.killed_at = None
        try:
            return act(app)
        except Killed:
            self.killed_at = what
            self.note(f"the app died while it was to {what}")
            if process in self.processes:
                self.kill(process)
        except GreenTripError as error:
            self.world.tally.errors[type(error).__name__] += 1
            self.note(f"could not {what}: {type(error).__name__}, {error}")
        except Exception as error:
            self.world.violate(f"{self.name} could not {what}: the app was given {error!r}")
        return None

    def background(self) -> None:
        """One pass of each process, if it is due."""
        for process in list(self.processes):
            try:
                report = process.app._worker.run_due()
            except Killed:
                self.note("the app died in the background")
                if process in self.processes:
                    self.kill(process)
                continue
            if report is not None and report.requests:
                self.note(f"sent by itself: {report.stop}, {report.left} left")
                self.needs_login |= report.stop is Stop.LOGIN
            elif report is not None:
                self._rests_until_s = self.world.clock.at_s + REST_S

    def due_in_s(self) -> float:
        """Seconds of the world until the next background pass; an app that does not run is opened."""
        return max(self.app._worker._due_in_s(), self._rests_until_s - self.world.clock.at_s)

    def unproven(self, trips: Iterable[TripView]) -> list[str]:
        """Of these, the ones that have a result and no receipt that proves it."""
        found = []
        for trip in trips:
            if trip.state in (State.ACCEPTED, State.HELD, State.REJECTED):
                try:
                    self.app.verify_receipt(trip.id)
                except GreenTripError as error:
                    found.append(f"{self.name}: {trip.id} is {trip.state}, and nothing proves it: {error}")
        return found

    def rot(self) -> None:
        """Flip a bit of a stored record that waits."""
        waiting = [trip for trip in (self.shown() or {}).values() if trip.state is State.PENDING]
        if not waiting:
            return
        trip = self.dice.choice(waiting)
        line = bytearray(trip.record or b"")
        line[self.dice.randrange(len(line))] ^= 1 << self.dice.randrange(8)
        with closing(sqlite3.connect(self.app._store.path, isolation_level=None)) as db:
            db.execute("UPDATE queue SET line = ? WHERE id = ?", (bytes(line), trip.id))
        self.member.records[trip.id].rotten = True
        self.world.tally.faults["phone: flipped bit"] += 1
        self.note(f"a bit of {trip.id} flipped")

    # What the network tells

    def _count(self, lines: int) -> None:
        if self.member.account is not None:
            self.world.tally.requests += 1
            self.world.tally.lines_sent += lines

    def _meanwhile(self) -> None:
        if not self._busy and self.dice.random() < self.world.phone_faults.meanwhile:
            self._busy = True
            try:
                self.world.meanwhile(self)
            finally:
                self._busy = False
