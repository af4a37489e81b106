"""What people do with the app: a table of habits, of which dice choose the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from greentrip import GreenTrip, Point, TripView
from greentrip.report import Stop, SyncReport, Trigger
from greentrip.states import State
from greentrip.testing.simulator.phone import CONSENTS, Phone
from greentrip.testing.simulator.told import Wish

RAIL_ENDS = ("虎坊桥", "东夏园", "双井", "呼家楼")
BUS_START = Point(39.90, 116.40)
BUS_END = Point(39.92, 116.43)
LEG_MIN = (20, 45)
"""A trip takes so many minutes: neither too fast for a bus nor for the longest of the rides."""
BREAK_MIN = 31
"""And the next one begins in another half-hour: nobody is on two trips at once."""
OPT_OUT_ERASES = 0.5


@dataclass(frozen=True, slots=True)
class Habit:
    """Something that people do, how often beside the others, and whether it is everyday."""

    name: str
    weight: float
    act: Callable[[Phone], None]
    everyday: bool = False


def record(phone: Phone) -> None:
    """Record a trip: start it, travel, finish it. One that was interrupted is finished or forgotten first."""
    if phone.act("look for a trip in progress", lambda app: app.active) is not None:
        _end_interrupted(phone)
        return
    by_rail = phone.dice.random() < 0.5
    start, end = (RAIL_ENDS[0], phone.dice.choice(RAIL_ENDS[1:])) if by_rail else (BUS_START, BUS_END)
    phone.act("start a trip", lambda app: app.start("rail" if by_rail else "bus", start))
    if phone.killed_at is not None:
        return  # it may have begun all the same: that is found next time
    phone.clock.sleep(60 * phone.dice.uniform(*LEG_MIN))
    _finish(phone, end)
    phone.clock.sleep(60 * BREAK_MIN)


def _end_interrupted(phone: Phone) -> None:
    if phone.dice.random() < 0.3:
        phone.act("cancel a trip", lambda app: app.cancel())
        return
    _finish(phone, BUS_END)


def _finish(phone: Phone, end: Point | str) -> None:
    def finish(app: GreenTrip) -> TripView:
        phone.member.doubts += 1
        trip = app.finish(end)
        phone.member.doubts -= 1
        return trip

    trip = phone.act("finish a trip", finish)
    if trip is None:
        phone.reread()
    elif trip.record is not None:
        phone.member.heard(trip.id, trip.record)
        phone.world.tally.recorded += 1
        phone.note(f"recorded {trip.id}")


def sync(phone: Phone) -> None:
    """Tap "sync"; enrol when the app asks for it."""
    report = phone.act("sync", lambda app: send(app))
    if report is None:
        return
    phone.note(f"sync: {report.stop}, {report.left} left, {report.requests} requests")
    if report.stop in (Stop.NOT_ENROLLED, Stop.LOGIN):
        enrol(phone)


def send(app: GreenTrip) -> SyncReport:
    """What `sync()` does, in this thread: no real second passes, and a seed decides everything."""
    app._worker.trigger(Trigger.PERSON)
    return app._worker.run_due() or SyncReport()


def enrol(phone: Phone) -> None:
    """Open or join the account; with a bad network people type the code again."""

    def join(app: GreenTrip) -> str:
        app.request_code(phone.member.number)
        return app.enrol(phone.world.server.backend.last_code(), CONSENTS)

    account = phone.act("enrol", join)
    if account is not None:
        phone.member.account, phone.needs_login = account, False
        phone.note("is enrolled")


def restart(phone: Phone) -> None:
    """Close the app and open it again."""
    phone.close()
    phone.note("the app was closed")
    phone.open()


def suspend(phone: Phone) -> None:
    """Switch to another app, and back after a while."""
    phone.act("suspend", lambda app: app.suspend())
    phone.clock.sleep(phone.dice.uniform(1, 3600))
    phone.act("wake", lambda app: app.wake())


def network(phone: Phone) -> None:
    """Leave the network, or come back to it, and say so to the app."""
    phone.network.offline = not phone.network.offline
    online = not phone.network.offline
    phone.note("is online" if online else "is offline")
    phone.act("tell the app of the network", lambda app: app.network_changed(online))


def erase_trip(phone: Phone) -> None:
    """Erase a trip, sent or not."""
    shown = phone.shown()
    if not shown:
        return
    trip_id = phone.dice.choice(sorted(shown))
    if trip_id in phone.member.records:
        phone.member.asked_to_erase([trip_id], Wish.EITHER)
    phone.act("erase a trip", lambda app: app.erase_trip(trip_id))
    phone.note(f"erase {trip_id}")
    phone.reread()


def opt_out(phone: Phone) -> None:
    """Opt out, keeping or erasing what was not sent, and in again."""
    shown = phone.shown()
    if shown is None:
        return
    erases = phone.dice.random() < OPT_OUT_ERASES
    if erases:
        unsettled = (State.ASKED, State.PENDING, State.LEASED, State.SET_ASIDE, State.UNSUPPORTED)
        waiting = [trip.id for trip in shown.values() if trip.state in unsettled]
        phone.member.asked_to_erase([one for one in waiting if one in phone.member.records], Wish.EITHER)
    phone.act("opt out", lambda app: app.opt_out(pending="erase" if erases else "keep"))
    phone.note("opted out" + (" and erased what waited" if erases else ""))
    phone.reread()
    phone.clock.sleep(phone.dice.uniform(60, 7200))
    opt_in(phone)


def opt_in(phone: Phone) -> None:
    """Take part again."""
    phone.act("opt in", lambda app: app.opt_in())


def look(phone: Phone) -> None:
    """Ask for the balance, and look at the counts."""
    phone.act("ask for the account", lambda app: app.account())
    phone.act("look at the counts", lambda app: app.stats())


HABITS = (
    Habit("record", 10, record, everyday=True),
    Habit("sync", 3, sync, everyday=True),
    Habit("restart", 1, restart, everyday=True),
    Habit("suspend", 1, suspend, everyday=True),
    Habit("network", 1, network),
    Habit("erase_trip", 1, erase_trip),
    Habit("opt_out", 0.4, opt_out),
    Habit("look", 0.5, look),
)
