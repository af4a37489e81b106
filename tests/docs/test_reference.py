"""docs/reference/sdk.md, methodology.md, queue.md and queue-faults.md say what the code says."""

import ast
import dataclasses
import importlib
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
SDK, METHODOLOGY, QUEUE, FAULTS = (
    (REFERENCE / name).read_text(encoding="utf-8")
    for name in ("sdk.md", "methodology.md", "queue.md", "queue-faults.md")
)
VIEWS = [
    value for name in greentrip.__all__ if dataclasses.is_dataclass(value := getattr(greentrip, name))
]  # what a method takes or gives
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


def _named(text: str) -> list[tuple[str, str]]:
    """The tests that a text names: file and function."""
    return re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)


def _rows(text: str) -> list[str]:
    """The rows of the tables of a text, without their heads."""
    return re.findall(r"^\| (?!---)(.*) \|$", re.sub(r"^\|.*\n\| ---.*$", "", text, flags=re.MULTILINE), re.MULTILINE)


@pytest.mark.parametrize("page", [QUEUE, FAULTS], ids=["queue", "faults"])
def test_the_tests_that_a_page_names_exist(page: str):
    named = _named(page)
    assert len(named) == page.count("`tests/") > 80
    assert [f"{path}::{name}" for path, name in named if name not in _tests_in(path)] == []


def test_every_promise_stands_there_with_the_tests_that_prove_it():
    sections = dict(re.findall(r"^### (\d+)\. .*\n((?:(?!^##).*\n)*)", QUEUE, re.MULTILINE))
    assert list(sections) == [str(number) for number in range(1, PROMISES + 1)]
    told = dict(re.findall(r"^\| (\d+) \| \[.*\]\(#.*\) \| (\d+) \|$", QUEUE, re.MULTILINE))
    assert told == {number: str(len(set(_named(text)))) for number, text in sections.items()}
    assert "0" not in told.values()


def test_what_others_suffered_and_every_fault_has_a_test():
    suffered = QUEUE.partition("## What others' users suffered")[2]
    rows = [*_rows(suffered), *_rows(FAULTS)]
    assert len(rows) > 60
    assert [row for row in rows if not _named(row)] == []


UNITS = {
    "s": 1, "min": 60, "h": 3600, "days": 86_400, "KiB": 1024, "MiB": 1024**2, "records": 1, "": 1,
}  # fmt: skip


def test_the_limits_of_the_queue_are_those_of_the_code():
    rows = re.findall(r"^\| .* \| ([\d ]*\d) ?(\w*) \| `([\w.]+)\.(\w+)` \|$", QUEUE, re.MULTILINE)
    assert len(rows) == len(_rows(QUEUE.partition("## Limits")[2].partition("## ")[0]))
    for number, unit, module, name in rows:
        kept = getattr(importlib.import_module(module), name)
        in_units = kept / 1000 if name.endswith("_MS") else kept * 86_400 if name.endswith("_DAYS") else kept
        assert int(number.replace(" ", "")) * UNITS[unit] == in_units, name
