"""Key derivation: published vectors, the library's own KBKDF as a second opinion, bounds, the conformance cases."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes as library
from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFCMAC, KBKDFHMAC, CounterLocation, Mode

from kmipsrv.crypto import formats, kdf, keygen
from kmipsrv.crypto.kdf import Derivation
from kmipsrv.crypto.parameters import NONE, Parameters
from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec.enums import BlockCipherMode as M
from kmipsrv.spec.enums import CryptographicAlgorithm as A
from kmipsrv.spec.enums import DerivationMethod as D
from kmipsrv.spec.enums import HashingAlgorithm as H
from kmipsrv.spec.enums import PaddingMethod as P
from kmipsrv.spec.enums import RecommendedCurve as C
from tests.crypto import oasis

X = bytes.fromhex
SHA256 = Parameters(hashing_algorithm=H.SHA_256)
KEY = bytes(range(32))

VECTORS: list[tuple[str, D, Derivation, str]] = [
    ("RFC 6070 #1", D.PBKDF2, Derivation(b"password", salt=b"salt", iteration_count=1),
     "0c60c80f961f0e71f3a9b524af6012062fe037a6"),
    ("RFC 6070 #3", D.PBKDF2, Derivation(b"password", salt=b"salt", iteration_count=4096),
     "4b007901b765489abead49d926f721d065a429c1"),
    ("RFC 6070 #5", D.PBKDF2, Derivation(b"passwordPASSWORDpassword", salt=b"saltSALTsaltSALTsaltSALTsaltSALTsalt",
     iteration_count=4096), "3d2eec4fe41c849b80c8d83662c0e44a8b291a964cf2f07038"),
    ("RFC 6070 #1, the password as derivation data", D.PBKDF2, Derivation(data=(b"password",), salt=b"salt",
     iteration_count=1), "0c60c80f961f0e71f3a9b524af6012062fe037a6"),
    ("RFC 7914 §11 #1", D.PBKDF2, Derivation(b"passwd", parameters=SHA256, salt=b"salt", iteration_count=1),
     "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"),
    ("RFC 5869 A.1", D.HKDF, Derivation(b"\x0b" * 22, salt=bytes(range(13)), data=(bytes(range(0xF0, 0xFA)),)),
     "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"),
    ("RFC 5869 A.3", D.HKDF, Derivation(b"\x0b" * 22, salt=b""),
     "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"),
    ("RFC 5869 A.4", D.HKDF, Derivation(b"\x0b" * 11, parameters=Parameters(hashing_algorithm=H.SHA_1),
     salt=bytes(range(13)), data=(bytes(range(0xF0, 0xFA)),)),
     "085a01ea1b10f36933068b56efa5ad81a4f14b822f5b091568a9cdd4f155fda2c22e422478d305f3f896"),
    ("RFC 4231 2 as HMAC", D.HMAC, Derivation(b"Jefe", A.HMAC_SHA256, data=(b"what do ya want for nothing?",)),
     "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
    ("FIPS 180-4 example as HASH", D.HASH, Derivation(b"abc", parameters=SHA256),
     "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    ("SP 800-38A F.2.1 as ENCRYPT", D.ENCRYPT, Derivation(X("2b7e151628aed2a6abf7158809cf4f3c"), A.AES,
     Parameters(M.CBC), (X("6bc1bee22e409f96e93d7e117393172a"),), iv=bytes(range(16))),
     "7649abac8119b246cee98e9b12e9197d"),
    ("AWS documentation, deriving a signing key", D.AWS_SIGNATURE_VERSION_4,
     Derivation(b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", data=(b"20120215", b"us-east-1", b"iam")),
     "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d"),
]  # fmt: skip


@pytest.mark.parametrize(("origin", "method", "given", "wanted"), VECTORS, ids=[v[0] for v in VECTORS])
def test_vectors(origin: str, method: D, given: Derivation, wanted: str) -> None:
    size = len(wanted) // 2
    assert kdf.derive(method, given, size).hex() == wanted, origin
    assert kdf.derive(method, given, size // 2).hex() == wanted[: size // 2 * 2]


@pytest.mark.parametrize("length", [1, 16, 32, 33, 100])
@pytest.mark.parametrize("bits", [8, 16, 24, 32])
def test_counter_mode_is_the_librarys(length: int, bits: int) -> None:
    """SP 800-108 §4.1, [i] before the fixed data; the library builds Label || 0x00 || Context || [L] itself."""
    given = Derivation(KEY, A.HMAC_SHA256, Parameters(counter_length=bits), (b"label\0context",))
    theirs = KBKDFHMAC(
        algorithm=library.SHA256(), mode=Mode.CounterMode, length=length, rlen=bits // 8, llen=4,
        location=CounterLocation.BeforeFixed, label=b"label", context=b"context", fixed=None,
    )  # fmt: skip
    assert kdf.derive(D.NIST800_108_C, given, length) == theirs.derive(KEY)
    cmac = replace(given, key_algorithm=A.AES, parameters=Parameters(M.CMAC, counter_length=bits))
    other = KBKDFCMAC(
        algorithm=algorithms.AES, mode=Mode.CounterMode, length=length, rlen=bits // 8, llen=4,
        location=CounterLocation.BeforeFixed, label=b"label", context=b"context", fixed=None,
    )  # fmt: skip
    assert kdf.derive(D.NIST800_108_C, cmac, length) == other.derive(KEY)


def test_feedback_and_double_pipeline_modes_step_by_step() -> None:
    """SP 800-108 §4.2 and §4.3, written out for two blocks."""

    def prf(data: bytes) -> bytes:
        return hmac.digest(KEY, data, hashlib.sha256)

    fixed = b"label\0context" + (512).to_bytes(4, "big")
    one, two = (1).to_bytes(4, "big"), (2).to_bytes(4, "big")
    given = Derivation(KEY, A.HMAC_SHA256, data=(b"label\0context",))
    first = prf(one + fixed)
    assert kdf.derive(D.NIST800_108_F, given, 64) == first + prf(first + two + fixed)
    first = prf(b"iv" + one + fixed)
    assert kdf.derive(D.NIST800_108_F, replace(given, iv=b"iv"), 64) == first + prf(first + two + fixed)
    a1 = prf(fixed)
    a2 = prf(a1)
    assert kdf.derive(D.NIST800_108_DPI, given, 64) == prf(a1 + one + fixed) + prf(a2 + two + fixed)


BAD, FAILED, LIMIT = Cause.BAD_CRYPTOGRAPHIC_PARAMETERS, Cause.CRYPTOGRAPHIC_FAILURE, Cause.SERVER_LIMIT_EXCEEDED
UNSUPPORTED = Cause.UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS
ONE = (b"data",)


@pytest.mark.parametrize(
    ("method", "given", "length", "cause"),
    [
        (D.PBKDF2, Derivation(b"p", iteration_count=1), 16, BAD),
        (D.PBKDF2, Derivation(b"p", salt=b"s"), 16, BAD),
        (D.PBKDF2, Derivation(b"p", salt=b"s", iteration_count=0), 16, BAD),
        (D.PBKDF2, Derivation(b"p", salt=b"s", iteration_count=-1), 16, BAD),
        (D.PBKDF2, Derivation(b"p", salt=b"s", iteration_count=2_000_000), 16, LIMIT),
        (D.PBKDF2, Derivation(b"p", salt=b"s", iteration_count=400_000), 60, LIMIT),
        (D.PBKDF2, Derivation(b"p", salt=b"s", iteration_count=1, data=ONE), 16, BAD),
        (D.PBKDF2, Derivation(b"p", salt=b"s", iteration_count=1, iv=b"i"), 16, BAD),
        (D.PBKDF2, Derivation(salt=b"s", iteration_count=1), 16, BAD),
        (D.HASH, Derivation(b"k"), 16, BAD),
        (D.HASH, Derivation(b"k", parameters=SHA256, data=ONE), 16, BAD),
        (D.HASH, Derivation(b"k", parameters=SHA256), 33, FAILED),
        (D.HASH, Derivation(b"k", parameters=SHA256, salt=b"s"), 16, BAD),
        (D.HASH, Derivation(b"k", parameters=Parameters(M.CBC, hashing_algorithm=H.SHA_256)), 16, UNSUPPORTED),
        (D.HMAC, Derivation(b"k", A.AES, data=ONE), 16, BAD),
        (D.HMAC, Derivation(b"k", A.HMAC_SHA256), 16, BAD),
        (D.HMAC, Derivation(b"k", A.HMAC_SHA256, data=ONE), 33, FAILED),
        (D.HMAC, Derivation(b"k", A.HMAC_SHA256, data=(b"1", b"2")), 16, BAD),
        (D.ENCRYPT, Derivation(bytes(16), A.AES, Parameters(M.CBC), (bytes(16),)), 17, FAILED),
        (D.ENCRYPT, Derivation(bytes(16), A.AES, Parameters(M.CBC, random_iv=True), (bytes(16),)), 16, BAD),
        (D.ENCRYPT, Derivation(bytes(16), A.AES, Parameters(M.ECB), (bytes(16),)), 16, UNSUPPORTED),
        (D.ENCRYPT, Derivation(bytes(16), None, Parameters(M.CBC), (bytes(16),)), 16, BAD),
        (D.NIST800_108_C, Derivation(b"k", A.HMAC_SHA256, Parameters(counter_length=8), ONE), 8192, FAILED),
        (D.NIST800_108_C, Derivation(b"k", A.HMAC_SHA256, Parameters(counter_length=12), ONE), 16, BAD),
        (D.NIST800_108_C, Derivation(b"k", A.HMAC_SHA256, data=ONE, iv=b"i"), 16, BAD),
        (D.NIST800_108_C, Derivation(b"k", A.AES, data=ONE), 16, BAD),
        (D.NIST800_108_F, Derivation(b"k", A.HMAC_SHA256), 16, BAD),
        (D.HKDF, Derivation(b"k"), 8161, FAILED),
        (D.HKDF, Derivation(b"k"), 8193, LIMIT),
        (D.HKDF, Derivation(b"k"), 0, Cause.INVALID_ATTRIBUTE_VALUE),
        (D.AWS_SIGNATURE_VERSION_4, Derivation(b"k", data=(b"1", b"2")), 16, BAD),
        (D.AWS_SIGNATURE_VERSION_4, Derivation(b"k", data=(b"1", b"2", b"3")), 33, FAILED),
        (D.ASYMMETRIC_KEY, Derivation(b"k"), 16, UNSUPPORTED),
    ],
)
def test_refusals(method: D, given: Derivation, length: int, cause: Cause) -> None:
    with pytest.raises(KmipError) as refused:
        kdf.derive(method, given, length)
    assert refused.value.cause == cause


@pytest.mark.parametrize(
    ("algorithm", "curve", "length"),
    [
        (A.EC, C.P_256, 32), (A.EC, C.SECP256K1, 32), (A.ECDH, C.P_521, 66), (A.ECDH, C.CURVE25519, 32),
        (A.ECDH, C.CURVE448, 56), (A.DH, None, 256),
    ],
)  # fmt: skip
def test_both_sides_agree(algorithm: A, curve: C | None, length: int) -> None:
    ours, theirs = (keygen.generate_pair(algorithm, curve=curve) for _ in range(2))
    parameters = Parameters(cryptographic_algorithm=A.DH if algorithm == A.DH else A.ECDH)
    secret = kdf.agree(ours, formats.public_of(theirs), parameters, length)
    assert secret == kdf.agree(theirs, formats.public_of(ours), NONE, length)
    assert secret[:16] == kdf.agree(ours, formats.public_of(theirs), NONE, 16)
    with pytest.raises(KmipError) as refused:
        kdf.agree(ours, formats.public_of(theirs), NONE, length + 1)
    assert refused.value.cause == FAILED


def test_keys_that_do_not_belong_together_agree_on_nothing() -> None:
    p256, p384 = keygen.generate_pair(A.EC, 256), keygen.generate_pair(A.EC, 384)
    rsa = keygen.generate_pair(A.RSA, 2048)
    cases = [(p256, p384, NONE, BAD), (rsa, rsa, NONE, UNSUPPORTED)]
    cases.append((p256, p256, Parameters(cryptographic_algorithm=A.RSA), BAD))
    cases.append((p256, p256, Parameters(hashing_algorithm=H.SHA_256), UNSUPPORTED))
    for private, other, parameters, cause in cases:
        with pytest.raises(KmipError) as refused:
            kdf.agree(private, formats.public_of(other), parameters, 16)
        assert refused.value.cause == cause


def test_encrypt_assumes_an_iv_of_zeros() -> None:
    given = Derivation(bytes(16), A.AES, Parameters(M.CBC, P.PKCS5), (b"x",))
    assert kdf.derive(D.ENCRYPT, given, 16) == kdf.derive(D.ENCRYPT, replace(given, iv=bytes(16)), 16)


@pytest.mark.shared
def test_the_conformance_cases_derive_as_printed(shared: Path) -> None:
    counted = 0
    wanted: dict[str, bytes] = {}
    for file in (shared / "oasis").glob("*/*/TC-DERIVEKEY-*.xml"):
        materials = oasis.last_material(file)
        if materials is not None:
            wanted[file.name] = materials
    for call in oasis.calls(shared, "DeriveKey"):
        payload = call.request.find("RequestPayload")
        assert payload is not None
        method = oasis.named(D, payload.find("DerivationMethod").get("value", ""))  # type: ignore[union-attr]
        given = payload.find("DerivationParameters")
        assert given is not None
        inside = given.find("CryptographicParameters")
        count = given.find("IterationCount")
        derivation = Derivation(
            call.keys[0].material,
            call.keys[0].algorithm,
            oasis.parameters(inside) if inside is not None else NONE,
            tuple(X(d.get("value", "")) for d in given.findall("DerivationData")),
            call.data("DerivationParameters/InitializationVector"),
            call.data("DerivationParameters/Salt"),
            int(count.get("value", "")) if count is not None else None,
        )
        length = oasis.length_of(payload)
        assert kdf.derive(method, derivation, length // 8) == wanted[call.case], call  # type: ignore[arg-type]
        counted += 1
    assert counted > 15
