"""A real process records and is killed at every point that matters: nothing that it was told is lost."""

import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from greentrip import Flag, GapCause, GreenTrip, Method, Mode, Network, NoTrip, State, gap_text
from greentrip.methodology import bundled, round_distance
from greentrip.record import decode
from greentrip.wire import sha256_hex
from support.trips import HOME, METRES_PER_DEGREE, north_of

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")

ROOT_KEY = "A" * 43
CHILD = Path(__file__).with_name("recording_child.py")


@contextmanager
def _child(folder: Path, script: str, mode: str = "walk") -> Iterator[subprocess.Popen]:
    started = subprocess.Popen(
        [sys.executable, CHILD, str(folder), script, mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield started
    finally:
        started.kill()
        started.communicate()


def _said(child: subprocess.Popen, word: str) -> list[str]:
    """Wait for a line that begins with `word`; the words after it."""
    assert child.stdout is not None
    for line in child.stdout:
        first, *rest = line.split()
        if first == word:
            return rest
    raise AssertionError(f"the child ended before it said {word!r}")


def _open(folder: Path) -> GreenTrip:
    return GreenTrip.open(folder, server="https://greentrip.example", root_key=ROOT_KEY, network=Network.sample())


def _file(folder: Path) -> Path:
    (found,) = folder.glob("*.sqlite3")
    return found


def _intact(folder: Path) -> None:
    with closing(sqlite3.connect(_file(folder))) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize("way_on", ["finish", "resume", "cancel"])
def test_killed_right_after_start_the_trip_is_offered_again(tmp_path: Path, way_on: str):
    with _child(tmp_path, "start") as child:
        _said(child, "started")
        child.kill()
        child.wait()
    with _open(tmp_path) as phone:
        active = phone.active
        assert active is not None
        assert (active.interrupted, active.legs, active.fixes) == (True, 1, 0)
        if way_on == "cancel":
            phone.cancel()
            assert phone.active is None
            assert phone.trips() == []
            return
        if way_on == "resume":
            assert not phone.resume().interrupted
        trip = phone.finish(north_of(HOME, 2000))
        assert decode(trip.record or b"").flags == (Flag.GAP,)
        assert (trip.state, trip.legs[0].method) == (State.PENDING, Method.ENDPOINTS)
    _intact(tmp_path)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("resumed", [False, True])
def test_fixes_from_before_the_kill_count(tmp_path: Path, seed: int, resumed: bool):
    wanted = random.Random(seed).randint(60, 180)
    with _child(tmp_path, "fixes") as child:
        while int(_said(child, "fix")[0]) < wanted:
            pass
        child.kill()
        child.wait()
    with _open(tmp_path) as phone:
        active = phone.active
        assert active is not None
        assert active.interrupted
        assert active.fixes >= wanted, "each fix that was taken is on disk"
        walked_m = (active.fixes - 1) * 14
        if resumed:
            phone.resume()
        trip = phone.finish()
        record = decode(trip.record or b"")
        assert record.flags == (Flag.GAP,)
        assert record.legs[0].method is Method.TRACK
        assert 0.85 * walked_m - 100 <= trip.legs[0].counted_m <= walked_m
        assert trip.reduction_mg == trip.legs[0].counted_m * 104
        place = trip.legs[0].end.split(",")[0]
        assert float(place) == pytest.approx(HOME.lat + walked_m / METRES_PER_DEGREE, abs=1e-5)
    _intact(tmp_path)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("resumed", [False, True])
def test_the_gap_after_a_kill_is_told_and_nothing_is_made_up_for_it(tmp_path: Path, mode: Mode, resumed: bool):
    """A bus earns by its end points too: the straight line across the gap. The others earn what was recorded."""
    with _child(tmp_path, "fixes", mode) as child:
        while int(_said(child, "fix")[0]) < 120:
            pass
        child.kill()
        child.wait()
    with _open(tmp_path) as phone:
        active = phone.active
        assert active is not None
        recorded_m = (active.fixes - 1) * 14
        if resumed:
            phone.resume()
        trip = phone.finish(north_of(HOME, recorded_m + 4000))
        (leg,) = trip.legs
        (gap,) = leg.gaps
        assert gap.cause is GapCause.STOPPED
        assert gap.from_at == pytest.approx(active.last_seen_at.timestamp(), abs=1e-3)
        assert gap.straight_m == pytest.approx(4000, abs=20)
        assert gap.minutes > 60
        assert gap_text(gap).startswith(f"probably missed {gap.minutes} minutes: the system stopped the service at ")
        assert 0.85 * recorded_m - 100 <= leg.metres <= recorded_m
        counted_m = leg.metres + (gap.straight_m if mode is Mode.BUS else 0)
        assert decode(trip.record or b"").legs[0].distance_m == round_distance(bundled().modes[mode], counted_m)
    _intact(tmp_path)


def test_killed_right_before_finish_the_trip_can_be_finished(tmp_path: Path):
    with _child(tmp_path, "before_finish") as child:
        _said(child, "finishing")
        child.kill()
        child.wait()
    with _open(tmp_path) as phone:
        assert phone.trips() == []
        trip = phone.finish(north_of(HOME, 700))
        assert trip.legs[0].counted_m >= 500
        assert phone.trips() == [trip]


def test_killed_right_after_finish_returned_the_record_is_in_the_queue(tmp_path: Path):
    with _child(tmp_path, "finish") as child:
        trip_id, record = _said(child, "finished")
        child.kill()
        child.wait()
    line = bytes.fromhex(record)
    with closing(sqlite3.connect(_file(tmp_path))) as db:
        assert db.execute("SELECT id, line, sha256, state FROM queue").fetchall() == [
            (trip_id, line, sha256_hex(line), "pending")
        ]
    with _open(tmp_path) as phone:
        assert phone.active is None
        with pytest.raises(NoTrip):
            phone.finish()
        (trip,) = phone.trips()
        assert (trip.id, trip.record, trip.state) == (trip_id, line, State.PENDING)
        assert decode(line).flags == ()
    _intact(tmp_path)


@pytest.mark.parametrize("seed", range(6))
def test_killed_at_any_moment_what_was_returned_is_there_and_nothing_is_there_twice(tmp_path: Path, seed: int):
    dice = random.Random(seed)
    told: dict[str, bytes] = {}
    started = 0
    for _ in range(3):
        with _child(tmp_path, "loop") as child:
            _said(child, "opened")
            time.sleep(dice.uniform(0.0, 0.3))
            child.kill()
            out, _ = child.communicate()
        # The last line may have been cut by the kill.
        for line in [line for line in out.splitlines(keepends=True) if line.endswith("\n") and line.strip()]:
            word, *rest = line.split()
            started += word == "started"
            if word == "finished":
                told[rest[0]] = bytes.fromhex(rest[1])
        _intact(tmp_path)
        with _open(tmp_path) as phone:
            there = {trip.id: trip.record for trip in phone.trips()}
            assert told.items() <= there.items(), f"seed {seed}"
            assert len(there) <= started + 3, "and no trip that nobody made"
            assert phone.stats().states.get(State.PENDING, 0) == len(there)
            if phone.active is not None:
                trip = phone.finish(north_of(HOME, 900))
                told[trip.id] = trip.record or b""
                assert phone.active is None
