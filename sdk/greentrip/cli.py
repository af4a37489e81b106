"""`greentrip`: record tracks from files as if live, send them, look at what is there. For developers."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from greentrip import BadFile, GreenTrip, InvalidInput, Method, Mode, Network, Point, State, SyncReport, TripView
from greentrip.correction import Answer
from greentrip.distance.cleaning import ends_of
from greentrip.recorder import check_mode
from greentrip.replay import RecordedTrack, move, read_tracks
from greentrip.signing import new_seed, signer_of
from greentrip.table import Footnotes, table
from greentrip.terminal import Progress, run_verb
from greentrip.trip import CHINA_TIME
from greentrip.wire import base64url
from greentrip.words import grams, km, word

DAY_S = 86_400
NOWHERE = "http://127.0.0.1:9"
"""The server of a recording that is never sent: the discard port of this machine."""

_WORDS = {
    "en": {
        "head": ("track", "mode", "km", "method", "interval km", "grams", "note"),
        "trips": ("day", "legs", "km", "grams", "state", "official g", "why"),
        "entries": ("time", "entry", "grams", "balance g"),
        "skipped": "not a mode of the programme: --mode takes it as one",
        "no_mode": "the file names no mode: pass --mode",
        "cancelled": "the trip in progress was forgotten",
        "sum": "{n} tracks recorded, {g} g on the phone",
        "sent": "sync: {settled}; {left} left; {why}",
        "code": "code: ",
        "sent_code": "a code was sent to the number",
        "no_keyboard": "call again with --code and the code",
        "enrolled": "account {account}",
        "balance": "balance {g} g, waiting on this phone {w} g",
        "answered": "{legs}: {g} g, {state}",
    },
    "zh": {
        "head": ("轨迹", "方式", "公里", "方法", "区间 公里", "克", "说明"),
        "trips": ("日期", "出行段", "公里", "克", "状态", "核定 克", "说明"),
        "entries": ("时间", "记录", "克", "余额 克"),
        "skipped": "不属于本方法学的出行方式：可用 --mode 指定",
        "no_mode": "文件未注明出行方式：请指定 --mode",
        "cancelled": "已放弃进行中的出行",
        "sum": "已记录 {n} 条轨迹，手机端估算 {g} 克",
        "sent": "同步：{settled}；剩余 {left}；{why}",
        "code": "验证码：",
        "sent_code": "验证码已发送",
        "no_keyboard": "请用 --code 附上验证码再次运行",
        "enrolled": "账户 {account}",
        "balance": "余额 {g} 克，本机待上传 {w} 克",
        "answered": "{legs}：{g} 克，{state}",
    },
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb. Returns 0, or 1 after an error that was printed."""
    return run_verb(_parser().parse_args(_joined(sys.argv[1:] if arguments is None else arguments)))


def _joined(arguments: Sequence[str]) -> list[str]:
    """The arguments with a root key tied to its option: one in 64 begins with "-", as options do.

    >>> _joined(["sync", "--root-key", "-3WuEb..."])
    ['sync', '--root-key=-3WuEb...']
    """
    joined = list(arguments)
    if "--root-key" in joined[:-1]:
        at = joined.index("--root-key")
        joined[at : at + 2] = [f"--root-key={joined[at + 1]}"]
    return joined


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="greentrip", description=__doc__)
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    for name, run, text in (
        ("replay", _replay, "record tracks from files (GPX, JSON lines, GeoLife .plt, .gz) as if live"),
        ("enrol", _enrol, "open an account for the phone that lives in --folder; consents to location and sync"),
        ("sync", _sync, "send what waits"),
        ("trips", _trips, "list the finished trips of --folder"),
        ("answer", _answer, "answer how a leg was travelled, where a trip waits for that (see trips)"),
        ("account", _account, "show the account's balance and statement"),
        ("cancel", _cancel, "forget the trip in progress, for example after a replay was killed"),
    ):
        verb = verbs.add_parser(name, help=text, description=text)
        verb.set_defaults(run=run)
        verb.add_argument("--lang", choices=("zh", "en"), help="language (default: by locale)")
        verb.add_argument("--json", action="store_true", help="print JSON instead of tables")
        verb.add_argument("--folder", type=Path, help="where the phone's data are (replay: default a scratch folder)")
        verb.add_argument("--server", help="the server's URL; https outside this machine")
        verb.add_argument("--root-key", help="the server's root key (greentrip-server keys show)")
        verb.add_argument("--network", type=Path, help="region pack, or folder with stations.csv and edges.csv")
        if name == "replay":
            verb.add_argument("files", nargs="+", type=Path, metavar="FILE", help="GPX, JSON lines, .plt; or .gz")
            verb.add_argument(
                "--mode", choices=[mode.value for mode in Mode], help="the mode of tracks that name none of ours"
            )
            verb.add_argument("--user", help="only the tracks of this user")
            verb.add_argument("--limit", type=_count, default=0, help="at most so many tracks (0: all)")
            verb.add_argument("--move-to", metavar="LAT,LON", help="let each track begin here; metres are kept")
            verb.add_argument(
                "--recent", action="store_true", help="move times by whole days so that the newest is yesterday"
            )
            verb.add_argument("--confirm", action="store_true", help="answer each question: it was as recorded")
        if name == "answer":
            verb.add_argument("trip", metavar="TRIP", help="the trip's id, or how it begins")
            verb.add_argument("answer", choices=[answer.value for answer in Answer], help="how it really was")
        if name == "enrol":
            verb.add_argument("--phone", required=True, help="the phone number that gets the code")
            verb.add_argument("--code", help="the code, when it is known already (default: asked for)")
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


def _replay(options: argparse.Namespace) -> int:
    bad: list[BadFile] = []
    tracks = [track for path in options.files for track in read_tracks(path, on_error=bad.append)]
    tracks = [track for track in tracks if options.user in (None, track.user)]
    tracks = tracks[: options.limit] if options.limit else tracks
    # Tracks of one person share a file of labels, and what is wrong with it.
    for message in dict.fromkeys(error.message(options.lang) for error in bad):
        print(message, file=sys.stderr)
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as scratch, _open(options, Path(scratch)) as green:
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
        "note": _note_on(view, options.lang, [reason.text(options.lang) for reason in leg.reasons]),
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
        print(json.dumps({"tracks": rows, "sync": _report_json(report)}, ensure_ascii=False))
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
        _print_report(report, options)


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


def _enrol(options: argparse.Namespace) -> int:
    words = _WORDS[options.lang]
    with _open(options, None) as green:
        code = options.code
        if code is None:
            green.request_code(options.phone)
            print(words["sent_code"], file=sys.stderr)
            try:
                code = input(str(words["code"])).strip()
            except EOFError:
                print(words["no_keyboard"], file=sys.stderr)
                return 1
        account = green.enrol(code, {"location": "1", "sync": "1"})
    print(json.dumps({"account": account}) if options.json else str(words["enrolled"]).format(account=account))
    return 0


def _cancel(options: argparse.Namespace) -> int:
    with _open(options, None) as green:
        green.cancel()
    print(json.dumps({"cancelled": True}) if options.json else _WORDS[options.lang]["cancelled"])
    return 0


def _sync(options: argparse.Namespace) -> int:
    with _open(options, None) as green:
        report = green.sync()
    if options.json:
        print(json.dumps(_report_json(report)))
    else:
        _print_report(report, options)
    return 0 if report.stop == "done" else 1


def _print_report(report: SyncReport, options: argparse.Namespace) -> None:
    settled = ", ".join(f"{word(state, options.lang)} {count}" for state, count in report.settled.items()) or "0"
    words = _WORDS[options.lang]
    print(str(words["sent"]).format(settled=settled, left=report.left, why=report.message(options.lang)))


def _report_json(report: SyncReport | None) -> dict[str, object] | None:
    return None if report is None else asdict(report)


def _trips(options: argparse.Namespace) -> int:
    with _open(options, None) as green:
        trips = green.trips()
    if options.json:
        print(json.dumps([trip_json(trip) for trip in trips], ensure_ascii=False))
        return 0
    notes = Footnotes()
    rows = [
        (
            trip.day,
            _modes(trip, options.lang),
            km(sum(leg.metres for leg in trip.legs)),
            grams(trip.reduction_mg),
            word(trip.state, options.lang),
            grams(trip.official_mg) if trip.official_mg is not None else "",
            notes.mark(_note_on(trip, options.lang, [rule.text(options.lang) for rule in trip.rules])),
        )
        for trip in trips
    ]
    print(table(_WORDS[options.lang]["trips"], rows, right=(2, 3, 5)))
    print(notes.text(), end="")
    return 0


def _modes(trip: TripView, lang: str) -> str:
    return " + ".join(word(leg.mode, lang) for leg in trip.legs)


def _note_on(trip: TripView, lang: str, judged: Sequence[str]) -> str:
    """What there is to say of a trip: its open question, why it stays here, or how it was judged; then its gaps."""
    asked = [trip.question.text(lang)] if trip.question else []
    stays = [trip.why_not_sent(lang)] if trip.why_not_sent(lang) else []
    return "; ".join([*(asked or stays or judged), *trip.gap_texts(lang)])


def trip_json(trip: TripView) -> dict[str, object]:
    """A trip as JSON can hold it."""
    value = asdict(trip)
    value["started_at"], value["ended_at"] = trip.started_at.isoformat(), trip.ended_at.isoformat()
    value["record"] = trip.record.decode("ascii") if trip.record else None
    value["why_not_sent"] = {lang: trip.why_not_sent(lang) for lang in ("zh", "en")}
    return value


def _answer(options: argparse.Namespace) -> int:
    with _open(options, None) as green:
        begins = [trip for trip in green.trips() if trip.id.startswith(options.trip)]
        if len(begins) != 1:
            found = f"{len(begins)} trips begin with {options.trip!r}"
            raise InvalidInput("TRIP", f"{found}: see greentrip trips --json", f"有 {len(begins)} 次出行以此编号开头")
        trip = green.answer(begins[0].id, options.answer)
    if options.json:
        print(json.dumps(trip_json(trip), ensure_ascii=False))
    else:
        legs, state = _modes(trip, options.lang), word(trip.state, options.lang)
        print(str(_WORDS[options.lang]["answered"]).format(legs=legs, g=grams(trip.reduction_mg), state=state))
    return 0


def _account(options: argparse.Namespace) -> int:
    with _open(options, None) as green:
        account, entries = green.account(), green.statement()
    if options.json:
        print(json.dumps({"account": asdict(account), "entries": [asdict(entry) for entry in entries]}))
        return 0
    rows = [(entry.at, entry.kind, grams(entry.mg), grams(entry.balance_mg)) for entry in entries]
    print(table(_WORDS[options.lang]["entries"], rows, right=(2, 3)))
    line = str(_WORDS[options.lang]["balance"])
    print(line.format(g=grams(account.balance_mg), w=grams(account.waiting_mg)))
    return 0


def _open(options: argparse.Namespace, scratch: Path | None) -> GreenTrip:
    folder = options.folder or scratch
    if folder is None:
        raise InvalidInput("--folder", "say where the phone's data are", "请指定手机数据目录")
    if not options.root_key and (options.server or options.folder):
        # The data of a phone are kept by server: without its key we would open, and leave behind, an empty store.
        raise InvalidInput(
            "--root-key",
            "needed with --server or --folder (greentrip-server keys show)",
            "使用 --server 或 --folder 时必填（greentrip-server keys show）",
        )
    network = Network.open(options.network) if options.network else Network.sample()
    root_key = options.root_key or base64url(signer_of(new_seed()).public_key)
    return GreenTrip.open(folder, server=options.server or NOWHERE, root_key=root_key, network=network)
