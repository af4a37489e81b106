"""`python -m greentrip.testing.simulator`: run seeds, print what happened, exit 1 when a promise was broken."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from greentrip.testing.simulator.profiles import HOSTILE, PROFILES
from greentrip.testing.simulator.report import FAILURES_SHOWN_MAX, Report
from greentrip.testing.simulator.runner import backend_class, processors, run, simulate

FAKE = "greentrip.testing.simulator.fake_backend:FakeBackend"
SEEDS = 100


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line says; the exit status."""
    given = _parser().parse_args(arguments)
    profile = PROFILES[given.profile]
    if given.trace:
        return _trace(given)

    def progress(report: Report) -> None:
        failed = ", ".join(str(result.seed) for result in report.failures[:FAILURES_SHOWN_MAX]) or "none"
        told = f"\r{report.seeds} of {given.seeds} seeds, failed: {failed}, {report.seconds:.0f} s"
        print(told, end="", file=sys.stderr, flush=True)

    report = run(given.first, given.seeds, profile, given.backend, processes=given.processes, progress=progress)
    print(file=sys.stderr)
    replay = given.replay or (
        f"python -m greentrip.testing.simulator --backend {given.backend} --profile {profile.name}"
        " --first {seed} --seeds 1 --trace"
    )
    print(json.dumps(report.to_json()) if given.json else "\n".join(report.lines(replay)))
    return 0 if report.ok else 1


def _trace(given: argparse.Namespace) -> int:
    """One world after the other, told line by line."""
    failed = False
    seeds = range(given.first, given.first + given.seeds)
    backend = backend_class(given.backend)()
    for result in simulate(seeds, PROFILES[given.profile], backend, keep_trace=True):
        print(*result.trace, sep="\n")
        print(f"seed {result.seed}: {'FAILED' if result.violations else 'passed'}, trace {result.digest[:16]}")
        print(*(f"  {line}" for line in result.violations), sep="\n", end="\n" if result.violations else "")
        failed |= bool(result.violations)
    backend.end()
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m greentrip.testing.simulator",
        description="Phones, networks, clocks, disks and a server in one process, under one seed each.",
    )
    parser.add_argument("--seeds", type=_positive, default=SEEDS, help=f"how many worlds (default {SEEDS})")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--profile", choices=sorted(PROFILES), default=HOSTILE.name, help="how bad the worlds are")
    parser.add_argument(
        "--backend", type=_backend, default=FAKE, help="the server, as module:Class (default: FakeServer)"
    )
    parser.add_argument(
        "--processes", type=_positive, default=processors(), help="how many at once (default: one a processor)"
    )
    parser.add_argument("--trace", action="store_true", help="tell what happens, in this process")
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    parser.add_argument("--replay", help="what the report says about a failed {seed}: how it is run again")
    return parser


def _backend(text: str) -> str:
    try:
        backend_class(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


if __name__ == "__main__":
    sys.exit(main())
