"""`greentrip diagnose`: a redacted bundle for a support case."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from greentrip.cli.phone import add_phone, open_phone, print_json, write_file

TEXT = "show how the queue is, for a support case: no ids, places, accounts or keys"
_WRITTEN = {
    "en": "written to {path}: look through it, then send it to who supports you",
    "zh": "已写入 {path}：请先查看内容，再发送给技术支持人员",
}


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    verb.set_defaults(run=run)
    verb.add_argument("--out", type=Path, metavar="FILE", help="a file to write (default: print it)")
    add_phone(verb, server=False)


def run(options: argparse.Namespace) -> int:
    """Print the bundle, or write it to a new file."""
    with open_phone(options) as green:
        bundle = green.diagnose()
    text = json.dumps(bundle, indent=2)
    if options.out is None:
        print(text)
        return 0
    write_file(options.out, text.encode("ascii") + b"\n")
    if options.json:
        print_json({"file": str(options.out)})
    else:
        print(_WRITTEN[options.lang].format(path=options.out))
    return 0
