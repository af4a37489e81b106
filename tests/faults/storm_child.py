"""A phone of test_storm.py: records, erases and sends as fast as it can until it is told to end, or is killed."""

import random
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

from greentrip import GreenTrip, Network, SystemClock, TripView
from greentrip.wire import sha256_hex
from support.commuting import RIDE_FROM, RIDE_S, RIDE_TO, ride_at

SPEED = 20
"""So many times faster does a phone's time pass: a server that asks for 30 s of silence gets 1.5 s."""
ERASE, SYNC = 0.1, 0.4
"""How often it erases a trip after it recorded one, and how often the person taps "sync"."""
PAUSE_S = 0.1


class FastClock(SystemClock):
    """Runs away from the true time since `began`."""

    def __init__(self, began: float) -> None:
        self._began = began

    def now(self) -> float:
        return self._began + (super().now() - self._began) * SPEED

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds / SPEED)


def say(*words: object) -> None:
    print(*words, flush=True)


def ride(phone: GreenTrip, number: int) -> TripView:
    at = ride_at(number)
    say("began", number)
    phone.start("bus", RIDE_FROM, at=at)
    trip = phone.finish(RIDE_TO, at=at + timedelta(seconds=RIDE_S))
    say("recorded", trip.id, sha256_hex(trip.record or b""))
    return trip


def erase(phone: GreenTrip, trip_id: str) -> None:
    say("erasing", trip_id)
    phone.erase_trip(trip_id)
    say("erased", trip_id)


def live(phone: GreenTrip, number: int, dice: random.Random, told_to_end: threading.Event) -> None:
    if phone.active:
        phone.cancel()  # from before the kill
    while not told_to_end.is_set():
        trip = ride(phone, number)
        number += 1
        if dice.random() < ERASE:
            erase(phone, dice.choice([trip, *phone.trips()]).id)
        if dice.random() < SYNC:
            phone.sync(dice.uniform(0, 1))
        time.sleep(dice.uniform(0, PAUSE_S))


def main(folder: Path, server: str, root_key: str, began: float, number: int, seed: str) -> None:
    told_to_end = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), told_to_end.set()), daemon=True).start()
    settings = {"network": Network.sample(), "clock": FastClock(began), "background": True, "send_delay_s": 0.0}
    with GreenTrip.open(folder, server=server, root_key=root_key, **settings) as phone:
        say("opened")
        live(phone, number, random.Random(seed), told_to_end)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4]), int(sys.argv[5]), sys.argv[6])
