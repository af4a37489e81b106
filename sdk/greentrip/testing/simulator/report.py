"""What a run of seeds did and found, and how it is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from greentrip.states import State

FAILURES_SHOWN_MAX = 10
SETTLED = frozenset({State.ACCEPTED, State.HELD, State.REJECTED})
"""How a record may end that nobody erased: the server has it, and says why where it does not count."""


@dataclass
class Tally:
    """Counts of one world; those of many add up."""

    faults: Counter[str] = field(default_factory=Counter)
    """Injected faults, by kind."""
    network: Counter[str] = field(default_factory=Counter)
    """Those of the network, by the names of `NetworkFaults`."""
    errors: Counter[str] = field(default_factory=Counter)
    """What the app was told instead of a result, by the name of the error."""
    habits: Counter[str] = field(default_factory=Counter)
    """What people did, by kind."""
    ends: Counter[str] = field(default_factory=Counter)
    """How the records ended, each once: `erased`, or by the state that its phone shows. Adds up to `recorded`."""
    recorded: int = 0
    """Trips with a record that `finish()` or `answer()` returned, or that were found after one that did not return."""
    requests: int = 0
    """Requests that phones made after enrolment, whatever came of them."""
    lines_sent: int = 0
    """Record lines in those requests, repeats too."""
    days: float = 0.0
    """Virtual days."""

    def add(self, other: Tally) -> None:
        """Add the counts of another world."""
        for name, value in vars(other).items():
            if isinstance(value, Counter):
                getattr(self, name).update(value)
            else:
                setattr(self, name, getattr(self, name) + value)

    @property
    def all_faults(self) -> Counter[str]:
        """Injected faults of every kind."""
        return self.faults + Counter({f"network: {name}": count for name, count in self.network.items()})

    @property
    def settled(self) -> int:
        """Records with a signed result in the end; not those that their person erased."""
        return sum(self.ends[state] for state in SETTLED)

    @property
    def requests_each(self) -> float:
        """Requests for each settled record."""
        return self.requests / self.settled if self.settled else 0.0

    @property
    def sent_each(self) -> float:
        """How often a settled record was sent; 1 is once."""
        return self.lines_sent / self.settled if self.settled else 0.0


@dataclass(frozen=True, slots=True)
class SeedResult:
    """One seed: what was wrong at the end (nothing: it passed), its counts, and what happened, a line each."""

    seed: int
    violations: tuple[str, ...]
    tally: Tally
    trace: tuple[str, ...] = ()
    """Kept when the seed failed, or when asked for."""
    digest: str = ""
    """SHA-256 of the whole trace: a replay has the same one."""


@dataclass
class Report:
    """A run of seeds."""

    profile: str
    seconds: float = 0.0
    seeds: int = 0
    tally: Tally = field(default_factory=Tally)
    failures: list[SeedResult] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.failures

    def add(self, result: SeedResult) -> None:
        """Count one more seed."""
        self.seeds += 1
        self.tally.add(result.tally)
        if result.violations:
            self.failures.append(result)
            self.failures.sort(key=lambda failed: failed.seed)

    def to_json(self) -> dict[str, object]:
        """All of it as plain values."""
        tally = self.tally
        return {
            "profile": self.profile,
            "seeds": self.seeds,
            "seconds": round(self.seconds, 1),
            "seeds_a_second": round(self.seeds / self.seconds, 2) if self.seconds else None,
            **{name: dict(value) if isinstance(value, Counter) else value for name, value in vars(tally).items()},
            "settled": tally.settled,
            "requests_each": round(tally.requests_each, 3),
            "sent_each": round(tally.sent_each, 3),
            "failures": [{"seed": failed.seed, "violations": failed.violations} for failed in self.failures],
        }

    def lines(self, replay: str) -> Sequence[str]:
        """The report for a person; `replay` is the command that runs a failed `{seed}` again."""
        tally = self.tally
        told = [
            f"profile {self.profile}: {self.seeds} seeds, {tally.days:.0f} virtual days, {self.seconds:.0f} s"
            f" ({self.seeds / max(self.seconds, 0.001):.1f} seeds a second)",
            f"records: {tally.recorded} recorded = {_sum(tally.ends)}; {tally.settled} settled",
            f"requests: {tally.requests}, {tally.requests_each:.3f} for each settled record;"
            f" each was sent {tally.sent_each:.3f} times",
            *_counted("people did", tally.habits),
            *_counted("faults injected", tally.all_faults),
            *_counted("errors told to the app", tally.errors),
        ]
        if self.ok:
            return [*told, "nothing was lost, counted twice or stuck"]
        for failed in self.failures[:FAILURES_SHOWN_MAX]:
            told += [f"seed {failed.seed} FAILED", *(f"  {line}" for line in failed.violations)]
            told.append(f"  replay: {replay.replace('{seed}', str(failed.seed))}")
        more = len(self.failures) - FAILURES_SHOWN_MAX
        return [
            *told,
            *([f"and {more} more"] if more > 0 else []),
            f"{len(self.failures)} of {self.seeds} seeds FAILED",
        ]


def _sum(ends: Counter[str]) -> str:
    return " + ".join(f"{count} {end}" for end, count in sorted(ends.items())) or "0"


def _counted(title: str, counts: Counter[str]) -> list[str]:
    if not counts:
        return []
    return [f"{title}: {sum(counts.values())}", *(f"  {count:8} {name}" for name, count in sorted(counts.items()))]
