"""One world under one seed: phones and a server on one virtual clock. Everything fails; then the faults stop, and it
must drain."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from greentrip.distance.rail import Network
from greentrip.testing.simulator import misfortunes
from greentrip.testing.simulator.backend import Backend
from greentrip.testing.simulator.clock import WorldClock
from greentrip.testing.simulator.disk import DiskFaults
from greentrip.testing.simulator.habits import HABITS, enrol
from greentrip.testing.simulator.oracle import Shown, violations
from greentrip.testing.simulator.phone import Phone
from greentrip.testing.simulator.profiles import PhoneFaults, Profile
from greentrip.testing.simulator.report import SeedResult, Tally
from greentrip.testing.simulator.server import Server
from greentrip.testing.simulator.trace import Trace

PAUSE_S_MAX = 6 * 3600.0
"""Between two things that people do, nothing happens for so long at most; mostly it is much less."""
DRAIN_DAYS_MAX = 9.0
"""The longest wait that is allowed is a day; a server that was set back is found out within a week."""
DRAIN_ROUNDS_MAX = 2_000
SHARED_ACCOUNT = 0.3
"""How often a phone joins the account of the one before it."""
ENROL_TRIES_MAX = 30
BACKUP = 0.1
"""How often a step ends with a backup of the server; not before all phones are enrolled: a server that forgot their
accounts would be another server."""


class World:
    """Phones, a server and their time."""

    def __init__(self, seed: int, profile: Profile, backend: Backend, folder: Path, rails: Network) -> None:
        self.seed = seed
        self.profile = profile
        self.folder = folder
        self.rails = rails
        self.dice = random.Random(seed)
        self.clock = WorldClock()
        self.tally = Tally()
        self.trace = Trace(lambda: self.clock.days)
        self.disk_faults: DiskFaults = profile.disk
        self.phone_faults: PhoneFaults = profile.phone
        self._violations: list[str] = []
        self._maintained_day = 0
        backend.begin(self.clock)
        server_dice = random.Random(f"{seed}/server")
        self.server = Server(backend, self.clock, profile.server, server_dice, self.tally, self.trace)
        self.phones = self._make_phones()

    def run(self) -> SeedResult:
        """Live through it. What was wrong at the end is in `violations`."""
        for _ in range(self.profile.steps):
            self._step()
        self._mend()
        self._drain()
        found = self._judge()
        for phone in self.phones:
            phone.close()
        return self.result(found)

    def result(self, found: Sequence[str]) -> SeedResult:
        """What became of this world: what was `found` in the end, and what was seen on the way."""
        self.tally.days = self.clock.days
        violations = (*self._violations, *self.server.violations, *found)
        return SeedResult(self.seed, violations, self.tally, tuple(self.trace.lines), self.trace.digest)

    def violate(self, what: str) -> None:
        """Note a promise that was seen to be broken on the way."""
        self.trace.note("VIOLATION", what)
        self._violations.append(what)

    def meanwhile(self, phone: Phone) -> None:
        """Something else is done on a phone while its request is under way."""
        self.trace.note(phone.name, "meanwhile:")
        self.tally.faults["phone: something meanwhile"] += 1
        misfortunes.meanwhile(phone)

    # The course of things

    def _make_phones(self) -> list[Phone]:
        numbers: list[str] = []
        for index in range(self.dice.randint(1, self.profile.phones_max)):
            shares = numbers and not self.profile.everyday and self.dice.random() < SHARED_ACCOUNT
            numbers.append(numbers[-1] if shares else str(13_800_000_000 + index))
        return [Phone(self, f"phone {index + 1}", number) for index, number in enumerate(numbers)]

    def _step(self) -> None:
        self.clock.advance(PAUSE_S_MAX * self.dice.random() ** 4)
        self.server.suffer()
        self._maintain()
        phone = self.dice.choice(self.phones)
        misfortunes.befall(phone)
        habits = [habit for habit in HABITS if habit.everyday or not self.profile.everyday]
        (habit,) = self.dice.choices(habits, [habit.weight for habit in habits])
        self.tally.habits[habit.name] += 1
        habit.act(phone)
        if all(one.member.account for one in self.phones) and self.dice.random() < BACKUP:
            self.server.back_up()
        for one in self.phones:
            one.background()

    def _maintain(self) -> None:
        """Operators do their rounds once a day."""
        if int(self.clock.days) > self._maintained_day and self.server.is_up:
            self._maintained_day = int(self.clock.days)
            self.server.backend.maintain()

    def _mend(self) -> None:
        """The faults stop. Clocks that are wrong may stay so: nobody sets them."""
        self.trace.note("world", "the faults stop")
        self.disk_faults, self.phone_faults = DiskFaults(), PhoneFaults()
        self.server.mend()
        for phone in self.phones:
            phone.network.heal()
            misfortunes.mend(phone)
            for _ in range(ENROL_TRIES_MAX):
                if phone.member.account is not None:
                    break
                enrol(phone)

    def _drain(self) -> None:
        """Background passes alone, each when it is due, until nothing waits any more."""
        until_s = self.clock.at_s + DRAIN_DAYS_MAX * 86_400
        for _ in range(DRAIN_ROUNDS_MAX):
            due_in_s = min(phone.due_in_s() for phone in self.phones)  # opens an app that is not running
            self.clock.advance(max(1.0, min(due_in_s, PAUSE_S_MAX)))
            if self.clock.at_s > until_s:
                break
            self._maintain()
            for phone in self.phones:
                phone.background()
                if phone.needs_login:
                    enrol(phone)  # the app asks for it
        self.trace.note("world", "has drained")

    def _judge(self) -> list[str]:
        shown = []
        for phone in self.phones:
            phone.reread()
            trips = phone.shown()
            stats = phone.act("count", lambda app: app.stats())
            if trips is None or stats is None:
                return [f"{phone.name} cannot be read after the faults have stopped"]
            shown.append(Shown(phone.name, phone.member, trips, stats))
            self.tally.states.update(trip.state.value for trip in trips.values())
        accounts = self.server.backend.accounts()
        self.tally.settled = sum(len(account.trips) for account in accounts.values())
        return [*violations(shown, accounts), *self.server.backend.findings()]
