"""`greentrip opt-out`: stop taking part."""

from __future__ import annotations

import argparse

from greentrip.cli.phone import add_phone, open_phone, print_json

TEXT = "stop taking part: nothing is recorded or sent until opt-in"
_DONE = {
    "en": {"erase": "you opted out; what was not settled is erased", "keep": "you opted out; what waits is kept"},
    "zh": {"erase": "已停止参与；未结算的记录已删除", "keep": "已停止参与；待上传的记录已保留"},
}


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    verb.set_defaults(run=run)
    verb.add_argument(
        "--pending", choices=("erase", "keep"), required=True, help="what becomes of trips that still wait"
    )
    add_phone(verb)


def run(options: argparse.Namespace) -> int:
    """Opt out; in effect when it returns."""
    with open_phone(options) as green:
        green.opt_out(pending=options.pending)
    if options.json:
        print_json({"opted_out": True, "pending": options.pending})
    else:
        print(_DONE[options.lang][options.pending])
    return 0
