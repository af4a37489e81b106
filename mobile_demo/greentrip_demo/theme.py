"""The look's tokens: every colour that `app.kv` uses, by what it is for."""

from __future__ import annotations

from dataclasses import dataclass

Colour = tuple[float, float, float, float]


def _colour(code: str, alpha: float = 1.0) -> Colour:
    red, green, blue = (int(code[i : i + 2], 16) / 255 for i in (0, 2, 4))
    return red, green, blue, alpha


@dataclass(frozen=True, slots=True)
class Theme:
    """Red, green, blue and alpha from 0 to 1."""

    page: Colour
    card: Colour
    text: Colour
    faint: Colour
    """Beside the main text: still 4.5:1 against the card and the page."""
    accent: Colour
    on_accent: Colour
    soft: Colour
    """The fill of what can be pressed and is not the main thing to press."""
    line: Colour
    warning: Colour
    warning_fill: Colour
    shadow: Colour


LIGHT = Theme(
    page=_colour("F5F7F6"),
    card=_colour("FFFFFF"),
    text=_colour("16211C"),
    faint=_colour("56645D"),
    accent=_colour("0F7352"),
    on_accent=_colour("FFFFFF"),
    soft=_colour("DCF1E7"),
    line=_colour("C9D3CE"),
    warning=_colour("9B1C1C"),
    warning_fill=_colour("FDECEC"),
    shadow=_colour("0B2A1E", 0.10),
)
