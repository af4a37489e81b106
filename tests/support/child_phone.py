"""A phone in a process of its own, so that it can be killed: told by JSON lines which methods to call."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Any

from greentrip import GreenTrip, Network, Point
from support import points

TESTS = Path(__file__).resolve().parent.parent
STOP_TIMEOUT_S = 30.0


class PhoneDied(Exception):
    """The process ended before it answered."""


class ChildPhone:
    """Calls the methods of a `GreenTrip` that lives in another process."""

    def __init__(self, folder: Path, server: str, root_key: str, struck_at: points.Point | None = None) -> None:
        """`struck_at` is where a signal hits it while it opens."""
        point = astuple(struck_at) if struck_at else None
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.child_phone", folder, server, root_key, json.dumps(point)],
            cwd=TESTS,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def strike(self, point: points.Point) -> None:
        """Let a signal hit it when it gets to this point from now on."""
        self.call("strike", *astuple(point))

    def tell(self, do: str, *arguments: Any, **named: Any) -> None:
        """Give an order and do not wait."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([do, arguments, named]) + "\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        """What the oldest order without an answer gave: the id of a trip, or the text of something else."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        # A line that was cut by SIGKILL was not an answer.
        if not line.endswith("\n"):
            raise PhoneDied
        return json.loads(line)

    def call(self, do: str, *arguments: Any, **named: Any) -> Any:
        """Give an order and wait for what it gave."""
        self.tell(do, *arguments, **named)
        return self.answer()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and nothing of it is left when this returns."""
        self._process.kill()
        self._process.wait()

    def died_of(self) -> int:
        """The signal that ended it; waits for that."""
        return -self._process.wait(STOP_TIMEOUT_S)

    def end(self) -> None:
        """Let it close its store, then be gone; nothing happens when it is."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()


@contextmanager
def child_phone(
    folder: Path, server: str, root_key: str, struck_at: points.Point | None = None
) -> Iterator[ChildPhone]:
    """A phone that is gone at the end of the block."""
    phone = ChildPhone(folder, server, root_key, struck_at)
    try:
        yield phone
    finally:
        phone.end()


def _value(value: Any) -> Any:
    return Point(*value) if isinstance(value, list) and [type(part) for part in value] == [float, float] else value


def main() -> None:
    """Answer until standard input ends."""
    folder, server, root_key, point = sys.argv[1:]
    fuse = points.Fuse(points.Point(*json.loads(point)) if json.loads(point) else None)
    settings = {"network": Network.sample(), "connection": fuse.connection, "transport": fuse.transport()}
    with GreenTrip.open(folder, server=server, root_key=root_key, **settings) as phone:
        for line in sys.stdin:
            do, arguments, named = json.loads(line)
            if do == "strike":
                found = fuse.set(points.Point(*arguments))
            else:
                found = getattr(phone, do)(*map(_value, arguments), **named)
            print(json.dumps(getattr(found, "id", str(found))), flush=True)


if __name__ == "__main__":
    main()
