"""What holds for the repository as a whole, whatever its code does."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# The brackets keep these patterns from finding themselves.
INDEX_ADDRESSES = (
    r"https?://[\w.:@-]+/(?:[\w.-]+/)*(?:simple|packages/[0-9a-f]{2})/",  # PyPI's two, and its mirrors
    r"--(?:extra-)?index[-]url|--find[-]links",
    r'"resolved": "https?[:]',  # npm's lock file
    r"\bregistry ?= ?\"?https?[:]",
)
MACHINE_PATHS = (r"(?<![\w.-])/(?:[w]ork|[f]arm|[r]oot|[h]ome/\w+)/",)


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    """Every text file that is committed or is about to be, by its path."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git clone, or no git: nothing tells which files are committed")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    found = {}
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.is_file() and b"\0" not in (content := path.read_bytes()):
            found[name] = content.decode()
    return found


@pytest.fixture(scope="module")
def distributions() -> dict[str, dict]:
    """The [project] tables of the workspace members, by folder."""
    members = _toml(ROOT / "pyproject.toml")["tool"]["uv"]["workspace"]["members"]
    return {member: _toml(ROOT / member / "pyproject.toml")["project"] for member in members}


def test_no_file_holds_the_address_of_a_package_index(texts: dict[str, str]):
    assert _lines_matching(texts, INDEX_ADDRESSES) == []


def test_no_file_holds_an_absolute_path_of_a_machine(texts: dict[str, str]):
    here = rf"(?<![\w.-]){re.escape(str(ROOT))}/"
    # A clone right under the root, /app say, would find itself in ordinary addresses.
    patterns = (*MACHINE_PATHS, here) if len(ROOT.parts) > 2 else MACHINE_PATHS
    assert _lines_matching(texts, patterns) == []


@pytest.mark.parametrize(
    ("line", "patterns"),
    [
        ("https://pypi.example" + "/simple/six/", INDEX_ADDRESSES),
        ("https://files.example" + "/packages/0a/b1/six.whl", INDEX_ADDRESSES),
        ("-i x --extra-index" + "-url y", INDEX_ADDRESSES),
        ('"resolved": "https' + '://r.example/six.tgz"', INDEX_ADDRESSES),
        ("registry=https" + "://r.example", INDEX_ADDRESSES),
        ("open('/" + "work/main/x')", MACHINE_PATHS),
        ("/" + "home/someone/x", MACHINE_PATHS),
    ],
)
def test_the_patterns_find_what_they_are_for(line: str, patterns: tuple[str, ...]):
    assert _lines_matching({"file": line}, patterns) == [f"file:1: {line}"]


def test_distributions_agree(distributions: dict[str, dict]):
    assert len(distributions) == 3
    for field in ("version", "requires-python", "license"):
        assert len({project[field] for project in distributions.values()}) == 1, field


def test_the_sdk_needs_only_what_a_phone_can_carry(distributions: dict[str, dict]):
    assert distributions["sdk"]["dependencies"] == [
        "httpx>=0.28",
        'cryptography>=44; sys_platform != "ios"',
        'ecdsa>=0.19; sys_platform == "ios"',
    ]


def test_the_workspace_itself_is_not_installable():
    assert not {"project", "build-system"} & _toml(ROOT / "pyproject.toml").keys()


def test_constraints_are_exact_versions():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    packages = [line for line in lines if line and not line.startswith("#")]
    assert packages
    assert [line for line in packages if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []


def test_every_verb_of_the_makefile_is_in_its_help_and_exists():
    if shutil.which("make") is None:
        pytest.skip("no make")
    declared = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert declared
    helped = re.findall(r"^make (\w+) +\S", _make("help").stdout, re.MULTILINE)
    assert sorted(helped) == sorted(declared[1].split())
    assert _make().stdout == _make("help").stdout, "help is what `make` alone does"
    for verb in helped:
        done = _make("--dry-run", verb)
        assert done.returncode == 0, done.stderr


def test_the_licence_is_apache_2(distributions: dict[str, dict]):
    text = (ROOT / "LICENSE").read_text()
    assert text.lstrip().startswith("Apache License\n                           Version 2.0, January 2004")
    assert text.rstrip().endswith("limitations under the License.")
    # Each wheel needs it inside its own folder.
    assert {(ROOT / folder / "LICENSE").read_text() for folder in distributions} == {text}
    assert {project["license"] for project in distributions.values()} == {"Apache-2.0"}


def _toml(path: Path) -> dict:
    return tomllib.loads(path.read_text())


def _lines_matching(texts: dict[str, str], patterns: tuple[str, ...]) -> list[str]:
    pattern = re.compile("|".join(patterns))
    return [
        f"{name}:{number}: {line}"
        for name, text in texts.items()
        for number, line in enumerate(text.splitlines(), start=1)
        if pattern.search(line)
    ]


def _make(*arguments: str) -> subprocess.CompletedProcess[str]:
    # These tests may run under `make test`, whose flags (and job server) are not for this make.
    environment = dict(os.environ)
    for name in ("MAKEFLAGS", "MAKELEVEL"):
        environment.pop(name, None)
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
