"""Compact JWS: one algorithm, one header, one form; whatever else is refused, and the refusal says which part."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greentrip.signing import signer_of, thumbprint
from greentrip.signing.jws import TOKEN_CHARS_MAX, BadToken, key_id, open_token, sign
from greentrip.wire import INTEGER_MAX, base64url, canonical

SIGNER = signer_of(b"\7" * 32)
KID = thumbprint(SIGNER.public_key)
OTHER = signer_of(b"\10" * 32)

payloads = st.dictionaries(st.text(max_size=8), st.text(max_size=20) | st.integers(-INTEGER_MAX, INTEGER_MAX))


def _key(kid: str) -> bytes | None:
    return SIGNER.public_key if kid == KID else None


def _token(header: bytes, payload: bytes = b'{"a":1}', signer=SIGNER) -> str:
    signed = f"{base64url(header)}.{base64url(payload)}"
    return f"{signed}.{base64url(signer.sign(signed.encode()))}"


HEADER = canonical({"alg": "Ed25519", "kid": KID})
GOOD = _token(HEADER)


@given(payloads)
def test_a_token_opens_to_what_was_signed(payload: dict):
    token = sign(SIGNER, payload)
    assert open_token(token, _key) == payload
    assert key_id(token) == KID
    assert token.isascii()


def test_its_form_is_that_of_rfc_7515():
    header, payload, signature = sign(SIGNER, {"b": 2, "a": "é"}).split(".")
    assert json.loads(base64.urlsafe_b64decode(header + "==")) == {"alg": "Ed25519", "kid": KID}
    assert base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)) == rb'{"a":"\u00e9","b":2}'
    assert len(base64.urlsafe_b64decode(signature + "==")) == 64


@pytest.mark.parametrize(
    ("token", "says"),
    [
        ("", "three parts"),
        ("a.b", "three parts"),
        ("a.b.c.d", "three parts"),
        (GOOD + ".", "three parts"),
        ("." * 2, "malformed header"),
        ("é.b.c", "malformed header"),
        ("A" * (TOKEN_CHARS_MAX + 1), "longer than"),
        (_token(b"[]"), "must hold alg"),
        (_token(b"{}"), "must hold alg"),
        (_token(canonical({"alg": "none", "kid": KID})), "must hold alg Ed25519"),
        (_token(canonical({"alg": "EdDSA", "kid": KID})), "must hold alg Ed25519"),
        (_token(canonical({"alg": "HS256", "kid": KID})), "must hold alg Ed25519"),
        (_token(canonical({"alg": "Ed25519"})), "must hold alg"),
        (_token(canonical({"alg": "Ed25519", "kid": KID, "crit": ["x"]})), "and nothing else"),
        (_token(canonical({"alg": "Ed25519", "kid": KID, "jwk": {}})), "and nothing else"),
        (_token(canonical({"alg": "Ed25519", "kid": 5})), "kid is not a string"),
        (_token(b'{"kid":"' + KID.encode() + b'","alg":"Ed25519"}'), "malformed header"),
        (_token(HEADER, b'{"a": 1}'), "malformed token"),
        (_token(HEADER, b'{"a":1.0}'), "malformed token"),
        (_token(HEADER, b'{"a":1,"a":2}'), "malformed token"),
        (_token(HEADER, b"[1]"), "payload is not an object"),
        (_token(HEADER, signer=OTHER), "wrong signature"),
        (_token(canonical({"alg": "Ed25519", "kid": thumbprint(OTHER.public_key)}), signer=OTHER), "unknown key"),
        (GOOD.rpartition(".")[0] + ".", "wrong signature"),
        (GOOD + "=", "malformed token"),
        (GOOD[:-1] + "é", "malformed token"),
        (GOOD.replace(".", ".é", 1), "malformed token"),
        (f"{base64url(HEADER)}.{base64url(b'{}')}.{GOOD.rpartition('.')[2]}", "wrong signature"),
    ],
)
def test_a_bad_token_says_which_part(token: str, says: str):
    with pytest.raises(BadToken, match=says):
        open_token(token, _key)


@given(st.integers(0, len(GOOD) - 1), st.sampled_from("ABCxyz019-_.=+ é"))
def test_one_changed_character_is_never_accepted(position: int, character: str):
    changed = GOOD[:position] + character + GOOD[position + 1 :]
    if changed == GOOD:
        return
    with pytest.raises(BadToken):
        open_token(changed, _key)


@given(st.text(max_size=80))
def test_random_text_is_refused_and_never_crashes(token: str):
    with pytest.raises(BadToken):
        open_token(token, _key)
