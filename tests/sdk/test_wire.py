"""Canonical bytes: one encoding for a value, and nothing else is read."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greentrip.errors import InvalidInput
from greentrip.wire import (
    DEPTH_MAX,
    INTEGER_MAX,
    base64url,
    base64url_decode,
    body_digest,
    canonical,
    digest_of,
    join_lines,
    parse_canonical,
    sha256_hex,
    split_lines,
)

scalars = st.none() | st.booleans() | st.integers(-INTEGER_MAX, INTEGER_MAX) | st.text(max_size=20)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
).filter(lambda value: _depth(value) <= DEPTH_MAX)


def _depth(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return 1 + max(map(_depth, inner)) if inner else 0


@given(values)
def test_a_canonical_line_reads_back_as_itself(value: object):
    line = canonical(value)
    assert parse_canonical(line) == value
    assert canonical(parse_canonical(line)) == line
    assert line.isascii()
    assert b"\n" not in line


@given(values)
def test_any_other_encoding_of_the_same_value_is_refused(value: object):
    for other in (
        json.dumps(value, indent=1),
        json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")),
        json.dumps(value, separators=(",", ":")),
    ):
        encoded = other.encode("utf-8", "surrogatepass")
        if encoded == canonical(value):
            continue
        with pytest.raises(InvalidInput):
            parse_canonical(encoded)


@given(st.binary(max_size=60))
def test_random_bytes_are_read_exactly_or_refused(line: bytes):
    value = _read(line)
    if isinstance(value, InvalidInput):
        assert value.field == "line"
    else:
        assert canonical(value) == line


def _read(line: bytes) -> object:
    try:
        return parse_canonical(line)
    except InvalidInput as error:
        return error


def test_the_examples_of_rfc_8785_that_we_allow():
    value = {"literals": [None, True, False], "string": '€$\u000f\nA\'B"\\\\"/', "numbers": [333, 1, 0, -5]}
    assert canonical(value) == (
        rb'{"literals":[null,true,false],"numbers":[333,1,0,-5],"string":"\u20ac$\u000f\nA'
        rb"'B\"\\\\\"/"
        rb'"}'
    )


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b" ",
        b"{",
        b'{"a":1}\n',
        b'{"a": 1}',
        b' {"a":1}',
        b'{"b":1,"a":2}',
        b'{"a":1,"a":1}',
        b'{"a":1,"a":2}',
        b'{"a":1.0}',
        b'{"a":1.5}',
        b'{"a":1e3}',
        b'{"a":-0}',
        b'{"a":-0.0}',
        b'{"a":01}',
        b'{"a":+1}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":9007199254740992}',
        b'{"a":-9007199254740992}',
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":"\\u0041"}',
        b'{"a":"\\u20AC"}',
        b'{"a":"\\/"}',
        b'{"a":"\xe2\x82\xac"}',
        b'{"a":"\xff"}',
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":1}{"a":1}',
        b"{'a':1}",
        b'{"a":1,}',
        b"[" * 10 + b"]" * 10,
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 50_000,
    ],
    ids=lambda line: repr(line[:24]),
)
def test_what_other_readers_let_through_is_refused(line: bytes):
    with pytest.raises(InvalidInput) as caught:
        parse_canonical(line)
    assert caught.value.field == "line"
    assert caught.value.en != caught.value.zh


def test_nesting_is_allowed_up_to_its_limit():
    """A document lies at depth 0; what it holds may lie DEPTH_MAX deeper."""
    deepest = b"[" * DEPTH_MAX + b"[]" + b"]" * DEPTH_MAX
    assert canonical(parse_canonical(deepest)) == deepest
    with pytest.raises(InvalidInput, match=f"deeper than {DEPTH_MAX}"):
        parse_canonical(deepest.replace(b"[]", b"[1]"))


@pytest.mark.parametrize(
    ("value", "field", "says"),
    [
        ({"a": 1.0}, "value.a", "float"),
        ({"a": float("nan")}, "value.a", "float"),
        ({"a": [0, 2**53]}, "value.a[1]", "2\\*\\*53 - 1"),
        ({"a": b"x"}, "value.a", "bytes"),
        ({"a": {1: 2}}, "value.a", "key is not a string"),
        ({"a": {1, 2}}, "value.a", "set"),
    ],
)
def test_what_cannot_be_written_names_where_it_stands(value: object, field: str, says: str):
    with pytest.raises(InvalidInput, match=says) as caught:
        canonical(value)
    assert caught.value.field == field


def test_integers_are_exact_up_to_their_limit():
    assert canonical([INTEGER_MAX, -INTEGER_MAX]) == b"[9007199254740991,-9007199254740991]"


# Lines and digests


@given(st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line), max_size=6))
def test_lines_survive_joining_and_splitting(lines: list[bytes]):
    assert split_lines(join_lines(lines)) == lines


def test_empty_lines_stay_and_the_last_newline_may_be_missing():
    assert split_lines(b"") == []
    assert split_lines(b"\n") == [b""]
    assert split_lines(b"a\n\nb\n") == [b"a", b"", b"b"]
    assert split_lines(b"a\nb") == [b"a", b"b"]
    assert split_lines(b"a\n\n") == [b"a", b""]


def test_a_digest_is_the_hash_of_the_lines_hashes():
    hashes = [hashlib.sha256(line).digest() for line in (b"one", b"two")]
    assert digest_of(map(sha256_hex, (b"one", b"two"))) == hashlib.sha256(b"".join(hashes)).hexdigest()
    assert body_digest(b"one\ntwo\n", ndjson=True) == hashlib.sha256(b"".join(hashes)).hexdigest()


def test_a_body_that_is_not_ndjson_is_one_line_and_an_empty_body_none():
    whole = hashlib.sha256(b"one\ntwo\n").digest()
    assert body_digest(b"one\ntwo\n", ndjson=False) == hashlib.sha256(whole).hexdigest()
    empty = hashlib.sha256(b"").hexdigest()
    assert body_digest(b"", ndjson=False) == body_digest(b"", ndjson=True) == empty == digest_of([])


@given(st.lists(st.binary(min_size=1, max_size=30).filter(lambda line: b"\n" not in line), min_size=1, max_size=6))
def test_one_record_is_provable_and_erasable_alone(lines: list[bytes]):
    """After erasing one record its hash stays, and the digest is still that of the whole body."""
    digest = body_digest(join_lines(lines), ndjson=True)
    kept = [sha256_hex(line) for line in lines]
    erased = len(lines) // 2
    with_one_erased = [kept[i] if i == erased else sha256_hex(line) for i, line in enumerate(lines)]
    assert digest_of(with_one_erased) == digest
    other = [sha256_hex(b"other" + line) if i == erased else kept[i] for i, line in enumerate(lines)]
    assert digest_of(other) != digest
    if len(set(lines)) > 1:
        assert digest_of(sorted(kept)) == digest or sorted(kept) != kept, "the order counts"


# Base64url


@given(st.binary(max_size=70))
def test_base64url_reads_back(data: bytes):
    text = base64url(data)
    assert base64url_decode(text) == data
    assert "=" not in text
    assert text.isascii()


@pytest.mark.parametrize("text", ["A", "AA==", "AB", "AA\n", "A A", "+/8", "_-9=", "é", "AAA*", "AAAAA"])
def test_loose_base64url_is_refused(text: str):
    with pytest.raises(ValueError, match="not base64url"):
        base64url_decode(text)
