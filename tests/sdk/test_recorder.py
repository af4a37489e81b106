"""Recording: taps and fixes become legs, and a refused call leaves the trip running and fit to be finished."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from greentrip import (
    Flag,
    GreenTrip,
    InvalidInput,
    Method,
    Mode,
    Network,
    NoTrip,
    Point,
    Reason,
    Route,
    State,
    Station,
    TripRunning,
    UnknownChange,
    UnknownStation,
)
from greentrip.record import decode
from greentrip.testing import FakeClock
from support.refusals import refused
from support.trips import EXAMPLE, FAR_END, HOME, OFFICE, UTRECHT, north_of, ride, walk

OpenPhone = Callable[..., GreenTrip]
YEARS = 365 * 24 * 3600


# Each mode


def test_the_published_example(phone: GreenTrip, clock: FakeClock):
    trip = ride(phone, clock)
    (leg,) = trip.legs
    assert (trip.reduction_mg, leg.metres, leg.counted_m) == (2_517_120, 34_958, 34_960)
    assert (leg.method, leg.route, leg.changes) == (Method.RAIL, Route.NAMED, ("双井", "呼家楼"))
    assert (leg.start, leg.end, leg.minutes) == ("虎坊桥", FAR_END, 60)
    assert leg.reasons == (Reason.EARNS,)
    assert trip.state is State.PENDING
    assert phone.active is None


def test_the_published_example_with_walks_on_a_track(phone: GreenTrip, clock: FakeClock):
    station = Network.sample().point_of("虎坊桥")
    phone.start("walk", north_of(station, -500))
    walk(phone, clock, 500, north_of(station, -500))
    phone.switch("rail", "虎坊桥")
    clock.tick(3600)
    phone.switch("walk", FAR_END, changes=["双井", "呼家楼"])
    end = walk(phone, clock, 600, Network.sample().point_of(FAR_END))
    trip = phone.finish(end)
    assert [leg.mode for leg in trip.legs] == [Mode.WALK, Mode.RAIL, Mode.WALK]
    walked = [leg.counted_m for leg in trip.legs if leg.mode is Mode.WALK]
    assert all(metres in (400, 500, 600) for metres in walked)
    assert trip.reduction_mg == 2_517_120 + sum(walked) * 104
    record = decode(trip.record or b"")
    assert [features.leg for features in record.features] == [0, 2]


@pytest.mark.parametrize("mode", [Mode.WALK, Mode.CYCLE, "walk", "cycle"])
def test_walking_and_cycling_earn_by_their_track_only(phone: GreenTrip, clock: FakeClock, mode: Mode | str):
    phone.start(mode, HOME)
    end = walk(phone, clock, 1000)
    tracked = phone.finish(end)
    assert tracked.legs[0].method is Method.TRACK
    assert 900 <= tracked.legs[0].counted_m <= 1000
    assert tracked.reduction_mg > 0

    phone.start(mode, HOME)
    clock.tick(600)
    untracked = phone.finish(OFFICE)
    assert untracked.legs[0].method is Method.ENDPOINTS
    assert (untracked.reduction_mg, untracked.legs[0].reasons) == (0, (Reason.NO_TRACK,))


def test_a_bus_earns_by_the_lower_end_of_its_end_points(phone: GreenTrip, clock: FakeClock):
    phone.start("bus", HOME)
    clock.tick(900)
    (leg,) = phone.finish(OFFICE).legs
    assert leg.method is Method.ENDPOINTS
    assert leg.low_m < leg.metres < leg.high_m
    assert leg.counted_m == leg.low_m // 100 * 100
    assert leg.ug == leg.counted_m * 52_000


def test_a_shared_car_waits_for_the_others(phone: GreenTrip, clock: FakeClock):
    phone.start("carpool", HOME)
    end = walk(phone, clock, 1000)
    trip = phone.finish(end)
    assert (trip.reduction_mg, trip.legs[0].reasons) == (0, (Reason.CARPOOL_UNCONFIRMED,))
    assert decode(trip.record or b"").legs[0].distance_m > 0, "the metres are sent, so that tickets can confirm them"


def test_rail_from_points_near_stations(phone: GreenTrip, clock: FakeClock, network: Network):
    phone.start("rail", north_of(network.point_of("虎坊桥"), 300))
    clock.tick(3600)
    trip = phone.finish(north_of(network.point_of(FAR_END), -200))
    assert (trip.legs[0].start, trip.legs[0].end, trip.legs[0].route) == ("虎坊桥", FAR_END, Route.SHORTEST)
    assert trip.reduction_mg == 2_517_120


def test_rail_away_from_stations_earns_nothing_and_says_why(phone: GreenTrip, clock: FakeClock):
    phone.start("rail", Point(39.70, 116.30))
    clock.tick(1800)
    trip = phone.finish(Point(39.75, 116.40))
    assert (trip.reduction_mg, trip.legs[0].reasons) == (0, (Reason.NO_STATIONS,))


def test_without_a_network_points_still_work(open_phone: Callable[..., GreenTrip], clock: FakeClock):
    phone = open_phone(network=None)
    with refused(InvalidInput, "network", "pass network="):
        phone.start("rail", "虎坊桥")
    phone.start("bus", HOME)
    with refused(InvalidInput, "network"):
        phone.finish(Station("虎坊桥"))
    clock.tick(60)
    assert phone.finish(OFFICE).reduction_mg > 0


# Switching


def test_switching_makes_legs_that_meet(phone: GreenTrip, clock: FakeClock):
    phone.start("bus", HOME)
    clock.tick(600)
    phone.switch("rail", "虎坊桥")
    clock.tick(1200)
    phone.switch("bus", "双井")
    clock.tick(300)
    trip = phone.finish(OFFICE)
    assert [leg.mode for leg in trip.legs] == [Mode.BUS, Mode.RAIL, Mode.BUS]
    assert [leg.minutes for leg in trip.legs] == [10, 20, 5]
    assert [leg.end for leg in trip.legs[:-1]] == [leg.start for leg in trip.legs[1:]]
    assert sum(leg.ug for leg in trip.legs) // 1000 == trip.reduction_mg


def test_from_rail_to_rail_a_switch_names_a_change(phone: GreenTrip, clock: FakeClock):
    phone.start("rail", "虎坊桥")
    clock.tick(1200)
    phone.switch("rail", "双井")
    clock.tick(600)
    phone.switch("rail", "呼家楼")
    active = phone.active
    assert active is not None
    assert active.legs == 1
    clock.tick(2400)
    (leg,) = phone.finish(FAR_END).legs
    assert (leg.changes, leg.route, leg.minutes) == (("双井", "呼家楼"), Route.NAMED, 70)


def test_a_change_belongs_to_the_leg_in_which_it_was_named(phone: GreenTrip, clock: FakeClock):
    """Also when all happens in the same minute, as in files."""
    at = clock.now() - 7200
    phone.start("rail", "虎坊桥", at=at)
    phone.switch("rail", "双井", at=at + 600)
    phone.switch("bus", "国贸", at=at + 600)
    phone.switch("rail", "金台夕照", at=at + 600)
    trip = phone.finish("呼家楼", at=at + 900)
    assert [leg.changes for leg in trip.legs] == [("双井",), (), ()]


def test_changes_given_at_the_end_take_the_place_of_those_on_the_way(phone: GreenTrip, clock: FakeClock):
    """A tap at the wrong station must not cost the trip."""
    phone.start("rail", "虎坊桥")
    clock.tick(600)
    phone.switch("rail", "珠市口")  # nobody can change here, but only the end of the ride shows it
    clock.tick(600)
    with refused(UnknownChange, "changes", "nobody changes at 珠市口"):
        phone.finish("双井")
    assert phone.finish("双井", changes=[]).legs[0].changes == ()


def test_the_same_holds_for_a_leg_in_the_middle(phone: GreenTrip, clock: FakeClock):
    phone.start("rail", "虎坊桥")
    phone.switch("rail", "珠市口")
    clock.tick(900)
    with refused(UnknownChange, "changes"):
        phone.switch("bus", "呼家楼")
    phone.switch("bus", "呼家楼", changes=["双井"])
    clock.tick(900)
    trip = phone.finish(OFFICE)
    assert trip.legs[0].changes == ("双井",)


def test_a_change_away_from_any_station_is_refused(phone: GreenTrip, clock: FakeClock):
    phone.start("rail", "虎坊桥")
    clock.tick(60)
    with refused(InvalidInput, "place", "happens at a station"):
        phone.switch("rail", Point(39.5, 116.9))
    assert phone.finish("双井").legs[0].changes == ()


# The end


def test_without_a_place_it_ends_at_the_last_fix_and_at_its_time(phone: GreenTrip, clock: FakeClock):
    phone.start("walk", HOME)
    end = walk(phone, clock, 500)
    last_fix_at = clock.now() - 10
    clock.tick(3600)  # forgot to tap
    trip = phone.finish()
    assert trip.ended_at.timestamp() == last_fix_at
    assert trip.legs[0].end == f"{end.lat:.5f}, {end.lon:.5f}"


def test_without_a_place_and_without_a_fix_it_asks_for_one(phone: GreenTrip, clock: FakeClock):
    phone.start("bus", HOME)
    clock.tick(60)
    with refused(InvalidInput, "place", "say where"):
        phone.finish()
    assert phone.finish(OFFICE).reduction_mg > 0


def test_cancel_forgets_the_trip_and_its_fixes(phone: GreenTrip, clock: FakeClock):
    phone.start("walk", HOME)
    walk(phone, clock, 300)
    phone.cancel()
    assert phone.active is None
    assert phone.trips() == []
    assert phone.stats().cancelled == 1
    phone.start("walk", HOME)
    active = phone.active
    assert active is not None
    assert active.fixes == 0
    with refused(InvalidInput, "place", "no fix"):
        phone.finish()


def test_calls_without_a_trip_are_refused(phone: GreenTrip):
    calls = [
        lambda: phone.finish(HOME),
        lambda: phone.switch("bus", HOME),
        lambda: phone.fix(HOME),
        phone.cancel,
        phone.resume,
        phone.finish,
    ]
    for call in calls:
        with refused(NoTrip):
            call()
    assert phone.active is None


# A trip in progress


def test_active_tells_what_runs(phone: GreenTrip, clock: FakeClock):
    assert phone.active is None
    started = clock.now()
    phone.start("walk", HOME)
    clock.tick(30)
    phone.fix(HOME)
    clock.tick(30)
    phone.fix(north_of(HOME, 30))
    active = phone.active
    assert active is not None
    assert (active.mode, active.legs, active.fixes, active.interrupted) == (Mode.WALK, 1, 2, False)
    assert active.started_at.timestamp() == started
    assert active.last_seen_at.timestamp() == started + 60
    phone.switch("bus", north_of(HOME, 60))
    active = phone.active
    assert active is not None
    assert (active.mode, active.legs) == (Mode.BUS, 2)


def test_after_the_death_of_the_app_the_trip_is_found_again(open_phone: Callable[..., GreenTrip], clock: FakeClock):
    before = open_phone()
    before.start("walk", HOME)
    end = walk(before, clock, 400)
    after = open_phone()
    active = after.active
    assert active is not None
    assert active.interrupted
    assert active.fixes == before_fixes(before)
    resumed = after.resume()
    assert not resumed.interrupted
    assert after.resume() == after.active, "resume() twice is once"
    end = walk(after, clock, 400, end)
    trip = after.finish(end)
    assert 600 <= trip.legs[0].counted_m <= 800
    assert decode(trip.record or b"").flags == (Flag.GAP,)


def before_fixes(phone: GreenTrip) -> int:
    active = phone.active
    assert active is not None
    return active.fixes


@pytest.mark.parametrize("way", ["resume", "finish", "switch", "change"])
def test_every_way_to_go_on_after_an_interruption_marks_a_gap(
    open_phone: Callable[..., GreenTrip], clock: FakeClock, way: str
):
    open_phone().start("rail", "虎坊桥")
    clock.tick(600)
    phone = open_phone()
    if way == "resume":
        phone.resume()
    elif way == "switch":
        phone.switch("bus", "双井")
    elif way == "change":
        phone.switch("rail", "双井")
    clock.tick(600)
    trip = phone.finish("呼家楼")
    assert decode(trip.record or b"").flags == (Flag.GAP,)


def test_a_trip_without_interruption_has_no_gap(phone: GreenTrip, clock: FakeClock):
    assert decode(ride(phone, clock).record or b"").flags == ()


def test_what_the_system_and_the_app_say_of_a_trip_is_flagged(phone: GreenTrip, clock: FakeClock):
    phone.start("walk", HOME, replayed=True)
    for step in range(5):
        phone.fix(north_of(HOME, 30 * step), accuracy_m=5, mock=step == 3)
        clock.tick(20)
    assert decode(phone.finish().record or b"").flags == (Flag.MOCK, Flag.REPLAY)


# Clocks


@pytest.mark.parametrize("jump", [-10 * YEARS, -3600, 3600, 10 * YEARS])
def test_a_jump_of_the_wall_clock_within_a_boot_does_not_change_a_duration(
    phone: GreenTrip, clock: FakeClock, jump: float
):
    started = clock.now()
    phone.start("rail", "虎坊桥")
    clock.tick(600)
    clock.wall += jump
    phone.switch("bus", "双井")
    clock.tick(600)
    clock.wall -= 2 * jump
    clock.tick(600)
    trip = phone.finish(OFFICE)
    assert trip.started_at.timestamp() == started
    assert [leg.minutes for leg in trip.legs] == [10, 20]


@pytest.mark.parametrize("jump", [-10 * YEARS, 10 * YEARS])
def test_a_track_over_a_jump_of_the_wall_clock_is_whole(phone: GreenTrip, clock: FakeClock, jump: float):
    started = clock.now()
    phone.start("walk", HOME)
    middle = walk(phone, clock, 500)
    clock.wall += jump
    walk(phone, clock, 500, middle)
    trip = phone.finish()
    assert 900 <= trip.legs[0].counted_m <= 1000
    assert trip.ended_at.timestamp() - started == pytest.approx(72 * 10, abs=20)


def test_after_a_reboot_with_an_earlier_clock_the_trip_waits_for_the_right_time(phone: GreenTrip, clock: FakeClock):
    phone.start("walk", HOME)
    end = walk(phone, clock, 500)
    ended = clock.now()
    clock.reboot()
    clock.wall = 0.0
    for call in (lambda: phone.finish(end), lambda: phone.switch("bus", end), lambda: phone.fix(end)):
        with refused(InvalidInput, "clock", "set the clock, or pass at="):
            call()
    active = phone.active
    assert active is not None
    assert active.fixes > 30
    clock.wall = ended + 60
    assert phone.finish(end).legs[0].counted_m >= 400


def test_after_a_reboot_with_a_right_clock_the_wall_clock_counts(phone: GreenTrip, clock: FakeClock):
    phone.start("rail", "虎坊桥")
    clock.tick(600)
    clock.reboot()
    clock.tick(1200)
    assert phone.finish(FAR_END).legs[0].minutes == 30


def test_resuming_after_a_reboot_with_an_earlier_clock_loses_nothing(
    open_phone: Callable[..., GreenTrip], clock: FakeClock
):
    open_phone().start("rail", "虎坊桥")
    clock.tick(600)
    clock.reboot()
    clock.wall -= YEARS
    phone = open_phone()
    with refused(InvalidInput, "clock"):
        phone.resume()
    clock.wall += YEARS
    phone.resume()
    assert phone.finish(FAR_END).reduction_mg == 2_517_120


# at=


def test_a_trip_may_be_entered_afterwards(phone: GreenTrip, clock: FakeClock):
    morning = datetime(2026, 3, 4, 0, 10, tzinfo=UTC)
    phone.start("rail", "虎坊桥", at=morning)
    phone.switch("bus", "双井", at=morning + timedelta(minutes=20))
    trip = phone.finish(OFFICE, at=(morning + timedelta(minutes=35)).timestamp())
    assert (trip.started_at, trip.ended_at) == (morning, morning + timedelta(minutes=35))
    assert (trip.day, [leg.minutes for leg in trip.legs]) == ("2026-03-04", [20, 15])
    assert decode(trip.record or b"").slot == 16


def test_a_trip_that_began_before_the_tap_lasts_until_now(phone: GreenTrip, clock: FakeClock):
    """at= sets the timer back: it does not end the trip as long before now as it began before the tap."""
    phone.start("walk", HOME, at=clock.now() - 600)
    clock.tick(300)
    phone.fix(OFFICE)
    active = phone.active
    assert active is not None
    assert active.last_seen_at.timestamp() == clock.now()
    trip = phone.finish(OFFICE)
    assert trip.ended_at.timestamp() == clock.now()
    assert trip.legs[0].minutes == 15


def test_an_end_a_little_ahead_of_the_clock_is_taken(phone: GreenTrip, clock: FakeClock):
    phone.start("bus", HOME, at=clock.now() + 120)
    clock.tick(1)
    assert phone.finish(OFFICE).legs[0].minutes == 1


BAD_TIMES = [
    (datetime(2026, 3, 5, 8, 0), "names no zone"),
    (math.nan, "not a time"),
    (math.inf, "not a time"),
    (-math.inf, "not a time"),
    (-1, "not a time"),
    (True, "not a time"),
    ("2026-03-05", "not a time"),
    (10**400, "not a time"),
    (datetime(2026, 3, 5, 9, 0, tzinfo=UTC), "in the future"),
    (datetime(9999, 1, 1, tzinfo=UTC), "in the future"),
    (datetime(2026, 3, 4, 23, 59, tzinfo=UTC), "end lies before the start"),
    (0, "end lies before the start"),
]


@pytest.mark.parametrize(("at", "says"), BAD_TIMES, ids=lambda value: str(value)[:25])
def test_a_time_that_cannot_be_is_refused(phone: GreenTrip, clock: FakeClock, at: object, says: str):
    before_the_start = "before the start" in says
    if not before_the_start:
        with refused(InvalidInput, "at", says):
            phone.start("bus", HOME, at=at)
        assert phone.active is None
    phone.start("bus", HOME)
    clock.tick(60)
    for call in (phone.finish, lambda place, at: phone.switch("walk", place, at=at)):
        with refused(InvalidInput, "at", says):
            call(OFFICE, at=at)
    if not before_the_start and "future" not in says:  # a fix may be late, or of a clock that is ahead
        with refused(InvalidInput, "at", says):
            phone.fix(OFFICE, at=at)
    assert phone.finish(OFFICE).legs[0].minutes == 1


def test_a_fix_from_before_the_start_or_after_the_end_is_left_out(phone: GreenTrip, clock: FakeClock):
    started = clock.now()
    phone.start("walk", HOME)
    phone.fix(UTRECHT, at=started - 60)
    end = walk(phone, clock, 500)
    ended = clock.now()
    clock.tick(60)
    phone.fix(UTRECHT)
    trip = phone.finish(end, at=ended)
    assert 400 <= trip.legs[0].counted_m <= 500
    assert trip.state is State.PENDING


# Refusals: the trip goes on


@contextmanager
def _goes_on(phone: GreenTrip, clock: FakeClock) -> Iterator[None]:
    """What is refused inside changes nothing: the trip runs, and ends as if it had not been said."""
    phone.start("rail", "虎坊桥")
    clock.tick(600)
    before = phone.active, phone.trips()
    yield
    assert (phone.active, phone.trips()) == before
    trip = phone.finish(FAR_END)
    assert (trip.reduction_mg, trip.legs[0].minutes) == (2_517_120, 10)


def test_a_second_start_is_refused(phone: GreenTrip, clock: FakeClock):
    with _goes_on(phone, clock), refused(TripRunning):
        phone.start("walk", HOME)


@pytest.mark.parametrize("mode", ["ferry", "", "WALK", None, 5, ["walk"]])
def test_an_unknown_mode_lists_the_modes(phone: GreenTrip, clock: FakeClock, mode: object):
    with refused(InvalidInput, "mode", "walk, cycle, bus, rail, carpool"):
        phone.start(mode, HOME)
    with _goes_on(phone, clock), refused(InvalidInput, "mode"):
        phone.switch(mode, HOME)


@pytest.mark.parametrize(("name", "suggestion"), [("东夏圆", "东夏园"), ("双", "双井"), ("虎坊桥站", "虎坊桥")])
def test_an_unknown_station_comes_with_suggestions(phone: GreenTrip, clock: FakeClock, name: str, suggestion: str):
    with refused(UnknownStation) as caught:
        phone.start("rail", name)
    assert caught.value.suggestions[0] == suggestion
    assert suggestion in caught.value.en
    assert suggestion in caught.value.zh
    for call in (phone.finish, lambda place: phone.switch("rail", place), lambda place: phone.switch("bus", place)):
        with _goes_on(phone, clock), refused(UnknownStation):
            call(name)


@pytest.mark.parametrize("name", ["", "   ", "Utrecht Centraal"])
def test_a_station_like_no_other_has_no_suggestions(phone: GreenTrip, clock: FakeClock, name: str):
    with _goes_on(phone, clock), refused(UnknownStation, says="give a name of the network") as caught:
        phone.finish(name)
    assert caught.value.suggestions == ()


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        (["珠市口"], UnknownChange),
        (["呼家楼", "双井"], UnknownChange),
        (["双井", "双井"], UnknownChange),
        (["西直门"], UnknownStation),
        (["双井"] * 9, InvalidInput),
    ],
)
def test_a_change_that_the_route_does_not_have(
    phone: GreenTrip, clock: FakeClock, changes: list[str], kind: type[InvalidInput]
):
    with _goes_on(phone, clock), refused(kind, "changes"):
        phone.finish(FAR_END, changes=changes)


def test_start_and_end_at_one_station(phone: GreenTrip, clock: FakeClock):
    for call in (phone.finish, lambda place: phone.switch("bus", place), lambda place: phone.switch("rail", place)):
        with _goes_on(phone, clock), refused(InvalidInput, "place", "both ends are at 虎坊桥"):
            call("虎坊桥")


def test_start_and_end_at_one_point(phone: GreenTrip, clock: FakeClock):
    phone.start("bus", HOME)
    clock.tick(60)
    with refused(InvalidInput, "place", "same place and no track"):
        phone.finish(north_of(HOME, 5))
    assert phone.finish(north_of(HOME, 500)).reduction_mg > 0


def test_a_walk_around_the_block_counts_by_its_track(phone: GreenTrip, clock: FakeClock):
    phone.start("walk", HOME)
    walk(phone, clock, 500)
    for step in range(37):
        phone.fix(north_of(HOME, 500 - step * 500 / 36), accuracy_m=5.0)
        clock.tick(10)
    assert phone.finish(HOME).legs[0].counted_m >= 800


@pytest.mark.parametrize(
    ("lat", "lon", "field"),
    [
        (90.1, 0, "lat"),
        (-91, 0, "lat"),
        (0, 180.5, "lon"),
        (math.nan, 0, "lat"),
        (0, math.nan, "lon"),
        (0, math.inf, "lon"),
        ("39.9", 116.4, "lat"),
        (39.9, None, "lon"),
        (True, 0, "lat"),
        (10**400, 0, "lat"),
    ],
)
def test_coordinates_out_of_range_name_the_field(lat: object, lon: object, field: str):
    with refused(InvalidInput, field):
        Point(lat, lon)


@pytest.mark.parametrize("place", [None, 5, (39.9, 116.4), {"lat": 39.9, "lon": 116.4}])
def test_a_place_that_is_none(phone: GreenTrip, clock: FakeClock, place: object):
    with refused(InvalidInput, "place", "neither a Point nor a station"):
        phone.start("bus", place)
    with _goes_on(phone, clock), refused(InvalidInput, "place"):
        phone.switch("bus", place)


@pytest.mark.parametrize("accuracy", [math.nan, math.inf, "5", True])
def test_an_accuracy_that_cannot_be(phone: GreenTrip, clock: FakeClock, accuracy: object):
    with _goes_on(phone, clock), refused(InvalidInput, "accuracy_m"):
        phone.fix(HOME, accuracy_m=accuracy)


@pytest.mark.parametrize("place", [(39.9, 116.4), "虎坊桥", None])
def test_a_fix_that_is_no_point(phone: GreenTrip, clock: FakeClock, place: object):
    with _goes_on(phone, clock), refused(InvalidInput, "point"):
        phone.fix(place)


@pytest.mark.parametrize("accuracy", [1e308, -1e308, 10**400, 0])
def test_a_senseless_accuracy_never_keeps_a_trip_from_ending(phone: GreenTrip, clock: FakeClock, accuracy: float):
    phone.start("walk", HOME)
    for step in range(60):
        clock.tick(10)
        phone.fix(north_of(HOME, 14 * step), accuracy_m=5)
        phone.fix(north_of(HOME, 14 * step), accuracy_m=accuracy)
    assert phone.finish().legs[0].metres == pytest.approx(14 * 59, rel=0.05)


@pytest.mark.parametrize("last", [(Point(0, 0), 5), (north_of(HOME, 9000), -1), (north_of(HOME, 9000), 3000)])
def test_a_trip_ends_at_the_last_fix_that_tells_a_place(phone: GreenTrip, clock: FakeClock, last: tuple[Point, float]):
    phone.start("walk", HOME)
    end = walk(phone, clock)
    phone.fix(last[0], accuracy_m=last[1])
    leg = phone.finish().legs[0]
    assert not leg.gaps
    assert leg.high_m < 1200
    assert Point(*map(float, leg.end.split(","))).lat == pytest.approx(end.lat, abs=1e-5)


@pytest.mark.parametrize("fix", [(Point(0, 0), 5), (north_of(HOME, 9000), -1), (north_of(HOME, 9000), 3000)])
def test_where_no_fix_tells_a_place_the_end_is_asked_for(phone: GreenTrip, clock: FakeClock, fix: tuple[Point, float]):
    phone.start("walk", HOME)
    for _ in range(5):
        clock.tick(60)
        phone.fix(fix[0], accuracy_m=fix[1])
    with refused(InvalidInput, "place", "no fix tells where"):
        phone.finish()
    assert phone.finish(OFFICE).legs[0].method is Method.ENDPOINTS


def test_a_place_at_zero_zero_is_none(phone: GreenTrip, clock: FakeClock):
    nowhere = Point(0.0, 0.0)
    with refused(InvalidInput, "place", "without a position"):
        phone.start("bus", nowhere)
    with _goes_on(phone, clock), refused(InvalidInput, "place", "without a position"):
        phone.finish(nowhere)
    assert phone.active is None


def test_positions_that_the_system_calls_invalid_are_taken_and_not_measured(phone: GreenTrip, clock: FakeClock):
    phone.start("walk", HOME)
    for step in range(60):
        clock.tick(10)
        phone.fix(north_of(HOME, 14 * step), accuracy_m=5)
        phone.fix(north_of(HOME, 5000), accuracy_m=-1)
        phone.fix(north_of(HOME, 9000), accuracy_m=100_001)
    assert phone.finish().legs[0].metres == pytest.approx(14 * 59, rel=0.05)


def test_a_satellites_time_that_is_ahead_of_a_slow_phone_loses_no_fix(phone: GreenTrip, clock: FakeClock):
    phone.start("walk", HOME)
    for step in range(60):
        clock.tick(10)
        phone.fix(north_of(HOME, 14 * step), at=clock.now() + 600, accuracy_m=5)
    trip = phone.finish()
    assert trip.legs[0].metres == pytest.approx(14 * 59, rel=0.05)
    assert trip.legs[0].minutes == 10


@pytest.mark.parametrize("changes", ["双井", [1]])
def test_changes_that_are_no_list_of_names(phone: GreenTrip, clock: FakeClock, changes: object):
    phone.start("rail", "虎坊桥")
    clock.tick(3600)
    with refused(InvalidInput, "changes", "list of station names"):
        phone.finish("东夏园", changes=changes)
    assert phone.finish("东夏园").legs[0].changes == ("双井", "呼家楼")


def test_changes_are_for_rail(phone: GreenTrip, clock: FakeClock):
    phone.start("bus", HOME)
    clock.tick(600)
    with refused(InvalidInput, "changes", "for rail legs"):
        phone.finish(OFFICE, changes=["双井"])
    assert phone.finish(OFFICE).legs[0].metres > 0


def test_the_thirteenth_leg_is_refused(phone: GreenTrip, clock: FakeClock):
    phone.start("bus", HOME)
    for number in range(1, 12):
        clock.tick(60)
        phone.switch("walk" if number % 2 else "bus", north_of(HOME, number * 200))
    clock.tick(60)
    with refused(InvalidInput, "mode", "at most 12 legs"):
        phone.switch("bus", north_of(HOME, 2400))
    trip = phone.finish(north_of(HOME, 2400))
    assert len(trip.legs) == 12
    assert decode(trip.record or b"").legs[11].mode is Mode.WALK


def test_changes_of_lines_are_not_legs(phone: GreenTrip, clock: FakeClock):
    """A metro ride with changes as the twelfth leg is fine."""
    phone.start("bus", HOME)
    for number in range(1, 11):
        clock.tick(60)
        phone.switch("walk" if number % 2 else "bus", north_of(HOME, number * 200))
    clock.tick(60)
    phone.switch("rail", "虎坊桥")
    clock.tick(60)
    phone.switch("rail", "双井")
    assert len(phone.finish("呼家楼").legs) == 12


def test_over_24_hours_is_refused_until_the_real_end_is_named(phone: GreenTrip, clock: FakeClock):
    started = clock.now()
    phone.start("rail", "虎坊桥")
    clock.tick(24 * 3600 + 1)
    with refused(InvalidInput, "at", "over 24 hours"):
        phone.finish(FAR_END)
    with refused(InvalidInput, "at", "over 24 hours"):
        phone.switch("bus", FAR_END)
    trip = phone.finish(FAR_END, at=started + 3600)
    assert trip.legs[0].minutes == 60


def test_24_hours_are_allowed(phone: GreenTrip, clock: FakeClock):
    phone.start("rail", "虎坊桥")
    clock.tick(24 * 3600)
    assert decode(phone.finish(FAR_END).record or b"").legs[0].duration_min == 1440


# Outside the provinces


@pytest.mark.parametrize(("start", "end"), [(UTRECHT, north_of(UTRECHT, 3000)), (HOME, UTRECHT), (UTRECHT, HOME)])
def test_a_trip_outside_the_provinces_is_kept_explained_and_not_sent(
    phone: GreenTrip, clock: FakeClock, start: Point, end: Point
):
    phone.start("bus", start)
    clock.tick(3600)
    trip = phone.finish(end)
    assert (trip.state, trip.record, trip.reduction_mg) == (State.LOCAL, None, 0)
    assert trip.legs[0].reasons == (Reason.OUTSIDE,)
    assert "outside the provinces" in trip.why_not_sent()
    assert "不上传" in trip.why_not_sent("zh")
    stats = phone.stats()
    assert (stats.recorded, stats.local, stats.waiting) == (1, 1, 0)
    assert phone.trips() == [trip]


def test_a_trip_that_is_sent_needs_no_explanation(phone: GreenTrip, clock: FakeClock):
    assert ride(phone, clock).why_not_sent() == ""


def test_the_example_is_the_one_of_the_documentation():
    assert EXAMPLE == ("虎坊桥", "东夏园", ["双井", "呼家楼"])


def test_a_named_route_that_is_too_long_is_said(open_phone: OpenPhone, clock: FakeClock, tmp_path: Path):
    folder = tmp_path / "network"
    folder.mkdir()
    stops = [
        ("东线", "甲", 0),
        ("东线", "乙", 2),
        ("北线", "甲", 0),
        ("北线", "丙", 3),
        ("南线", "丙", 3),
        ("南线", "乙", 2),
    ]
    rows = [f"{line},{number},{name},39.9,{116.4 + km / 80}" for number, (line, name, km) in enumerate(stops)]
    (folder / "stations.csv").write_text("\n".join(["line,order,name,lat_wgs84,lon_wgs84", *rows, ""]))
    edges = ["东线,甲,乙,2000", "北线,甲,丙,3000", "南线,丙,乙,3000"]
    (folder / "edges.csv").write_text("\n".join(["line,from,to,track_m", *edges, ""]))
    phone = open_phone(network=Network.from_csv(folder))
    phone.start("rail", "甲")
    clock.tick(900)
    (leg,) = phone.finish("乙", changes=["丙"]).legs
    assert (leg.metres, leg.route, leg.changes) == (2000, Route.SHORTEST, ())
    assert leg.reasons == (Reason.EARNS, Reason.NAMED_TOO_LONG)
