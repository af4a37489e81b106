"""What people do with the app: a table of habits, of which dice choose the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from greentrip import GreenTrip, Point, TripView
from greentrip.errors import Untrusted
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
DRIVE_S = 600
DRIVE_STEP_S = 20
DRIVE_M_S = 14.0
"""About 50 km/h: no bicycle."""
METRES_PER_DEGREE = 111_195
LOOKS_MAX = 50
"""Who has erased everything looks until they see it."""


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


def _finish(phone: Phone, end: Point | str | None) -> None:
    def finish(app: GreenTrip) -> TripView:
        phone.member.doubts += 1
        trip = app.finish(end)
        phone.member.doubts -= 1
        return trip

    trip = phone.act("finish a trip", finish)
    if trip is None:
        phone.reread()
    elif trip.record is not None:
        phone.heard(trip.id, trip.record)
        phone.note(f"recorded {trip.id}")


def sync(phone: Phone) -> None:
    """Tap "sync"; enrol when the app asks for it."""
    report = phone.act("sync", lambda app: send(app))
    if report is None:
        return
    phone.note(f"sync: {report.stop}, {report.left} left, {report.requests} requests")
    if report.stop in (Stop.NOT_ENROLLED, Stop.LOGIN) or phone.needs_login:
        enrol(phone)


def send(app: GreenTrip) -> SyncReport:
    """What `sync()` does, in this thread: no real second passes, and a seed decides everything."""
    app._worker.trigger(Trigger.PERSON)
    return app._worker.run_due() or SyncReport()


def enrol(phone: Phone) -> None:
    """Open or join the account; who erased one waits for its certificate first."""
    if phone.act("look for an order", lambda app: app._store.erasure_orders()):
        return

    def join(app: GreenTrip, *, anew: bool = False) -> str:
        app.request_code(phone.member.number)
        try:
            return app.enrol(phone.world.server.backend.last_code(), CONSENTS, replace_account=anew)
        except Untrusted:
            if anew or app.account_id is None:
                raise
            # The server was set back to before the enrolment, and made another account: people go there.
            return join(app, anew=True)

    phone.needs_login = True  # until it is done
    account = phone.act("enrol", join)
    if account is not None:
        phone.member.account, phone.needs_login = account, False
        phone.note("is enrolled")
        phone.world.server.forget_backup()


def change_account(phone: Phone) -> None:
    """Hand the phone to the other person who uses it, or to a new one, who enrols later."""
    if phone.needs_login:
        return  # whose enrolment failed half-way tries that again first
    for process in phone.processes[1:]:
        phone.kill(process)
    others = [member for slot, member in phone.members.items() if slot != phone.slot]
    if phone.member.account is None and not others:
        return  # who has no account yet can only wait for one
    account = others[0].account if others else None

    def change(app: GreenTrip) -> bool:
        app.switch_account(account)
        return True

    if phone.act("change the account", change) and phone.processes:
        phone.processes[0].slot = phone.processes[0].app._slots.current
        phone.members.setdefault(phone.slot, phone.new_member(phone.slot))
        phone.note(f"is used for account {phone.slot}")
        phone.reread()
    else:
        restart(phone)


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
    # Not in an order that hangs on the ids: a replay must not hang on what else was drawn from the system before.
    trip_id = phone.dice.choice(sorted(shown, key=lambda one: shown[one].started_at))
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


def claim_a_drive(phone: Phone) -> None:
    """Drive a car and call it cycling: the app asks, and some people answer."""
    if phone.act("look for a trip in progress", lambda app: app.active) is not None:
        return

    def drive(app: GreenTrip) -> bool:
        app.start("cycle", BUS_START)
        for second in range(0, DRIVE_S, DRIVE_STEP_S):
            sway = second % 3 / METRES_PER_DEGREE
            app.fix(Point(BUS_START.lat + second * DRIVE_M_S / METRES_PER_DEGREE, BUS_START.lon + sway), accuracy_m=5)
            phone.clock.sleep(DRIVE_STEP_S)
        return True

    if phone.act("record a drive", drive):
        _finish(phone, None)
    phone.clock.sleep(60 * BREAK_MIN)
    answer(phone)


def answer(phone: Phone) -> None:
    """Answer what the app asks about a trip: it was so, it was something else, it was a car."""
    asked = [trip for trip in (phone.shown() or {}).values() if trip.question is not None]
    if not asked or asked[0].id not in phone.member.records:
        return
    trip, said = asked[0], phone.dice.choice(("cycle", "bus", "car"))

    phone.member.doubts += 1  # a corrected trip may take its place
    phone.member.answered.add(trip.id)
    phone.act("answer", lambda app: app.answer(trip.id, said))
    phone.note(f"said of {trip.id} that it was {said}")
    phone.reread()


def erase_everything(phone: Phone) -> None:
    """Erase the account, here and at the server; later somebody may begin anew with the same number."""
    member = phone.member
    if member.account is None or phone.needs_login or phone.world.is_shared(member.number):
        return  # whose enrolment failed half-way tries that again first
    phone.world.server.forget_backup(for_good=True)
    for process in phone.processes[1:]:
        phone.kill(process)

    def erase(app: GreenTrip) -> None:
        app._worker.stop(0)  # the order goes out with the next pass, in this thread
        app.erase(0)
        app._worker.start(background=False)

    phone.act("erase everything", erase)
    account = None
    for _ in range(LOOKS_MAX):  # the app may die, or the disk fail, while they look
        account = phone.act("look at the account", lambda app: app.account_id or "")
        if account is not None:
            break
    if account == "":
        member.asked_to_erase(member.records, Wish.ERASE)
        phone.former.append(member)
        phone.members[phone.slot] = phone.new_member(phone.slot)
        phone.note("erased everything")


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
    Habit("change_account", 0.3, change_account),
    Habit("claim_a_drive", 0.3, claim_a_drive),
    Habit("erase_everything", 0.1, erase_everything),
)
