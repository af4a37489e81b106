"""`greentrip account`: what stands in the account at the server."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from greentrip.cli.phone import add_phone, open_phone, print_json
from greentrip.table import table
from greentrip.words import grams, server_word

TEXT = "show the account's balance and statement"
_HEAD = {"en": ("time", "entry", "grams", "balance g"), "zh": ("时间", "记录", "克", "余额 克")}
_BALANCE = {"en": "balance {g} g, waiting on this phone {w} g", "zh": "余额 {g} 克，本机待上传 {w} 克"}


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    verb.set_defaults(run=run)
    add_phone(verb)


def run(options: argparse.Namespace) -> int:
    """Ask the server."""
    with open_phone(options) as green:
        account, entries = green.account(), green.statement()
    if options.json:
        print_json({"account": asdict(account), "entries": [asdict(entry) for entry in entries]})
        return 0
    rows = [
        (entry.at, server_word(entry.kind, options.lang), grams(entry.mg), grams(entry.balance_mg)) for entry in entries
    ]
    print(table(_HEAD[options.lang], rows, right=(2, 3)))
    print(_BALANCE[options.lang].format(g=grams(account.balance_mg), w=grams(account.waiting_mg)))
    return 0
