"""`make accuracy`: how good distances, routes and mode evidence are, on all of the shared data, as a page with plots.

python tests/accuracy/report.py FOLDER REPORT.md [--only SECTION] [--json]
"""

import argparse
import importlib
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from accuracy.section import Section, Target

SECTIONS = ("tracks", "endpoints", "rail", "sampling", "modes")
"""Modules of this folder, in the order of the page."""

INTRODUCTION = """# Accuracy: what was measured, and on what

Written by `make accuracy` ({day}); every figure stands with its count, and every section ends with what it does not
show. The test data lie [outside the project]({data}): phone tracks of a Dutch and German survey, raw phone days from
the United States, the rail network of Beijing. **No track here was recorded in Beijing, and no length was surveyed with
a wheel**: where a truth is needed it is the full-rate track, the network, or a simulation whose length is known.
"""


def main() -> int:
    """Compute the sections and write the page. A target that was missed stands in it; the command did its work."""
    options = _arguments()
    plots: Path = options.report.parent / "accuracy"
    plots.mkdir(parents=True, exist_ok=True)
    sections: list[Section] = []
    for name in [options.only] if options.only else SECTIONS:
        sections.append(_build(name, options.data, plots))
    targets = [target for section in sections for target in section.targets]
    if not options.only:
        day = datetime.now(UTC).date().isoformat()
        introduction = INTRODUCTION.format(day=day, data="../../CONTRIBUTING.md")
        parts = [introduction, _overview(targets), *(section.markdown.strip() + "\n" for section in sections)]
        options.report.write_text("\n".join(parts), encoding="utf-8")
    if options.json:
        print(json.dumps([asdict(target) | {"reached": target.reached} for target in targets], ensure_ascii=False))
    else:
        print(_overview(targets) if options.only is None else sections[0].markdown)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder of the shared data")
    parser.add_argument("report", type=Path, help="the page to write; plots go into accuracy/ beside it")
    parser.add_argument("--only", choices=SECTIONS, help="print one section, and write no page")
    parser.add_argument("--json", action="store_true", help="print the targets as JSON")
    options = parser.parse_args()
    if not (options.data / "README.md").is_file():
        parser.error(f"{options.data} holds no shared data: name its folder (make accuracy DATA=...)")
    return options


def _build(name: str, data: Path, plots: Path) -> Section:
    began = time.monotonic()
    section: Section = importlib.import_module(f"accuracy.{name}").build(data, plots, _progress(name))
    print(f"\r{name}: {time.monotonic() - began:.0f} s{'':60}", file=sys.stderr)
    return section


def _progress(name: str):
    def tell(what: str) -> None:
        if sys.stderr.isatty():
            print(f"\r{name}: {what:70.70}", end="", file=sys.stderr, flush=True)

    return tell


def _overview(targets: Sequence[Target]) -> str:
    """The figures that the design wants, each with its limit and whether it was reached."""
    lines = ["## To reach", "", "| figure | measured | wanted | cases | |", "|---|---|---|---|---|"]
    for target in targets:
        measured = f"{target.value:.4g} {target.unit}"
        lines.append(f"| {target.name} | {measured} | {_wanted(target)} | {target.count:,} | {target.verdict} |")
    return "\n".join(lines) + "\n"


def _wanted(target: Target) -> str:
    if target.high == float("inf"):
        return f">= {target.low:g} {target.unit}"
    if target.low in (0, float("-inf")):
        return f"<= {target.high:g} {target.unit}"
    return f"{target.low:g} to {target.high:g} {target.unit}"


if __name__ == "__main__":
    sys.exit(main())
