"""The checks of a record: pure rules in a table, their limits in one policy file."""

from __future__ import annotations

from greentrip_server.checks.features import features_sha256
from greentrip_server.checks.outcome import Outcome, Severity, Status, Verdict, verdict
from greentrip_server.checks.overlap import NEIGHBOUR_DAYS, Occupied, low_duration_min, occupied, overlaps
from greentrip_server.checks.policy import Choice, Limit, Policy, bundled, load, parse
from greentrip_server.checks.reference import describe_rules
from greentrip_server.checks.rules import RULES, Context, Others, Rule, run, shape_outcome

__all__ = [
    "NEIGHBOUR_DAYS",
    "RULES",
    "Choice",
    "Context",
    "Limit",
    "Occupied",
    "Others",
    "Outcome",
    "Policy",
    "Rule",
    "Severity",
    "Status",
    "Verdict",
    "bundled",
    "describe_rules",
    "features_sha256",
    "load",
    "low_duration_min",
    "occupied",
    "overlaps",
    "parse",
    "run",
    "shape_outcome",
    "verdict",
]
