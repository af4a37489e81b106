"""Phones at rest: what the filter adds up where nobody moved. And the stretches of the phone days, by their guesses."""

import csv
import gzip
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from statistics import median

from accuracy.tables import raw_m, table
from greentrip.distance.cleaning import usable
from greentrip.distance.sphere import great_circle_m
from greentrip.distance.track import measure_track
from greentrip.trip import Fix, Mode, Point

REST_S = 1800.0
REST_M_MAX = 50.0
"""A phone rests where 95 % of its fixes lie within so many metres of their median: a diary is not to the minute."""
DIARY_FIXES_MIN = 30
REST_GAP_S = 600.0
FIXES_MIN = 8
STRETCH_S_MIN = 300.0
SURE_PERCENT = 60
GUESSES = {"STILL", "IN_VEHICLE", "ON_FOOT", "WALKING", "RUNNING", "BICYCLING", "ON_BICYCLE"}
"""The phone's own guesses; others (tilting, unknown) neither end a stretch nor make one."""
GUESS_EVERY_S = 900.0


@dataclass(frozen=True, slots=True)
class Rest:
    """A phone that lay still: hours, metres measured as a walk and as the sum of its fixes; `sure`: see REST_M_MAX."""

    hours: float
    metres: int
    raw_m: float
    sure: bool


def survey_rests(data: Path) -> Iterator[Rest]:
    """The diary's stops of the survey, in stretches of REST_S."""
    path = data / "ssi_open_geodata" / "points.csv.gz"
    with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as lines:
        part: list[Fix] = []
        before: tuple[str, str] | None = None
        for row in csv.DictReader(lines):
            who = row["user_id"], row["stop"]
            at = datetime.fromisoformat(row["timestamp"]).timestamp()
            if part and (who != before or at - part[-1].at > REST_GAP_S or at - part[0].at >= REST_S):
                yield from _rest(part, 0.9 * REST_S, DIARY_FIXES_MIN)
                part = []
            before = who
            if row["stop"] == "TRUE":
                part.append(Fix(Point(float(row["latitude"]), float(row["longitude"])), at))
    yield from _rest(part, 0.9 * REST_S, DIARY_FIXES_MIN)


def phone_rests(data: Path) -> Iterator[Rest]:
    """What the phones of the other data guessed to be rest, with their accuracies."""
    for fixes in guessed(data, "STILL"):
        yield from _rest(fixes, STRETCH_S_MIN, FIXES_MIN)


def _rest(fixes: Sequence[Fix], seconds_min: float, fixes_min: int) -> Iterator[Rest]:
    if len(fixes) < fixes_min or fixes[-1].at - fixes[0].at < seconds_min:
        return
    middle = Point(median(fix.point.lat for fix in fixes), median(fix.point.lon for fix in fixes))
    off_m = sorted(great_circle_m(middle, fix.point) for fix in fixes)
    estimate = measure_track(Mode.WALK, fixes)
    yield Rest(
        hours=(fixes[-1].at - fixes[0].at) / 3600,
        metres=0 if estimate is None else estimate.metres,
        raw_m=raw_m(Mode.WALK, fixes),
        sure=off_m[int(0.95 * (len(off_m) - 1))] <= REST_M_MAX,
    )


def drift_m_per_h(rests: Sequence[Rest]) -> float:
    return sum(rest.metres for rest in rests) / sum(rest.hours for rest in rests)


def guessed(data: Path, word: str) -> Iterator[list[Fix]]:
    """The usable fixes of each stretch of the phone days for which the phone's own guess was this word."""
    with gzip.open(data / "emission_phone" / "days.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            day = json.loads(line)
            fixes = [Fix(Point(lat, lon), float(at), accuracy_m) for at, lat, lon, accuracy_m, _ in day["fixes"]]
            guesses = [
                (at, said) for at, said, percent in day["activity"] if percent >= SURE_PERCENT and said in GUESSES
            ]
            for start_at, end_at in _stretches(guesses, word):
                if end_at - start_at >= STRETCH_S_MIN:
                    yield usable([fix for fix in fixes if start_at <= fix.at <= end_at])


def _stretches(guesses: Sequence[tuple[float, str]], word: str) -> Iterator[tuple[float, float]]:
    """From when to when the guess was `word`, with another one at least every GUESS_EVERY_S."""
    began_at: float | None = None
    for (at, said), (next_at, next_said) in pairwise([*guesses, (math.inf, "")]):
        if said == word and began_at is None:
            began_at = at
        if began_at is not None and (next_said != word or next_at - at > GUESS_EVERY_S):
            yield began_at, at
            began_at = None


def drift_table(survey: Sequence[Rest], phones: Sequence[Rest]) -> str:
    rows = []
    for said, rests in (
        ("survey, sure rest", [rest for rest in survey if rest.sure]),
        ("phone days, sure rest", [rest for rest in phones if rest.sure]),
        ("phone days, all that the phone called still", phones),
    ):
        if rests:
            hours = sum(rest.hours for rest in rests)
            rows.append(
                [
                    said,
                    str(len(rests)),
                    f"{hours:.0f}",
                    f"{drift_m_per_h(rests):.1f}",
                    f"{sum(rest.metres == 0 for rest in rests)}",
                    f"{max(rest.metres for rest in rests)}",
                    f"{sum(rest.raw_m for rest in rests) / hours:.0f}",
                ]
            )
    return table(
        ["", "stretches", "hours", "m an hour", "of them 0 m", "worst, m", "sum of the fixes, m an hour"], rows
    )
