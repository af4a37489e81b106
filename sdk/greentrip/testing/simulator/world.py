"""One world under one seed: phones and a server on one virtual clock. Everything fails; then the faults stop, and it
must drain."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from greentrip.distance.rail import Network
from greentrip.testing.flaky_disk import DiskFaults
from greentrip.testing.simulator import misfortunes
from greentrip.testing.simulator.backend import Backend
from greentrip.testing.simulator.clock import WorldClock
from greentrip.testing.simulator.habits import HABITS, change_account, enrol, opt_in, record
from greentrip.testing.simulator.oracle import Shown, ends_of, of_accounts, of_former, of_phone
from greentrip.testing.simulator.phone import Phone
from greentrip.testing.simulator.profiles import PhoneFaults, Profile
from greentrip.testing.simulator.report import SeedResult, Tally
from greentrip.testing.simulator.server import Server
from greentrip.testing.simulator.trace import Trace

PAUSE_S_MAX = 6 * 3600.0
"""Between two things that people do, nothing happens for so long at most; mostly it is much less."""
DRAIN_DAYS_MAX = 9.0
"""The longest wait that is allowed is a day; what is held may be asked about a few times."""
DRAIN_DAYS_MAX_AFTER_A_RESTORE = 30.0
"""A server that was set back is found out within four weeks."""
DRAIN_ROUNDS_MAX = 2_000
DRAIN_REQUESTS_MAX = 100
"""Beside one a record: what phones may ask within these days, daily about what is held and once for all."""
SHARED_ACCOUNT = 0.3
"""How often a phone joins the account of the one before it."""
BACKUP = 0.1
"""How often a step ends with a backup of the server."""


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
        self._ends: dict[tuple[str, int], Counter[str]] = {}
        """How the records ended, by phone and slot: each is judged again when another one was in use meanwhile."""
        self._maintained_day = 0
        backend.begin(self.clock)
        server_dice = random.Random(f"{seed}/server")
        self.server = Server(backend, self.clock, profile.server, server_dice, self.tally, self.trace)
        self.phones = self._make_phones()

    def run(self) -> SeedResult:
        """Live through it. What was wrong at the end is in `violations`."""
        for step in range(self.profile.steps):
            if gaps := self.profile.gaps_h:
                self._commute(3600.0 * gaps[step % len(gaps)])
            else:
                self._step()
        self._mend()
        found = self._settle_all()
        for phone in self.phones:
            phone.close()
        return self.result(found)

    def result(self, found: Sequence[str]) -> SeedResult:
        """What became of this world: what was `found` in the end, and what was seen on the way."""
        self.tally.days = self.clock.days
        former = (ends_of(member, {}) for phone in self.phones for member in phone.former)
        self.tally.ends = sum((*self._ends.values(), *former), Counter())
        violations = (*self._violations, *self.server.violations, *found)
        return SeedResult(self.seed, violations, self.tally, tuple(self.trace.lines), self.trace.digest)

    def violate(self, what: str) -> None:
        """Note a promise that was seen to be broken on the way."""
        self.trace.note("VIOLATION", what)
        self._violations.append(what)

    def is_shared(self, number: str) -> bool:
        """Whether several phones are used with this phone number."""
        return sum(member.number == number for phone in self.phones for member in phone.members.values()) > 1

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
        if self.dice.random() < BACKUP:
            self.server.back_up()
        for one in self.phones:
            one.background()

    def _commute(self, gap_s: float) -> None:
        """Everybody records a trip; until the next one, apps act by their own plan."""
        until_s = self.clock.at_s + gap_s
        for phone in self.phones:
            if phone.member.account is None:
                enrol(phone)  # an app begins with it
            record(phone)
        while self.clock.at_s < until_s:
            due_in_s = min(phone.due_in_s() for phone in self.phones)
            self.clock.advance(max(1.0, min(due_in_s, until_s - self.clock.at_s)))
            self._maintain()
            for phone in self.phones:
                phone.background()

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

    def _settle_all(self) -> list[str]:
        """Drain and judge; once more for each further account on a phone, when somebody has changed to it."""
        found: list[str] = []
        for turn in range(max(len(phone.members) for phone in self.phones)):
            for phone in self.phones:
                if turn and len(phone.members) > 1:
                    change_account(phone)
                if phone.act("look whether they opted out", lambda app: app.opted_out):
                    opt_in(phone)  # only then: it makes the app send, and that is left to its plan
            self._drain()
            found += self._judge()
        members = [*(one for phone in self.phones for one in (*phone.members.values(), *phone.former))]
        accounts = self.server.backend.accounts()
        found += of_accounts(members, accounts)
        for phone in self.phones:
            found += [wrong for member in phone.former for wrong in of_former(member, accounts)]
        return [*found, *self.server.backend.findings()]

    def _drain(self) -> None:
        """Background passes alone, each when it is due, until nothing waits any more."""
        days = DRAIN_DAYS_MAX_AFTER_A_RESTORE if self.server.was_restored else DRAIN_DAYS_MAX
        until_s, requests = self.clock.at_s + days * 86_400, self.tally.requests
        for _ in range(DRAIN_ROUNDS_MAX):
            due_in_s = min(phone.due_in_s() for phone in self.phones)  # opens an app that is not running
            self.clock.advance(max(1.0, min(due_in_s, PAUSE_S_MAX)))
            if self.clock.at_s > until_s:
                break
            self._maintain()
            for phone in self.phones:
                phone.background()
                if phone.needs_login or phone.member.account is None:
                    enrol(phone)  # the app asks for it
        self.trace.note("world", "has drained")
        requests = self.tally.requests - requests
        if requests > DRAIN_REQUESTS_MAX + self.tally.recorded:
            self.violate(f"{requests} requests were made after the faults had stopped")

    def _judge(self) -> list[str]:
        found = []
        accounts = self.server.backend.accounts()
        for phone in self.phones:
            phone.reread()
            trips = phone.shown()
            stats = phone.act("count", lambda app: app.stats())
            if trips is None or stats is None:
                found.append(f"{phone.name} cannot be read after the faults have stopped")
                continue
            found += of_phone(Shown(phone.name, phone.member, trips, stats), accounts)
            found += phone.unproven(trips.values())
            if phone.act("look for an order", lambda app: app._store.erasure_orders()):
                found.append(f"{phone.name} has no certificate of its erasure")
            self._ends[phone.name, phone.slot] = ends_of(phone.member, trips)
        return found
