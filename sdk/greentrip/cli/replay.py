"""`greentrip replay`: play recorded tracks through the recorder, fix by fix."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from greentrip import BadFile, GreenTrip, InvalidInput, Method, Mode, Point, State, SyncReport, TripView
from greentrip.cli.phone import add_phone, open_phone, print_json
from greentrip.cli.sync import print_report, report_json
from greentrip.cli.trips import note_on
from greentrip.distance.cleaning import ends_of
from greentrip.recorder import check_mode
from greentrip.replay import RecordedTrack, move, read_tracks
from greentrip.table import Footnotes, table
from greentrip.terminal import Progress
from greentrip.trip import CHINA_TIME
from greentrip.words import grams, km, word

TEXT = "record tracks from files (GPX, JSON lines, GeoLife .plt, .gz) as if live"
DAY_S = 86_400

_WORDS = {
    "en": {
        "head": ("track", "mode", "km", "method", "interval km", "grams", "note"),
        "skipped": "not a mode of the programme: --mode takes it as one",
        "no_mode": "the file names no mode: pass --mode",
        "sum": "{n} tracks recorded, {g} g on the phone",
    },
    "zh": {
        "head": ("轨迹", "方式", "公里", "方法", "区间 公里", "克", "说明"),
        "skipped": "不属于本方法学的出行方式：可用 --mode 指定",
        "no_mode": "文件未注明出行方式：请指定 --mode",
        "sum": "已记录 {n} 条轨迹，手机端估算 {g} 克",
    },
}


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    verb.set_defaults(run=run)
    verb.add_argument("files", nargs="+", type=Path, metavar="FILE", help="GPX, JSON lines, .plt; or .gz")
    add_phone(verb, network=True, scratch=True)
    verb.add_argument("--mode", choices=[mode.value for mode in Mode], help="the mode of tracks that name none of ours")
    verb.add_argument("--user", help="only the tracks of this user")
    verb.add_argument("--limit", type=_count, default=0, help="at most so many tracks (0: all)")
    verb.add_argument("--move-to", metavar="LAT,LON", help="let each track begin here; metres are kept")
    verb.add_argument("--recent", action="store_true", help="move times by whole days so that the newest is yesterday")
    verb.add_argument("--confirm", action="store_true", help="answer each question: it was as recorded")


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


def run(options: argparse.Namespace) -> int:
    """Record, and send where a server is named. 0 when something was recorded and no file was bad."""
    bad: list[BadFile] = []
    tracks = [track for path in options.files for track in read_tracks(path, on_error=bad.append)]
    tracks = [track for track in tracks if options.user in (None, track.user)]
    tracks = tracks[: options.limit] if options.limit else tracks
    # Tracks of one person share a file of labels, and what is wrong with it.
    for message in dict.fromkeys(error.message(options.lang) for error in bad):
        print(message, file=sys.stderr)
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as scratch, open_phone(options, Path(scratch), new=True) as green:
        days = _days_to_yesterday(tracks) if options.recent else 0
        progress = Progress(len(tracks))
        for track in tracks:
            rows.append(_record(green, _placed(track, options.move_to, days), options))
            progress.step()
        report = green.sync() if options.server else None
        if report is not None:
            rows = _with_results(rows, green)
    _print_replay(rows, report, options)
    recorded = sum("trip" in row for row in rows)
    return 0 if recorded and not bad else 1


def _record(green: GreenTrip, track: RecordedTrack, options: argparse.Namespace) -> dict[str, object]:
    """Play one track through the recorder; a track that cannot be recorded costs its neighbours nothing."""
    row: dict[str, object] = {"track": track.name, "mode": track.original_mode}
    mode = track.mode or (check_mode(options.mode) if options.mode else None)
    if mode is None:
        return {**row, "note": _WORDS[options.lang]["skipped" if track.original_mode else "no_mode"]}
    try:
        view = play(green, track, mode)
        if view.question is not None and options.confirm:
            view = green.answer(view.id, view.question.claimed)
    except InvalidInput as error:
        return {**row, "mode": mode, "note": error.message(options.lang)}
    leg = view.legs[0]
    return {
        **row,
        "trip": view.id,
        "mode": mode,
        "metres": leg.metres,
        "low_m": leg.low_m,
        "high_m": leg.high_m,
        "method": leg.method,
        "mg": view.reduction_mg,
        "note": note_on(view, options.lang, [reason.text(options.lang) for reason in leg.reasons]),
    }


def play(green: GreenTrip, track: RecordedTrack, mode: Mode) -> TripView:
    """Record a track fix by fix, at its own times; the record is flagged as a replay."""
    first, last = ends_of(track.fixes) or (track.fixes[0], track.fixes[-1])
    green.start(mode, first.point, at=first.at, replayed=True)
    try:
        for fix in track.fixes:
            green.fix(fix.point, at=fix.at, accuracy_m=fix.accuracy_m, mock=fix.mock)
        return green.finish(last.point, at=max(last.at, first.at))
    except BaseException:
        # Also for Ctrl-C: a half-played track must not stand in the way of the next one.
        if green.active is not None:
            green.cancel()
        raise


def _placed(track: RecordedTrack, to: str | None, days: int) -> RecordedTrack:
    first = track.fixes[0]
    if to is None and not days:
        return track
    return move(track, track_point(to) if to else first.point, first.at + days * DAY_S)


def track_point(text: str) -> Point:
    """The point in a text such as 39.9,116.4. Raises `InvalidInput`."""
    try:
        lat, lon = (float(part) for part in text.split(","))
    except ValueError:
        raise InvalidInput("--move-to", f"{text!r} must look like 39.9,116.4", f"{text!r} 应形如 39.9,116.4") from None
    return Point(lat, lon)


def _days_to_yesterday(tracks: Sequence[RecordedTrack]) -> int:
    newest = max((fix.at for track in tracks for fix in track.fixes), default=0.0)
    return days_between(newest, time.time()) - 1


def days_between(one: float, other: float) -> int:
    """Local days (UTC+8) from one Unix time to another."""
    first, last = (datetime.fromtimestamp(at, CHINA_TIME).date() for at in (one, other))
    return (last - first).days


def _with_results(rows: list[dict[str, object]], green: GreenTrip) -> list[dict[str, object]]:
    trips = {trip.id: trip for trip in green.trips()}
    for row in rows:
        trip = trips.get(str(row.get("trip")))
        if trip is not None:
            row["state"], row["official_mg"] = trip.state, trip.official_mg
            row["rules"] = [rule.id for rule in trip.rules]
    return rows


def _print_replay(rows: list[dict[str, object]], report: SyncReport | None, options: argparse.Namespace) -> None:
    words = _WORDS[options.lang]
    if options.json:
        print_json({"tracks": rows, "sync": report_json(report)})
        return
    notes = Footnotes()
    cells = [
        (
            str(row["track"]),
            _mode_word(row, options.lang),
            *_measured(row, options.lang),
            grams(int(str(row["mg"]))) if "mg" in row else "",
            notes.mark(_note(row, options.lang)),
        )
        for row in rows
    ]
    print(table(words["head"], cells, right=(2, 4, 5)))
    print(notes.text(), end="")
    total = sum(int(str(row["mg"])) for row in rows if "mg" in row)
    print(str(words["sum"]).format(n=sum("trip" in row for row in rows), g=grams(total)))
    if report is not None:
        print_report(report, options.lang)


def _mode_word(row: dict[str, object], lang: str) -> str:
    """The mode as recorded; of a track that was not, the file's own word."""
    mode = str(row["mode"])
    return word(Mode(mode), lang) if mode in tuple(Mode) else mode


def _measured(row: dict[str, object], lang: str) -> tuple[str, str, str]:
    """Kilometres, method and interval of a track that was recorded."""
    if "metres" not in row:
        return "", "", ""
    metres, low_m, high_m = (int(str(row[key])) for key in ("metres", "low_m", "high_m"))
    return km(metres), word(Method(str(row["method"])), lang), f"{km(low_m)}-{km(high_m)}"


def _note(row: dict[str, object], lang: str) -> str:
    if "state" not in row or row["state"] in (State.LOCAL, State.ASKED):
        return str(row["note"])
    official = row.get("official_mg")
    rules = row.get("rules")
    named = f" ({', '.join(map(str, rules))})" if isinstance(rules, list) and rules else ""
    state = word(State(str(row["state"])), lang)
    return f"{state}{named}" + (f" {grams(official)} g" if isinstance(official, int) else "")
