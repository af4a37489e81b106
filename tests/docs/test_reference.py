"""docs/reference/sdk.md, methodology.md and queue.md say what the code says."""

import ast
import dataclasses
import inspect
import re
from functools import cache
from importlib import resources
from pathlib import Path

import pytest

import greentrip
import greentrip.testing
from greentrip import GreenTrip, Mode, Reason, State, Stop, SyncReport
from greentrip.methodology import Status, bundled, bundled_ids
from greentrip.trip import Flag, Method, Route
from greentrip_server.docs import with_parts

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"
SDK, METHODOLOGY, QUEUE = (
    (REFERENCE / name).read_text(encoding="utf-8") for name in ("sdk.md", "methodology.md", "queue.md")
)
VIEWS = [
    value for name in greentrip.__all__ if dataclasses.is_dataclass(value := getattr(greentrip, name))
]  # what a method takes or gives
PROMISES_KEPT = {1, 2, 3, 8, 9, 15, 16, 22}
PROMISES = 22


def _signature(name: str, function: object) -> str:
    """As a heading shows it: without types, and without `self`."""
    assert callable(function)
    found = inspect.signature(function)
    plain = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in found.parameters.values()
        if parameter.name != "self"
    ]
    text = str(found.replace(parameters=plain, return_annotation=inspect.Signature.empty))
    text = text.replace("<class 'sqlite3.Connection'>", "sqlite3.Connection")
    return name + re.sub(r"<built-in method random of .*?>", "random.random", text)


def test_every_method_stands_there_with_its_arguments():
    headings = re.findall(r"^### `(.*)`$", SDK, re.MULTILINE)
    internal = {"after_fork"}
    public = {name: inspect.getattr_static(GreenTrip, name) for name in dir(GreenTrip) if not name.startswith("_")}
    public = {name: value for name, value in public.items() if name not in internal}
    expected = [
        name if isinstance(value, property) else _signature(name, getattr(GreenTrip, name))
        for name, value in public.items()
    ]
    assert sorted(headings) == sorted(expected)


def test_every_public_name_stands_there():
    missing = [name for name in (*greentrip.__all__, *greentrip.testing.__all__) if not re.search(rf"\b{name}\b", SDK)]
    assert missing == []


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.__name__)
def test_every_field_of_what_comes_back_stands_there(view: type):
    assert dataclasses.is_dataclass(view)
    missing = [field.name for field in dataclasses.fields(view) if not re.search(rf"`[^`]*\b{field.name}\b", SDK)]
    assert missing == []


def test_every_word_stands_there():
    for kind in (Mode, Method, Route, Flag, State, Stop):
        assert [word for word in kind if f"`{word}`" not in SDK] == []


def test_the_generated_parts_are_those_of_the_code():
    assert with_parts(SDK) == SDK, "run: make docs"
    assert "└── Untrusted " in SDK
    for stop in Stop:
        assert f"| `{stop}` | {SyncReport(stop=stop).message('en')} |" in SDK


def test_every_reason_of_a_leg_is_explained():
    for reason in Reason:
        assert f"| `{reason}` | {reason.en} | {reason.zh} |" in METHODOLOGY


def test_the_files_that_ship_are_shown_with_every_factor():
    for name in bundled_ids():
        file = bundled(name)
        assert (
            f"| `{file.reference}` | {file.title_zh} | {', '.join(map(str, sorted(file.provinces)))} |" in METHODOLOGY
        )
        for mode, rules in file.modes.items():
            row = (
                f"| `{file.id}` | {mode} | {rules.baseline.ug_per_m} {rules.baseline.status} "
                f"| {rules.project.ug_per_m} {rules.project.status} | {_words(rules.earns_by)} "
                f"| {'nearest' if rules.nearest else 'down'} {rules.step_m} m | {rules.leg_max_m // 1000} km |"
            )
            assert row in METHODOLOGY


def _words(methods: frozenset[Method]) -> str:
    return ", ".join(method for method in ("rail", "track", "endpoints") if method in methods)


def test_every_key_of_a_file_is_explained():
    text = bundled().text + "valid_until = 2030-01-01\n"
    keys = set(re.findall(r"(?:^|[{,] )(\w+) = ", text, re.MULTILINE))
    assert [key for key in keys if not re.search(rf"^\| [^|]*\b{key}`", METHODOLOGY, re.MULTILINE)] == []
    assert [status for status in Status if f"| `{status}` |" not in METHODOLOGY] == []


def test_the_vector_shown_is_one_of_the_vectors():
    (shown,) = re.findall(r"^```json\n(.*?)\n```$", METHODOLOGY, re.MULTILINE | re.DOTALL)
    assert shown in (resources.files("greentrip.methodology") / "vectors.json").read_text(encoding="utf-8")


@cache
def _tests_in(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_the_promises_of_the_queue_name_tests_that_exist():
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", QUEUE)
    assert len(named) == QUEUE.count("`tests/") > 40
    assert [f"{path}::{name}" for path, name in named if name not in _tests_in(path)] == []


def test_every_promise_is_kept_or_said_not_to_be():
    kept, _, rest = QUEUE.partition("## What does not hold yet")
    headings = [int(number) for number in re.findall(r"^### (\d+)\. ", kept, re.MULTILINE)]
    assert headings == sorted(PROMISES_KEPT)
    rows = [int(number) for number in re.findall(r"^\| (\d+) \|", rest, re.MULTILINE)]
    assert sorted(headings + rows) == list(range(1, PROMISES + 1))
    for section in re.split(r"^### ", kept, flags=re.MULTILINE)[1:]:
        assert "`tests/" in section, section.splitlines()[0]
