"""The generated pages of docs/ are what the code says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from greentrip.cli import main as greentrip
from greentrip_server.cli import cli
from greentrip_server.docs import _EXAMPLES, main, pages
from greentrip_server.errors import KINDS
from greentrip_server.settings import Settings

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"


@pytest.mark.parametrize("name", sorted(pages()))
def test_the_committed_page_is_the_generated_one(name: str):
    assert (REFERENCE / name).read_text(encoding="utf-8") == pages()[name], "run: make docs"


def test_pages_do_not_depend_on_terminal_language_and_settings(tmp_path: Path):
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "LC_ALL": "C", "COLUMNS": "40"}
    subprocess.run(
        [sys.executable, "-m", "greentrip_server.docs", tmp_path],
        env=environment | {"GREENTRIP_PORT": "9", "GREENTRIP_DATA_DIR": "elsewhere"},
        check=True,
    )
    assert {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()} == pages()


def test_outside_the_repository_it_says_where_to_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(tmp_path / "docs") == 1
    assert "in the root of the repository" in capsys.readouterr().err


def test_every_verb_has_a_section_and_every_word_a_sentence():
    page = pages()["cli.md"]
    for command in cli.commands:
        assert f"### `greentrip-server {command}" in page
    assert "| `--recent` | Move times" in page
    assert " |  |" not in page, "an argument without a sentence"


def test_help_of_the_sdks_program_names_the_same_verbs(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        greentrip(["--help"])
    shown = capsys.readouterr().out
    named = [
        line.split()[2].strip("`") for line in pages()["cli.md"].splitlines() if line.startswith("### `greentrip ")
    ]
    assert named
    assert [verb for verb in named if f"\n    {verb} " not in shown] == []


def test_every_setting_stands_there_with_its_sentence():
    page = pages()["settings.md"]
    for name, field in Settings.model_fields.items():
        assert f"| `GREENTRIP_{name.upper()}` | {field.description} |" in page


def test_every_kind_of_problem_has_an_example():
    assert _EXAMPLES.keys() == KINDS.keys()
    page = pages()["problems.md"]
    for kind, known in KINDS.items():
        assert f"\n## {kind}\n" in page
        assert known.remedy_en in page
        assert known.remedy_zh in page
