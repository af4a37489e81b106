"""Results over all history: what was decided of a line stays decided, whoever asks, however late, at any version."""

import itertools
import json
import random
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from greentrip.methodology import bundled
from greentrip.record import RecordInvalid, RecordUnsupported
from greentrip.wire import sha256_hex
from greentrip_server.enrolment.models import Device as DeviceRow
from greentrip_server.methodologies.service import Methodologies
from greentrip_server.sync import judge, service
from greentrip_server.sync.intake import Received, receive
from greentrip_server.sync.models import Trip, TripBytes
from support.records import METRO_MG, altered, line
from support.server import NOW, Device, Json, Served, served

DAY = timedelta(days=1)
Rows = Callable[[type], list]


@pytest.fixture
def server(shared_server: Served) -> Iterator[Served]:
    shared_server.clock.at = NOW
    yield shared_server
    assert shared_server.ledger().ok


@pytest.fixture
def device(server: Served) -> Device:
    return server.device()


@pytest.fixture
def rows(server: Served, device: Device) -> Rows:
    return lambda model: server.rows(model, account_id=UUID(device.account))


def statuses(results: list[Json]) -> list[str]:
    return [result["status"] for result in results]


def bring(
    server: Served, device: Device, lines: Sequence[bytes], *, lines_in_time: int = 500, at: datetime = NOW
) -> list[Json]:
    """The results of a batch that comes at a time, and whose own time is over after some lines."""
    (caller,) = server.rows(DeviceRow, id=device.id)
    batch = Received(caller, lines, sha256_hex(b"".join(lines)), "jws", at, budget_s=lines_in_time)
    ticks = itertools.count()
    with server.runtime.database.write() as session:
        found = receive(session, batch, server.runtime.rulebook, monotonic=lambda: next(ticks))
    return [json.loads(one) for one in found]


# Years later


def test_a_repeat_years_later_by_another_phone_is_what_it_was(server: Served, device: Device):
    batch = [line(slot=10), line(slot=11), line(province=31)]
    first = device.post(*batch)
    assert statuses(first) == ["accepted", "held", "rejected"]
    other = server.device(device.number)
    # By what was decided then: today it would be too old.
    assert bring(server, other, batch, at=NOW + 5 * 365 * DAY) == [result | {"duplicate": True} for result in first]
    assert device.get("/v1/account")["balance_mg"] == METRO_MG


def test_a_later_methodology_changes_no_result(server: Served, device: Device, monkeypatch: pytest.MonkeyPatch):
    good = line()
    (first,) = device.post(good)
    other = bundled("beijing-2019-commission")
    monkeypatch.setattr(Methodologies, "official", lambda self, day, province: other)
    (again,) = device.post(good)
    assert again == first | {"duplicate": True}
    assert device.get("/v1/account")["balance_mg"] == METRO_MG


# A server that was rolled back


def forgetful(spoil: bytes, error: type[Exception]) -> Callable[[bytes], object]:
    """A decoder of the version before: it does not know what `spoil` needs."""
    whole = service.decode

    def decode(line: bytes) -> object:
        if line == spoil:
            raise error("v", "is of a later version", "版本较新")
        return whole(line)

    return decode


@pytest.mark.parametrize("error", [RecordUnsupported, RecordInvalid])
def test_bytes_that_a_newer_server_took_keep_their_result(
    device: Device, rows: Rows, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
):
    newer, plain = line(slot=10), line(slot=20)
    (first,) = device.post(newer)
    stored = rows(Trip)
    monkeypatch.setattr(service, "decode", forgetful(newer, error))
    results = device.post(newer, plain)
    assert results[0] == first | {"duplicate": True}
    assert results[1]["status"] == "accepted"
    assert [trip for trip in rows(Trip) if str(trip.id) == first["id"]] == stored
    # Its pages show it too, without the legs that it cannot read.
    told = {trip["id"]: trip for trip in device.get("/v1/account/trips")["trips"]}
    assert (told[first["id"]]["status"], told[first["id"]]["legs"]) == ("accepted", [])


def test_a_held_trip_that_cannot_be_read_stays_held(server: Served, device: Device, monkeypatch: pytest.MonkeyPatch):
    early = line((NOW + DAY).date().isoformat())
    assert statuses(device.post(early)) == ["held"]
    server.clock.tick(days=1)
    with monkeypatch.context() as rolled_back:
        rolled_back.setattr(service, "decode", forgetful(early, RecordUnsupported))
        judge.recheck_all(server.runtime.database, server.runtime.rulebook, server.clock())
        assert statuses(device.post(early)) == ["held"]
    assert statuses(device.post(early)) == ["accepted"]


def test_an_erased_trip_that_cannot_be_read_is_erased(device: Device, monkeypatch: pytest.MonkeyPatch):
    newer = line()
    (first,) = device.post(newer)
    device.erase(first["id"])
    monkeypatch.setattr(service, "decode", forgetful(newer, RecordUnsupported))
    assert statuses(device.post(newer)) == ["erased"]


def test_the_same_hash_of_another_person_is_nobodys_result(
    server: Served, device: Device, monkeypatch: pytest.MonkeyPatch
):
    newer = line()
    device.post(newer)
    monkeypatch.setattr(service, "decode", forgetful(newer, RecordUnsupported))
    assert statuses(server.device().post(newer)) == ["unsupported"]


@pytest.mark.parametrize(
    "unknown",
    [
        {"v": 2},
        {"v": 2, "weather": "rain"},
        {"weather": "rain"},
        {"flags": ["teleport"]},
        {"legs": [{"mode": "tram", "distance_m": 1, "duration_min": 1, "method": "track"}]},
        {"legs": [{"mode": "bus", "distance_m": 1, "duration_min": 1, "method": "gyroscope"}]},
    ],
    ids=str,
)
def test_what_is_too_new_is_never_stored_and_counts_once_it_is_known(
    device: Device, rows: Rows, monkeypatch: pytest.MonkeyPatch, unknown: Json
):
    plain = line()
    newer = altered(plain, **unknown)
    for _ in range(2):
        (result,) = device.post(newer)
        assert (result["status"], result["sha256"]) == ("unsupported", sha256_hex(newer))
        assert "duplicate" not in result
    assert rows(Trip) == rows(TripBytes) == []
    # The server learns it.
    whole = service.decode
    monkeypatch.setattr(service, "decode", lambda one: whole(plain if one == newer else one))
    assert statuses(device.post(newer)) == ["accepted"]
    (kept,) = rows(TripBytes)
    assert kept.line == newer


# Out of time


def test_what_there_was_no_time_for_is_to_come_again(server: Served, device: Device, rows: Rows):
    lines = [line(slot=slot) for slot in (10, 14, 18, 22)]
    results = bring(server, device, lines, lines_in_time=2)
    assert statuses(results) == ["accepted", "accepted", "retry", "retry"]
    assert [result["sha256"] for result in results] == [sha256_hex(one) for one in lines]
    assert [result["rules"][0]["rule"] for result in results[2:]] == ["retry", "retry"]
    assert len(rows(Trip)) == 2
    assert statuses(device.post(*lines)) == ["accepted"] * 4
    assert device.get("/v1/account")["balance_mg"] == 4 * METRO_MG


def test_a_batch_without_any_time_gets_on_by_one_line(server: Served, device: Device):
    lines = [line(slot=slot) for slot in (10, 14, 18)]
    while lines:
        results = bring(server, device, lines, lines_in_time=0)
        assert statuses(results) == ["accepted"] + ["retry"] * (len(lines) - 1)
        lines = lines[1:]


@pytest.mark.parametrize("seed", range(3))
def test_results_do_not_depend_on_when_the_time_was_over(server: Served, seed: int):
    dice = random.Random(seed)
    lines = [line(slot=dice.randint(14, 18), dice=dice) for _ in range(12)]
    whole = server.device()
    wanted = [result | {"line": 0} for result in whole.post(*lines)]
    device, found, left = server.device(), [], lines
    while left:
        results = bring(server, device, left, lines_in_time=dice.randint(0, 3))
        done = [result | {"line": 0} for result in results if result["status"] != "retry"]
        assert {result["status"] for result in results[len(done) :]} <= {"retry"}
        found, left = found + done, left[len(done) :]
    assert found == wanted


def test_the_time_of_a_batch_is_a_setting(database_url: str, tmp_path: Path):
    with served(database_url, tmp_path, intake_budget_s=1e-9) as server:
        assert statuses(server.device().post(line(slot=10), line(slot=20))) == ["accepted", "retry"]
