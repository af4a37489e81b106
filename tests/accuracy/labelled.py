"""Legs whose true mode somebody noted: the survey, the confirmed and guessed stretches of the phone days, GeoLife."""

import gzip
import json
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from greentrip.replay import read_tracks
from greentrip.replay.plt import read_labels
from greentrip.trip import Fix, Point

SURVEY = {
    "Walk": "walk",
    "Bike": "cycle",
    "Bus": "bus",
    "Tram": "rail",
    "Train": "rail",
    "Metro": "rail",
}
CONFIRMED = {
    "walk": "walk",
    "bike": "cycle",
    "bus": "bus",
    "free_shuttle": "bus",
    "drove_alone": "car",
    "shared_ride": "car",
    "taxi": "car",
}
GUESSED = {"ON_FOOT": "walk", "WALKING": "walk", "BICYCLING": "cycle", "IN_VEHICLE": "vehicle"}
"""The phone's own activity guesses: not truth. A vehicle may be a bus, a car or a train."""
GEOLIFE = {
    "walk": "walk",
    "bike": "cycle",
    "bus": "bus",
    "car": "car",
    "taxi": "taxi",
    "subway": "rail",
    "train": "rail",
}
GUESS_SURE_PERCENT = 70
GUESS_EVERY_S = 120.0
"""Guesses of one kind within so many seconds of each other belong to one stretch."""
STRETCH_S_MIN = 180.0
LABEL_S_MAX = 6 * 3600.0
"""A longer label was forgotten to be ended."""
EPOCH_S_MIN = 1e9
"""Earlier times are a phone's clock that was not set."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A leg with its true kind, where it comes from, and its fixes."""

    kind: str
    source: str
    fixes: tuple[Fix, ...]


def survey(data: Path) -> Iterator[Labelled]:
    """Runs of one mode by the travel diary."""
    with gzip.open(data / "ssi_open_geodata" / "segments.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            segment = json.loads(line)
            if segment["mode"] in SURVEY:
                fixes = tuple(Fix(Point(lat, lon), float(at)) for at, lat, lon in segment["fixes"])
                yield Labelled(SURVEY[segment["mode"]], "survey", fixes)


def phone_days(data: Path) -> Iterator[Labelled]:
    """Stretches that the person confirmed, and those that the phone guessed and nobody confirmed otherwise."""
    folder = data / "emission_phone"
    confirmed: dict[str, list[tuple[float, float, str]]] = defaultdict(list)
    for day, start_at, end_at, word in json.loads((folder / "mode_confirm.json").read_text(encoding="utf-8")):
        confirmed[day].append((start_at, end_at, CONFIRMED[word]))
    with gzip.open(folder / "days.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            day = json.loads(line)
            fixes = [
                Fix(Point(lat, lon), float(at), accuracy_m)
                for at, lat, lon, accuracy_m, _ in day["fixes"]
                if at > EPOCH_S_MIN
            ]
            fixes.sort(key=lambda fix: fix.at)
            said = confirmed[day["source"]]
            yield from _cut(fixes, "confirmed", _undisputed(said))
            guesses = [
                guess
                for guess in _stretches(day["activity"])
                if not any(guess[0] < b and a < guess[1] for a, b, _ in said)
            ]
            yield from _cut(fixes, "guessed", guesses)


def geolife(folder: Path) -> Iterator[Labelled]:
    """The labelled legs of a GeoLife folder: one folder a person, with labels.txt and Trajectory/*.plt."""
    for labels_file in sorted(folder.rglob("labels.txt")):
        fixes: list[Fix] = []
        for file in sorted((labels_file.parent / "Trajectory").glob("*.plt")):
            for track in read_tracks(file, on_error=lambda _error: None):
                fixes.extend(track.fixes)
        fixes.sort(key=lambda fix: fix.at)
        labels = read_labels(labels_file, lambda _error: None)
        spans = [(label.start_at, label.end_at, GEOLIFE[label.word]) for label in labels if label.word in GEOLIFE]
        yield from _cut(fixes, "GeoLife", spans)


def _cut(fixes: Sequence[Fix], source: str, spans: Sequence[tuple[float, float, str]]) -> Iterator[Labelled]:
    times = [fix.at for fix in fixes]
    for start_at, end_at, kind in spans:
        inside = tuple(fixes[bisect_left(times, start_at) : bisect_right(times, end_at)])
        if len(inside) > 1 and end_at - start_at <= LABEL_S_MAX:
            yield Labelled(kind, source, inside)


def _undisputed(said: Sequence[tuple[float, float, str]]) -> list[tuple[float, float, str]]:
    """What was confirmed once, or always as the same kind."""
    kinds: dict[tuple[float, float], set[str]] = defaultdict(set)
    for start_at, end_at, kind in said:
        kinds[start_at, end_at].add(kind)
    return [(*span, next(iter(found))) for span, found in kinds.items() if len(found) == 1]


def _stretches(activity: Sequence[tuple[float, str, int]]) -> list[tuple[float, float, str]]:
    """Runs of sure guesses of one kind."""
    runs: list[tuple[float, float, str]] = []
    for at, word, percent in sorted(activity):
        kind = GUESSED.get(word)
        if kind is None or percent < GUESS_SURE_PERCENT:
            continue
        if runs and runs[-1][2] == kind and at - runs[-1][1] <= GUESS_EVERY_S:
            runs[-1] = (runs[-1][0], at, kind)
        else:
            runs.append((at, at, kind))
    return [run for run in runs if run[1] - run[0] >= STRETCH_S_MIN]
