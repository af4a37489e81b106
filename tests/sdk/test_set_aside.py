"""Promises 13 and 14: a record that the server lets pass in no call is found, set aside with the server's words, and
costs its neighbours nothing."""

import json
from collections.abc import Callable
from math import ceil, log2

import httpx
import pytest

from greentrip import GreenTrip, State
from greentrip.events import RecordSetAside
from greentrip.report import Stop
from greentrip.testing import FakeClock, FakeServer, problem
from support.trips import ride

OpenPhone = Callable[..., GreenTrip]
DAY_S = 24 * 3600
ROWS = 50
WORDS = {"detail": "the record holds a word that this server cannot read", "detail_zh": "记录中有服务器无法识别的内容"}


def _refuse(server: FakeServer, *poison: str, status: int = 400) -> None:
    """From now on the server answers so to every batch with one of these records."""

    def answer(request: httpx.Request) -> httpx.Response:
        again()
        if any(one.encode() in request.content for one in poison):
            return problem(status, "malformed" if status == 400 else "invalid", **WORDS)
        return server.serve(request)

    def again() -> None:
        server.plan(answer)

    again()


@pytest.fixture
def many(enrolled: GreenTrip, clock: FakeClock, server: FakeServer) -> list[str]:
    return [ride(enrolled, clock).id for _ in range(ROWS)]


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("place", [0, 17, ROWS - 1])
def test_one_poison_record_among_fifty(
    enrolled: GreenTrip, many: list[str], server: FakeServer, clock: FakeClock, place: int, status: int
):
    poison = many[place]
    _refuse(server, poison, status=status)
    told: list[object] = []
    enrolled._tell._observer = told.append
    report = enrolled.sync()
    assert report.settled == {State.ACCEPTED: ROWS - 1}
    shown = {trip.id: trip for trip in enrolled.trips()}
    assert shown[poison].state is State.SET_ASIDE
    (rule,) = shown[poison].rules
    assert (rule.text(), rule.text("zh")) == (WORDS["detail"], WORDS["detail_zh"])
    assert all(trip.state is State.ACCEPTED for trip in shown.values() if trip.id != poison)
    assert [event.trip_id for event in told if isinstance(event, RecordSetAside)] == [poison]
    assert len(server.posted) <= 2 * ceil(log2(ROWS)) + 3
    stats = enrolled.stats()
    assert (stats.set_aside, stats.waiting, stats.exits) == (1, 0, {State.ACCEPTED: ROWS - 1})
    assert stats.rules["set_aside"] == 1


def test_it_is_tried_again_daily_by_itself_and_passes_when_the_server_has_learnt(
    enrolled: GreenTrip, many: list[str], server: FakeServer, clock: FakeClock
):
    poison = many[17]
    _refuse(server, poison)
    enrolled.sync()
    server.requests.clear()
    for _ in range(3 * 24):
        clock.tick(3600)
        enrolled._worker.run_due()
    daily = [body for body in server.posted if poison.encode() in body]
    assert 3 <= len(daily) <= 8
    assert all(len(body.splitlines()) == 1 for body in daily), "it is asked for alone"
    new = ride(enrolled, clock).id
    assert enrolled.sync().settled == {State.ACCEPTED: 1}
    assert new in server.records
    server.script.clear()
    clock.tick(DAY_S + 3600)
    enrolled.sync()
    assert {trip.state for trip in enrolled.trips()} == {State.ACCEPTED}
    assert enrolled.stats().set_aside == 0
    assert set(server.records) == {*many, new}


def test_it_never_stands_in_the_way_of_newer_ones(
    enrolled: GreenTrip, many: list[str], server: FakeServer, clock: FakeClock
):
    _refuse(server, many[0])
    enrolled.sync()
    for _ in range(5):
        clock.tick(DAY_S)
        new = ride(enrolled, clock).id
        enrolled.sync()
        assert server.records[new].status is State.ACCEPTED


def test_several_poison_records_are_each_found(
    enrolled: GreenTrip, many: list[str], server: FakeServer, clock: FakeClock
):
    poison = {many[3], many[4], many[30]}
    _refuse(server, *poison)
    for _ in range(4):
        enrolled.sync()
        clock.tick(3600)
    shown = {trip.id: trip.state for trip in enrolled.trips()}
    assert {one for one, state in shown.items() if state is State.SET_ASIDE} == poison
    assert set(server.records) == set(many) - poison
    assert len(server.posted) <= len(poison) * (2 * ceil(log2(ROWS)) + 3)


def test_a_server_that_refuses_everything_is_paused_for_and_no_innocent_record_is_lost(
    enrolled: GreenTrip, many: list[str], server: FakeServer, clock: FakeClock
):
    server.plan(*[problem(400, "malformed", **WORDS) for _ in range(200)])
    report = enrolled.sync()
    assert report.stop is Stop.PAUSED
    assert report.detail
    assert len(server.posted) <= 2 * ceil(log2(ROWS)) + 8
    aside = enrolled.stats().set_aside
    assert aside <= 4
    for _ in range(48):
        clock.tick(1800)
        enrolled._worker.run_due()
    assert len(server.posted) < 80, "a day of it costs a few calls"
    server.script.clear()
    for _ in range(10):
        clock.tick(DAY_S)
        enrolled.sync()
    assert set(server.records) == set(many)
    assert {trip.state for trip in enrolled.trips()} == {State.ACCEPTED}


@pytest.mark.parametrize("rows_max", [1, 2, 7, 20, 49])
def test_413_is_halved_until_it_passes(
    enrolled: GreenTrip, many: list[str], server: FakeServer, clock: FakeClock, rows_max: int
):
    def answer(request: httpx.Request) -> httpx.Response:
        server.plan(answer)
        lines = request.content.splitlines()
        return server.serve(request) if len(lines) <= rows_max else problem(413, "too_large")

    server.plan(answer)
    report = enrolled.sync()
    assert report.settled == {State.ACCEPTED: ROWS}
    sizes = [len(body.splitlines()) for body in server.posted]
    refused = [size for size in sizes if size > rows_max]
    assert len(refused) <= ceil(log2(ROWS)) + 1
    assert len(set(refused)) == len(refused), "no size is tried twice"
    assert {record["id"] for body in server.posted for record in map(json.loads, body.splitlines())} == set(many)


def test_one_record_that_is_too_large_for_the_server_is_set_aside(
    enrolled: GreenTrip, many: list[str], server: FakeServer, clock: FakeClock
):
    _refuse(server, many[5], status=413)
    for _ in range(3):
        enrolled.sync()
        clock.tick(3600)
    shown = {trip.id: trip.state for trip in enrolled.trips()}
    assert shown.pop(many[5]) is State.SET_ASIDE
    assert set(shown.values()) == {State.ACCEPTED}


def test_it_outlives_the_process(open_phone: OpenPhone, enrolled: GreenTrip, many: list[str], server: FakeServer):
    _refuse(server, many[9])
    enrolled.sync()
    enrolled.close(timeout=0)
    again = open_phone()
    (aside,) = [trip for trip in again.trips() if trip.state is State.SET_ASIDE]
    assert (aside.id, aside.rules[0].text()) == (many[9], WORDS["detail"])
