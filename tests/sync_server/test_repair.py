"""A server restored from yesterday's backup: a phone is told exactly what is missing, and nothing counts twice."""

import json
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from greentrip_server.sync.service import ids_digest
from support.records import METRO_MG, line
from support.server import NOW, Device, Json, Served, served


def id_of(record: bytes) -> str:
    return json.loads(record)["id"]


def missing(device: Device, *records: bytes) -> list[str]:
    return device.ask("/v1/sync-state", {"trips": [id_of(record) for record in records]})["missing"]


def test_after_a_restore_exactly_what_is_missing_is_sent_again(
    database_url: str, backup: Callable[[], str], tmp_path: Path
):
    before, after = [line(slot=slot) for slot in (2, 6)], [line(slot=slot) for slot in (10, 14, 18)]
    with served(database_url, tmp_path) as server:
        device = server.device()
        device.post(*before)
        device.erase(id_of(before[0]))
    copy = backup()
    with served(database_url, tmp_path) as server:
        device = met(server, device)
        device.post(*after)
        whole = device.get("/v1/sync-state")
        assert missing(device, *before, *after) == []
        assert device.get("/v1/account")["balance_mg"] == 4 * METRO_MG
    # The disk broke; the operator takes the copy.
    with served(copy, tmp_path) as server:
        device = met(server, device)
        assert device.get("/v1/sync-state") != whole
        lost = missing(device, *before, *after)
        assert lost == sorted(map(id_of, after))
        results = device.post(*(record for record in before + after if id_of(record) in lost))
        assert [(result["status"], "duplicate" in result) for result in results] == [("accepted", False)] * 3
        assert missing(device, *before, *after) == []
        assert device.get("/v1/sync-state") == whole
        assert device.get("/v1/account")["balance_mg"] == 4 * METRO_MG
        assert server.ledger().ok


def met(server: Served, device: Device) -> Device:
    """The same phone, calling another server process."""
    seen = server.stranger()
    seen.signer, seen.account, seen.number = device.signer, device.account, device.number
    return seen


# What the calls say


@pytest.fixture
def server(shared_server: Served) -> Served:
    shared_server.clock.at = NOW
    return shared_server


def test_erased_ids_count_as_there(server: Served):
    device = server.device()
    came, never, lost = line(slot=10), line(slot=20), line(slot=30)
    device.post(came)
    before = device.get("/v1/sync-state")
    device.erase(id_of(came))
    assert device.get("/v1/sync-state") == before
    server.clock.tick(days=40)
    device.erase(id_of(never))
    assert missing(device, came, never, lost) == [id_of(lost)]
    months = device.get("/v1/sync-state")["months"]
    assert months == before["months"] | {"2026-04": {"count": 1, "digest": ids_digest([id_of(never)])}}
    # It comes after all: it keeps the place that it has.
    device.post(never)
    assert device.get("/v1/sync-state")["months"] == months


def test_what_is_held_rejected_or_in_conflict_is_there(server: Served):
    device = server.device()
    records = [line("2026-03-06"), line(province=31), line(slot=16)]
    device.post(*records)
    assert missing(device, *records) == []


def test_another_persons_records_are_missing(server: Served):
    theirs = line()
    server.device().post(theirs)
    assert missing(server.device(), theirs) == [id_of(theirs)]


def test_none_and_two_thousand(server: Served):
    device = server.device()
    assert missing(device) == []
    ids = [str(uuid4()) for _ in range(2000)]
    assert device.ask("/v1/sync-state", {"trips": ids})["missing"] == sorted(ids)
    assert device.ask("/v1/sync-state", {"trips": [ids[0]] * 3})["missing"] == [ids[0]]


@pytest.mark.parametrize(
    "body",
    [{}, {"trips": "x"}, {"trips": [1]}, {"trips": [str(uuid4())] * 2001}],
    ids=["nothing", "a text", "a number", "too many"],
)
def test_what_is_no_list_of_ids_is_refused(server: Served, body: Json):
    answer = server.device().call("POST", "/v1/sync-state", json.dumps(body).encode(), "application/json")
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/malformed")
