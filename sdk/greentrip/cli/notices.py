"""`greentrip notices`: what the server decided since."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from greentrip import Notice
from greentrip.cli.phone import add_phone, open_phone, print_json
from greentrip.table import table
from greentrip.words import server_word

TEXT = "show what the server decided later: held trips, erasures, conflicts"
_WORDS = {
    "en": {"head": ("number", "hour", "what", "trip", "status"), "none": "no notices"},
    "zh": {"head": ("编号", "时间", "事项", "出行", "状态"), "none": "暂无通知"},
}


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    verb.set_defaults(run=run)
    add_phone(verb)


def run(options: argparse.Namespace) -> int:
    """Ask the server."""
    with open_phone(options) as green:
        notices = green.notices()
    if options.json:
        print_json([asdict(notice) for notice in notices])
        return 0
    words, lang = _WORDS[options.lang], options.lang
    rows = [_row(notice, lang) for notice in notices]
    print(table(words["head"], rows, right=(0,)) if rows else words["none"])
    return 0


def _row(notice: Notice, lang: str) -> tuple[str, ...]:
    what, status = server_word(notice.kind, lang), server_word(notice.status or "", lang)
    return str(notice.number), notice.at, what, notice.trip or "", status
