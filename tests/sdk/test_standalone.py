"""The SDK alone: in a fresh environment it brings httpx and cryptography with it, and records a trip without either."""

import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HTTPX = {"httpx", "httpcore", "h11", "anyio", "certifi", "idna", "sniffio", "typing_extensions"}
CRYPTOGRAPHY = {"cryptography", "cffi", "pycparser"}
OUR_PYTHONS = ("python3.15", "python3.14", "python3.13", "python3.12", "python3.11")

RECORDING = """
import json, sys, tempfile
from greentrip import GreenTrip, Network
after_import = set(sys.modules)
with tempfile.TemporaryDirectory() as folder:
    server = {"server": "https://greentrip.example", "root_key": "A" * 43}
    with GreenTrip.open(folder, **server, network=Network.sample()) as green:
        green.start("rail", "虎坊桥", at=1_772_670_000)
        trip = green.finish("东夏园", changes=["双井", "呼家楼"], at=1_772_673_600)
        report = green.sync(timeout=1)
after_trip = set(sys.modules)
import httpx
print(json.dumps({
    "mg": trip.reduction_mg, "stop": report.stop, "version": sys.version_info[:2],
    "after_import": sorted(after_import), "after_trip": sorted(after_trip),
}))
"""


def _run(*command: object, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    # The running venv's settings must not show through.
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PYTHONUTF8": "1"}
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, env=environment, timeout=timeout
    )


@cache
def _version_of(python: str) -> tuple[int, int] | None:
    """It must be run to be known: pyenv puts commands on the PATH that only say "not installed"."""
    try:
        done = _run(python, "-c", "import sys, ensurepip, venv; print(*sys.version_info[:2])", timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.fullmatch(r"(\d+) (\d+)\s*", done.stdout)
    return (int(found[1]), int(found[2])) if done.returncode == 0 and found else None


def _newest_python() -> str:
    candidates = [path for name in OUR_PYTHONS if (path := shutil.which(name))]
    candidates += map(str, Path.home().glob(".pyenv/versions/*/bin/python3"))
    usable = {version: path for path in candidates if (version := _version_of(path)) and version >= (3, 11)}
    newer = [version for version in usable if version > sys.version_info[:2]]
    if not newer:
        pytest.skip(f"no Python newer than {sys.version_info.major}.{sys.version_info.minor} was found")
    return usable[max(newer)]


@pytest.fixture(scope="module", params=["the running Python", "the newest Python"])
def fresh_python(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment that holds the SDK and what it needs, and nothing else."""
    python = sys.executable if request.param == "the running Python" else _newest_python()
    folder = tmp_path_factory.mktemp("standalone") / "venv"
    made = _run(python, "-m", "venv", folder)
    assert made.returncode == 0, made.stderr
    inside = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    (wanted,) = re.findall(r"^httpx==.*$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    probe = _run(inside, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, "--retries", "1", wanted)
    if probe.returncode:
        pytest.skip(f"pip reaches no package index: {probe.stderr.strip().splitlines()[-1]}")
    # From a copy: a build must leave nothing in the tree.
    source = folder.parent / "sdk"
    shutil.copytree(ROOT / "sdk", source, ignore=shutil.ignore_patterns("__pycache__", "dist"))
    done = _run(inside, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", source)
    assert done.returncode == 0, done.stderr
    return inside


def test_it_brings_httpx_and_cryptography_and_nothing_else(fresh_python: Path):
    listed = json.loads(_run(fresh_python, "-m", "pip", "list", "--format", "json").stdout)
    installed = {package["name"].lower().replace("-", "_") for package in listed} - {"pip", "setuptools"}
    assert {"greentrip", "httpx", "cryptography"} <= installed <= {"greentrip"} | HTTPX | CRYPTOGRAPHY


def test_a_trip_is_recorded_without_the_network_libraries(fresh_python: Path, tmp_path: Path):
    script = tmp_path / "recording.py"
    script.write_text(RECORDING, "utf-8")
    done = _run(fresh_python, "-I", "-W", "error", script)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["mg"], told["stop"]) == (2_517_120, "not_enrolled")
    assert tuple(told["version"]) == _version_of(str(fresh_python))
    for moment in ("after_import", "after_trip"):
        roots = {name.partition(".")[0] for name in told[moment]}
        assert not roots & {"httpx", "httpcore", "anyio", "cryptography", "ecdsa"}, "heavy, and not needed for a trip"
        assert not roots & {"greentrip_server", "greentrip_demo", "kivy", "plyer", "litestar", "sqlalchemy"}


def test_its_files_ship_with_it(fresh_python: Path):
    script = (
        "import greentrip, pathlib; folder = pathlib.Path(greentrip.__file__).parent\n"
        "print(*sorted(p.relative_to(folder).as_posix() for p in folder.rglob('*')"
        " if p.is_file() and p.suffix not in ('.py', '.pyc')), sep='\\n')"
    )
    shipped = _run(fresh_python, "-I", "-c", script).stdout.split()
    here = ROOT / "sdk" / "greentrip"
    assert shipped == sorted(
        path.relative_to(here).as_posix()
        for path in here.rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    )
    assert {"py.typed", "methodology/vectors.json", "methodology/files/db11t-3043-2024.toml"} <= set(shipped)


def test_the_command_line_is_installed(fresh_python: Path):
    done = _run(fresh_python.with_name("greentrip"), "--help")
    assert done.returncode == 0, done.stderr
    assert "greentrip" in done.stdout
