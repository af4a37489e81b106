"""What an HTTP answer means for the batch that it answers."""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    """What an HTTP status means for a batch. Nothing here ever deletes a record."""

    READ = "read"
    """Read the results one by one; an answer that cannot be read is tried again."""
    RETRY = "retry"
    """Passing trouble: back off and send the same bytes again."""
    LOGIN = "login"
    """The server does not know this device's signature: pause until the person enrols again."""
    PAUSE = "pause"
    """The server says no to the call: say so, and try again every 6 hours."""
    HALVE = "halve"
    """The batch is too large: send half as many."""
    BISECT = "bisect"
    """A record in the batch is refused: find it, and set it alone aside."""


_VERDICTS = {
    **dict.fromkeys((408, 425, 429), Verdict.RETRY),
    **dict.fromkeys((400, 422), Verdict.BISECT),
    401: Verdict.LOGIN,
    413: Verdict.HALVE,
}


def classify(status: int, kind: str = "") -> Verdict:
    """What to do after an answer with this status and kind of problem.

    A redirect is never followed: it is somebody else's page. `clock`, said again after the offset was learnt, is no
    reason to enrol again.
    """
    if 200 <= status < 300 and status != 204:
        return Verdict.READ
    if status < 400 or status >= 500 or (status, kind) == (401, "clock"):
        return Verdict.RETRY
    return _VERDICTS.get(status, Verdict.PAUSE)
