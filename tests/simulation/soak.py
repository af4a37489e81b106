"""One phone that records for years: what it keeps on disk and in memory for each record. `make soak` runs 10,000."""

import argparse
import gc
import random
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

from greentrip import GreenTrip, GreenTripError, Network, State
from greentrip.testing import DiskFaults, FlakyDisk, FlakyTransport, Killed, NetworkFaults
from greentrip.testing.simulator import PhoneClock, WorldClock
from simulation.real_server import RealServer, quick_folder

RECORDS = 10_000
A_DAY = 6
KEY_DAYS = 300.0
"""So often the server signs with a new key: none lives for all these years."""
FILE_BYTES_A_RECORD_MAX = 4_000
"""Record, result, receipt, evidence and their indexes."""
MEMORY_BYTES_MAX = 96 * 1024 * 1024
"""Growth of the whole process, the server included, over the last nine tenths of the records: caches and what the
allocator keeps. Ten kilobytes that each of 10,000 records left behind would be more."""
DISK = DiskFaults(full=0.0005, busy=0.001, io_error=0.0005, kill=0.0005)
PAGE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Soaked:
    """What is there after so many records."""

    records: int
    settled: int
    kills: int
    file_bytes: int
    memory_bytes: int

    def problems(self, before: "Soaked") -> list[str]:
        """What has grown too much since `before`, or was lost."""
        found = [] if self.settled == self.records else [f"{self.settled} of {self.records} records are settled"]
        each = (self.file_bytes - before.file_bytes) / (self.records - before.records)
        if each > FILE_BYTES_A_RECORD_MAX:
            found.append(f"the file grew by {each:.0f} bytes a record, more than {FILE_BYTES_A_RECORD_MAX}")
        grown = self.memory_bytes - before.memory_bytes
        if grown > MEMORY_BYTES_MAX:
            found.append(f"the memory grew by {grown} bytes, more than {MEMORY_BYTES_MAX}")
        return found


class Soak:
    """A phone that is killed, meets full disks and bad networks, and goes on."""

    def __init__(self, server: RealServer, folder: Path, seed: int) -> None:
        self._server = server
        self._folder = folder
        self._world = WorldClock()
        server.begin(self._world)
        self._dice = random.Random(seed)
        self._clock = PhoneClock(self._world)
        self._network = FlakyTransport(server.transport, NetworkFaults.bad(), self._dice, self._clock)
        self._rails = Network.sample()
        self._kills = 0
        self._recorded = 0
        self._key_days = 0.0
        self._app, self._disk = self._open()
        self._enrol()

    def live(self, records: int) -> Soaked:
        """Record until there are so many, send them all, and see what is there."""
        while self._recorded < records:
            self._step()
            if self._world.days > self._key_days + KEY_DAYS:
                self._key_days = self._world.days
                self._server.rotate_keys(stolen=False)
        self._disk.mend()
        faults, self._network.faults = self._network.faults, NetworkFaults.none()
        while left := self._app.sync(timeout=600).left:
            self._world.advance(3600)
            print(f"{left} left", file=sys.stderr)
        # Not stats(), which looks at all trips at once: what that takes is given back to Python, not to the system.
        states = self._app._store.states()
        files = sum(path.stat().st_size for path in self._folder.glob("*.sqlite3*"))
        self._network.faults, self._disk.faults = faults, DISK
        return Soaked(sum(states.values()), states.get(State.ACCEPTED, 0), self._kills, files, memory_bytes())

    def close(self) -> None:
        self._disk.mend()
        self._app.close(timeout=0)

    def _step(self) -> None:
        try:
            if self._app.active is None:
                self._app.start("rail", "虎坊桥")
            self._world.advance(1800)
            self._app.finish("双井")
            self._recorded += 1
            self._world.advance(86_400 / A_DAY - 1800)
            if self._dice.random() < 0.1:
                self._app.sync(timeout=60)
        except GreenTripError:
            self._world.advance(60)
        except Killed:
            self._kills += 1
            self._app._worker.stop(0)
            self._disk.abandon(alone=True)
            self._app, self._disk = self._open()

    def _open(self) -> tuple[GreenTrip, FlakyDisk]:
        while True:
            disk = FlakyDisk(DISK, self._dice, Counter())
            try:
                app = GreenTrip.open(
                    self._folder,
                    server="https://greentrip.example",
                    root_key=self._server.root_key,
                    network=self._rails,
                    clock=self._clock,
                    transport=self._network,
                    connection=disk,
                )
            except (GreenTripError, Killed):
                disk.abandon(alone=True)
            else:
                return app, disk

    def _enrol(self) -> None:
        self._disk.mend()
        faults, self._network.faults = self._network.faults, NetworkFaults.none()
        self._app.request_code("13800000000")
        self._app.enrol(self._server.last_code(), {"location": "2026-03", "sync": "2026-03"})
        self._network.faults, self._disk.faults = faults, DISK


def memory_bytes() -> int:
    """What this process holds in memory now (Linux); 0 where the system does not tell."""
    gc.collect()
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES
    except OSError:
        return 0


def soak(records: int, seed: int = 0) -> list[str]:
    """What was wrong after so many records, and each tenth of them told."""
    server, folder = RealServer(), quick_folder()
    life = Soak(server, folder, seed)
    try:
        # What is made once, whatever is recorded: imports, caches, the store's first pages.
        before = after = life.live(records // 10)
        for part in range(2, 11):
            after = life.live(records * part // 10)
            print(after, file=sys.stderr)
        return after.problems(before)
    finally:
        life.close()
        server.end()
        rmtree(folder)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=RECORDS, help=f"how many (default {RECORDS})")
    parser.add_argument("--seed", type=int, default=0, help="of the dice (default 0)")
    given = parser.parse_args()
    problems = soak(given.records, given.seed)
    print("\n".join(problems) or f"{given.records} records: the file and the memory stay within bounds")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
