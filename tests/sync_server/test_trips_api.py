"""Records in, signed results out: judged, credited and kept in one transaction, once, however they are sent."""

import hashlib
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from types import ModuleType
from uuid import UUID

import pytest

from greentrip import State
from greentrip.methodology import bundled
from greentrip.record import TripRecord
from greentrip.signing.jws import BadToken
from greentrip.testing import FakeClock
from greentrip.trust import ReceiptFacts, open_kept_receipt, open_receipt, open_request
from greentrip.wire import NDJSON, RECEIPT_HEADER, SIGNATURE_HEADER, digest_of, join_lines, sha256_hex, split_lines
from greentrip_server.ledger.models import Posting, Transfer
from greentrip_server.sync import intake, judge
from greentrip_server.sync.models import SyncRequest, Trip, TripBytes
from support.records import METRO_MG, TODAY, altered, bus, line, record
from support.server import NOW, Device, Json, Served, commute, new_number, phone, results_of

DAY = timedelta(days=1)
Rows = Callable[[type], list]


@pytest.fixture
def server(shared_server: Served) -> Iterator[Served]:
    """A server whose ledger adds up whatever a test did."""
    shared_server.clock.at = NOW
    yield shared_server
    report = shared_server.ledger()
    assert report.ok, report.findings


@pytest.fixture
def device(server: Served) -> Device:
    return server.device()


@pytest.fixture
def rows(server: Served, device: Device) -> Rows:
    """What is stored of the device's account: `rows(Trip)`."""
    return lambda model: server.rows(model, account_id=UUID(device.account))


def day(offset: int) -> str:
    return (NOW + offset * DAY).date().isoformat()


def statuses(results: list[Json]) -> list[str]:
    return [result["status"] for result in results]


def rules(result: Json) -> list[tuple[str, str]]:
    return [(rule["rule"], rule["severity"]) for rule in result["rules"]]


def balance(device: Device) -> int:
    return device.get("/v1/account")["balance_mg"]


# One batch


def test_each_line_gets_its_own_result_in_order(server: Served, device: Device):
    good, early = line(slot=16), line(day(1))
    abroad, again = line(slot=30, province=31), altered(good, slot=40)
    results = device.post(good, early, b"{]", abroad, altered(line(), v=2), again, good)
    assert statuses(results) == ["accepted", "held", "rejected", "rejected", "unsupported", "conflict", "accepted"]
    assert [result.get("duplicate", False) for result in results] == [False] * 6 + [True]
    assert [result["official_mg"] for result in results if "official_mg" in result] == [
        METRO_MG, METRO_MG, 0, 0, METRO_MG,
    ]  # fmt: skip
    assert results[1]["held_until"] == day(1)
    assert all(result["state"] == result["status"] for result in results)
    for result in results[1:6]:
        assert all(rule["en"] and rule["zh"] and rule["en"] != rule["zh"] for rule in result["rules"]), result
        assert result["rules"]
    assert balance(device) == METRO_MG
    assert device.get("/v1/account")["trips"] == {"accepted": 1, "held": 1, "rejected": 1, "erased": 0}


BROKEN = {
    "empty": b"",
    "no JSON": b"{",
    "no object": b"[]",
    "spaces": line().replace(b'":', b'": '),
    "another order of keys": json.dumps(dict(reversed(json.loads(line()).items())), separators=(",", ":")).encode(),
    "a key twice": line().replace(b'"v":1', b'"v":1,"v":1'),
    "a float": line().replace(b'"slot":16', b'"slot":16.0'),
    "NaN": line().replace(b'"slot":16', b'"slot":NaN'),
    "not ASCII": '{"v":"一"}'.encode(),
    "broken UTF-8": b'{"v":"\xff"}',
    "deep": b"[" * 4000 + b"]" * 4000,
    "a huge number": b'{"v":' + b"9" * 5000 + b"}",
    "too long": altered(line(), id="x" * 8192),
    "a field is missing": line().replace(b'"slot":16,', b""),
    "slot out of range": altered(line(), slot=48),
    "no such day": altered(line(), day="2026-02-30"),
    "a carriage return": line() + b"\r",
    "not a UUIDv4": altered(line(), id="00000000-0000-1000-8000-000000000000"),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_malformed_line_costs_its_neighbours_nothing(device: Device, rows: Rows, broken: bytes):
    results = device.post(line(slot=10), broken, line(slot=20))
    assert statuses(results) == ["accepted", "rejected", "accepted"]
    assert results[1]["sha256"] == sha256_hex(broken)
    assert "id" not in results[1]
    assert rules(results[1]) == [("shape", "reject")]
    assert results[1]["rules"][0]["details"]["field"]
    assert len(rows(TripBytes)) == 2


@pytest.mark.parametrize(
    "unknown",
    [
        {"v": 2},
        {"weather": "rain"},
        {"\ud800\u0000": 1},
        {"flags": ["teleport"]},
        {"legs": [{"mode": "tram", "distance_m": 1, "duration_min": 1, "method": "track"}]},
        {"legs": [{"mode": "bus", "distance_m": 1, "duration_min": 1, "method": "gyroscope"}]},
    ],
    ids=repr,
)
def test_what_a_newer_phone_may_write_is_kept_by_it_and_not_by_us(
    server: Served, device: Device, unknown: Json, rows: Rows
):
    (result,) = device.post(altered(line(), **unknown))
    assert (result["status"], result["state"], "official_mg" in result) == ("unsupported", "unsupported", False)
    assert result["rules"][0]["field"]
    assert not rows(Trip)


# Exactly once


def test_the_same_id_with_other_bytes_changes_nothing(server: Served, device: Device, rows: Rows):
    first = line(slot=16)
    device.post(first)
    before = (rows(Trip), rows(TripBytes), rows(Posting))
    (result,) = device.post(altered(first, slot=17))
    assert (result["status"], rules(result)) == ("conflict", [("conflict", "reject")])
    assert (rows(Trip), rows(TripBytes), rows(Posting)) == before
    # The evidence of what was sent stays, for staff.
    assert len(rows(SyncRequest)) == 2


def test_a_repeated_batch_is_the_same_ledger(server: Served, device: Device, rows: Rows):
    batch = [line(slot=10), line(slot=20), line(day(1)), b"{", altered(line(), v=2)]
    first = device.post(*batch)
    ledger, trips = (rows(Transfer), rows(Posting)), rows(Trip)
    server.clock.tick(hours=2)
    second = device.post(*batch)
    assert (rows(Transfer), rows(Posting)) == ledger
    assert rows(Trip) == trips
    stored = {"accepted", "held"}
    assert second == [{**old, "duplicate": True} if old["status"] in stored else old for old in first]
    device.post(*batch)
    # Two answers were given to these bytes, the second one twice: each is evidence, and kept once.
    assert sorted(kept.received_hour.hour - NOW.hour for kept in rows(SyncRequest)) == [0, 2]


def test_two_devices_of_one_person_share_the_account_and_its_ids(server: Served, device: Device):
    other = server.device(device.number)
    assert other.account == device.account
    assert other.id != device.id
    good = line()
    device.post(good)
    (result,) = other.post(good)
    assert (result["status"], result["duplicate"]) == ("accepted", True)
    assert balance(other) == METRO_MG


def test_another_persons_trip_is_not_seen(server: Served, device: Device, rows: Rows):
    stranger = server.device()
    good = line()
    device.post(good)
    assert stranger.get("/v1/account/trips") == {"trips": [], "next": None}
    assert stranger.get("/v1/account/statement") == {"entries": [], "next": None}
    assert stranger.get("/v1/sync-state") == {"months": {}}
    assert balance(stranger) == 0
    # An id is unique within an account: a stranger's own record with it is her own.
    (result,) = stranger.post(altered(good, slot=40))
    assert (result["status"], "duplicate" in result) == ("accepted", False)
    assert [trip["id"] for trip in device.get("/v1/account/trips")["trips"]] == [json.loads(good)["id"]]
    assert rows(Trip)[0].slot == 16


def _mixed_records(dice: random.Random) -> list[bytes]:
    """Some of everything, with much in common: overlaps, repeats, conflicts, days to come."""
    found: list[bytes] = []
    for _ in range(24):
        kind = dice.choice(["trip", "trip", "trip", "repeat", "conflict", "broken", "newer"])
        honest = record(day(dice.randint(-1, 1)), dice.randint(14, 18), bus(dice.randint(1, 9) * 1000, 31), dice=dice)
        earlier = dice.choice([one for one in found if b'"v":1' in one] or [honest.to_bytes()])
        found.append(
            {
                "trip": honest.to_bytes(),
                "repeat": earlier,
                "conflict": altered(earlier, slot=47),
                "broken": b'{"n":%d' % dice.randint(0, 9),
                "newer": altered(honest.to_bytes(), v=2),
            }[kind]
        )
    return found


@pytest.mark.parametrize("seed", range(3))
def test_results_do_not_depend_on_how_batches_are_cut(server: Served, seed: int):
    dice = random.Random(seed)
    records = _mixed_records(dice)
    cuts = sorted(dice.sample(range(1, len(records)), 5))
    reversed_cuts = sorted(len(records) - cut for cut in cuts)
    outcomes = []
    for borders in ([], range(1, len(records)), cuts, reversed_cuts):
        device = server.device()
        results: list[Json] = []
        for low, high in zip([0, *borders], [*borders, len(records)], strict=True):
            results += device.post(*records[low:high])
        outcome = [{key: value for key, value in result.items() if key != "line"} for result in results]
        outcomes.append((outcome, balance(device), device.get("/v1/account/trips")))
    assert {status["status"] for status in outcomes[0][0]} >= {"accepted", "held", "rejected", "unsupported"}
    assert outcomes[0] == outcomes[1] == outcomes[2] == outcomes[3]


# Judging


def test_a_day_to_come_is_credited_once_on_that_day(server: Served, device: Device, rows: Rows):
    early = line(day(2))
    assert statuses(device.post(early)) == ["held"]
    server.clock.tick(days=1)
    (result,) = device.post(early)
    assert (result["status"], result["held_until"], result["duplicate"]) == ("held", day(2), True)
    server.clock.tick(days=1)
    (result,) = device.post(early)
    assert (result["status"], result["official_mg"], result["duplicate"]) == ("accepted", METRO_MG, True)
    assert "held_until" not in result
    assert device.post(early) == [result]
    assert balance(device) == METRO_MG
    assert len(rows(Transfer)) == 1
    # Held, held as a duplicate, accepted: what the same bytes were answered is evidence, each answer once.
    assert len({(kept.digest, kept.result_digest) for kept in rows(SyncRequest)}) == len(rows(SyncRequest)) == 3


def test_held_trips_whose_day_has_come_are_judged_again_by_the_server(server: Served, device: Device, rows: Rows):
    def recheck() -> int:
        return judge.recheck_all(server.runtime.database, server.runtime.rulebook, server.clock())

    server.clock.tick(days=100)  # of no trip of another test
    recheck()
    stranger = server.device()
    # Two of them exclude each other: the one that began first counts, though it came last.
    device.post(line(day(101), 17), line(day(101), 16), line(day(102)), line(day(-181)))
    stranger.post(line(day(101)))
    assert recheck() == 0
    server.clock.tick(days=1)
    assert recheck() == 2
    assert recheck() == 0
    assert device.get("/v1/account")["trips"] == {"accepted": 1, "held": 3, "rejected": 0, "erased": 0}
    assert (balance(device), balance(stranger)) == (METRO_MG, METRO_MG)
    assert {trip.slot for trip in rows(Trip) if trip.status == "accepted"} == {16}
    waiting = [trip for trip in device.get("/v1/account/trips")["trips"] if trip["status"] == "held"]
    # Only the one that is still to come waits for a day; the others wait for a person.
    assert sorted(str(trip["held_until"]) for trip in waiting) == [day(102), "None", "None"]


def test_the_day_is_that_of_beijing(server: Served, device: Device):
    server.clock.at = NOW.replace(hour=15, minute=59, second=59)
    assert statuses(device.post(line(day(1)))) == ["held"]
    server.clock.tick(seconds=1)
    assert statuses(device.post(line(day(1), slot=0))) == ["accepted"]


def test_late_is_held_and_never_final(server: Served, device: Device):
    results = device.post(line(day(-180)), line(day(-181)))
    assert [(result["status"], rules(result)) for result in results] == [
        ("accepted", []),
        ("held", [("day_old", "hold")]),
    ]
    assert "held_until" not in results[1]


def test_a_trip_from_before_the_methodology_waits(device: Device):
    (result,) = device.post(line("2024-09-30", mg=0))
    assert result["status"] == "held"
    assert ("methodology", "hold") in rules(result)


def test_the_official_figure_counts_whatever_file_the_phone_used(device: Device):
    other = bundled("beijing-2019-commission")
    (result,) = device.post(line(methodology=other))
    assert record(methodology=other).reduction_mg != METRO_MG
    assert (result["status"], result["official_mg"]) == ("accepted", METRO_MG)
    assert rules(result) == [("methodology", "note")]
    assert balance(device) == METRO_MG


def test_a_wrong_figure_by_the_official_file_is_held(device: Device):
    (result,) = device.post(line(mg=METRO_MG + 1))
    assert (result["status"], rules(result)) == ("held", [("phone_figure", "hold")])
    assert balance(device) == 0


def test_one_of_two_trips_at_once_is_held(device: Device):
    results = device.post(line(slot=16), line(slot=17))
    assert [(result["status"], rules(result)) for result in results] == [
        ("accepted", []),
        ("held", [("overlap", "hold")]),
    ]
    assert balance(device) == METRO_MG


def test_the_rules_of_the_day_before_and_after_midnight(device: Device):
    long = [bus(20_000, 55)] * 3
    results = device.post(line(TODAY, 0, bus()), line(day(-1), 47, *long))
    assert [(result["status"], rules(result)) for result in results] == [
        ("accepted", []),
        ("held", [("overlap", "hold")]),
    ]


# One transaction


class Broken(Exception):
    """A fault that no code knows of."""


@pytest.mark.parametrize(("part", "step"), [(judge, "credit_trips"), (judge, "notify"), (intake, "insert_new")])
@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_trip_ledger_and_evidence_are_stored_together_or_not_at_all(
    server: Served, device: Device, monkeypatch: pytest.MonkeyPatch, part: ModuleType, step: str, done: bool, rows: Rows
):
    whole, calls = getattr(part, step), []

    def break_down(*args: object) -> None:
        calls.append(args)
        if done:
            whole(*args)
        raise Broken("13800138000")

    batch = join_lines([line(slot=10), line(slot=20)])
    with monkeypatch.context() as patched:
        patched.setattr(part, step, break_down)
        answer = device.call("POST", "/v1/trips", batch, NDJSON)
    assert (answer.status_code, answer.json()["type"]) == (500, "/problems/internal")
    assert len(calls) == 1
    for model in (Trip, TripBytes, SyncRequest, Transfer, Posting):
        assert rows(model) == []
    assert statuses(device.post(*split_lines(batch))) == ["accepted", "accepted"]
    assert balance(device) == 2 * METRO_MG


def test_the_bytes_are_the_evidence(server: Served, device: Device, rows: Rows):
    lines = [line(slot=10), b"{", line(day(1))]
    body = join_lines(lines)
    answer = device.call("POST", "/v1/trips", body, NDJSON)
    assert {bytes(row.line) for row in rows(TripBytes)} == {lines[0], lines[2]}
    assert {trip.line_sha256 for trip in rows(Trip)} == {sha256_hex(lines[0]), sha256_hex(lines[2])}
    (kept,) = rows(SyncRequest)
    assert kept.line_hashes == [sha256_hex(line) for line in lines]
    assert kept.digest == digest_of(kept.line_hashes)
    assert kept.result_digest == digest_of(map(sha256_hex, split_lines(answer.content)))
    claims = open_request(kept.jws, device.signer.public_key)
    assert (claims.digest, claims.target, claims.device) == (kept.digest, "/v1/trips", kept.device_id)
    # The hour of arrival is evidence; the second would tell about the trip.
    assert kept.received_hour == NOW.replace(minute=0, second=0)
    assert {trip.received_hour for trip in rows(Trip)} == {kept.received_hour}


def test_a_batch_without_a_last_newline_is_the_same_batch(server: Served, device: Device, rows: Rows):
    one = line()
    answer = device.call("POST", "/v1/trips", one, NDJSON)
    device.verify(answer)
    assert statuses(results_of(answer)) == ["accepted"]
    assert device.post(one)[0]["duplicate"]
    assert len({kept.digest for kept in rows(SyncRequest)}) == 1


# Receipts


def test_a_receipt_proves_every_answer_and_nothing_else(server: Served, device: Device):
    stranger = server.device()
    answer = device.call("POST", "/v1/trips", join_lines([line()]), NDJSON)
    assert device.verify(answer) == NOW.replace(microsecond=0)
    lines = split_lines(answer.content)
    digest = digest_of(map(sha256_hex, lines))
    sent = open_request(answer.request.headers[SIGNATURE_HEADER], device.signer.public_key)
    assert sent.digest == digest_of([sha256_hex(answer.request.content[:-1])])
    token = answer.headers[RECEIPT_HEADER]
    facts = ReceiptFacts(NOW.replace(microsecond=0), keys=server.key_list.seq)
    assert open_receipt(token, server.key_list, sent, digest=digest) == facts
    more = lines[0].replace(b'"official_mg":2517120', b'"official_mg":9517120')
    assert more != lines[0]
    for part, spoilt in (
        ("sub", {"device": stranger.id}),
        ("htm", {"method": "GET"}),
        ("htu", {"target": "/v1/account"}),
        ("iat", {"iat": sent.iat + 1}),
        ("request", {"digest": "0" * 64}),
    ):
        with pytest.raises(BadToken, match=f"{part} does not fit"):
            open_receipt(token, server.key_list, replace(sent, **spoilt), digest=digest)
    with pytest.raises(BadToken, match="digest does not fit"):
        open_receipt(token, server.key_list, sent, digest=digest_of([sha256_hex(more)]))


def test_the_receipt_of_one_reading_is_none_of_another(server: Served, device: Device):
    """Every body is empty, so only call and second tell them apart."""
    old = device.call("GET", "/v1/account")
    server.clock.tick(seconds=1)
    for later, part in ((device.call("GET", "/v1/account"), "iat"), (device.call("GET", "/v1/sync-state"), "htu")):
        device.verify(later)
        later.headers[RECEIPT_HEADER] = old.headers[RECEIPT_HEADER]
        later._content = old.content
        with pytest.raises(BadToken, match=f"{part} does not fit"):
            device.verify(later)


# What the account tells


def test_statement_and_trips_are_paged(server: Served, device: Device):
    records: list[TripRecord] = [record(day(-offset), 16) for offset in range(5)]
    for one in records:
        device.post(one.to_bytes())
        server.clock.tick(hours=1)
    entries, target = [], "/v1/account/statement?limit=2"
    pages = 0
    while target:
        page = device.get(target)
        entries += page["entries"]
        target = f"/v1/account/statement?after={page['next']}&limit=2" if page["next"] else ""
        pages += 1
    assert pages == 3
    assert entries == device.get("/v1/account/statement")["entries"]
    assert [entry["number"] for entry in entries] == [1, 2, 3, 4, 5]
    assert [entry["trip"] for entry in entries] == [one.id for one in records]
    assert [entry["balance_mg"] for entry in entries] == [METRO_MG * n for n in range(1, 6)]
    assert [entry["at"] for entry in entries] == [f"2026-03-05T{hour:02}:00:00Z" for hour in range(8, 13)]

    trips, after = [], ""
    while True:
        page = device.get(f"/v1/account/trips?limit=2{after}")
        trips += page["trips"]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert trips == device.get("/v1/account/trips")["trips"]
    assert [trip["id"] for trip in trips] == sorted(one.id for one in records)
    assert trips[0]["legs"] == [
        {
            "mode": "rail",
            "distance_m": 34_960,
            "duration_min": 70,
            "method": "rail",
            "counted_m": 34_960,
            "ug": METRO_MG * 1000,
            "reasons": ["earns"],
        }
    ]
    assert device.get(f"/v1/account/trips?after={trips[-1]['id']}") == {"trips": [], "next": None}
    assert device.get("/v1/account/statement?after=5") == {"entries": [], "next": None}


def test_the_sdk_reads_all_of_it(server: Served, tmp_path):
    clock = FakeClock(NOW)
    with phone(server, tmp_path / "phone", clock=clock) as app:
        trips = [commute(app, NOW - offset * DAY) for offset in (1, 2, 3)]
        report = app.sync()
        assert (report.settled, report.left) == ({State.ACCEPTED: 3}, 0)
        assert [trip.official_mg for trip in app.trips()] == [METRO_MG] * 3
        assert app.account().balance_mg == 3 * METRO_MG
        assert [entry.balance_mg for entry in app.statement()] == [METRO_MG * n for n in (1, 2, 3)]
        for trip in trips:
            line_of, receipt = app.receipt(trip.id)
            assert json.loads(line_of)["official_mg"] == METRO_MG
            open_kept_receipt(
                receipt.jws,
                server.key_list,
                device=receipt.device,
                method="POST",
                target="/v1/trips",
                request_digest=digest_of(receipt.request_lines),
                digest=digest_of(receipt.answer_lines),
            )
            assert sha256_hex(line_of) in receipt.answer_lines
            assert sha256_hex(trip.record) in receipt.request_lines


def test_sync_state_is_what_the_phone_itself_computes(server: Served, tmp_path):
    clock = FakeClock(NOW)
    sent: dict[str, list[str]] = {}
    number = new_number()
    with phone(server, tmp_path / "phone", number=number, clock=clock) as app:
        asking = server.device(number)
        # The month is that of arrival, in UTC: the last moments of March, then April.
        for at in (NOW, NOW.replace(day=31, hour=23, minute=59), NOW.replace(month=4, day=1, hour=0)):
            server.clock.at = at
            clock.wall = at.timestamp()
            sent.setdefault(at.strftime("%Y-%m"), []).extend(commute(app, at - offset * DAY).id for offset in (1, 2))
            app.sync()
        months = asking.get("/v1/sync-state")["months"]
        assert sorted(trip.id for trip in app.trips()) == sorted(id for ids in sent.values() for id in ids)
    assert months == {
        month: {
            "count": len(ids),
            "digest": hashlib.sha256("".join(f"{one}\n" for one in sorted(ids)).encode()).hexdigest(),
        }
        for month, ids in sent.items()
    }
