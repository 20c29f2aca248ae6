"""Hashes and MACs: published vectors, whole and in pieces, refusals, the conformance cases."""

from __future__ import annotations

from pathlib import Path

import pytest

from kmipsrv.crypto import hashes, macs
from kmipsrv.crypto.failures import NotAuthentic
from kmipsrv.crypto.parameters import NONE, Parameters
from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec.enums import BlockCipherMode as M
from kmipsrv.spec.enums import CryptographicAlgorithm as A
from kmipsrv.spec.enums import HashingAlgorithm as H
from kmipsrv.spec.enums import KeyRoleType, PaddingMethod
from tests.crypto import oasis

X = bytes.fromhex
ABC: dict[H, str] = {
    # "abc": RFC 1321, FIPS 180-4 and FIPS 202 examples, the authors' page for RIPEMD-160
    H.MD5: "900150983cd24fb0d6963f7d28e17f72",
    H.SHA_1: "a9993e364706816aba3e25717850c26c9cd0d89d",
    H.SHA_224: "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7",
    H.SHA_256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    H.SHA_384: "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
    H.SHA_512: "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
    "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
    H.RIPEMD_160: "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc",
    H.SHA_512_224: "4634270f707b6a54daae7530460842e20e37ed265ceee9a43e8924aa",
    H.SHA_512_256: "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23",
    H.SHA3_224: "e642824c3f8cf24ad09234ee7d3c766fc9a3a5168d0c94ad73b46fdf",
    H.SHA3_256: "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532",
    H.SHA3_384: "ec01498288516fc926459f58e2c6ad8df9b473cb0fc08c2596da7cf0e49be4b298d88cea927ac7f539f1edf228376d25",
    H.SHA3_512: "b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e"
    "10e116e9192af3c91a7ec57647e3934057340b4cf408d5a56592f8274eec53f0",
}


@pytest.mark.parametrize("algorithm", ABC)
def test_abc(algorithm: H) -> None:
    parameters = Parameters(hashing_algorithm=algorithm)
    assert hashes.hash_data(parameters, b"abc").hex() == ABC[algorithm]
    state = hashes.start_hash(parameters)
    for byte in (b"a", b"", b"bc"):
        state.update(byte)
    assert state.finalize().hex() == ABC[algorithm]
    assert set(ABC) == hashes.SERVED


@pytest.mark.parametrize("algorithm", [H.MD2, H.MD4, H.TIGER, H.WHIRLPOOL])
def test_hashes_that_are_not_there(algorithm: H) -> None:
    with pytest.raises(KmipError) as refused:
        hashes.hash_data(Parameters(hashing_algorithm=algorithm), b"")
    assert refused.value.cause == Cause.UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS


def test_a_hash_needs_its_algorithm_and_nothing_else() -> None:
    for parameters in (NONE, Parameters(M.CBC, hashing_algorithm=H.SHA_256)):
        with pytest.raises(KmipError):
            hashes.hash_data(parameters, b"")


SP_800_38B_KEY = X("2b7e151628aed2a6abf7158809cf4f3c")
SP_800_38B_TEXT = X("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411")
RFC_4231_DATA = b"what do ya want for nothing?"
MACS: list[tuple[str, A, bytes, Parameters, bytes, str]] = [
    ("RFC 2202 HMAC-MD5 2", A.HMAC_MD5, b"Jefe", NONE, RFC_4231_DATA, "750c783e6ab0b503eaa86e310a5db738"),
    ("RFC 2202 HMAC-SHA-1 2", A.HMAC_SHA1, b"Jefe", NONE, RFC_4231_DATA, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
    ("RFC 4231 2, SHA-224", A.HMAC_SHA224, b"Jefe", NONE, RFC_4231_DATA,
     "a30e01098bc6dbbf45690f3a7e9e6d0f8bbea2a39e6148008fd05e44"),
    ("RFC 4231 2, SHA-256", A.HMAC_SHA256, b"Jefe", NONE, RFC_4231_DATA,
     "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
    ("RFC 4231 2, SHA-384", A.HMAC_SHA384, b"Jefe", NONE, RFC_4231_DATA,
     "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649"),
    ("RFC 4231 2, SHA-512", A.HMAC_SHA512, b"Jefe", NONE, RFC_4231_DATA,
     "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
     "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"),
    ("RFC 4231 2, by a key of another algorithm", A.AES, b"Jefe", Parameters(cryptographic_algorithm=A.HMAC_SHA256),
     RFC_4231_DATA, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
    ("SP 800-38B D.1 example 1", A.AES, SP_800_38B_KEY, Parameters(M.CMAC), b"", "bb1d6929e95937287fa37d129b756746"),
    ("SP 800-38B D.1 example 3", A.AES, SP_800_38B_KEY, Parameters(M.CMAC), SP_800_38B_TEXT,
     "dfa66747de9ae63030ca32611497c827"),
    ("RFC 8439 §2.5.2", A.POLY1305, X("85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b"), NONE,
     b"Cryptographic Forum Research Group", "a8061dc1305136c6c22b8baf0c0127a9"),
    ("FIPS 113 appendix A", A.DES, X("0123456789abcdef"), Parameters(M.CBC_MAC), b"7654321 Now is the time for ",
     "f1d30f6849312ca4"),
]  # fmt: skip


@pytest.mark.parametrize(("origin", "algorithm", "key", "parameters", "data", "wanted"), MACS, ids=[m[0] for m in MACS])
def test_mac_vectors(origin: str, algorithm: A, key: bytes, parameters: Parameters, data: bytes, wanted: str) -> None:
    assert macs.mac(algorithm, key, parameters, data, allow_legacy=True).hex() == wanted, origin
    macs.verify_mac(algorithm, key, parameters, data, X(wanted), allow_legacy=True)
    state = macs.start_mac(algorithm, key, parameters, allow_legacy=True)
    for at in range(0, len(data), 3):
        state.update(data[at : at + 3])
    state.verify(X(wanted))
    for wrong in (X(wanted)[:-1], X(wanted) + b"\0", b"\0" + X(wanted)[1:]):
        with pytest.raises(NotAuthentic):
            macs.verify_mac(algorithm, key, parameters, data, wrong, allow_legacy=True)


def test_an_absent_mac_is_not_a_match() -> None:
    with pytest.raises(KmipError) as refused:
        macs.verify_mac(A.HMAC_SHA256, b"k", NONE, b"", b"")
    assert refused.value.cause == Cause.CRYPTOGRAPHIC_FAILURE


def test_cbc_mac_pads_and_takes_empty_data() -> None:
    parameters = Parameters(M.CBC_MAC, PaddingMethod.PKCS5)
    assert len(macs.mac(A.AES, bytes(16), parameters, b"", allow_legacy=True)) == 16
    assert macs.mac(A.AES, bytes(16), Parameters(M.CBC_MAC), b"", allow_legacy=True) == macs.mac(
        A.AES, bytes(16), Parameters(M.CBC_MAC), bytes(16), allow_legacy=True
    )


@pytest.mark.parametrize(
    ("algorithm", "key", "parameters", "cause"),
    [
        (A.AES, bytes(16), NONE, Cause.BAD_CRYPTOGRAPHIC_PARAMETERS),
        (A.AES, bytes(15), Parameters(M.CMAC), Cause.BAD_CRYPTOGRAPHIC_PARAMETERS),
        (A.AES, bytes(16), Parameters(M.GCM), Cause.UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS),
        (A.AES, bytes(16), Parameters(M.CBC_MAC), Cause.UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS),
        (A.AES, bytes(16), Parameters(M.CMAC, tag_length=8), Cause.UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS),
        (A.DES3, bytes(range(24)), Parameters(M.CMAC), Cause.UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS),
        (A.HMAC_MD5, b"k", NONE, Cause.UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS),
        (A.HMAC_SHA256, b"k", Parameters(hashing_algorithm=H.SHA_1), Cause.BAD_CRYPTOGRAPHIC_PARAMETERS),
        (A.HMAC_SHA256, b"k", Parameters(M.CBC), Cause.UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS),
        (A.HMAC_SHA256, b"k", Parameters(key_role_type=KeyRoleType.DEK), Cause.BAD_CRYPTOGRAPHIC_PARAMETERS),
        (A.POLY1305, b"k", NONE, Cause.BAD_CRYPTOGRAPHIC_PARAMETERS),
        (A.AES, bytes(16), Parameters(M.CMAC, cryptographic_algorithm=A.DES3), Cause.BAD_CRYPTOGRAPHIC_PARAMETERS),
    ],
)
def test_mac_refusals(algorithm: A, key: bytes, parameters: Parameters, cause: Cause) -> None:
    with pytest.raises(KmipError) as refused:
        macs.mac(algorithm, key, parameters, b"data")
    assert refused.value.cause == cause


@pytest.mark.shared
def test_the_conformance_cases_hash_and_mac_as_printed(shared: Path) -> None:
    counted = {"Hash": 0, "MAC": 0, "MACVerify": 0}
    for call in oasis.calls(shared, "Hash", "MAC", "MACVerify"):
        data = call.data("Data")
        whole = not any(call.request.find(f".//{tag}") is not None for tag in ("CorrelationValue", "InitIndicator"))
        if data is None or not whole or not call.succeeded:
            continue
        if call.operation == "Hash":
            given = call.request.find(".//CryptographicParameters")
            assert given is not None
            assert hashes.hash_data(oasis.parameters(given), data) == call.answered("Data"), call
            counted["Hash"] += 1
            continue
        key = call.keys[0]
        assert key.algorithm is not None
        code = macs.mac(key.algorithm, key.material, call.parameters, data)
        if call.operation == "MAC":
            assert code == call.answered("MACData"), call
            counted["MAC"] += 1
            continue
        validity, claimed = call.answer.find(".//ValidityIndicator"), call.data("MACData")
        if validity is not None and claimed is not None:
            assert (validity.get("value") == "Valid") == (code == claimed), call
            counted["MACVerify"] += 1
    assert min(counted.values()) >= 4, counted
