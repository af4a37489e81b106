"""What test_exit.py starts: an app that records, lets its phone send in the background, and ends without close()."""

import atexit
import sys
import threading
import time
from pathlib import Path

from greentrip import GreenTrip, Network, SyncReport

CONSENTS = {"location": "2026-03", "sync": "2026-03"}
EXIT_CODE = 3


def say(*words: object) -> None:
    # In one piece: two threads speak, and print() writes word by word.
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def record(phone: GreenTrip) -> None:
    began = time.time() - 3600
    phone.start("rail", "虎坊桥", at=began)
    say("recorded", phone.finish("东夏园", changes=["双井", "呼家楼"], at=began + 3000).id)


def observe(event: object) -> None:
    # An observer may be inside print() when the interpreter ends.
    say("event", type(event).__name__)


def at_exit(phone: GreenTrip) -> None:
    report = phone.close(timeout=1)
    assert isinstance(report, SyncReport)
    say("closed", report.stop)


def main(folder: Path, server: str, root_key: str, script: str) -> None:
    phone = GreenTrip.open(
        folder,
        server=server,
        root_key=root_key,
        network=Network.sample(),
        background="background" in script,
        send_delay_s=0.0,
        observer=observe if "observed" in script else None,
    )
    phone.request_code("13800000000")
    phone.enrol("123456", CONSENTS)
    if "handler" in script:
        atexit.register(at_exit, phone)
    for _ in range(30 if "many" in script else 1):
        record(phone)
    if "daemon" in script:
        threading.Thread(target=phone.sync, daemon=True).start()
    # The test says when: the server has the request by then.
    say("ready")
    sys.stdin.readline()
    if "raise" in script:
        raise KeyError("the app's own fault")
    sys.exit(EXIT_CODE)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4])
