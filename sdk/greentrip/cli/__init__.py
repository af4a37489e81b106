"""`greentrip`: record tracks from files as if live, send them, look at what is there. For developers."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Protocol

from greentrip.cli import (
    account,
    answer,
    cancel,
    diagnose,
    enrol,
    erase,
    notices,
    opt_in,
    opt_out,
    receipts,
    repair,
    replay,
    stats,
    sync,
    trips,
)
from greentrip.terminal import run_verb


class Verb(Protocol):
    """A module of this package: one thing that the program can do."""

    TEXT: str
    """What it does, for the help."""

    def add_arguments(self, verb: argparse.ArgumentParser) -> None:
        """Add the verb's own arguments, and `run` as a default."""


VERBS: dict[str, Verb] = {
    "replay": replay,
    "enrol": enrol,
    "sync": sync,
    "trips": trips,
    "answer": answer,
    "account": account,
    "notices": notices,
    "stats": stats,
    "receipts": receipts,
    "erase": erase,
    "opt-out": opt_out,
    "opt-in": opt_in,
    "repair": repair,
    "diagnose": diagnose,
    "cancel": cancel,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb. Returns 0, or 1 after an error that was printed."""
    return run_verb(_parser().parse_args(_joined(sys.argv[1:] if arguments is None else arguments)))


def _joined(arguments: Sequence[str]) -> list[str]:
    """The arguments with a root key tied to its option: one in 64 begins with "-", as options do.

    >>> _joined(["sync", "--root-key", "-3WuEb..."])
    ['sync', '--root-key=-3WuEb...']
    """
    joined = list(arguments)
    if "--root-key" in joined[:-1]:
        at = joined.index("--root-key")
        joined[at : at + 2] = [f"--root-key={joined[at + 1]}"]
    return joined


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="greentrip", description=__doc__)
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    for name, module in VERBS.items():
        module.add_arguments(verbs.add_parser(name, help=module.TEXT, description=module.TEXT))
    return parser
