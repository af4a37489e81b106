"""The rules and their limits as data and as a page: what people read is generated from what runs."""

from __future__ import annotations

from collections.abc import Sequence

from greentrip.wire import JsonValue
from greentrip_server.checks.policy import Policy, bundled
from greentrip_server.checks.rules import RULES

_INTRO = """\
# Checks

<!-- Generated: python -m greentrip_server.checks > docs/reference/checks.md -->

What the server asks of every record. A rule may **reject** (final: the record can never be right), **hold** (until a
day, or until a person has looked) or **note** (the trip counts). Every outcome says in Chinese and English what is
wrong and what the commuter can do, and cites the policy. A record is rejected when any rule rejects, else held when
any rule holds. A hold ends by itself only when every hold has a date, on the latest of them.
"""


def describe_rules(policy: Policy | None = None) -> list[dict[str, JsonValue]]:
    """Every rule with its default severity, its sentence in both languages, and its limits under a policy."""
    limits = (policy or bundled()).limits()
    return [
        {
            "id": rule.id,
            "severity": rule.severity.value,
            "en": rule.en,
            "zh": rule.zh,
            "limits": [
                {"key": key, "value": limit.value, "unit": limit.unit, "why": limit.why}
                for key, limit in limits.items()
                if key.split(".")[0] == rule.id
            ],
        }
        for rule in RULES
    ]


def markdown(policy: Policy | None = None) -> str:
    """The page docs/reference/checks.md."""
    policy = policy or bundled()
    rules = [[f"`{rule.id}`", rule.severity.value, rule.en, rule.zh] for rule in RULES]
    limits = [[f"`{key}`", str(limit.value), limit.unit, limit.why] for key, limit in policy.limits().items()]
    return (
        "\n".join(
            [
                _INTRO,
                "## Rules\n",
                _table(("rule", "gravest", "what must hold", "要求"), rules),
                f"## Limits: `{policy.reference}`\n",
                f"Version {policy.version}, valid from {policy.valid_from}. The first part of a key is its rule.\n",
                _table(("limit", "value", "unit", "why"), limits),
            ]
        ).rstrip("\n")
        + "\n"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)
