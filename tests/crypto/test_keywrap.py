"""Key wrapping: RFC 3394 and 5649 vectors, every method both ways, tampering, refusals, the conformance cases."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import pytest

from kmipsrv.crypto import formats, keygen, keywrap
from kmipsrv.crypto.keywrap import WrappingKey
from kmipsrv.crypto.parameters import NONE, Parameters
from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec.enums import BlockCipherMode as M
from kmipsrv.spec.enums import CryptographicAlgorithm as A
from kmipsrv.spec.enums import HashingAlgorithm as H
from kmipsrv.spec.enums import KeyRoleType
from kmipsrv.spec.enums import PaddingMethod as P
from kmipsrv.spec.enums import WrappingMethod as W
from tests.crypto import oasis

X = bytes.fromhex
KEY = bytes(range(16))

VECTORS: list[tuple[str, bytes, Parameters, bytes, str]] = [
    ("RFC 3394 §4.1, no mode named", KEY, NONE, X("00112233445566778899aabbccddeeff"),
     "1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5"),
    ("RFC 3394 §4.6", bytes(range(32)), Parameters(M.NIST_KEY_WRAP, key_role_type=KeyRoleType.KEK),
     X("00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f"),
     "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21"),
    ("RFC 5649 §6, 20 octets", X("5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8"),
     Parameters(M.AES_KEY_WRAP_PADDING), X("c37b7e6492584340bed12207808941155068f738"),
     "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a"),
]  # fmt: skip


@pytest.mark.parametrize(("origin", "key", "parameters", "value", "wanted"), VECTORS, ids=[v[0] for v in VECTORS])
def test_vectors(origin: str, key: bytes, parameters: Parameters, value: bytes, wanted: str) -> None:
    wrapping = WrappingKey(A.AES, key, parameters)
    assert keywrap.wrap(W.ENCRYPT, value, encryption=wrapping, random=os.urandom).data.hex() == wanted, origin
    assert keywrap.unwrap(W.ENCRYPT, X(wanted), encryption=wrapping) == value


@functools.cache
def pair(algorithm: A) -> tuple[formats.PrivateKey, formats.PublicKey]:
    key = keygen.generate_pair(algorithm, 2048 if algorithm == A.RSA else None)
    return key, formats.public_of(key)


# name -> (key to wrap with, key to unwrap with)
ENCRYPTION: dict[str, tuple[WrappingKey, WrappingKey]] = {
    "AES key wrap": (WrappingKey(A.AES, KEY), WrappingKey(A.AES, KEY)),
    **{
        mode.text: (WrappingKey(A.AES, KEY, p), WrappingKey(A.AES, KEY, p))
        for mode, p in {
            M.GCM: Parameters(M.GCM, tag_length=16),
            M.CCM: Parameters(M.CCM, tag_length=12),
            M.CBC: Parameters(M.CBC, P.PKCS5),
            M.CTR: Parameters(M.CTR),
            M.AES_KEY_WRAP_PADDING: Parameters(M.AES_KEY_WRAP_PADDING),
        }.items()
    },
    "3DES CBC": (
        WrappingKey(A.DES3, bytes(range(24)), Parameters(M.CBC, P.PKCS5)),
        WrappingKey(A.DES3, bytes(range(24)), Parameters(M.CBC, P.PKCS5)),
    ),
    "ChaCha20-Poly1305": (
        WrappingKey(A.CHACHA20_POLY1305, bytes(32)),
        WrappingKey(A.CHACHA20_POLY1305, bytes(32)),
    ),
    **{
        f"RSA {p.padding_method.text}": (
            WrappingKey(A.RSA, pair(A.RSA)[1], p),
            WrappingKey(A.RSA, pair(A.RSA)[0], p),
        )
        for p in (
            Parameters(None, P.OAEP, H.SHA_256, mask_generator_hashing_algorithm=H.SHA_256),
            Parameters(None, P.PKCS1_V1_5),
        )
        if p.padding_method is not None
    },
}
AUTHENTICATION: dict[str, tuple[WrappingKey, WrappingKey]] = {
    "HMAC": (WrappingKey(A.HMAC_SHA256, KEY), WrappingKey(A.HMAC_SHA256, KEY)),
    "CMAC": (WrappingKey(A.AES, KEY, Parameters(M.CMAC)), WrappingKey(A.AES, KEY, Parameters(M.CMAC))),
    "ECDSA": (WrappingKey(A.EC, pair(A.EC)[0]), WrappingKey(A.EC, pair(A.EC)[1])),
    "RSA-PSS": (
        WrappingKey(A.RSA, pair(A.RSA)[0], Parameters(None, P.PSS, H.SHA_256)),
        WrappingKey(A.RSA, pair(A.RSA)[1], Parameters(None, P.PSS, H.SHA_256)),
    ),
}
VALUE = bytes(range(100, 132))


@pytest.mark.parametrize("name", ENCRYPTION)
def test_encrypt_both_ways(name: str) -> None:
    ours, theirs = ENCRYPTION[name]
    made = keywrap.wrap(W.ENCRYPT, VALUE, encryption=ours, random=os.urandom, allow_legacy=True)
    assert made.data != VALUE
    assert made.mac_signature is None
    back = keywrap.unwrap(W.ENCRYPT, made.data, encryption=theirs, iv=made.iv, allow_legacy=True)
    assert back == VALUE


@pytest.mark.parametrize("name", ["AES key wrap", "GCM", "CCM", "AESKeyWrapPadding", "ChaCha20-Poly1305"])
def test_a_damaged_wrapped_key_is_noticed(name: str) -> None:
    ours, theirs = ENCRYPTION[name]
    made = keywrap.wrap(W.ENCRYPT, VALUE, encryption=ours, random=os.urandom)
    for wrong in (made.data[:-1] + bytes([made.data[-1] ^ 1]), made.data[:-8], made.data[:4], b""):
        with pytest.raises(KmipError) as refused:
            keywrap.unwrap(W.ENCRYPT, wrong, encryption=theirs, iv=made.iv)
        assert refused.value.cause == Cause.CRYPTOGRAPHIC_FAILURE


@pytest.mark.parametrize("name", AUTHENTICATION)
@pytest.mark.parametrize("method", [W.MAC_SIGN, W.ENCRYPT_THEN_MAC_SIGN, W.MAC_SIGN_THEN_ENCRYPT])
def test_authentication_both_ways(name: str, method: W) -> None:
    ours, theirs = AUTHENTICATION[name]
    cipher = None if method == W.MAC_SIGN else WrappingKey(A.AES, KEY, Parameters(M.CBC, P.PKCS5))
    made = keywrap.wrap(method, VALUE, encryption=cipher, authentication=ours, random=os.urandom)
    assert made.mac_signature is not None
    assert (made.data == VALUE) == (method == W.MAC_SIGN)

    def unwrap(data: bytes, mac_signature: bytes) -> bytes:
        return keywrap.unwrap(
            method, data, encryption=cipher, authentication=theirs, iv=made.iv, mac_signature=mac_signature
        )

    assert unwrap(made.data, made.mac_signature) == VALUE
    damaged = bytes([made.data[0] ^ 1]) + made.data[1:]
    for data, mac_signature in ((damaged, made.mac_signature), (made.data, made.mac_signature[:-1]), (made.data, b"")):
        with pytest.raises(KmipError) as refused:
            unwrap(data, mac_signature)
        assert refused.value.cause == Cause.CRYPTOGRAPHIC_FAILURE


BAD, UNSUPPORTED = Cause.BAD_CRYPTOGRAPHIC_PARAMETERS, Cause.UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS
CIPHER, CODE = WrappingKey(A.AES, KEY), WrappingKey(A.HMAC_SHA256, KEY)


@pytest.mark.parametrize(
    ("method", "encryption", "authentication", "cause"),
    [
        (W.TR_31, CIPHER, None, UNSUPPORTED),
        (W.ENCRYPT, None, None, BAD),
        (W.ENCRYPT, CIPHER, CODE, BAD),
        (W.MAC_SIGN, None, None, BAD),
        (W.MAC_SIGN, CIPHER, CODE, BAD),
        (W.ENCRYPT_THEN_MAC_SIGN, CIPHER, None, BAD),
        (W.ENCRYPT, WrappingKey(A.AES, KEY, Parameters(M.CBC, key_role_type=KeyRoleType.DEK)), None, BAD),
        (W.ENCRYPT, WrappingKey(A.AES, KEY, Parameters(M.X9_102_AESKW)), None, UNSUPPORTED),
        (W.ENCRYPT, WrappingKey(A.AES, KEY, Parameters(M.NIST_KEY_WRAP, P.PKCS5)), None, BAD),
        (W.ENCRYPT, WrappingKey(A.AES, KEY, Parameters(M.ECB)), None, UNSUPPORTED),
        (W.ENCRYPT, WrappingKey(A.DES3, bytes(24)), None, BAD),
        (W.ENCRYPT, WrappingKey(A.RSA, b"not an RSA key object"), None, UNSUPPORTED),
    ],
)
def test_refusals(method: W, encryption: WrappingKey | None, authentication: WrappingKey | None, cause: Cause) -> None:
    with pytest.raises(KmipError) as refused:
        keywrap.wrap(method, VALUE, encryption=encryption, authentication=authentication, random=os.urandom)
    assert refused.value.cause == cause


def test_aes_key_wrap_takes_whole_blocks_of_eight() -> None:
    with pytest.raises(KmipError) as refused:
        keywrap.wrap(W.ENCRYPT, bytes(20), encryption=CIPHER, random=os.urandom)
    assert refused.value.cause == Cause.CRYPTOGRAPHIC_FAILURE


def test_a_wrapping_key_shows_no_material() -> None:
    assert KEY.hex() not in repr(CIPHER)
    assert repr(KEY) not in repr(CIPHER)


@pytest.mark.shared
def test_the_conformance_cases_wrap_as_printed(shared: Path) -> None:
    counted = 0
    for call in oasis.calls(shared, "Get"):
        wrapped = call.answer.find(".//KeyValue[@value]")
        wrapping = call.request.find(".//KeyWrappingSpecification//CryptographicParameters")
        if wrapped is None or wrapping is None or call.case.startswith("AX-"):
            continue
        kek = WrappingKey(A.AES, KEY, oasis.parameters(wrapping))  # the wrapping key of every such case
        made = keywrap.wrap(W.ENCRYPT, call.keys[0].material, encryption=kek, random=os.urandom)
        assert made.data == X(wrapped.get("value", "")), call
        counted += 1
    assert counted >= 2
