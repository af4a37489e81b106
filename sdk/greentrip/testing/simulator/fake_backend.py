"""`FakeServer` under simulation: an app can be tried against it without a server of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from datetime import datetime
from typing import Any

from greentrip.states import State
from greentrip.testing.asgi import AsgiTransport
from greentrip.testing.clock import FakeClock
from greentrip.testing.fake_books import FakeBooks
from greentrip.testing.fake_server import FakeServer
from greentrip.testing.simulator.backend import ServerAccount, ServerTrip

_Message = MutableMapping[str, Any]
UNAVAILABLE_RETRY_AFTER_S = 30


class FakeBackend:
    """Implements `Backend`. Only what is committed counts, and a `FakeServer` commits in one step."""

    def __init__(self) -> None:
        self.interrupt: Callable[[], bool] = lambda: False
        self.server = FakeServer(FakeClock())
        self.transport = AsgiTransport(self._app, interrupt=lambda: self.interrupt())
        self._database_is_up = True
        self._backup: FakeBooks | None = None

    @property
    def root_key(self) -> str:
        return self.server.root_key

    def begin(self, now: Callable[[], datetime]) -> None:
        self.server = FakeServer(_Clock(now))
        self._database_is_up, self._backup = True, None

    def end(self) -> None:
        self.transport.stop()

    def last_code(self) -> str:
        return self.server.code

    def kill(self) -> None:
        """It keeps nothing that a kill could take."""

    start = kill

    def set_database(self, up: bool) -> None:
        self._database_is_up = up

    def backup(self) -> None:
        self._backup = self.server.backup()

    def restore(self) -> None:
        if self._backup is not None:
            self.server.restore(self._backup)

    def rotate_keys(self, *, stolen: bool) -> None:
        self.server.rotate(keep_old=not stolen)

    def maintain(self) -> None:
        """It holds nothing that a day would free."""

    def accounts(self) -> Mapping[str, ServerAccount]:
        return {
            account.id: ServerAccount(
                {trip.id: ServerTrip(trip.status, trip.official_mg, trip.line) for trip in account.trips.values()},
                account.balance_mg,
            )
            for account in self.server.accounts.values()
        }

    def findings(self) -> Sequence[str]:
        return [
            f"{trip.id} is erased and its bytes are still there"
            for trip in self.server.records.values()
            if trip.status is State.ERASED and trip.line is not None
        ]

    async def _app(
        self,
        scope: _Message,
        receive: Callable[[], Awaitable[_Message]],
        send: Callable[[_Message], Awaitable[None]],
    ) -> None:
        if scope["type"] == "http" and not self._database_is_up:
            headers = [(b"retry-after", b"%d" % UNAVAILABLE_RETRY_AFTER_S)]
            await send({"type": "http.response.start", "status": 503, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return
        await self.server(scope, receive, send)


class _Clock(FakeClock):
    """The world's time."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        super().__init__()
        self._world_now = now

    def now(self) -> float:
        return self._world_now().timestamp()
