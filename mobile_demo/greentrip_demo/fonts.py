"""A font of the system that holds both Latin and Chinese: Kivy has no font fallback, so one font must do it all."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

FC_MATCH_TIMEOUT_S = 5.0

KNOWN_PATHS = (
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc",
    "/System/Library/Fonts/Hiragino Sans GB.ttc",
    "/System/Library/Fonts/STHeiti Light.ttc",
    "C:/Windows/Fonts/msyh.ttc",
    "C:/Windows/Fonts/simhei.ttf",
)
"""Read, not tried, but for the Debian ones: where systems without fontconfig keep theirs."""


def ask_fontconfig() -> str:
    """What `fc-match` says of the best font for simplified Chinese: its file, a bar, its languages. "" without it."""
    program = shutil.which("fc-match")
    if program is None:
        return ""
    command = [program, "-f", "%{file}|%{lang}", ":lang=zh-cn:scalable=true"]
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments
            command, capture_output=True, text=True, timeout=FC_MATCH_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def find_cjk_font(ask: Callable[[], str] = ask_fontconfig, known: Iterable[str] = KNOWN_PATHS) -> Path | None:
    """The font's file, or None when this system has none."""
    file, _, languages = ask().partition("|")
    # fc-match always answers: its best guess may have no Chinese at all.
    if "zh-cn" in languages.split("|") and Path(file).is_file():
        return Path(file)
    return next((path for path in map(Path, known) if path.is_file()), None)
