"""When to send, how much, and what to do after an answer: a pure function of a stored state, an event, the time, a die.

    state, action = step(state, Asked(trigger), now_ms, dice)
    Send     -> send at most so many records; tell `step` what came of it; it says what is next
    Wait     -> tell the person why; at `until_ms`, or at the next trigger, ask again
    SetAside -> the one record of the last batch is what the server refuses; set it aside, ask again

No I/O and no clock of its own. Times are Unix milliseconds by the phone's clock, `dice` lies in 0..1 (full jitter).
Nothing here ever deletes a record, and every failure plans its own next try: see `next_try_ms`.
"""

from __future__ import annotations

from dataclasses import replace

from greentrip.report import Stop, Trigger
from greentrip.retry.after import RETRY_AFTER_S_MAX, floor_s
from greentrip.retry.answers import Verdict, classify
from greentrip.retry.events import (
    Action,
    Answered,
    Asked,
    Enrolled,
    Event,
    Network,
    NoAnswer,
    Read,
    Send,
    Served,
    SetAside,
    Untrusted,
    Wait,
)
from greentrip.retry.state import ASIDE_MAX, PAUSE_S, ROWS_CAP_S, RetryState, after, clamped, rows_within, text_within

BASE_S = 1.0
CAP_S = 15 * 60.0
WAIT_S_MIN = 0.05
"""Dice may show 0 again and again; even then nobody is asked without a pause."""
DOUBLINGS_MAX = 20
RATE_LIMITED_S_MIN = 60.0
"""The least wait after a 429 that names no time of its own."""
TRIGGER_GAP_S = 60.0
"""A network that comes and goes overrides the back-off no more often than this."""
PAUSE_GAP_S = CAP_S
"""The same for a pause: the server said no, not "later"."""
NO_RESULT = "some records have no result yet"

_PAUSES = {Verdict.LOGIN: Stop.LOGIN, Verdict.PAUSE: Stop.PAUSED}


def step(state: RetryState, event: Event, now_ms: int, dice: float) -> tuple[RetryState, Action]:
    """The state after an event, to be kept, and what to do now."""
    state = clamped(state, now_ms)
    match event:
        case Asked(trigger):
            return _asked(state, trigger, now_ms)
        case Network(online):
            return _asked(state, Trigger.NETWORK, now_ms) if online else _went_offline(state, now_ms)
        case Enrolled():
            # What the server asked for all phones, its silence and its batch size, is still so.
            anew = replace(state, attempts=0, not_before_ms=0, stop=Stop.DONE, detail="", suspects=0, aside=0)
            return _decided(replace(anew, offline_until_ms=0), now_ms)
        case Served():
            return _decided(_healed(replace(state, floor_ms=0, offline_until_ms=0), now_ms), now_ms)
        case Read():
            return _decided(_read(state, event, now_ms, dice), now_ms)
        case Answered():
            return _answered(state, event, now_ms, dice)
        case NoAnswer(detail) if state.offline_until_ms > now_ms:
            return _decided(replace(state, stop=Stop.OFFLINE, detail=text_within(detail)), now_ms)
        case NoAnswer(detail):
            state = replace(state, stop=Stop.OFFLINE, detail=text_within(detail))
        case Untrusted(detail):
            state = replace(state, stop=Stop.UNTRUSTED, detail=text_within(detail), offline_until_ms=0)
    return _decided(_failed(state, now_ms, dice), now_ms)


def next_try_ms(state: RetryState, now_ms: int) -> int:
    """When a timer should ask: from then on it is told to send, without any other trigger. Not before `now_ms`."""
    state = clamped(state, now_ms)
    return max(now_ms, state.not_before_ms, state.floor_ms, state.offline_until_ms)


def _decided(state: RetryState, now_ms: int) -> tuple[RetryState, Action]:
    until_ms = next_try_ms(state, now_ms)
    if until_ms > now_ms:
        return state, _wait(state, until_ms)
    return state, Send(_rows_due(state))


def _wait(state: RetryState, until_ms: int) -> Wait:
    if until_ms == state.offline_until_ms:
        return Wait(until_ms, Stop.OFFLINE)
    return Wait(until_ms, Stop.WAIT if state.stop is Stop.DONE else state.stop, state.detail)


def _rows_due(state: RetryState) -> int:
    """Half of the suspects; one record alone after one was set aside, to see whether the server takes any."""
    if state.suspects:
        return min(state.rows_cap, max(1, state.suspects // 2))
    return 1 if state.aside else state.rows_cap


def _asked(state: RetryState, trigger: Trigger, now_ms: int) -> tuple[RetryState, Action]:
    if trigger is Trigger.PERSON:
        # A person may know more than the app about the network, and waits in front of the screen.
        return state, _wait(state, state.floor_ms) if state.floor_ms > now_ms else Send(_rows_due(state))
    if trigger is Trigger.NETWORK:
        state = replace(state, offline_until_ms=0)
    if trigger in (Trigger.NETWORK, Trigger.APP):
        gap_s = PAUSE_GAP_S if state.stop in _PAUSES.values() else TRIGGER_GAP_S
        state = replace(state, not_before_ms=min(state.not_before_ms, after(state.planned_ms, gap_s)))
    return _decided(state, now_ms)


def _went_offline(state: RetryState, now_ms: int) -> tuple[RetryState, Action]:
    # Said again, it begins no new wait: an app that forgets to say "back" must not silence its phone for ever.
    if state.offline_until_ms <= now_ms:
        state = replace(state, offline_until_ms=after(now_ms, PAUSE_S))
    return _decided(state, now_ms)


def _read(state: RetryState, event: Read, now_ms: int, dice: float) -> RetryState:
    rows = rows_within(event.rows)
    # The server took the call: none of these is the one that it refuses.
    suspects = max(0, state.suspects - rows)
    state = replace(state, floor_ms=0, offline_until_ms=0, suspects=suspects, aside=0, stop=Stop.WAIT, detail=NO_RESULT)
    if event.settled <= 0:
        return _failed(state, now_ms, dice)
    if now_ms >= state.rows_cap_until_ms:
        state = replace(state, rows_cap=rows_within(state.rows_cap * 2))
    if event.settled < rows:
        return _backed_off(replace(state, attempts=0), now_ms, dice)
    return _healed(state, now_ms)


def _answered(state: RetryState, event: Answered, now_ms: int, dice: float) -> tuple[RetryState, Action]:
    rows = rows_within(event.rows)
    silence_s = floor_s(event.retry_after_s)
    verdict = classify(event.status, event.kind)
    # A 2xx without results is somebody else's page, such as a captive portal's.
    stop = Stop.OFFLINE if verdict is Verdict.READ else Stop.WAIT
    state = replace(state, floor_ms=0, offline_until_ms=0, stop=stop, detail=text_within(event.detail))
    action: Action | None = None
    if verdict in _PAUSES:
        state = _paused(state, _PAUSES[verdict], now_ms)
    elif verdict in (Verdict.HALVE, Verdict.BISECT) and rows == 1:
        state, action = _refused_alone(state, now_ms, dice)
    elif verdict is Verdict.HALVE:
        state = replace(_at_once(state, now_ms), rows_cap=rows // 2, rows_cap_until_ms=after(now_ms, ROWS_CAP_S))
    elif verdict is Verdict.BISECT:
        state = replace(_at_once(state, now_ms), suspects=rows)
    elif silence_s is not None:
        state = _at_once(state, now_ms)
    elif event.status == 429:
        state = _planned(state, now_ms, max(RATE_LIMITED_S_MIN, dice * CAP_S))
    else:
        state = _failed(state, now_ms, dice)
    if silence_s is not None:
        state = _silenced(state, now_ms, dice, silence_s)
    return (state, action) if action else _decided(state, now_ms)


def _refused_alone(state: RetryState, now_ms: int, dice: float) -> tuple[RetryState, SetAside | None]:
    """A record was refused though it was alone. It is set aside only if it was in a refused call before."""
    if not state.suspects:
        return replace(_backed_off(state, now_ms, dice), suspects=1), None
    if state.aside < ASIDE_MAX:
        return replace(_at_once(state, now_ms), suspects=0, aside=state.aside + 1), SetAside(state.detail)
    # Each pause steps over one more: a long run of refused records must not block the queue for ever.
    return replace(_paused(state, Stop.PAUSED, now_ms), suspects=0, aside=ASIDE_MAX - 1), None


# Waits


def _healed(state: RetryState, now_ms: int) -> RetryState:
    return replace(state, attempts=0, stop=Stop.DONE, detail="", not_before_ms=0, planned_ms=now_ms)


def _failed(state: RetryState, now_ms: int, dice: float) -> RetryState:
    state = _backed_off(state, now_ms, dice)
    return replace(state, attempts=state.attempts + 1)


def _backed_off(state: RetryState, now_ms: int, dice: float) -> RetryState:
    return _planned(state, now_ms, max(WAIT_S_MIN, dice * _ceiling_s(state)))


def _paused(state: RetryState, stop: Stop, now_ms: int) -> RetryState:
    return replace(_planned(state, now_ms, PAUSE_S), stop=stop)


def _at_once(state: RetryState, now_ms: int) -> RetryState:
    return _planned(state, now_ms, 0)


def _silenced(state: RetryState, now_ms: int, dice: float, silence_s: float) -> RetryState:
    """Not before the server's time, and spread after it: all phones were told the same."""
    spread_s = dice * max(_ceiling_s(state), min(CAP_S, silence_s))
    later_ms = after(now_ms, min(RETRY_AFTER_S_MAX, silence_s + spread_s))
    return replace(state, floor_ms=after(now_ms, silence_s), not_before_ms=max(state.not_before_ms, later_ms))


def _planned(state: RetryState, now_ms: int, wait_s: float) -> RetryState:
    return replace(state, not_before_ms=after(now_ms, wait_s), planned_ms=now_ms)


def _ceiling_s(state: RetryState) -> float:
    return min(CAP_S, BASE_S * (1 << min(state.attempts, DOUBLINGS_MAX)))
