"""`greentrip-pack`: build and info, as a person runs them."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from greentrip import Network
from greentrip.packs import cli, extra
from greentrip.packs.cli import main
from support.gtfs_feed import toy_feed, write_zip
from support.osm_city import OsmCity

SCREEN_LINES = 40
SCREEN_COLUMNS = 100


@pytest.fixture
def city(tmp_path: Path) -> Path:
    """A toy city with a ring, a line that meets it, and two provinces."""
    city = OsmCity()
    stops = [city.stop(name, *at) for name, at in zip("甲乙丙丁", [(0, 0), (0, 20), (20, 20), (20, 0)], strict=True)]
    track = city.way([*stops, stops[0]])
    city.line(
        "2号线",
        [city.route(name, calls, [track], roundtrip="yes") for name, calls in (("内", stops), ("外", stops[::-1]))],
    )
    line = [stops[0], city.stop("戊", -20, 0, disused="yes"), city.stop("己", -40, 0)]
    city.both_ways("1号线", line, [city.way(line)])
    city.province("北京市", [city.square(-60, -60, 200)])
    city.province("天津市", [city.square(-60, 140, 50)])
    return city.write(tmp_path / "city.osm")


def build(*arguments: object) -> int:
    return main(["build", "--made", "2026-11-24", "--lang", "en", *map(str, arguments)])


def test_a_pack_of_an_extract_is_described(city: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "toy.pack"
    assert build("--from", "osm", city, "--out", out, "--title", "玩具城", "--json") == 0
    built = json.loads(capsys.readouterr().out)
    assert main(["info", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert built == {**told, "notes": built["notes"]}
    assert {key: told[key] for key in ("title", "region", "made", "lines", "rings", "stations", "closed", "edges")} == {
        "title": "玩具城", "region": "toy", "made": "2026-11-24", "lines": 2, "rings": ["2号线"], "stations": 6,
        "closed": ["戊"], "edges": 6,
    }  # fmt: skip
    assert told["outlines"].keys() == {"11", "12"}
    assert told["size"] == out.stat().st_size
    assert told["sources"][0]["licence"] == "ODbL-1.0"
    assert Network.from_pack(out).route("甲", "己").metres > 4000


@pytest.mark.parametrize(
    ("lang", "words"), [("en", ("stations", "rings", "ODbL-1.0")), ("zh", ("车站", "环线", "来源"))]
)
def test_info_for_people_in_both_languages(
    city: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], lang: str, words: tuple[str, ...]
):
    build("--from", "osm", city, "--out", tmp_path / "toy.pack")
    capsys.readouterr()
    assert main(["info", str(tmp_path / "toy.pack"), "--lang", lang]) == 0
    shown = capsys.readouterr().out
    assert [word for word in words if word not in shown] == []


@pytest.mark.parametrize("kind", ["osm", "gtfs"])
def test_the_same_input_and_date_give_the_same_bytes(city: Path, tmp_path: Path, kind: str):
    source = city if kind == "osm" else write_zip(toy_feed(), tmp_path / "feed.zip")
    one, other = tmp_path / "one.pack", tmp_path / "other.pack"
    for out in (one, other):
        assert build("--from", kind, source, "--out", out, "--region", "toy") == 0
    assert one.read_bytes() == other.read_bytes()


def test_a_licence_that_nobody_states_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    feed = write_zip(toy_feed(), tmp_path / "feed.zip")
    out = tmp_path / "toy.pack"
    assert build("--from", "gtfs", feed, "--out", out) == 0
    assert "--source" in capsys.readouterr().err
    assert build("--from", "gtfs", feed, "--out", out, "--source", "Toy|CC0-1.0|https://toy.example") == 0
    shown = capsys.readouterr()
    assert "--source" not in shown.err
    assert "Toy | CC0-1.0 | https://toy.example" in shown.out


def test_outlines_from_a_file_of_their_own(city: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    ring = [[116, 39], [117, 39], [117, 40], [116, 40], [116, 39]]
    feature = {
        "type": "Feature",
        "properties": {"adcode": 130000},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
    geojson = tmp_path / "hebei.geojson"
    geojson.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    feed = write_zip(toy_feed(), tmp_path / "feed.zip")
    for outline, codes in ((geojson, {"13"}), (city, {"11", "12"})):
        assert build("--from", "gtfs", feed, "--out", tmp_path / "x.pack", "--outline", outline, "--json") == 0
        assert json.loads(capsys.readouterr().out)["outlines"].keys() == codes
    assert build("--from", "gtfs", feed, "--out", tmp_path / "x.pack", "--outline", city, "--provinces", "13") == 1
    assert "--provinces" in capsys.readouterr().err


def test_a_pack_that_is_large_for_a_phone_says_what_makes_it_smaller(
    city: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cli, "SIZE_BYTES_GOAL", 100)
    assert build("--from", "osm", city, "--out", tmp_path / "toy.pack") == 0
    assert "--tolerance" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--apart", "南门"], "no station is called 南门"),
        (["--closed", "南门"], "no station is called 南门"),
        (["--tolerance", "0"], "--tolerance"),
        (["--entrances-from", "gone.zip"], "gone.zip"),
        (["--outline", "gone.geojson"], "gone.geojson"),
        (["--title", " "], "title"),
    ],
)
def test_what_is_wrong_is_said_and_no_pack_is_left(
    city: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
):
    out = tmp_path / "toy.pack"
    assert build(city, "--from", "osm", "--out", out, *arguments) == 1
    assert says in capsys.readouterr().err
    assert not out.exists()


def test_an_extract_stands_alone(city: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert build("--from", "osm", city, city, "--out", tmp_path / "toy.pack") == 1
    assert "takes one" in capsys.readouterr().err


def test_a_folder_that_is_not_there_is_named(city: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert build("--from", "osm", city, "--out", tmp_path / "gone" / "toy.pack") == 1
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--from", "rails", "x", "--out", "y"],
        ["--from", "csv", "x"],
        ["--from", "csv", "x", "--out", "y", "--source", "a name only"],
        ["--from", "csv", "x", "--out", "y", "--source", "a|b|c|d"],
        ["--from", "csv", "x", "--out", "y", "--provinces", "Beijing"],
        ["--from", "csv", "x", "--out", "y", "--made", "today"],
    ],
)
def test_a_wrong_command_line_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        main(["build", *arguments])
    assert caught.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_info_of_what_is_no_pack(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "x.pack"
    path.write_bytes(b"no pack at all")
    assert main(["info", str(path), "--lang", "zh"]) == 1
    assert "线网包" in capsys.readouterr().err


def test_a_package_that_is_missing_is_named_with_what_to_install(
    city: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "osmium", None)
    assert build("--from", "osm", city, "--out", tmp_path / "toy.pack") == 1
    assert 'pip install "greentrip[pack]"' in capsys.readouterr().err
    assert extra.needed("json").__name__ == "json"


def test_the_builders_packages_are_imported_when_first_used():
    script = "import sys, greentrip.packs.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "greentrip.packs.osm" in loaded
    assert not {"osmium", "shapely", "numpy", "pypinyin", "pyjson5"} & set(loaded)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("after_s", "shown"), [(0.0, True), (3600.0, False)])
def test_progress_shows_on_a_terminal_once_it_takes_long(monkeypatch: pytest.MonkeyPatch, after_s: float, shown: bool):
    monkeypatch.setattr(cli, "PROGRESS_AFTER_S", after_s)
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with cli._Progress() as progress:
        progress("city.osm: relations")
        if shown:
            progress._timer.join()
        progress("city.osm: ways")
    assert ("city.osm: ways" in terminal.getvalue()) == shown
    assert terminal.getvalue().endswith("\r\x1b[K" if shown else "")


@pytest.mark.parametrize("verb", [[], ["build"], ["info"]])
def test_help_fits_a_screen(verb: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main([*verb, "--help"])
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) <= SCREEN_LINES
    assert max(map(len, shown)) <= SCREEN_COLUMNS
