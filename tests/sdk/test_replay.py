"""Recorded tracks are read from GPX and JSON lines; whatever is broken is named by file and line."""

import gzip
import json
import math
import types
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from greentrip.distance.sphere import great_circle_m
from greentrip.errors import BadFile, InvalidInput
from greentrip.replay import RecordedTrack, gpx, json_lines, mode_of, move, read_tracks, source
from greentrip.trip import Fix, Mode, Point

GPX = """<?xml version="1.0" encoding="UTF-8"?>
<gpx version="1.1" creator="test" xmlns="http://www.topografix.com/GPX/1/1">
 <metadata><name>not a track</name><time>2020-01-01T00:00:00Z</time></metadata>
 <wpt lat="1" lon="1"><name>not a fix</name></wpt>
 <trk>
  <name>上班 &amp; 回家</name>
  <type>Metro</type>
  <trkseg>
   <trkpt lat="39.9" lon="116.4"><ele>45.1</ele><time>2024-06-08T16:10:00Z</time></trkpt>
   <trkpt lat="39.91" lon="116.41"><time>2024-06-09T00:10:30.5+08:00</time></trkpt>
  </trkseg>
  <trkseg/>
  <trkseg>
   <trkpt lat="39.92" lon="116.42"><time>2024-06-08T17:00:00z</time></trkpt>
  </trkseg>
 </trk>
 <trk><trkseg><trkpt lat="-39.9" lon="-116.4"><time>2024-06-08T18:00:00Z</time></trkpt></trkseg></trk>
</gpx>
"""
SEGMENT = {"user": "u1", "mode": "Walk", "start": 5, "end": 6, "fixes": [[5, 39.9, 116.4], [6.5, 39.9, 116.5]]}
DAY = {"source": "day01", "platform": "ios", "fixes": [[0, 39.9, 116.4, 12.5, 0], [7, 39.8, 116.4, None, None]]}


def lines(*records: object) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def read(tmp_path: Path, content: str | bytes, name: str = "tracks") -> list[RecordedTrack]:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read_tracks(path))


def error_of(tmp_path: Path, content: str | bytes, name: str = "tracks") -> BadFile:
    with pytest.raises(BadFile) as caught:
        read(tmp_path, content, name)
    assert caught.value.path == tmp_path / name
    assert caught.value.message("zh") != caught.value.message("en")
    return caught.value


# GPX


def test_gpx_gives_a_track_for_each_segment(tmp_path: Path):
    first, second, third = read(tmp_path, GPX)
    assert (first.name, first.mode, first.original_mode, first.user) == ("上班 & 回家 #1", Mode.RAIL, "Metro", None)
    assert first.fixes == (
        Fix(Point(39.9, 116.4), 1_717_863_000.0),
        Fix(Point(39.91, 116.41), 1_717_863_030.5),
    )
    assert (second.name, len(second.fixes), second.line) == ("上班 & 回家 #2", 1, 13)
    assert (third.name, third.mode, third.original_mode) == ("tracks:17", None, "")
    assert third.path == tmp_path / "tracks"


@pytest.mark.parametrize(
    "variant",
    [
        GPX.replace(' xmlns="http://www.topografix.com/GPX/1/1"', ""),
        GPX.replace("GPX/1/1", "GPX/1/0").replace('"1.1"', '"1.0"'),
        GPX.replace("<gpx ", "<g:gpx xmlns:g='http://www.topografix.com/GPX/1/1' ").replace("</gpx", "</g:gpx"),
        "\ufeff" + GPX,
        GPX.replace("\n", "\r\n"),
    ],
    ids=["no namespace", "GPX 1.0", "prefix", "byte order mark", "CRLF"],
)
def test_gpx_variants_say_the_same(tmp_path: Path, variant: str):
    assert [track.fixes for track in read(tmp_path, variant)] == [track.fixes for track in read(tmp_path, GPX)]


def test_gzip_says_the_same_whatever_the_name(tmp_path: Path):
    assert [t.fixes for t in read(tmp_path, gzip.compress(GPX.encode()), "a.gpx.gz")] == [
        t.fixes for t in read(tmp_path, GPX, "a.gpx")
    ]
    assert len(read(tmp_path, gzip.compress(lines(SEGMENT, DAY).encode()), "no suffix")) == 2


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("<time>2024-06-08T16:10:00Z</time>", "", 9, "without <time>"),
        ("2024-06-08T16:10:00Z", "2024-06-08T16:10:00", 9, "RFC 3339"),
        ("2024-06-08T16:10:00Z", "2024-06-08 16:10:00Z", 9, "RFC 3339"),
        ("2024-06-08T16:10:00Z", "2024-06-38T16:10:00Z", 9, "RFC 3339"),
        ("2024-06-08T16:10:00Z", "1024-06-08T16:10:00Z", 9, "1970"),
        ("2024-06-08T16:10:00Z", "9" * 1001, 9, "longer than"),
        ('lat="39.91"', 'lat="91"', 10, "-90..90"),
        ('lat="39.91"', 'lat="nan"', 10, "not a number of degrees"),
        ('lat="39.91"', 'lat="north"', 10, "not a number"),
        ('lat="39.91" ', "", 10, "not a number"),
        ("</trkseg>\n  <trkseg/>", "</trk>", 11, "broken XML"),
        ("&amp;", "&home;", 6, "broken XML"),
        ("</gpx>\n", "", 18, "broken XML"),
        ("</gpx>\n", "</gpx>\n<gpx/>", 19, "broken XML"),
    ],
)
def test_broken_gpx_is_named_with_its_line(tmp_path: Path, old: str, new: str, line: int, says: str):
    assert old in GPX
    error = error_of(tmp_path, GPX.replace(old, new, 1))
    assert says in str(error)
    assert error.line == line


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE gpx SYSTEM "file:///etc/passwd">',
        '<!DOCTYPE gpx [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>',
        '<!DOCTYPE gpx [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
    ],
)
def test_a_dtd_is_refused_before_any_entity(tmp_path: Path, doctype: str):
    error = error_of(tmp_path, GPX.replace("?>\n", "?>\n" + doctype, 1))
    assert "DTD" in str(error)
    assert error.line == 2


@pytest.mark.parametrize("content", ["<gpx/>", "<gpx><trk><trkseg/></trk></gpx>", "<gpx><wpt lat='1' lon='1'/></gpx>"])
def test_gpx_without_a_track_is_bad(tmp_path: Path, content: str):
    assert "holds no track" in str(error_of(tmp_path, content))


def test_other_xml_is_bad(tmp_path: Path):
    assert "<kml>" in str(error_of(tmp_path, "<?xml version='1.0'?>\n<kml><trk/></kml>"))
    assert "within each other" in str(error_of(tmp_path, "<gpx>" + "<a>" * 60))


def test_gpx_tracks_before_an_error_are_handed_out(tmp_path: Path):
    path = tmp_path / "a.gpx"
    path.write_text(GPX.replace('lat="-39.9"', 'lat="-99.9"'), "utf-8")
    errors: list[BadFile] = []
    assert len(list(read_tracks(path, errors.append))) == 2
    assert [error.line for error in errors] == [17]


# JSON lines


def test_json_lines_in_both_shapes(tmp_path: Path):
    walk, day = read(tmp_path, lines(SEGMENT) + "\n" + lines(DAY))
    assert (walk.name, walk.mode, walk.original_mode, walk.user, walk.line) == ("u1 Walk", Mode.WALK, "Walk", "u1", 1)
    assert walk.fixes == (Fix(Point(39.9, 116.4), 5.0), Fix(Point(39.9, 116.5), 6.5))
    assert (day.name, day.mode, day.original_mode, day.user, day.line) == ("day01", None, "", None, 3)
    assert [fix.accuracy_m for fix in day.fixes] == [12.5, None]


def test_a_line_without_any_name_is_called_by_its_place(tmp_path: Path):
    assert read(tmp_path, lines({"fixes": [[1, 2, 3]]}))[0].name == "tracks:1"


def bad_fix(*fix: object) -> dict[str, object]:
    return {**SEGMENT, "fixes": [[5, 39.9, 116.4], list(fix)]}


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ('{"user": "u1", "fixes": [[1, 2', "broken JSON"),
        ("[" * 100_000, "broken JSON"),
        ('{"a":' * 100_000, "broken JSON"),
        ("[1, 2]", "JSON object"),
        ("null", "JSON object"),
        (lines({"user": "u1"}), "'fixes'"),
        (lines({"fixes": []}), "'fixes'"),
        (lines({"fixes": {}}), "'fixes'"),
        (lines({**SEGMENT, "user": 7}), "'user' must be text"),
        (lines({**SEGMENT, "mode": ["Walk"]}), "'mode' must be text"),
        (lines({**SEGMENT, "mode": "W" * 1001}), "'mode' must be text"),
        (lines({**DAY, "source": {}}), "'source' must be text"),
        (lines(bad_fix(5, 39.9)), "fix 2: not [time, lat, lon]"),
        (lines({**SEGMENT, "fixes": [7]}), "fix 1: not [time, lat, lon]"),
        (lines(bad_fix(5, 39.9, 116.4, 1, 2, 3)), "fix 2: not"),
        (lines(bad_fix(5, "39.9", 116.4)), "fix 2: '39.9' is not a number"),
        (lines(bad_fix(5, True, 116.4)), "fix 2: True is not a number"),
        (lines(bad_fix(5, None, 116.4)), "fix 2: None is not a number"),
        (lines(bad_fix(5, math.nan, 116.4)), "fix 2: nan is not a number"),
        (lines(bad_fix(math.inf, 39.9, 116.4)), "fix 2: inf is not a number"),
        (lines(bad_fix(10**400, 39.9, 116.4)), "is not a number"),
        (lines(bad_fix(5, 39.9, 116.4, math.nan)), "fix 2: nan is not a number"),
        (lines(bad_fix(5, 90.1, 116.4)), "fix 2: lat: 90.1 lies outside"),
        (lines(bad_fix(5, 39.9, 180.1)), "fix 2: lon: 180.1 lies outside"),
        (lines(bad_fix(-1, 39.9, 116.4)), "Unix time"),
        (lines(bad_fix(1_717_863_000_000, 39.9, 116.4)), "Unix time"),
    ],
)
def test_a_broken_json_line_is_named_and_only_that_one_is_lost(tmp_path: Path, broken: str, says: str):
    content = lines(SEGMENT) + broken.rstrip("\n") + "\n" + lines(DAY)
    error = error_of(tmp_path, content)
    assert says in str(error)
    assert error.line == 2
    errors: list[BadFile] = []
    tracks = list(read_tracks(tmp_path / "tracks", errors.append))
    assert [track.line for track in tracks] == [1, 3]
    assert [error.line for error in errors] == [2]


def test_text_that_is_not_utf8_is_named_by_its_line(tmp_path: Path):
    error = error_of(tmp_path, lines(SEGMENT).encode() + '{"user": "张"}\n'.encode("gb18030"))
    assert "UTF-8" in str(error)
    assert error.line == 2


def test_a_broken_first_line_of_json_lines_is_a_broken_line(tmp_path: Path):
    errors: list[BadFile] = []
    path = tmp_path / "a.jsonl"
    path.write_text("oops\n" + lines(SEGMENT), "utf-8")
    assert [track.line for track in read_tracks(path, errors.append)] == [2]
    assert [error.line for error in errors] == [1]


# Files as a whole


@pytest.mark.parametrize("content", [b"", b" \n\n", b"\xef\xbb\xbf", gzip.compress(b"", mtime=0)])
def test_an_empty_file_is_bad(tmp_path: Path, content: bytes):
    assert "empty" in str(error_of(tmp_path, content))


@pytest.mark.parametrize("content", ["line,from,to\n", "PK\x03\x04", "# notes", "\x00" * 100])
def test_an_unknown_format_is_bad(tmp_path: Path, content: str):
    assert error_of(tmp_path, content).line == 1


def test_a_file_that_is_not_there_is_bad(tmp_path: Path):
    with pytest.raises(BadFile, match="cannot be read"):
        next(read_tracks(tmp_path / "nowhere.gpx"))
    with pytest.raises(BadFile, match="cannot be read"):
        next(read_tracks(str(tmp_path)))


@pytest.mark.parametrize("content", [GPX, lines(*[SEGMENT] * 3000)], ids=["gpx", "jsonl"])
@pytest.mark.parametrize("keep", [1, 9, 15, 100, -1, -8])
def test_a_cut_gzip_is_bad_and_what_was_whole_is_handed_out(tmp_path: Path, content: str, keep: int):
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(content.encode())[:keep])
    errors: list[BadFile] = []
    tracks = list(read_tracks(path, errors.append))
    assert len(errors) == 1
    assert errors[0].path == path
    assert all(track.fixes for track in tracks)


def test_a_damaged_gzip_is_bad(tmp_path: Path):
    packed = bytearray(gzip.compress(lines(*[SEGMENT] * 50).encode()))
    packed[-6] ^= 0xFF  # its checksum
    assert "damaged" in str(error_of(tmp_path, bytes(packed)))


@pytest.mark.parametrize(
    ("module", "limit", "content"),
    [
        (gpx, "FIXES_MAX", GPX),
        (json_lines, "FIXES_MAX", lines(SEGMENT)),
        (source, "FILE_BYTES_MAX", GPX),
        (source, "FILE_BYTES_MAX", lines(SEGMENT)),
        (source, "LINE_BYTES_MAX", lines(SEGMENT)),
    ],
)
def test_sizes_are_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: types.ModuleType, limit: str, content: str
):
    assert read(tmp_path, content)
    monkeypatch.setattr(module, limit, 1 if limit == "FIXES_MAX" else 20)
    assert error_of(tmp_path, gzip.compress(content.encode()))


@given(st.binary(max_size=300) | st.binary(max_size=100).map(lambda tail: lines(SEGMENT).encode()[:90] + tail))
def test_any_bytes_give_tracks_or_a_bad_file(tmp_path_factory: pytest.TempPathFactory, content: bytes):
    path = tmp_path_factory.mktemp("any") / "file"
    path.write_bytes(content)
    errors: list[BadFile] = []
    tracks = list(read_tracks(path, errors.append))
    assert tracks or errors


@pytest.mark.parametrize(
    ("word", "mode"),
    [
        ("Walk", Mode.WALK),
        ("on foot", Mode.WALK),
        ("步行", Mode.WALK),
        ("Bike", Mode.CYCLE),
        (" Cycling ", Mode.CYCLE),
        ("Bus", Mode.BUS),
        ("Tram", Mode.RAIL),
        ("Metro", Mode.RAIL),
        ("Train", Mode.RAIL),
        ("地铁", Mode.RAIL),
        ("shared_ride", Mode.CARPOOL),
        ("Ferry", None),
        ("Car", None),
        ("", None),
    ],
)
def test_words_for_modes(word: str, mode: Mode | None):
    assert mode_of(word) is mode


@pytest.mark.parametrize("mode", Mode)
def test_our_own_words_are_known(mode: Mode):
    assert mode_of(mode.value) is mode


# Moving


def length_m(track: RecordedTrack) -> float:
    return sum(great_circle_m(a.point, b.point) for a, b in pairwise(track.fixes))


steps = st.lists(st.tuples(st.floats(-0.02, 0.02), st.floats(-0.02, 0.02)), min_size=1, max_size=60)


@given(st.floats(-60, 60), st.floats(-180, 180), steps, st.floats(-60, 60), st.floats(-180, 180))
def test_moving_keeps_metres_and_begins_where_and_when_it_should(
    lat: float, lon: float, offsets: list[tuple[float, float]], to_lat: float, to_lon: float
):
    assume(abs(lon) < 178)
    points = [Point(lat, lon)]
    for north, east in offsets:
        points.append(Point(points[-1].lat + north, points[-1].lon + east))
    fixes = tuple(Fix(point, 100.0 + 10 * i, 5.0) for i, point in enumerate(points))
    track = RecordedTrack("t", Mode.WALK, "Walk", fixes, None, Path("t.gpx"), 1)
    there = move(track, Point(to_lat, to_lon), start_at=5000.0)
    assert length_m(there) == pytest.approx(length_m(track), rel=0.005, abs=0.01)
    assert there.fixes[0].point.lat == to_lat
    assert there.fixes[0].point.lon == pytest.approx(to_lon)
    assert [fix.at for fix in there.fixes] == [5000.0 + 10 * i for i in range(len(fixes))]
    assert all(fix.accuracy_m == 5.0 for fix in there.fixes)


def test_moving_without_a_time_keeps_the_times(tmp_path: Path):
    track = read(tmp_path, lines(SEGMENT))[0]
    there = move(track, Point(52.0, 5.0))
    assert [fix.at for fix in there.fixes] == [5.0, 6.5]
    assert (there.name, there.mode) == (track.name, track.mode)


def test_nothing_moves_past_a_pole(tmp_path: Path):
    track = read(tmp_path, lines({"fixes": [[1, 10.0, 10.0], [2, 11.0, 10.0]]}))[0]
    with pytest.raises(InvalidInput):
        move(track, Point(89.5, 0.0))


# Real data


def test_the_real_segments_are_read_and_moved(shared_data: Path):
    tracks = list(read_tracks(shared_data / "ssi_open_geodata" / "segments.jsonl.gz"))
    assert len(tracks) == 130
    assert sum(track.mode is None for track in tracks) == 3  # ferries
    assert sum(track.mode is Mode.WALK for track in tracks) == 73
    for track in tracks:
        there = move(track, Point(39.8884, 116.3775), start_at=1_750_000_000.0)
        assert length_m(there) == pytest.approx(length_m(track), rel=0.005)


def test_the_real_phone_days_are_read(shared_data: Path):
    tracks = list(read_tracks(shared_data / "emission_phone" / "days.jsonl.gz"))
    assert [track.name for track in tracks] == [f"day{i:02}" for i in range(1, 29)]
    assert all(fix.accuracy_m is not None for track in tracks for fix in track.fixes)
