"""`greentrip trips`: the finished trips of a phone."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict

from greentrip import TripView
from greentrip.cli.phone import add_phone, open_phone, print_json
from greentrip.table import Footnotes, table
from greentrip.words import grams, km, word

TEXT = "list the finished trips of --folder"
_HEAD = {
    "en": ("day", "legs", "km", "grams", "state", "official g", "why"),
    "zh": ("日期", "出行段", "公里", "克", "状态", "核定 克", "说明"),
}


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    verb.set_defaults(run=run)
    add_phone(verb)


def run(options: argparse.Namespace) -> int:
    """List them, newest first."""
    with open_phone(options) as green:
        trips = green.trips()
    if options.json:
        print_json([trip_json(trip) for trip in trips])
        return 0
    notes = Footnotes()
    rows = [
        (
            trip.day,
            modes(trip, options.lang),
            km(sum(leg.metres for leg in trip.legs)),
            grams(trip.reduction_mg),
            word(trip.state, options.lang),
            grams(trip.official_mg) if trip.official_mg is not None else "",
            notes.mark(note_on(trip, options.lang, [rule.text(options.lang) for rule in trip.rules])),
        )
        for trip in trips
    ]
    print(table(_HEAD[options.lang], rows, right=(2, 3, 5)))
    print(notes.text(), end="")
    return 0


def modes(trip: TripView, lang: str) -> str:
    """The modes of a trip's legs."""
    return " + ".join(word(leg.mode, lang) for leg in trip.legs)


def note_on(trip: TripView, lang: str, judged: Sequence[str]) -> str:
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
