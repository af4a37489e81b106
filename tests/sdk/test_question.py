"""The phone asks how a leg was really travelled before it sends it, and what the person answers decides."""

import json
import random
from dataclasses import replace

import pytest

from greentrip import Answer, Fix, Flag, GreenTrip, InvalidInput, Method, Mode, NoQuestion, State, TripView
from greentrip.correction import corrected, legs_of_evidence
from greentrip.question import ANSWER_DAYS
from greentrip.record import decode
from greentrip.testing import FakeClock, FakeServer
from greentrip.trip import Leg, Point
from support.recorded import SECONDS, fixes_until, record
from support.rides import ride

DAY_S = 86_400


@pytest.fixture
def asked(enrolled: GreenTrip, clock: FakeClock) -> TripView:
    """A drive that was recorded as a walk."""
    trip = record(enrolled, fixes_until(clock.now(), Mode.CARPOOL), Mode.WALK)
    assert trip.state is State.ASKED
    assert trip.question is not None
    return trip


def test_a_walk_is_not_asked_about(enrolled: GreenTrip, clock: FakeClock):
    trip = record(enrolled, fixes_until(clock.now(), Mode.WALK), Mode.WALK)
    assert (trip.question, trip.state) == (None, State.PENDING)


def test_a_drive_claimed_as_a_walk_is_asked_about_in_both_languages(asked: TripView):
    assert asked.question is not None
    assert asked.question.claimed is Mode.WALK
    assert asked.question.choices[0] == "walk"
    assert Answer.CAR in asked.question.choices
    assert "car" in asked.question.text("en")
    assert "车" in asked.question.text("zh-CN")


@pytest.mark.parametrize("mode", [Mode.WALK, Mode.CYCLE])
def test_a_drive_too_fast_for_any_fix_to_count_is_asked_about(enrolled: GreenTrip, clock: FakeClock, mode: Mode):
    dice, steps = random.Random(5), range(0, 1200, 5)
    places = [Point(39.9 + s * 20 / 111_195 + dice.gauss(0, 3) / 111_195, 116.4) for s in steps]
    drive = [Fix(place, clock.now() - 1200 + s, 5.0) for place, s in zip(places, steps, strict=True)]
    trip = record(enrolled, drive, mode)
    assert trip.legs[0].method is Method.ENDPOINTS
    assert trip.state is State.ASKED
    assert enrolled.answer(trip.id, Answer.CAR).state is State.WITHDRAWN


def test_nothing_of_it_is_sent_before_the_answer(enrolled: GreenTrip, server: FakeServer, asked: TripView):
    report = enrolled.sync()
    assert (report.settled, report.left, report.asked) == ({}, 0, 1)
    assert "1 wait for your answer" in report.message("en")
    assert "1 次出行待您回答" in report.message("zh")
    assert enrolled.stats().asked == 1
    assert [r for r in server.requests if r.url.path == "/v1/trips"] == []


def test_it_survives_a_restart(enrolled: GreenTrip, open_phone, asked: TripView):
    enrolled.close(timeout=0)
    (again,) = open_phone().trips()
    assert again.question == asked.question


def test_as_claimed_it_is_sent_as_it_was(enrolled: GreenTrip, asked: TripView):
    confirmed = enrolled.answer(asked.id, "walk")
    assert (confirmed.id, confirmed.record, confirmed.question) == (asked.id, asked.record, None)
    assert enrolled.sync().settled == {State.ACCEPTED: 1}


@pytest.mark.parametrize("answer", [Answer.CAR, Answer.EBIKE, Answer.OTHER])
def test_in_no_mode_of_ours_it_is_never_sent(enrolled: GreenTrip, asked: TripView, answer: Answer):
    trip = enrolled.answer(asked.id, answer)
    assert (trip.id, trip.state, trip.answer) == (asked.id, State.WITHDRAWN, answer)
    assert trip.reduction_mg == 0 < asked.reduction_mg
    assert "kept on this phone, not sent" in trip.why_not_sent("en")
    assert "不上传" in trip.why_not_sent("zh")
    assert enrolled.sync().requests == 0
    stats = enrolled.stats()
    assert (stats.recorded, stats.asked, stats.exits) == (1, 0, {State.WITHDRAWN: 1})


def test_another_mode_makes_another_record(enrolled: GreenTrip, asked: TripView):
    trip = enrolled.answer(asked.id, Mode.BUS)
    assert trip.id != asked.id
    assert trip.state is State.PENDING
    assert [leg.mode for leg in trip.legs] == [Mode.BUS]
    true_m = ride(Mode.CARPOOL, random.Random(1), seconds=SECONDS).metres
    assert trip.legs[0].metres == pytest.approx(true_m, rel=0.05)
    assert (trip.started_at, trip.ended_at) == (asked.started_at, asked.ended_at)
    old = next(old for old in enrolled.trips() if old.id == asked.id)
    assert (old.state, old.corrected_by, old.record) == (State.WITHDRAWN, trip.id, asked.record)
    assert "corrected" in old.why_not_sent("en")
    assert enrolled.sync().settled == {State.ACCEPTED: 1}
    assert enrolled.stats().recorded == 2


def test_a_correction_is_no_repetition(enrolled: GreenTrip, asked: TripView):
    trip = enrolled.answer(asked.id, Mode.BUS)
    assert trip.record is not None
    assert Flag.REPEAT not in decode(trip.record).flags


def test_only_the_leg_in_doubt_is_left_out(enrolled: GreenTrip, clock: FakeClock):
    drive = fixes_until(clock.now(), Mode.CARPOOL)
    enrolled.start(Mode.BUS, Point(39.95, 116.40), at=drive[0].at - 1800)
    enrolled.switch(Mode.WALK, drive[0].point, at=drive[0].at)
    for fix in drive:
        enrolled.fix(fix.point, at=fix.at, accuracy_m=fix.accuracy_m)
    trip = enrolled.finish(drive[-1].point, at=drive[-1].at)
    assert trip.question is not None
    assert trip.question.leg == 1
    rest = enrolled.answer(trip.id, "car")
    assert [leg.mode for leg in rest.legs] == [Mode.BUS]
    assert rest.reduction_mg == trip.legs[0].ug // 1000


@pytest.mark.parametrize("answer", ["plane", "", "CAR"])
def test_an_unknown_answer_is_refused_and_the_question_stays(enrolled: GreenTrip, asked: TripView, answer: str):
    with pytest.raises(InvalidInput, match="ebike") as refused:
        enrolled.answer(asked.id, answer)
    assert refused.value.field == "answer"
    assert enrolled.trips()[0].question == asked.question


def test_a_trip_that_is_not_here_has_no_question(enrolled: GreenTrip, asked: TripView):
    with pytest.raises(InvalidInput, match="no trip here"):
        enrolled.answer("0" * 36, "car")


def test_it_is_answered_once(enrolled: GreenTrip, asked: TripView):
    enrolled.answer(asked.id, "walk")
    with pytest.raises(NoQuestion):
        enrolled.answer(asked.id, "car")


def test_a_question_that_nobody_answers_lapses_and_the_trip_is_sent(
    enrolled: GreenTrip, clock: FakeClock, asked: TripView
):
    clock.tick(ANSWER_DAYS * DAY_S - 60)
    assert enrolled.sync().requests == 0
    clock.tick(120)
    report = enrolled.sync()
    assert (report.settled, report.asked) == ({State.ACCEPTED: 1}, 0)
    with pytest.raises(NoQuestion):
        enrolled.answer(asked.id, "car")


def test_the_very_track_of_an_earlier_trip_is_flagged(enrolled: GreenTrip, clock: FakeClock):
    fixes = fixes_until(clock.now(), Mode.WALK)
    first = record(enrolled, fixes, Mode.WALK)
    clock.tick(DAY_S)
    again = record(enrolled, [replace(fix, at=fix.at + DAY_S) for fix in fixes], Mode.WALK)
    other = record(enrolled, fixes_until(clock.now(), Mode.WALK, seed=2), Mode.WALK)
    flags = [json.loads(trip.record or b"")["flags"] for trip in (first, again, other)]
    assert flags == [[], ["repeat"], []]


def test_legs_come_back_from_the_evidence_as_they_were(enrolled: GreenTrip, clock: FakeClock):
    fixes = fixes_until(clock.now(), Mode.WALK)
    trip = record(enrolled, fixes, Mode.WALK)
    (leg,) = legs_of_evidence(enrolled._store.evidence(trip.id).levels[-1])
    assert (leg.mode, len(leg.fixes)) == (Mode.WALK, len(fixes))
    for kept, fix in zip(leg.fixes, fixes, strict=True):
        assert kept.at == pytest.approx(fix.at, abs=0.001)
        assert kept.point.lat == pytest.approx(fix.point.lat, abs=1e-7)
        assert kept.accuracy_m == pytest.approx(fix.accuracy_m, abs=0.05)


def test_a_correction_keeps_named_changes_for_rail_only():
    here, there = Point(39.9, 116.4), Point(39.95, 116.4)
    leg = Leg(Mode.RAIL, here, there, 0, 600, changes=("双井",))
    assert corrected([leg], 0, Answer.RAIL)[0].changes == ("双井",)
    assert corrected([leg], 0, Answer.BUS)[0].changes == ()
    assert corrected([leg, leg], 0, Answer.OTHER) == [leg]
