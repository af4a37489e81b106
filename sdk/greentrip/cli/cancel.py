"""`greentrip cancel`: forget the trip in progress."""

from __future__ import annotations

import argparse

from greentrip.cli.phone import add_phone, open_phone, print_json

TEXT = "forget the trip in progress, for example after a replay was killed"
_DONE = {"en": "the trip in progress was forgotten", "zh": "已放弃进行中的出行"}


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    verb.set_defaults(run=run)
    add_phone(verb)


def run(options: argparse.Namespace) -> int:
    """Forget it."""
    with open_phone(options) as green:
        green.cancel()
    if options.json:
        print_json({"cancelled": True})
    else:
        print(_DONE[options.lang])
    return 0
