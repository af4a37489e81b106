"""What test_kill.py kills: records for real, on the system's clock, and says what it was told before it goes on."""

import sys
import time
from pathlib import Path

from greentrip import GreenTrip, Network, Point

HOME = Point(39.9, 116.4)
METRES_PER_DEGREE = 111_195
STEP_M = 14
SWAY_M = 0.5


def say(*words: object) -> None:
    print(*words, flush=True)


def at_step(step: int) -> Point:
    # Who walks sways a little; a track without that is flagged as drawn.
    return Point(HOME.lat + step * STEP_M / METRES_PER_DEGREE, HOME.lon + step % 2 * SWAY_M / METRES_PER_DEGREE)


def main(folder: Path, script: str, mode: str) -> None:
    green = GreenTrip.open(folder, server="https://greentrip.example", root_key="A" * 43, network=Network.sample())
    say("opened")
    # The trip lies in the past, so that many minutes of fixes take no time.
    began = time.time() - 7200
    while True:
        if green.active is None:
            green.start(mode, HOME, at=began)
            say("started")
        if script == "start":
            time.sleep(60)
        for step in range(100_000 if script == "fixes" else 50):
            green.fix(at_step(step), at=began + step * 10, accuracy_m=5)
            say("fix", step + 1)
            if script == "fixes":
                time.sleep(0.002)
        if script == "before_finish":
            say("finishing")
            time.sleep(60)
        trip = green.finish(at_step(50), at=began + 600)
        say("finished", trip.id, (trip.record or b"").hex())
        if script == "finish":
            time.sleep(60)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
