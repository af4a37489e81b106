"""Where a trip starts and ends decides whether it is sent; where it is not, it is recorded and says why."""

from datetime import date
from pathlib import Path

import pytest

from greentrip import GreenTrip, Network, Point, Reason, State
from greentrip.distance.rail.pack import Pack, PackEdge, PackLine, PackStation, Source, write_pack
from greentrip.testing import FakeClock

YANJIAO, XIANGHE, CENTRE = Point(39.945, 116.820), Point(39.761, 117.006), Point(39.928, 116.416)
UTRECHT, ZEIST = Point(52.090, 5.121), Point(52.087, 5.246)


def ride(phone: GreenTrip, clock: FakeClock, start: Point, end: Point):
    phone.start("bus", start)
    clock.tick(3600)
    return phone.finish(end)


@pytest.mark.parametrize(("start", "end"), [(YANJIAO, CENTRE), (XIANGHE, YANJIAO), (CENTRE, XIANGHE)])
def test_the_exclave_is_in_the_programme(phone: GreenTrip, clock: FakeClock, start: Point, end: Point):
    trip = ride(phone, clock, start, end)
    assert (trip.state, trip.why_not_sent()) == (State.PENDING, "")
    assert trip.reduction_mg > 0


@pytest.mark.parametrize(("start", "end"), [(UTRECHT, ZEIST), (Point(37.871, 112.549), Point(37.860, 112.600))])
def test_outside_is_recorded_explained_and_not_sent(phone: GreenTrip, clock: FakeClock, start: Point, end: Point):
    trip = ride(phone, clock, start, end)
    assert (trip.state, trip.record, trip.reduction_mg) == (State.LOCAL, None, 0)
    assert trip.legs[0].metres > 0
    assert trip.legs[0].reasons == (Reason.OUTSIDE,)
    assert "outside the provinces" in trip.why_not_sent()
    assert "未上传" in trip.why_not_sent("zh") or "不上传" in trip.why_not_sent("zh")
    assert phone.trips() == [trip]


def test_the_outlines_of_a_pack_decide(open_phone, clock: FakeClock, tmp_path: Path):
    square = ((52.0, 5.0), (52.0, 5.3), (52.2, 5.3), (52.2, 5.0))
    stations = tuple(PackStation(name, point=point) for name, point in (("西", UTRECHT), ("东", ZEIST)))
    pack = Pack(
        "乌得勒支", "utrecht", date(2026, 1, 1), (Source("made up", "CC0-1.0"),), (PackLine("1号线"),), stations,
        (PackEdge(0, 0, 1, 9000),), outlines={11: ((square,),)},
    )  # fmt: skip
    write_pack(pack, tmp_path / "utrecht.pack")
    phone = open_phone(tmp_path / "there", network=Network.from_pack(tmp_path / "utrecht.pack"))
    assert ride(phone, clock, UTRECHT, ZEIST).state is State.PENDING
