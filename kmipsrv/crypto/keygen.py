"""Key generation: lengths of each algorithm, symmetric keys from the caller's generator, key pairs from OpenSSL.

Implements the choices of Create and Create Key Pair (KMIP 2.1 §6.1.8, §6.1.9: what Cryptographic Length means for each
algorithm; §4.14 Cryptographic Domain Parameters: Qlength, Recommended Curve). A key may be generated for an algorithm
that this server does not compute with (SKIPJACK, for one): it is bytes of the right length.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Container
from typing import Final

from cryptography.hazmat.primitives.asymmetric import (
    dsa,
    ec,
    ed448,
    ed25519,
    mldsa,
    mlkem,
    rsa,
    x448,
    x25519,
)

from kmipsrv.crypto import curves, diffie_hellman
from kmipsrv.crypto.failures import bad, map_errors, unsupported
from kmipsrv.crypto.formats import PrivateKey
from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec.enums import CryptographicAlgorithm, RecommendedCurve

_A: Final = CryptographicAlgorithm
_BYTES: Final = range(8, 65536 + 1, 8)
"""Lengths in bits of keys that may be any number of bytes."""

SYMMETRIC_LENGTHS: Final[dict[CryptographicAlgorithm, Container[int]]] = {
    # Valid Cryptographic Lengths in bits. DES and 3DES may be counted with or without their parity bits (KMIP 2.1 §3.1
    # Table 11: "typically from 112 to 192 bits"). AES of 512 bits is two keys for XTS (IEEE 1619).
    _A.DES: {56, 64},
    _A.DES3: {112, 128, 168, 192},
    _A.AES: {128, 192, 256, 512},
    _A.BLOWFISH: range(32, 449, 8),
    _A.CAMELLIA: {128, 192, 256},
    _A.CAST5: range(40, 129, 8),
    _A.IDEA: {128},
    _A.MARS: range(128, 449, 32),
    _A.RC2: range(8, 1025, 8),
    _A.RC4: range(40, 2049, 8),
    _A.RC5: range(8, 2041, 8),
    _A.SKIPJACK: {80},
    _A.TWOFISH: {128, 192, 256},
    _A.ARIA: {128, 192, 256},
    _A.SEED: {128},
    _A.SM4: {128},
    _A.GOST_R_34_13_2015: {256},
    _A.GOST_28147_89: {256},
    _A.CHACHA20: {256},
    _A.POLY1305: {256},
    _A.CHACHA20_POLY1305: {256},
    _A.ONE_TIME_PAD: _BYTES,
    _A.HMAC_MD5: _BYTES,
    _A.HMAC_SHA1: _BYTES,
    _A.HMAC_SHA224: _BYTES,
    _A.HMAC_SHA256: _BYTES,
    _A.HMAC_SHA384: _BYTES,
    _A.HMAC_SHA512: _BYTES,
    _A.HMAC_SHA3_224: _BYTES,
    _A.HMAC_SHA3_256: _BYTES,
    _A.HMAC_SHA3_384: _BYTES,
    _A.HMAC_SHA3_512: _BYTES,
}

DEFAULT_LENGTH: Final[dict[CryptographicAlgorithm, int]] = {
    _A.DES: 64,
    _A.DES3: 168,
    _A.AES: 256,
    _A.SKIPJACK: 80,
    _A.HMAC_MD5: 128,
    _A.HMAC_SHA1: 160,
    _A.HMAC_SHA224: 224,
    _A.HMAC_SHA384: 384,
    _A.HMAC_SHA512: 512,
    _A.HMAC_SHA3_224: 224,
    _A.HMAC_SHA3_384: 384,
    _A.HMAC_SHA3_512: 512,
    _A.BLOWFISH: 128,
    _A.CAST5: 128,
    _A.IDEA: 128,
    _A.RC2: 128,
    _A.RC4: 128,
    _A.RC5: 128,
    _A.SEED: 128,
    _A.SM4: 128,
    _A.RSA: 2048,
    _A.DSA: 2048,
    _A.DH: 2048,
    _A.EC: 256,
    _A.ECDSA: 256,
    _A.ECDH: 256,
}
"""Length for a request that names none (KMIP 2.1 §4: servers supply values that clients omit); 256 where not listed."""

_DES_BYTES: Final = {56: 8, 64: 8, 112: 16, 128: 16, 168: 24, 192: 24}
_EC: Final = frozenset({_A.EC, _A.ECDSA, _A.ECDH, _A.ECMQV})
_POST_QUANTUM: Final[dict[CryptographicAlgorithm, Callable[[], PrivateKey]]] = {
    _A.ML_KEM_768: mlkem.MLKEM768PrivateKey.generate,
    _A.ML_KEM_1024: mlkem.MLKEM1024PrivateKey.generate,
    _A.ML_DSA_44: mldsa.MLDSA44PrivateKey.generate,
    _A.ML_DSA_65: mldsa.MLDSA65PrivateKey.generate,
    _A.ML_DSA_87: mldsa.MLDSA87PrivateKey.generate,
}

# RFC 3526: the primes of MODP groups 14 to 18 are 2^n - 2^(n-64) - 1 + 2^64 * (floor(2^(n-130) * pi) + c), generator 2.
_MODP: Final = {2048: 124476, 3072: 1690314, 4096: 240904, 6144: 929484, 8192: 4743158}

ASYMMETRIC: Final = frozenset({_A.RSA, _A.DSA, _A.DH, _A.ED25519, _A.ED448}) | _EC | frozenset(_POST_QUANTUM)
"""Algorithms of which this server makes key pairs."""


def key_bytes(algorithm: CryptographicAlgorithm, length: int) -> int:
    """Bytes of material of a symmetric key of `length` bits; refuses lengths that the algorithm does not have."""
    lengths = SYMMETRIC_LENGTHS.get(algorithm)
    if lengths is None:
        raise unsupported(f"{algorithm.text} has no symmetric keys, or none on this server")
    if length not in lengths:
        raise KmipError(Cause.INVALID_ATTRIBUTE_VALUE, f"{algorithm.text} keys cannot be {length} bits long")
    return _DES_BYTES[length] if algorithm in (_A.DES, _A.DES3) else length // 8


def symmetric_length(algorithm: CryptographicAlgorithm | None, material: bytes) -> int:
    """Cryptographic Length in bits of a symmetric key's bytes; 3DES is counted without parity bits."""
    if algorithm in (_A.DES, _A.DES3):
        return len(material) * 7
    return len(material) * 8


def check_symmetric(algorithm: CryptographicAlgorithm, length: int, material: bytes) -> None:
    """Refuse a symmetric key whose bytes do not have the length that is claimed for them."""
    if algorithm in SYMMETRIC_LENGTHS and key_bytes(algorithm, length) != len(material):
        raise KmipError(
            Cause.INVALID_ATTRIBUTE_VALUE, f"a {algorithm.text} key of {length} bits is not {len(material)} bytes long"
        )


def generate_symmetric(algorithm: CryptographicAlgorithm, length: int, random: Callable[[int], bytes]) -> bytes:
    """A new symmetric key of `length` bits from `random(n) -> n bytes`. DES keys get odd parity and are never weak."""
    size = key_bytes(algorithm, length)
    if algorithm not in (_A.DES, _A.DES3):
        return random(size)
    while True:
        key = bytes(_odd_parity(byte) for byte in random(size))
        parts = [key[at : at + 8] for at in range(0, size, 8)]
        # SP 800-67r2 §3.3.2: no weak part, and the parts of a bundle are all different.
        if len(set(parts)) == len(parts) and not _WEAK_DES.intersection(parts):
            return key


def generate_pair(
    algorithm: CryptographicAlgorithm,
    length: int | None = None,
    *,
    curve: RecommendedCurve | None = None,
    qlength: int | None = None,
    max_bits: int = 4096,
    min_bits: int = 1024,
) -> PrivateKey:
    """A new private key; its public half is `formats.public_of`.

    `length` is Cryptographic Length in bits, `curve` and `qlength` are the Cryptographic Domain Parameters; what is
    None is chosen. RSA, DSA and DH lengths stand between `min_bits` and `max_bits` (Server Limit Exceeded above).
    DH keys are of the RFC 3526 groups. Post-quantum algorithms have one length each, which need not be given.
    """
    if curve is not None and algorithm not in _EC and algorithm not in (_A.ED25519, _A.ED448):
        raise bad(f"{algorithm.text} keys are not on a curve")
    if qlength is not None and algorithm not in _EC and algorithm not in (_A.DSA, _A.DH):
        raise bad(f"{algorithm.text} keys have no parameter Q")
    with map_errors("generate the key pair"):
        if algorithm in _EC:
            return _generate_ec(length, curve, qlength)
        if algorithm == _A.ED25519:
            _fixed(length, curve, RecommendedCurve.CURVE25519, (256,))
            return ed25519.Ed25519PrivateKey.generate()
        if algorithm == _A.ED448:
            _fixed(length, curve, RecommendedCurve.CURVE448, (448, 456))
            return ed448.Ed448PrivateKey.generate()
        if algorithm in (_A.RSA, _A.DSA, _A.DH):
            bits = length or DEFAULT_LENGTH[algorithm]
            if bits > max_bits:
                raise KmipError(
                    Cause.SERVER_LIMIT_EXCEEDED, f"key pairs of more than {max_bits} bits are not generated"
                )
            if bits < min_bits or bits % 8:
                raise KmipError(Cause.INVALID_ATTRIBUTE_VALUE, f"{algorithm.text} keys cannot be {bits} bits long")
            return _GENERATORS[algorithm](bits, qlength)
        make = _POST_QUANTUM.get(algorithm)
        if make is None:
            raise unsupported(f"key pairs of {algorithm.text} are not available on this server")
        return make()


def _generate_ec(length: int | None, curve: RecommendedCurve | None, qlength: int | None) -> PrivateKey:
    # KMIP 2.1 §6.1.9: for EC the Cryptographic Length is the bit length of parameter Q; so both name the same number.
    if curve is None:
        curve = curves.default_for(length or qlength or DEFAULT_LENGTH[_A.EC])
    for given in (length, qlength):
        if given is not None and given != curves.BITS[curve]:
            raise bad(f"the curve {curve.text} is not of {given} bits")
    if curve == RecommendedCurve.CURVE25519:
        return x25519.X25519PrivateKey.generate()
    if curve == RecommendedCurve.CURVE448:
        return x448.X448PrivateKey.generate()
    return ec.generate_private_key(curves.library_curve(curve))


def _fixed(
    length: int | None, curve: RecommendedCurve | None, only_curve: RecommendedCurve, lengths: tuple[int, ...]
) -> None:
    if (length is not None and length not in lengths) or curve not in (None, only_curve):
        raise bad(f"the algorithm has one curve, {only_curve.text}, and one length")


def _generate_rsa(bits: int, qlength: int | None) -> PrivateKey:
    return rsa.generate_private_key(65537, bits)


def _generate_dsa(bits: int, qlength: int | None) -> PrivateKey:
    # FIPS 186-4 §4.2: (1024, 160), (2048, 224), (2048, 256), (3072, 256); the library takes the largest Q.
    chosen = 160 if bits == 1024 else 256
    if bits not in (1024, 2048, 3072) or qlength not in (None, chosen):
        raise unsupported("DSA keys are of 1024 bits with a Q of 160, or of 2048 or 3072 bits with a Q of 256")
    return dsa.generate_private_key(bits)


def _generate_dh(bits: int, qlength: int | None) -> PrivateKey:
    # The RFC 3526 primes are safe: q = (p - 1) / 2.
    if bits not in _MODP or qlength not in (None, bits - 1):
        raise unsupported("DH keys are of the groups of RFC 3526: " + ", ".join(map(str, _MODP)) + " bits")
    p = _modp_prime(bits)
    return diffie_hellman.DHParameterNumbers(p, 2, (p - 1) // 2).parameters().generate_private_key()


_GENERATORS: Final[dict[CryptographicAlgorithm, Callable[[int, int | None], PrivateKey]]] = {
    _A.RSA: _generate_rsa,
    _A.DSA: _generate_dsa,
    _A.DH: _generate_dh,
}


@functools.cache
def _modp_prime(bits: int) -> int:
    """The prime of an RFC 3526 group from its formula, with pi by Machin's: 16 atan(1/5) - 4 atan(1/239)."""
    places = bits + 32

    def arctangent(x: int) -> int:
        power = total = (1 << places) // x
        n, sign = 3, -1
        while power:
            power //= x * x
            total += sign * (power // n)
            n, sign = n + 2, -sign
        return total

    pi = (16 * arctangent(5) - 4 * arctangent(239)) >> 32
    return (1 << bits) - (1 << (bits - 64)) - 1 + (((pi >> 130) + _MODP[bits]) << 64)


def _odd_parity(byte: int) -> int:
    return (byte & 0xFE) | (~(byte >> 1).bit_count() & 1)


_WEAK_DES: Final = frozenset(
    bytes.fromhex(key)
    for key in (
        # SP 800-67r2 §3.3.2: the four weak and twelve semi-weak keys
        "0101010101010101", "fefefefefefefefe", "e0e0e0e0f1f1f1f1", "1f1f1f1f0e0e0e0e",
        "011f011f010e010e", "1f011f010e010e01", "01e001e001f101f1", "e001e001f101f101",
        "01fe01fe01fe01fe", "fe01fe01fe01fe01", "1fe01fe00ef10ef1", "e01fe01ff10ef10e",
        "1ffe1ffe0efe0efe", "fe1ffe1ffe0efe0e", "e0fee0fef1fef1fe", "fee0fee0fef1fef1",
    )
)  # fmt: skip
