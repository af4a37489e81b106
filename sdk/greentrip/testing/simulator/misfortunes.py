"""What befalls phones: kills, clocks that jump, dead zones, rotten bits, and things that happen at the wrong moment."""

from __future__ import annotations

from collections.abc import Callable

from greentrip.testing.simulator.habits import change_account, erase_trip, opt_in, opt_out, record
from greentrip.testing.simulator.phone import Phone

DAY_S = 86_400.0
YEARS_S = 10 * 365 * DAY_S
JUMPS_S = (-YEARS_S, YEARS_S, -DAY_S, DAY_S, -3_600.0, 3_600.0, -400.0, 400.0)
"""Battery flat, a wrong year typed, a day off, summer time, just outside of the server's window."""
ONLINE_AGAIN = 0.3
CLOCK_NOTICED_S = 1_000.0
CLOCK_SET_RIGHT = 0.2
"""How often, a step, somebody sees that the time is wrong; a few minutes nobody sees."""
STAYS_WRONG = 0.5
"""How often nobody sets a clock right when the faults stop."""


def befall(phone: Phone) -> None:
    """One step of a phone: perhaps something goes wrong."""
    faults = phone.world.phone_faults
    chances: tuple[tuple[float, Callable[[Phone], None]], ...] = (
        (faults.kill, _kill),
        (faults.offline, _lose_network),
        (faults.clock, _jump),
        (faults.flipped_bit, Phone.rot),
        (faults.second_process, _open_twice),
    )
    for chance, happen in chances:
        if phone.dice.random() < chance:
            happen(phone)
    if phone.network.offline and phone.dice.random() < ONLINE_AGAIN:
        phone.network.offline = False
        phone.note("is online")
    if phone.clock.off_s > CLOCK_NOTICED_S and phone.dice.random() < CLOCK_SET_RIGHT:
        phone.clock.mend()
        phone.note("its clock is set right")


def meanwhile(phone: Phone) -> None:
    """While a request is under way: the person goes on using the app, it is killed, or another process starts."""
    happen = phone.dice.choice((record, erase_trip, opt_out, change_account, _kill_now, _open_twice))
    happen(phone)


def mend(phone: Phone) -> None:
    """The faults stop. A clock that is wrong may stay so; a process whose death was planned lives."""
    for process in phone.processes:
        process.disk.mend()
    phone.act("wake", lambda app: app.wake())
    opt_in(phone)
    if phone.dice.random() >= STAYS_WRONG:
        phone.clock.mend()
        phone.note("its clock is set right")


def _kill(phone: Phone) -> None:
    if phone.processes and phone.dice.random() < 0.5:
        phone.processes[0].disk.plan_kill()
    else:
        _kill_now(phone)


def _kill_now(phone: Phone) -> None:
    for process in list(phone.processes):
        phone.kill(process)
    _count(phone, "killed")


def _lose_network(phone: Phone) -> None:
    phone.network.offline = True
    _count(phone, "offline")


def _jump(phone: Phone) -> None:
    """The clock jumps, goes to 1970, is set right, or the phone starts again (and kills the app)."""
    die = phone.dice.random()
    if die < 0.15:
        _kill_now(phone)
        phone.clock.reboot()
        _count(phone, "reboot")
    elif die < 0.3:
        phone.clock.mend()
        _count(phone, "clock set right")
    elif die < 0.4:
        phone.clock.set(phone.dice.uniform(0, DAY_S))
        _count(phone, "clock says 1970")
    else:
        jump_s = phone.dice.choice(JUMPS_S)
        phone.clock.set(max(0.0, phone.clock.now() + jump_s))
        _count(phone, f"clock jumps by {jump_s / 3600:+.1f} h")


def _open_twice(phone: Phone) -> None:
    """A second process of the app, as a widget or a service is; or it ends again."""
    if len(phone.processes) < 2:
        phone.open()
        _count(phone, "second process")
    else:
        # Which of the two goes is the system's choice.
        phone.kill(phone.dice.choice(phone.processes))


def _count(phone: Phone, what: str) -> None:
    phone.world.tally.faults[f"phone: {what}"] += 1
    phone.note(what)
