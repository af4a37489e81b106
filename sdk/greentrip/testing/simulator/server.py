"""The server in its world: it dies at any step of a request, loses its database, sheds load, and comes back."""

from __future__ import annotations

import random

import httpx

from greentrip.testing.simulator.backend import Backend
from greentrip.testing.simulator.clock import WorldClock
from greentrip.testing.simulator.profiles import ServerFaults
from greentrip.testing.simulator.report import Tally
from greentrip.testing.simulator.trace import Trace

EXCHANGE_S = 0.1
"""What a request takes when nothing goes wrong."""
KILL_STEPS_MAX = 60
"""A planned kill strikes within so many awaits and statements; a request that has fewer goes through."""
SHED_RETRY_AFTER_S = (5, 30)
STOLEN = 0.3
"""How often a key is changed because it was stolen."""
ROTATED = 0.5
"""How often the operator rotates the key after a restore, as they are told to: phones then compare at once."""
RESTORED_AFTER_S_MIN = 3600.0
"""A backup is at least so old when somebody needs it."""


class Server(httpx.BaseTransport):
    """One backend, and what befalls it. Every phone's requests end here."""

    def __init__(
        self, backend: Backend, clock: WorldClock, faults: ServerFaults, dice: random.Random, tally: Tally, trace: Trace
    ) -> None:
        self.backend = backend
        self.faults = faults
        self.violations: list[str] = []
        """What the server raised where it should have answered."""
        self._clock = clock
        self._dice = dice
        self._tally = tally
        self._trace = trace
        self._dead_until_s: float | None = None
        self._no_database_until_s: float | None = None
        self._sheds_until_s = 0.0
        self._backup_at_s: float | None = None
        self._keeps_backups = True
        self.was_restored = False
        self._steps_left: int | None = None
        """Until a planned kill; only within a request."""
        backend.interrupt = self._interrupt

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._clock.advance(EXCHANGE_S)
        self.recover()
        if self._dead_until_s is not None:
            raise httpx.ConnectError("the server is down", request=request)
        if self._clock.at_s < self._sheds_until_s:
            seconds = self._dice.randint(*SHED_RETRY_AFTER_S)
            return httpx.Response(503, headers={"Retry-After": str(seconds)}, text="busy")
        # More often early: a small server has few steps, a big one many.
        steps = int(KILL_STEPS_MAX * self._dice.random() ** 3)
        self._steps_left = steps if self._hit(self.faults.kill) else None
        try:
            return self._answer(request)
        finally:
            died, self._steps_left = self._has_died, None
            if died:
                self._die("server: killed within a request")

    def _answer(self, request: httpx.Request) -> httpx.Response:
        try:
            answer = self.backend.transport.handle_request(request)
        except httpx.TransportError:
            raise
        except Exception as error:
            self.violations.append(f"the server raised {type(error).__name__} at {request.url.path}")
            raise httpx.ReadError("the server raised", request=request) from error
        if self._has_died:
            raise httpx.ReadError("the server died", request=request)
        self._trace.note("server", f"{request.method} {request.url.path} -> {answer.status_code}")
        return answer

    @property
    def is_up(self) -> bool:
        """Whether it and its database run."""
        return self._dead_until_s is None and self._no_database_until_s is None

    def recover(self) -> None:
        """What is over is over."""
        now = self._clock.at_s
        if self._dead_until_s is not None and now >= self._dead_until_s:
            self._dead_until_s = None
            self.backend.start()
            self._trace.note("server", "is up again")
        if self._no_database_until_s is not None and now >= self._no_database_until_s:
            self._no_database_until_s = None
            self.backend.set_database(up=True)
            self._trace.note("server", "has its database again")

    def suffer(self) -> None:
        """One step of the world: perhaps something goes wrong."""
        self.recover()
        if self._dead_until_s is not None:
            return
        if self._hit(self.faults.database_down) and self._no_database_until_s is None:
            self._no_database_until_s = self._later()
            self.backend.set_database(up=False)
            self._count("server: database down")
        if self._hit(self.faults.overload):
            self._sheds_until_s = self._later()
            self._count("server: overload")
        if self._hit(self.faults.new_key):
            stolen = self._dice.random() < STOLEN
            self.backend.rotate_keys(stolen=stolen)
            self._count(f"server: its key was {'stolen' if stolen else 'changed'}")
        if self._hit(self.faults.restore):
            self._restore()

    def back_up(self) -> None:
        """Keep a copy of everything, to which a restore goes back."""
        if not self._keeps_backups:
            return
        self._backup_at_s = self._clock.at_s
        self.backend.backup()
        self._trace.note("server", "was backed up")

    def forget_backup(self, *, for_good: bool = False) -> None:
        """Never go back to before now: somebody enrolled, whom the server would forget. `for_good`: somebody erased
        their account, and what operators must do after a restore then, nobody does here."""
        self._backup_at_s, self._keeps_backups = None, self._keeps_backups and not for_good

    def mend(self) -> None:
        """The faults stop; what is down comes up."""
        self.faults = ServerFaults()
        if self._dead_until_s is not None:
            self._dead_until_s = self._clock.at_s
        if self._no_database_until_s is not None:
            self._no_database_until_s = self._clock.at_s
        self._sheds_until_s = 0.0
        self.recover()

    def _restore(self) -> None:
        if self._backup_at_s is None or self._clock.at_s < self._backup_at_s + RESTORED_AFTER_S_MIN:
            return
        self._die("server: restored from a backup")
        self.backend.restore()
        self.was_restored = True
        if self._dice.random() < ROTATED:
            self.backend.rotate_keys(stolen=False)
            self._count("server: its key was changed")

    def _die(self, how: str) -> None:
        self.backend.kill()
        self._dead_until_s = self._later()
        self._count(how)

    def _interrupt(self) -> bool:
        if self._steps_left is None:
            return False
        self._steps_left -= 1
        return self._has_died

    @property
    def _has_died(self) -> bool:
        return self._steps_left is not None and self._steps_left < 0

    def _hit(self, chance: float) -> bool:
        return self._dice.random() < chance

    def _later(self) -> float:
        # Mostly seconds, sometimes hours: a restart, or a night without anybody on duty.
        return self._clock.at_s + self.faults.down_s_max * self._dice.random() ** 4

    def _count(self, what: str) -> None:
        self._tally.faults[what] += 1
        self._trace.note("server", what.partition(": ")[2])
