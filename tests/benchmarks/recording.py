"""CPU seconds for an hour of recording, by mode: with the fixes that the policy asks for, against one a second.

Only the process that records is counted (`time.process_time`): the receiver, which costs a phone's battery far more,
is not, and it is what the policy spares.
"""

import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from benchmarks.ratio import Ratio
from greentrip import Fix, GreenTrip, Mode, Network
from greentrip.signing import new_seed, signer_of
from greentrip.testing import FakeClock
from greentrip.wire import base64url
from support.rides import ride

HOUR_S = 3600
ROUNDS = 3
SEED = 20241001

Record = Callable[[GreenTrip, FakeClock, Sequence[Fix]], int]


def ratios() -> list[Ratio]:
    """One ratio a mode; there is no limit: how much an hour may cost depends on the phone."""
    found = []
    for mode in Mode:
        fixes = ride(mode, random.Random(SEED), seconds=HOUR_S).fixes
        runs = [(_hour(mode, fixes, _asked_for), _hour(mode, fixes, _each_second)) for _ in range(ROUNDS)]
        ours, other = min(run[0] for run in runs), min(run[1] for run in runs)
        asked, each = ours[1], other[1]
        name = f"CPU for an hour of {mode}, {asked} fixes by the policy"
        found.append(Ratio(name, f"one a second ({each} fixes)", ours[0], other[0], None))
    return found


def _hour(mode: Mode, fixes: Sequence[Fix], record: Record) -> tuple[float, int]:
    """CPU seconds, and how many fixes were recorded; start and finish included."""
    clock = FakeClock()
    with _phone(clock) as green:
        began = time.process_time()
        green.start(mode, fixes[0].point)
        count = record(green, clock, fixes)
        green.finish(fixes[-1].point)
        return time.process_time() - began, count


def _each_second(green: GreenTrip, clock: FakeClock, fixes: Sequence[Fix]) -> int:
    for fix in fixes[1:]:
        clock.tick(1)
        green.fix(fix.point, accuracy_m=fix.accuracy_m)
    return len(fixes) - 1


def _asked_for(green: GreenTrip, clock: FakeClock, fixes: Sequence[Fix]) -> int:
    count, second = 0, 0
    for wait_s in _waits(green, len(fixes)):
        clock.tick(wait_s)
        second += wait_s
        green.fix(fixes[second].point, accuracy_m=fixes[second].accuracy_m)
        count += 1
    clock.tick(max(0, len(fixes) - 1 - second))
    return count


def _waits(green: GreenTrip, seconds: int) -> Iterator[int]:
    """Seconds from each fix to the next that is asked for, within the hour."""
    second = 0
    while True:
        request = green.next_fix()
        if request.interval_s is None or second + request.interval_s >= seconds:
            return
        second += request.interval_s
        yield request.interval_s


@contextmanager
def _phone(clock: FakeClock) -> Iterator[GreenTrip]:
    """A phone in a scratch folder on a clock that the benchmark moves."""
    key = base64url(signer_of(new_seed()).public_key)
    settings = {"server": "http://127.0.0.1:9", "root_key": key, "network": Network.sample(), "clock": clock}
    with tempfile.TemporaryDirectory() as folder, GreenTrip.open(folder, **settings) as green:
        yield green
