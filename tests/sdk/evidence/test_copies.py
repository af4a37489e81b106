"""Copied tracks: drawn ones are too even, played ones have the old fingerprint; real ones have neither."""

import gzip
import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accuracy.traffic import TRAFFIC, Receiver, driven, received, simulate
from greentrip.distance.sphere import moved
from greentrip.evidence import fingerprint_of, is_even
from greentrip.evidence.likeness import STRETCH_FIXES
from greentrip.trip import Fix, Point

START = Point(39.9, 116.4)
SEEDS = st.integers(0, 500)


def drawn(kmh: float, every_s: float, turns: int = 3, fixes: int = 60) -> list[Fix]:
    """A route as a program plays it: one speed, straight lines, corners."""
    made, east_m, north_m = [], 0.0, 0.0
    for n in range(fixes):
        made.append(Fix(moved(START, east_m, north_m), 1e9 + n * every_s, 5.0))
        step_m = kmh / 3.6 * every_s
        if n * (turns + 1) // fixes % 2:
            north_m += step_m
        else:
            east_m += step_m
    return made


def ride(seed: int, kind: str = "cycle") -> list[Fix]:
    return list(simulate(random.Random(seed), kind, 2000).fixes)


@pytest.mark.parametrize("kmh", [5.0, 15.0, 60.0])
@pytest.mark.parametrize("every_s", [1.0, 5.0, 30.0])
def test_a_drawn_track_is_even(kmh: float, every_s: float):
    assert is_even(drawn(kmh, every_s))


@settings(max_examples=25)
@given(SEEDS, st.sampled_from(sorted(TRAFFIC)))
def test_a_simulated_person_is_not_even(seed: int, kind: str):
    assert not is_even(ride(seed, kind))


def test_a_phone_at_rest_and_a_short_track_are_not_even():
    assert not is_even([Fix(START, 1e9 + s) for s in range(0, 600, 5)])
    assert not is_even(drawn(5.0, 1.0, fixes=15))
    assert not is_even([])


def test_real_tracks_are_never_even_and_never_repeat(shared_data: Path):
    seen: dict[str, int] = {}
    with gzip.open(shared_data / "ssi_open_geodata" / "segments.jsonl.gz", "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            segment = json.loads(line)
            fixes = [Fix(Point(lat, lon), float(at)) for at, lat, lon in segment["fixes"]]
            assert not is_even(fixes)
            assert not any(is_even(fixes[i : i + 60]) for i in range(0, len(fixes), 60))
            fingerprint = fingerprint_of(fixes)
            # One person carried three phones: never the very same fixes.
            assert fingerprint is None or seen.setdefault(fingerprint, number) == number


@settings(max_examples=25)
@given(SEEDS, st.integers(-(10**7), 10**7))
def test_another_time_is_the_same_track(seed: int, shift_s: int):
    fixes = ride(seed)
    again = [replace(fix, at=fix.at + shift_s) for fix in fixes]
    assert fingerprint_of(again) == fingerprint_of(fixes) != None  # noqa: E711


@settings(max_examples=25)
@given(SEEDS, st.integers(-2000, 2000), st.integers(-2000, 2000))
def test_a_constant_offset_is_the_same_track(seed: int, lat_e5: int, lon_e5: int):
    rounded = [replace(fix, point=Point(round(fix.point.lat, 6), round(fix.point.lon, 6))) for fix in ride(seed)]
    off = [replace(fix, point=Point(fix.point.lat + lat_e5 / 1e5, fix.point.lon + lon_e5 / 1e5)) for fix in rounded]
    assert fingerprint_of(off) == fingerprint_of(rounded)


def test_a_copy_that_begins_later_is_mostly_seen():
    copies = 0
    for seed in range(100):
        fixes = ride(seed)
        copies += fingerprint_of(fixes[len(fixes) // 5 :]) == fingerprint_of(fixes)
    assert copies >= 60, "the stretch lies in the rest for about three of four"


@settings(max_examples=25)
@given(SEEDS)
def test_the_same_way_on_another_day_is_another_track(seed: int):
    way = driven(random.Random(seed), TRAFFIC["cycle"], 2000)
    monday, tuesday = (received(random.Random(f"{seed} {day}"), way, Receiver()) for day in ("Monday", "Tuesday"))
    assert fingerprint_of(monday) != fingerprint_of(tuesday)


def test_salts_keep_phones_apart():
    fixes = ride(1)
    assert len({fingerprint_of(fixes), fingerprint_of(fixes, b"one"), fingerprint_of(fixes, b"two")}) == 3


def test_what_is_too_short_or_stands_has_no_fingerprint():
    assert fingerprint_of([]) is None
    assert fingerprint_of(drawn(60.0, 5.0, fixes=STRETCH_FIXES - 1)) is None
    assert fingerprint_of([Fix(START, 1e9 + s) for s in range(0, 600, 5)]) is None
    assert fingerprint_of([Fix(START, float("nan"))] * 50) is None
