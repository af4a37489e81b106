"""Receipts: what does not fit the bytes that were sent settles nothing, and what is kept is checked with a root key."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greentrip import GreenTrip, InvalidInput, Point, State, Stop, Unproven, Untrusted
from greentrip.receipts import BUNDLE_BYTES_MAX, Bundle, Proof, check_bundle, verify_bundle
from greentrip.signing import signer_of
from greentrip.signing.jws import open_token, sign
from greentrip.testing import FakeClock, FakeServer, problem
from greentrip.trust import KeyList, sign_key_list
from greentrip.wire import NDJSON, RECEIPT_HEADER, base64url, base64url_decode, canonical, sha256_hex, split_lines
from support.trips import ride

ONCE_S = 0.5
"""Shorter than the first back-off (dice are 1.0): one attempt and no more."""
STRANGER = signer_of(b"\x66" * 32)
RULES = [{"rule": "speed", "severity": "note", "en": "rather fast", "zh": "速度偏快"}]


# On the wire


def _claims_of(receipt: str, server: FakeServer) -> dict[str, object]:
    return dict(open_token(receipt, lambda kid: server.online.public_key))


def _with(server: FakeServer, request: httpx.Request, changed: Mapping[str, object]) -> httpx.Response:
    """An honest answer whose receipt, well signed, says something else; None leaves a member out."""
    answer = server.results()(request)
    claims = _claims_of(answer.headers[RECEIPT_HEADER], server) | changed
    answer.headers[RECEIPT_HEADER] = sign(server.online, {key: value for key, value in claims.items() if value})
    return answer


def _lines(server: FakeServer, request: httpx.Request, change: Callable[[list[bytes]], list[bytes]]) -> httpx.Response:
    """An honest answer whose lines were changed on the way."""
    answer = server.results()(request)
    body = b"".join(line + b"\n" for line in change(split_lines(answer.content)))
    headers = {"Content-Type": NDJSON, RECEIPT_HEADER: answer.headers[RECEIPT_HEADER]}
    return httpx.Response(200, headers=headers, content=body)


PARTS = {
    "another device": {"sub": "somebody"},
    "no device": {"sub": None},
    "another method": {"htm": "PUT"},
    "no method": {"htm": None},
    "another call": {"htu": "/v1/account"},
    "a query more": {"htu": "/v1/trips?all"},
    "no call": {"htu": None},
    "another second": {"iat": 1_772_000_000},
    "a second as text": {"iat": "1772000000"},
    "no second": {"iat": None},
    "another request": {"request": "0" * 64},
    "no request": {"request": None},
    "another answer": {"digest": "0" * 64},
    "no answer": {"digest": None},
    "no time": {"at": None},
    "a time without a zone": {"at": "2026-03-05T01:00:00"},
    "a time that is none": {"at": "noon"},
    "a time before the key": {"at": "1960-01-01T00:00:00Z"},
    "a time after the key": {"at": "2100-01-01T00:00:00Z"},
    "a time outside of all": {"at": "0001-01-01T00:00:00+14:00"},
    "no key list": {"keys": None},
    "a key list that is no number": {"keys": "1"},
    "a key list that is true": {"keys": True},
    "a key list that is not there yet": {"keys": 2**40},
}
CHANGES: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "reordered": lambda lines: lines[::-1],
    "one removed": lambda lines: lines[:-1],
    "all removed": lambda lines: [],
    "one added": lambda lines: [*lines, b"{}"],
    "one twice": lambda lines: [lines[0], *lines],
    "one changed": lambda lines: [lines[0].replace(b"accepted", b"rejected"), *lines[1:]],
    "an empty one added": lambda lines: [*lines, b""],
    "white space added": lambda lines: [lines[0] + b" ", *lines[1:]],
}


@pytest.fixture
def loaded(enrolled: GreenTrip, clock: FakeClock) -> GreenTrip:
    """A phone with an account and two trips to send."""
    for _ in range(2):
        ride(enrolled, clock)
    return enrolled


def _nothing_settled(phone: GreenTrip, server: FakeServer, clock: FakeClock) -> None:
    report = phone.sync(ONCE_S)
    assert (report.stop, report.settled, report.left) == (Stop.UNTRUSTED, {}, 2)
    assert all(phone.receipt(trip.id) is None for trip in phone.trips())
    clock.tick(24 * 3600)
    assert phone.sync().settled == {State.ACCEPTED: 2}
    assert len(set(server.posted)) == 1, "the very same bytes"


@pytest.mark.parametrize("changed", PARTS.values(), ids=PARTS)
def test_a_receipt_that_says_another_thing_settles_nothing(
    loaded: GreenTrip, server: FakeServer, clock: FakeClock, changed: Mapping[str, object]
):
    server.plan(lambda request: _with(server, request, changed))
    _nothing_settled(loaded, server, clock)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_an_answer_that_was_changed_on_the_way_settles_nothing(
    loaded: GreenTrip, server: FakeServer, clock: FakeClock, change: Callable[[list[bytes]], list[bytes]]
):
    server.plan(lambda request: _lines(server, request, change))
    _nothing_settled(loaded, server, clock)


def test_an_answer_to_the_same_bytes_at_another_second_settles_nothing(
    loaded: GreenTrip, server: FakeServer, clock: FakeClock
):
    """Yesterday's "accepted" says nothing of today, although each line fits."""
    kept: list[httpx.Response] = []

    def keep(request: httpx.Request) -> httpx.Response:
        kept.append(server.results()(request))
        return problem(503)

    server.plan(keep)
    loaded.sync(ONCE_S)
    clock.tick(24 * 3600)
    server.plan(lambda request: kept[0])
    _nothing_settled(loaded, server, clock)


def test_members_that_a_later_version_adds_are_ignored(loaded: GreenTrip, server: FakeServer):
    server.plan(lambda request: _with(server, request, {"cosigned": ["x"], "level": 9}))
    assert loaded.sync().settled == {State.ACCEPTED: 2}
    assert all(loaded.verify_receipt(trip.id) for trip in loaded.trips())


# Bundles


def _bundle(folder: Path) -> tuple[Bundle, Bundle, FakeServer]:
    """Two records that went in one request, whose answer also speaks Chinese."""
    clock = FakeClock()
    server = FakeServer(clock)
    opened = {"server": "https://greentrip.example", "root_key": server.root_key, "transport": server.transport}
    with GreenTrip.open(folder, clock=clock, **opened) as phone:
        phone.request_code("13800000000")
        phone.enrol("123456", {"location": "1", "sync": "1"})
        for _ in range(2):
            phone.start("bus", _at(39.9), at=clock.now())
            clock.tick(1200)
            phone.finish(_at(39.93))
        server.plan(lambda request: server.lines(request, _in_chinese(server, request)))
        phone.sync()
        one, two = (Bundle.from_bytes(phone.export_receipt(trip)) for trip in phone.receipts())
    return one, two, server


def _in_chinese(server: FakeServer, request: httpx.Request) -> list[bytes]:
    """Results as UTF-8, which is not the only way to write them in JSON."""
    results = [server.result(line, rules=RULES) for line in split_lines(request.content)]
    return [json.dumps(result, ensure_ascii=False).encode() for result in results]


def _at(lat: float) -> Point:
    return Point(lat, 116.4)


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Bundle, FakeServer]:
    return _bundle(tmp_path_factory.mktemp("phone"))


def _root(server: FakeServer) -> bytes:
    return base64url_decode(server.root_key)


def test_a_bundle_proves_its_record_to_anyone_with_the_root_key(bundled: tuple[Bundle, Bundle, FakeServer]):
    bundle, _, server = bundled
    data = bundle.to_bytes()
    record = json.loads(bundle.record)
    assert verify_bundle(data, server.root_key) == Proof(
        trip=record["id"],
        status="accepted",
        official_mg=record["reduction_mg"],
        signed_at=server.now,
        key=server.keys[0].kid,
        key_list=1,
    )
    assert Bundle.from_bytes(data) == bundle
    assert json.loads(data) == {"v": "greentrip-receipt-1"} | {
        key: list(value) if isinstance(value, tuple) else value for key, value in asdict(bundle).items()
    }
    assert "速度偏快" in bundle.result
    assert data.isascii()


def test_another_root_key_proves_nothing(bundled: tuple[Bundle, Bundle, FakeServer]):
    with pytest.raises(Unproven, match="not by this root key"):
        verify_bundle(bundled[0].to_bytes(), base64url(STRANGER.public_key))
    with pytest.raises(InvalidInput, match="root_key"):
        verify_bundle(bundled[0].to_bytes(), "short")


def _is_found(data: bytes, root_key: str) -> bool:
    try:
        verify_bundle(data, root_key)
    except (InvalidInput, Untrusted):
        return True
    return False


@pytest.mark.parametrize("bits", [0x01, 0x20], ids=["last bit", "upper and lower case"])
def test_every_changed_byte_is_found(bundled: tuple[Bundle, Bundle, FakeServer], bits: int):
    data, root_key = bundled[0].to_bytes(), bundled[2].root_key
    missed = [
        place
        for place in range(len(data))
        if not _is_found(data[:place] + bytes([data[place] ^ bits]) + data[place + 1 :], root_key)
    ]
    assert missed == []


@given(data=st.data())
def test_whatever_is_done_to_a_byte_is_found(bundled: tuple[Bundle, Bundle, FakeServer], data: st.DataObject):
    good, root_key = bundled[0].to_bytes(), bundled[2].root_key
    place = data.draw(st.integers(0, len(good) - 1), label="place")
    byte = data.draw(st.integers(0, 255), label="byte")
    replaced = good[:place] + bytes([byte]) + good[place + 1 :]
    assert _is_found(replaced, root_key) or replaced == good
    assert _is_found(good[:place] + bytes([byte]) + good[place:], root_key)
    assert _is_found(good[:place] + good[place + 1 :], root_key)
    assert _is_found(good[:place], root_key)


@given(data=st.binary(max_size=200))
def test_what_is_no_bundle_is_refused(data: bytes):
    with pytest.raises(InvalidInput, match="no receipt of greentrip"):
        Bundle.from_bytes(data + b"\n")


@pytest.mark.parametrize(
    "value",
    [
        [],
        {},
        {"v": "greentrip-receipt-2"},
        {"v": "greentrip-receipt-1"},
        {"v": "greentrip-receipt-1", "record": 5},
    ],
)
def test_json_that_is_no_bundle_is_refused(value: object):
    with pytest.raises(InvalidInput, match="no receipt of greentrip"):
        Bundle.from_bytes(canonical(value) + b"\n")


def test_members_of_a_wrong_type_are_refused(bundled: tuple[Bundle, Bundle, FakeServer]):
    good = json.loads(bundled[0].to_bytes())
    for name, value in good.items():
        for wrong in (None, 5, True, {}, [5], [[value]], "\ud800"):
            with pytest.raises((InvalidInput, Untrusted)):
                verify_bundle(canonical(good | {name: wrong}) + b"\n", bundled[2].root_key)
    with pytest.raises(InvalidInput):
        Bundle.from_bytes(canonical(good | {"more": "x"}) + b"\n")
    with pytest.raises(InvalidInput, match=str(BUNDLE_BYTES_MAX)):
        Bundle.from_bytes(b"x" * (BUNDLE_BYTES_MAX + 1))


def test_the_parts_of_two_bundles_do_not_mix(bundled: tuple[Bundle, Bundle, FakeServer]):
    """Both went in one request: every hash is on both lists, and still one's result proves nothing of the other."""
    one, two, server = bundled
    with pytest.raises(Untrusted, match="for another record"):
        check_bundle(replace(one, result=two.result), _root(server))
    with pytest.raises(Untrusted, match="for another record"):
        check_bundle(replace(one, record=two.record), _root(server))
    assert one.jws == two.jws
    assert one.request_lines == two.request_lines


WRONG: dict[str, tuple[Callable[[Bundle], Bundle], str]] = {
    "record": (lambda b: replace(b, record=b.record.replace('"slot":', '"slot":1')), "for other bytes"),
    "result": (lambda b: replace(b, result=b.result.replace("accepted", "rejected")), "for other bytes"),
    "request lines": (lambda b: replace(b, request_lines=b.request_lines[::-1]), "request does not fit"),
    "answer lines": (lambda b: replace(b, answer_lines=(*b.answer_lines, "0" * 64)), "digest does not fit"),
    "hashes in capitals": (
        lambda b: replace(b, answer_lines=[line.upper() for line in b.answer_lines]),
        "hashes are damaged",
    ),
    "device": (lambda b: replace(b, device="somebody"), "sub does not fit"),
    "time": (lambda b: replace(b, at="2026-03-05T01:00:01+00:00"), "at does not fit"),
    "receipt": (lambda b: replace(b, jws=b.jws.swapcase()), "malformed|JWS"),
    "no receipt": (lambda b: replace(b, jws=""), "JWS"),
    "key list": (lambda b: replace(b, key_list=b.jws), "not by this root key"),
}


@pytest.mark.parametrize(("change", "why"), WRONG.values(), ids=WRONG)
def test_a_bundle_that_was_changed_says_what_does_not_fit(
    bundled: tuple[Bundle, Bundle, FakeServer], change: Callable[[Bundle], Bundle], why: str
):
    with pytest.raises(Untrusted, match=why):
        check_bundle(change(bundled[0]), _root(bundled[2]))


def _signed(bundled: tuple[Bundle, Bundle, FakeServer], result: bytes, **claims: object) -> Bundle:
    """A bundle that the server itself signed, with another result or other claims."""
    bundle, _, server = bundled
    payload = dict(open_token(bundle.jws, lambda kid: server.online.public_key)) | claims
    hashes = [sha256_hex(result)]
    payload["digest"] = sha256_hex(bytes.fromhex(hashes[0]))
    return replace(bundle, result=result.decode(), answer_lines=hashes, jws=sign(server.online, payload))


@pytest.mark.parametrize("result", [b"[]", b"5", b"null", b"no json", b"{}", b"[" * 5000])
def test_a_signed_line_that_is_no_result_proves_nothing(bundled: tuple[Bundle, Bundle, FakeServer], result: bytes):
    with pytest.raises(Untrusted, match="for another record"):
        check_bundle(_signed(bundled, result), _root(bundled[2]))


def test_a_status_of_a_later_version_is_shown_as_it_is(bundled: tuple[Bundle, Bundle, FakeServer]):
    digest = sha256_hex(bundled[0].record.encode())
    result = json.dumps({"sha256": digest, "status": "issued", "official_mg": "much"}).encode()
    proof = check_bundle(_signed(bundled, result), _root(bundled[2]))
    assert (proof.status, proof.official_mg) == ("issued", None)


def test_a_list_older_than_the_receipt_is_not_enough(bundled: tuple[Bundle, Bundle, FakeServer]):
    bundle, _, server = bundled
    newer = _signed(bundled, bundle.result.encode(), keys=2)
    with pytest.raises(Untrusted, match="older than the receipt"):
        check_bundle(newer, _root(server))
    listed = KeyList(2, server.now, tuple(server.keys))
    assert check_bundle(replace(newer, key_list=sign_key_list(server.voucher, listed)), _root(server)).key_list == 2


def test_a_receipt_of_another_call_is_none(bundled: tuple[Bundle, Bundle, FakeServer]):
    bundle, _, server = bundled
    for changed in ({"htu": "/v1/account"}, {"htm": "GET"}):
        with pytest.raises(Untrusted, match="does not fit"):
            check_bundle(_signed(bundled, bundle.result.encode(), **changed), _root(server))


def test_without_a_key_list_there_is_no_bundle(bundled: tuple[Bundle, Bundle, FakeServer], loaded: GreenTrip):
    loaded.sync()
    trip = loaded.trips()[0]
    line, receipt = loaded.receipt(trip.id) or (b"", None)
    assert receipt is not None
    with pytest.raises(Untrusted, match="no key list"):
        Bundle.of(trip.record or b"", line, receipt, None)
    with pytest.raises(Untrusted, match="damaged"):
        Bundle.of(trip.record or b"", b"\xff", receipt, "list")


def test_a_phone_lists_its_receipts_in_the_order_of_recording(loaded: GreenTrip, clock: FakeClock, server: FakeServer):
    assert loaded.receipts() == []
    loaded.sync()
    signed_at = server.now
    ride(loaded, clock)
    assert loaded.receipts() == [trip.id for trip in loaded.trips()[:0:-1]]
    with pytest.raises(Untrusted, match="no receipt"):
        loaded.export_receipt(loaded.trips()[0].id)
    assert {loaded.verify_receipt(trip) for trip in loaded.receipts()} == {signed_at}
