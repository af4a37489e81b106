"""What all commands do alike: the language, errors and interruptions, and a sign of life for what takes its time."""

from __future__ import annotations

import argparse
import locale
import os
import sys
import time
from collections.abc import Callable

from greentrip.errors import GreenTripError

PROGRESS_AFTER_S = 0.5


def run_verb(options: argparse.Namespace) -> int:
    """Call `options.run` in the language of `options.lang`. Returns its status; 1 after an error, which was printed."""
    options.lang = options.lang or language()
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except GreenTripError as error:
        print(error.message(options.lang), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader (head, less) has seen enough; a second error at exit would only confuse.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def language() -> str:
    """zh or en, by the locale of the environment."""
    named = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    named = named or (locale.getlocale()[0] or "")
    return "zh" if named.lower().startswith(("zh", "chinese")) else "en"


class Progress:
    """A counter on standard error for work that takes longer than half a second; silent where nobody looks."""

    def __init__(self, total: int) -> None:
        self._total, self._done, self._began = total, 0, time.monotonic()

    def step(self) -> None:
        """One more is done."""
        self._done += 1
        if sys.stderr.isatty() and time.monotonic() - self._began > PROGRESS_AFTER_S:
            end = "\n" if self._done == self._total else ""
            print(f"\r{self._done}/{self._total}", end=end, file=sys.stderr, flush=True)
