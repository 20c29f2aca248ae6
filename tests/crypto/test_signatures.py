"""Signatures and RSA encryption: published vectors, every scheme both ways, refusals, the conformance cases."""

from __future__ import annotations

import functools
import hashlib
import os
from pathlib import Path

import pytest

from kmipsrv.crypto import asymmetric, formats, keygen, signatures
from kmipsrv.crypto.failures import NotAuthentic
from kmipsrv.crypto.parameters import NONE, Parameters
from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec.enums import CryptographicAlgorithm as A
from kmipsrv.spec.enums import DigitalSignatureAlgorithm as D
from kmipsrv.spec.enums import HashingAlgorithm as H
from kmipsrv.spec.enums import KeyFormatType as F
from kmipsrv.spec.enums import KeyRoleType, MaskGenerator
from kmipsrv.spec.enums import PaddingMethod as P
from kmipsrv.spec.enums import RecommendedCurve as C
from tests.crypto import oasis

X = bytes.fromhex
UNSUPPORTED, BAD = Cause.UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS, Cause.BAD_CRYPTOGRAPHIC_PARAMETERS


@functools.cache
def pair(algorithm: A, curve: C | None = None) -> tuple[formats.PrivateKey, formats.PublicKey]:
    length = {A.RSA: 2048, A.DSA: 1024}.get(algorithm)
    key = keygen.generate_pair(algorithm, length, curve=curve)
    return key, formats.public_of(key)


SCHEMES: list[tuple[A, Parameters]] = [
    *((signatures.SCHEMES[d][0], Parameters(digital_signature_algorithm=d)) for d in D
      if d not in (D.MD2_WITH_RSA_ENCRYPTION, D.RSASSA_PSS)),
    (A.RSA, Parameters(digital_signature_algorithm=D.RSASSA_PSS, hashing_algorithm=H.SHA_384)),
    (A.RSA, Parameters(None, P.PSS, H.SHA_256, salt_length=222, mask_generator=MaskGenerator.MGF1, trailer_field=1)),
    (A.RSA, Parameters(None, P.PSS, H.SHA_256, mask_generator_hashing_algorithm=H.SHA_1, salt_length=0)),
    (A.RSA, Parameters(None, P.PKCS1_V1_5, H.SHA_512, cryptographic_algorithm=A.RSA)),
    (A.RSA, Parameters(None, P.PSS, H.SHA3_256)),
    (A.EC, Parameters(cryptographic_algorithm=A.ECDSA, hashing_algorithm=H.SHA3_384)),
    (A.EC, NONE),
    (A.DSA, Parameters(cryptographic_algorithm=A.DSA, hashing_algorithm=H.SHA_256)),
    (A.ED25519, NONE),
    (A.ED448, Parameters(cryptographic_algorithm=A.ED448)),
    (A.ML_DSA_44, NONE),
    (A.ML_DSA_87, Parameters(cryptographic_algorithm=A.ML_DSA_87)),
]  # fmt: skip


@pytest.mark.parametrize(("algorithm", "parameters"), SCHEMES)
def test_every_scheme_both_ways_and_in_parts(algorithm: A, parameters: Parameters) -> None:
    private, public = pair(algorithm)
    data = b"what is signed"
    signature = signatures.sign(private, parameters, data, allow_legacy=True)
    signatures.verify(public, parameters, signature, data, allow_legacy=True)
    signing = signatures.Signing(private, parameters, allow_legacy=True)
    verification = signatures.Verification(public, parameters, allow_legacy=True)
    for at in range(0, len(data), 5):
        signing.update(data[at : at + 5])
        verification.update(data[at : at + 5])
    signatures.verify(public, parameters, signing.finalize(), data, allow_legacy=True)
    verification.finalize(signature)
    for wrong, message in ((signature, data + b"."), (signature[:-1], data), (b"", data), (b"\0" * 64, data)):
        with pytest.raises(NotAuthentic):
            signatures.verify(public, parameters, wrong, message, allow_legacy=True)


@pytest.mark.parametrize(
    ("algorithm", "parameters", "hashing"),
    [
        (A.RSA, Parameters(None, P.PKCS1_V1_5, H.SHA_256), "sha256"),
        (A.RSA, Parameters(None, P.PSS, H.SHA_512), "sha512"),
        (A.EC, Parameters(hashing_algorithm=H.SHA_384), "sha384"),
        (A.DSA, Parameters(hashing_algorithm=H.SHA_256), "sha256"),
        (A.EC, NONE, "sha256"),
    ],
)
def test_digested_data_is_data_digested_before(algorithm: A, parameters: Parameters, hashing: str) -> None:
    private, public = pair(algorithm)
    digested = hashlib.new(hashing, b"data").digest()
    signatures.verify(public, parameters, signatures.sign(private, parameters, digested=digested), b"data")
    signatures.verify(public, parameters, signatures.sign(private, parameters, b"data"), digested=digested)
    if parameters.hashing_algorithm is not None:
        with pytest.raises(KmipError) as refused:
            signatures.sign(private, parameters, digested=digested[:-1])
        assert refused.value.cause == BAD


@pytest.mark.parametrize("algorithm", [A.RSA, A.EC])
def test_a_digest_of_unknown_hash_is_signed_as_it_is(algorithm: A) -> None:
    private, public = pair(algorithm)
    digested = bytes(range(16))
    signature = signatures.sign(private, NONE, digested=digested)
    signatures.verify(public, NONE, signature, digested=digested)
    with pytest.raises(NotAuthentic):
        signatures.verify(public, NONE, signature, digested=digested[::-1])


def test_pss_accepts_both_readings_of_an_absent_mask_hash() -> None:
    private, public = pair(A.RSA)
    for mask in (H.SHA_1, H.SHA_256):
        made = signatures.sign(private, Parameters(None, P.PSS, H.SHA_256, mask_generator_hashing_algorithm=mask), b"x")
        signatures.verify(public, Parameters(None, P.PSS, H.SHA_256), made, b"x")
    other = signatures.sign(
        private, Parameters(None, P.PSS, H.SHA_256, mask_generator_hashing_algorithm=H.SHA_512), b"x"
    )
    with pytest.raises(NotAuthentic):
        signatures.verify(public, Parameters(None, P.PSS, H.SHA_256), other, b"x")


def test_ed25519_of_rfc_8032() -> None:
    # RFC 8032 §7.1 test 2
    key = formats.load_private(
        F.RAW, X("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"), algorithm=A.ED25519
    )
    public = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    assert formats.dump_public(formats.public_of(key), F.RAW) == X(public)
    assert signatures.sign(key, NONE, b"\x72").hex() == (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )


@pytest.mark.parametrize(
    ("algorithm", "parameters", "cause"),
    [
        (A.RSA, NONE, BAD),
        (A.RSA, Parameters(None, P.PSS), BAD),
        (A.RSA, Parameters(None, P.PSS, H.SHA_256, salt_length=223), BAD),
        (A.RSA, Parameters(None, P.PSS, H.SHA_256, salt_length=-1), BAD),
        (A.RSA, Parameters(None, P.PSS, H.SHA_256, trailer_field=2), UNSUPPORTED),
        (A.RSA, Parameters(None, P.PKCS1_V1_5, H.SHA_256, salt_length=20), UNSUPPORTED),
        (A.RSA, Parameters(None, P.X9_31, H.SHA_256), UNSUPPORTED),
        (A.RSA, Parameters(None, P.OAEP, H.SHA_256), UNSUPPORTED),
        (A.RSA, Parameters(None, P.PKCS1_V1_5, H.SHA_1), UNSUPPORTED),
        (A.RSA, Parameters(None, P.PKCS1_V1_5, H.WHIRLPOOL), UNSUPPORTED),
        (A.RSA, Parameters(None, P.PKCS1_V1_5, H.SHA_256, KeyRoleType.DEK), BAD),
        (A.RSA, Parameters(cryptographic_algorithm=A.EC, hashing_algorithm=H.SHA_256), BAD),
        (A.RSA, Parameters(digital_signature_algorithm=D.ECDSA_WITH_SHA256), BAD),
        (A.RSA, Parameters(None, P.PSS, digital_signature_algorithm=D.SHA_256_WITH_RSA_ENCRYPTION), BAD),
        (A.RSA, Parameters(hashing_algorithm=H.SHA_1, digital_signature_algorithm=D.SHA_256_WITH_RSA_ENCRYPTION), BAD),
        (A.RSA, Parameters(digital_signature_algorithm=D.MD2_WITH_RSA_ENCRYPTION), UNSUPPORTED),
        (A.EC, Parameters(None, P.PSS, H.SHA_256), BAD),
        (A.EC, Parameters(hashing_algorithm=H.SHA_1), UNSUPPORTED),
        (A.EC, Parameters(hashing_algorithm=H.SHA_256, p_source=b""), UNSUPPORTED),
        (A.EC, Parameters(None, P.PSS, H.SHA_256, cryptographic_algorithm=A.RSA), BAD),
        (A.ED25519, Parameters(hashing_algorithm=H.SHA_512), UNSUPPORTED),
        (A.ML_KEM_768, NONE, UNSUPPORTED),
    ],
)
def test_refusals(algorithm: A, parameters: Parameters, cause: Cause) -> None:
    with pytest.raises(KmipError) as refused:
        signatures.sign(pair(algorithm)[0], parameters, b"data")
    assert refused.value.cause == cause


def test_either_data_or_digest() -> None:
    for data, digested in ((None, None), (b"a", b"b")):
        with pytest.raises(KmipError) as refused:
            signatures.sign(pair(A.EC)[0], NONE, data, digested=digested)
        assert refused.value.cause == BAD
    with pytest.raises(KmipError) as refused:
        signatures.sign(pair(A.ED25519)[0], NONE, digested=bytes(64))
    assert refused.value.cause == UNSUPPORTED


def test_streams_that_collect_are_bounded() -> None:
    stream = signatures.Signing(pair(A.ED25519)[0], NONE, max_collected=10)
    stream.update(bytes(10))
    with pytest.raises(KmipError) as refused:
        stream.update(b"x")
    assert refused.value.cause == Cause.SERVER_LIMIT_EXCEEDED


OAEP = Parameters(None, P.OAEP, H.SHA_256, mask_generator_hashing_algorithm=H.SHA_256)


@pytest.mark.parametrize(
    "hashing", [None, *(h for h in H if h not in (H.MD2, H.MD4, H.RIPEMD_160, H.TIGER, H.WHIRLPOOL))]
)
@pytest.mark.parametrize("mask", [None, H.SHA_384, H.SHA3_256])
@pytest.mark.parametrize("label", [None, b"", b"a label"])
def test_oaep_with_every_hash_mask_and_label(hashing: H | None, mask: H | None, label: bytes | None) -> None:
    private, public = pair(A.RSA)
    parameters = Parameters(None, P.OAEP, hashing, mask_generator_hashing_algorithm=mask, p_source=label)
    for data in (b"", b"a secret", bytes(20)):
        made = asymmetric.encrypt(public, parameters, data, random=os.urandom, allow_legacy=True)
        assert asymmetric.decrypt(private, parameters, made, allow_legacy=True) == data
    other = Parameters(None, P.OAEP, hashing, mask_generator_hashing_algorithm=mask, p_source=b"another label")
    for wrong, with_parameters in ((made, other), (made[:-1], parameters), (bytes(256), parameters)):
        with pytest.raises(KmipError) as refused:
            asymmetric.decrypt(private, with_parameters, wrong, allow_legacy=True)
        assert refused.value.cause == Cause.CRYPTOGRAPHIC_FAILURE


def test_the_oaep_made_here_is_the_librarys() -> None:
    """The own encoding, checked where the library has the hash too."""
    private, public = pair(A.RSA)
    encoded = asymmetric._encode(b"both ways", (H.SHA_256, H.SHA_384), b"L", public, os.urandom)  # type: ignore[arg-type]
    parameters = Parameters(None, P.OAEP, H.SHA_256, mask_generator_hashing_algorithm=H.SHA_384, p_source=b"L")
    made = asymmetric._public(public, encoded)  # type: ignore[arg-type]
    assert asymmetric.decrypt(private, parameters, made) == b"both ways"
    theirs = asymmetric.encrypt(public, parameters, b"both ways", random=os.urandom)
    bare = asymmetric._private(private, theirs)  # type: ignore[arg-type]
    assert asymmetric._decode(bare, (H.SHA_256, H.SHA_384), b"L") == b"both ways"


def test_bare_rsa_and_pkcs1() -> None:
    private, public = pair(A.RSA)
    bare, pkcs1 = Parameters(None, P.NONE), Parameters(None, P.PKCS1_V1_5)
    block = b"\0" + os.urandom(255)
    made = asymmetric.encrypt(public, bare, block, random=os.urandom, allow_legacy=True)
    assert asymmetric.decrypt(private, bare, made, allow_legacy=True) == block
    made = asymmetric.encrypt(public, pkcs1, b"abc", random=os.urandom, allow_legacy=True)
    assert asymmetric.decrypt(private, pkcs1, made, allow_legacy=True) == b"abc"
    for parameters in (bare, pkcs1):
        with pytest.raises(KmipError) as refused:
            asymmetric.decrypt(private, parameters, made)
        assert refused.value.cause == UNSUPPORTED


@pytest.mark.parametrize(
    ("algorithm", "parameters", "size", "cause"),
    [
        (A.RSA, NONE, 1, BAD),
        (A.RSA, Parameters(None, P.PSS), 1, BAD),
        (A.RSA, Parameters(None, P.PKCS1_V1_5, H.SHA_256), 1, UNSUPPORTED),
        (A.RSA, Parameters(None, P.OAEP, H.TIGER), 1, UNSUPPORTED),
        (A.RSA, Parameters(None, P.OAEP, salt_length=1), 1, UNSUPPORTED),
        (A.RSA, Parameters(None, P.OAEP, cryptographic_algorithm=A.EC), 1, BAD),
        (A.RSA, OAEP, 191, Cause.CRYPTOGRAPHIC_FAILURE),
        (A.RSA, Parameters(None, P.OAEP, H.SHA3_512), 127, Cause.CRYPTOGRAPHIC_FAILURE),
        (A.RSA, Parameters(None, P.NONE), 257, Cause.CRYPTOGRAPHIC_FAILURE),
        (A.EC, OAEP, 1, UNSUPPORTED),
    ],
)
def test_encryption_refusals(algorithm: A, parameters: Parameters, size: int, cause: Cause) -> None:
    with pytest.raises(KmipError) as refused:
        asymmetric.encrypt(pair(algorithm)[1], parameters, b"\xff" * size, random=os.urandom, allow_legacy=True)
    assert refused.value.cause == cause


def load(key: oasis.Key) -> formats.PrivateKey:
    return formats.load_private(F.PKCS_1, key.material)


@pytest.mark.shared
def test_the_conformance_cases_verify_as_printed(shared: Path) -> None:
    counted = {"Valid": 0, "Invalid": 0}
    last: dict[str, bytes] = {}
    for call in oasis.calls(shared, "Sign", "SignatureVerify"):
        key, data, digested = call.keys[0], call.data("Data"), call.data("DigestedData")
        whole = not any(call.request.find(f".//{tag}") is not None for tag in ("CorrelationValue", "InitIndicator"))
        if not whole or not call.succeeded or (data is None) == (digested is None):
            continue
        if call.operation == "Sign":
            made = signatures.sign(load(key), call.parameters, data, digested=digested, allow_legacy=True)
            last[call.case] = made
            continue
        public = formats.load_public(F.X_509, key.material)
        signature = call.data("SignatureData") or last[call.case]
        validity = call.answer.find(".//ValidityIndicator")
        assert validity is not None
        try:
            signatures.verify(public, call.parameters, signature, data, digested=digested, allow_legacy=True)
            found = "Valid"
        except NotAuthentic:
            found = "Invalid"
        assert found == validity.get("value"), call
        counted[found] += 1
    assert min(counted.values()) > 10, counted


@pytest.mark.shared
def test_the_conformance_cases_decrypt_with_oaep(shared: Path) -> None:
    pairs: dict[bytes, formats.PrivateKey] = {}
    known: dict[str, list[bytes]] = {}
    counted = {"Encrypt": 0, "Decrypt": 0}
    for call in oasis.calls(shared, "Encrypt", "Decrypt"):
        key, data = call.keys[0], call.data("Data")
        if not call.case.startswith("CS-AC-M-OAEP") or data is None:
            continue
        if call.operation == "Encrypt" and key.kind == "PublicKey":
            made = asymmetric.encrypt(
                formats.load_public(F.X_509, key.material), call.parameters, data, random=os.urandom
            )
            known.setdefault(call.case, []).append(made)
            counted["Encrypt"] += 1
        if call.operation == "Decrypt" and key.kind == "PrivateKey":
            private = pairs.setdefault(key.material, load(key))
            wanted = call.answered("Data")
            assert (asymmetric.decrypt(private, call.parameters, data) == wanted) == call.succeeded, call
            counted["Decrypt"] += 1
    assert counted["Encrypt"] + counted["Decrypt"] > 10, counted
