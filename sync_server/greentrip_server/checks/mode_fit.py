"""The rule that asks whether a leg's speeds fit its mode, by the scorecard of the SDK: the phone asked by the same.

It needs the record alone. Held is only what would earn too much: who calls a walk a bus ride gives something away.
"""

from __future__ import annotations

from greentrip.evidence.bands import Kind
from greentrip.evidence.features import Features
from greentrip.evidence.scorecard import Fit, Verdict, fit
from greentrip.methodology import Methodology
from greentrip.record import RecordLeg
from greentrip.trip import Mode
from greentrip_server.checks.context import Context
from greentrip_server.checks.outcome import Outcome, Severity
from greentrip_server.checks.wording import STAFF_EN, STAFF_ZH, leg_texts

_MODES: dict[Kind, Mode] = {
    Kind.WALK: Mode.WALK,
    Kind.CYCLE: Mode.CYCLE,
    Kind.BUS: Mode.BUS,
    Kind.RAIL: Mode.RAIL,
}
"""The others earn nothing: an e-bike, and a car that nobody shares."""


def check_mode_fit(context: Context) -> list[Outcome]:
    """A leg whose speeds fit something else clearly better."""
    legs = context.record.legs
    tracked = [item for item in context.record.features if item.leg < len(legs)]
    return [outcome for item in tracked for outcome in _leg_fit(context, item, legs[item.leg])]


def _leg_fit(context: Context, features: Features, leg: RecordLeg) -> list[Outcome]:
    found = fit(leg.mode, features, leg.distance_m, leg.duration_min)
    if found.verdict is not Verdict.ASK:
        return []
    limits = context.policy.mode_fit
    held = (
        found.points >= limits.points_min.value
        and leg.distance_m >= limits.leg_m_min.value
        and _earns_too_much(context.methodology, leg.mode, found)
    )
    what_en, what_zh = leg_texts(features.leg, leg)
    end_en, end_zh = (STAFF_EN, STAFF_ZH) if held else ("It counts.", "本段照常计入。")
    return [
        Outcome(
            "mode_fit",
            Severity.HOLD if held else Severity.NOTE,
            f"{what_en}: its speeds fit {found.better_text()} better, since {found.why_text()}. {end_en} "
            "Choose the mode that you travel by, and change it when you change.",
            f"{what_zh}：速度特征更像{found.better_text('zh')}，因为{found.why_text('zh')}。{end_zh}请选择实际的出行方式，并在换乘时及时切换。",
            details={"leg": features.leg, "points": found.points, "better": found.better[0].value},
        )
    ]


def _earns_too_much(methodology: Methodology | None, mode: Mode, found: Fit) -> bool:
    """Whether the claimed mode saves more a metre than something that fits better. What needs a ticket earns by it."""
    if methodology is None:
        return False
    least = min(_saving(methodology, _MODES.get(kind)) for kind in found.better)
    return _saving(methodology, mode) > least


def _saving(methodology: Methodology, mode: Mode | None) -> int:
    """Micrograms a metre; 0 for what the methodology does not know, and for a car: that earns by its tickets."""
    rules = None if mode is None else methodology.modes.get(mode)
    return 0 if rules is None or rules.shared else rules.baseline.ug_per_m - rules.project.ug_per_m
