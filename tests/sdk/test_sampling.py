"""The sampling policy: few fixes, none in a tunnel under the city, and the same answer after the app's death."""

import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accuracy.sampling import build, legs_of_survey, taken
from greentrip import FixAccuracy, GreenTrip, Mode, NoTrip, SamplingPhase
from greentrip.distance.track import GAP_S_MAX, measure_track
from greentrip.sampling import (
    ANSWER_S,
    MOVING_S,
    STILL_AFTER_S,
    TUNNEL_S_MAX,
    Settings,
    State,
    after_fix,
    after_silence,
    asked_for,
    begin,
    replayed,
    request_of,
)
from greentrip.testing import FakeClock
from greentrip.trip import Fix
from support.trips import HOME, OFFICE, north_of, walk

OpenPhone = Callable[..., GreenTrip]
BEGAN = 1_772_671_500.0


def fix(seconds: float, metres: float, accuracy_m: float | None = 8.0) -> Fix:
    return Fix(north_of(HOME, metres), BEGAN + seconds, accuracy_m)


def after(mode: Mode, *fixes: Fix, **said: bool) -> State:
    state = begin(Settings(mode, **said), BEGAN)
    for each in fixes:
        state = after_fix(state, each)
    return state


def moving(mode: Mode, **said: bool) -> State:
    return after(mode, *(fix(5 * n, 50 * n) for n in range(3)), **said)


# The states


@pytest.mark.parametrize("mode", Mode)
def test_it_starts_quickly_and_then_asks_as_the_mode_needs(mode: Mode):
    state = begin(Settings(mode), BEGAN)
    for n in range(3):
        request = request_of(state)
        assert (request.interval_s, request.accuracy, request.why) == (5, FixAccuracy.FINE, SamplingPhase.STARTING)
        state = after_fix(state, fix(5 * n, 50 * n))
    assert request_of(state).why is SamplingPhase.MOVING
    assert request_of(state).interval_s == MOVING_S[mode]


@pytest.mark.parametrize("mode", Mode)
def test_who_stands_is_asked_rarely_and_who_sets_out_again_quickly(mode: Mode):
    state = moving(mode)
    stands_at, steps = 100.0, int(STILL_AFTER_S[mode] // 20) + 2
    for n in range(steps):
        state = after_fix(state, fix(30 + 20 * n, stands_at + (-1) ** n * 5))
    assert (request_of(state).why, request_of(state).interval_s) == (SamplingPhase.STILL, 60)
    for n in range(12):
        state = after_fix(state, fix(30 + 20 * steps + 60 * n, stands_at))
    assert request_of(state).interval_s == 120
    state = after_fix(state, fix(2000, stands_at + 90))
    assert request_of(state).why is SamplingPhase.STARTING


def test_jitter_at_rest_is_no_departure():
    state = moving(Mode.WALK)
    for n in range(60):
        state = after_fix(state, fix(30 + 20 * n, 100 + 25 * math.sin(n), accuracy_m=20.0))
    assert state.phase is SamplingPhase.STILL


@pytest.mark.parametrize("mode", Mode)
def test_in_a_tunnel_it_backs_off_and_tries_now_and_then(mode: Mode):
    state, intervals = moving(mode), []
    for n in range(8):
        state = after_silence(state, BEGAN + 60 + 60 * n)
        intervals.append(request_of(state).interval_s)
    assert request_of(state).why is SamplingPhase.TUNNEL
    assert intervals == [MOVING_S[mode], 15, 30, 60, 60, 60, 60, 60]
    assert request_of(after_fix(state, fix(600, 3000))).why is SamplingPhase.STARTING
    short = after_silence(after_silence(moving(mode), BEGAN + 40), BEGAN + 55)
    assert request_of(after_fix(short, fix(60, 900))).why is SamplingPhase.MOVING, "the receiver is still warm"


def test_a_fix_from_a_cell_tower_is_as_good_as_none():
    state = moving(Mode.BUS)
    for n in range(2):
        state = after_fix(state, fix(40 + 20 * n, 300, accuracy_m=800.0))
    assert state.phase is SamplingPhase.TUNNEL
    assert request_of(after_fix(state, fix(90, 400, accuracy_m=-1.0))).why is SamplingPhase.TUNNEL


@pytest.mark.parametrize("every_s", [30, 60, 120])
def test_a_phone_that_gives_fixes_more_rarely_than_asked_is_still_understood(every_s: int):
    """Systems throttle apps: each fix then follows silence, and is no exit of a tunnel."""
    state = replayed(begin(Settings(Mode.BUS), BEGAN), [fix(every_s * n, 6 * every_s * n) for n in range(10)], BEGAN)
    assert state.phase in (SamplingPhase.MOVING, SamplingPhase.TUNNEL)
    rest = [fix(every_s * (10 + n), 54 * every_s) for n in range(20)]
    assert replayed(state, rest, rest[-1].at).phase is SamplingPhase.STILL


def test_nothing_is_asked_on_a_metro_whose_station_is_known():
    state = begin(Settings(Mode.RAIL, on_network=True), BEGAN)
    for event in (fix(5, 0), fix(60, 900)):
        request = request_of(state)
        assert (request.interval_s, request.accuracy) == (None, FixAccuracy.NONE)
        assert request.why is SamplingPhase.UNDERGROUND
        state = after_fix(state, event)
    assert replayed(state, [], BEGAN + 3600).asked == 2, "the fixes that came unasked, and no try"


def test_above_ground_a_coarse_fix_a_minute_shows_the_route():
    request = request_of(moving(Mode.RAIL, on_network=True, above_ground=True))
    assert (request.interval_s, request.accuracy) == (60, FixAccuracy.COARSE)
    coarse = moving(Mode.RAIL, on_network=True, above_ground=True)
    for n in range(5):
        coarse = after_fix(coarse, fix(60 + 60 * n, 900 * n, accuracy_m=400.0))
    assert coarse.phase is SamplingPhase.MOVING
    request = request_of(moving(Mode.RAIL))
    assert (request.interval_s, request.accuracy) == (30, FixAccuracy.FINE), "there the track is all that counts"


@pytest.mark.parametrize("mode", Mode)
def test_a_phone_that_saves_its_battery_is_asked_half_as_often(mode: Mode):
    assert request_of(moving(mode, saver=True)).interval_s == 2 * MOVING_S[mode]


def test_the_motion_sensor_is_believed_at_once():
    state = moving(Mode.WALK)
    assert request_of(state, moving=False).why is SamplingPhase.STILL
    assert request_of(state, moving=True) == request_of(state)
    for n in range(10):
        state = after_fix(state, fix(30 + 20 * n, 100))
    assert request_of(state, moving=True).why is SamplingPhase.STARTING


# What holds for every trip

settings = st.builds(Settings, st.sampled_from(Mode), st.booleans(), st.booleans(), st.booleans())
heard = st.lists(
    st.builds(
        fix,
        st.floats(-100, 7200) | st.just(math.nan) | st.just(math.inf),
        st.floats(-5000, 5000),
        st.none() | st.floats(-1, 2000),
    ),
    max_size=40,
)


@given(settings, heard, st.none() | st.booleans())
def test_every_interval_is_shorter_than_a_gap(settings: Settings, fixes: list[Fix], moving: bool | None):
    state = begin(settings, BEGAN)
    for each in fixes:
        state = after_fix(state, each)
        request = request_of(state, moving)
        hidden = settings.mode is Mode.RAIL and settings.on_network and not settings.above_ground
        assert (request.interval_s is None) == hidden == (request.accuracy is FixAccuracy.NONE)
        assert request.interval_s is None or 5 <= request.interval_s <= 2 * TUNNEL_S_MAX < GAP_S_MAX


@given(settings, heard)
def test_what_is_late_or_no_time_changes_nothing(settings: Settings, fixes: list[Fix]):
    state = replayed(begin(settings, BEGAN), sorted((f for f in fixes if math.isfinite(f.at)), key=lambda f: f.at), 0)
    for late in (fix(-1000, 40), fix(math.nan, 40), fix(-math.inf, 40)):
        assert after_fix(state, late) == state


@given(settings, st.lists(st.floats(0, 3600), max_size=40), st.floats(0, 3600))
def test_the_state_follows_from_what_is_stored_whenever_the_app_died(settings: Settings, at: list[float], cut: float):
    fixes = [fix(seconds, 2 * seconds) for seconds in sorted(at)]
    before = [f for f in fixes if f.at <= BEGAN + cut]
    once = replayed(begin(settings, BEGAN), fixes, BEGAN + 3600)
    twice = replayed(replayed(begin(settings, BEGAN), before, BEGAN + cut), fixes[len(before) :], BEGAN + 3600)
    assert once == twice


def test_a_clock_that_is_years_ahead_does_not_keep_the_phone_counting():
    state = replayed(begin(Settings(Mode.BUS), BEGAN), [], BEGAN + 10 * 365 * 86_400)
    assert state.asked <= 10_000
    assert request_of(state).interval_s == TUNNEL_S_MAX


def test_it_counts_what_came_and_what_was_tried_in_vain():
    came = [fix(20 * n, 25 * n) for n in range(10)]
    assert asked_for(Settings(Mode.WALK), BEGAN, came, BEGAN + 190) == 10
    in_a_tunnel = asked_for(Settings(Mode.WALK), BEGAN, came, BEGAN + 180 + 600)
    assert 10 + 8 <= in_a_tunnel <= 10 + 14, "two tries to find out, 15, 30 and then 60 s apart"
    dense = [fix(n, 1.2 * n) for n in range(600)]
    assert asked_for(Settings(Mode.WALK), BEGAN, dense, BEGAN + 600) == 600, "an app that asks more often has asked"


# Through GreenTrip


def test_without_a_trip_there_is_nothing_to_ask(phone: GreenTrip):
    with pytest.raises(NoTrip):
        phone.next_fix()
    assert phone.sampling_report() == ()


def test_the_next_fix_is_the_same_after_the_app_died(open_phone: OpenPhone, clock: FakeClock):
    phone = open_phone()
    phone.start("walk", HOME)
    assert phone.next_fix().why is SamplingPhase.STARTING
    walk(phone, clock, 300)
    assert phone.next_fix().interval_s == MOVING_S[Mode.WALK]
    assert open_phone().next_fix() == phone.next_fix()
    clock.tick(900)
    assert open_phone().next_fix() == phone.next_fix()
    assert phone.next_fix().why is SamplingPhase.TUNNEL
    assert phone.next_fix(saver=True).interval_s == 2 * TUNNEL_S_MAX


def test_a_phone_that_follows_fix_by_fix_asks_what_a_new_one_would(open_phone: OpenPhone, clock: FakeClock):
    """It does not fold all fixes again each time; another leg, trip or wish begins anew."""
    phone = open_phone()
    asked = []
    for trip in range(2):
        phone.start(Mode.WALK, HOME)
        for minute in range(12):
            clock.tick(60)
            phone.fix(north_of(HOME, 70 * minute + trip), accuracy_m=8.0 if minute % 5 else 500.0)
            saver = minute % 3 == 2
            asked.append(phone.next_fix(saver=saver))
            assert asked[-1] == open_phone().next_fix(saver=saver)
            if minute == 6:
                phone.switch(Mode.CYCLE, north_of(HOME, 70 * minute))
        phone.cancel()
    assert asked[:12] == asked[12:]
    assert len({request.interval_s for request in asked}) > 2


def test_a_long_stand_is_asked_rarely_also_after_a_restart(open_phone: OpenPhone, clock: FakeClock):
    phone = open_phone()
    phone.start("bus", HOME)
    for _ in range(45):
        phone.fix(HOME, accuracy_m=10)
        clock.tick(120)
    assert (phone.next_fix().why, phone.next_fix().interval_s) == (SamplingPhase.STILL, 120)
    assert open_phone().next_fix() == phone.next_fix()
    assert phone.next_fix(moving=True).interval_s == 5


def test_a_metro_leg_asks_for_nothing_until_the_app_says_so(phone: GreenTrip, clock: FakeClock):
    phone.start("rail", "虎坊桥")
    assert phone.next_fix().accuracy is FixAccuracy.NONE
    assert phone.next_fix(above_ground=True).why is SamplingPhase.STARTING
    clock.tick(1200)
    assert phone.next_fix().interval_s is None
    phone.switch("walk", "双井")
    assert phone.next_fix().why is SamplingPhase.STARTING, "each leg begins anew"


def test_rail_away_from_the_network_is_followed_by_its_track(open_phone: OpenPhone):
    phone = open_phone(network=None)
    phone.start("rail", HOME)
    assert phone.next_fix().accuracy is FixAccuracy.FINE


def test_the_report_counts_by_mode(phone: GreenTrip, clock: FakeClock):
    phone.start("walk", HOME)
    end = walk(phone, clock, 1400)
    phone.switch("rail", "虎坊桥")
    clock.tick(1800)
    phone.finish("双井")
    on_foot, by_rail = phone.sampling_report()
    assert (on_foot.mode, on_foot.legs, on_foot.fixes, on_foot.asked, on_foot.seconds) == (Mode.WALK, 1, 101, 101, 1010)
    assert on_foot.asked_an_hour == pytest.approx(360)
    assert (by_rail.mode, by_rail.fixes, by_rail.asked, by_rail.asked_an_hour) == (Mode.RAIL, 0, 0, 0.0)
    phone.start("walk", end)
    clock.tick(600)
    phone.finish(OFFICE)
    on_foot, _ = phone.sampling_report()
    assert (on_foot.legs, on_foot.fixes) == (2, 101)
    assert on_foot.asked > 101, "nothing came, but the receiver ran"


# Real tracks


@pytest.mark.parametrize("step_s", [5, 10, 30, 60])
def test_on_real_tracks_few_fixes_give_nearly_the_same_distance(shared_data: Path, step_s: int):
    """The phone offers a fix each `step_s` seconds at most, and the policy takes what it wants of them."""
    changes: dict[Mode, list[float]] = {}
    for mode, fixes in legs_of_survey(shared_data):
        full = measure_track(mode, fixes)
        if full is None or full.metres < 500 or mode is Mode.RAIL:
            continue
        some, asked = taken(Settings(mode), fixes, step_s)
        assert asked <= (fixes[-1].at - fixes[0].at + ANSWER_S) / 5 + 2
        assert all(b.at - a.at >= step_s for a, b in pairwise(some[:-1])), "the last is that of the last tap"
        found = measure_track(mode, some)
        changes.setdefault(mode, []).append(abs((found.metres if found else 0) / full.metres - 1))
    assert set(changes) == {Mode.WALK, Mode.CYCLE, Mode.BUS}
    for mode, found_changes in changes.items():
        assert median(found_changes) <= (0.03 if step_s <= 30 else 0.08), mode


def test_the_section_of_the_accuracy_report_has_a_count_beside_each_figure(shared_data: Path, tmp_path: Path):
    pytest.importorskip("matplotlib")
    told: list[str] = []
    section = build(shared_data, tmp_path, told.append)
    assert section.markdown.startswith("## ")
    assert (tmp_path / "sampling.png").stat().st_size > 10_000
    assert told, "what takes seconds says so"
    tables = [line for line in section.markdown.splitlines() if line.startswith("| mode") or line.startswith("| leg")]
    assert len(tables) == 4
    assert all(" legs " in table or " cases " in table for table in tables)
