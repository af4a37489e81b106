"""`greentrip sync`: send what waits."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from greentrip import Stop, SyncReport
from greentrip.cli.phone import add_phone, open_phone, print_json
from greentrip.words import word

TEXT = "send what waits"
_SENT = {"en": "sync: {settled}; {left} left; {why}", "zh": "同步：{settled}；剩余 {left}；{why}"}


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    verb.set_defaults(run=run)
    add_phone(verb)


def run(options: argparse.Namespace) -> int:
    """0 when everything that was due is sent."""
    with open_phone(options) as green:
        report = green.sync()
    if options.json:
        print_json(report_json(report))
    else:
        print_report(report, options.lang)
    return 0 if report.stop is Stop.DONE else 1


def print_report(report: SyncReport, lang: str) -> None:
    """What a sync did, in a sentence."""
    settled = ", ".join(f"{word(state, lang)} {count}" for state, count in report.settled.items()) or "0"
    print(_SENT[lang].format(settled=settled, left=report.left, why=report.message(lang)))


def report_json(report: SyncReport | None) -> dict[str, object] | None:
    """A report as JSON can hold it."""
    return None if report is None else asdict(report)
