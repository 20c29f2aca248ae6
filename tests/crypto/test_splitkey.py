"""Split keys: every method over its thresholds, the field axioms, parts that do not fit, the conformance cases."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmipsrv.crypto import rng, splitkey
from kmipsrv.crypto.splitkey import Scheme
from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec.enums import SplitKeyMethod as S
from kmipsrv.spec.enums import SplitKeyPolynomial as Y

PRIME = 2**521 - 1
SECRET = b"\0\0sixteen bytes !!"
SCHEMES = [
    Scheme(S.XOR, 4, 4),
    Scheme(S.POLYNOMIAL_SHARING_GF_28, 5, 3),
    Scheme(S.POLYNOMIAL_SHARING_GF_28, 4, 2, polynomial=Y.POLYNOMIAL_283),
    Scheme(S.POLYNOMIAL_SHARING_GF_216, 5, 3),
    Scheme(S.POLYNOMIAL_SHARING_GF_216, 4, 2, polynomial=Y.POLYNOMIAL_283),
    Scheme(S.POLYNOMIAL_SHARING_GF_216, 300, 2, max_parts=300),
    Scheme(S.POLYNOMIAL_SHARING_PRIME_FIELD, 5, 3, prime_field_size=PRIME),
]


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_any_threshold_of_parts_joins(scheme: Scheme) -> None:
    parts = dict(enumerate(splitkey.split(SECRET, scheme, os.urandom), 1))
    assert len(parts) == scheme.parts
    for chosen in itertools.islice(itertools.combinations(parts, scheme.threshold), 12):
        some = {x: parts[x] for x in chosen}
        assert splitkey.join(some, scheme, length=len(SECRET)) == SECRET
        del some[chosen[0]]
        with pytest.raises(KmipError) as refused:
            splitkey.join(some, scheme, length=len(SECRET))
        assert refused.value.cause == Cause.CRYPTOGRAPHIC_FAILURE
    assert splitkey.join(parts, scheme, length=len(SECRET)) == SECRET


@pytest.mark.parametrize("scheme", [s for s in SCHEMES if s.method != S.XOR], ids=str)
def test_a_part_too_many_that_is_not_of_the_key_is_noticed(scheme: Scheme) -> None:
    parts = dict(enumerate(splitkey.split(SECRET, scheme, os.urandom), 1))
    parts[scheme.parts] = bytes([parts[scheme.parts][0]]) + bytes(len(parts[1]) - 1)
    with pytest.raises(KmipError) as refused:
        splitkey.join(parts, scheme, length=len(SECRET))
    assert refused.value.cause == Cause.CRYPTOGRAPHIC_FAILURE


def test_a_prime_field_forgets_leading_zeros_unless_told() -> None:
    scheme = SCHEMES[-1]
    parts = dict(enumerate(splitkey.split(SECRET, scheme, os.urandom), 1))
    assert splitkey.join(parts, scheme) == SECRET.lstrip(b"\0")
    with pytest.raises(KmipError):
        splitkey.join(parts, scheme, length=3)


elements = st.integers(1, 0xFFFF)


@pytest.mark.parametrize("polynomial", [283, 285])
@given(a=elements, b=elements, c=elements)
def test_gf_2_16_is_a_field(polynomial: int, a: int, b: int, c: int) -> None:
    field = splitkey._Field16(splitkey._field8(polynomial))
    times = field.multiply
    assert times(a, b) == times(b, a)
    assert times(times(a, b), c) == times(a, times(b, c))
    assert times(a, b ^ c) == times(a, b) ^ times(a, c)
    assert times(a, 1) == a
    assert times(a, field.invert(a)) == 1


def test_gf_2_8_of_283_is_that_of_fips_197() -> None:
    # FIPS 197 §4.2: {57} * {83} = {c1}, {57} * {13} = {fe}; the inverse of {53} is {ca} (its S-box example)
    rows, inverse = splitkey._field8(283).rows, splitkey._field8(283).inverse
    assert (rows[0x57][0x83], rows[0x57][0x13], inverse[0x53]) == (0xC1, 0xFE, 0xCA)


BAD, LIMIT = Cause.BAD_CRYPTOGRAPHIC_PARAMETERS, Cause.SERVER_LIMIT_EXCEEDED


@pytest.mark.parametrize(
    ("method", "parts", "threshold", "prime", "polynomial", "cause"),
    [
        (S.XOR, 4, 3, None, None, BAD),
        (S.XOR, 1, 1, None, None, BAD),
        (S.XOR, 65, 65, None, None, LIMIT),
        (S.XOR, 2**31 - 1, 2, None, None, LIMIT),
        (S.XOR, -1, -1, None, None, BAD),
        (S.XOR, 2, 2, None, Y.POLYNOMIAL_283, BAD),
        (S.POLYNOMIAL_SHARING_GF_28, 3, 4, None, None, BAD),
        (S.POLYNOMIAL_SHARING_GF_28, 3, 2, 257, None, BAD),
        (S.POLYNOMIAL_SHARING_PRIME_FIELD, 3, 2, None, None, BAD),
        (S.POLYNOMIAL_SHARING_PRIME_FIELD, 3, 2, PRIME, Y.POLYNOMIAL_283, BAD),
    ],
)
def test_schemes_that_are_refused(
    method: S, parts: int, threshold: int, prime: int | None, polynomial: Y | None, cause: Cause
) -> None:
    with pytest.raises(KmipError) as refused:
        Scheme(method, parts, threshold, prime, polynomial)
    assert refused.value.cause == cause


@pytest.mark.parametrize(
    ("prime", "cause"),
    [(PRIME + 2, BAD), (2**127 - 1, BAD), (-7, BAD), (0, BAD), (2, BAD), (2**5000 + 1, LIMIT), (PRIME * 3, BAD)],
)
def test_numbers_that_are_no_prime_for_the_secret(prime: int, cause: Cause) -> None:
    scheme = Scheme(S.POLYNOMIAL_SHARING_PRIME_FIELD, 3, 2, prime)
    with pytest.raises(KmipError) as refused:
        splitkey.split(SECRET, scheme, os.urandom)
    assert refused.value.cause == cause


def test_secrets_that_cannot_be_split() -> None:
    for secret, scheme, cause in (
        (b"", SCHEMES[0], Cause.CRYPTOGRAPHIC_FAILURE),
        (bytes(8193), SCHEMES[0], LIMIT),
        (b"odd", SCHEMES[3], BAD),
    ):
        with pytest.raises(KmipError) as refused:
            splitkey.split(secret, scheme, os.urandom)
        assert refused.value.cause == cause


def test_parts_that_cannot_be_joined() -> None:
    scheme = Scheme(S.POLYNOMIAL_SHARING_GF_28, 4, 2)
    for parts in ({1: b"a", 5: b"b"}, {0: b"a", 1: b"b"}, {1: b"a", 2: b"bb"}, {1: b"", 2: b""}, {}):
        with pytest.raises(KmipError) as refused:
            splitkey.join(parts, scheme)
        assert refused.value.cause == Cause.CRYPTOGRAPHIC_FAILURE


@pytest.mark.shared
@pytest.mark.parametrize("name", ["1.2/testcases/TC-SJ-3-12.xml", "2.0/testcases/TC-SJ-2-20.xml"])
def test_the_parts_of_the_conformance_cases_join(shared: Path, name: str) -> None:
    file = shared / "oasis" / name
    if not file.exists():
        pytest.skip(f"{name} is not in this copy")
    parts = {}
    for split in ET.fromstring(file.read_text()).iter("SplitKey"):
        material, identifier = split.find(".//KeyMaterial"), split.find("KeyPartIdentifier")
        assert material is not None
        assert identifier is not None
        parts[int(identifier.get("value", ""))] = bytes.fromhex(material.get("value", ""))
    assert sorted(parts) == [1, 2, 3, 4]
    for pair in itertools.combinations(parts, 2):
        joined = splitkey.join({x: parts[x] for x in pair}, Scheme(S.POLYNOMIAL_SHARING_GF_28, 4, 2))
        assert joined == bytes(range(1, 17))


def test_random_numbers_are_bounded() -> None:
    assert len(rng.retrieve(100, os.urandom, max_length=100)) == 100
    for length, cause in ((0, Cause.INVALID_FIELD), (-1, Cause.INVALID_FIELD), (101, LIMIT)):
        with pytest.raises(KmipError) as refused:
            rng.retrieve(length, os.urandom, max_length=100)
        assert refused.value.cause == cause


def test_a_seed_changes_the_output_and_is_taken_up_to_its_limit() -> None:
    source = rng.Seeded(bytes)  # an operating system that has nothing but zeros to give
    assert source(16) == bytes(16)
    assert source.seed(b"seed", max_length=16) == 4
    first = source(16)
    assert first != bytes(16)
    assert source(16) != first
    assert source.seed(bytes(100), max_length=16) == 16
    assert len(source(1000)) == 1000
