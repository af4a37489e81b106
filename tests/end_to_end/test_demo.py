"""`greentrip-server demo`: the first thing that a new user runs, and the story it must tell."""

import fcntl
import json
import os
import pty
import random
import re
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from greentrip.table import width
from support.server import PROGRAM

DEMO_S_MAX = 60
"""On a machine that runs other tests at the same time; alone it takes 6 s."""
COLUMNS = 80
ESCAPE = "\x1b["
TABLE_HEADS = ("mode ", "day ", "方式", "出行日")


class Demo:
    """How a demonstration went, and what it left behind."""

    def __init__(self, tmp_path: Path) -> None:
        self.scratch = tmp_path / "scratch"
        self.scratch.mkdir()
        self.cwd = tmp_path
        self.sessions: list[int] = []

    def environment(self, **given: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("GREENTRIP_", "LC_"))}
        return kept | {"TMPDIR": str(self.scratch), "LANG": "C.UTF-8"} | given

    @contextmanager
    def begun(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """The demonstration, running in a session of its own; killed with it at the end of the block."""
        process = subprocess.Popen(
            [PROGRAM, "demo", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.cwd,
            env=self.environment(),
            start_new_session=True,
        )
        self.sessions.append(process.pid)
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        with self.begun(*arguments) as process:
            out, err = process.communicate(timeout=DEMO_S_MAX)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def assert_nothing_is_left(self) -> None:
        assert list(self.scratch.iterdir()) == []
        assert [pid for session in self.sessions for pid in processes_of(session)] == []


def processes_of(session: int) -> list[int]:
    """The processes of a session, as Linux lists them."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(entry.parent.name))
    return found


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    """A demonstration that must leave nothing behind."""
    if not Path("/proc/self/stat").exists():
        pytest.skip("no /proc: nothing tells which processes are left")
    made = Demo(tmp_path)
    yield made
    made.assert_nothing_is_left()


def tables(text: str) -> list[str]:
    """The lines of the tables: from a head on, until what is said below it or the next step."""
    found, inside = [], False
    for line in text.splitlines():
        inside = line.startswith(TABLE_HEADS) or (inside and not line.startswith("   ") and not line[:1].isdigit())
        inside = inside or (line[:4].isdigit() and "-" in line[:8])
        found += [line.rstrip()] if inside else []
    return found


def gpx(path: Path, lat: float, lon: float, *, minutes: int = 15, broken_at: int = -1) -> Path:
    """A ride to the north-east at 15 km/h that sways by a metre, one point in 10 s, one a line."""
    dice = random.Random(1)
    begin = datetime.now(UTC).replace(microsecond=0) - timedelta(days=400)
    points = []
    for step in range(minutes * 6):
        at = (begin + timedelta(seconds=10 * step)).isoformat().replace("+00:00", "Z")
        north, east = (step * slope + dice.uniform(-1e-5, 1e-5) for slope in (0.000265, 0.000345))
        shown = "north" if step == broken_at else f"{lat + north:.6f}"
        points.append(f'<trkpt lat="{shown}" lon="{lon + east:.6f}"><time>{at}</time></trkpt>')
    head = '<gpx version="1.1" creator="test"><trk><type>cycling</type><trkseg>'
    path.write_text("\n".join([head, *points, "</trkseg></trk></gpx>"]))
    return path


def test_json_tells_the_whole_story(demo: Demo):
    began = time.monotonic()
    done = demo.run("--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert time.monotonic() - began < DEMO_S_MAX
    told = json.loads(done.stdout)
    commute, track, killed = told["trips"]
    assert commute["official_mg"] == commute["reduction_mg"] == 2_517_120
    assert [leg["reasons"] for leg in commute["legs"]] == [["no_track"], ["earns"], ["no_track"]]
    assert sum(trip["official_mg"] for trip in told["trips"]) == told["balance_mg"]
    assert all(trip["state"] == "accepted" and trip["receipt_at"] for trip in told["trips"])
    assert json.loads(track["record"])["flags"] == ["replay"]
    assert json.loads(killed["record"])["flags"] == ["gap"]
    assert len(told["pages"]) == 4
    assert set(told["pages"].values()) == {200}


def test_plain_text_where_nobody_looks(demo: Demo):
    done = demo.run("--lang", "zh")
    assert_plain(done)
    words = ["没有轨迹", "换乘 双井", "其中公布示例 2517 克", "本项目生成的示例骑行", "3 份签名回执离线验证通过"]
    assert [word for word in words if word not in done.stdout] == []


def assert_plain(done: subprocess.CompletedProcess[str]) -> None:
    assert (done.returncode, done.stderr) == (0, "")
    assert ESCAPE not in done.stdout
    assert re.findall(r"^(\d)/9 ", done.stdout, re.MULTILINE) == list("123456789")
    assert_tables_fit(done.stdout)


def test_colours_on_a_terminal_of_80_columns(demo: Demo):
    screen, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    kept = {name: value for name, value in demo.environment().items() if name not in ("NO_COLOR", "COLUMNS")}
    process = subprocess.Popen(
        [PROGRAM, "demo", "--lang", "zh"],
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=terminal,
        cwd=demo.cwd,
        env=kept | {"TERM": "xterm-256color"},
        start_new_session=True,
    )
    demo.sessions.append(process.pid)
    os.close(terminal)
    shown = b""
    try:
        while chunk := os.read(screen, 65536):
            shown += chunk
    except OSError:
        pass  # Linux says so when the last writer has gone
    finally:
        os.close(screen)
    assert process.wait(DEMO_S_MAX) == 0
    text = shown.decode()
    assert f"{ESCAPE}1;32m1/9" in text  # bold and green
    assert "\x1b[2m" in text  # records are dim
    assert "━" in text  # a bar, while something takes its time
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "\n")
    assert "2517" in plain
    assert_tables_fit(plain)


def assert_tables_fit(text: str) -> None:
    lines = tables(text)
    assert len(lines) >= 12  # four tables
    assert [line for line in lines if width(line) > COLUMNS] == []
    assert [line for line in lines if "…" in line] == []  # and nothing was left out to fit
    assert sum("虎坊桥" in line for line in lines) == 2
    assert sum("2517" in line for line in lines) == 2


def test_a_track_of_ones_own(demo: Demo, tmp_path: Path):
    """Recorded in the Netherlands more than a year ago: it is played as of yesterday, in Beijing."""
    file = gpx(tmp_path / "ride.gpx", 52.09, 5.12)
    done = demo.run("--json", "--track", file.name, "--move-to", "39.9,116.4")
    assert (done.returncode, done.stderr) == (0, "")
    (leg,) = (track := json.loads(done.stdout)["trips"][1])["legs"]
    assert (leg["mode"], leg["method"], track["state"]) == ("cycle", "track", "accepted")
    assert 3_000 < leg["metres"] < 4_000
    assert leg["start"].startswith("39.90000, 116.40000")
    assert track["official_mg"] == track["reduction_mg"] > 200_000


def test_a_track_that_is_not_of_the_programme_stays_on_the_phone(demo: Demo, tmp_path: Path):
    file = gpx(tmp_path / "ride.gpx", 52.09, 5.12)
    done = demo.run("--lang", "en", "--track", str(file))
    assert_plain(done)
    words = [
        "no track was recorded",
        "changes at 双井",
        "the published 2517 g",
        str(file),
        "starts or ends outside the provinces of the methodology: kept on this phone, not sent",
        "2 records settled, 2 signed receipts verified offline",
    ]
    assert [word for word in words if word not in done.stdout] == []
    records = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(records) == 2


def test_a_broken_track_is_named_by_file_and_line(demo: Demo, tmp_path: Path):
    file = gpx(tmp_path / "broken.gpx", 39.9, 116.4, broken_at=40)
    done = demo.run("--lang", "en", "--track", str(file))
    assert done.returncode == 1
    assert f"{file}:42" in done.stderr
    assert "'north' is not a number" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("step", [0, 4, 9])
def test_ctrl_c_leaves_nothing_behind(demo: Demo, step: int):
    """As a terminal does it: to the whole group of processes, after a step of the story (0: at once)."""
    with demo.begun("--lang", "en", *(["--keep"] if step == 9 else [])) as process:
        assert process.stdout is not None
        if step == 0:
            deadline = time.monotonic() + DEMO_S_MAX
            while not list(demo.scratch.iterdir()) and time.monotonic() < deadline:
                time.sleep(0.01)
        last = "Ctrl-C ends it" if step == 9 else f"{step}/9 "
        while step and last not in process.stdout.readline():
            assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=DEMO_S_MAX)
    assert process.returncode == (0 if step == 9 else 130)
    assert err == ""
