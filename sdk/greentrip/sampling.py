"""Which positions to ask the phone for: as few as the distance needs, since each one costs battery.

A pure state machine. What happened (a fix came, or none came in time) moves the `State` on; `request_of` says what to
ask for next. Nothing else is remembered, so the state of a trip in progress follows from its stored fixes: `replayed`.

    STARTING ── three good fixes ──> MOVING ── no way made ──> STILL ── way made ──> STARTING
    any of them ── no fix in time, twice ──> TUNNEL ── a fix ──> STARTING, after a short one MOVING
    UNDERGROUND: a metro leg whose station is known; nothing is asked until the app says that it is above ground
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from greentrip.distance.plane import believed_m
from greentrip.distance.sphere import great_circle_m
from greentrip.trip import Fix, Mode

MOVING_S: dict[Mode, int] = {
    Mode.WALK: 20,  # 25 m: a corner of a block of 100 m is cut by a few metres
    Mode.CYCLE: 15,  # 60 m at 4 m/s
    Mode.BUS: 15,  # 100 m at 6 m/s; also what tells a bus, which stops for 10 to 40 s, from a car
    Mode.RAIL: 30,  # 300 m at 11 m/s: several fixes between two stations, and tracks have no sharp corners
    Mode.CARPOOL: 15,  # as a bus, of which it must be told apart
}
"""Seconds between fixes on the way. How much each costs in distance: docs/explanation/accuracy.md."""
RAIL_ON_NETWORK_S = 60
"""A metro leg above ground: the network gives the metres, fixes only show which way it went, coarse ones too."""
SAVER_FACTOR = 2
"""A phone that saves its battery asks half as often on the way; all intervals stay below what a track calls a gap."""
START_S = 5
START_FIXES = 3
"""The first fixes come quickly: where the way begins counts, and the first of a cold receiver are the worst."""
STILL_S = 60
STILL_LONG_S = 120
STILL_LONG_AFTER_S = 600.0
"""At rest a fix a minute finds the departure within the next corner; after ten minutes one in two minutes does."""
STILL_AFTER_S: dict[Mode, float] = {
    Mode.WALK: 120.0,  # a long red light
    Mode.CYCLE: 120.0,
    Mode.BUS: 180.0,  # a stop and the light behind it
    Mode.RAIL: 180.0,  # a train that waits before a station
    Mode.CARPOOL: 180.0,
}
"""So long without way made is standing."""
ACCURACY_M_MAX = 50.0
"""A less accurate fix comes from cell towers or a street canyon: as good as none, except that it ends a try."""
ACCURACY_COARSE_M_MAX = 1000.0
"""Where coarse fixes are asked for: still nearer than two stations are."""
STILL_M_MIN = 30.0
STILL_RADII = 2.0
"""Nobody has made way who is within this, or within so many times both 68 % radii, of a place."""
TUNNEL_TRIES = 2
TUNNEL_S = 15
TUNNEL_S_MAX = 60
"""Without reception each try runs the receiver at its dearest: tries get rarer, to one a minute, which bounds what is
missed behind the exit."""
WARM_S = 120.0
"""After so short a silence a receiver knows its satellites still, and its first fix is as good as any."""
ANSWER_S = 20.0
"""A receiver that has seen the sky lately answers within this; later, no fix came."""
TRIES_MAX = 10_000
"""More tries than a trip of 24 hours can hold: a clock that is wrong must not keep the phone counting."""


class FixAccuracy(StrEnum):
    """How exact a position to ask for: from satellites, from the network's cells, or none."""

    FINE = "fine"
    COARSE = "coarse"
    NONE = "none"


class SamplingPhase(StrEnum):
    """Why a request is as it is."""

    STARTING = "starting"
    MOVING = "moving"
    STILL = "still"
    TUNNEL = "tunnel"
    UNDERGROUND = "underground"


@dataclass(frozen=True, slots=True)
class FixRequest:
    """What to ask the location service for: a fix each `interval_s` seconds, or none (None) until something happens."""

    interval_s: int | None
    accuracy: FixAccuracy
    why: SamplingPhase


@dataclass(frozen=True, slots=True)
class Settings:
    """What does not change within a leg, for the policy: its mode, and what the app says."""

    mode: Mode
    on_network: bool = False
    """A metro leg whose station is known: the network gives the metres."""
    above_ground: bool = False
    saver: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """Where the machine stands. Times are Unix seconds."""

    settings: Settings
    phase: SamplingPhase
    since: float
    """When the phase began."""
    answered_at: float
    """The last fix, or the last time that none came."""
    good_at: float
    """The last good fix, or the leg's start."""
    place: Fix | None = None
    """Where way was made last."""
    fixes: int = 0
    """Good ones in this phase."""
    tries: int = 0
    """In vain, since the last good fix."""
    asked: int = 0
    """Fixes that came and tries in vain, since the leg began."""


def begin(settings: Settings, at: float) -> State:
    """The state at the start of a leg."""
    hidden = settings.mode is Mode.RAIL and settings.on_network and not settings.above_ground
    return State(settings, SamplingPhase.UNDERGROUND if hidden else SamplingPhase.STARTING, at, at, at)


def request_of(state: State, moving: bool | None = None) -> FixRequest:
    """What to ask for now. `moving` is what the phone's motion sensor says; None where there is none."""
    phase = _by_sensor(state, moving)
    if phase is SamplingPhase.UNDERGROUND:
        return FixRequest(None, FixAccuracy.NONE, phase)
    by_network = state.settings.on_network and state.settings.mode is Mode.RAIL
    accuracy = FixAccuracy.COARSE if by_network and phase is SamplingPhase.MOVING else FixAccuracy.FINE
    return FixRequest(_interval_s(state, phase), accuracy, phase)


def after_fix(state: State, fix: Fix) -> State:
    """The state once a fix came. One that is too inaccurate is as good as none; one that came too late is left out."""
    if not math.isfinite(fix.at) or fix.at < state.answered_at:
        return state
    if not _is_good(state.settings, fix):
        return after_silence(state, fix.at)
    place = fix if state.place is None or _made_way(state.place, fix) else state.place
    phase = _phase_after(state, fix, place)
    changed = phase is not state.phase
    return replace(
        state,
        phase=phase,
        since=fix.at if changed else state.since,
        answered_at=fix.at,
        good_at=fix.at,
        place=place,
        fixes=1 if changed else state.fixes + 1,
        tries=0,
        asked=state.asked + 1,
    )


def _phase_after(state: State, fix: Fix, place: Fix) -> SamplingPhase:
    """The phase once a good fix came; `place` is where way was made last, this fix included."""
    if state.phase is SamplingPhase.UNDERGROUND:
        return state.phase
    if fix.at - place.at >= STILL_AFTER_S[state.settings.mode]:
        return SamplingPhase.STILL
    if state.phase is SamplingPhase.STILL:
        return SamplingPhase.STARTING
    if state.phase is SamplingPhase.TUNNEL:
        warm = state.place is not None and fix.at - state.good_at <= WARM_S
        return SamplingPhase.MOVING if warm else SamplingPhase.STARTING
    started = state.phase is SamplingPhase.STARTING and state.fixes + 1 >= START_FIXES
    return SamplingPhase.MOVING if started else state.phase


def after_silence(state: State, at: float) -> State:
    """The state once a fix was asked for and none came."""
    silent = replace(state, answered_at=at, tries=state.tries + 1, asked=state.asked + 1)
    if state.phase in (SamplingPhase.UNDERGROUND, SamplingPhase.TUNNEL) or silent.tries < TUNNEL_TRIES:
        return silent
    return replace(silent, phase=SamplingPhase.TUNNEL, since=at)


def replayed(state: State, fixes: Iterable[Fix], until: float) -> State:
    """The state at a time, from the fixes that came until then: where none came in time, there was silence."""
    return _waited(after_fixes(state, fixes), until)


def after_fixes(state: State, fixes: Iterable[Fix]) -> State:
    """The state after the last of the fixes, and after the silences between them."""
    for fix in fixes:
        state = after_fix(_waited(state, fix.at), fix)
    return state


def asked_for(settings: Settings, started_at: float, fixes: Sequence[Fix], ended_at: float) -> int:
    """How many fixes the phone was asked for in a leg: those that came, and the tries in vain in between."""
    return replayed(begin(settings, started_at), fixes, ended_at).asked


def _waited(state: State, until: float) -> State:
    for _ in range(TRIES_MAX):
        interval_s = request_of(state).interval_s
        if interval_s is None or state.answered_at + interval_s + ANSWER_S > until:
            break
        # The first of the tries waits for the receiver; afterwards it is known to hear nothing.
        state = after_silence(state, state.answered_at + interval_s + (0.0 if state.tries else ANSWER_S))
    return state


def _by_sensor(state: State, moving: bool | None) -> SamplingPhase:
    if moving and state.phase is SamplingPhase.STILL:
        return SamplingPhase.STARTING
    if moving is False and state.phase is SamplingPhase.MOVING:
        return SamplingPhase.STILL
    return state.phase


def _interval_s(state: State, phase: SamplingPhase) -> int:
    saver = state.settings.saver
    if phase is SamplingPhase.STARTING:
        return START_S
    if phase is SamplingPhase.STILL:
        long = saver or state.answered_at - state.since >= STILL_LONG_AFTER_S
        return STILL_LONG_S if long else STILL_S
    if phase is SamplingPhase.TUNNEL:
        # Bounded before the power is taken: tries may be many.
        doubled = min(state.tries - TUNNEL_TRIES, 8)
        return min(TUNNEL_S << doubled, TUNNEL_S_MAX * (SAVER_FACTOR if saver else 1))
    by_network = state.settings.on_network and state.settings.mode is Mode.RAIL
    return RAIL_ON_NETWORK_S if by_network else MOVING_S[state.settings.mode] * (SAVER_FACTOR if saver else 1)


def _is_good(settings: Settings, fix: Fix) -> bool:
    by_network = settings.on_network and settings.mode is Mode.RAIL
    limit_m = ACCURACY_COARSE_M_MAX if by_network else ACCURACY_M_MAX
    return fix.accuracy_m is None or 0 <= fix.accuracy_m <= limit_m


def _made_way(place: Fix, fix: Fix) -> bool:
    reach_m = max(STILL_M_MIN, STILL_RADII * (believed_m(place.accuracy_m) + believed_m(fix.accuracy_m)))
    return great_circle_m(place.point, fix.point) > reach_m
