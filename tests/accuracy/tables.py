"""What the sections of the report share: a Markdown table, and the plain sum of a track's steps."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from greentrip.distance.cleaning import usable, without_jumps
from greentrip.distance.sphere import great_circle_m
from greentrip.trip import Fix, Mode


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def raw_m(mode: Mode, fixes: Sequence[Fix]) -> float:
    """The sum of the steps between the fixes, without jumps: what smoothing has to beat."""
    chains = without_jumps(mode, usable(fixes))
    return sum(great_circle_m(a.point, b.point) for chain in chains for a, b in pairwise(chain))
