"""The region pack: what is written is read, and whatever is damaged is refused with a reason."""

import hashlib
import json
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greentrip.distance.rail import Network
from greentrip.distance.rail.pack import (
    FORMAT_VERSION,
    PACK_BYTES_MAX,
    Pack,
    PackChange,
    PackEdge,
    PackLine,
    PackStation,
    Source,
    is_pack,
    read_pack,
    write_pack,
)
from greentrip.errors import BadFile, InvalidInput
from greentrip.trip import Point
from support.rail_town import EDGES, changes, town, with_station

HEADER = struct.Struct(">8sHI32s")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A whole pack."""
    found = tmp_path / "town.pack"
    write_pack(town(), found)
    return found


texts = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=20)
degrees = st.integers(-80_000_000, 80_000_000).map(lambda micro: micro / 1e6)
points = st.builds(Point, degrees, degrees)


@st.composite
def packs(draw: st.DrawFn) -> Pack:
    names = draw(st.lists(texts, min_size=2, max_size=8, unique=True))
    stations = [
        PackStation(
            name,
            draw(st.just("") | texts),
            draw(st.just("") | texts),
            tuple(draw(st.lists(texts, max_size=2))),
            draw(st.none() | points),
            draw(st.booleans()),
            tuple(draw(st.lists(points, max_size=3))),
        )
        for name in names
    ]
    lines = [
        PackLine(name, "", draw(st.booleans())) for name in draw(st.lists(texts, min_size=2, max_size=3, unique=True))
    ]
    edges = [
        PackEdge(
            line,
            at,
            at + 1,
            draw(st.integers(1, 500_000)),
            draw(st.booleans()),
            draw(st.none() | st.integers(1, 21_600)),
        )
        for line in range(len(lines))
        for at in range(len(names) - 1)
    ]
    ring = st.lists(st.tuples(degrees, degrees), min_size=3, max_size=5).map(tuple)
    outlines = draw(
        st.dictionaries(st.integers(11, 99), st.lists(st.tuples(ring, ring), max_size=2).map(tuple), max_size=2)
    )
    minutes = draw(st.integers(0, 120)) / 2
    made = draw(st.dates())
    sources = (Source(draw(texts), draw(texts)),)
    title, region = draw(texts), draw(texts)
    change = (PackChange(0, 0, 1, minutes),)
    return Pack(title, region, made, sources, tuple(lines), tuple(stations), tuple(edges), change, outlines)


@given(packs())
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, pack: Pack):
    path = tmp_path_factory.mktemp("pack") / "a.pack"
    write_pack(pack, path)
    assert read_pack(path) == pack
    assert is_pack(path)


def test_the_same_pack_gives_the_same_bytes(path: Path, tmp_path: Path):
    write_pack(read_pack(path), tmp_path / "again.pack")
    assert (tmp_path / "again.pack").read_bytes() == path.read_bytes()


# Damaged files


@given(st.data())
def test_a_pack_cut_anywhere_says_so(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject):
    path = tmp_path_factory.mktemp("pack") / "a.pack"
    write_pack(town(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(BadFile, match="cut short") as caught:
        Network.from_pack(path)
    assert "请重新复制" in caught.value.message("zh")


@given(st.data())
def test_a_changed_byte_is_always_found(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject):
    path = tmp_path_factory.mktemp("pack") / "a.pack"
    write_pack(town(), path)
    raw = bytearray(path.read_bytes())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(raw)
    with pytest.raises(BadFile):
        read_pack(path)


@pytest.mark.parametrize(("version", "todo"), [(FORMAT_VERSION + 1, "update greentrip"), (0, "greentrip-pack build")])
def test_another_version_says_what_to_do(path: Path, version: int, todo: str):
    raw = bytearray(path.read_bytes())
    raw[8:10] = struct.pack(">H", version)
    path.write_bytes(raw)
    with pytest.raises(BadFile, match=f"format {version}.*{todo}"):
        read_pack(path)


def test_bytes_behind_the_end_are_damage(path: Path):
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(BadFile, match="damaged"):
        read_pack(path)


@pytest.mark.parametrize("content", [b"PK\x03\x04 a zip", b"line,order,name\n", b"GTRPACK!" + bytes(60)])
def test_another_file_is_no_pack(path: Path, content: bytes):
    path.write_bytes(content)
    assert not is_pack(path)
    with pytest.raises(BadFile, match="no region pack: make one with greentrip-pack build"):
        read_pack(path)


def test_a_missing_file_and_one_too_large(path: Path):
    with pytest.raises(BadFile, match="cannot be read"):
        read_pack(path.with_name("nowhere"))
    assert not is_pack(path.with_name("nowhere"))
    path.write_bytes(path.read_bytes().ljust(PACK_BYTES_MAX + 1))
    with pytest.raises(BadFile, match="larger than"):
        read_pack(path)


def test_a_folder_that_is_not_there_cannot_be_written_to(tmp_path: Path):
    with pytest.raises(BadFile, match="cannot be written"):
        write_pack(town(), tmp_path / "nowhere" / "a.pack")


# Content that no pack may hold, with a sum that is right


def write_json(path: Path, change: Callable[[dict[str, object]], object]) -> None:
    """The pack at `path`, its JSON changed."""
    content = json.loads(zlib.decompress(path.read_bytes()[HEADER.size :]))
    change(content)
    write_body(path, json.dumps(content).encode())


def write_body(path: Path, raw: bytes) -> None:
    body = zlib.compress(raw)
    path.write_bytes(HEADER.pack(b"GTRPACK\n", FORMAT_VERSION, len(body), hashlib.sha256(body).digest()) + body)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.pop("lines"),
        lambda c: c.update(title=5),
        lambda c: c.update(title=" "),
        lambda c: c.update(region="x" * 201),
        lambda c: c.update(made="yesterday"),
        lambda c: c.update(edges=[]),
        lambda c: c.update(edges={}),
        lambda c: c["edges"].append([0, 0, 1, 1400, 0, None]),  # twice
        lambda c: c["edges"].append([0, 1, 0, 1400, 0, None]),  # the other way round
        lambda c: c["edges"].append([9, 0, 1, 2000, 0, None]),
        lambda c: c["edges"].append([0, 0, 99, 2000, 0, None]),
        lambda c: c["edges"].append([0, -1, 2, 2000, 0, None]),
        lambda c: c["edges"].append([0, 2, 2, 2000, 0, None]),
        lambda c: c["edges"].append([0, 0]),
        lambda c: c["edges"][0].__setitem__(3, 0),
        lambda c: c["edges"][0].__setitem__(3, 2000.5),
        lambda c: c["edges"][0].__setitem__(3, True),
        lambda c: c["edges"][0].__setitem__(3, "2000"),
        lambda c: c["edges"][0].__setitem__(3, 500_001),
        lambda c: c["edges"][0].__setitem__(5, 0),
        lambda c: c["lines"].append(["环线", "", 0]),
        lambda c: c["stations"].append(c["stations"][0]),
        lambda c: c["stations"][0].__setitem__(4, [1]),
        lambda c: c["stations"][0].__setitem__(4, [91_000_000, 0]),
        lambda c: c["stations"][0].__setitem__(4, ["north", 0]),
        lambda c: c["stations"][0].__setitem__(6, [0] * 202),
        lambda c: c["changes"].append([0, 0, 1, 2]),  # line 1 does not stop there
        lambda c: c["changes"].append([1, 0, 0, 2]),
        lambda c: c["changes"].append([1, 0, 1, -1]),
        lambda c: c["changes"].append([1, 0, 1, 61]),
        lambda c: c["changes"].append([1, 0, 1, "2"]),
        lambda c: c["changes"].append([1, 0, 1, float("nan")]),
        lambda c: c["outlines"].update({"5": [[[0, 0, 1, 1, 2, 0]]]}),
        lambda c: c["outlines"].update({"11": [[[0, 0, 1, 1]]]}),
        lambda c: c["outlines"].update({"11": [[[0, 0, 1]]]}),
        lambda c: c["outlines"].update({"11": [[[0, 0, 1, 1, 95_000_000, 0]]]}),
    ],
)
def test_wrong_content_is_refused_and_says_to_build_anew(path: Path, change: Callable[[dict[str, object]], object]):
    write_json(path, change)
    with pytest.raises(BadFile, match="build it anew") as caught:
        read_pack(path)
    assert "重新生成" in caught.value.message("zh")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)


@given(st.data(), json_values)
def test_any_other_value_anywhere_is_refused_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, value: object
):
    path = tmp_path_factory.mktemp("pack") / "a.pack"
    write_pack(town(changes=changes((1, 0, 1, 2.0)), outlines={11: ((((0, 0), (1, 1), (2, 0)),),)}), path)

    def put(content: dict[str, object]) -> None:
        inside: list[object] | dict[str, object] = content
        while True:
            keys = list(inside) if isinstance(inside, dict) else list(range(len(inside)))
            if not keys:
                return
            key = data.draw(st.sampled_from(keys))
            if not isinstance(inside[key], list | dict) or data.draw(st.booleans()):
                inside[key] = value
                return
            inside = inside[key]

    write_json(path, put)
    with suppress(InvalidInput):  # BadFile, or the value closed a station or broke a line
        assert Network.from_pack(path).route("东门", "西湖").metres > 0


@pytest.mark.parametrize("raw", [b"", b"[]", b"null", b'{"title":', b"\xff", b"[" * 100_000])
def test_what_is_not_a_packs_json_is_refused(path: Path, raw: bytes):
    write_body(path, raw)
    with pytest.raises(BadFile, match="build it anew"):
        read_pack(path)


def test_more_cells_at_the_end_of_a_row_are_left(path: Path):
    def later(content: dict[str, list[list[object]]]) -> None:
        for rows in ("sources", "lines", "stations", "edges"):
            for row in content[rows]:
                row.append("new")

    write_json(path, later)
    assert read_pack(path) == town()


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (town(title=""), "title"),
        (town(edges=(*EDGES, EDGES[0])), "edges"),
        (town(changes=changes((0, 0, 1, 2.0))), "changes"),
        (town(outlines={1: ()}), "outlines"),
        (with_station(town(), "东门", name="南站"), "stations"),
        (with_station(town(), "东门", entrances=(Point(39.9, 116.4),) * 101), "stations"),
        (town(lines=(*town().lines, replace(town().lines[0]))), "lines"),
        (town(sources=(Source("", "CC0"),)), "sources"),
    ],
)
def test_what_no_pack_may_hold_is_not_written(tmp_path: Path, wrong: Pack, field: str):
    with pytest.raises(InvalidInput) as caught:
        write_pack(wrong, tmp_path / "a.pack")
    assert caught.value.field == field
    assert not (tmp_path / "a.pack").exists()


# A network from a pack


def test_a_network_opens_whichever_it_is(path: Path, tmp_path: Path):
    network = Network.open(path)
    assert (network.title, network.made) == ("小城", date(2024, 10, 13))
    (tmp_path / "stations.csv").write_text(
        "line,order,name,lat_wgs84,lon_wgs84\n1,1,甲,39.9,116.4\n1,2,乙,39.9,116.41\n", "utf-8"
    )
    (tmp_path / "edges.csv").write_text("line,from,to,track_m\n1,甲,乙,900\n", "utf-8")
    folder = Network.open(tmp_path)
    assert (folder.route("甲", "乙").metres, folder.made) == (900, None)
    with pytest.raises(BadFile, match="give the folder"):
        Network.open(tmp_path / "edges.csv")
    with pytest.raises(BadFile, match="cannot be read"):
        Network.open(tmp_path / "nowhere.pack")


def test_outlines_are_the_packs():
    outlines = {11: ((((39.0, 115.0), (39.0, 118.0), (41.0, 116.0)),),)}
    assert Network(town(outlines=outlines)).outlines == outlines
    assert Network.sample().outlines == {}
