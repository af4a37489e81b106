"""CSV folders become a pack."""

from datetime import date
from pathlib import Path

import pytest

from greentrip.distance.rail.pack import Pack
from greentrip.errors import BadFile
from greentrip.packs.assemble import Choices, assemble
from greentrip.packs.csv_folder import read_csv
from support.gtfs_feed import write_folder

DAY = date(2026, 11, 24)
TOY = {
    "stations.csv": "line,order,name,lat_wgs84,lon_wgs84,closed\n"
    "1号线,1,西门,39.90,116.40,\n1号线,2,中门,39.90,116.42,yes\n1号线,3,东门,39.90,116.44,\n"
    "2号线,1,东门,39.901,116.44,no\n2号线,2,北门,,,\n",
    "edges.csv": "line,from,to,track_m,seconds\n"
    "1号线,西门,中门,1800,120\n1号线,中门,东门,1900,\n2号线,东门,北门,2500,\n",
}
MORE = {
    "names.csv": "name,en,pinyin,aliases\n西门,West Gate,,老西门|W\n2号线,North Line,,\n",
    "entrances.csv": "station,lat_wgs84,lon_wgs84\n东门,39.9005,116.4405\n东门,39.9,116.44\n",
    "changes.csv": "station,from_line,to_line,minutes\n东门,1号线,2号线,2.5\n东门,2号线,1号线,3\n",
    "one_way.csv": "line,from,to\n2号线,北门,东门\n",
    "sources.csv": "name,licence,address\nToy Survey,CC0-1.0,https://toy.example\n",
}


def build(*folders: Path, **choices) -> Pack:
    return assemble(read_csv(folders, lambda what: None), Choices("Toy", "toy", DAY, **choices))[0]


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    return write_folder(TOY, tmp_path / "toy")


def test_two_tables_are_enough(toy: Path):
    pack = build(toy)
    assert [line.name for line in pack.lines] == ["1号线", "2号线"]
    assert [station.name for station in pack.stations] == ["西门", "中门", "东门", "北门"]
    assert [station.closed for station in pack.stations] == [False, True, False, False]
    assert [(edge.metres, edge.seconds, edge.one_way) for edge in pack.edges] == [
        (1800, 120, False), (1900, None, False), (2500, None, False)
    ]  # fmt: skip
    assert pack.stations[3].point is None


def test_further_tables_may_lie_in_further_folders(toy: Path, tmp_path: Path):
    pack = build(toy, write_folder(MORE, tmp_path / "more"))
    west, _, east, _ = pack.stations
    assert (west.en, west.pinyin, west.aliases) == ("West Gate", "Xīmén", ("老西门", "W"))
    assert pack.lines[1].en == "North Line"
    assert len(east.entrances) == 2
    assert [change.minutes for change in pack.changes] == [2.5, 3.0]
    one_way = next(edge for edge in pack.edges if edge.one_way)
    assert [pack.stations[end].name for end in (one_way.start, one_way.end)] == ["北门", "东门"]
    assert pack.sources[0].licence == "CC0-1.0"


def test_a_one_way_track_of_its_own(toy: Path, tmp_path: Path):
    more = write_folder({"one_way.csv": "line,from,to,track_m\n2号线,北门,东门,3100\n"}, tmp_path / "more")
    pack = build(toy, more)
    own = [(edge.metres, edge.one_way) for edge in pack.edges if pack.lines[edge.line].name == "2号线"]
    assert sorted(own) == [(2500, True), (3100, True)]


def test_what_the_person_says_is_added(toy: Path):
    pack = build(toy, apart=("东门",), closed=("北门",))
    assert [s.name for s in pack.stations if s.name.startswith("东门")] == ["东门(1号线)", "东门(2号线)"]
    assert pack.stations[-1].closed


@pytest.mark.parametrize(
    ("table", "old", "new", "says", "line"),
    [
        ("stations.csv", "39.90,116.42", "99,116.42", "lat_wgs84", 3),
        ("stations.csv", "39.90,116.42", "nan,116.42", "lat_wgs84", 3),
        ("stations.csv", "1号线,2,中门", "1号线,2,西门", "stands twice", 3),
        ("stations.csv", "116.42,yes", "116.42,perhaps", "neither yes nor no", 3),
        ("stations.csv", "1号线,2,中门", "1号线,2,", "'name' is empty", 3),
        ("edges.csv", "1号线,西门,中门,1800", "1号线,西门,南门,1800", "no 南门", 2),
        ("edges.csv", "1号线,西门,中门,1800", "1号线,西门,西门,1800", "to itself", 2),
        ("edges.csv", "1号线,中门,东门", "1号线,中门,西门", "stands twice", 3),
        ("edges.csv", "1800", "0", "track_m '0'", 2),
        ("edges.csv", "1900", "inf", "track_m 'inf'", 3),
        ("edges.csv", "1号线,中门,东门,1900,\n", "", "do not reach 东门", 0),
        ("edges.csv", "2500,\n", "2500,", "no line end", 4),
        ("edges.csv", "track_m", "metres", "no column 'track_m'", 1),
        ("names.csv", "西门,West Gate,,老西门|W", "西门,West Gate", "2 columns, not 4", 2),
        ("entrances.csv", "东门,39.9,116.44", "南门,39.9,116.44", "no 南门", 3),
        ("entrances.csv", "东门,39.9,116.44", "东门,,", "position", 3),
        ("changes.csv", "东门,1号线,2号线", "西门,1号线,2号线", "no 西门 on 2号线", 2),
        ("changes.csv", "2.5", "-1", "minutes", 2),
        ("one_way.csv", "北门,东门", "西门,东门", "no 西门 on 2号线", 2),
        ("sources.csv", "CC0-1.0", "", "'licence' is empty", 2),
    ],
)
def test_what_is_wrong_is_named_with_file_and_line(
    tmp_path: Path, table: str, old: str, new: str, says: str, line: int
):
    tables = TOY | MORE
    assert old in tables[table]
    folder = write_folder(tables | {table: tables[table].replace(old, new)}, tmp_path / "toy")
    with pytest.raises(BadFile, match=says) as caught:
        build(folder)
    assert (caught.value.path.name, caught.value.line) == (table, line)
    assert not caught.value.zh.isascii()


def test_text_that_is_not_utf_8_is_named(toy: Path):
    (toy / "stations.csv").write_bytes(TOY["stations.csv"].encode("gb18030"))
    with pytest.raises(BadFile, match="UTF-8"):
        build(toy)


def test_no_folder_and_no_table(tmp_path: Path):
    with pytest.raises(BadFile, match="no folder"):
        build(tmp_path / "gone")
    with pytest.raises(BadFile, match="no such file"):
        build(tmp_path)
