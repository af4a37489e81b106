"""How many fixes the sampling policy asks for, what they cost in distance, and how "you arrived" fares on real days."""

import csv
import gzip
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from statistics import median

from accuracy.section import Progress, Section
from greentrip.arrival import AWAY_M, STAND_S, suggest
from greentrip.distance.sphere import great_circle_m
from greentrip.distance.track import measure_track
from greentrip.sampling import ANSWER_S, MOVING_S, Settings, after_fix, after_silence, begin, request_of
from greentrip.trip import Fix, Mode, Point

SURVEY_MODES = {
    "Walk": Mode.WALK,
    "Bike": Mode.CYCLE,
    "Bus": Mode.BUS,
    "Tram": Mode.BUS,
    "Train": Mode.RAIL,
    "Metro": Mode.RAIL,
}
"""A tram shares streets and stops with buses; the survey has five bus legs only."""
OFFERED_S = (1, 5, 10, 30, 60)
LEG_M_MIN = 500
LEG_S_MIN = 120.0
RUN_GAP_S = 600.0
"""A longer silence ends a run of the diary."""
FOLLOW_S = 1800.0
"""How long after a leg's end a suggestion is waited for."""
IN_TIME_S = 600.0
DIARY_S = 180.0
"""The diary is to the minute, and filled in afterwards: a time this near to its end is right."""
ACTIVITY_MODES = {
    "ON_FOOT": (Mode.WALK,),
    "WALKING": (Mode.WALK,),
    "BICYCLING": (Mode.CYCLE,),
    "IN_VEHICLE": (Mode.CARPOOL, Mode.BUS),
}
"""A vehicle there may be a car or a bus: the rules are the same."""
SURE_PERCENT = 75
GUESS_GAP_S = 300.0
STRETCH_S_MIN = 300.0
NEXT_S_MIN = {"rest": 120.0, "walk": 420.0, "ride": 300.0}
"""What follows a leg must last so long before a suggestion can be wanted; a rest longer than a stop by so much."""


@dataclass(frozen=True, slots=True)
class Cost:
    """A leg measured by every fix and by those that the policy took."""

    mode: Mode
    hours: float
    asked: int
    change: float


@dataclass(frozen=True, slots=True)
class Told:
    """What was suggested for a leg of the diary: when (s after its end) and the time that was named; None: nothing."""

    mode: Mode
    hours: float
    following: str
    wanted: bool
    late_s: float | None = None
    error_s: float | None = None
    stayed: bool = True
    """From the time that was named to the end of the leg the person stayed there: a wait, as for a bus."""

    @property
    def early(self) -> bool:
        return self.error_s is not None and self.error_s < -DIARY_S


def build(data: Path, plots: Path, progress: Progress) -> Section:
    """The section, with `sampling.png` in the folder of the plots."""
    legs = [(mode, fixes) for mode, fixes in legs_of_survey(data)]
    costs: dict[tuple[bool, int], list[Cost]] = {}
    for saver, step_s in ((False, 1), (True, 1), *((False, step_s) for step_s in OFFERED_S[1:])):
        progress(f"distance of {len(legs)} legs, offered each {step_s} s" + (", battery saver" if saver else ""))
        costs[saver, step_s] = _costs(legs, saver, step_s)
    progress("suggestions on the days of the survey")
    told, stretches = list(_told(data)), list(_stretches(data))
    _plot(plots / "sampling.png", costs[False, 1], told)
    tables = [_told_table(told), _false_table(told), _stretches_table(stretches)]
    parts = [_INTRODUCTION, _asked_table(costs), _offered_table(costs), _ARRIVAL, *tables]
    return Section("\n".join([*parts, "![Fixes asked for, and how late](accuracy/sampling.png)\n", _LIMITS]))


_INTRODUCTION = """## Sampling: what a few fixes cost

The [policy](../how-to/record-with-few-fixes.md) was played over the survey's legs of at least 500 m, recorded at about
one fix a second (trams stand for buses, trains for rail above ground): it takes only the fixes that it asks for, and
one at the tap that ends the leg. The change is that of the distance against the same leg at the full rate.
"""
_ARRIVAL = """### "You arrived", and changes of mode

The days of the survey, leg by leg of the diary: the policy takes its fixes, and after each one the phone is asked
whether it would suggest anything. Wanted is a suggestion after a leg that a long enough rest, walk or ride follows. One
that names a time over three minutes before the diary's end of the leg is a wait when the phone then stayed there (for a
train, counted as a walk by the diary), and else false; both stand in the second table only. Some of these are right and
the diary is not: four "walks" made 10 to 19 km at 11 km/h and more.
"""
_LIMITS = """**Not measured.** No battery was measured, only fixes counted. A metro leg whose station is known asks for
none by construction; no track underground shows it. Times of arrival indoors in China, lifts and malls are not in the
data. A private car appears nowhere in the survey.
"""


def legs_of_survey(data: Path) -> Iterator[tuple[Mode, list[Fix]]]:
    """The survey's runs of one mode, with their fixes (one a second for most)."""
    with gzip.open(data / "ssi_open_geodata" / "segments.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            segment = json.loads(line)
            mode = SURVEY_MODES.get(segment["mode"])
            if mode is not None:
                yield mode, [Fix(Point(lat, lon), float(at)) for at, lat, lon in segment["fixes"]]


def taken(settings: Settings, fixes: Sequence[Fix], step_s: float = 1.0) -> tuple[list[Fix], int]:
    """The fixes that the policy takes of a dense track, and how many it asked for; the last is that of the last tap.

    The phone offers one each `step_s` seconds at most, as a system does that throttles its apps.
    """
    state, some, wanted_at, asked = begin(settings, fixes[0].at), list[Fix](), fixes[0].at, 0
    for fix in fixes:
        if some and fix.at < some[-1].at + step_s:
            continue
        while fix.at > wanted_at + ANSWER_S:
            asked += 1
            state = after_silence(state, wanted_at + ANSWER_S)
            wanted_at = state.answered_at + (request_of(state).interval_s or 0)
        if fix.at >= wanted_at:
            asked += 1
            some.append(fix)
            state = after_fix(state, fix)
            wanted_at = fix.at + (request_of(state).interval_s or 0)
    return (some, asked) if some[-1] is fixes[-1] else ([*some, fixes[-1]], asked + 1)


def _costs(legs: Sequence[tuple[Mode, list[Fix]]], saver: bool, step_s: int) -> list[Cost]:
    found = []
    for mode, fixes in legs:
        full = measure_track(mode, fixes)
        if full is None or full.metres < LEG_M_MIN:
            continue
        some, asked = taken(Settings(mode, saver=saver), fixes, step_s)
        estimate = measure_track(mode, some)
        change = (estimate.metres if estimate else 0) / full.metres - 1
        found.append(Cost(mode, (fixes[-1].at - fixes[0].at) / 3600, asked, change))
    return found


def _told(data: Path) -> Iterator[Told]:
    for day in _days(data):
        for index, (kind, run) in enumerate(day[:-1]):
            seconds = run[-1].at - run[0].at
            if kind in SURVEY_MODES and seconds >= LEG_S_MIN:
                yield _suggested(SURVEY_MODES[kind], run, day[index + 1 :])


def _days(data: Path) -> Iterator[list[tuple[str, list[Fix]]]]:
    """Each person's days: runs of one mode ("" for a rest) with their fixes, cut where the phone was silent."""
    people: dict[str, list[tuple[float, str, Point]]] = defaultdict(list)
    with gzip.open(data / "ssi_open_geodata" / "points.csv.gz", "rt", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            at = datetime.fromisoformat(row["timestamp"]).timestamp()
            mode = "" if row["stop"] == "TRUE" else row["mode"]
            people[row["user_id"]].append((at, mode, Point(float(row["latitude"]), float(row["longitude"]))))
    for points in people.values():
        points.sort(key=lambda point: point[0])
        day: list[list[tuple[float, str, Point]]] = [[]]
        for point in points:
            if day[-1] and point[0] - day[-1][-1][0] > RUN_GAP_S:
                day.append([])
            day[-1].append(point)
        for piece in day:
            runs = groupby(piece, key=lambda point: point[1])
            yield [(mode, [Fix(place, at) for at, _, place in run]) for mode, run in runs]


def _suggested(mode: Mode, run: Sequence[Fix], after: Sequence[tuple[str, list[Fix]]]) -> Told:
    """What the phone would first have suggested on this leg, or in the half-hour after it."""
    end = run[-1].at
    later = [fix for _, fixes in after for fix in fixes if fix.at <= end + FOLLOW_S]
    kind, following = after[0]
    what = {"": "rest", "Walk": "walk"}.get(kind, "ride")
    lasts_s = following[-1].at - following[0].at - (STAND_S[mode] if what == "rest" else 0.0)
    # From one vehicle into another the speeds do not tell: nothing is suggested, nor wanted here.
    wanted = lasts_s >= NEXT_S_MIN[what] and (mode is Mode.WALK or what != "ride")
    some, _ = taken(Settings(mode), [*run, *later])
    hours = (end - run[0].at) / 3600
    for count in range(1, len(some) + 1):
        found = suggest(mode, some[:count])
        if found is not None:
            error_s = found.at.timestamp() - end
            stayed = all(
                great_circle_m(fix.point, found.place) < AWAY_M
                for fix in run
                if isinstance(found.place, Point) and found.at.timestamp() <= fix.at <= end - DIARY_S
            )
            return Told(mode, hours, what, wanted, some[count - 1].at - end, error_s, stayed)
    return Told(mode, hours, what, wanted)


def _asked_table(costs: dict[tuple[bool, int], list[Cost]]) -> str:
    rows = [
        "| mode | legs | hours | interval on the way | fixes asked an hour | median change | with battery saver |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for mode in MOVING_S:
        plain, saving = ([cost for cost in costs[saver, 1] if cost.mode is mode] for saver in (False, True))
        if plain:
            rows.append(
                f"| {mode} | {len(plain)} | {_hours(plain):.1f} | {MOVING_S[mode]} s | {_an_hour(plain):.0f} "
                f"| {_change(plain)} | {_an_hour(saving):.0f} an hour, {_change(saving)} |"
            )
    return "\n".join([*rows, ""])


def _offered_table(costs: dict[tuple[bool, int], list[Cost]]) -> str:
    """The same when the phone gives fixes more rarely than the policy asks."""
    rows = [
        "Median change of the distance where the phone offers a fix only each so many seconds, whatever is asked:",
        "",
        "| mode | legs | " + " | ".join(f"{step_s} s" for step_s in OFFERED_S) + " |",
        "| --- | --- |" + " --- |" * len(OFFERED_S),
    ]
    for mode in MOVING_S:
        by_step = [[cost for cost in costs[False, step_s] if cost.mode is mode] for step_s in OFFERED_S]
        if by_step[0]:
            rows.append(f"| {mode} | {len(by_step[0])} | " + " | ".join(map(_change, by_step)) + " |")
    return "\n".join([*rows, ""])


def _told_table(told: Sequence[Told]) -> str:
    rows = [
        "| leg | followed by | cases | suggested within 10 min | median delay | median error of the time named |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for mode in Mode:
        for following in NEXT_S_MIN:
            cases = [each for each in told if (each.mode, each.following, each.wanted) == (mode, following, True)]
            cases = [case for case in cases if not case.early]
            right = [case for case in cases if case.late_s is not None and case.late_s <= IN_TIME_S]
            if cases:
                late = f"{median(case.late_s or 0 for case in right) / 60:.1f} min" if right else "-"
                error = f"{median(abs(case.error_s or 0) for case in right) / 60:.1f} min" if right else "-"
                rows.append(f"| {mode} | {following} | {len(cases)} | {len(right)} | {late} | {error} |")
    return "\n".join([*rows, ""])


def _false_table(told: Sequence[Told]) -> str:
    rows = [
        "| leg | legs | hours | waits of minutes at the end | false suggestions | an hour |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for mode in Mode:
        legs = [each for each in told if each.mode is mode]
        if legs:
            hours, waits = sum(leg.hours for leg in legs), sum(leg.early and leg.stayed for leg in legs)
            false = sum(leg.early and not leg.stayed for leg in legs)
            rows.append(f"| {mode} | {len(legs)} | {hours:.1f} | {waits} | {false} | {false / hours:.2f} |")
    return "\n".join([*rows, ""])


def _stretches(data: Path) -> Iterator[Told]:
    """Raw phone days: stretches of one activity, by the phone's own guess, and what would be suggested within them."""
    with gzip.open(data / "emission_phone" / "days.jsonl.gz", "rt", encoding="utf-8") as lines:
        days = [json.loads(line) for line in lines]
    for day in days:
        fixes = [Fix(Point(lat, lon), at, accuracy_m) for at, lat, lon, accuracy_m, *_ in day["fixes"]]
        for activity, since, until in _activities(day["activity"]):
            own = [fix for fix in fixes if since <= fix.at <= until]
            for mode in ACTIVITY_MODES.get(activity, ()) if until - since >= STRETCH_S_MIN and own else ():
                found = next((s for count in range(1, len(own) + 1) if (s := suggest(mode, own[:count]))), None)
                yield Told(mode, (until - since) / 3600, activity, wanted=False, late_s=0.0 if found else None)


def _activities(guesses: Sequence[tuple[float, str, int]]) -> list[tuple[str, float, float]]:
    """Runs of one activity that the phone is sure of: what, since and until when."""
    runs: list[tuple[str, float, float]] = []
    for at, activity, percent in sorted(guesses):
        if percent < SURE_PERCENT or activity in ("TILTING", "UNKNOWN"):
            continue
        if runs and runs[-1][0] == activity and at - runs[-1][2] <= GUESS_GAP_S:
            runs[-1] = (activity, runs[-1][1], at)
        else:
            runs.append((activity, at, at))
    return runs


def _stretches_table(told: Sequence[Told]) -> str:
    rows = [
        "On raw phone days of the United States (a fix each 30 s), within stretches of one activity that the phone "
        "itself guessed for five minutes and more, where nothing should be suggested:",
        "",
        "| activity | recorded as | stretches | hours | false suggestions | an hour |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for activity, modes in ACTIVITY_MODES.items():
        for mode in modes:
            own = [each for each in told if (each.following, each.mode) == (activity, mode)]
            if own:
                hours, false = sum(each.hours for each in own), sum(each.late_s is not None for each in own)
                rows.append(f"| {activity} | {mode} | {len(own)} | {hours:.1f} | {false} | {false / hours:.2f} |")
    return "\n".join([*rows, ""])


def _hours(costs: Sequence[Cost]) -> float:
    return sum(cost.hours for cost in costs)


def _an_hour(costs: Sequence[Cost]) -> float:
    return sum(cost.asked for cost in costs) / _hours(costs)


def _change(costs: Sequence[Cost]) -> str:
    return f"{100 * median(abs(cost.change) for cost in costs):.1f} %"


def _plot(path: Path, costs: Sequence[Cost], told: Sequence[Told]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    modes = [mode for mode in MOVING_S if any(cost.mode is mode for cost in costs)]
    for place, mode in enumerate(modes):
        own = [cost for cost in costs if cost.mode is mode]
        left.boxplot([[100 * cost.change for cost in own]], positions=[place], widths=0.5, showfliers=False)
        left.annotate(f"{_an_hour(own):.0f} an hour", (place, 17.5), ha="center", fontsize=8)
    left.set(xticks=range(len(modes)), xticklabels=modes, ylim=(-20, 20))
    left.set_ylabel("change of the distance, %")
    left.set_title("With the fixes that the policy asks for", fontsize=10)
    left.axhline(0, color="0.7", linewidth=0.8, zorder=0)
    for following, colour in (("rest", "#1b7f5c"), ("walk", "#c46a1b"), ("ride", "#3566b0")):
        late = sorted(
            each.late_s / 60
            for each in told
            if each.following == following and each.wanted and each.late_s is not None and not each.early
        )
        steps = [(count + 1) / len(late) for count in range(len(late))]
        right.step(late, steps, where="post", color=colour, label=f"{following} follows ({len(late)})")
    right.set(xlim=(-5, 20), ylim=(0, 1), xlabel="minutes after the diary's end", ylabel="share of the suggestions")
    right.set_title("How late a suggestion comes", fontsize=10)
    right.legend(fontsize=8, loc="lower right")
    figure.savefig(path, dpi=120)
