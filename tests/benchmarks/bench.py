"""`make bench`: how fast the core is, as ratios to a named baseline that runs in turns with it.

python tests/benchmarks/bench.py [--json] [--only PART]
"""

import argparse
import importlib
import json
import platform
import sys
from dataclasses import asdict

from benchmarks.ratio import Ratio

PARTS = ("track", "rail", "recording")


def main() -> int:
    """Run the parts and print their ratios. Returns 1 when a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--only", choices=PARTS, help="run one part")
    options = parser.parse_args()
    found: list[Ratio] = []
    for name in [options.only] if options.only else PARTS:
        print(f"{name} ...", file=sys.stderr)
        found += importlib.import_module(f"benchmarks.{name}").ratios()
    if options.json:
        print(json.dumps([asdict(item) | {"ratio": item.ratio, "reached": item.reached} for item in found]))
    else:
        _print(found)
    return 0 if all(item.reached for item in found) else 1


def _print(found: list[Ratio]) -> None:
    print(f"Python {platform.python_version()} on {platform.machine()}; seconds: the least of several runs in turns")
    for item in found:
        limit = "" if item.limit is None else f", limit {item.limit:g}: {'reached' if item.reached else 'MISSED'}"
        print(f"{item.name}: {item.ratio:.3f} of {item.baseline} ({item.ours_s:.4f} s, {item.baseline_s:.4f} s{limit})")


if __name__ == "__main__":
    sys.exit(main())
