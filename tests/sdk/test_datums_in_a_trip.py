"""The recorder takes points of any datum, and keeps WGS-84."""

import pytest

from greentrip import Bd09Point, Gcj02Point, GreenTrip, InvalidInput, Point, to_bd09, to_gcj02
from greentrip.testing import FakeClock

HOME, WORK, DESK = Point(39.9100, 116.4000), Point(39.9280, 116.4000), Point(39.9290, 116.4100)


def ride(phone: GreenTrip, clock: FakeClock, convert) -> list[tuple[str, str, int]]:
    """Cycle to work, then walk to the desk; every position goes through `convert`."""
    phone.start("cycle", convert(HOME))
    for step in range(1, 41):
        clock.tick(10)
        phone.fix(convert(Point(39.91 + step * 0.00045, 116.40)), accuracy_m=5)
    phone.switch("walk", convert(WORK))
    clock.tick(600)
    trip = phone.finish(convert(DESK))
    return [(leg.start, leg.end, leg.metres) for leg in trip.legs]


@pytest.mark.parametrize("convert", [to_gcj02, to_bd09])
def test_a_trip_is_the_same_in_every_datum(phone: GreenTrip, clock: FakeClock, convert):
    expected = ride(phone, clock, lambda point: point)
    for leg, other in zip(expected, ride(phone, clock, convert), strict=True):
        assert [float(x) for x in f"{leg[0]},{leg[1]}".split(",")] == pytest.approx(
            [float(x) for x in f"{other[0]},{other[1]}".split(",")], abs=1e-6
        )
        assert leg[2] == pytest.approx(other[2], abs=1)


def test_numbers_of_another_datum_taken_for_wgs84_would_lie_half_a_kilometre_off(phone: GreenTrip, clock: FakeClock):
    """Why the types differ."""
    phone.start("walk", HOME)
    clock.tick(600)
    home = to_gcj02(HOME)
    assert phone.finish(Point(home.lat, home.lon)).legs[0].metres > 500


@pytest.mark.parametrize("swapped", [lambda: Gcj02Point(116.4, 39.9), lambda: Bd09Point(116.4, 39.9)])
def test_a_swapped_pair_never_gets_into_a_trip(phone: GreenTrip, swapped):
    with pytest.raises(InvalidInput, match="latitude comes first"):
        phone.start("walk", swapped())
    assert phone.active is None


def test_what_is_no_position_is_refused(phone: GreenTrip):
    phone.start("walk", HOME)
    with pytest.raises(InvalidInput, match="point"):
        phone.fix((39.9, 116.4))
    with pytest.raises(InvalidInput, match="place"):
        phone.finish((39.9, 116.4))
