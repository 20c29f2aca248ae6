"""Key generation: lengths, parity, weak keys, bounds, and what each key pair is afterwards."""

from __future__ import annotations

import os

import pytest

from kmipsrv.crypto import curves, formats, keygen
from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec.enums import CryptographicAlgorithm as A
from kmipsrv.spec.enums import RecommendedCurve as C


@pytest.mark.parametrize(
    ("algorithm", "length", "size"),
    [
        (A.AES, 128, 16), (A.AES, 192, 24), (A.AES, 256, 32), (A.AES, 512, 64), (A.DES3, 168, 24), (A.DES3, 112, 16),
        (A.DES3, 192, 24), (A.DES, 56, 8), (A.SKIPJACK, 80, 10), (A.CHACHA20, 256, 32), (A.HMAC_SHA256, 256, 32),
        (A.HMAC_SHA1, 8, 1), (A.TWOFISH, 192, 24), (A.CAST5, 40, 5), (A.RC4, 2048, 256), (A.ONE_TIME_PAD, 65536, 8192),
    ],
)  # fmt: skip
def test_symmetric_keys_have_the_bytes_of_their_length(algorithm: A, length: int, size: int) -> None:
    key = keygen.generate_symmetric(algorithm, length, os.urandom)
    assert len(key) == size
    keygen.check_symmetric(algorithm, length, key)
    with pytest.raises(KmipError) as refused:
        keygen.check_symmetric(algorithm, length, key + b"\0")
    assert refused.value.cause == Cause.INVALID_ATTRIBUTE_VALUE


@pytest.mark.parametrize(
    ("algorithm", "length"), [(A.AES, 127), (A.AES, 0), (A.AES, -128), (A.DES3, 169), (A.HMAC_SHA256, 12)]
)
def test_lengths_that_an_algorithm_does_not_have_are_refused(algorithm: A, length: int) -> None:
    with pytest.raises(KmipError) as refused:
        keygen.generate_symmetric(algorithm, length, os.urandom)
    assert refused.value.cause == Cause.INVALID_ATTRIBUTE_VALUE


def test_an_algorithm_without_symmetric_keys_is_refused() -> None:
    with pytest.raises(KmipError) as refused:
        keygen.generate_symmetric(A.RSA, 2048, os.urandom)
    assert refused.value.cause == Cause.UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS


def test_des_keys_have_odd_parity_and_weak_ones_are_drawn_again() -> None:
    draws = iter([bytes(24), bytes.fromhex("0123456789abcdef") * 3, bytes(range(1, 25))])
    key = keygen.generate_symmetric(A.DES3, 168, lambda n: next(draws))
    assert all(byte.bit_count() % 2 == 1 for byte in key)
    assert [byte & 0xFE for byte in key] == [byte & 0xFE for byte in range(1, 25)]  # only the third draw was fit


@pytest.mark.parametrize(
    ("algorithm", "length", "curve", "found"),
    [
        (A.RSA, 2048, None, formats.Facts(A.RSA, 2048)),
        (A.DSA, 1024, None, formats.Facts(A.DSA, 1024)),
        (A.DH, 2048, None, formats.Facts(A.DH, 2048)),
        (A.EC, 256, None, formats.Facts(A.EC, 256, C.P_256)),
        (A.ECDSA, None, C.P_521, formats.Facts(A.EC, 521, C.P_521)),
        (A.EC, 256, C.SECP256K1, formats.Facts(A.EC, 256, C.SECP256K1)),
        (A.ECDH, None, C.CURVE25519, formats.Facts(A.ECDH, 256, C.CURVE25519)),
        (A.ECDH, 448, C.CURVE448, formats.Facts(A.ECDH, 448, C.CURVE448)),
        (A.ED25519, None, None, formats.Facts(A.ED25519, 256, C.CURVE25519)),
        (A.ED448, 456, C.CURVE448, formats.Facts(A.ED448, 448, C.CURVE448)),
        (A.ML_DSA_65, None, None, formats.Facts(A.ML_DSA_65, 15616)),
        (A.ML_KEM_768, None, None, formats.Facts(A.ML_KEM_768, 9472)),
    ],
)
def test_a_key_pair_is_what_was_asked_for(
    algorithm: A, length: int | None, curve: C | None, found: formats.Facts
) -> None:
    key = keygen.generate_pair(algorithm, length, curve=curve)
    assert formats.facts(key) == found
    assert formats.facts(formats.public_of(key)) == found


@pytest.mark.parametrize("curve", sorted(curves.GENERATED))
def test_every_curve_on_offer_generates(curve: C) -> None:
    key = keygen.generate_pair(A.EC, curves.BITS[curve], curve=curve, qlength=curves.BITS[curve])
    assert formats.facts(key).recommended_curve == curve


@pytest.mark.parametrize(
    ("algorithm", "length", "curve", "qlength", "cause"),
    [
        (A.RSA, 8192, None, None, Cause.SERVER_LIMIT_EXCEEDED),
        (A.RSA, 512, None, None, Cause.INVALID_ATTRIBUTE_VALUE),
        (A.RSA, 2047, None, None, Cause.INVALID_ATTRIBUTE_VALUE),
        (A.RSA, 2048, C.P_256, None, Cause.BAD_CRYPTOGRAPHIC_PARAMETERS),
        (A.RSA, 2048, None, 256, Cause.BAD_CRYPTOGRAPHIC_PARAMETERS),
        (A.EC, 384, C.P_256, None, Cause.BAD_CRYPTOGRAPHIC_PARAMETERS),
        (A.EC, 256, None, 384, Cause.BAD_CRYPTOGRAPHIC_PARAMETERS),
        (A.EC, 300, None, None, Cause.UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS),
        (A.EC, None, C.K_163, None, Cause.UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS),
        (A.ED25519, 255, None, None, Cause.BAD_CRYPTOGRAPHIC_PARAMETERS),
        (A.ML_KEM_512, None, None, None, Cause.UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS),
        (A.AES, 256, None, None, Cause.UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS),
        (A.DSA, 2048, None, 224, Cause.UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS),
        (A.DH, 2056, None, None, Cause.UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS),
    ],
)
def test_key_pairs_that_are_refused(
    algorithm: A, length: int | None, curve: C | None, qlength: int | None, cause: Cause
) -> None:
    with pytest.raises(KmipError) as refused:
        keygen.generate_pair(algorithm, length, curve=curve, qlength=qlength)
    assert refused.value.cause == cause


def test_the_modp_primes_are_those_of_rfc_3526() -> None:
    # Leading and trailing digits as printed in RFC 3526 §3 (group 14) and §5 (group 16); both are safe primes.
    for bits, tail in ((2048, "15728E5A8AACAA68FFFFFFFFFFFFFFFF"), (4096, "4DF435C934063199FFFFFFFFFFFFFFFF")):
        prime = keygen._modp_prime(bits)
        assert f"{prime:X}".startswith("FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD1")
        assert f"{prime:X}".endswith(tail)
        assert pow(3, prime - 1, prime) == 1
        assert pow(3, (prime - 1) // 2 - 1, (prime - 1) // 2) == 1
