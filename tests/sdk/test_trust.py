"""Who may sign what: key lists by the root, requests by phones, receipts by online keys."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from greentrip.signing import signer_of, thumbprint
from greentrip.signing.jws import BadToken, sign
from greentrip.trust import (
    ONLINE_KEYS_MAX,
    ErasureOrder,
    KeyList,
    OnlineKey,
    ReceiptFacts,
    RequestClaims,
    open_erasure_certificate,
    open_erasure_order,
    open_kept_receipt,
    open_key_list,
    open_receipt,
    open_request,
    parse_rfc3339,
    rfc3339,
    sign_erasure_certificate,
    sign_erasure_order,
    sign_key_list,
    sign_receipt,
    sign_request,
    signer_id,
)
from greentrip.wire import base64url, sha256_hex

ROOT, ONLINE, OTHER, PHONE = (signer_of(bytes([n]) * 32) for n in (1, 2, 3, 4))
NOW = datetime(2026, 3, 5, 8, 0, tzinfo=UTC)
KEY = OnlineKey(ONLINE.public_key, NOW - timedelta(days=1), NOW + timedelta(days=1))
KEYS = KeyList(3, NOW, (KEY,))
DEVICE = thumbprint(PHONE.public_key)
REQUEST, ANSWER = sha256_hex(b"request"), sha256_hex(b"answer")
CALL = RequestClaims("server", DEVICE, "POST", "/v1/trips", 1_772_697_600, REQUEST)
PARTS = {
    "sub": DEVICE,
    "htm": "POST",
    "htu": "/v1/trips",
    "iat": CALL.iat,
    "request": REQUEST,
    "digest": ANSWER,
}
FACTS = ReceiptFacts(NOW, keys=KEYS.seq)
ITEM = {"kid": KEY.kid, "x": base64url(ONLINE.public_key), "from": rfc3339(NOW), "until": rfc3339(NOW)}


def _receipt(**changes) -> str:
    parts = {"answered": CALL, "digest": ANSWER, "at": NOW, "keys": KEYS.seq, "signer": ONLINE} | changes
    return sign_receipt(parts.pop("signer"), **parts)


def _open(token: str, keys: KeyList = KEYS) -> ReceiptFacts:
    return open_receipt(token, keys, CALL, digest=ANSWER)


def _open_kept(token: str, keys: KeyList = KEYS) -> ReceiptFacts:
    return open_kept_receipt(
        token, keys, device=DEVICE, method="POST", target="/v1/trips", request_digest=REQUEST, digest=ANSWER
    )


# The key list


def test_a_key_list_reads_back_under_its_root():
    listed = KeyList(7, NOW, (KEY, OnlineKey(OTHER.public_key, NOW, NOW + timedelta(days=30))))
    assert open_key_list(sign_key_list(ROOT, listed), ROOT.public_key) == listed
    assert listed.find(thumbprint(OTHER.public_key)) == listed.keys[1]
    assert listed.find("nobody") is None


def test_a_key_list_by_another_root_is_refused():
    with pytest.raises(BadToken, match="unknown key"):
        open_key_list(sign_key_list(OTHER, KEYS), ROOT.public_key)
    forged = sign_key_list(OTHER, KEYS).split(".")
    real = sign_key_list(ROOT, KEYS).split(".")
    with pytest.raises(BadToken, match="wrong signature"):
        open_key_list(".".join([*real[:2], forged[2]]), ROOT.public_key)


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"seq": 1, "issued_at": rfc3339(NOW)},
        {"seq": 1, "issued_at": rfc3339(NOW), "keys": None},
        {"seq": 1, "issued_at": rfc3339(NOW), "keys": "keys"},
        {"seq": 1, "issued_at": rfc3339(NOW), "keys": {}},
        {"seq": 1, "issued_at": rfc3339(NOW), "keys": [5]},
        {"seq": 1, "issued_at": rfc3339(NOW), "keys": [{}]},
        {"seq": 1, "issued_at": rfc3339(NOW), "keys": [ITEM | {"x": 5}]},
        {"seq": 1, "issued_at": rfc3339(NOW), "keys": [ITEM | {"x": "*"}]},
        {"seq": 1, "issued_at": rfc3339(NOW), "keys": [ITEM | {"x": "AAAA"}]},
        {"seq": 1, "issued_at": rfc3339(NOW), "keys": [ITEM | {"kid": "another"}]},
        {"seq": 1, "issued_at": rfc3339(NOW), "keys": [ITEM | {"until": "tomorrow"}]},
        {"seq": 1, "issued_at": rfc3339(NOW), "keys": [ITEM | {"until": "2026-03-05T08:00:00"}]},
        {"seq": "new", "issued_at": rfc3339(NOW), "keys": [ITEM]},
        {"seq": None, "issued_at": rfc3339(NOW), "keys": [ITEM]},
        {"seq": 1, "keys": [ITEM]},
        {"seq": 1, "issued_at": 5, "keys": [ITEM]},
    ],
)
def test_a_malformed_key_list_is_refused_even_when_the_root_signed_it(payload: dict):
    with pytest.raises(BadToken, match="malformed key list"):
        open_key_list(sign(ROOT, {"iss": thumbprint(ROOT.public_key), **payload}), ROOT.public_key)


@pytest.mark.parametrize("iss", [None, 5, "", thumbprint(OTHER.public_key)])
def test_a_key_list_names_its_root(iss: object):
    payload = {"seq": 1, "issued_at": rfc3339(NOW), "keys": [ITEM]}
    assert open_key_list(sign(ROOT, payload | {"iss": thumbprint(ROOT.public_key)}), ROOT.public_key).seq == 1
    with pytest.raises(BadToken, match="iss"):
        open_key_list(sign(ROOT, payload | {"iss": iss}), ROOT.public_key)


def test_a_key_list_of_endless_length_is_refused():
    many = tuple(OnlineKey(signer_of(bytes([n]) * 32).public_key, NOW, NOW) for n in range(ONLINE_KEYS_MAX + 1))
    with pytest.raises(BadToken, match=f"at most {ONLINE_KEYS_MAX}"):
        open_key_list(sign_key_list(ROOT, KeyList(1, NOW, many)), ROOT.public_key)
    longest = KeyList(1, NOW, many[:ONLINE_KEYS_MAX])
    assert open_key_list(sign_key_list(ROOT, longest), ROOT.public_key) == longest


# Receipts


def test_a_receipt_opens_to_its_time_and_the_key_list_in_force():
    assert _open(_receipt()) == FACTS
    # A list that the reader does not have yet is the reader's affair, and no reason to call the receipt wrong.
    assert _open(_receipt(keys=KEYS.seq + 1)) == replace(FACTS, keys=KEYS.seq + 1)
    assert signer_id(_receipt()) == KEY.kid


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"answered": replace(CALL, device="somebody")}, "sub does not fit"),
        ({"answered": replace(CALL, method="GET")}, "htm does not fit"),
        ({"answered": replace(CALL, target="/v1/trips?again")}, "htu does not fit"),
        ({"answered": replace(CALL, digest=ANSWER)}, "request does not fit"),
        ({"digest": REQUEST}, "digest does not fit"),
        ({"signer": OTHER}, "unknown key"),
        ({"signer": PHONE}, "unknown key"),
        ({"signer": ROOT}, "unknown key"),
        ({"at": KEY.valid_from - timedelta(seconds=1)}, "not valid at that time"),
        ({"at": KEY.valid_until + timedelta(seconds=1)}, "not valid at that time"),
    ],
)
def test_a_wrong_receipt_names_the_part(changes: dict, says: str):
    for opened in (_open, _open_kept):
        with pytest.raises(BadToken, match=says):
            opened(_receipt(**changes))


@pytest.mark.parametrize("off_s", [-86_400, -1, 1])
def test_only_who_kept_the_lines_alone_takes_a_receipt_of_another_second(off_s: int):
    other = _receipt(answered=replace(CALL, iat=CALL.iat + off_s))
    with pytest.raises(BadToken, match="iat does not fit"):
        _open(other)
    assert _open_kept(other) == FACTS


@pytest.mark.parametrize("part", ["sub", "htm", "htu", "iat", "request", "digest"])
def test_a_receipt_that_leaves_a_part_out_is_refused(part: str):
    payload = {**PARTS, "at": rfc3339(NOW), "keys": KEYS.seq}
    assert _open(sign(ONLINE, payload)) == FACTS
    del payload[part]
    with pytest.raises(BadToken, match=f"{part} does not fit"):
        _open(sign(ONLINE, payload))


@pytest.mark.parametrize("at", [KEY.valid_from, KEY.valid_until])
def test_a_key_is_valid_from_its_first_second_to_its_last(at: datetime):
    assert _open(_receipt(at=at)) == replace(FACTS, at=at)


@pytest.mark.parametrize("at", [None, 5, "", "yesterday", "2026-03-05T08:00:00", "0001-01-01T00:00:00+08:00"])
def test_a_receipt_without_a_time_is_refused(at: object):
    with pytest.raises(BadToken, match="at is missing"):
        _open(sign(ONLINE, {**PARTS, "at": at, "keys": KEYS.seq}))


@pytest.mark.parametrize("keys", ["", None, True, "3", [3]])
def test_a_receipt_that_names_no_key_list_is_refused(keys: object):
    payload = {**PARTS, "at": rfc3339(NOW), "keys": keys}
    with pytest.raises(BadToken, match="keys is missing"):
        _open(sign(ONLINE, payload))


def test_an_expired_key_is_refused_though_its_signature_is_right():
    expired = KeyList(4, NOW, (OnlineKey(ONLINE.public_key, NOW - timedelta(days=9), NOW - timedelta(days=2)),))
    with pytest.raises(BadToken, match="not valid at that time"):
        _open(_receipt(), expired)


# Requests


def test_a_request_opens_to_its_claims():
    claims = RequestClaims("server", DEVICE, "POST", "/v1/trips", 1_772_000_000, REQUEST)
    assert open_request(sign_request(PHONE, claims), PHONE.public_key) == claims


def test_a_request_by_another_device_is_refused():
    claims = RequestClaims("server", DEVICE, "POST", "/v1/trips", 1_772_000_000, REQUEST)
    with pytest.raises(BadToken, match="unknown key"):
        open_request(sign_request(OTHER, claims), PHONE.public_key)
    with pytest.raises(BadToken, match="sub is not the signing device"):
        open_request(sign_request(OTHER, claims), OTHER.public_key)


@pytest.mark.parametrize("missing", ["aud", "sub", "htm", "htu", "iat", "digest"])
@pytest.mark.parametrize("instead", [None, 5.0, True, ["x"]])
def test_a_request_names_the_claim_that_is_missing(missing: str, instead: object):
    claims = {"aud": "s", "sub": DEVICE, "htm": "GET", "htu": "/", "iat": 1, "digest": REQUEST}
    claims[missing] = instead if instead != 5.0 else ("5" if missing == "iat" else 5)
    with pytest.raises(BadToken, match=f"{missing} is missing"):
        open_request(sign(PHONE, claims), PHONE.public_key)


# Erasure


def test_an_erasure_order_opens_to_who_ordered_what():
    order = sign_erasure_order(PHONE, audience="server", id="order-1")
    assert open_erasure_order(order, PHONE.public_key) == ErasureOrder("server", DEVICE, "order-1")
    # The same words at any time: a phone signs once, keeps it, and throws its key away.
    assert sign_erasure_order(PHONE, audience="server", id="order-1") == order
    with pytest.raises(BadToken, match="unknown key"):
        open_erasure_order(order, OTHER.public_key)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"typ": None}, "typ is not"),
        ({"typ": "receipt"}, "typ is not"),
        ({"sub": thumbprint(OTHER.public_key)}, "sub is not the signing device"),
        ({"aud": None}, "aud or id is missing"),
        ({"id": 5}, "aud or id is missing"),
    ],
)
def test_a_wrong_erasure_order_names_the_part(changes: dict, says: str):
    payload = {"aud": "server", "sub": DEVICE, "typ": "erasure", "id": "order-1"} | changes
    with pytest.raises(BadToken, match=says):
        open_erasure_order(sign(PHONE, payload), PHONE.public_key)


def test_nothing_else_that_a_device_signs_is_an_erasure_order():
    with pytest.raises(BadToken, match="typ is not"):
        open_erasure_order(sign_request(PHONE, CALL), PHONE.public_key)
    with pytest.raises(BadToken, match="htm is missing"):
        open_request(sign_erasure_order(PHONE, audience="server", id="order-1"), PHONE.public_key)


def test_a_certificate_fits_one_order_of_one_device():
    order = sign_erasure_order(PHONE, audience="server", id="order-1")
    certificate = sign_erasure_certificate(ONLINE, device=DEVICE, order=order, at=NOW)
    assert open_erasure_certificate(certificate, KEYS, device=DEVICE, order=order) == NOW
    another = sign_erasure_order(PHONE, audience="server", id="order-2")
    with pytest.raises(BadToken, match="order does not fit"):
        open_erasure_certificate(certificate, KEYS, device=DEVICE, order=another)
    with pytest.raises(BadToken, match="sub does not fit"):
        open_erasure_certificate(certificate, KEYS, device=thumbprint(OTHER.public_key), order=order)
    forged = sign_erasure_certificate(OTHER, device=DEVICE, order=order, at=NOW)
    with pytest.raises(BadToken, match="unknown key"):
        open_erasure_certificate(forged, KEYS, device=DEVICE, order=order)
    with pytest.raises(BadToken, match="order does not fit"):
        open_erasure_certificate(_receipt(), KEYS, device=DEVICE, order=order)


# Instants


def test_instants_are_written_in_utc_and_whole_seconds():
    china = datetime(2026, 3, 5, 16, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=8)))
    assert rfc3339(china) == "2026-03-05T08:00:00Z"
    assert parse_rfc3339("2026-03-05T16:00:00+08:00") == parse_rfc3339("2026-03-05T08:00:00Z") == NOW
    with pytest.raises(ValueError, match="names no zone"):
        parse_rfc3339("2026-03-05T08:00:00")
