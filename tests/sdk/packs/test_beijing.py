"""The real network: its CSV folder as a pack of one file. Nothing of it is kept in the project."""

import csv
import random
from pathlib import Path

import pytest

from greentrip import Network
from greentrip.distance.rail.pack import read_pack
from greentrip.packs.cli import main
from support.osm_city import ORIGIN, STEP_DEGREES, OsmCity

PACK_BYTES_MAX = 400_000
ENTRANCES = 1087
PAIRS = 300
CHANGES_MIN = 200
"""Beijing has about 90 interchanges, each with a change there and back."""


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    return shared_data / "beijing_rail"


@pytest.fixture(scope="module")
def pack(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packs") / "beijing.pack"
    stops = folder / "raw" / "gtfs_stops.txt.gz"
    assert main(["build", "--from", "csv", str(folder), "--out", str(out), "--entrances-from", str(stops)]) == 0
    return out


def test_all_of_it_is_in_a_file_that_a_phone_can_carry(pack: Path):
    beijing = read_pack(pack)
    assert pack.stat().st_size <= PACK_BYTES_MAX
    assert (len(beijing.lines), len(beijing.edges)) == (28, 514)
    assert {line.name for line in beijing.lines if line.ring} == {"2号线", "10号线"}
    assert sum(len(station.entrances) for station in beijing.stations) == ENTRANCES
    assert all(station.en and station.pinyin for station in beijing.stations)


def test_it_measures_what_the_folder_measures(pack: Path, folder: Path):
    packed, plain = Network.from_pack(pack), Network.from_csv(folder)
    assert set(packed.stations) == set(plain.stations)
    assert packed.route("虎坊桥", "东夏园", ["双井", "呼家楼"]).metres == 34_958
    assert packed.route("Hufangqiao", "dong xia yuan").metres == packed.route("虎坊桥", "东夏园").metres
    dice = random.Random(20261124)
    for _ in range(PAIRS):
        start, end = dice.sample(plain.stations, 2)
        assert packed.route(start, end).metres == plain.route(start, end).metres, (start, end)


def test_minutes_of_changes_and_the_streets_between_stations_that_are_none(folder: Path, tmp_path: Path):
    out = tmp_path / "beijing.pack"
    data = folder / "raw" / "beijing-subway-tools_data.tar.xz"
    assert main(["build", "--from", "csv", str(folder), "--out", str(out), "--changes-from", str(data)]) == 0
    beijing = read_pack(out)
    assert len(beijing.changes) > CHANGES_MIN
    changed_at = {beijing.stations[change.station].name for change in beijing.changes}
    assert "西直门" in changed_at
    assert not {"太平桥", "木樨地(1号线)", "木樨地(16号线)"} & changed_at
    assert {line.en for line in beijing.lines} >= {"Line 1", "Daxing Airport Express"}


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def draw(folder: Path) -> OsmCity:
    """The network as a map would hold it: a route there and back for each edge, over straight tracks."""
    city = OsmCity()
    stops: dict[tuple[str, str], int] = {}
    for row in rows(folder / "stations.csv"):
        if row["lat_wgs84"]:
            north = (float(row["lat_wgs84"]) - ORIGIN[0]) / STEP_DEGREES
            east = (float(row["lon_wgs84"]) - ORIGIN[1]) / STEP_DEGREES
            stops[row["line"], row["name"]] = city.stop(row["name"], north, east)
    for row in rows(folder / "edges.csv"):
        ends = (row["line"], row["from"]), (row["line"], row["to"])
        if all(end in stops for end in ends):
            calls = [stops[end] for end in ends]
            track = city.way(calls)
            for way in (calls, calls[::-1]):
                city.route(f"北京地铁{row['line']}", way, [track], ref=row["line"], network="北京地铁")
    return city


def test_a_map_of_it_has_the_same_lines_stations_and_edges(pack: Path, folder: Path, tmp_path: Path):
    out = tmp_path / "drawn.pack"
    extract = draw(folder).write(tmp_path / "city.osm")
    assert main(["build", "--from", "osm", str(extract), "--out", str(out)]) == 0
    drawn, packed = read_pack(out), read_pack(pack)
    pairs = [(packed.stations[edge.start], packed.stations[edge.end]) for edge in packed.edges]
    joined = [pair for pair in pairs if all(station.point for station in pair)]
    assert len(drawn.edges) == len(joined)
    assert {station.name for station in drawn.stations} == {station.name for pair in joined for station in pair}
    assert {line.name for line in drawn.lines} == {line.name for line in packed.lines}
    assert {line.name for line in drawn.lines if line.ring} == {"2号线", "10号线"}
    assert not any(edge.one_way for edge in drawn.edges)


def test_two_builds_give_the_same_bytes(folder: Path, tmp_path: Path):
    outs = [tmp_path / "a.pack", tmp_path / "b.pack"]
    for out in outs:
        arguments = ["--from", "csv", str(folder), "--out", str(out), "--region", "beijing", "--made", "2026-11-24"]
        assert main(["build", *arguments]) == 0
    assert outs[0].read_bytes() == outs[1].read_bytes()
