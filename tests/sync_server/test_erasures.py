"""Erasing: what a person takes back leaves the bytes, the credit and the account, and never comes to count again."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest

from greentrip.evidence import Features
from greentrip.record import RecordLeg
from greentrip.trip import Method, Mode
from greentrip.trust import open_erasure_certificate, sign_erasure_order
from greentrip.wire import sha256_hex
from greentrip_server.enrolment.models import Consent, DeviceStatus, Enrolment, PersonAccount
from greentrip_server.enrolment.models import Device as DeviceRow
from greentrip_server.erasures import service
from greentrip_server.erasures.models import TripErasure
from greentrip_server.errors import Problem
from greentrip_server.ledger.models import Posting, Transfer
from greentrip_server.notices.models import Notice
from greentrip_server.sync import judge
from greentrip_server.sync.intake import Received, receive
from greentrip_server.sync.keys import add_online_key
from greentrip_server.sync.models import BLANKED_WHEN_ERASED, SyncRequest, Trip, TripBytes
from greentrip_server.vault.models import Identity
from support.records import METRO_MG, altered, line, record
from support.server import NOW, Device, Json, Served, served

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


def id_of(record: bytes) -> str:
    return json.loads(record)["id"]


def balance(device: Device) -> int:
    return device.get("/v1/account")["balance_mg"]


# Trips that came already


def test_an_erased_trip_leaves_its_id_and_its_hash(server: Served, device: Device, rows: Rows):
    kept, gone = line(slot=10), line(slot=20)
    device.post(kept, gone)
    assert device.erase(id_of(gone)) == [id_of(gone)]
    (trip,) = server.rows(Trip, id=UUID(id_of(gone)))
    assert (trip.status, trip.line_sha256, trip.official_mg, trip.rules) == ("erased", sha256_hex(gone), 0, [])
    assert {getattr(trip, column) for column in (*BLANKED_WHEN_ERASED, "official_methodology")} == {None}
    assert [row.line for row in rows(TripBytes)] == [kept]
    assert balance(device) == METRO_MG
    assert device.get("/v1/account")["trips"] == {"accepted": 1, "held": 0, "rejected": 0, "erased": 1}
    (told,) = (trip for trip in device.get("/v1/account/trips")["trips"] if trip["id"] == id_of(gone))
    assert (told["status"], told["day"], told["province"], told["legs"]) == ("erased", None, None, [])


def test_its_credit_is_taken_back_by_a_transfer_that_names_it(server: Served, device: Device, rows: Rows):
    gone = line()
    device.post(gone)
    server.clock.tick(hours=3)
    device.erase(id_of(gone))
    credit, correction = sorted(rows(Transfer), key=lambda transfer: transfer.number)
    assert (correction.kind, correction.corrects, correction.trip_id) == ("trip_erasure", credit.id, credit.trip_id)
    entries = device.get("/v1/account/statement")["entries"]
    assert [(entry["kind"], entry["mg"], entry["balance_mg"]) for entry in entries] == [
        ("trip", METRO_MG, METRO_MG),
        ("trip_erasure", -METRO_MG, 0),
    ]


@pytest.mark.parametrize("early", [line(day(1)), line(province=31)], ids=["held", "rejected"])
def test_a_trip_without_credit_is_erased_too(server: Served, device: Device, rows: Rows, early: bytes):
    device.post(early)
    device.erase(id_of(early))
    assert [trip.status for trip in rows(Trip)] == ["erased"]
    assert (rows(TripBytes), rows(Transfer)) == ([], [])
    # Its day comes, and nobody looks at it again.
    server.clock.tick(days=2)
    judge.recheck_all(server.runtime.database, server.runtime.rulebook, server.clock())
    assert device.post(early)[0]["status"] == "erased"
    assert balance(device) == 0


def test_to_erase_twice_is_to_erase_once(server: Served, device: Device, rows: Rows):
    gone = line()
    device.post(gone)
    first = device.erase(id_of(gone), id_of(gone))
    ledger = (rows(Transfer), rows(Posting), rows(Notice), rows(TripErasure))
    server.clock.tick(days=400)
    assert device.erase(id_of(gone)) == first == [id_of(gone)]
    assert (rows(Transfer), rows(Posting), rows(Notice), rows(TripErasure)) == ledger


def test_an_erased_track_is_no_evidence_against_others(server: Served):
    ride = RecordLeg(Mode.CYCLE, 12_000, 45, Method.TRACK)
    features = Features(0, median_kmh=14, p85_kmh=16, p95_kmh=18, moving_kmh=14, stopped_percent=5, fixes=2)

    def same_track() -> bytes:
        return replace(record(day(-9), 20, ride), features=(features,)).to_bytes()

    people = [server.device() for _ in range(3)]
    for person in people:
        mine = same_track()
        assert person.post(mine)[0]["status"] == "accepted"
        person.erase(id_of(mine))
    assert server.device().post(same_track())[0]["status"] == "accepted"


# Trips that come later


def test_a_trip_that_was_erased_before_it_came_is_never_stored(server: Served, device: Device, rows: Rows):
    gone, fine = line(slot=10), line(slot=20)
    assert device.erase(id_of(gone)) == [id_of(gone)]
    for _ in range(2):
        result, other = device.post(gone, fine)
        told = {key: result[key] for key in ("status", "state", "official_mg", "rules")}
        assert told == {"status": "erased", "state": "erased", "official_mg": 0, "rules": []}
        assert other["status"] == "accepted"
    assert [row.line for row in rows(TripBytes)] == [fine]
    assert balance(device) == METRO_MG


def test_erased_is_final_for_every_device_and_for_other_bytes(server: Served, device: Device):
    other = server.device(device.number)
    gone = line()
    device.post(gone)
    other.erase(id_of(gone))
    for sender in (device, other):
        (again, changed) = sender.post(gone, altered(gone, slot=40))
        assert (again["status"], again["duplicate"]) == ("erased", True)
        assert (changed["status"], changed["sha256"]) == ("erased", sha256_hex(altered(gone, slot=40)))


def test_another_persons_trip_stays(server: Served, device: Device):
    stranger = server.device()
    theirs = line()
    stranger.post(theirs)
    device.erase(id_of(theirs))
    assert balance(stranger) == METRO_MG
    assert stranger.post(theirs)[0]["status"] == "accepted"
    assert device.post(theirs)[0]["status"] == "erased"


@pytest.mark.parametrize(
    "body",
    [{}, {"trips": []}, {"trips": ["x"]}, {"trips": [str(uuid4())] * 501}, {"trips": None}, {"trips": [], "more": 1}],
    ids=["nothing", "none", "no id", "too many", "null", "more"],
)
def test_what_is_no_list_of_ids_is_refused(device: Device, body: Json):
    answer = device.call("POST", "/v1/trip-erasures", json.dumps(body).encode(), "application/json")
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/malformed")


def test_five_hundred_at_once(server: Served, device: Device, rows: Rows):
    here = [line(day(-n), 16) for n in range(1, 31)]
    device.post(*here)
    wanted = [*map(id_of, here), *(str(uuid4()) for _ in range(470))]
    assert device.erase(*wanted) == sorted(wanted)
    assert (balance(device), len(rows(TripErasure)), rows(TripBytes)) == (0, 500, [])


# Accounts


def order_of(device: Device, server: Served, id: str = "", audience: str = "") -> str:
    return sign_erasure_order(device.signer, audience=audience or server.runtime.audience, id=id or str(uuid4()))


def erase(server: Served, order: str) -> httpx.Response:
    return server.client.post("/v1/erasure", json={"order": order})


def certificate(server: Served, device: Device, order: str) -> str:
    """The certificate of an order, once it is right."""
    answer = erase(server, order)
    assert answer.status_code == 200, answer.text
    token = answer.json()["certificate"]
    at = open_erasure_certificate(token, server.key_list, device=device.id, order=order)
    assert at <= server.clock()
    return token


def test_an_erased_account_has_nothing_left_but_hashes(server: Served, device: Device, rows: Rows):
    other = server.device(device.number)
    device.post(line(slot=10), line(day(1)), line(province=31))
    other.post(altered(line(slot=10), slot=11))
    server.client.post("/v1/enrolments", json={"phone": device.number})
    order = order_of(device, server)
    certificate(server, device, order)
    assert rows(Identity) == rows(TripBytes) == rows(Notice) == rows(SyncRequest) == []
    assert {trip.status for trip in rows(Trip)} == {"erased"}
    assert {row.status for row in rows(DeviceRow)} == {DeviceStatus.ENDED}
    assert all(row.withdrawn_at for row in rows(Consent))
    (account,) = server.rows(PersonAccount, id=UUID(device.account))
    assert (account.status, account.balance_mg) == ("erased", 0)
    assert sum(posting.amount for posting in rows(Posting) if posting.book == "person") == 0
    hasher = server.runtime.hasher
    assert not server.rows(Enrolment, phone_hash=hasher.phone(f"+86{device.number}"))
    for caller in (device, other):
        answer = caller.call("GET", "/v1/account")
        assert (answer.status_code, answer.json()["type"]) == (403, "/problems/device_ended")


def test_the_same_order_gets_the_same_certificate_for_ever(server: Served, device: Device, rows: Rows):
    device.post(line())
    order = order_of(device, server)
    first = certificate(server, device, order)
    ledger = (rows(Transfer), rows(Posting))
    server.clock.tick(days=300)
    assert certificate(server, device, order) == first
    # Another phone of the person had signed one, too; and this one signed twice, since it was killed meanwhile.
    second = certificate(server, device, order_of(device, server))
    assert second != first
    assert certificate(server, device, order) == first
    assert (rows(Transfer), rows(Posting)) == ledger


def test_a_certificate_by_a_key_that_was_given_up_is_signed_anew(database_url: str, tmp_path: Path):
    with served(database_url, tmp_path) as server:
        device = server.device()
        order = order_of(device, server)
        first = certificate(server, device, order)
        stolen = server.runtime.keys.kid
    add_online_key(tmp_path / "server" / "keys", NOW, drop=[stolen])
    with served(database_url, tmp_path) as server:
        second = certificate(server, device, order)
        assert second != first
        assert certificate(server, device, order) == second


def test_an_ended_device_may_still_order(server: Served, device: Device):
    other = server.device(device.number)
    certificate(server, device, order_of(device, server))
    certificate(server, other, order_of(other, server))


def test_the_same_number_then_has_a_new_account(server: Served, device: Device):
    device.post(line())
    certificate(server, device, order_of(device, server))
    again = server.device(device.number)
    assert again.account != device.account
    assert balance(again) == 0
    # The erased account's records are of somebody else now.
    assert again.get("/v1/account/trips")["trips"] == []
    # And the old key cannot be used again.
    asked = server.client.post("/v1/enrolments", json={"phone": device.number}).json()["enrolment"]
    answer = device.register(asked, server.code(asked))
    assert answer.json()["type"] in ("/problems/device_ended", "/problems/invalid")


def test_a_batch_that_was_on_its_way_ends_with_the_account(server: Served, device: Device, rows: Rows):
    """The device was looked up before the erasure, its batch comes to the account's lock after it."""
    (caller,) = rows(DeviceRow)
    certificate(server, device, order_of(device, server))
    batch = Received(caller, [line()], "0" * 64, "jws", NOW, budget_s=1)

    def bring() -> None:
        with server.runtime.database.write() as session:
            receive(session, batch, server.runtime.rulebook)

    with pytest.raises(Problem, match="device_ended"):
        bring()
    assert rows(Trip) == []


def test_wrong_orders(server: Served, device: Device):
    stranger = server.stranger()
    for order, kind, part in (
        ("x", "signature", "order"),
        (order_of(stranger, server), "unknown_device", None),
        (order_of(device, server, audience="another server"), "signature", "audience"),
        (device.sign("GET", "/v1/account"), "signature", "order"),
        (order_of(device, server)[:-8] + "AAAAAAAA", "signature", "order"),
    ):
        answer = erase(server, order)
        assert (answer.json()["type"], answer.json().get("part")) == (f"/problems/{kind}", part)
    assert device.get("/v1/account")


def test_orders_are_bounded(server: Served, device: Device, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(service, "ORDERS_AN_ACCOUNT_MAX", 2)
    first = order_of(device, server)
    token = certificate(server, device, first)
    certificate(server, device, order_of(device, server))
    answer = erase(server, order_of(device, server))
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "86400")
    assert certificate(server, device, first) == token
