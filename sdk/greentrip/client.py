"""`GreenTrip`: the one object that an app holds. It records trips on the phone and sends what may leave it."""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from greentrip import fork, threads
from greentrip.clock import Clock, SystemClock
from greentrip.diagnose import Settings, diagnose
from greentrip.distance.rail import Network
from greentrip.errors import Closed, InvalidInput, NotEnrolled, StorageError, Suspended, TripRunning, Unproven
from greentrip.events import Erased, KeyListChanged, Observer, PersonOptedOut, StoreReplaced, Teller, TripErased
from greentrip.http import Http, check_server
from greentrip.membership import Membership
from greentrip.methodology import Methodology, bundled
from greentrip.receipts import Bundle, check_bundle
from greentrip.recording import Recording
from greentrip.remote import Remote, check_root_key
from greentrip.report import Stop, SyncReport, Trigger
from greentrip.secrets_store import FileSecrets, SecretStore
from greentrip.slots import Slots, name_of
from greentrip.states import State
from greentrip.store import OPTED_OUT, MakeConnection, Receipt, Store
from greentrip.sync import Sender
from greentrip.views import Account, Entry, Notice, Stats, TripView, stats_of, views_of
from greentrip.worker import Worker

if TYPE_CHECKING:
    import httpx

SYNC_TIMEOUT_S = 30.0
CLOSE_TIMEOUT_S = 5.0
ERASE_TIMEOUT_S = 10.0
SEND_DELAY_S = 6 * 3600.0
"""By itself the phone sends a trip a random time after it ended, at most this (*policy*): protocol, "A record"."""
STOP_S = 6.0
"""What a pass gets to end its statement when the app is suspended: a little more than a lock is waited for."""


class GreenTrip(Recording):
    """Records low-carbon trips offline and earns credits for them.

    Everything about a trip is kept in one SQLite file in `folder`; only the desensitised record is ever sent. All
    methods may be called from any thread. Make it with `GreenTrip.open()`; use it as a context manager or `close()` it.
    """

    def __init__(
        self,
        slots: Slots,
        http: Http,
        root_key: bytes,
        secrets: SecretStore,
        network: Network | None,
        methodology: Methodology,
        clock: Clock,
        dice: Callable[[], float],
        *,
        background: bool,
        observer: Observer | None,
        send_delay_s: float,
        connection: MakeConnection,
    ) -> None:
        self._slots = slots
        self._http = http
        self._root_key = root_key
        self._secrets = secrets
        self._background = background
        self._connection = connection
        tell = Teller(observer)
        slot = slots.current
        store = Store(slots.path(slot), connection)
        super().__init__(store, network, methodology, clock, dice, send_delay_s, tell)
        self._open = True
        self._worker = Worker(self._pass, self._next_due_ms, clock, tell, cut=http.close)
        self._use_or_close(store, slot)
        self._tell_recovered()
        fork.watch(self)
        self._worker.start(background=background)

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
        background: bool = False,
        observer: Observer | None = None,
        send_delay_s: float = SEND_DELAY_S,
        connection: MakeConnection = sqlite3.Connection,
    ) -> GreenTrip:
        """Open the trips of one server in `folder`. Needs no network; a trip in progress is found again.

        `server` is an https URL (http on this machine only), `root_key` its pinned key as base64url
        (`greentrip-server keys show`). `network` enables rail by stations. With `background` one thread sends by
        itself, each trip a random time (at most `send_delay_s`) after it ended; without it trips leave the phone only
        when `sync()` is called. `observer` is told what happens (`greentrip.events`); what it raises is swallowed.
        `connection` is where tests put the faults of a disk: the `factory` of `sqlite3.connect`.
        Raises `InvalidInput` or `StorageError`.
        """
        server = check_server(server)
        root = check_root_key(root_key)
        if not 0 <= send_delay_s <= SEND_DELAY_S:
            raise InvalidInput(
                "send_delay_s", f"must lie between 0 and {SEND_DELAY_S:.0f} s", f"须在 0 至 {SEND_DELAY_S:.0f} 秒之间"
            )
        folder = Path(folder)
        name = name_of(root)
        return cls(
            Slots(folder, name),
            Http(server, transport),
            root,
            secrets or FileSecrets(folder / name),
            network,
            methodology or bundled(),
            clock or SystemClock(),
            dice,
            background=background,
            observer=observer,
            send_delay_s=send_delay_s,
            connection=connection,
        )

    # What there is

    def trips(self) -> list[TripView]:
        """Every finished trip on this phone, newest first, with the server's last word on it."""
        with self._ready():
            return views_of(self._store.trips())

    def stats(self) -> Stats:
        """Counts: recorded, waiting, and how records left the queue, by state and rule."""
        with self._ready():
            return stats_of(self._store.states(), self._store.tallies(), self._store.trips())

    def receipt(self, trip_id: str) -> tuple[bytes, Receipt] | None:
        """The server's signed result line for a trip and the receipt that proves it offline, or None so far.

        Raises `Untrusted` where what is kept of it is damaged.
        """
        with self._ready():
            try:
                return self._store.receipt_of(trip_id)
            except ValueError:
                raise Unproven("what this phone kept is damaged", "本机保存的凭证已损坏") from None

    def receipts(self) -> list[str]:
        """The trips for which the server has signed, in the order in which they were recorded."""
        with self._ready():
            return self._store.signed_ids()

    def export_receipt(self, trip_id: str) -> bytes:
        """A trip's record, result and receipt with the key list, as one file: who has the root key can check it.

        Raises `Untrusted` where there is no receipt, or what is kept of it is damaged.
        """
        return self._bundle(trip_id).to_bytes()

    def verify_receipt(self, trip_id: str) -> datetime:
        """Check a trip's receipt again from what this phone keeps, without a network. Returns when the server signed.

        It proves that the pinned server gave this result for exactly the bytes that left the phone. Raises `Untrusted`.
        """
        return check_bundle(self._bundle(trip_id), self._root_key).signed_at

    def diagnose(self) -> dict[str, object]:
        """How the queue is, for a support case and for JSON: counts, sizes, versions, the last syncs, waits.

        No ids, places, accounts, keys or addresses are in it: a white list sees to that. Raises `StorageError`.
        """
        with self._ready():
            settings = Settings(self._background, self._send_delay_s)
            return diagnose(self._store, self._remote, self.stats().exits, settings, self._now_ms())

    @property
    def recovered(self) -> Path | None:
        """The damaged file that was moved aside when this object was opened; what could be read of it is here."""
        return self._store.recovered

    # The account

    def request_code(self, phone: str) -> None:
        """Ask the server to send a one-time code to a phone number. Raises `Refused` or `Unreachable`."""
        self._check_open()
        self._membership.request_code(phone)

    def enrol(self, code: str, consents: Mapping[str, str], *, replace_account: bool = False) -> str:
        """Open (or join) the account with the code; `consents` names each purpose and the version that was accepted.

        Idempotent: repeated after a lost answer, it gives the same account. Returns the account's id. When the server
        names another account than before, as one does that was restored from a backup of before the enrolment, this
        raises `Untrusted`; with `replace_account` the trips of this phone go to the account that it names now.
        """
        self._check_open()
        account = self._membership.enrol(code, consents, replace_account=replace_account)
        with suppress(StorageError):  # the account is kept: a note that is not ends with the pause it would have ended
            self._sender.enrolled()
        self._worker.trigger(Trigger.APP)
        return account

    @property
    def account_id(self) -> str | None:
        """The account of this phone, or None before enrol()."""
        with self._ready():
            return self._membership.id

    def accounts(self) -> list[str]:
        """The accounts that have trips on this phone, each in its own file."""
        with self._ready():
            return list(self._slots.accounts())

    def switch_account(self, account_id: str | None = None) -> None:
        """Use another account from now on; None: a new one, to enrol. Trips of the one before stay, and wait for it.

        Raises `InvalidInput` for an account that is not on this phone, `TripRunning` while a trip is in progress, and
        `NotEnrolled` while there are trips that no account has yet: nobody could find them again.
        """
        # A call under way is the other account's.
        with self._nothing_under_way(), self._ready():
            if self._store.events():
                raise TripRunning
            if self._membership.id is None and self._store.trips():
                raise NotEnrolled
            slot, before = self._slots.find(account_id), self._store
            self._use_or_close(Store(self._slots.path(slot), self._connection), slot)
            before.close()
        self._tell_recovered()

    def account(self) -> Account:
        """The account's balance by the server, and what still waits here. Raises `ServerError`."""
        self._check_open()
        return self._membership.account([trip for trip in self.trips() if trip.state in (State.PENDING, State.LEASED)])

    def statement(self) -> list[Entry]:
        """Every entry of the account, oldest first. Raises `ServerError`."""
        self._check_open()
        return self._membership.statement()

    def notices(self, after: int = 0) -> list[Notice]:
        """What the server decided about trips, oldest first, from after a number. Raises `ServerError`."""
        self._check_open()
        found = self._membership.notices(after)
        with self._ready():
            # What they name is asked about at the next pass, not on the next day.
            self._store.ask_again_now([notice.trip for notice in found if notice.trip], self._now_ms())
        self._worker.trigger(Trigger.RECORD)
        return found

    # Sending

    def sync(self, timeout: float = SYNC_TIMEOUT_S) -> SyncReport:
        """Send what waits, for at most `timeout` seconds. Says what settled, what is left and why; does not raise."""
        self._check_open()
        return self._worker.sync(timeout)

    def network_changed(self, online: bool) -> None:
        """Say what the system says of the network. Without one nothing is tried; back again, what waits is sent."""
        self._check_open()
        with suppress(StorageError, Suspended):
            self._sender.network(online)
            if online:
                self._worker.trigger(Trigger.NETWORK)

    def repair(self, timeout: float = SYNC_TIMEOUT_S) -> SyncReport:
        """Compare with the server what it has, and send again exactly what it lost.

        By itself it does so every four weeks, and when the server's keys have changed.
        """
        self._check_open()
        with suppress(StorageError):
            self._sender.errands.check_in_now()
        return self._worker.sync(timeout)

    # What the person takes back

    def opt_out(self, pending: Literal["erase", "keep"]) -> None:
        """Record and send nothing from now on: a call under way is cut, and a retry that waits sends nothing.

        "erase" also erases what the server has not settled, and the trip in progress; "keep" keeps it for `opt_in()`.
        """
        if pending not in ("erase", "keep"):
            raise InvalidInput("pending", f"{pending!r} is neither 'erase' nor 'keep'", "应为 erase 或 keep")
        with self._nothing_under_way(), self._ready():
            self._store.opt_out(self._now_ms(), erase_pending=pending == "erase")
        self._tell(PersonOptedOut())
        self._worker.trigger(Trigger.APP)

    def opt_in(self) -> None:
        """Take part again."""
        with self._ready():
            self._store.drop(OPTED_OUT)
        self._worker.trigger(Trigger.APP)

    @property
    def opted_out(self) -> bool:
        """Whether the person has opted out."""
        with self._ready():
            return self._store.get(OPTED_OUT) is not None

    def erase_trip(self, trip_id: str) -> None:
        """Erase a finished trip here, at once and with all that belongs to it; the server is told with the next pass.

        Raises `InvalidInput` where there is no such trip.
        """
        with self._ready():
            self._store.erase_trip(trip_id, self._now_ms())
        self._tell(TripErased(trip_id))
        self._worker.trigger(Trigger.RECORD)

    def erase(self, timeout: float = ERASE_TIMEOUT_S) -> bool:
        """Erase everything: trips, evidence and keys here, at once; the account at the server, by a signed order.

        The order is kept until the server's certificate arrives. Returns whether it did within `timeout` seconds;
        otherwise it is sent again with every pass. False as well where this phone had lost its key: then only the
        server's operator can erase the account.
        """
        with self._nothing_under_way(), self._ready():
            ordered = self._membership.erase()
            self._alive = False
        self._tell(Erased(certified=False))
        self._worker.sync(timeout)
        with self._ready():
            return ordered and not self._store.erasure_orders()

    # Life

    def suspend(self) -> None:
        """The app goes to sleep: nothing runs and no file is open when this returns. `wake()` goes on."""
        self._check_open()
        self._rest()
        self._store.suspend()

    def wake(self) -> None:
        """The app is back: open the file again and send what is due. Does nothing when it was awake."""
        self._check_open()
        before = self._store.recovered
        self._store.resume()
        if self._store.recovered not in (None, before):
            self._tell(StoreReplaced(self._store.recovered))
        self._http.open()
        self._worker.start(background=self._background)
        self._worker.trigger(Trigger.APP)

    def close(self, timeout: float = CLOSE_TIMEOUT_S) -> SyncReport:
        """Send what can be sent within `timeout` seconds (0: nothing), then let go of the file. Says what is left."""
        self._check_open()
        ends_at = time.monotonic() + timeout
        report = self._worker.sync(timeout) if timeout > 0 else self._left()
        self._open = False
        # A file that another process has locked must not hold up the app beyond its time.
        closed = threads.begin("greentrip-close", self._shut)
        closed.wait(max(STOP_S, ends_at - time.monotonic()))
        return report

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._open:
            self.close(timeout=0)

    def after_fork(self) -> None:
        """In the child: a lock that nobody holds."""
        self._lock = threading.RLock()

    # Inside

    def _use_or_close(self, store: Store, slot: int) -> None:
        try:
            self._use(store, slot)
        except BaseException:
            store.close()
            raise

    def _use(self, store: Store, slot: int) -> None:
        """Everything that belongs to one account, over its open store. When it raises, nothing has changed."""
        remote = Remote(self._http, self._root_key, store, self._clock)
        membership = Membership(store, remote, self._secrets, self._slots.key_name(slot))
        sender = Sender(store, remote, self._clock, self._dice, self._tell, lambda: self._worker.stopping)
        remote.keys.changed = partial(self._keys_changed, sender)
        if slot != self._slots.current:
            self._slots.use(slot)
        self._store, self._remote, self._membership, self._sender = store, remote, membership, sender

    def _keys_changed(self, sender: Sender, seq: int) -> None:
        sender.keys_changed()
        self._tell(KeyListChanged(seq))

    def _tell_recovered(self) -> None:
        """To be called without the lock: an observer may want it."""
        if self._store.recovered is not None:
            self._tell(StoreReplaced(self._store.recovered))

    def _pass(self, trigger: Trigger, timeout_s: float) -> SyncReport:
        try:
            self._membership.find_key()
            self._store.scrub()
            if self._membership.id is None and not self._store.erasure_orders():
                return SyncReport(left=self._store.waiting(), stop=Stop.NOT_ENROLLED)
            return self._sender.run(trigger, timeout_s)
        except Suspended:
            return SyncReport(stop=Stop.SUSPENDED)

    def _next_due_ms(self) -> int | None:
        return self._sender.next_due_ms()

    def _bundle(self, trip_id: str) -> Bundle:
        with self._ready():
            found = self.receipt(trip_id)
            record = self._store.trip(trip_id).record if found else None
            if found is None or not record:  # bytes go 400 days after a trip was refused
                raise Unproven("there is no receipt for this trip", "该次出行尚无凭证")
            return Bundle.of(record, *found, self._store.get("key_list"))

    def _recorded(self, trip: TripView) -> None:
        super()._recorded(trip)
        self._worker.trigger(Trigger.RECORD)

    @contextmanager
    def _nothing_under_way(self) -> Iterator[None]:
        """No pass runs in the block: what was leased before it is not sent after it.

        Entered without the lock: an observer whom the pass tells something may want it.
        """
        self._check_open()
        if self._store.suspended:
            raise Suspended
        self._rest()
        try:
            yield
        finally:
            self._http.open()
            self._worker.start(background=self._background)

    def _rest(self) -> None:
        """End what runs: the pass under way learns it and its call is cut; the connection stays closed."""
        self._worker.stop(STOP_S)
        self._http.close()  # also for calls that are not the worker's

    def _shut(self) -> None:
        self._rest()
        self._store.close()

    def _left(self) -> SyncReport:
        with suppress(StorageError, Suspended):
            return SyncReport(left=self._store.waiting())
        return SyncReport()

    def _now_ms(self) -> int:
        return round(self._clock.now() * 1000)

    def _ready(self) -> threading.RLock:
        self._check_open()
        return self._lock

    def _check_open(self) -> None:
        if not self._open:
            raise Closed
