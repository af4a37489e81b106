"""Phrases that several rules use, in English and Chinese."""

from __future__ import annotations

from greentrip.record import RecordLeg
from greentrip.words import word

M_PER_KM = 1000

STAFF_EN = "A member of staff will look at it; nothing is lost."
STAFF_ZH = "工作人员将核实；记录不会丢失。"


def leg_texts(index: int, leg: RecordLeg) -> tuple[str, str]:
    return f"Leg {index + 1} ({leg.mode})", f"第 {index + 1} 段（{word(leg.mode, 'zh')}）"


def km(metres: int, unit: str = "km") -> str:
    """Exact, since a text that rounds could say "45 km is longer than 45 km"."""
    whole, rest = divmod(metres, M_PER_KM)
    return f"{whole}.{rest:03}".rstrip("0").rstrip(".") + f" {unit}"
