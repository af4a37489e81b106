"""`greentrip opt-in`: take part again."""

from __future__ import annotations

import argparse

from greentrip.cli.phone import add_phone, open_phone, print_json

TEXT = "take part again after opt-out: trips are recorded and sent from now on"
_DONE = {"en": "you take part again", "zh": "已重新参与"}


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    verb.set_defaults(run=run)
    add_phone(verb)


def run(options: argparse.Namespace) -> int:
    """Opt in."""
    with open_phone(options) as green:
        green.opt_in()
    if options.json:
        print_json({"opted_out": False})
    else:
        print(_DONE[options.lang])
    return 0
