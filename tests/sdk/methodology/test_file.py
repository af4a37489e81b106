"""A methodology file is read whole or refused, and the refusal names the file and the dotted key."""

import hashlib
import re
from datetime import date
from pathlib import Path

import pytest

from greentrip.errors import BadFile
from greentrip.methodology import Status, bundled, bundled_ids, load, parse
from greentrip.trip import Method, Mode

GOOD = """\
id = "example"
title_en = "Example"
title_zh = "示例"
provinces = [11, 12]
valid_from = 2024-10-01
valid_until = 2030-12-31
issuance = true

[modes.walk]
baseline = { ug_per_m = 104000, status = "published", source = "a text" }
project = { ug_per_m = 0, status = "attributed", source = "another" }
earns_by = ["track"]
step_m = 100
rounding = "down"
leg_max_m = 50000

[modes.carpool]
baseline = { ug_per_m = 104000, status = "published", source = "a text" }
project = { ug_per_m = 159091, status = "published", source = "another" }
shared = true
people_min = 2
people_max = 9
earns_by = ["track"]
step_m = 10
rounding = "nearest"
leg_max_m = 300000
"""

# What is changed in the good file, the dotted key that the error names, and a part of its sentence.
BROKEN = [
    ('id = "example"', "", "id", "missing"),
    ('id = "example"', "id = 5", "id", "must be a text"),
    ('id = "example"', 'id = " "', "id", "must be a text"),
    ('id = "example"', 'id = "a@b"', "id", "without @"),
    ('id = "example"', 'id = "例"', "id", "ASCII"),
    ('id = "example"', 'id = "two words"', "id", "space"),
    ('id = "example"', f'id = "{"x" * 65}"', "id", "1 to 64"),
    ('title_en = "Example"', "", "title_en", "missing"),
    ('title_zh = "示例"', "title_zh = []", "title_zh", "must be a text"),
    ("provinces = [11, 12]", "", "provinces", "missing"),
    ("provinces = [11, 12]", "provinces = []", "provinces", "list of integers"),
    ("provinces = [11, 12]", 'provinces = ["11"]', "provinces", "list of integers"),
    ("provinces = [11, 12]", "provinces = [true]", "provinces", "list of integers"),
    ("provinces = [11, 12]", "provinces = 11", "provinces", "list of integers"),
    ("valid_from = 2024-10-01", "", "valid_from", "missing"),
    ("valid_from = 2024-10-01", 'valid_from = "2024-10-01"', "valid_from", "a date"),
    ("valid_from = 2024-10-01", "valid_from = 2024-10-01T00:00:00", "valid_from", "a date"),
    ("valid_until = 2030-12-31", "valid_until = 2030", "valid_until", "a date"),
    ("valid_until = 2030-12-31", "valid_until = 2024-09-30", "valid_until", "before valid_from"),
    ("issuance = true", "", "issuance", "missing"),
    ("issuance = true", "issuance = 1", "issuance", "true or false"),
    ("issuance = true", "issuance = true\nissuer = 'x'", "issuer", "unknown key"),
    ("[modes.walk]", "[modes.stroll]", "modes.stroll", "one of walk"),
    ("earns_by", "earned_by", "modes.walk.earns_by", "missing"),
    ('earns_by = ["track"]', 'earns_by = "track"', "modes.walk.earns_by", "a list of track"),
    ('earns_by = ["track"]', 'earns_by = ["tracks"]', "modes.walk.earns_by", "a list of track"),
    ("step_m = 100", "step_m = 0", "modes.walk.step_m", "from 1 to 10000"),
    ("step_m = 100", "step_m = 100.0", "modes.walk.step_m", "an integer"),
    ("step_m = 100", "step_m = true", "modes.walk.step_m", "an integer"),
    ("step_m = 100", "step_m = 10001", "modes.walk.step_m", "from 1 to 10000"),
    ('rounding = "down"', 'rounding = "up"', "modes.walk.rounding", "one of nearest, down"),
    ('rounding = "down"', "rounding = 1", "modes.walk.rounding", "must be a text"),
    ("leg_max_m = 50000", "leg_max_m = 1000001", "modes.walk.leg_max_m", "to 1000000"),
    ("leg_max_m = 50000", "leg_max_km = 50", "modes.walk.leg_max_m", "missing"),
    ("leg_max_m = 50000", "leg_max_m = 50000\ncaps = 1", "modes.walk.caps", "unknown key"),
    ("leg_max_m = 50000", "leg_max_m = 50000\npeople_min = 2", "modes.walk.people_min", "unknown key"),
    ("ug_per_m = 104000", "ug_per_m = -1", "modes.walk.baseline.ug_per_m", "from 0 to 10000000"),
    ("ug_per_m = 104000", "ug_per_m = 104.0", "modes.walk.baseline.ug_per_m", "an integer"),
    ("ug_per_m = 104000", "ug_per_m = 10000001", "modes.walk.baseline.ug_per_m", "from 0 to 10000000"),
    ("ug_per_m = 104000, ", "", "modes.walk.baseline.ug_per_m", "missing"),
    ("ug_per_m = 104000", "ug_per_m = 104000, note = 'x'", "modes.walk.baseline.note", "unknown key"),
    ('status = "published"', 'status = "known"', "modes.walk.baseline.status", "one of published"),
    ('source = "a text"', 'source = ""', "modes.walk.baseline.source", "must be a text"),
    (', source = "another"', "", "modes.walk.project.source", "missing"),
    ("shared = true", 'shared = "yes"', "modes.carpool.shared", "true or false"),
    ("shared = true\n", "", "modes.carpool.people_min", "unknown key"),
    ("people_min = 2\n", "", "modes.carpool.people_min", "missing"),
    ("people_min = 2", "people_min = 10", "modes.carpool.people_max", "below people_min"),
    ("people_max = 9", "people_max = 100", "modes.carpool.people_max", "from 1 to 99"),
]


@pytest.mark.parametrize(("old", "new", "key", "says"), BROKEN, ids=lambda text: re.sub(r"\s+", " ", text)[:40])
def test_a_broken_file_names_file_and_key(tmp_path: Path, old: str, new: str, key: str, says: str):
    assert old in GOOD
    path = tmp_path / "rules.toml"
    path.write_text(GOOD.replace(old, new, 1), "utf-8")
    with pytest.raises(BadFile) as caught:
        load(path)
    assert caught.value.path == path
    assert str(caught.value).startswith(f"{path}: {key}: ")
    assert says in caught.value.en
    assert f"{key}：" in caught.value.zh


def test_tables_that_are_none_name_their_key():
    for old, key in (("[modes.walk]", "modes.walk"), ("[modes.carpool]", "modes.carpool")):
        text = GOOD.replace(old, f"[elsewhere.{key}]").replace("issuance = true", f"issuance = true\n{key} = 1")
        with pytest.raises(BadFile, match=f"{key}: must be a table"):
            parse(text.encode())
    with pytest.raises(BadFile, match="modes: missing"):
        parse(GOOD.partition("[modes")[0].encode())


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"id = ", "not TOML"),
        (b"\xff\xfe", "not TOML"),
        (b"a = 1\na = 2", "not TOML"),
        (b"a = " + b"[" * 100_000, "not TOML"),
        (b"", "modes: missing"),
    ],
)
def test_what_is_no_toml_is_refused(data: bytes, says: str):
    with pytest.raises(BadFile, match=says) as caught:
        parse(data, "rules.toml")
    assert str(caught.value).startswith("rules.toml: ")


def test_files_that_cannot_be_read(tmp_path: Path):
    with pytest.raises(BadFile, match="No such file"):
        load(tmp_path / "none.toml")
    with pytest.raises(BadFile, match="cannot be read"):
        load(tmp_path)
    big = tmp_path / "big.toml"
    big.write_bytes(b"#" * (256 * 1024 + 1))
    with pytest.raises(BadFile, match="larger than 262144 bytes"):
        load(big)


def test_a_good_file_is_read_whole(tmp_path: Path):
    path = tmp_path / "rules.toml"
    path.write_text(GOOD, "utf-8")
    found = load(path)
    assert found.text == GOOD
    assert (found.provinces, found.valid_from, found.valid_until) == (
        {11, 12},
        date(2024, 10, 1),
        date(2030, 12, 31),
    )
    assert found.modes.keys() == {Mode.WALK, Mode.CARPOOL}
    assert found.modes[Mode.WALK].earns_by == {Method.TRACK}
    assert (found.modes[Mode.CARPOOL].people_min, found.modes[Mode.CARPOOL].people_max) == (2, 9)
    assert found.modes[Mode.CARPOOL].nearest
    assert [factor.status for factor in found.unconfirmed()[Mode.WALK]] == [Status.ATTRIBUTED]
    assert Mode.CARPOOL not in found.unconfirmed()
    with pytest.raises(TypeError):
        found.modes[Mode.BUS] = found.modes[Mode.WALK]  # type: ignore[index]


def test_a_reference_is_the_id_and_16_digits_of_the_hash_of_the_bytes():
    found = parse(GOOD.encode())
    digest = hashlib.sha256(GOOD.encode()).hexdigest()
    assert found.reference == f"example@{digest[:16]}"
    assert parse(GOOD.encode() + b"\n").reference != found.reference, "one byte more is another methodology"


@pytest.mark.parametrize(
    ("day", "holds"),
    [("2024-09-30", False), ("2024-10-01", True), ("2030-12-31", True), ("2031-01-01", False)],
)
def test_it_holds_from_its_first_day_to_its_last(day: str, holds: bool):
    assert parse(GOOD.encode()).in_force(date.fromisoformat(day)) is holds


def test_without_a_last_day_it_holds_for_ever():
    found = parse(GOOD.replace("valid_until = 2030-12-31\n", "").encode())
    assert found.valid_until is None
    assert found.in_force(date(2999, 1, 1))


def test_what_ships_is_read_by_its_id():
    assert bundled_ids() == ("beijing-2019-commission", "db11t-3043-2024", "shenzhen-public-transport")
    for name in bundled_ids():
        assert bundled(name).id == name
        assert re.fullmatch(r"[!-?A-~]+@[0-9a-f]{16}", bundled(name).reference)
    assert bundled().id == "db11t-3043-2024"
    with pytest.raises(BadFile, match="there are: beijing-2019-commission, db11t"):
        bundled("db11t")


def test_only_the_standard_may_be_issued_and_no_factor_of_it_counts_as_confirmed():
    assert [name for name in bundled_ids() if bundled(name).issuance] == ["db11t-3043-2024"]
    assert bundled().unconfirmed().keys() == set(Mode)
