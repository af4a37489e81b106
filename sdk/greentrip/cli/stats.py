"""`greentrip stats`: how many trips, where they stand, and how records left the queue."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from greentrip.cli.phone import add_phone, open_phone, print_json
from greentrip.table import table
from greentrip.words import word

TEXT = "count the trips: recorded, waiting, and how records left the queue, by reason"
_WORDS = {
    "en": {
        "head": ("what", "trips"),
        "recorded": "recorded",
        "local": "kept here, not sent",
        "waiting": "in the queue",
        "exit": "left the queue: {why}",
        "rule": "rule {why}",
        "refused": "could not be taken in",
        "cancelled": "cancelled on the way",
    },
    "zh": {
        "head": ("项目", "出行"),
        "recorded": "已记录",
        "local": "仅本机，不上传",
        "waiting": "上传队列中",
        "exit": "已离开队列：{why}",
        "rule": "规则 {why}",
        "refused": "未能保存",
        "cancelled": "途中取消",
    },
}


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    verb.set_defaults(run=run)
    add_phone(verb, server=False)


def run(options: argparse.Namespace) -> int:
    """Count them."""
    with open_phone(options) as green:
        stats = green.stats()
    if options.json:
        print_json(asdict(stats))
        return 0
    words, lang = _WORDS[options.lang], options.lang
    exit_, rule = str(words["exit"]), str(words["rule"])
    counts = [
        (str(words["recorded"]), stats.recorded),
        (str(words["local"]), stats.local),
        (str(words["waiting"]), stats.waiting),
        *((word(state, lang), number) for state, number in stats.states.items() if state not in stats.exits),
        *((exit_.format(why=word(state, lang)), number) for state, number in stats.exits.items()),
        *((rule.format(why=name), number) for name, number in stats.rules.items()),
        (str(words["refused"]), stats.refused),
        (str(words["cancelled"]), stats.cancelled),
    ]
    rows = [(what, str(number)) for what, number in counts if number]
    print(table(words["head"], rows, right=(1,)))
    return 0
