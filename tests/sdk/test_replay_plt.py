"""GeoLife .plt and the labels beside it: split by mode, and whatever is broken is named and costs no neighbour."""

import gzip
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greentrip.errors import BadFile
from greentrip.replay import RecordedTrack, plt, read_tracks
from greentrip.trip import Fix, Mode, Point

HEADER = "Geolife trajectory\nWGS 84\nAltitude is in Feet\nReserved 3\n0,2,255,My Track,0,0,2,8421376\n0\n"
BEGIN_AT = datetime(2009, 10, 11, 14, 4, 30, tzinfo=UTC).timestamp()
LABELS_HEAD = "Start Time\tEnd Time\tTransportation Mode\n"


def row(step: int, lat: object = None, lon: object = 116.4, altitude: object = 492) -> str:
    """A line of a .plt: one fix every 10 s to the north."""
    at = datetime.fromtimestamp(BEGIN_AT + 10 * step, UTC)
    days = (at - datetime(1899, 12, 30, tzinfo=UTC)).total_seconds() / 86_400
    lat = f"{39.9 + step * 0.001:.6f}" if lat is None else lat
    return f"{lat},{lon},0,{altitude},{days:.10f},{at:%Y-%m-%d,%H:%M:%S}"


def content(*rows: str) -> str:
    return HEADER + "".join(f"{each}\r\n" for each in rows)


def label(start: int, end: int, word: str) -> str:
    """A line of labels.txt, from step to step."""
    times = (datetime.fromtimestamp(BEGIN_AT + 10 * step, UTC) for step in (start, end))
    return "\t".join([*(f"{at:%Y/%m/%d %H:%M:%S}" for at in times), word]) + "\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A person's folder, as the data set has it."""
    (tmp_path / "010" / "Trajectory").mkdir(parents=True)
    return tmp_path / "010" / "Trajectory"


def read(path: Path, text: str) -> tuple[list[RecordedTrack], list[BadFile]]:
    path.write_bytes(text.encode())
    errors: list[BadFile] = []
    return list(read_tracks(path, errors.append)), errors


def test_a_plt_is_one_track_without_a_mode(tmp_path: Path):
    (track,), errors = read(tmp_path / "20091011140430.plt", content(row(0, altitude=-777), row(1)))
    assert not errors
    assert track.fixes == (Fix(Point(39.9, 116.4), BEGIN_AT), Fix(Point(39.901, 116.4), BEGIN_AT + 10))
    assert (track.name, track.mode, track.original_mode) == ("20091011140430", None, "")
    assert (track.user, track.line) == (None, 7)


@pytest.mark.parametrize("name", ["track.plt", "track", "track.txt", "track.gpx", "TRACK.PLT"])
def test_the_content_decides(tmp_path: Path, name: str):
    tracks, errors = read(tmp_path / name, content(row(0)))
    assert (len(tracks), errors) == (1, [])
    (tmp_path / name).write_bytes(gzip.compress(content(row(0)).encode()))
    assert len(list(read_tracks(tmp_path / name))) == 1


def test_the_name_decides_where_the_content_does_not(tmp_path: Path):
    tracks, _ = read(tmp_path / "track.plt", content(row(0)).replace("Geolife trajectory", "Track of a receiver"))
    assert len(tracks) == 1
    _, (error,) = read(tmp_path / "track.txt", content(row(0)).replace("Geolife", "Track"))
    assert "neither GPX nor JSON lines nor GeoLife .plt" in str(error)


@pytest.mark.parametrize("datum", ["GCJ 02", "", "Tokyo"])
def test_another_datum_is_refused(tmp_path: Path, datum: str):
    tracks, (error,) = read(tmp_path / "track.plt", content(row(0)).replace("WGS 84", datum))
    assert (tracks, error.line) == ([], 2)
    assert "WGS 84" in str(error)
    assert "坐标系" in error.message("zh")


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (row(1, lat=400.166666666667), "outside -90..90 degrees"),
        (row(1, lat=116.4, lon=39.9), "latitude comes first"),
        (row(1, lon=180.5), "-180..180"),
        (row(1, lat="north"), "no latitude and longitude"),
        (row(1, lat=""), "no latitude and longitude"),
        (row(1, lat="nan"), "not a number"),
        (row(1).rpartition(",")[0], "6 fields"),
        ("39.9,116.4", "2 fields"),
        ("oops", "1 fields"),
        (row(1) + ",1", "8 fields"),
        (row(1).replace("2009-10-11", "2009-13-11"), "no date and time"),
        (row(1).replace("2009-10-11", "11-Oct-09"), "no date and time"),
        (row(1).replace("14:04:40", "14:04"), "no date and time"),
        (row(1).replace("2009-10-11", "1909-10-11"), "1970"),
        (row(1).replace("39.", "３９．"), "no latitude"),
    ],
)
def test_a_broken_line_is_named_and_its_neighbours_are_read(tmp_path: Path, broken: str, says: str):
    path = tmp_path / "track.plt"
    (track,), (error,) = read(path, content(row(0), broken, row(2)))
    assert [fix.at - BEGIN_AT for fix in track.fixes] == [0, 20]
    assert (error.path, error.line) == (path, 8)
    assert says in str(error)
    assert error.message("zh") != str(error)
    with pytest.raises(BadFile):
        list(read_tracks(path))


@pytest.mark.parametrize("text", [HEADER, "Geolife trajectory\n", HEADER + "\n\n"])
def test_a_plt_without_a_fix_is_bad(tmp_path: Path, text: str):
    tracks, (error,) = read(tmp_path / "track.plt", text)
    assert not tracks
    assert "holds no fix" in str(error)


def test_a_file_of_something_else_is_given_up_soon(tmp_path: Path):
    tracks, errors = read(tmp_path / "track.plt", content(row(0), *["oops"] * 1000))
    assert len(tracks) == 1
    assert len(errors) == plt.BAD_LINES_MAX + 2
    assert "the rest is not read" in str(errors[-1])


def test_a_track_that_is_too_long_is_cut_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(plt, "FIXES_MAX", 3)
    (track,), (error,) = read(tmp_path / "track.plt", content(*map(row, range(9))))
    assert len(track.fixes) == 3
    assert "the rest is not read" in str(error)


def test_a_cut_gzip_gives_what_was_whole(tmp_path: Path):
    path = tmp_path / "track.plt.gz"
    path.write_bytes(gzip.compress(content(*map(row, range(5000))).encode())[:-20])
    errors: list[BadFile] = []
    (track,) = read_tracks(path, errors.append)
    assert track.fixes
    assert "damaged" in str(errors[-1])


# Labels


def test_labels_split_the_track(folder: Path):
    labels = LABELS_HEAD + label(6, 9, "subway") + label(2, 5, "walk") + label(-50, -40, "bus") + label(12, 99, "taxi")
    (folder.parent / "labels.txt").write_text(labels)
    tracks, errors = read(folder / "20091011140430.plt", content(*map(row, range(15))))
    assert not errors
    told = [(track.original_mode, track.mode, [round(f.at - BEGIN_AT) // 10 for f in track.fixes]) for track in tracks]
    assert told == [
        ("", None, [0, 1]),
        ("walk", Mode.WALK, [2, 3, 4, 5]),
        ("subway", Mode.RAIL, [6, 7, 8, 9]),
        ("", None, [10, 11]),
        ("taxi", None, [12, 13, 14]),
    ]
    assert [track.name for track in tracks][:2] == ["010 20091011140430", "010 20091011140430 walk"]
    assert {track.user for track in tracks} == {"010"}
    assert [track.line for track in tracks] == [7, 9, 13, 17, 19]


def test_a_fix_out_of_order_stays_in_its_leg(folder: Path):
    (folder.parent / "labels.txt").write_text(LABELS_HEAD + label(0, 3, "walk") + label(4, 9, "bus"))
    tracks, _ = read(folder / "a.plt", content(row(0), row(1), row(5), row(2), row(6)))
    assert [len(track.fixes) for track in tracks] == [3, 2]


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ("2009/10/11 14:04:30\t2009/10/11 14:20:00\n", "between tabs"),
        ("2009/10/11 14:04:30 2009/10/11 14:20:00 walk\n", "between tabs"),
        ("2009/10/11 14:04\t2009/10/11 14:20:00\twalk\n", "no date and time"),
        ("2009/10/11 14:20:00\t2009/10/11 14:04:30\twalk\n", "before the start"),
        (f"2009/10/11 14:04:30\t2009/10/11 14:20:00\t{'x' * 1001}\n", "between tabs"),
    ],
)
def test_a_broken_label_is_named_and_its_neighbours_count(folder: Path, broken: str, says: str):
    labels = folder.parent / "labels.txt"
    labels.write_text(LABELS_HEAD + broken + label(0, 9, "bike"))
    (track,), (error,) = read(folder / "a.plt", content(row(0), row(1)))
    assert (track.mode, error.path, error.line) == (Mode.CYCLE, labels, 2)
    assert says in str(error)


def test_labels_that_cannot_be_read_cost_no_track(folder: Path):
    (folder.parent / "labels.txt").write_bytes(b"\x1f\x8b cut")
    (track,), (error,) = read(folder / "a.plt", content(row(0), row(1)))
    assert (track.mode, error.path.name) == (None, "labels.txt")


@given(st.lists(st.tuples(st.integers(-5, 25), st.integers(0, 10), st.sampled_from(["walk", "bus", "taxi"]))))
def test_every_fix_is_in_one_track(tmp_path_factory: pytest.TempPathFactory, spans: list[tuple[int, int, str]]):
    folder = tmp_path_factory.mktemp("person") / "Trajectory"
    folder.mkdir()
    text = LABELS_HEAD + "".join(label(start, start + length, word) for start, length, word in spans)
    (folder.parent / "labels.txt").write_text(text)
    tracks, errors = read(folder / "a.plt", content(*map(row, range(20))))
    assert not errors
    fixes = [fix for track in tracks for fix in track.fixes]
    assert sorted(fix.at for fix in fixes) == [BEGIN_AT + 10 * step for step in range(20)]
    starts = [track.fixes[0].at for track in tracks]
    assert starts == sorted(starts)


@given(st.binary(max_size=200))
def test_any_bytes_after_the_header_give_tracks_or_a_bad_file(tmp_path_factory: pytest.TempPathFactory, tail: bytes):
    path = tmp_path_factory.mktemp("any") / "file.plt"
    path.write_bytes(HEADER.encode() + tail)
    errors: list[BadFile] = []
    assert list(read_tracks(path, errors.append)) or errors
