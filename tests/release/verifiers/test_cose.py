"""CBOR and COSE: what hostile encodings are refused for, quickly."""

from __future__ import annotations

import time
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from kmipsrv.release.refusal import Refused
from kmipsrv.release.verifiers import cose
from tests.release.verifiers.attesters import sign1
from tests.release.verifiers.pki import key, rsa_key

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.binary(max_size=40) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.integers(-9, 9) | st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=20,
)


@given(VALUES)
def test_what_the_library_writes_is_read(value: Any) -> None:
    assert cose.decode(cbor2.dumps(value)) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    assert outcome(data) in ("read", "refused")


def outcome(data: bytes) -> str:
    """Anything but a value or ValueError is a defect, and fails the test that asks."""
    try:
        cose.decode(data)
    except ValueError:
        return "refused"
    return "read"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("", "truncated"),
        ("a2010203", "truncated"),
        ("a201020103", "twice"),
        ("a1a201020103 00", "twice"),
        ("82a10102a201020103", "twice"),
        ("1817", "shortest"),
        ("190017", "shortest"),
        ("1900ff", "shortest"),
        ("1a0000ffff", "shortest"),
        ("1b00000000ffffffff", "shortest"),
        ("5801", "shortest"),
        ("9fff", "indefinite"),
        ("5f4100ff", "indefinite"),
        ("bfff", "indefinite"),
        ("1c", "indefinite"),
        ("f97e00", "simple value or float"),
        ("fb7ff8000000000000", "simple value or float"),
        ("f7", "simple value or float"),
        ("e0", "simple value or float"),
        ("f818", "simple value or float"),
        ("0000", "trailing"),
        ("da00010000 00", "unknown tag"),
        ("81" * 17 + "00", "too deeply"),
        ("d2" * 17 + "00", "too deeply"),
        ("9b7fffffffffffffff", "truncated"),
        ("bb7fffffffffffffff", "truncated"),
        ("5b7fffffffffffffff00", "truncated"),
        ("61ff", "malformed"),  # not UTF-8
    ],
)
def test_refused(data: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        cose.decode(bytes.fromhex(data))


@pytest.mark.parametrize(
    "bomb",
    [
        b"\x81" * 60_000 + b"\x00",
        b"\xd9\x01\x8f" * 20_000 + b"\x00",
        b"\x9a\x00\x0f\xff\xff" + bytes(60_000),
        b"\xba\x00\x00\x75\x30" + bytes(60_000),
        b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
        (b"\x82" + b"\x80" * 2) * 20_000,
        b"\xc2\x5a\x00\x00\xea\x60" + b"\xff" * 60_000,  # a bignum of 60,000 bytes
    ],
)
def test_bombs(bomb: bytes) -> None:
    begin = time.perf_counter()
    assert outcome(bomb) in ("read", "refused")
    assert time.perf_counter() - begin < 0.1


def test_parse_sign1() -> None:
    message = sign1(key("k"), b"payload")
    parsed = cose.parse_sign1(cose.decode(message))
    cose.verify_sign1(parsed, key("k").public_key(), "signature")
    tagged = cose.parse_sign1(cose.decode(sign1(key("k"), b"payload", tagged=True)))
    assert tagged.payload == b"payload"
    with pytest.raises(Refused):
        cose.verify_sign1(parsed, key("other").public_key(), "signature")
    with pytest.raises(Refused, match="fit the key"):
        cose.verify_sign1(parsed, key("other", ec.SECP256R1).public_key(), "signature")
    with pytest.raises(Refused, match="fit the key"):
        cose.verify_sign1(parsed, rsa_key("AK").public_key(), "signature")


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        [b"", {}, b""],
        [cbor2.dumps({}), {}, b"", b""],
        [cbor2.dumps({1: "ES384"}), {}, b"", b""],
        [cbor2.dumps({1: -35, 2: [9]}), {}, b"", b""],  # crit
        [b"", {1: -35}, b"", b""],  # an algorithm that nobody signed
        [cbor2.dumps({1: -35}), [], b"", b""],
        [cbor2.dumps({1: -35}), {}, None, b""],
        cbor2.CBORTag(17, [cbor2.dumps({1: -35}), {}, b"", b""]),
    ],
)
def test_what_is_no_sign1(value: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        cose.parse_sign1(value)


@pytest.mark.parametrize("algorithm", [-37, 5, -8, 0])
def test_algorithms_that_are_not_allowed(algorithm: int) -> None:
    message = cose.Sign1(algorithm, cbor2.dumps({1: algorithm}), b"", bytes(96))
    with pytest.raises(Refused, match="not allowed"):
        cose.verify_sign1(message, key("k").public_key(), "signature")


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        {1: 2},
        {1: 1, -1: 6, -2: bytes(32)},
        {1: 2, -1: 2, -2: bytes(48), -3: True},
        {1: 2, -1: 2, -2: b"", -3: b""},
    ],
)
def test_what_is_no_cose_key(value: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        cose.key_of_cose(value)
