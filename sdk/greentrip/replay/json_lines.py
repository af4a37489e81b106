"""JSON lines, a track each: segments of one mode, or whole days of a phone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from greentrip.replay.source import AT_S_MAX, FIXES_MAX, TEXT_CHARS_MAX, OnError, Source, Wrong, point
from greentrip.replay.track import RecordedTrack, mode_of
from greentrip.trip import Fix


def read_json_lines(source: Source, report: OnError) -> Iterator[RecordedTrack]:
    for text in source.lines():
        if text.strip():
            try:
                track = _json_track(source.path, source.line, text)
            except Wrong as wrong:
                report(source.bad(source.line, wrong.en, wrong.zh))
            else:
                yield track


def _json_track(path: Path, line: int, text: bytes) -> RecordedTrack:
    record = _json_object(text)
    rows = record.get("fixes")
    if not isinstance(rows, list) or not rows:
        raise Wrong("'fixes' must be a list that is not empty", "“fixes”必须是非空列表")
    if len(rows) > FIXES_MAX:
        raise Wrong(f"more than {FIXES_MAX} fixes", f"定位点超过 {FIXES_MAX} 个")
    user = _optional_text(record, "user")
    original_mode = _optional_text(record, "mode") or ""
    name = _optional_text(record, "source") or " ".join(filter(None, (user, original_mode)))
    fixes = tuple(_json_fix(i, row) for i, row in enumerate(rows, 1))
    return RecordedTrack(name or f"{path.name}:{line}", mode_of(original_mode), original_mode, fixes, user, path, line)


def _json_object(text: bytes) -> dict[str, object]:
    try:
        record: object = json.loads(text.decode("utf-8-sig"))
    except UnicodeDecodeError as why:
        raise Wrong("not UTF-8 text", "不是 UTF-8 编码") from why
    except (ValueError, RecursionError) as why:
        raise Wrong(f"broken JSON: {why}", f"JSON 格式有误：{why}") from why
    if not isinstance(record, dict):
        raise Wrong("a line must be a JSON object", "每行必须是一个 JSON 对象")
    return record


def _optional_text(record: dict[str, object], key: str) -> str | None:
    value = record.get(key)
    if value is not None and (not isinstance(value, str) or len(value) > TEXT_CHARS_MAX):
        raise Wrong(f"{key!r} must be text", f"“{key}”必须是文字")
    return value


def _json_fix(number: int, row: object) -> Fix:
    """[unix_s, lat, lon], then accuracy in metres and speed (not used) if known."""
    if not isinstance(row, list) or not 3 <= len(row) <= 5:
        raise Wrong(
            f"fix {number}: not [time, lat, lon] or [time, lat, lon, accuracy, speed]",
            f"第 {number} 个定位点：应为 [时间, 纬度, 经度] 或 [时间, 纬度, 经度, 精度, 速度]",
        )
    at, lat, lon = (_finite(number, value) for value in row[:3])
    accuracy_m = None if len(row) < 4 or row[3] is None else _finite(number, row[3])
    if not 0 <= at <= AT_S_MAX:
        raise Wrong(f"fix {number}: {at} is not a Unix time in seconds", f"第 {number} 个定位点：{at} 不是 Unix 秒")
    return Fix(point(f"fix {number}", f"第 {number} 个定位点", lat, lon), at, accuracy_m)


def _finite(number: int, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e300:
        raise Wrong(f"fix {number}: {value!r:.40} is not a number", f"第 {number} 个定位点：{value!r:.40} 不是数字")
    return float(value)
