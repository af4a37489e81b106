"""Ed25519 gives the same bytes under both libraries, and both refuse the same things."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greentrip import signing
from greentrip.signing import KEY_BYTES, SIGNATURE_BYTES, Scheme, new_seed, scheme, thumbprint

BACKENDS = ("cryptography", "ecdsa")

# RFC 8032, section 7.1: seed, public key, message, signature. The fourth is TEST SHA(abc).
RFC_8032 = {
    "test 1": (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    "test 2": (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    "test 3": (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
    "test SHA(abc)": (
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
        "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
    ),
}
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Scheme:
    return scheme(request.param)


@pytest.mark.parametrize("vector", RFC_8032.values(), ids=RFC_8032)
def test_the_vectors_of_rfc_8032(backend: Scheme, vector: tuple[str, str, str, str]):
    seed, public_key, message, signature = map(bytes.fromhex, vector)
    signer = backend.signer(seed)
    assert signer.public_key == public_key
    assert signer.sign(message) == signature
    assert backend.verify(public_key, message, signature)
    assert not backend.verify(public_key, message + b"x", signature)


@settings(max_examples=15, deadline=None)
@given(st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES), st.binary(max_size=300))
def test_both_libraries_make_the_same_keys_and_signatures(seed: bytes, message: bytes):
    one, other = (scheme(name).signer(seed) for name in BACKENDS)
    assert one.public_key == other.public_key
    assert one.sign(message) == other.sign(message)
    for name in BACKENDS:
        assert scheme(name).verify(one.public_key, message, one.sign(message))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, SIGNATURE_BYTES * 8 - 1))
def test_both_libraries_refuse_a_signature_with_one_bit_turned(bit: int):
    signer = scheme(BACKENDS[0]).signer(bytes(range(32)))
    signature = bytearray(signer.sign(b"message"))
    signature[bit // 8] ^= 1 << bit % 8
    assert [scheme(name).verify(signer.public_key, b"message", bytes(signature)) for name in BACKENDS] == [False, False]


@pytest.mark.parametrize(
    ("key", "signature"),
    [
        (b"", b"\0" * 64),
        (b"\0" * 31, b"\0" * 64),
        (b"\0" * 33, b"\0" * 64),
        (b"\xff" * 32, b"\0" * 64),
        (b"\x02" + b"\0" * 31, b"\0" * 64),  # y = 2 is on no point of the curve
        (None, b""),
        (None, b"\0" * 63),
        (None, b"\0" * 65),
        (None, b"\xff" * 64),
        (None, b"\0" * 64),
    ],
    ids=lambda data: data.hex()[:8] + f"-{len(data)}" if data is not None else "good key",
)
def test_malformed_keys_and_signatures_are_false_and_not_an_exception(
    backend: Scheme, key: bytes | None, signature: bytes
):
    good = backend.signer(b"\1" * 32).public_key
    assert backend.verify(good if key is None else key, b"message", signature) is False


def test_a_signature_has_one_form(backend: Scheme):
    """S plus the group's order verifies in sloppy libraries: then a receipt would have two forms (RFC 8032, 5.1.7)."""
    signer = backend.signer(b"\1" * 32)
    signature = signer.sign(b"message")
    larger = int.from_bytes(signature[32:], "little") + GROUP_ORDER
    assert not backend.verify(signer.public_key, b"message", signature[:32] + larger.to_bytes(32, "little"))


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_seed_of_another_length_is_refused(backend: Scheme, size: int):
    with pytest.raises(ValueError, match=r"."):
        backend.signer(b"\1" * size)


def test_the_better_library_is_taken_where_it_is_installed():
    assert scheme().name == "cryptography"
    assert {scheme(name).name for name in BACKENDS} == set(BACKENDS)
    with pytest.raises(ModuleNotFoundError, match="by_rot13"):
        scheme("rot13")


def test_without_cryptography_ecdsa_signs(monkeypatch: pytest.MonkeyPatch):
    real = signing.import_module

    def without_cryptography(name: str) -> object:
        if name.endswith("by_cryptography"):
            raise ModuleNotFoundError("No module named 'cryptography'", name="cryptography")
        return real(name)

    monkeypatch.setattr(signing, "import_module", without_cryptography)
    scheme.cache_clear()
    try:
        assert scheme().name == "ecdsa"
        seed = new_seed()
        signature = signing.signer_of(seed).sign(b"message")
    finally:
        scheme.cache_clear()
    monkeypatch.undo()
    assert signing.verify(signing.signer_of(seed).public_key, b"message", signature)


def test_without_any_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    def nothing(name: str) -> object:
        raise ModuleNotFoundError(f"No module for {name}", name=name.rpartition("_")[2])

    monkeypatch.setattr(signing, "import_module", nothing)
    scheme.cache_clear()
    try:
        with pytest.raises(ModuleNotFoundError, match="install one of them"):
            scheme()
    finally:
        scheme.cache_clear()


def test_seeds_are_fresh():
    assert len({new_seed() for _ in range(20)}) == 20
    assert {len(new_seed())} == {KEY_BYTES}


def test_the_thumbprint_of_rfc_8037():
    """RFC 8037, appendix A.3, for the key of RFC 8032's first test."""
    public_key = bytes.fromhex(RFC_8032["test 1"][1])
    assert thumbprint(public_key) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
