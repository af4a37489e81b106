"""`greentrip-pack`: build the region pack that an app ships, and look into one."""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import date, datetime
from pathlib import Path

from greentrip.distance.rail.pack import Polygon, Source, read_pack, write_pack
from greentrip.errors import InvalidInput
from greentrip.packs.assemble import Choices, assemble
from greentrip.packs.csv_folder import read_csv
from greentrip.packs.describe import as_table, describe
from greentrip.packs.draft import UNSTATED, Draft, Note, Progress
from greentrip.packs.gtfs import read_gtfs
from greentrip.packs.gtfs_entrances import with_entrances
from greentrip.packs.osm import SOURCE as OPENSTREETMAP
from greentrip.packs.osm import read_osm
from greentrip.packs.osm_outlines import read_outlines
from greentrip.packs.outline import TOLERANCE_M, read_geojson
from greentrip.packs.subway_tools import with_changes
from greentrip.terminal import PROGRESS_AFTER_S, run_verb
from greentrip.trip import CHINA_TIME

SIZE_BYTES_GOAL = 400_000
"""What a pack of Beijing with its provinces may take at most: it comes to every phone with the app."""
_LARGE: Note = (
    f"larger than {SIZE_BYTES_GOAL} bytes: raise --tolerance, or choose --provinces",
    f"超过 {SIZE_BYTES_GOAL} 字节：可增大 --tolerance 或用 --provinces 筛选",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb. Returns 0, or 1 after an error that was printed."""
    return run_verb(_parser().parse_args(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="greentrip-pack", description=__doc__)
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    for name, run, text in (
        ("build", _build, "make a pack from an OpenStreetMap extract, a GTFS feed or CSV folders"),
        ("info", _info, "describe a pack: counts, size, date, sources and licences"),
    ):
        verb = verbs.add_parser(name, help=text, description=text, formatter_class=_Narrow)
        verb.set_defaults(run=run)
        if name == "build":
            _add_build(verb)
        else:
            verb.add_argument("file", type=Path, metavar="FILE", help="the pack")
        verb.add_argument("--lang", choices=("zh", "en"), help="language (default: by locale)")
        verb.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser


class _Narrow(argparse.HelpFormatter):
    """Help with room for the sentences, so that it fits a screen."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=24, width=100)


def _add_build(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("inputs", nargs="+", type=Path, metavar="INPUT", help="an extract, a feed, or CSV folders")
    verb.add_argument("--from", dest="kind", choices=("osm", "gtfs", "csv"), required=True, help="what INPUT is")
    verb.add_argument("--out", type=Path, required=True, metavar="FILE", help="the pack to write")
    verb.add_argument("--region", help="short name, such as beijing (default: that of FILE)")
    verb.add_argument("--title", help="for people (default: the region)")
    verb.add_argument("--source", type=_source, action="append", default=[], metavar="NAME|LICENCE|ADDRESS",
                      help="where the data are from; may be repeated")  # fmt: skip
    verb.add_argument("--outline", type=Path, metavar="FILE", help="province outlines: GeoJSON (WGS-84) or OSM extract")
    verb.add_argument(
        "--provinces", type=_codes, default=(), metavar="CODES", help="outlines to keep, such as 11,12,13"
    )
    verb.add_argument("--tolerance", type=float, default=TOLERANCE_M, metavar="M",
                      help=f"outlines may be off by so many metres (default {TOLERANCE_M})")  # fmt: skip
    verb.add_argument("--entrances-from", type=Path, metavar="GTFS", help="feed, or its stops.txt, with entrances")
    verb.add_argument(
        "--changes-from", type=Path, metavar="DATA", help="minutes of changes, as Beijing-Subway-Tools has them"
    )
    verb.add_argument("--apart", action="append", default=[], metavar="NAME",
                      help="equally named stations that are no interchange; may be repeated")  # fmt: skip
    verb.add_argument("--closed", action="append", default=[], metavar="NAME",
                      help="a station that trains pass; may be repeated")  # fmt: skip
    verb.add_argument("--made", type=date.fromisoformat, metavar="DATE",
                      help="the pack's date, and the day for opening dates (default: today)")  # fmt: skip


def _source(text: str) -> Source:
    name, licence, address, *more = [part.strip() for part in text.split("|")] + [""] * (3 - len(text.split("|")))
    if not name or not licence or more:
        raise argparse.ArgumentTypeError(f"{text!r} is not like 'name|licence|address'")
    return Source(name, licence, address)


def _codes(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not like 11,12,13") from None


def _build(options: argparse.Namespace) -> int:
    made = options.made or datetime.now(CHINA_TIME).date()
    region = options.region or options.out.name.split(".")[0]
    choices = Choices(
        title=options.title or region,
        region=region,
        made=made,
        sources=tuple(options.source),
        apart=tuple(options.apart),
        closed=tuple(options.closed),
        provinces=options.provinces,
        tolerance_m=options.tolerance,
    )
    with _Progress() as progress:
        draft = _draft(options, made, progress)
        progress(options.out.name)
        pack, notes = assemble(draft, choices)
        write_pack(pack, options.out)
    found = describe(read_pack(options.out), options.out)
    if found.size > SIZE_BYTES_GOAL:
        notes = (*notes, _LARGE)
    if options.json:
        said = [{"en": en, "zh": zh} for en, zh in notes]
        print(json.dumps({**asdict(found), "notes": said}, ensure_ascii=False))
        return 0
    for en, zh in notes:
        print(zh if options.lang == "zh" else en, file=sys.stderr)
    print(as_table(found, options.lang))
    return 0


def _draft(options: argparse.Namespace, day: date, progress: Progress) -> Draft:
    """What the inputs say, with entrances and outlines from further files."""
    first, *more = options.inputs
    if more and options.kind != "csv":
        raise InvalidInput("INPUT", f"--from {options.kind} takes one", f"--from {options.kind} 只接受一个输入")
    if options.kind == "osm":
        draft = read_osm(first, day, progress)
    elif options.kind == "gtfs":
        draft = read_gtfs(first, progress)
    else:
        draft = read_csv(options.inputs, progress)
    if options.entrances_from:
        draft = with_entrances(draft, options.entrances_from, progress)
    if options.changes_from:
        draft = with_changes(draft, options.changes_from, progress)
    return _with_outlines(draft, options.outline, progress) if options.outline else draft


def _with_outlines(draft: Draft, path: Path, progress: Progress) -> Draft:
    """The draft with the outlines of a file of its own, which go before those of the rails' file."""
    outlines: Mapping[int, tuple[Polygon, ...]]
    notes: Sequence[Note] = ()
    if path.suffix in (".geojson", ".json"):
        outlines, source = read_geojson(path), Source(path.name, UNSTATED)
    else:
        (outlines, notes), source = read_outlines(path, progress), OPENSTREETMAP
    return replace(
        draft,
        outlines={**draft.outlines, **outlines},
        sources=(*draft.sources, source),
        notes=(*draft.notes, *notes),
    )


def _info(options: argparse.Namespace) -> int:
    found = describe(read_pack(options.file), options.file)
    print(json.dumps(asdict(found), ensure_ascii=False) if options.json else as_table(found, options.lang))
    return 0


class _Progress:
    """Says on standard error what is being done once half a second has passed; silent where nobody looks."""

    def __init__(self) -> None:
        self._what = ""
        self._shown = False
        self._timer = threading.Timer(PROGRESS_AFTER_S, self._show)
        self._timer.daemon = True

    def __enter__(self) -> _Progress:
        if sys.stderr.isatty():
            self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def __call__(self, what: str) -> None:
        self._what = what
        if self._shown:
            self._show()

    def _show(self) -> None:
        self._shown = True
        print(f"\r\x1b[K{self._what}", end="", file=sys.stderr, flush=True)
