"""The how-to pages are true: every block of Python and shell on them runs, in order, against a real server."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from greentrip import Closed, GreenTrip, Network
from greentrip.testing import FakeClock, FakeServer
from greentrip_server.demo.cast import server_in
from support.postgres import PostgresServer
from support.trips import ride

ROOT = Path(__file__).resolve().parents[2]
HOW_TO = ROOT / "docs" / "how-to"
LANGUAGES = {"python", "sh", "nginx", "text", "ini"}
"""The first two run. What cannot run says in its tag that it is something else."""
SHELL_TIMEOUT_S = 180
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_DONE = "block-done"


class Shell:
    """One bash session for a page, in a folder of its own; ends with an error at the first command that fails."""

    def __init__(self, folder: Path) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GREENTRIP_")}
        path = os.pathsep.join((str(Path(sys.executable).parent), kept["PATH"]))
        self._process = subprocess.Popen(
            ["timeout", "--kill-after=5", str(SHELL_TIMEOUT_S), "bash", "-euo", "pipefail"],
            cwd=folder,
            env=kept | {"PATH": path, "LANG": "C.UTF-8"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, block: str) -> str:
        """What a block prints."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(f"{block}\necho {_DONE}\n")
        stdin.flush()
        printed = []
        for line in stdout:
            # What the last command printed may lack a line end.
            last, done, _ = line.partition(_DONE)
            printed.append(last)
            if done:
                return "".join(printed)
        raise AssertionError(f"this block failed:\n{block}\n{''.join(printed)}")

    def close(self) -> None:
        """End the session; the trap that it began with ends what it has started."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(timeout=SHELL_TIMEOUT_S)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The reader's folder, and the present one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def shell(folder: Path) -> Iterator[Shell]:
    made = Shell(folder)
    # Whatever a page has started ends with the session, by its own job number.
    made.run("trap 'for job in $(jobs -p); do kill \"$job\" || true; done; wait' EXIT")
    yield made
    made.close()


def run_page(name: str, shell: Shell, names: dict[str, Any], replaced: dict[str, str]) -> list[str]:
    """Run the blocks of a page in order; returns what the shell's printed. `replaced`: the reader's own values."""
    printed = []
    for language, block in _BLOCK.findall((HOW_TO / name).read_text(encoding="utf-8")):
        for shown, real in replaced.items():
            block = re.sub(rf"(?<!\w){re.escape(shown)}(?!\w)", lambda _, real=real: real, block)
        if language == "python":
            exec(compile(block, name, "exec"), names)  # noqa: S102 - our own page
        elif language == "sh":
            printed.append(shell.run(block))
    return printed


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.mark.parametrize("page", sorted(HOW_TO.glob("*.md")), ids=lambda page: page.stem)
def test_every_block_says_what_it_is(page: Path):
    assert {language for language, _ in _BLOCK.findall(page.read_text(encoding="utf-8"))} <= LANGUAGES


def test_embed_the_sdk(folder: Path, shell: Shell, capsys: pytest.CaptureFixture[str]):
    with server_in(folder) as server:
        replaced = {
            "8000": str(urlsplit(server.url).port),
            "the-root-key-that-the-server-shows": server.root_key,
        }
        names: dict[str, Any] = {"input": lambda prompt: server.last_code()}
        try:
            run_page("embed-the-sdk.md", shell, names, replaced)
        finally:
            with suppress(Closed):
                names["green"].close(timeout=0)
    printed = capsys.readouterr().out
    assert "待上传的记录均已上传" in printed
    assert "('虎坊桥',)" in printed


def test_record_with_few_fixes(folder: Path, shell: Shell, capsys: pytest.CaptureFixture[str]):
    run_page("record-with-few-fixes.md", shell, {}, {"the-root-key-that-the-server-shows": "A" * 43})
    printed = capsys.readouterr().out
    page = (HOW_TO / "record-with-few-fixes.md").read_text(encoding="utf-8")
    for line in printed.splitlines()[:2]:
        assert f"# {line}" in page
    assert "您似乎已到达" in printed
    assert re.search(r"^no position from \d\d:\d\d to \d\d:\d\d; 4086 m in a straight line$", printed, re.MULTILINE)


def test_simulate(folder: Path, shell: Shell):
    hostile, traced = run_page("simulate.md", shell, {}, {})
    assert "nothing was lost, counted twice or stuck" in hostile
    assert "seed 3: passed" in traced


def test_add_a_methodology(folder: Path, shell: Shell):
    (shown,) = filter(None, run_page("add-a-methodology.md", shell, {}, {}))
    assert re.search(r"^reference +beijing-trial@[0-9a-f]{16}$", shown, re.MULTILINE)


def test_build_a_region_pack(folder: Path, shell: Shell):
    built, shown = filter(None, run_page("build-a-region-pack.md", shell, {}, {}))
    assert shown in built
    assert re.search(r"^ +closed +1 \(大望路\)$", shown, re.MULTILINE)


def test_test_your_app(folder: Path, shell: Shell):
    """The blocks of Python make the file that the page names, and all its tests pass outside the project too."""
    found = _BLOCK.findall((HOW_TO / "test-your-app.md").read_text(encoding="utf-8"))
    blocks = [block for language, block in found if language == "python"]
    (folder / "test_your_app.py").write_text("\n\n".join(blocks), encoding="utf-8")
    options = "-o asyncio_default_fixture_loop_scope=function -p no:cacheprovider"
    printed = shell.run(f"python -m pytest -q {options} test_your_app.py")
    assert re.search(r"^\d+ passed in", printed, re.MULTILINE), printed
    for language, block in found:
        if language == "sh":
            assert "nothing was lost, counted twice or stuck" in shell.run(block)


@pytest.fixture
def phone_folder(folder: Path) -> str:
    """`phone`: the data of a phone with a settled trip and one that waits. Returns the root key of its server."""
    clock = FakeClock()
    server = FakeServer(clock)
    opened: Any = {"server": "https://greentrip.example", "root_key": server.root_key, "transport": server.transport}
    with GreenTrip.open(folder / "phone", network=Network.sample(), clock=clock, **opened) as phone:
        phone.request_code("13800000000")
        phone.enrol(server.code, {"location": "2026-03", "sync": "2026-03"})
        for trip in range(2):
            ride(phone, clock)
            if not trip:
                phone.sync()
    return server.root_key


def test_prove_a_receipt(phone_folder: str, shell: Shell, capsys: pytest.CaptureFixture[str]):
    replaced = {"the-root-key-that-the-server-shows": phone_folder}
    listed, exported, forged = run_page("prove-a-receipt.md", shell, {}, replaced)
    assert "1 proven, 0 not" in listed
    assert "written to receipt.json" in exported
    assert "1 proven, 0 not" in exported
    assert "proves nothing" in forged
    assert forged.endswith("status 1\n")
    assert re.fullmatch(r"accepted 2517120 2026-\S+\+00:00\n", capsys.readouterr().out)


def test_support_a_case(phone_folder: str, shell: Shell, capsys: pytest.CaptureFixture[str]):
    replaced = {"the-root-key-that-the-server-shows": phone_folder}
    seen, bundle = run_page("support-a-case.md", shell, {}, replaced)
    assert re.search(r"^left the queue: accepted +1$", seen, re.MULTILINE)
    told = json.loads(bundle[bundle.index("{") :])
    page = (HOW_TO / "support-a-case.md").read_text(encoding="utf-8")
    for name, value in told.items():
        assert name == "bundle" or f"`{name}" in page
        members = value if isinstance(value, dict) and name in ("store", "queue") else {}
        assert [member for member in members if f"`{member}`" not in page and f"`{name}.{member}`" not in page] == [
            member for member in members if member.endswith("_bytes")
        ]
    assert capsys.readouterr().out == "{'accepted': 1, 'pending': 1} ok\n"


def test_run_a_server(folder: Path, shell: Shell, postgres_server: PostgresServer):
    postgres_server.start()
    database = postgres_server.create_database()
    replaced = {
        "8000": str(free_port()),
        "postgresql+psycopg://greentrip:secret@127.0.0.1/greentrip": postgres_server.url(database),
    }
    try:
        printed = "".join(run_page("run-a-server.md", shell, {}, replaced))
    finally:
        shell.close()
        postgres_server.drop_database(database)
    assert re.search(r"^current +True$", printed, re.MULTILINE)
    assert re.search(r"ok +True$", printed, re.MULTILINE)
    assert printed.count('{"status":"ok"}') >= 3
