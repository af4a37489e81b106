"""The tutorial and the README are true: their commands run, in order, on a real server, and print what they say."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from greentrip_server.demo.cast import ServerProcess, server_in

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "docs" / "tutorial" / "first-trip.md"
COMMAND_TIMEOUT_S = 60


@dataclass
class Reader:
    """Somebody who follows the page, in a folder of their own, with the server's facts in the environment."""

    folder: Path
    server: ServerProcess

    def type(self, command: str) -> str:
        """Run a block of commands and return what it prints; it must end well."""
        with self._start(command) as process:
            output, errors = process.communicate(timeout=COMMAND_TIMEOUT_S)
        assert process.returncode == 0, f"{command}\n{output}\n{errors}"
        return output

    def enrol(self, command: str) -> str:
        """Run a command that asks for a code, look into the server's log, and type it."""
        with self._start(command) as process:
            code = self.server.last_code(timeout_s=COMMAND_TIMEOUT_S)
            output, errors = process.communicate(input=f"{code}\n", timeout=COMMAND_TIMEOUT_S)
        assert process.returncode == 0, f"{command}\n{output}\n{errors}"
        return output

    def _start(self, command: str) -> subprocess.Popen[str]:
        environment = os.environ | {
            "SERVER": self.server.url,
            "ROOT_KEY": self.server.root_key,
            "GREENTRIP_DATA_DIR": str(self.folder / "server"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        return subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    folder = tmp_path_factory.mktemp("tutorial")
    (folder / "docs").symlink_to(ROOT / "docs")
    with server_in(folder) as server:
        yield Reader(folder, server)


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def test_the_tutorial_runs_and_prints_what_it_says(reader: Reader):
    record, enrol, sync, record_json, embed, check = blocks(TUTORIAL, "sh")

    recorded = reader.type(record)
    shown = [block for block in blocks(TUTORIAL, "text") if block.startswith("track ")]
    assert shown == [recorded], "the page shows what is printed"
    assert "1 left; no account yet" in recorded

    assert "account" in reader.enrol(enrol)

    synced = reader.type(sync)
    assert "sync: accepted 1; 0 left; everything that was due is sent" in synced
    assert "accepted" in synced
    assert re.search(r"balance 314 g", synced)

    assert '"record"' in reader.type(record_json)
    assert reader.type(embed).splitlines() == [
        "2517 g by the phone",
        "rail 34958 m ['counts']",
        "everything that was due is sent",
        "2831 g official",
    ]
    for line in ("2517 g by the phone", "rail 34958 m ['counts']", "2831 g official"):
        assert line in TUTORIAL.read_text()
    assert re.search(r"^ok +True$", reader.type(check), re.MULTILINE)


def test_the_readme_shows_the_example_that_was_run():
    (shown,) = blocks(ROOT / "README.md", "python")
    example = (ROOT / "docs" / "examples" / "embed.py").read_text()
    assert shown == example
    assert len([line for line in example.splitlines() if line.strip()]) <= 20


def test_the_readme_shows_what_the_demonstration_prints(tmp_path: Path):
    demo = subprocess.run(
        [sys.executable, "-m", "greentrip_server", "demo", "--lang", "en"],
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        check=True,
        cwd=tmp_path,
    )
    printed = {" ".join(line.split()) for line in demo.stdout.splitlines()}
    (shown,) = [block for block in blocks(ROOT / "README.md", "text") if block.startswith("3/9")]
    missing = [line for line in shown.splitlines() if " ".join(line.split()) not in printed]
    assert missing == []
