"""The window itself, in a child process: Kivy renders with SDL's offscreen driver, touches are Kivy's own."""

import importlib.util
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("kivy", reason="Kivy is not installed: `make test` leaves it out; `make app` installs it")

CHILD = Path(__file__).with_name("window.py")
ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 120.0


def drive(step: str, folder: Path, status: int = 0) -> dict:
    path = os.pathsep.join([str(ROOT / "mobile_demo"), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, str(CHILD), step, str(folder)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env=os.environ | {"PYTHONPATH": path},
        check=False,
    )
    assert done.returncode == status, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_trip_from_start_to_finish_offline(tmp_path: Path):
    facts = drive("offline", tmp_path)
    assert "pick both stations" in facts["needs"]
    assert "did you mean 虎坊桥" in facts["error"]
    assert facts["result"] == "2,517 g"
    ((state, rail, walk),) = facts["trips"]
    assert (state, rail) == ("waits to be sent", "Rail 35.0 km: counts")
    assert "no track was recorded" in walk
    assert any("Offline only" in note for note in facts["notes"])
    assert not facts["can_sync"]
    _assert_picture(Path(facts["screenshot"]))


def test_a_trip_outlives_the_death_of_the_app(tmp_path: Path):
    drive("begin", tmp_path, status=9)
    assert drive("resume", tmp_path)["result"] == "2,517 g"


@pytest.mark.skipif(importlib.util.find_spec("greentrip_server") is None, reason="greentrip_server is not installed")
def test_a_trip_is_sent_to_the_server_on_this_machine_which_ends_with_the_app(tmp_path: Path):
    facts = drive("embedded", tmp_path)
    ((state, *lines),) = facts["trips"]
    # 35 km in a second: the server's own checks ran.
    assert state == "held for a check"
    assert "faster than" in lines[-1] or any("faster than" in line for line in lines)
    assert any("made-up account" in note for note in facts["notes"])
    with pytest.raises(ProcessLookupError):
        os.kill(facts["server_pid"], 0)


def test_a_doubt_is_asked_and_answered(tmp_path: Path):
    facts = drive("asked", tmp_path)
    title, text, *answers = facts["question"]
    assert title.startswith("One question about")
    assert "recorded as a walk" in text
    assert answers[0] == "I walked"
    assert "By car or taxi" in answers
    ((state, *lines),) = facts["trips"]
    assert state == "withdrawn by you"
    assert "you said that it was a car" in lines[-1]
    _assert_picture(Path(facts["screenshot"]))


def _assert_picture(file: Path) -> None:
    """It is a PNG of the window's size that is not of one colour."""
    content = file.read_bytes()
    assert content.startswith(b"\x89PNG")
    assert struct.unpack(">II", content[16:24]) == (412, 846)
    assert len(content) > 10_000
