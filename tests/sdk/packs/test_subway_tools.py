"""Minutes of changes and English names from JSON5 data."""

import lzma
import tarfile
from datetime import date
from pathlib import Path

import pytest

from greentrip.distance.rail.pack import Pack
from greentrip.errors import BadFile
from greentrip.packs.assemble import Choices, assemble
from greentrip.packs.csv_folder import read_csv
from greentrip.packs.subway_tools import with_changes
from support.gtfs_feed import write_folder

RAILS = {
    "stations.csv": "line,name,lat_wgs84,lon_wgs84\n1号线,西门,39.90,116.40\n1号线,东门,39.90,116.44\n"
    "2号线,东门,39.901,116.44\n2号线,北门,39.92,116.44\n机场线,东门,39.901,116.441\n机场线,机场,40,116.5\n",
    "edges.csv": "line,from,to,track_m\n1号线,西门,东门,3700\n2号线,东门,北门,2500\n机场线,东门,机场,15000\n",
}
DATA = {
    "metadata.json5": """{
        // what holds in the morning only does not count
        transfers: {
            "东门": [
                {from: "1号线", to: "2号线", minutes: 4, distance: 160},
                {from: "1号线", to: "2号线", to_direction: "东行", minutes: 5,},
                {from: "2号线", to: "1号线", minutes: 2},
                {from: "1号线", to: "2号线", minutes: 0.5, apply_time: [{end: "06:30"}]},
                {from: "2号线", to: "机场线", minutes: 6.5},
                {from: "2号线", to: "99号线", minutes: 1},
            ],
        },
        virtual_transfers: [
            {from_station: "西门", to_station: "北门", times: [{from: "1号线", to: "2号线", minutes: 9}]},
        ],
    }""",
    "line1.json5": """{
        name: "1号线", aliases: ["Line One", "L1"], stations: [{name: "西门", aliases: ["West Gate"]}, {name: "东门"}],
    }""",
    "airport.json5": '{name: "机场线", stations: [{name: "机场", aliases: ["PEK T1", "PEK T2"]}]}',
    "map.json5": '{name: "Map", coordinates: {"西门": {x: 1, y: 2}}}',
}


def build(data: Path, folder: Path) -> Pack:
    draft = read_csv([write_folder(RAILS, folder / "rails")], lambda what: None)
    return assemble(with_changes(draft, data, lambda what: None), Choices("Toy", "toy", date(2026, 11, 24)))[0]


def pack_up(data: Path, path: Path) -> Path:
    with tarfile.open(path, "w:xz") as archive:
        archive.add(data, arcname=".")
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_changes_and_names(tmp_path: Path, packed: bool):
    data = write_folder(DATA, tmp_path / "data")
    pack = build(pack_up(data, tmp_path / "data.tar.xz") if packed else data, tmp_path)
    lines = [line.name for line in pack.lines]
    found = {(lines[c.from_line], lines[c.to_line]): c.minutes for c in pack.changes}
    assert found == {
        ("1号线", "2号线"): 4.5, ("2号线", "1号线"): 2.0, ("2号线", "机场线"): 6.5, ("机场线", "2号线"): 6.5
    }  # fmt: skip
    assert {pack.stations[change.station].name for change in pack.changes} == {"东门"}
    assert [line.en for line in pack.lines] == ["Line One", "Line 2", "Jichang Line"]
    names = {station.name: (station.en, station.aliases) for station in pack.stations}
    assert names["西门"] == ("West Gate", ("West Gate",))
    assert names["机场"] == ("Jichang", ("PEK T1", "PEK T2"))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("metadata.json5", "{transfers: {", "broken JSON5"),
        ("metadata.json5", "{}", "no metadata.json5 with transfers"),
        ("metadata.json5", '{transfers: {"东门": [{from: "1号线", to: "2号线", minutes: "soon"}]}}', "minutes"),
        ("metadata.json5", '{transfers: {"东门": [{from: "1号线", to: "2号线", minutes: NaN}]}}', "minutes"),
        ("metadata.json5", '{transfers: {"东门": [3]}}', "minutes"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, name: str, content: str, says: str):
    with pytest.raises(BadFile, match=says) as caught:
        build(write_folder(DATA | {name: content}, tmp_path / "data"), tmp_path)
    assert not caught.value.zh.isascii()


def test_an_archive_cut_short_or_none_at_all(tmp_path: Path):
    whole = pack_up(write_folder(DATA, tmp_path / "data"), tmp_path / "data.tar.xz").read_bytes()
    for content in (whole[:-200], b"no archive", lzma.compress(b"no tar")):
        (tmp_path / "bad.tar.xz").write_bytes(content)
        with pytest.raises(BadFile):
            build(tmp_path / "bad.tar.xz", tmp_path)
    with pytest.raises(BadFile):
        build(tmp_path / "gone.tar.xz", tmp_path)
