"""The policy file: complete, explained, and refused by name when something is wrong in it."""

import hashlib
from dataclasses import FrozenInstanceError
from datetime import date
from pathlib import Path

import pytest

from greentrip.errors import BadFile
from greentrip.methodology import bundled as bundled_methodology
from greentrip.trip import Mode
from greentrip_server.checks import policy as module
from greentrip_server.checks.outcome import Severity
from greentrip_server.checks.policy import Choice, Limit, bundled, load, parse
from greentrip_server.checks.rules import RULES

FILE = Path(module.__file__).with_name("policy.toml")
TEXT = FILE.read_text(encoding="utf-8")


def edited(old: str, new: str) -> bytes:
    assert TEXT.count(old) == 1, "an edit must hit one place"
    return TEXT.replace(old, new).encode()


def line_of(start: str) -> str:
    return next(line for line in TEXT.splitlines() if line.startswith(start))


def test_the_bundled_file_is_cited_by_its_bytes():
    policy = bundled()
    assert policy.reference == f"checks-default@{hashlib.sha256(FILE.read_bytes()).hexdigest()[:16]}"
    assert (policy.version, policy.valid_from) == (1, date(2024, 10, 1))
    assert policy.text == TEXT
    assert load(FILE) == policy


def test_another_number_is_another_reference():
    changed = parse(edited("value = 180,", "value = 181,"))
    assert changed.day_old.days_max.value == 181
    assert changed.reference != bundled().reference


def test_every_limit_says_why():
    limits = bundled().limits()
    assert len(limits) == 29
    assert all(isinstance(limit, Limit | Choice) and len(limit.why) > 20 for limit in limits.values())


def test_every_section_is_a_rule():
    assert {key.split(".")[0] for key in bundled().limits()} <= {rule.id for rule in RULES}


def test_a_policy_is_frozen():
    with pytest.raises(FrozenInstanceError):
        bundled().day_old.days_max.value = 1


def test_limits_by_mode():
    speeds = {mode: bundled().speed.kmh_max.of(mode) for mode in Mode}
    assert speeds == {"walk": 20, "cycle": 35, "bus": 80, "rail": 160, "carpool": 120}


def test_what_is_held_would_still_count_under_the_default_methodology():
    modes = bundled_methodology().modes
    assert all(bundled().length.leg_m_max.of(mode) <= modes[mode].leg_max_m for mode in Mode)


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("version = 1\n", "", "version"),
        ("version = 1\n", "version = 0\n", "version"),
        ("version = 1\n", "version = true\n", "version"),
        ("version = 1\n", "version = 1\nauthor = 'me'\n", "author"),
        ('id = "checks-default"', 'id = "checks@default"', "id"),
        ('id = "checks-default"', 'id = "检查"', "id"),
        ('id = "checks-default"', 'id = "  "', "id"),
        ("valid_from = 2024-10-01", 'valid_from = "2024-10-01"', "valid_from"),
        ("valid_from = 2024-10-01", "valid_from = 2024-10-01T00:00:00", "valid_from"),
        (line_of("days_max"), "", "day_old.days_max"),
        (line_of("days_max"), "days_max = 180", "day_old.days_max"),
        (line_of("days_max"), line_of("days_max") + "\ndays_min = 1", "day_old.days_min"),
        ('value = 10, unit = "points"', 'value = 6, unit = "points"', "mode_fit.points_min.value"),
        (line_of("leg_m_min"), "", "mode_fit.leg_m_min"),
        (line_of("even"), "", "flags.even"),
        (line_of("mock"), line_of("mock") + "\nfake = 1", "flags.fake"),
        ("[day_old]", "[day_new]", "day_old"),
        ("value = 180,", "value = -180,", "day_old.days_max.value"),
        ("value = 180,", "value = 180.0,", "day_old.days_max.value"),
        ('value = 180, unit = "days"', 'value = 180, unit = "h"', "day_old.days_max.unit"),
        ('value = 180, unit = "days", why', 'value = 180, unit = "days", reason', "day_old.days_max.why"),
        ('value = 180, unit = "days",', 'value = 180, unit = "days", max = 1,', "day_old.days_max.max"),
        ("value = 1440,", "value = 1441,", "shape.duration_min_max.value"),
        ("walk = { value = 1,", "walk = { value = 20,", "speed.kmh_min.walk"),
        ("walk = { value = 1,", "swim = { value = 1,", "speed.kmh_min.walk"),
        (line_of("walk = { value = 45000"), line_of("walk = { value = 45000").replace("walk", "swim"), "length.leg"),
        ('gap = { value = "note"', 'gap = { value = "shrug"', "flags.gap.value"),
        ('gap = { value = "note"', "gap = { value = 1", "flags.gap.value"),
    ],
)
def test_a_wrong_file_is_refused_by_name(old: str, new: str, key: str):
    with pytest.raises(BadFile) as caught:
        parse(edited(old, new), "mine.toml")
    assert f"mine.toml: {key}" in caught.value.en
    assert key in caught.value.zh
    assert caught.value.zh != caught.value.en


@pytest.mark.parametrize("data", [b"id = ", b"\xff\xfe", b"id = 1\nid = 2"])
def test_what_is_not_toml_is_refused(data: bytes):
    with pytest.raises(BadFile, match="not TOML"):
        parse(data)


def test_a_file_that_is_not_there_or_too_large_is_refused(tmp_path: Path):
    with pytest.raises(BadFile, match="cannot be read"):
        load(tmp_path / "none.toml")
    large = tmp_path / "large.toml"
    large.write_bytes(b"#" * (module.FILE_BYTES_MAX + 1))
    with pytest.raises(BadFile, match="larger than"):
        load(large)


def test_severities_of_flags_can_be_set():
    assert parse(edited('gap = { value = "note"', 'gap = { value = "reject"')).flags.gap.value is Severity.REJECT
