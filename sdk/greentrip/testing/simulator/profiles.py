"""How bad a world is: every probability in one place."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from greentrip.testing.flaky_disk import DiskFaults
from greentrip.testing.flaky_transport import NetworkFaults


@dataclass(frozen=True, slots=True)
class ServerFaults:
    """What happens to the server: `kill` for each request, the others for each step of the world; 0 to 1."""

    kill: float = 0.0
    """Its process dies within the request: at an await, a statement, before or after a commit."""
    database_down: float = 0.0
    overload: float = 0.0
    """It answers 503 with `Retry-After` for a while."""
    restore: float = 0.0
    """It dies and comes back with an older backup."""
    new_key: float = 0.0
    """Its signing key is changed, by plan or because it was stolen."""
    down_s_max: float = 6 * 3600.0
    """How long it stays away after a kill, without a database, or under load."""


@dataclass(frozen=True, slots=True)
class PhoneFaults:
    """What happens to each phone, for each of its steps; 0 to 1."""

    kill: float = 0.0
    """The app is killed, at once or at one of its next statements, and perhaps in the middle of a request."""
    offline: float = 0.0
    """No network for a while."""
    clock: float = 0.0
    """The clock jumps by minutes, a day or ten years, to 1970 or back; or the phone reboots."""
    flipped_bit: float = 0.0
    """A stored record rots."""
    second_process: float = 0.0
    """Another process of the same app opens the store for a while."""
    meanwhile: float = 0.0
    """For each request: the person does something else while it is under way."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A kind of world. `habits` are the weights of what people do: see `habits.HABITS` for the names."""

    name: str
    network: NetworkFaults = field(default_factory=NetworkFaults)
    disk: DiskFaults = field(default_factory=DiskFaults)
    server: ServerFaults = field(default_factory=ServerFaults)
    phone: PhoneFaults = field(default_factory=PhoneFaults)
    steps: int = 60
    """What people do altogether, before the faults stop."""
    phones_max: int = 3
    wrong_clocks: bool = False
    """Phones' clocks are off by minutes from the start, and drift."""
    everyday: bool = True
    """People only record, sync and let the app sleep; else they also erase, opt out, and share phones and accounts."""
    gaps_h: tuple[int, ...] = ()
    """When given, people do nothing but record a trip a step, with so many hours from one to the next, in turn, and the
    app sends by itself alone."""


HEALTHY = Profile("healthy")
"""Nothing fails."""

LOSSY = replace(HEALTHY, name="lossy", network=NetworkFaults(drop=0.15, lose=0.15))
"""Three requests in ten are lost, before or after they arrive."""

HOSTILE = Profile(
    "hostile",
    network=NetworkFaults(
        drop=0.05,
        lose=0.08,
        delay=0.03,
        late=0.03,
        duplicate=0.04,
        truncate=0.03,
        reset=0.03,
        status=0.06,
        portal=0.03,
    ),
    disk=DiskFaults(full=0.002, busy=0.004, io_error=0.002, kill=0.0005),
    server=ServerFaults(kill=0.06, database_down=0.01, overload=0.01, restore=0.02, new_key=0.01),
    phone=PhoneFaults(kill=0.06, offline=0.04, clock=0.03, flipped_bit=0.006, second_process=0.03, meanwhile=0.05),
    wrong_clocks=True,
    everyday=False,
)
"""Everything fails, often at once."""

COMMUTER = replace(HEALTHY, name="commuter", steps=2 * 56, phones_max=1, gaps_h=(9, 15))
"""To work and home again for eight weeks, and nobody taps "sync"."""

COMMUTER_LOSSY = replace(COMMUTER, name="commuter-lossy", network=LOSSY.network)
"""The same, with three requests in ten lost."""

PROFILES = {profile.name: profile for profile in (HEALTHY, LOSSY, HOSTILE, COMMUTER, COMMUTER_LOSSY)}
