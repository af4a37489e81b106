"""How well the scorecard tells modes apart: what honest legs and false claims get, as tables and as a curve."""

import math
import os
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt

from accuracy.labelled import Labelled, geolife, phone_days, survey
from accuracy.section import Progress, Section, Target
from accuracy.traffic import Receiver, mislabelled, simulate
from greentrip.distance.track import measure_track
from greentrip.evidence import Features, Kind, Verdict, features_of, fit, is_even
from greentrip.evidence.scorecard import POINTS_ASK, POINTS_BETTER, points_of
from greentrip.record import duration_min
from greentrip.trip import Fix, Leg, Mode

PLOT = "modes.png"
GEOLIFE_VARIABLE = "GREENTRIP_GEOLIFE"
LEG_M_MIN = 1000.0
"""Legs over 1 km, as the figures to reach have it."""
ASKED_PERCENT_MAX = 5.0
CASES_MIN = 100
"""A share of fewer cases proves nothing, whether reached or missed: of 50, neither 5 from 10 % nor 97 from 90 % can be
told."""
Z_95 = 1.96
HONEST = {
    "walk": Mode.WALK,
    "cycle": Mode.CYCLE,
    "bus": Mode.BUS,
    "rail": Mode.RAIL,
    "car": Mode.CARPOOL,
    "taxi": Mode.CARPOOL,
}
"""What an honest person claims of each kind; of a vehicle whose kind nobody knows there is no honest claim."""
MOTOR = ("bus", "car", "taxi", "vehicle")
FALSE_CLAIMS = (
    (Mode.WALK, MOTOR, "motor vehicles claimed as walk", 95.0),
    (Mode.CYCLE, MOTOR, "motor vehicles claimed as cycle", 97.0),
    (Mode.BUS, ("car", "taxi"), "cars claimed as bus", 50.0),
)
KINDS = ("walk", "cycle", "e-bike", "bus", "car", "taxi", "vehicle", "rail")
SPARSE_S = 30.0
NAMED_MAX = 10
"""So few honest legs that are asked are named one by one."""
SIMULATED_LEGS = 200
SIMULATED_M = {"walk": 1500, "cycle": 3000, "e-bike": 4000, "bus": 6000, "car": 10_000, "taxi": 7000, "rail": 9000}
"""Median length of simulated legs."""
MISLABELLED = {"walk": ("bus", 0.09), "bus": ("walk", 0.06), "cycle": ("bus", 0.03)}
"""Of a label so many legs hold a part of something else, as the quantiles of the Beijing tracks suggest."""
SEED = 20_260_305


@dataclass(frozen=True, slots=True)
class Judged:
    """A leg with what the scorecard sees of it."""

    kind: str
    source: str
    features: Features
    metres: int
    minutes: int

    def asked(self, mode: Mode) -> bool:
        """Whether the phone asks when this leg is claimed as the mode."""
        return fit(mode, self.features, self.metres, self.minutes).verdict is Verdict.ASK

    def points(self, mode: Mode) -> int:
        """The points against the claim, as far as something else fits clearly better; else 0."""
        points = points_of(self.features)
        claimed = points[Kind.CAR if mode is Mode.CARPOOL else Kind(mode.value)]
        return claimed if claimed - min(points.values()) >= POINTS_BETTER else 0

    @property
    def looks_like(self) -> str:
        """The kinds with the fewest points, in one word or several."""
        points = points_of(self.features)
        return "/".join(kind for kind in Kind if points[kind] == min(points.values()))


def build(data: Path, plots: Path, progress: Progress) -> Section:
    """Real legs at their full rate and thinned, simulated ones beside them; GeoLife where somebody has it."""
    progress("labelled legs of the survey and the phone days")
    legs = [*survey(data), *phone_days(data)]
    sets = {"real, full rate": judged(legs), "real, one fix in 30 s": judged(thinned(legs))}
    progress("simulated legs")
    sets["simulated"] = judged(simulated())
    folder = os.environ.get(GEOLIFE_VARIABLE)
    if folder:
        progress("GeoLife")
        sets["GeoLife"] = judged(list(geolife(Path(folder))))
    progress("plot")
    draw(plots / PLOT, sets)
    main = sets.get("GeoLife", sets["real, full rate"])
    parts = [_INTRODUCTION, *(_tables(name, found) for name, found in sets.items()), _evenness(legs)]
    parts += [f"![False claims caught against honest legs asked](accuracy/{PLOT})\n", _NOT_SHOWN]
    return Section("\n".join(parts), tuple(_targets(main)))


def judged(legs: Sequence[Labelled]) -> list[Judged]:
    """The legs over 1 km that have features."""
    found: list[Judged] = []
    for leg in legs:
        claimed = HONEST.get(leg.kind, Mode.CARPOOL)
        whole = Leg(claimed, leg.fixes[0].point, leg.fixes[-1].point, leg.fixes[0].at, leg.fixes[-1].at, leg.fixes)
        features, estimate = features_of(0, whole), measure_track(claimed, leg.fixes)
        if features is not None and estimate is not None and estimate.metres > LEG_M_MIN:
            found.append(Judged(leg.kind, leg.source, features, estimate.metres, duration_min(whole.duration_s)))
    return found


def thinned(legs: Sequence[Labelled]) -> list[Labelled]:
    """The same legs with one fix in half a minute."""
    return [Labelled(leg.kind, leg.source, _thinned(leg.fixes)) for leg in legs]


def _thinned(fixes: Sequence[Fix]) -> tuple[Fix, ...]:
    kept = [fixes[0]]
    for fix in fixes:
        if fix.at >= kept[-1].at + SPARSE_S:
            kept.append(fix)
    return tuple(kept)


def simulated() -> list[Labelled]:
    """Legs in Beijing traffic (`traffic.py`), some of them with a part of another kind under the same label."""
    dice = random.Random(SEED)
    legs = []
    for kind, middle_m in SIMULATED_M.items():
        other, share = MISLABELLED.get(kind, ("", 0.0))
        for _ in range(SIMULATED_LEGS):
            receiver = Receiver(dice.choice((0.3, 0.7, 1.5)), dice.choice((3, 5, 8)), 40.0, dice.choice((1, 2, 5)))
            metres = max(LEG_M_MIN, middle_m * math.exp(dice.gauss(0, 0.6)))
            if dice.random() < share:
                leg = mislabelled(dice, kind, other, dice.uniform(0.05, 0.6), metres, receiver)
            else:
                leg = simulate(dice, kind, metres, receiver)
            legs.append(Labelled(kind, "simulated", leg.fixes))
    return legs


def draw(file: Path, sets: Mapping[str, Sequence[Judged]]) -> None:
    """For each false claim the share caught against the share of honest legs asked, over all thresholds."""
    mpl.use("Agg")
    figure, axes = plt.subplots(1, len(FALSE_CLAIMS), figsize=(12, 4), sharey=True)
    for ax, (mode, kinds, name, _) in zip(axes, FALSE_CLAIMS, strict=True):
        for label, found in sets.items():
            honest = [leg.points(mode) for leg in _honest(found) if HONEST[leg.kind] is mode]
            false = [leg.points(mode) for leg in found if leg.kind in kinds]
            if not honest or not false:
                continue
            curve = [(_percent(honest, limit), _percent(false, limit)) for limit in range(1, 33)]
            ax.plot(*zip(*curve, strict=True), marker=".", label=f"{label} ({len(false)} false, {len(honest)} honest)")
            ax.plot(
                _percent(honest, POINTS_ASK), _percent(false, POINTS_ASK), marker="o", color="black", fillstyle="none"
            )
        ax.axvline(ASKED_PERCENT_MAX, color="grey", linewidth=0.5)
        ax.set(title=name, xlabel="honest legs asked, %", xlim=(-1, 30), ylim=(0, 102))
        ax.legend(fontsize=7, loc="lower right")
    axes[0].set_ylabel("false claims caught, %")
    figure.tight_layout()
    figure.savefig(file, dpi=110)
    plt.close(figure)


def _percent(points: Sequence[int], limit: int) -> float:
    return 100 * sum(value >= limit for value in points) / len(points)


def _tables(name: str, legs: Sequence[Judged]) -> str:
    sources = ", ".join(f"{count} {source}" for source, count in sorted(Counter(leg.source for leg in legs).items()))
    return f"### {name.capitalize()}: {len(legs)} legs over 1 km ({sources})\n\n" + "\n".join(
        [_asked_table(legs), _confusion(legs), _in_short(legs)]
    )


def _by_kind(legs: Sequence[Judged]) -> Iterator[tuple[str, list[Judged]]]:
    groups: dict[str, list[Judged]] = defaultdict(list)
    for leg in legs:
        groups[leg.kind].append(leg)
    yield from ((kind, groups[kind]) for kind in KINDS if kind in groups)


def _asked_table(legs: Sequence[Judged]) -> str:
    """Asked by true kind and claimed mode; honest claims in bold."""
    rows = [["true kind", "legs", *(f"as {mode}" for mode in Mode)]]
    for kind, some in _by_kind(legs):
        cells = [f"{sum(leg.asked(mode) for leg in some)}" for mode in Mode]
        rows.append(
            [
                kind,
                str(len(some)),
                *(f"**{c}**" if HONEST.get(kind) is m else c for c, m in zip(cells, Mode, strict=True)),
            ]
        )
    return 'Asked ("was this ...?"), by what it was and what is claimed; honest claims in bold:\n\n' + _table(rows)


def _confusion(legs: Sequence[Judged]) -> str:
    """What the scorecard takes each leg for."""
    seen = sorted({leg.looks_like for leg in legs}, key=lambda word: (word.count("/"), word))
    rows = [["true kind", *seen]]
    for kind, some in _by_kind(legs):
        counts = Counter(leg.looks_like for leg in some)
        rows.append([kind, *(str(counts[word] or "") for word in seen)])
    return "What each leg looks most like (several kinds where speeds cannot tell):\n\n" + _table(rows)


def _in_short(legs: Sequence[Judged]) -> str:
    honest = _honest(legs)
    asked = [leg for leg in honest if leg.asked(HONEST[leg.kind])]
    lines = [f"Honest legs asked: {_share(len(asked), len(honest))}."]
    if 0 < len(asked) <= NAMED_MAX:
        named = ", ".join(f"a {leg.kind} at {leg.features.moving_kmh}" for leg in asked)
        lines.append(f"They are, by their mean speed while moving in km/h: {named}.")
    for mode, kinds, name, _ in FALSE_CLAIMS:
        false = [leg for leg in legs if leg.kind in kinds]
        caught = sum(leg.asked(mode) for leg in false)
        if false:
            lines.append(f"{name.capitalize()}: caught {_share(caught, len(false))}.")
    return " ".join(lines) + "\n"


def _share(part: int, whole: int) -> str:
    """With Wilson's 95 % interval."""
    if not whole:
        return "none of none"
    share, z2 = part / whole, Z_95**2
    middle = (share + z2 / (2 * whole)) / (1 + z2 / whole)
    half = Z_95 * math.sqrt(share * (1 - share) / whole + z2 / (4 * whole**2)) / (1 + z2 / whole)
    low, high = 100 * (middle - half), 100 * (middle + half)
    return f"{part} of {whole} ({100 * share:.1f} %; 95 % interval {low:.0f} to {high:.0f})"


def _honest(legs: Sequence[Judged]) -> list[Judged]:
    """Those whose kind somebody noted: a guess of the phone is none."""
    return [leg for leg in legs if leg.kind in HONEST and leg.source != "guessed"]


def _targets(legs: Sequence[Judged]) -> Iterator[Target]:
    honest = _honest(legs)
    if honest:
        asked = 100 * sum(leg.asked(HONEST[leg.kind]) for leg in honest) / len(honest)
        name = "honest legs over 1 km asked or held"
        yield Target(name, asked, 0.0, ASKED_PERCENT_MAX, "%", len(honest), CASES_MIN)
    for mode, kinds, name, least in FALSE_CLAIMS:
        false = [leg for leg in legs if leg.kind in kinds]
        if false:
            caught = 100 * sum(leg.asked(mode) for leg in false) / len(false)
            yield Target(f"{name}: caught", caught, least, 100.0, "%", len(false), CASES_MIN)


def _evenness(legs: Sequence[Labelled]) -> str:
    windows = [leg.fixes[i : i + 60] for leg in legs for i in range(0, len(leg.fixes), 60)]
    tracks = [leg.fixes for leg in legs]
    even = sum(is_even(track) for track in [*tracks, *windows])
    return (
        f"Tracks that are called too even: {even} of {len(tracks)} real legs and {len(windows)} pieces of 60 fixes.\n"
    )


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    lines = [head, ["---"] * len(head), *body]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


_INTRODUCTION = f"""## Mode evidence

How the scorecard (`greentrip.evidence`) judges legs whose true mode was noted. It asks from {POINTS_ASK} points against
the claim on, when something else has {POINTS_BETTER} fewer. **Survey**: a Dutch and German travel diary, where a
tram counts as rail. **Confirmed** and **guessed**: phone days from the United States, by the person's word and by the
phone's own activity guess, which is no truth. **Simulated**: legs that meet the quantiles of mean speed measured on
labelled Beijing tracks, some with a part of another mode under their label; they show the design, and prove nothing.
What the server holds is a part of what is asked (policy `mode_fit`).
"""

_NOT_SHOWN = f"""Not shown: no labelled track of Beijing was measured here. A share of fewer than {CASES_MIN} legs
proves nothing: the real legs above are too few for any of the figures to reach. Trams and trains of the survey are no
Beijing metro; Californian cars go faster than those in a Beijing jam, and Dutch bicycles faster than those of the
Beijing tracks. Who has a GeoLife folder names it in `{GEOLIFE_VARIABLE}` and runs `make accuracy` again: then the same
tables and the figures to reach are computed over it.
"""
