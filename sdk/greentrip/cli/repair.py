"""`greentrip repair`: compare with the server, and send again what it lost."""

from __future__ import annotations

import argparse

from greentrip import Stop
from greentrip.cli.phone import add_phone, open_phone, print_json
from greentrip.cli.sync import print_report, report_json

TEXT = "compare with the server, and send again what it lost, say after a restore from a backup"


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    verb.set_defaults(run=run)
    add_phone(verb)


def run(options: argparse.Namespace) -> int:
    """0 when everything that was missing is there again."""
    with open_phone(options) as green:
        report = green.repair()
    if options.json:
        print_json(report_json(report))
    else:
        print_report(report, options.lang)
    return 0 if report.stop is Stop.DONE else 1
