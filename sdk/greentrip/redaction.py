"""A white list for data that leaves the phone for people: keys by name, values by pattern."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

REDACTED = "redacted"

Rule = re.Pattern[str] | Mapping[str, "Rule"] | Sequence["Rule"]
"""A pattern for a value, the rules of an object's members, or the one rule of a list's items."""


def whitelisted(value: object, rule: Rule) -> object:
    """The value, with everything that the rule does not allow replaced by "redacted": names of members too."""
    if value is None:
        return None
    if isinstance(rule, re.Pattern):
        return value if isinstance(value, str | int) and rule.fullmatch(str(value)) else REDACTED
    if isinstance(rule, Mapping):
        return _members(value, rule) if isinstance(value, Mapping) else REDACTED
    return [whitelisted(item, rule[0]) for item in value] if isinstance(value, list) else REDACTED


def _members(value: Mapping[object, object], rule: Mapping[str, Rule]) -> dict[str, object]:
    told: dict[str, object] = {}
    for key, item in value.items():
        if isinstance(key, str) and key in rule:
            told[str(key)] = whitelisted(item, rule[key])
        else:
            told[REDACTED] = REDACTED
    return told
