"""`greentrip erase`: erase one trip, or everything."""

from __future__ import annotations

import argparse

from greentrip import GreenTrip, Stop
from greentrip.cli.phone import add_phone, open_phone, print_json, trip_of

TEXT = "erase a trip here and at the server, or everything with the account: no way back"
_DONE = {
    "en": {
        "trip": "trip {id} is erased here; the server is told with the next sync",
        "all": "everything is erased, here and at the server",
        "ordered": "everything is erased here; the signed order to the server waits until it is confirmed: sync again",
        "no_key": "everything is erased here; this phone had lost its key: ask the operator to erase the account",
    },
    "zh": {
        "trip": "出行 {id} 已在本机删除；下次同步时通知服务器",
        "all": "本机与服务器上的数据已全部删除",
        "ordered": "本机数据已全部删除；已签署的删除指令将保留至服务器确认：请再次同步",
        "no_key": "本机数据已全部删除；本机密钥此前已丢失：请联系运营方删除账户",
    },
}


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    verb.set_defaults(run=run)
    what = verb.add_mutually_exclusive_group(required=True)
    what.add_argument("trip", nargs="?", metavar="TRIP", help="the trip's id, or how it begins")
    what.add_argument("--all", action="store_true", help="every trip, the account and this phone's key")
    add_phone(verb)


def run(options: argparse.Namespace) -> int:
    """Erase; no bytes of it are left when it returns."""
    with open_phone(options) as green:
        return _everything(green, options) if options.all else _one(green, options)


def _everything(green: GreenTrip, options: argparse.Namespace) -> int:
    certified = green.erase()
    if options.json:
        print_json({"erased": "all", "certified": certified})
    else:
        print(_DONE[options.lang]["all" if certified else _why_not(green)])
    return 0


def _why_not(green: GreenTrip) -> str:
    """Why there is no certificate: without the phone's key nothing was ordered, and there is nothing left to send."""
    return "no_key" if green.sync().stop is Stop.NOT_ENROLLED else "ordered"


def _one(green: GreenTrip, options: argparse.Namespace) -> int:
    trip = trip_of(green, options.trip).id
    green.erase_trip(trip)
    if options.json:
        print_json({"erased": trip})
    else:
        print(_DONE[options.lang]["trip"].format(id=trip))
    return 0
