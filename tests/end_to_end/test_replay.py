"""`greentrip replay` over real tracks: recorded as if live, synced to a real server, checked and credited."""

import gzip
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from greentrip.table import width
from support.server import ServerProcess, server_process

GREENTRIP = Path(sys.executable).with_name("greentrip")
BEIJING = "39.9,116.4"
SEGMENTS = 130
USERS = ("Utrecht1", "Utrecht2", "Utrecht4", "Utrecht6", "Utrecht12")
RULES_THAT_HOLD = {"speed", "length", "overlap", "trips_a_day", "mode_fit", "flags"}
RULES_THAT_NOTE = {"flags", "speed", "mode_fit", "equal_features"}  # one person had three phones
COLUMNS = 100


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("server")
    with server_process(f"sqlite:///{folder / 'server.sqlite3'}", folder) as running:
        yield running


def greentrip(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command line of the SDK, as a developer runs it."""
    return subprocess.run([GREENTRIP, *map(str, arguments)], capture_output=True, text=True, timeout=240)


@contextmanager
def account(server: ServerProcess, folder: Path, number: str) -> Iterator[list[object]]:
    """A phone that is enrolled by the command line; gives the arguments that name it."""
    where: list[object] = ["--folder", folder, "--server", server.url, "--root-key", server.root_key, "--lang", "en"]
    with subprocess.Popen(
        [GREENTRIP, "enrol", "--phone", number, *map(str, where)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as enrolling:
        assert enrolling.stderr is not None
        assert enrolling.stderr.readline() == "a code was sent to the number\n"
        out, err = enrolling.communicate(server.code() + "\n", timeout=60)
    assert (enrolling.returncode, err) == (0, ""), out
    yield where


@dataclass
class Replayed:
    """What became of the segments: a row each, as the command printed it, and what the server then stood by."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    balance_mg: int = 0
    entries: list[dict[str, Any]] = field(default_factory=list)

    def counts(self) -> Counter[str]:
        """How many ended how: accepted, held by which rules, or why nothing was recorded."""
        return Counter(map(_outcome, self.rows))


def _outcome(row: dict[str, Any]) -> str:
    if "trip" not in row:
        return f"not recorded: {row['note'].partition(':')[0] if row['mode'] == 'rail' else row['note']}"
    holds = sorted(set(row.get("rules", [])) & (RULES_THAT_HOLD if row["state"] == "held" else set()))
    return " ".join([row["state"], *holds])


@pytest.fixture(scope="module")
def replayed(
    shared_data: Path, server: ServerProcess, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Replayed, Replayed]:
    """All segments, one account a user: the total, and the user with the most tracks alone."""
    file = shared_data / "ssi_open_geodata" / "segments.jsonl.gz"
    if not file.is_file():
        pytest.skip(f"no tracks in {file.parent}")
    total, most = Replayed(), Replayed()
    for number, user in enumerate(USERS):
        folder = tmp_path_factory.mktemp(user)
        with account(server, folder, f"1370000000{number}") as where:
            asked = ("--user", user, "--move-to", BEIJING, "--recent", "--confirm", "--json")
            done = greentrip("replay", file, *asked, *where)
            assert (done.returncode, done.stderr) == (0, "")
            told = json.loads(done.stdout)
            assert told["sync"]["stop"] == "done", told["sync"]
            assert told["sync"]["left"] == 0
            kept = json.loads(greentrip("account", "--json", *where).stdout)
        one = Replayed(told["tracks"], kept["account"]["balance_mg"], kept["entries"])
        most = max(most, one, key=lambda r: len(r.rows))
        total.rows += one.rows
        total.entries += one.entries
        total.balance_mg += one.balance_mg
    return total, most


def test_every_segment_is_explained(replayed: tuple[Replayed, Replayed]):
    """Accepted, or held by a rule that says so, or not recorded for a reason; nothing is rejected, nothing left out."""
    total, _ = replayed
    counts = total.counts()
    assert len(total.rows) == SEGMENTS
    assert sum(counts.values()) == SEGMENTS
    assert {row["state"] for row in total.rows if "trip" in row} <= {"accepted", "held"}, counts
    for row in total.rows:
        if "trip" not in row:
            assert row["note"], row
        elif row["state"] == "held":
            assert set(row["rules"]) & RULES_THAT_HOLD, row
        assert set(row.get("rules", [])) <= RULES_THAT_HOLD | RULES_THAT_NOTE, row
    assert counts["not recorded: not a mode of the programme: --mode takes it as one"] == 3  # ferries
    assert counts["accepted"] > 100, counts
    # Every record says that it is a replay; this server is a development server, so it is a note.
    assert all("flags" in row["rules"] for row in total.rows if "trip" in row)


def test_phone_and_server_agree_on_every_real_track(replayed: tuple[Replayed, Replayed]):
    total, most = replayed
    recorded = [row for row in total.rows if "trip" in row]
    assert [row["official_mg"] for row in recorded] == [row["mg"] for row in recorded]
    for one in (total, most):
        accepted = {row["trip"]: row["mg"] for row in one.rows if row.get("state") == "accepted" and row["mg"]}
        assert {entry["trip"]: entry["mg"] for entry in one.entries} == accepted
        assert one.balance_mg == sum(accepted.values()) > 0


def test_real_tracks_are_measured_as_tracks(replayed: tuple[Replayed, Replayed]):
    recorded = [row for row in replayed[0].rows if "trip" in row]
    methods = Counter(row["method"] for row in recorded)
    assert methods["track"] > 0.9 * len(recorded), methods
    assert {row["mode"] for row in recorded} == {"walk", "cycle", "bus", "rail"}
    assert all(row["low_m"] <= row["metres"] <= row["high_m"] for row in recorded)


# Files of other kinds


def test_a_replay_that_stays_on_the_phone(shared_data: Path):
    """Where they were recorded there is no methodology: explained, and not sent; `--user` and `--limit` choose."""
    file = shared_data / "ssi_open_geodata" / "segments.jsonl.gz"
    done = greentrip("replay", file, "--user", "Utrecht12", "--limit", 2, "--json", "--lang", "en")
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert told["sync"] is None
    assert [row["track"] for row in told["tracks"]] == ["Utrecht12 Walk"] * 2
    assert {row["note"] for row in told["tracks"]} == {
        "it starts or ends outside the provinces of the methodology: kept on this phone, not sent"
    }
    assert [row["mg"] for row in told["tracks"]] == [0, 0]


def test_whole_days_of_a_phone(shared_data: Path, server: ServerProcess, tmp_path: Path):
    """Raw days name no mode and last too long for a trip: each is recorded or refused with a sentence."""
    file = shared_data / "emission_phone" / "days.jsonl.gz"
    if not file.is_file():
        pytest.skip(f"no days in {file.parent}")
    done = greentrip("replay", file, "--limit", 3, "--json", "--lang", "en")
    assert done.returncode == 1  # nothing was recorded
    assert {row["note"] for row in json.loads(done.stdout)["tracks"]} == {"the file names no mode: pass --mode"}
    with account(server, tmp_path, "13600000000") as where:
        done = greentrip(
            "replay", file, "--mode", "cycle", "--move-to", BEIJING, "--recent", "--confirm", "--json", *where
        )
    assert (done.returncode, done.stderr) == (0, "")
    rows = json.loads(done.stdout)["tracks"]
    assert len(rows) == 28
    recorded = [row for row in rows if "trip" in row]
    assert len(recorded) > 5
    assert all(row["note"] for row in rows if "trip" not in row)
    assert all(row["state"] in ("accepted", "held", "local") for row in recorded)
    assert all(row["official_mg"] == row["mg"] for row in recorded if row["state"] != "local")


TRACK = {"user": "me", "mode": "Bike", "start": 1_717_863_000, "end": 1_717_863_900}


def track(steps: int = 60, **changes: object) -> str:
    """A line of JSON: a ride to the north-east of Beijing's centre."""
    fixes = [[TRACK["start"] + 10 * step, 39.9 + step * 0.0003, 116.4 + step * 0.0003] for step in range(steps)]
    return json.dumps(TRACK | {"fixes": fixes} | changes)


def gpx(steps: int = 60) -> str:
    points = [
        f'<trkpt lat="{39.9 + step * 0.0003:.6f}" lon="{116.4 + step * 0.0003:.6f}">'
        f"<time>2024-06-08T16:{10 + step // 6:02}:{step % 6 * 10:02}Z</time></trkpt>"
        for step in range(steps)
    ]
    head = '<?xml version="1.0"?>\n<gpx version="1.1" creator="t"><trk><name>To work</name><type>cycling</type><trkseg>'
    return "\n".join([head, *points, "</trkseg></trk></gpx>"])


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("name", "content"), [("one.gpx", gpx), ("one.jsonl", track)])
def test_gpx_and_json_lines_also_packed(tmp_path: Path, name: str, content: Callable[[], str], packed: bool):
    file = tmp_path / (f"{name}.gz" if packed else name)
    file.write_bytes(gzip.compress(content().encode()) if packed else content().encode())
    done = greentrip("replay", file, "--recent", "--json", "--lang", "en")
    assert (done.returncode, done.stderr) == (0, "")
    (row,) = json.loads(done.stdout)["tracks"]
    assert (row["mode"], row["method"], row["note"]) == ("cycle", "track", "counts")
    assert 2_300 < row["metres"] < 2_600
    assert row["mg"] == row["metres"] // 100 * 100 * 95_300 // 1000


def plt(steps: int = 60) -> str:
    """A GeoLife file: the same ride, with the local time 16:10 GMT as the file has it."""
    head = "Geolife trajectory\nWGS 84\nAltitude is in Feet\nReserved 3\n0,2,255,My Track,0,0,2,8421376\n0\n"
    return head + "".join(
        f"{39.9 + step * 0.0003:.6f},{116.4 + step * 0.0003:.6f},0,-777,{45451.673611 + step / 8640:.6f},"
        f"2024-06-08,16:{10 + step // 6:02}:{step % 6 * 10:02}\r\n"
        for step in range(steps)
    )


def test_geolife_files_by_their_labels_or_by_the_mode_that_is_given(tmp_path: Path):
    file = tmp_path / "007" / "Trajectory" / "20240608161000.plt"
    file.parent.mkdir(parents=True)
    file.write_text(plt())
    done = greentrip("replay", file, "--mode", "cycle", "--recent", "--json", "--lang", "en")
    assert (done.returncode, done.stderr) == (0, "")
    (row,) = json.loads(done.stdout)["tracks"]
    assert (row["track"], row["mode"], row["method"]) == ("007 20240608161000", "cycle", "track")
    assert 2_300 < row["metres"] < 2_600
    (tmp_path / "007" / "labels.txt").write_text(
        "Start Time\tEnd Time\tTransportation Mode\n"
        "2024/06/08 16:10:00\t2024/06/08 16:14:50\tbike\n"
        "2024/06/08 16:15:00\t2024/06/08 16:20:00\ttaxi\n"
    )
    done = greentrip("replay", file, "--recent", "--json", "--lang", "en")
    assert (done.returncode, done.stderr) == (0, "")
    ride, taxi = json.loads(done.stdout)["tracks"]
    assert (ride["track"], ride["mode"]) == ("007 20240608161000 bike", "cycle")
    assert 1_100 < ride["metres"] < 1_300
    assert taxi["note"] == "not a mode of the programme: --mode takes it as one"


def test_broken_lines_among_good_ones(tmp_path: Path):
    """Each is named by file and line, the good ones are recorded all the same, and the status says that not all was."""
    file, lost = tmp_path / "mixed.jsonl", tmp_path / "nowhere.gpx"
    lines = [
        track(),
        '{"mode": "Bike", "fixes": [[1717863000, 39.9',
        track(fixes=[[1717863000, 139.9, 116.4]]),
        track(mode="Ferry"),
        track(fixes=[[1717863000, "north", 116.4]]),
        track(steps=30),
    ]
    file.write_text("\n".join(lines))
    done = greentrip("replay", file, lost, "--recent", "--lang", "en")
    assert done.returncode == 1
    for place in (f"{file}:2: ", f"{file}:3: fix 1: ", f"{file}:5: fix 1: ", f"{lost}: cannot be read"):
        assert place in done.stderr
    assert len(done.stderr.splitlines()) == 4
    assert "2 tracks recorded" in done.stdout
    assert "not a mode of the programme" in done.stdout


def test_chinese_and_a_table_that_fits(tmp_path: Path):
    file = tmp_path / "轨迹.jsonl"
    file.write_text("\n".join([track(), track(mode="Ferry"), "{"]))
    done = greentrip("replay", file, "--recent", "--lang", "zh")
    assert done.returncode == 1
    assert f"{file}:3：JSON 格式有误" in done.stderr.replace(": ", "：")
    assert "已记录 1 条轨迹" in done.stdout
    assert "不属于本方法学的出行方式" in done.stdout
    lines = done.stdout.splitlines()
    assert lines[0].split()[:3] == ["轨迹", "方式", "公里"]
    assert max(map(width, lines)) <= COLUMNS
    assert "\x1b" not in done.stdout


def test_a_code_that_is_known_already_is_used(server: ServerProcess, tmp_path: Path):
    """Without a keyboard: the first call sends the code and says what to do, the second brings it."""
    where = ["--folder", tmp_path, "--server", server.url, "--root-key", server.root_key, "--lang", "en"]
    asked = ["enrol", "--phone", "13500000000", *where]
    first = subprocess.run([GREENTRIP, *map(str, asked)], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert first.returncode == 1
    assert "a code was sent to the number" in first.stderr
    assert "--code" in first.stderr
    assert "Traceback" not in first.stderr
    second = greentrip(*asked, "--code", server.code())
    assert (second.returncode, second.stderr) == (0, "")
    assert second.stdout.startswith("account ")


def test_a_root_key_that_begins_like_an_option(tmp_path: Path):
    """One key in 64 does. It is read as a key: of a server of which there is no phone here."""
    key = "-" + "A" * 42
    done = greentrip("sync", "--folder", tmp_path, "--server", "http://127.0.0.1:9", "--root-key", key, "--lang", "en")
    assert (done.returncode, done.stdout) == (1, "")
    assert "has no data for this server" in done.stderr
