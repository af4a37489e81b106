"""`greentrip answer`: say how a leg was really travelled."""

from __future__ import annotations

import argparse

from greentrip.cli.phone import add_phone, open_phone, print_json, trip_of
from greentrip.cli.trips import modes, trip_json
from greentrip.correction import Answer
from greentrip.words import grams, word

TEXT = "answer how a leg was travelled, where a trip waits for that (see trips)"
_ANSWERED = {"en": "{legs}: {g} g, {state}", "zh": "{legs}：{g} 克，{state}"}


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    verb.set_defaults(run=run)
    answers = [answer.value for answer in Answer]
    verb.add_argument("trip", metavar="TRIP", help="the trip's id, or how it begins")
    verb.add_argument("answer", metavar="ANSWER", choices=answers, help=f"how it really was: {', '.join(answers)}")
    add_phone(verb, network=True)


def run(options: argparse.Namespace) -> int:
    """Answer, and show the trip that counts from now on."""
    with open_phone(options) as green:
        trip = green.answer(trip_of(green, options.trip).id, options.answer)
    if options.json:
        print_json(trip_json(trip))
    else:
        legs, state = modes(trip, options.lang), word(trip.state, options.lang)
        print(_ANSWERED[options.lang].format(legs=legs, g=grams(trip.reduction_mg), state=state))
    return 0
