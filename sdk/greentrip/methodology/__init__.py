"""How a reduction is computed: the methodology file, the integer formula, and the reasons."""

from __future__ import annotations

from greentrip.methodology.file import Factor, Methodology, ModeRules, Status, bundled, bundled_ids, load, parse
from greentrip.methodology.reasons import Reason, needs
from greentrip.methodology.reduction import (
    LegFacts,
    LegReduction,
    Reduction,
    distance_to_record,
    reduce_leg,
    reduce_trip,
    round_distance,
)

__all__ = [
    "Factor",
    "LegFacts",
    "LegReduction",
    "Methodology",
    "ModeRules",
    "Reason",
    "Reduction",
    "Status",
    "bundled",
    "bundled_ids",
    "distance_to_record",
    "load",
    "needs",
    "parse",
    "reduce_leg",
    "reduce_trip",
    "round_distance",
]
