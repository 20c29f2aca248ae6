"""Key formats: every form that a key has leads back to the same key, and nothing else than KmipError comes out of bytes."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from kmipsrv.crypto import formats, keygen, transparent
from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec.enums import CryptographicAlgorithm as A
from kmipsrv.spec.enums import KeyCompressionType as K
from kmipsrv.spec.enums import KeyFormatType as F
from kmipsrv.spec.enums import ObjectType
from kmipsrv.spec.enums import RecommendedCurve as C

SAMPLES: dict[str, tuple[A, int | None, C | None]] = {
    "RSA": (A.RSA, 2048, None),
    "DSA": (A.DSA, 1024, None),
    "DH": (A.DH, 2048, None),
    "P-256": (A.EC, None, C.P_256),
    "P-521": (A.EC, None, C.P_521),
    "SECP256K1": (A.EC, None, C.SECP256K1),
    "X25519": (A.ECDH, None, C.CURVE25519),
    "X448": (A.ECDH, None, C.CURVE448),
    "Ed25519": (A.ED25519, None, None),
    "Ed448": (A.ED448, None, None),
    "ML-DSA-44": (A.ML_DSA_44, None, None),
    "ML-KEM-1024": (A.ML_KEM_1024, None, None),
}
PRIVATE_FORMS: dict[str, list[F]] = {
    "RSA": [F.PKCS_1, F.PKCS_8, F.TRANSPARENT_RSA_PRIVATE_KEY],
    "DSA": [F.PKCS_8, F.TRANSPARENT_DSA_PRIVATE_KEY],
    "DH": [F.PKCS_8, F.TRANSPARENT_DH_PRIVATE_KEY],
    **{curve: [F.ECPRIVATE_KEY, F.PKCS_8, F.RAW, *transparent.EC_PRIVATE] for curve in ("P-256", "P-521", "SECP256K1")},
    **{name: [F.PKCS_8, F.RAW] for name in ("X25519", "X448", "Ed25519", "Ed448", "ML-DSA-44", "ML-KEM-1024")},
}
PUBLIC_FORMS: dict[str, list[F]] = {
    "RSA": [F.PKCS_1, F.X_509, F.TRANSPARENT_RSA_PUBLIC_KEY],
    "DSA": [F.X_509, F.TRANSPARENT_DSA_PUBLIC_KEY],
    "DH": [F.X_509, F.TRANSPARENT_DH_PUBLIC_KEY],
    **{curve: [F.X_509, F.RAW, *transparent.EC_PUBLIC] for curve in ("P-256", "P-521", "SECP256K1")},
    **{name: [F.X_509, F.RAW, *transparent.EC_PUBLIC] for name in ("X25519", "X448")},
    **{name: [F.X_509, F.RAW] for name in ("Ed25519", "Ed448", "ML-DSA-44", "ML-KEM-1024")},
}


@functools.cache
def sample(name: str) -> formats.PrivateKey:
    algorithm, length, curve = SAMPLES[name]
    return keygen.generate_pair(algorithm, length, curve=curve)


def pkcs8(key: formats.PrivateKey) -> formats.Material:
    return formats.dump_private(key, F.PKCS_8)


@pytest.mark.parametrize("name", SAMPLES)
def test_every_private_form_leads_back(name: str) -> None:
    key, (algorithm, _, curve) = sample(name), SAMPLES[name]
    for form in F:
        if form not in PRIVATE_FORMS[name]:
            with pytest.raises(KmipError) as refused:
                formats.dump_private(key, form)
            assert refused.value.cause == Cause.KEY_FORMAT_TYPE_NOT_SUPPORTED
            continue
        material = formats.dump_private(key, form)
        assert pkcs8(formats.load_private(form, material, algorithm=algorithm, curve=curve)) == pkcs8(key)
        described = formats.describe(ObjectType.PRIVATE_KEY, form, material)
        if form != F.RAW:
            assert described is not None
            assert (described.length, described.recommended_curve) == (
                formats.facts(key).length,
                formats.facts(key).recommended_curve,
            )
        back = formats.convert_private(material, form, F.PKCS_8, algorithm=algorithm, curve=curve)
        assert back == pkcs8(key)


@pytest.mark.parametrize("name", SAMPLES)
def test_every_public_form_leads_back(name: str) -> None:
    key, (algorithm, _, curve) = formats.public_of(sample(name)), SAMPLES[name]
    for form in F:
        if form not in PUBLIC_FORMS[name]:
            with pytest.raises(KmipError) as refused:
                formats.dump_public(key, form)
            assert refused.value.cause == Cause.KEY_FORMAT_TYPE_NOT_SUPPORTED
            continue
        material = formats.dump_public(key, form)
        assert formats.load_public(form, material, algorithm=algorithm, curve=curve) == key
        spki = formats.convert_public(material, form, F.X_509, algorithm=algorithm, curve=curve)
        assert spki == formats.dump_public(key, F.X_509)


@pytest.mark.parametrize("form", [F.X_509, F.RAW, F.TRANSPARENT_EC_PUBLIC_KEY])
@pytest.mark.parametrize(
    ("compression", "first"),
    [
        (K.EC_PUBLIC_KEY_TYPE_UNCOMPRESSED, b"\x04"),
        (K.EC_PUBLIC_KEY_TYPE_X9_62_COMPRESSED_PRIME, b"\x02\x03"),
        (K.EC_PUBLIC_KEY_TYPE_X9_62_HYBRID, b"\x06\x07"),
    ],
)
def test_points_in_every_compression(form: F, compression: K, first: bytes) -> None:
    key = formats.public_of(sample("P-256"))
    plain = formats.dump_public(key, F.X_509)
    material = formats.convert_public(plain, F.X_509, form, compression=compression)
    point = material if isinstance(material, bytes) else material["q_string"]
    assert isinstance(point, bytes)
    size = 33 if compression == K.EC_PUBLIC_KEY_TYPE_X9_62_COMPRESSED_PRIME else 65
    assert point[-size] in first
    if form == F.X_509 and compression == K.EC_PUBLIC_KEY_TYPE_X9_62_HYBRID:
        return  # the library reads no hybrid points inside SubjectPublicKeyInfo
    assert formats.load_public(form, material, algorithm=A.EC, curve=C.P_256) == key


def test_compression_is_refused_where_it_has_no_meaning() -> None:
    for name, compression in (
        ("RSA", K.EC_PUBLIC_KEY_TYPE_X9_62_COMPRESSED_PRIME),
        ("P-256", K.EC_PUBLIC_KEY_TYPE_X9_62_COMPRESSED_CHAR2),
    ):
        with pytest.raises(KmipError) as refused:
            formats.dump_public(formats.public_of(sample(name)), F.X_509, compression)
        assert refused.value.cause == Cause.KEY_COMPRESSION_TYPE_NOT_SUPPORTED


def test_a_hybrid_point_that_contradicts_itself_is_refused() -> None:
    point = bytearray(formats.dump_public(formats.public_of(sample("P-256")), F.RAW))  # type: ignore[arg-type]
    point[0] = 6 | (point[-1] & 1 ^ 1)
    with pytest.raises(KmipError):
        formats.load_public(F.RAW, bytes(point), algorithm=A.EC, curve=C.P_256)


@pytest.mark.parametrize(
    "names",
    [
        ("modulus", "private_exponent", "public_exponent"),
        ("modulus", "private_exponent"),
        ("modulus", "private_exponent", "p"),
        ("modulus", "p", "q", "public_exponent"),
        ("modulus", "p", "q", "private_exponent"),
        ("modulus", "p", "q", "prime_exponent_p", "prime_exponent_q"),
        ("modulus", "prime_exponent_p", "prime_exponent_q", "public_exponent"),
        ("modulus", "prime_exponent_p", "prime_exponent_q"),
    ],
)
def test_an_rsa_private_key_from_each_sufficient_set_of_fields(names: tuple[str, ...]) -> None:
    """KMIP 2.1 §3.7: "One of the following SHALL be present": d, or P and Q, or the two prime exponents."""
    key = sample("RSA")
    whole = formats.dump_private(key, F.TRANSPARENT_RSA_PRIVATE_KEY)
    assert isinstance(whole, dict)
    part = formats.load_private(F.TRANSPARENT_RSA_PRIVATE_KEY, {name: whole[name] for name in names})
    assert formats.public_of(part) == formats.public_of(key)
    assert isinstance(part, rsa.RSAPrivateKey)
    assert {part.private_numbers().p, part.private_numbers().q} == {whole["p"], whole["q"]}


@pytest.mark.parametrize(
    "change",
    [
        {"modulus": 2**2048 - 1},
        {"modulus": -5},
        {"modulus": 2**9000},
        {"p": 0},
        {"p": 3, "q": 5},
        {"private_exponent": 12345},
        {"public_exponent": 4},
        {"modulus": b"abc"},
    ],
)
def test_transparent_numbers_that_contradict_each_other(change: dict[str, int | bytes]) -> None:
    whole = formats.dump_private(sample("RSA"), F.TRANSPARENT_RSA_PRIVATE_KEY)
    assert isinstance(whole, dict)
    with pytest.raises(KmipError) as refused:
        formats.load_private(F.TRANSPARENT_RSA_PRIVATE_KEY, whole | change)
    assert refused.value.cause == Cause.INVALID_FIELD


@pytest.mark.parametrize("bits", [512, 1024])
def test_a_modulus_without_two_prime_factors_is_refused_soon(bits: int) -> None:
    prime = 2**521 - 1  # a Mersenne prime: d = e^-1 mod (p - 1) fits, yet there is nothing to factor
    d = pow(65537, -1, prime - 1)
    for modulus in (prime, prime * prime):
        with pytest.raises(KmipError) as refused:
            formats.load_private(
                F.TRANSPARENT_RSA_PRIVATE_KEY,
                {"modulus": modulus, "private_exponent": d, "public_exponent": 65537},
            )
        assert refused.value.cause == Cause.INVALID_FIELD


def test_stored_keys_are_read_without_the_slow_check() -> None:
    key = sample("RSA")
    for form in PRIVATE_FORMS["RSA"]:
        material = formats.dump_private(key, form)
        assert formats.convert_private(material, form, F.PKCS_8, check=False) == pkcs8(key)


def test_transparent_keys_beyond_the_library_are_described() -> None:
    curve = formats.describe(
        ObjectType.PRIVATE_KEY, F.TRANSPARENT_EC_PRIVATE_KEY, {"recommended_curve": C.B_163, "d": 7}
    )
    assert curve == formats.Facts(A.EC, 163, C.B_163)
    small = formats.describe(
        ObjectType.PUBLIC_KEY, F.TRANSPARENT_DSA_PUBLIC_KEY, {"p": 2**511 + 1, "q": 7, "g": 2, "y": 4}
    )
    assert small == formats.Facts(A.DSA, 512)
    old = formats.describe(ObjectType.PUBLIC_KEY, F.TRANSPARENT_ECMQV_PUBLIC_KEY, {"recommended_curve": C.P_256})
    assert old == formats.Facts(A.ECMQV, 256, C.P_256)


def test_symmetric_forms() -> None:
    key = bytes(range(16))
    assert formats.convert_symmetric(key, F.RAW, F.TRANSPARENT_SYMMETRIC_KEY) == {"key": key}
    assert formats.convert_symmetric({"key": key}, F.TRANSPARENT_SYMMETRIC_KEY, F.RAW) == key
    assert formats.convert_symmetric(key, F.RAW, F.OPAQUE) == key
    with pytest.raises(KmipError) as refused:
        formats.convert_symmetric(key, F.RAW, F.PKCS_8)
    assert refused.value.cause == Cause.KEY_FORMAT_TYPE_NOT_SUPPORTED
    with pytest.raises(KmipError):
        formats.convert_symmetric({}, F.TRANSPARENT_SYMMETRIC_KEY, F.RAW)


def test_encrypted_pkcs8_needs_its_password_and_is_bounded() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    material = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    assert formats.describe(ObjectType.PRIVATE_KEY, F.PKCS_8, material) is None
    assert pkcs8(formats.load_private(F.PKCS_8, material, password=b"secret")) == pkcs8(key)
    for password, limit, cause in (
        (None, 10**6, Cause.CRYPTOGRAPHIC_FAILURE),
        (b"wrong", 10**6, Cause.CRYPTOGRAPHIC_FAILURE),
        (b"secret", 1000, Cause.SERVER_LIMIT_EXCEEDED),
    ):
        with pytest.raises(KmipError) as refused:
            formats.load_private(F.PKCS_8, material, password=password, max_iterations=limit)
        assert refused.value.cause == cause
        assert "secret" not in str(refused.value)


REFUSALS = (None, Cause.INVALID_FIELD, Cause.KEY_FORMAT_TYPE_NOT_SUPPORTED)


def outcome(kind: ObjectType, form: F, material: bytes) -> Cause | None:
    """None when the material is described, else the cause of the refusal."""
    try:
        formats.describe(kind, form, material)
    except KmipError as refused:
        return refused.cause
    return None


@given(data=st.binary(max_size=200), form=st.sampled_from([F.PKCS_1, F.PKCS_8, F.X_509, F.ECPRIVATE_KEY, F.RAW]))
def test_any_bytes_end_in_a_key_or_a_refusal(data: bytes, form: F) -> None:
    for kind in (ObjectType.PRIVATE_KEY, ObjectType.PUBLIC_KEY):
        assert outcome(kind, form, data) in REFUSALS


@given(at=st.integers(0, 120), byte=st.integers(0, 255))
def test_a_damaged_key_ends_in_a_key_or_a_refusal(at: int, byte: int) -> None:
    whole = pkcs8(sample("P-256"))
    assert isinstance(whole, bytes)
    damaged = whole[:at] + bytes([byte]) + whole[at + 1 :]
    assert outcome(ObjectType.PRIVATE_KEY, F.PKCS_8, damaged) in REFUSALS


_KEY_BLOCK = re.compile(
    r'<(PrivateKey|PublicKey)>\s*<KeyBlock>\s*<KeyFormatType[^>]*value="(PKCS_1|PKCS_8|X_509|ECPrivateKey)"\s*/>\s*'
    r'<KeyValue>\s*<KeyMaterial type="ByteString" value="([0-9a-fA-F]+)"\s*/>\s*</KeyValue>\s*'
    r'<CryptographicAlgorithm[^>]*value="(\w+)"\s*/>\s*<CryptographicLength[^>]*value="(\d+)"'
)
_FORM = {"PKCS_1": F.PKCS_1, "PKCS_8": F.PKCS_8, "X_509": F.X_509, "ECPrivateKey": F.ECPRIVATE_KEY}


@pytest.mark.shared
def test_encoded_keys_of_the_conformance_cases_say_what_their_key_blocks_say(shared: Path) -> None:
    seen = set()
    for file in (shared / "oasis").glob("*/*/*.xml"):
        for kind, form, material, algorithm, length in _KEY_BLOCK.findall(file.read_text()):
            seen.add((kind, form, material.lower(), algorithm, int(length)))
    assert len(seen) > 15
    for kind, form, material, algorithm, length in seen:
        object_type = ObjectType.PRIVATE_KEY if kind == "PrivateKey" else ObjectType.PUBLIC_KEY
        found = formats.describe(object_type, _FORM[form], bytes.fromhex(material))
        if found is None:
            assert formats.is_encrypted(bytes.fromhex(material))
            continue
        assert found.length == length
        assert found.algorithm.name == {"ECDSA": "EC"}.get(algorithm, algorithm)
