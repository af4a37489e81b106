"""One of the processes of test_crowd.py: many threads record, send and look, all through one phone."""

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue

from greentrip import GreenTrip, Network, Point, TripRunning

RECORDING, SENDING, LOOKING = 2, 4, 2
RIDE_S = 1200
SYNC_S = 30.0


def say(*words: str) -> None:
    # One write a line: print() writes the end of a line by itself, and threads share the pipe.
    sys.stdout.write(" ".join(words) + "\n")
    sys.stdout.flush()


def record(phone: GreenTrip, begins: "SimpleQueue[float]") -> None:
    while True:
        try:
            at = begins.get_nowait()
        except Empty:
            return
        while True:
            try:
                phone.start("bus", Point(39.90, 116.40), at=at)
                break
            except TripRunning:  # somebody else's; in a moment it is over
                time.sleep(0.001)
        trip = phone.finish(Point(39.93, 116.43), at=at + RIDE_S)
        say("recorded", trip.id, (trip.record or b"").hex())


def send(phone: GreenTrip, recorded: threading.Event) -> None:
    while not recorded.is_set() or phone.sync(SYNC_S).left:
        phone.sync(SYNC_S)


def look(phone: GreenTrip, recorded: threading.Event) -> None:
    while not recorded.is_set():
        assert len(phone.trips()) <= phone.stats().recorded


def main(folder: Path, server: str, root_key: str, first: float, count: int) -> None:
    begins: SimpleQueue[float] = SimpleQueue()
    for number in range(count):
        begins.put(first + number * 2 * RIDE_S)
    recorded = threading.Event()
    with GreenTrip.open(
        folder, server=server, root_key=root_key, network=Network.sample(), background=True, send_delay_s=0.0
    ) as phone:
        recorders = _start(RECORDING, lambda: record(phone, begins))
        others = _start(SENDING, lambda: send(phone, recorded)) + _start(LOOKING, lambda: look(phone, recorded))
        for thread in recorders:
            thread.join()
        recorded.set()
        for thread in others:
            thread.join()
    say("done")


def _start(count: int, work: Callable[[], None]) -> list[threading.Thread]:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


def give_up(fault: threading.ExceptHookArgs) -> None:
    """What a thread raises ends the process, and the test sees it."""
    traceback.print_exception(fault.exc_value)
    os._exit(1)


if __name__ == "__main__":
    threading.excepthook = give_up
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4]), int(sys.argv[5]))
