"""Symmetric encryption: vectors of the standards both ways and in pieces, every refusal, the conformance cases."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmipsrv.crypto import ciphers
from kmipsrv.crypto.failures import NotAuthentic
from kmipsrv.crypto.parameters import NONE, Parameters
from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec.enums import BlockCipherMode as M
from kmipsrv.spec.enums import CryptographicAlgorithm as A
from kmipsrv.spec.enums import HashingAlgorithm, KeyRoleType
from kmipsrv.spec.enums import PaddingMethod as P
from tests.crypto import oasis

H = bytes.fromhex
SP_800_38A_KEY = H("2b7e151628aed2a6abf7158809cf4f3c")
SP_800_38A_TEXT = H("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51")
COUNTING_IV = bytes(range(16))
LADIES = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it."

# origin, algorithm, key, parameters, iv, aad, plaintext, ciphertext, tag
Vector = tuple[str, A, bytes, Parameters, bytes, bytes, bytes, bytes, bytes | None]
VECTORS: list[Vector] = [
    ("SP 800-38A F.1.1", A.AES, SP_800_38A_KEY, Parameters(M.ECB), b"", b"", SP_800_38A_TEXT,
     H("3ad77bb40d7a3660a89ecaf32466ef97f5d3d58503b9699de785895a96fdbaaf"), None),
    ("SP 800-38A F.2.1", A.AES, SP_800_38A_KEY, Parameters(M.CBC), COUNTING_IV, b"", SP_800_38A_TEXT,
     H("7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2"), None),
    ("SP 800-38A F.3.13", A.AES, SP_800_38A_KEY, Parameters(M.CFB), COUNTING_IV, b"", SP_800_38A_TEXT,
     H("3b3fd92eb72dad20333449f8e83cfb4ac8a64537a0b3a93fcde3cdad9f1ce58b"), None),
    ("SP 800-38A F.4.1", A.AES, SP_800_38A_KEY, Parameters(M.OFB), COUNTING_IV, b"", SP_800_38A_TEXT,
     H("3b3fd92eb72dad20333449f8e83cfb4a7789508d16918f03f53c52dac54ed825"), None),
    ("SP 800-38A F.5.1", A.AES, SP_800_38A_KEY, Parameters(M.CTR), bytes(range(0xF0, 0x100)), b"", SP_800_38A_TEXT,
     H("874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff"), None),
    ("RFC 3686 #1", A.AES, H("ae6852f8121067cc4bf7a5765577f39e"),
     Parameters(M.CTR, counter_length=32, initial_counter_value=1, iv_length=96), H("000000300000000000000000"), b"",
     b"Single block msg", H("e4095d4fb7a7b3792d6175a3261311b8"), None),
    ("GCM revised spec, case 4", A.AES, H("feffe9928665731c6d6a8f9467308308"), Parameters(M.GCM, tag_length=16),
     H("cafebabefacedbaddecaf888"), H("feedfacedeadbeeffeedfacedeadbeefabaddad2"),
     H("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525"
       "b16aedf5aa0de657ba637b39"),
     H("42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa05"
       "1ba30b396a0aac973d58e091"), H("5bc94fbc3221a5db94fae95ae7121a47")),
    ("SP 800-38C example 2", A.AES, bytes(range(0x40, 0x50)), Parameters(M.CCM, tag_length=6),
     H("1011121314151617"), bytes(range(16)), bytes(range(0x20, 0x30)),
     H("d2a1f0e051ea5f62081a7792073d593d"), H("1fc64fbfaccd")),
    ("IEEE 1619 vector 2", A.AES, H("11" * 16 + "22" * 16), Parameters(M.XTS), H("3333333333" + "00" * 11), b"",
     H("44" * 32), H("c454185e6a16936e39334038acef838bfb186fff7480adc4289382ecd6d394f0"), None),
    ("RFC 3394 §4.1", A.AES, bytes(range(16)), Parameters(M.NIST_KEY_WRAP), b"", b"",
     H("00112233445566778899aabbccddeeff"), H("1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5"), None),
    ("RFC 5649 §6", A.AES, H("5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8"),
     Parameters(M.AES_KEY_WRAP_PADDING), b"", b"", H("466f7250617369"), H("afbeb0f07dfbf5419200f2ccb50bb24f"), None),
    ("RFC 8439 §2.4.2", A.CHACHA20, bytes(range(32)), Parameters(initial_counter_value=1),
     H("000000000000004a00000000"), b"", LADIES[:16], H("6e2e359a2568f98041ba0728dd0d6981"), None),
    ("RFC 8439 §2.8.2", A.CHACHA20_POLY1305, bytes(range(0x80, 0xA0)), Parameters(M.AEAD, tag_length=16),
     H("070000004041424344454647"), H("50515253c0c1c2c3c4c5c6c7"), LADIES,
     H("d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b"
       "1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
       "3ff4def08e4b7a9de576d26586cec64b6116"), H("1ae10b594f09e26a7e902ecbd0600691")),
    ("FIPS 46-3 walk-through, as 3DES of three equal keys", A.DES3, H("133457799bbcdff1"), Parameters(M.ECB), b"", b"",
     H("0123456789abcdef"), H("85e813540f0ab405"), None),
    ("RFC 6229 (key 0102030405)", A.RC4, H("0102030405"), Parameters(), b"", b"", bytes(16),
     H("b2396305f03dc027ccc3524a0a1118a8"), None),
    ("RFC 3713 appendix A", A.CAMELLIA, H("0123456789abcdeffedcba9876543210"), Parameters(M.ECB), b"", b"",
     H("0123456789abcdeffedcba9876543210"), H("67673138549669730857065648eabe43"), None),
    ("RFC 2144 B.1", A.CAST5, H("0123456712345678234567893456789a"), Parameters(M.ECB), b"", b"",
     H("0123456789abcdef"), H("238b4fe5847e44b2"), None),
    ("RFC 4269 B.1", A.SEED, bytes(16), Parameters(M.ECB), b"", b"", bytes(range(16)),
     H("5ebac6e0054e166819aff1cc6d346cdb"), None),
    ("GB/T 32907 A.1", A.SM4, H("0123456789abcdeffedcba9876543210"), Parameters(M.ECB), b"", b"",
     H("0123456789abcdeffedcba9876543210"), H("681edf34d206965e86b3e94f536e4246"), None),
    ("Blowfish, Schneier's vectors", A.BLOWFISH, bytes(8), Parameters(M.ECB), b"", b"", bytes(8),
     H("4ef997456198dd78"), None),
]  # fmt: skip


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v[0])
def test_vectors_both_ways(vector: Vector) -> None:
    _, algorithm, key, parameters, iv, aad, plain, cipher, tag = vector
    made = ciphers.encrypt(algorithm, key, parameters, plain, iv=iv, aad=aad, random=os.urandom, allow_legacy=True)
    assert (made.data, made.tag, made.iv) == (cipher, tag, None)
    assert ciphers.decrypt(algorithm, key, parameters, cipher, iv=iv, aad=aad, tag=tag, allow_legacy=True) == plain


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v[0])
@pytest.mark.parametrize("step", [1, 5, 16, 33])
def test_vectors_in_pieces(vector: Vector, step: int) -> None:
    _, algorithm, key, parameters, iv, aad, plain, cipher, tag = vector
    sealing = ciphers.start_encryption(algorithm, key, parameters, iv=iv, aad=aad, random=os.urandom, allow_legacy=True)
    out = b"".join(sealing.update(plain[at : at + step]) for at in range(0, len(plain), step))
    assert out + sealing.finalize() == cipher
    assert sealing.tag == tag
    opening = ciphers.start_decryption(algorithm, key, parameters, iv=iv, aad=aad, tag=tag, allow_legacy=True)
    out = b"".join(opening.update(cipher[at : at + step]) for at in range(0, len(cipher), step))
    assert out + opening.finalize() == plain
    for stream in (sealing, opening):
        with pytest.raises(KmipError):
            stream.finalize()


@pytest.mark.parametrize("vector", [v for v in VECTORS if v[8] is not None], ids=lambda v: v[0])
@pytest.mark.parametrize("change", ["data", "tag", "aad", "iv"])
def test_what_was_changed_is_not_authentic(vector: Vector, change: str) -> None:
    _, algorithm, key, parameters, iv, aad, _, cipher, tag = vector
    given = {"data": cipher, "tag": tag or b"", "aad": aad, "iv": iv}
    given[change] = bytes([given[change][0] ^ 1]) + given[change][1:]
    with pytest.raises(NotAuthentic) as refused:
        ciphers.decrypt(
            algorithm, key, parameters, given["data"], iv=given["iv"], aad=given["aad"], tag=given["tag"],
            allow_legacy=True,
        )  # fmt: skip
    assert refused.value.cause == Cause.CRYPTOGRAPHIC_FAILURE


PADDED = [P.PKCS5, P.ANSI_X9_23, P.ISO_10126, P.SSL3]


@given(data=st.binary(max_size=40), method=st.sampled_from(PADDED), split=st.integers(0, 60))
@pytest.mark.parametrize("algorithm", [A.AES, A.DES3])
def test_every_padding_comes_off_again(algorithm: A, data: bytes, method: P, split: int) -> None:
    parameters = Parameters(M.CBC, method)
    key, iv = bytes(range(1, 17)), bytes(16 if algorithm == A.AES else 8)
    made = ciphers.encrypt(algorithm, key, parameters, data, iv=iv, random=os.urandom, allow_legacy=True)
    assert len(made.data) == len(data) + len(iv) - len(data) % len(iv)
    assert ciphers.decrypt(algorithm, key, parameters, made.data, iv=iv, allow_legacy=True) == data
    opening = ciphers.start_decryption(algorithm, key, parameters, iv=iv, allow_legacy=True)
    out = opening.update(made.data[:split]) + opening.update(made.data[split:])
    assert out + opening.finalize() == data


@pytest.mark.parametrize(("data", "size"), [(b"", 0), (b"abc", 16), (b"a" * 16, 16), (b"a" * 17, 32)])
def test_zeros_pad_to_the_block_only(data: bytes, size: int) -> None:
    parameters = Parameters(M.CBC, P.ZEROS)
    made = ciphers.encrypt(A.AES, bytes(16), parameters, data, iv=bytes(16), random=os.urandom)
    assert len(made.data) == size
    assert ciphers.decrypt(A.AES, bytes(16), parameters, made.data, iv=bytes(16)) == data


@pytest.mark.parametrize("method", PADDED)
def test_wrong_padding_is_a_failure(method: P) -> None:
    plain = bytes(15) + b"\xee"
    raw = ciphers.encrypt(A.AES, bytes(16), Parameters(M.CBC), plain, iv=bytes(16), random=os.urandom).data
    with pytest.raises(KmipError) as refused:
        ciphers.decrypt(A.AES, bytes(16), Parameters(M.CBC, method), raw, iv=bytes(16))
    assert refused.value.cause == Cause.CRYPTOGRAPHIC_FAILURE
    for broken in (raw[:-1], b""):
        with pytest.raises(KmipError) as refused:
            ciphers.decrypt(A.AES, bytes(16), Parameters(M.CBC, method), broken, iv=bytes(16))
        assert refused.value.cause == Cause.CRYPTOGRAPHIC_FAILURE


@pytest.mark.parametrize(
    ("parameters", "length"),
    [
        (Parameters(M.CBC, P.PKCS5), 16),
        (Parameters(M.GCM, tag_length=16), 12),
        (Parameters(M.GCM, tag_length=12, iv_length=128), 16),
        (Parameters(M.CTR), 16),
        (Parameters(M.CTR, counter_length=32, initial_counter_value=1), 12),
    ],
)
def test_a_random_iv_is_made_and_returned(parameters: Parameters, length: int) -> None:
    parameters = replace(parameters, random_iv=True)
    made = ciphers.encrypt(A.AES, bytes(16), parameters, b"some data", random=os.urandom)
    assert made.iv is not None
    assert len(made.iv) == length
    assert ciphers.decrypt(A.AES, bytes(16), parameters, made.data, iv=made.iv, tag=made.tag) == b"some data"
    with pytest.raises(KmipError) as refused:
        ciphers.decrypt(A.AES, bytes(16), parameters, made.data, tag=made.tag)
    assert refused.value.cause == Cause.MISSING_INITIALIZATION_VECTOR


def test_an_iv_that_is_given_wins_over_random_iv() -> None:
    parameters = Parameters(M.CBC, P.PKCS5, random_iv=True)
    made = ciphers.encrypt(A.AES, bytes(16), parameters, b"x", iv=bytes(16), random=os.urandom)
    assert made.iv is None


UNSUPPORTED, BAD = Cause.UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS, Cause.BAD_CRYPTOGRAPHIC_PARAMETERS


@pytest.mark.parametrize(
    ("algorithm", "key", "parameters", "iv", "cause"),
    [
        (A.AES, 16, NONE, b"", BAD),
        (A.AES, 15, Parameters(M.CBC), bytes(16), BAD),
        (A.AES, 16, Parameters(M.CBC), b"", Cause.MISSING_INITIALIZATION_VECTOR),
        (A.AES, 16, Parameters(M.CBC), bytes(8), BAD),
        (A.AES, 16, Parameters(M.CBC, iv_length=64), bytes(16), BAD),
        (A.AES, 16, Parameters(M.CBC, P.OAEP), bytes(16), BAD),
        (A.AES, 16, Parameters(M.CTR, P.PKCS5), bytes(16), BAD),
        (A.AES, 16, Parameters(M.CTR, initial_counter_value=7), bytes(16), BAD),
        (A.AES, 16, Parameters(M.CTR, counter_length=64), bytes(12), BAD),
        (A.AES, 16, Parameters(M.CTR, initial_counter_value=-1), bytes(12), BAD),
        (A.AES, 16, Parameters(M.GCM, fixed_field_length=32, invocation_field_length=32), bytes(12), BAD),
        (A.AES, 16, Parameters(M.GCM, random_iv=True, fixed_field_length=32), b"", UNSUPPORTED),
        (A.AES, 16, Parameters(M.GCM, random_iv=True, iv_length=64), b"", BAD),
        (A.AES, 16, Parameters(M.GCM, tag_length=1), bytes(12), Cause.GENERAL_FAILURE),
        (A.AES, 16, Parameters(M.GCM, tag_length=32), bytes(12), Cause.GENERAL_FAILURE),
        (A.AES, 16, Parameters(M.CBC, tag_length=16), bytes(16), UNSUPPORTED),
        (A.AES, 16, Parameters(M.CBC, hashing_algorithm=HashingAlgorithm.SHA_256), bytes(16), UNSUPPORTED),
        (A.AES, 16, Parameters(M.CBC, p_source=b""), bytes(16), UNSUPPORTED),
        (A.AES, 16, Parameters(M.CBC, key_role_type=KeyRoleType.KEK), bytes(16), BAD),
        (A.AES, 16, Parameters(M.CBC, cryptographic_algorithm=A.DES3), bytes(16), BAD),
        (A.AES, 16, Parameters(M.PCBC), bytes(16), UNSUPPORTED),
        (A.AES, 16, Parameters(M.CMAC), b"", UNSUPPORTED),
        (A.AES, 16, Parameters(M.X9_102_AKW1), b"", UNSUPPORTED),
        (A.AES, 16, Parameters(M.ECB), bytes(16), BAD),
        (A.DES3, 24, Parameters(M.CTR), bytes(8), BAD),
        (A.DES3, 24, Parameters(M.XTS), bytes(16), UNSUPPORTED),
        (A.CHACHA20, 32, Parameters(M.CBC), bytes(12), BAD),
        (A.CHACHA20, 32, NONE, bytes(11), BAD),
        (A.CHACHA20, 32, Parameters(initial_counter_value=2**32), bytes(12), BAD),
        (A.CHACHA20_POLY1305, 32, Parameters(M.GCM), bytes(12), BAD),
        (A.TWOFISH, 16, Parameters(M.CBC), bytes(16), UNSUPPORTED),
        (A.RSA, 16, Parameters(M.CBC), bytes(16), UNSUPPORTED),
    ],
)
def test_refusals(algorithm: A, key: int, parameters: Parameters, iv: bytes, cause: Cause) -> None:
    with pytest.raises(KmipError) as refused:
        ciphers.encrypt(
            algorithm, bytes(range(key)), parameters, bytes(16), iv=iv, random=os.urandom, allow_legacy=True
        )
    expected = {cause, UNSUPPORTED} if algorithm == A.DES3 else {cause}
    assert refused.value.cause in expected


@pytest.mark.parametrize(
    ("algorithm", "parameters", "iv"),
    [
        (A.DES3, Parameters(M.CBC), bytes(8)),
        (A.RC4, NONE, b""),
        (A.AES, Parameters(M.ECB), b""),
        (A.BLOWFISH, Parameters(M.CBC), bytes(8)),
        (A.AES, Parameters(M.GCM, tag_length=4), bytes(12)),
    ],
)
def test_the_default_policy_has_no_legacy(algorithm: A, parameters: Parameters, iv: bytes) -> None:
    with pytest.raises(KmipError):
        ciphers.encrypt(algorithm, bytes(16), parameters, bytes(16), iv=iv, random=os.urandom)
    assert ciphers.encrypt(
        algorithm, bytes(range(16)), parameters, bytes(16), iv=iv, random=os.urandom, allow_legacy=True
    ).data


def test_a_short_counter_does_not_run_into_the_nonce() -> None:
    parameters = Parameters(M.CTR, counter_length=8, initial_counter_value=254)
    assert ciphers.encrypt(A.AES, bytes(16), parameters, bytes(32), iv=bytes(15), random=os.urandom).data
    with pytest.raises(KmipError) as refused:
        ciphers.encrypt(A.AES, bytes(16), parameters, bytes(33), iv=bytes(15), random=os.urandom)
    assert refused.value.cause == Cause.CRYPTOGRAPHIC_FAILURE


def test_streams_that_must_collect_are_bounded() -> None:
    stream = ciphers.start_encryption(
        A.CHACHA20_POLY1305, bytes(32), NONE, iv=bytes(12), random=os.urandom, max_buffered=100
    )
    stream.update(bytes(100))
    with pytest.raises(KmipError) as refused:
        stream.update(b"x")
    assert refused.value.cause == Cause.SERVER_LIMIT_EXCEEDED


def test_errors_name_no_material() -> None:
    key = b"a very secret ke"
    with pytest.raises(KmipError) as refused:
        ciphers.decrypt(A.AES, key, Parameters(M.CBC, P.PKCS5), b"not a block", iv=bytes(16))
    assert "secret" not in str(refused.value)
    assert "not a block" not in str(refused.value)


# These two print, for the key and text of CS-BC-M-4, what another key gives: AES (FIPS 197) makes d9bcce11… of them.
MISPRINTED = {"CS-BC-M-6-12.xml", "CS-BC-M-6-13.xml"}


@pytest.mark.shared
def test_the_conformance_cases_encrypt_and_decrypt_as_printed(shared: Path) -> None:
    counted = {"Encrypt": 0, "Decrypt": 0, "failed": 0}
    for call in oasis.calls(shared, "Encrypt", "Decrypt"):
        key, data, wanted = call.keys[0], call.data("Data"), call.answered("Data")
        if key.kind != "SymmetricKey" or data is None or call.request.find(".//CorrelationValue") is not None:
            continue
        if call.case in MISPRINTED or call.request.find(".//InitIndicator") is not None or key.algorithm is None:
            continue
        reason = call.answer.find("ResultReason")
        if reason is not None and reason.get("value") in ("PermissionDenied", "WrongKeyLifecycleState"):
            continue
        parameters = call.parameters
        iv, aad, tag = (
            call.data("IVCounterNonce"),
            call.data("AuthenticatedEncryptionAdditionalData") or b"",
            call.data("AuthenticatedEncryptionTag"),
        )
        if parameters.random_iv and iv is None:
            continue
        try:
            if call.operation == "Encrypt":
                made = ciphers.encrypt(
                    key.algorithm, key.material, parameters, data, iv=iv, aad=aad, random=os.urandom, allow_legacy=True
                )
                assert call.succeeded, call
                assert made.data == wanted or wanted is None, call
                assert made.tag == call.answered("AuthenticatedEncryptionTag"), call
            else:
                out = ciphers.decrypt(
                    key.algorithm, key.material, parameters, data, iv=iv, aad=aad, tag=tag, allow_legacy=True
                )
                assert out == wanted, call
            counted[call.operation] += 1
        except KmipError:
            assert not call.succeeded, call
            counted["failed"] += 1
    assert counted["Encrypt"] > 100
    assert counted["Decrypt"] > 100
    assert counted["failed"] > 20
