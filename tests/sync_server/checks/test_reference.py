"""The page of the rules is what runs."""

import subprocess
import sys
from pathlib import Path

from greentrip.wire import canonical
from greentrip_server.checks import RULES, bundled, describe_rules
from greentrip_server.checks.reference import markdown

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "checks.md"


def test_the_committed_page_is_the_generated_one():
    again = "run: python -m greentrip_server.checks > docs/reference/checks.md"
    assert PAGE.read_text(encoding="utf-8") == markdown(), again


def test_the_command_prints_the_page_in_any_locale():
    done = subprocess.run(
        [sys.executable, "-m", "greentrip_server.checks"],
        env={"PYTHONPATH": ":".join(filter(None, sys.path)), "PYTHONIOENCODING": "ascii", "LC_ALL": "C"},
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode("utf-8") == markdown()


def test_rules_are_described_with_all_their_limits():
    described = describe_rules()
    assert [rule["id"] for rule in described] == [rule.id for rule in RULES]
    assert {limit["key"] for rule in described for limit in rule["limits"]} == bundled().limits().keys()
    assert all(rule["en"] != rule["zh"] for rule in described)
    assert canonical(described), "it can be published as it is"


def test_the_page_names_every_rule_and_limit_once():
    page = markdown()
    assert all(page.count(f"| `{name}` |") == 1 for name in [rule.id for rule in RULES] + [*bundled().limits()])
    assert bundled().reference in page
    assert page.endswith("|\n")
