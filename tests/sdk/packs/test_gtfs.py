"""A GTFS feed becomes a pack."""

import gzip
from contextlib import suppress
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greentrip.distance.rail.pack import Pack
from greentrip.errors import BadFile, InvalidInput
from greentrip.packs.assemble import Choices, assemble
from greentrip.packs.draft import Note
from greentrip.packs.gtfs import read_gtfs
from greentrip.packs.gtfs_entrances import with_entrances
from support.gtfs_feed import Tables, toy_feed, write_folder, write_zip
from support.osm_city import OsmCity

DAY = date(2026, 11, 24)
BENT_M = 2 * ((0.01 * 111_195) ** 2 + (0.02 * 85_300) ** 2) ** 0.5
STRAIGHT_M = 0.04 * 85_300


def silent(what: str) -> None:
    pass


def build(tables: Tables, folder: Path) -> tuple[Pack, tuple[Note, ...]]:
    return assemble(read_gtfs(write_zip(tables, folder / "feed.zip"), silent), Choices("Toy", "toy", DAY))


def test_zip_zip_with_a_folder_and_folder_give_the_same(tmp_path: Path):
    paths = [
        write_zip(toy_feed(), tmp_path / "one.zip"),
        write_zip(toy_feed(), tmp_path / "two.zip", "feed/"),
        write_folder(toy_feed(), tmp_path / "three"),
    ]
    one, two, three = (assemble(read_gtfs(path, silent), Choices("Toy", "toy", DAY)) for path in paths)
    assert one == two == three


def test_lines_stations_entrances_and_names(tmp_path: Path):
    pack, _ = build(toy_feed(), tmp_path)
    assert [(line.name, line.en) for line in pack.lines] == [("1号线", "Line 1"), ("有轨电车", "Youguidianche")]
    assert [station.name for station in pack.stations] == ["西门", "东门", "终点", "北门"]
    assert pack.stations[0].en == "West Gate"
    assert pack.stations[1].en == "Dongmen"
    assert [len(station.entrances) for station in pack.stations] == [0, 1, 0, 0]
    assert [(source.name, source.licence) for source in pack.sources] == [("Toy Publisher", "licence not stated")]


@pytest.mark.parametrize("without", ["", "stop_times", "shapes"])
def test_metres_run_along_the_shape_with_or_without_its_distances(tmp_path: Path, without: str):
    """In whatever unit shape_dist_traveled is: here it is none at all."""
    tables = toy_feed()
    if without:
        tables[f"{without}.txt"] = "\n".join(
            line.rsplit(",", 1)[0] for line in tables[f"{without}.txt"].splitlines() if line
        )
    pack, notes = build(tables, tmp_path)
    first = pack.edges[0]
    assert first.metres == pytest.approx(BENT_M, rel=0.002)
    assert (first.one_way, first.seconds) == (False, 300)
    assert not any("1号线" in en for en, _ in notes)


def test_without_a_shape_the_straight_line_counts_and_is_noted(tmp_path: Path):
    tables = toy_feed()
    del tables["shapes.txt"]
    pack, notes = build(tables, tmp_path)
    assert pack.edges[0].metres == pytest.approx(STRAIGHT_M, rel=0.002)
    assert any("1号线" in en and "straight" in en for en, _ in notes)


def test_a_shape_far_from_the_stops_is_not_used(tmp_path: Path):
    tables = toy_feed()
    tables["stop_times.txt"] = "\n".join(line.rsplit(",", 1)[0] for line in tables["stop_times.txt"].splitlines())
    tables["shapes.txt"] = tables["shapes.txt"].replace(",116.", ",117.")
    pack, _ = build(tables, tmp_path)
    assert pack.edges[0].metres == pytest.approx(STRAIGHT_M, rel=0.002)


def test_transfers_are_changes_with_minutes(tmp_path: Path):
    pack, _ = build(toy_feed(), tmp_path)
    found = [(change.station, change.from_line, change.to_line, change.minutes) for change in pack.changes]
    assert found == [(1, 0, 1, 3.0), (1, 1, 0, 4.0)]


def test_stops_that_no_transfer_joins_are_two_stations(tmp_path: Path):
    tables = toy_feed() | {"transfers.txt": "from_stop_id,to_stop_id,transfer_type\nB1,D,3\n"}
    pack, _ = build(tables, tmp_path)
    assert [station.name for station in pack.stations if "东门" in station.name] == ["东门(1号线)", "东门(有轨电车)"]


def test_lines_of_two_agencies_keep_their_agencys_name(tmp_path: Path):
    tables = toy_feed()
    tables["agency.txt"] += "n,New Metro,https://new.example,Asia/Shanghai\n"
    tables["routes.txt"] = tables["routes.txt"].replace("r2,m,有轨电车", "r2,n,1号线")
    pack, _ = build(tables, tmp_path)
    assert [line.name for line in pack.lines] == ["Toy Metro1号线", "New Metro1号线"]


@pytest.mark.parametrize(
    ("table", "old", "new", "says", "line"),
    [
        ("routes.txt", "1号线,,1", "1号线,,metro", "route_type", 2),
        ("stops.txt", "39.900,116.440,0,B", "north,116.440,0,B", "stop_lat", 6),
        ("stops.txt", "39.900,116.440,0,B", ",,0,B", "position", 6),
        ("stops.txt", "116.440,0,B", "116.440,0,Q", "parent_station 'Q'", 6),
        ("stop_times.txt", "08:05:00", "8 o'clock", "departure_time", 3),
        ("stop_times.txt", "t1,08:00:00,08:00:00,A1,1,0", "t1,08:00:00", "2 columns, not 6", 2),
        ("stop_times.txt", "stop_sequence", "order", "no column 'stop_sequence'", 1),
        ("transfers.txt", ",180", ",soon", "min_transfer_time", 2),
        ("stop_times.txt", "t1,08:00:00,08:00:00,A1,", "t1,08:00:00,08:00:00,nowhere,", "no stop 'nowhere'", 0),
    ],
)
def test_what_is_wrong_is_named_with_file_and_line(
    tmp_path: Path, table: str, old: str, new: str, says: str, line: int
):
    tables = toy_feed()
    assert old in tables[table]
    tables[table] = tables[table].replace(old, new)
    with pytest.raises(BadFile, match=says) as caught:
        build(tables, tmp_path)
    assert caught.value.line == line
    assert caught.value.path.name.endswith(".txt")


def test_a_feed_without_rails_says_so(tmp_path: Path):
    tables = toy_feed()
    tables["routes.txt"] = "route_id,route_short_name,route_type\nr3,8路,3\n"
    with pytest.raises(BadFile, match="no rail trips"):
        build(tables, tmp_path)


@pytest.mark.parametrize("missing", ["routes.txt", "trips.txt", "stops.txt", "stop_times.txt"])
def test_a_table_that_is_missing_is_named(tmp_path: Path, missing: str):
    tables = toy_feed()
    del tables[missing]
    with pytest.raises(BadFile, match=missing):
        build(tables, tmp_path)


def test_a_feed_that_is_no_archive_or_was_cut_short_is_a_bad_file(tmp_path: Path):
    path = write_zip(toy_feed(), tmp_path / "feed.zip")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(BadFile):
        read_gtfs(path, silent)
    with pytest.raises(BadFile):
        read_gtfs(tmp_path / "gone.zip", silent)


@given(damage=st.lists(st.tuples(st.integers(0), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_damaged_archive_is_a_bad_file_and_never_a_crash(
    damage: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory
):
    path = write_zip(toy_feed(), tmp_path_factory.mktemp("feeds") / "feed.zip")
    content = bytearray(path.read_bytes())
    for at, value in damage:
        content[at % len(content)] = value
    path.write_bytes(content)
    with suppress(BadFile):
        read_gtfs(path, silent)


@given(
    table=st.sampled_from(sorted(toy_feed())),
    at=st.integers(0),
    text=st.text(st.sampled_from(',\n"-9x \0\r'), max_size=3),
)
def test_a_damaged_table_is_a_bad_file_and_never_a_crash(
    table: str, at: int, text: str, tmp_path_factory: pytest.TempPathFactory
):
    tables = toy_feed()
    cut = at % len(tables[table])
    tables[table] = tables[table][:cut] + text + tables[table][cut + 1 :]
    with suppress(InvalidInput):
        build(tables, tmp_path_factory.mktemp("feeds"))


def test_entrances_and_names_of_a_feed_for_another_source(tmp_path: Path):
    from greentrip.packs.osm import read_osm

    city = OsmCity()
    stops = [city.stop("西门", 0, 0), city.stop("东门", 0, 40), city.stop("北门", 500, 0)]
    city.both_ways("1号线", stops, [city.way(stops)])
    draft = read_osm(city.write(tmp_path / "city.osm"), DAY, silent)
    feed = write_zip(toy_feed(), tmp_path / "feed.zip")
    stops_gz = tmp_path / "stops.txt.gz"
    stops_gz.write_bytes(gzip.compress(toy_feed()["stops.txt"].encode()))
    for path, west in ((feed, "West Gate"), (stops_gz, "Ximen")):
        pack, _ = assemble(with_entrances(draft, path, silent), Choices("Toy", "toy", DAY))
        assert [station.en for station in pack.stations] == [west, "Dongmen", "Beimen"]
        assert [len(station.entrances) for station in pack.stations] == [0, 1, 0]
