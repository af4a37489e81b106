"""The station-pair attack against today's record, over all pairs of the real network. The report: station_pairs.py."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from greentrip import Network
from greentrip.distance.rail import SAMPLE, estimate_rail
from privacy import station_pairs
from privacy.station_pairs import Anonymity, Pair, RailTable, Ride

ROOT = Path(__file__).resolve().parents[2]
MEDIAN_PAIRS_MIN = 15
UNIQUE_PERCENT_MAX = 2.0
CHECKED_PAIRS = 1_500


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    found = shared_data / "beijing_rail"
    if not found.is_dir():
        pytest.skip(f"no rail network in {found}")
    return found


@pytest.fixture(scope="module")
def network(folder: Path) -> Network:
    return Network.from_csv(folder)


@pytest.fixture(scope="module")
def rides(folder: Path) -> dict[Pair, Ride]:
    """The ride between each two stations; nothing is sampled."""
    return RailTable(folder).rides()


@pytest.fixture(scope="module")
def provinces(network: Network) -> dict[str, int | None]:
    return station_pairs.provinces_of(network)


@pytest.fixture(scope="module")
def placed(rides: dict[Pair, Ride], provinces: dict[str, int | None]) -> dict[Pair, Ride]:
    """The pairs that a phone records by name: both stations have a position."""
    return {(a, b): ride for (a, b), ride in rides.items() if provinces[a] and provinces[b]}


def assert_hidden(found: Anonymity) -> None:
    limits = f"at least {MEDIAN_PAIRS_MIN} in the median, at most {UNIQUE_PERCENT_MAX} % unique"
    said = f"measured over {found.records} records: {found}; the limits: {limits}"
    assert found.median >= MEDIAN_PAIRS_MIN, said
    assert found.unique_percent <= UNIQUE_PERCENT_MAX, said


def test_todays_record_hides_the_pair(placed: dict[Pair, Ride], provinces: dict[str, int | None]):
    assert len(placed) > 85_000
    assert_hidden(station_pairs.today(placed, provinces))
    assert_hidden(station_pairs.today(station_pairs.ordered(placed), provinces))


def test_a_named_route_hides_the_pair(folder: Path, placed: dict[Pair, Ride]):
    assert_hidden(station_pairs.when_named(RailTable(folder), placed))


def test_the_attack_is_strong_enough_to_find_what_the_design_refused(placed: dict[Pair, Ride]):
    found = station_pairs.with_interval(placed)
    assert found.unique_percent > 50, f"intervals should give pairs away: {found}"
    with pytest.raises(AssertionError, match="at least 15 in the median"):
        assert_hidden(found)


def test_the_table_says_what_the_phone_says(network: Network, folder: Path, rides: dict[Pair, Ride]):
    """A seeded sample of pairs, in both directions, measured as `finish()` measures them.

    The phone's interval may reach further up than the table's, which knows one route for each number of changes.
    """
    assert len(rides) == len(network.stations) * (len(network.stations) - 1) // 2
    dice = random.Random(station_pairs.SEED)
    for a, b in dice.sample(sorted(rides), CHECKED_PAIRS):
        ride = rides[a, b]
        for start, end in ((a, b), (b, a)):
            estimate = estimate_rail(network, start, end)
            measured = (estimate.metres, estimate.low_m, len(estimate.changes))
            assert measured == (ride.metres, ride.low_m, ride.changes), (start, end)
            assert estimate.high_m >= ride.high_m, (start, end)


def test_named_lengths_are_those_of_the_network(network: Network, folder: Path, rides: dict[Pair, Ride]):
    table, (pair, *changes) = RailTable(folder), (("东夏园", "虎坊桥"), "双井", "呼家楼")
    known = pair if pair in rides else (pair[1], pair[0])
    lengths = {metres for _, metres in table.named({known: rides[known]})}
    assert network.route("虎坊桥", "东夏园", changes).metres == 34_958
    assert 34_958 in lengths
    assert max(lengths) <= rides[known].metres * 1.05


def test_the_sets_are_counted_right():
    rides = {
        ("a", "b"): Ride(1_004, 0, 1_000, 1_010),
        ("a", "c"): Ride(996, 0, 990, 1_010),
        ("b", "c"): Ride(1_006, 0, 0, 0),
    }
    provinces = dict.fromkeys("abc", 11)
    found = station_pairs.today(rides, provinces)
    assert (found.sizes, found.median) == ((1, 2, 2), 2)
    assert found.unique_percent == pytest.approx(100 / 3)
    assert station_pairs.today(station_pairs.ordered(rides), provinces).sizes == (2, 2, 4, 4, 4, 4)
    assert station_pairs.today(rides, {**provinces, "b": 13}).sizes == (1, 2, 2)
    # Two routes of the same metres that differ by a change are told apart by their times, where these are known well.
    rides = {("a", "b"): Ride(10_000, 0, 0, 0), ("a", "c"): Ride(10_000, 1, 0, 0)}
    assert station_pairs.with_duration(rides, 1).sizes == (1, 1)
    assert station_pairs.with_duration(rides, 10).sizes == (2, 2)


def test_the_report_is_written(tmp_path: Path):
    """On the network that the SDK brings along; `make privacy` takes the real one."""
    target = tmp_path / "docs" / "report.md"
    done = subprocess.run(
        [sys.executable, station_pairs.__file__, SAMPLE, target], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    text = target.read_text()
    assert "| today's record, pairs without a direction |" in text
    assert "| with the interval, which the design refused |" in text
    assert target.with_suffix(".svg").read_text().startswith("<svg")


def test_the_committed_report_is_todays(placed: dict[Pair, Ride], provinces: dict[str, int | None]):
    report = (ROOT / "docs" / "explanation" / "privacy-station-pairs.md").read_text()
    found = station_pairs.today(placed, provinces)
    row = f"| {found.records:,} | {found.median:g} | {found.low} | {found.unique_percent:.2f} % |"
    assert f"| today's record, pairs without a direction {row}" in report, "run `make privacy`"
