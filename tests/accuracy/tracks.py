"""Tracks: what rarer fixes change, what standing still adds, and how often the interval holds."""

import gzip
import json
import os
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import mean, median

import matplotlib as mpl
import matplotlib.pyplot as plt

from accuracy.labelled import geolife
from accuracy.rest import FIXES_MIN, REST_M_MAX, Rest, drift_m_per_h, drift_table, guessed, phone_rests, survey_rests
from accuracy.section import Progress, Section, Target
from accuracy.tables import raw_m, table
from greentrip.distance.track import measure_track
from greentrip.trip import Fix, Mode, Point
from support.rides import ride

STEPS_S = (5, 10, 30, 60)
TARGET_STEP_S = 30
WINDOW_S = 600.0
LEG_S_MIN = 300.0
LEG_M_MIN = 300
"""Shorter at full rate is mostly waiting: a change in percent of it says nothing."""
CAR_STEP_S_MAX = 10.0
"""Vehicles of the phone days with rarer fixes cannot tell what a fix every 30 s changes."""
WORDS = {"Walk": "walk", "Bike": "cycle", "Bus": "bus", "Tram": "tram", "Train": "train"}
"""The survey's modes. Its five metro legs are left out: under ground a phone repeats old positions."""
MODES = {
    "walk": Mode.WALK,
    "cycle": Mode.CYCLE,
    "bus": Mode.BUS,
    "tram": Mode.RAIL,
    "train": Mode.RAIL,
    "car": Mode.CARPOOL,
    "vehicle": Mode.CARPOOL,
    "taxi": Mode.CARPOOL,
    "rail": Mode.RAIL,
}
LIMITS = {"walk": 0.03, "cycle": 0.03, "bus": 0.05, "car": 0.05, "taxi": 0.05}
"""Issue 3: the largest median change of distance at one fix in 30 s."""
DRIFT_M_PER_H_MAX = 30.0
COVERED = (0.75, 0.90)
RIDES = 10
RIDE_S = 1201
ACCURACIES_M = (5.0, 10.0, 25.0, None)
"""What a simulated receiver says; None: nothing, with errors of 10 m."""
ERRORS_LAST_S = (5.0, 20.0, 60.0)


@dataclass(frozen=True, slots=True)
class Track:
    """A recording of one mode; `group` is the line of the tables that it counts in."""

    group: str
    fixes: Sequence[Fix]

    @property
    def mode(self) -> Mode:
        return MODES[self.group.split()[-1]]

    @property
    def seconds(self) -> float:
        return self.fixes[-1].at - self.fixes[0].at


@dataclass(frozen=True, slots=True)
class Case:
    """A track at one step against its reference: ours, the plain sum of the fixes, and whether the interval holds."""

    change: float
    raw_change: float
    inside: bool


Cases = Mapping[tuple[str, int], Sequence[Case]]
"""By group and step in seconds; step 0 is the full rate."""


def build(data: Path, plots: Path, progress: Progress) -> Section:
    """Thinned recordings, simulated trips, and phones at rest."""
    mpl.use("Agg")
    legs = list(recorded(data))
    windows = [part for leg in legs for part in cut(leg)]
    tables: dict[str, Cases] = {}
    for name, tracks in (("legs", legs), ("windows", windows), ("Beijing", list(beijing()))):
        progress(f"{len(tracks)} thinned {name}")
        tables[name] = thinned_cases(tracks)
    progress("simulated trips")
    tables["simulated"] = simulated_cases()
    progress("phones at rest")
    rests = list(survey_rests(data)), list(phone_rests(data))
    draw_changes(plots / "tracks-thinning.png", tables["windows"])
    draw_coverage(plots / "tracks-intervals.png", tables)
    return Section(markdown(tables, *rests), tuple(targets(tables, rests[0])))


def recorded(data: Path) -> Iterator[Track]:
    """The legs of the survey, and the vehicles of the phone days whose fixes are frequent enough."""
    with gzip.open(data / "ssi_open_geodata" / "segments.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            segment = json.loads(line)
            if group := WORDS.get(segment["mode"]):
                fixes = [Fix(Point(lat, lon), float(at)) for at, lat, lon in segment["fixes"]]
                if fixes[-1].at - fixes[0].at >= LEG_S_MIN:
                    yield Track(group, fixes)
    for fixes in guessed(data, "IN_VEHICLE"):
        if len(fixes) >= FIXES_MIN and median(b.at - a.at for a, b in pairwise(fixes)) <= CAR_STEP_S_MAX:
            yield Track("car", fixes)


def beijing() -> Iterator[Track]:
    """The labelled legs of a GeoLife folder, for whoever has one: it may not be passed on."""
    if folder := os.environ.get("GREENTRIP_GEOLIFE"):
        for leg in geolife(Path(folder)):
            if leg.fixes[-1].at - leg.fixes[0].at >= LEG_S_MIN:
                yield Track(f"Beijing {leg.kind}", leg.fixes)


def cut(leg: Track) -> Iterator[Track]:
    """Windows of WINDOW_S, and a rest of at least LEG_S_MIN; a car's leg stays whole, there are few."""
    if leg.group == "car":
        yield leg
        return
    part: list[Fix] = []
    for fix in leg.fixes:
        if part and fix.at - part[0].at >= WINDOW_S:
            yield Track(leg.group, part)
            part = []
        part.append(fix)
    if part and part[-1].at - part[0].at >= LEG_S_MIN:
        yield Track(leg.group, part)


def thin(fixes: Sequence[Fix], step_s: float) -> list[Fix]:
    """The first fix, the next one at least `step_s` later, and so on; and the last, which a trip's end asks for."""
    kept = [fixes[0]]
    for fix in fixes:
        if fix.at - kept[-1].at >= step_s:
            kept.append(fix)
    return kept if kept[-1] is fixes[-1] else [*kept, fixes[-1]]


def thinned_cases(tracks: Iterable[Track]) -> Cases:
    """Each track at each step against itself at full rate."""
    cases: dict[tuple[str, int], list[Case]] = defaultdict(list)
    for track in tracks:
        full = measure_track(track.mode, track.fixes)
        if full is None or full.metres < LEG_M_MIN:
            continue
        full_raw_m = raw_m(track.mode, track.fixes)
        for step_s in STEPS_S:
            cases[track.group, step_s].append(_case(track.mode, thin(track.fixes, step_s), full.metres, full_raw_m))
    return cases


def simulated_cases() -> Cases:
    """Simulated trips at full rate and thinned, against their true length."""
    dice = random.Random(2026)
    cases: dict[tuple[str, int], list[Case]] = defaultdict(list)
    for mode in Mode:
        for accuracy_m in ACCURACIES_M:
            for _ in range(RIDES):
                trip = ride(mode, dice, RIDE_S, accuracy_m or 10.0, dice.choice(ERRORS_LAST_S), accuracy_m is not None)
                for step_s in (0, *STEPS_S):
                    cases[mode.value, step_s].append(_case(mode, thin(trip.fixes, step_s), trip.metres, trip.metres))
    return cases


def _case(mode: Mode, fixes: Sequence[Fix], reference_m: float, raw_reference_m: float) -> Case:
    estimate = measure_track(mode, fixes)
    if estimate is None:
        return Case(-1.0, raw_m(mode, fixes) / raw_reference_m - 1, False)
    return Case(
        estimate.metres / reference_m - 1,
        raw_m(mode, fixes) / raw_reference_m - 1,
        estimate.low_m <= reference_m <= estimate.high_m,
    )


def targets(tables: Mapping[str, Cases], rests: Sequence[Rest]) -> Iterator[Target]:
    """The figures that issue 3 wants. Beijing's lines only where a GeoLife folder was named."""
    for (group, step_s), cases in sorted([*tables["windows"].items(), *tables["Beijing"].items()]):
        limit = LIMITS.get(group.removeprefix("Beijing "))
        if step_s == TARGET_STEP_S and limit is not None:
            change = 100 * median(abs(case.change) for case in cases)
            yield Target(f"median change at 30 s, {group}", change, 0, 100 * limit, "%", len(cases))
    sure = [rest for rest in rests if rest.sure]
    yield Target("drift at rest", drift_m_per_h(sure), 0, DRIFT_M_PER_H_MAX, "m/h", len(sure))
    for name, said in (
        ("windows", "thinned tracks"),
        ("Beijing", "thinned Beijing tracks"),
        ("simulated", "simulated"),
    ):
        if pooled := [case.inside for cases in tables[name].values() for case in cases]:
            low, high = (100 * share for share in COVERED)
            yield Target(f"80 % intervals, {said}", 100 * mean(pooled), low, high, "%", len(pooled))


def markdown(tables: Mapping[str, Cases], survey: Sequence[Rest], phones: Sequence[Rest]) -> str:
    beijing_part = f"\n\nLabelled Beijing legs:\n\n{_changes(tables['Beijing'])}" if tables["Beijing"] else ""
    return f"""## Tracks

How far a track went at one fix in 5 to 60 s, against the same track at full rate (one a second, cars one in 3 to 10 s).
The first and the last fix are always kept: the app asks for one when a trip ends. Tracks under {LEG_M_MIN} m or
{LEG_S_MIN / 60:.0f} minutes, and fixes that are not usable, are left out. A cell says the median change of distance
without its sign, the median with its sign, and what the plain sum of the fixes would have changed (with its sign).

Windows of {WINDOW_S / 60:.0f} minutes of the survey's legs; the cars (vehicles of the phone days with fixes at most
{CAR_STEP_S_MAX:.0f} s apart) whole:

{_changes(tables["windows"])}

Whole legs:

{_changes(tables["legs"])}{beijing_part}

![Median change of distance by sampling step](accuracy/tracks-thinning.png)

Simulated trips of {RIDE_S / 60:.0f} minutes ({RIDES * len(ACCURACIES_M)} a mode: streets with corners and stops, errors
of 5, 10, 25 m that last 5 to 60 s, and of 10 m that the fixes do not tell) against their **true** length: median error
with its sign, and the 80th percentile without it.

{_errors(tables["simulated"])}

How many of the 80 % intervals hold the reference (wanted: {COVERED[0]:.0%} to {COVERED[1]:.0%}); of the thinned windows
it is the estimate at full rate, which has errors of its own, and of the simulated trips it is the truth:

{_coverage(tables)}

![Share of intervals that hold the reference](accuracy/tracks-intervals.png)

Drift at rest, measured as a walk. The diary's stops are not to the minute, so a stretch counts as rest where 95 % of
its fixes lie within {REST_M_MAX:.0f} m of their median.

{drift_table(survey, phones)}

**Not measured.** No length here was surveyed: a full-rate track is a reference, not the truth, and the truth of a
simulation is only as good as its streets. Bus legs, bicycle legs and cars are few, and two pairs of the cars are one
drive recorded by two apps. The phone days have no fixes more frequent than one in 3 s. Metro legs are left out: under
ground the receiver repeats old positions. The phone days' rest that is not sure holds real movement that the phone
called still, and receivers that jump between two places 200 m apart while they claim 30 to 50 m: the filter takes such
jumping, slower than a walker's limit, for movement.
"""


def _by_group(cases: Cases, cell: Callable[[Sequence[Case]], str], steps_s: Sequence[int]) -> str:
    head = ["", "cases", *("full rate" if not step_s else f"{step_s} s" for step_s in steps_s)]
    rows = []
    for group in dict.fromkeys(group for group, _ in cases):
        rows.append([group, str(len(cases[group, steps_s[0]])), *(cell(cases[group, step_s]) for step_s in steps_s)])
    return table(head, rows)


def _changes(cases: Cases) -> str:
    def cell(some: Sequence[Case]) -> str:
        size, change = median(abs(case.change) for case in some), median(case.change for case in some)
        return f"{size:.1%} ({change:+.1%}; raw {median(case.raw_change for case in some):+.1%})"

    return _by_group(cases, cell, STEPS_S)


def _errors(cases: Cases) -> str:
    def cell(some: Sequence[Case]) -> str:
        sizes = sorted(abs(case.change) for case in some)
        return f"{median(case.change for case in some):+.1%}; {sizes[int(0.8 * (len(sizes) - 1))]:.1%}"

    return _by_group(cases, cell, (0, *STEPS_S))


def _coverage(tables: Mapping[str, Cases]) -> str:
    def cell(some: Sequence[Case]) -> str:
        return f"{mean(case.inside for case in some):.0%}"

    parts = []
    for name, said in (("windows", "thinned"), ("Beijing", "thinned"), ("simulated", "simulated")):
        steps_s = STEPS_S if name != "simulated" else (0, *STEPS_S)
        if cases := tables[name]:
            pooled = {
                ("all", step_s): [c for (_, s), some in cases.items() if s == step_s for c in some]
                for step_s in steps_s
            }
            renamed = {(f"{said}, {group}", step_s): some for (group, step_s), some in {**cases, **pooled}.items()}
            parts.append(_by_group(renamed, cell, steps_s))
    return "\n\n".join(parts)


def draw_changes(file: Path, cases: Cases) -> None:
    """The change of distance by step: ours, and the plain sum dashed."""
    figure, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
    for number, group in enumerate(dict.fromkeys(group for group, _ in cases)):
        label = f"{group} ({len(cases[group, STEPS_S[0]])})"
        ours = [100 * median(case.change for case in cases[group, step_s]) for step_s in STEPS_S]
        raw = [100 * median(case.raw_change for case in cases[group, step_s]) for step_s in STEPS_S]
        axes.plot(STEPS_S, ours, marker="o", color=f"C{number}", label=label)
        axes.plot(STEPS_S, raw, linestyle="--", alpha=0.5, color=f"C{number}")
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xticks(STEPS_S)
    axes.set_xlabel("seconds between fixes")
    axes.set_ylabel("median change of distance, %")
    axes.set_title("Against the full-rate track; dashed: the plain sum of the fixes")
    axes.legend(title="windows of 10 minutes (cases)", fontsize="small")
    figure.savefig(file, dpi=110, metadata={"Software": None})
    plt.close(figure)


def draw_coverage(file: Path, tables: Mapping[str, Cases]) -> None:
    """The share of intervals that hold, by step, and the wanted band."""
    figure, panels = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
    titles = {"windows": "thinned tracks, against the full rate", "simulated": "simulated trips, against the truth"}
    for axes, (name, title) in zip(panels, titles.items(), strict=True):
        cases = tables[name]
        steps_s = sorted({step_s for _, step_s in cases})
        axes.axhspan(100 * COVERED[0], 100 * COVERED[1], color="C2", alpha=0.15)
        for group in dict.fromkeys(group for group, _ in cases):
            shares = [100 * mean(case.inside for case in cases[group, step_s]) for step_s in steps_s]
            axes.plot(range(len(steps_s)), shares, marker="o", label=f"{group} ({len(cases[group, steps_s[0]])})")
        axes.set_xticks(range(len(steps_s)), [str(step_s or 1) for step_s in steps_s])
        axes.set_xlabel("seconds between fixes")
        axes.set_title(title)
        axes.set_ylim(0, 105)
        axes.legend(fontsize="small", loc="lower right")
    panels[0].set_ylabel("intervals that hold, %")
    figure.savefig(file, dpi=110, metadata={"Software": None})
    plt.close(figure)
