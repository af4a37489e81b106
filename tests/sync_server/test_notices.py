"""Notices: what happened to trips after their results, counted without gaps, told to every phone of the person."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from greentrip.wire import sha256_hex
from greentrip_server.sync import judge
from support.records import METRO_MG, altered, line
from support.server import NOW, Device, Json, Served

DAY = timedelta(days=1)


@pytest.fixture
def server(shared_server: Served) -> Iterator[Served]:
    shared_server.clock.at = NOW
    yield shared_server
    assert shared_server.ledger().ok


@pytest.fixture
def device(server: Served) -> Device:
    return server.device()


def day(offset: int) -> str:
    return (NOW + offset * DAY).date().isoformat()


def notices(device: Device) -> list[Json]:
    return device.get("/v1/notices")["notices"]


def test_a_decision_about_a_held_trip_is_told_to_every_phone(server: Served, device: Device):
    other = server.device(device.number)
    early = line(day(1))
    device.post(early, line(slot=10))
    assert notices(device) == []
    server.clock.tick(days=1)
    judge.recheck_all(server.runtime.database, server.runtime.rulebook, server.clock())
    (told,) = notices(other)
    assert told == notices(device)[0]
    assert told == {
        "number": 1,
        "at": "2026-03-06T08:00:00Z",
        "kind": "decision",
        "trip": told["trip"],
        "status": "accepted",
        "sha256": sha256_hex(early),
        "official_mg": METRO_MG,
        "rules": [],
    }


def test_a_decision_that_an_upload_brought_is_told_once(server: Served, device: Device):
    early = line(day(1))
    device.post(early)
    server.clock.tick(days=1)
    for _ in range(2):
        assert device.post(early)[0]["status"] == "accepted"
    assert [(told["kind"], told["status"]) for told in notices(device)] == [("decision", "accepted")]


def test_still_held_is_no_news(server: Served, device: Device):
    # No methodology covers it: it is judged again each time, and stays held.
    device.post(line("2024-09-30", mg=0))
    judge.recheck_all(server.runtime.database, server.runtime.rulebook, server.clock())
    assert notices(device) == []


def test_an_erasure_is_told_once_and_empties_what_was_told_before(server: Served, device: Device):
    early = line(day(1))
    device.post(early)
    server.clock.tick(days=1)
    device.post(early)
    (decision,) = notices(device)
    device.erase(decision["trip"])
    device.erase(decision["trip"])
    before, erasure = notices(device)
    assert (before["status"], before["official_mg"]) == ("accepted", 0)
    assert (erasure["number"], erasure["kind"], erasure["status"]) == (2, "erasure", "erased")
    assert erasure["sha256"] == sha256_hex(early)


def test_the_erasure_of_a_trip_that_never_came_has_no_hash(device: Device):
    gone = "00000000-0000-4000-8000-000000000000"
    device.erase(gone)
    (told,) = notices(device)
    assert (told["trip"], told["sha256"]) == (gone, None)


def test_a_conflict_is_told_once_for_the_bytes_that_were_refused(server: Served, device: Device):
    first = line(slot=16)
    other, third = altered(first, slot=17), altered(first, slot=18)
    device.post(first, other)
    device.post(other, third)
    assert [(told["number"], told["kind"], told["status"], told["sha256"]) for told in notices(device)] == [
        (1, "conflict", "conflict", sha256_hex(other)),
        (2, "conflict", "conflict", sha256_hex(third)),
    ]


def test_notices_are_paged(device: Device):
    gone = [f"00000000-0000-4000-8000-{n:012}" for n in range(5)]
    device.erase(*gone)
    found, target = [], "/v1/notices?limit=2"
    while target:
        page = device.get(target)
        found += page["notices"]
        target = f"/v1/notices?limit=2&after={page['next']}" if page["next"] else ""
    assert found == notices(device)
    assert [told["number"] for told in found] == [1, 2, 3, 4, 5]
    assert [told["trip"] for told in found] == gone
    assert device.get("/v1/notices?after=5") == {"notices": [], "next": None}


def test_strangers_are_told_nothing(server: Served, device: Device):
    device.erase("00000000-0000-4000-8000-000000000000")
    assert notices(server.device()) == []


def test_conflicts_of_one_batch_are_told_in_the_order_of_its_lines(device: Device):
    first = line(slot=10)
    others = [altered(first, slot=slot) for slot in range(11, 21)]
    device.post(first, *others, others[3])
    assert [notice["sha256"] for notice in notices(device)] == [sha256_hex(other) for other in others]
    assert [notice["number"] for notice in notices(device)] == list(range(1, 11))
