"""Transparent keys (KMIP 2.1 §3.4-3.12; 1.4 §2.1.7): the fields of Key Material to the library's keys and back.

A transparent key is a dict of the specification's field names in snake_case (`modulus`, `prime_exponent_p`, `q_string`)
to int, bytes or `RecommendedCurve`. Numbers that contradict each other are Invalid Field. Nothing here logs or repeats
a value in a message.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import gcd, lcm
from typing import Final

from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa, x448, x25519
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from kmipsrv.crypto import curves, diffie_hellman
from kmipsrv.crypto.failures import map_errors
from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec.enums import KeyCompressionType, KeyFormatType, RecommendedCurve

Value = int | bytes
"""A field of a transparent key (a `RecommendedCurve` is an int)."""
Fields = Mapping[str, Value]

_F: Final = KeyFormatType
RSA_PRIVATE: Final = _F.TRANSPARENT_RSA_PRIVATE_KEY
RSA_PUBLIC: Final = _F.TRANSPARENT_RSA_PUBLIC_KEY
EC_PRIVATE: Final = frozenset(
    {
        _F.TRANSPARENT_EC_PRIVATE_KEY,
        _F.TRANSPARENT_ECDSA_PRIVATE_KEY,
        _F.TRANSPARENT_ECDH_PRIVATE_KEY,
        _F.TRANSPARENT_ECMQV_PRIVATE_KEY,
    }
)
EC_PUBLIC: Final = frozenset(
    {
        _F.TRANSPARENT_EC_PUBLIC_KEY,
        _F.TRANSPARENT_ECDSA_PUBLIC_KEY,
        _F.TRANSPARENT_ECDH_PUBLIC_KEY,
        _F.TRANSPARENT_ECMQV_PUBLIC_KEY,
    }
)
PRIVATE: Final = EC_PRIVATE | {RSA_PRIVATE, _F.TRANSPARENT_DSA_PRIVATE_KEY, _F.TRANSPARENT_DH_PRIVATE_KEY}
PUBLIC: Final = EC_PUBLIC | {RSA_PUBLIC, _F.TRANSPARENT_DSA_PUBLIC_KEY, _F.TRANSPARENT_DH_PUBLIC_KEY}
ALL: Final = PRIVATE | PUBLIC | {_F.TRANSPARENT_SYMMETRIC_KEY}

_MAX_BITS: Final = 8192
"""No RSA, DSA or DH number longer than this is computed with (a power takes half a second)."""
_MAX_FACTORED_BITS: Final = 4096
"""Longest RSA modulus whose primes are searched from the private exponent alone."""
_COMMON_EXPONENTS: Final = (65537, 3, 17, 35, 37)
_BASES: Final = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71)


def _wrong(what: str) -> KmipError:
    return KmipError(Cause.INVALID_FIELD, f"the transparent key is not valid: {what}")


def number(fields: Fields, name: str) -> int:
    """The positive number in a field that must be there."""
    value = maybe(fields, name)
    if value is None:
        raise _wrong(f"{name.replace('_', ' ')} is missing")
    return value


def maybe(fields: Fields, name: str) -> int | None:
    """The positive number in a field that may be absent."""
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or value <= 0 or value.bit_length() > _MAX_BITS:
        raise _wrong(f"{name.replace('_', ' ')} is not a positive number of at most {_MAX_BITS} bits")
    return value


def curve_of(fields: Fields) -> RecommendedCurve:
    """The Recommended Curve of a transparent EC key."""
    try:
        return RecommendedCurve(number(fields, "recommended_curve"))
    except ValueError as error:
        raise _wrong("the recommended curve is unknown") from error


def load_private(form: KeyFormatType, fields: Fields, *, check: bool = True) -> PrivateKeyTypes:
    """The library's private key of a transparent one. Raises Invalid Field, or Unsupported for sizes and curves.

    `check` proves that an RSA key's primes are prime (slow; see `formats.load_private`).
    """
    with map_errors("read the transparent private key", Cause.INVALID_FIELD):
        if form == RSA_PRIVATE:
            return _rsa_private(fields).private_key(unsafe_skip_rsa_key_validation=not check)
        if form in EC_PRIVATE:
            curve = curve_of(fields)
            _not_montgomery(curve)
            return ec.derive_private_key(number(fields, "d"), curves.library_curve(curve))
        p, q, g, x = number(fields, "p"), maybe(fields, "q"), number(fields, "g"), number(fields, "x")
        y = pow(g, x, p)
        if form == _F.TRANSPARENT_DSA_PRIVATE_KEY:
            group = dsa.DSAParameterNumbers(p, number(fields, "q"), g)
            return dsa.DSAPrivateNumbers(x, dsa.DSAPublicNumbers(y, group)).private_key()
        if form == _F.TRANSPARENT_DH_PRIVATE_KEY:
            return diffie_hellman.DHPrivateNumbers(
                x, diffie_hellman.DHPublicNumbers(y, diffie_hellman.DHParameterNumbers(p, g, q))
            ).private_key()
    raise KmipError(Cause.KEY_FORMAT_TYPE_NOT_SUPPORTED, f"{form.text} is not a private key")


def load_public(form: KeyFormatType, fields: Fields) -> PublicKeyTypes:
    """The library's public key of a transparent one. Raises Invalid Field, or Unsupported for sizes and curves."""
    with map_errors("read the transparent public key", Cause.INVALID_FIELD):
        if form == RSA_PUBLIC:
            return rsa.RSAPublicNumbers(number(fields, "public_exponent"), number(fields, "modulus")).public_key()
        if form in EC_PUBLIC:
            point = fields.get("q_string")
            if not isinstance(point, bytes):
                raise _wrong("q string is missing")
            return load_point(curve_of(fields), point)
        p, q, g, y = number(fields, "p"), maybe(fields, "q"), number(fields, "g"), number(fields, "y")
        if form == _F.TRANSPARENT_DSA_PUBLIC_KEY:
            return dsa.DSAPublicNumbers(y, dsa.DSAParameterNumbers(p, number(fields, "q"), g)).public_key()
        if form == _F.TRANSPARENT_DH_PUBLIC_KEY:
            return diffie_hellman.DHPublicNumbers(y, diffie_hellman.DHParameterNumbers(p, g, q)).public_key()
    raise KmipError(Cause.KEY_FORMAT_TYPE_NOT_SUPPORTED, f"{form.text} is not a public key")


def dump_private(form: KeyFormatType, key: PrivateKeyTypes) -> dict[str, Value]:
    """The fields of a private key; Key Format Type Not Supported when the format is another algorithm's."""
    if form == RSA_PRIVATE and isinstance(key, rsa.RSAPrivateKey):
        n = key.private_numbers()
        return {
            "modulus": n.public_numbers.n,
            "private_exponent": n.d,
            "public_exponent": n.public_numbers.e,
            "p": n.p,
            "q": n.q,
            "prime_exponent_p": n.dmp1,
            "prime_exponent_q": n.dmq1,
            "crt_coefficient": n.iqmp,
        }
    if form in EC_PRIVATE and isinstance(key, ec.EllipticCurvePrivateKey):
        curve = curves.of_library(key.curve)
        return {"recommended_curve": curve, "d": key.private_numbers().private_value}
    if form == _F.TRANSPARENT_DSA_PRIVATE_KEY and isinstance(key, dsa.DSAPrivateKey):
        group = key.parameters().parameter_numbers()
        return {"p": group.p, "q": group.q, "g": group.g, "x": key.private_numbers().x}
    if form == _F.TRANSPARENT_DH_PRIVATE_KEY and isinstance(key, diffie_hellman.DHPrivateKey):
        return _dh_group(key.parameters()) | {"x": key.private_numbers().x}
    raise KmipError(Cause.KEY_FORMAT_TYPE_NOT_SUPPORTED, f"this key has no form {form.text}")


def dump_public(
    form: KeyFormatType, key: PublicKeyTypes, compression: KeyCompressionType | None = None
) -> dict[str, Value]:
    """The fields of a public key; Key Format Type Not Supported when the format is another algorithm's."""
    if form in EC_PUBLIC and isinstance(key, ec.EllipticCurvePublicKey):
        return {"recommended_curve": curves.of_library(key.curve), "q_string": dump_point(key, compression)}
    if compression not in (None, KeyCompressionType.EC_PUBLIC_KEY_TYPE_UNCOMPRESSED):
        raise KmipError(Cause.KEY_COMPRESSION_TYPE_NOT_SUPPORTED, "only EC public keys can be compressed")
    if form in EC_PUBLIC and isinstance(key, x25519.X25519PublicKey | x448.X448PublicKey):
        curve = RecommendedCurve.CURVE25519 if isinstance(key, x25519.X25519PublicKey) else RecommendedCurve.CURVE448
        return {"recommended_curve": curve, "q_string": key.public_bytes_raw()}
    if form == RSA_PUBLIC and isinstance(key, rsa.RSAPublicKey):
        n = key.public_numbers()
        return {"modulus": n.n, "public_exponent": n.e}
    if form == _F.TRANSPARENT_DSA_PUBLIC_KEY and isinstance(key, dsa.DSAPublicKey):
        group = key.parameters().parameter_numbers()
        return {"p": group.p, "q": group.q, "g": group.g, "y": key.public_numbers().y}
    if form == _F.TRANSPARENT_DH_PUBLIC_KEY and isinstance(key, diffie_hellman.DHPublicKey):
        return _dh_group(key.parameters()) | {"y": key.public_numbers().y}
    raise KmipError(Cause.KEY_FORMAT_TYPE_NOT_SUPPORTED, f"this key has no form {form.text}")


def load_point(curve: RecommendedCurve, point: bytes) -> PublicKeyTypes:
    """The public key of an encoded point: uncompressed, compressed or hybrid (X9.62), or raw for CURVE25519 and 448."""
    if curve == RecommendedCurve.CURVE25519:
        return x25519.X25519PublicKey.from_public_bytes(point)
    if curve == RecommendedCurve.CURVE448:
        return x448.X448PublicKey.from_public_bytes(point)
    if point[:1] in (b"\x06", b"\x07"):
        # X9.62 §4.3.6: a hybrid point carries both Y and its parity, which must agree.
        if point[0] & 1 != point[-1] & 1:
            raise _wrong("the hybrid point contradicts itself")
        point = b"\x04" + point[1:]
    return ec.EllipticCurvePublicKey.from_encoded_point(curves.library_curve(curve), point)


def dump_point(key: ec.EllipticCurvePublicKey, compression: KeyCompressionType | None) -> bytes:
    """The point of an EC public key in a Key Compression Type (KMIP 1.4 §9.1.3.2.2); uncompressed by default."""
    kinds = KeyCompressionType
    if compression == kinds.EC_PUBLIC_KEY_TYPE_X9_62_COMPRESSED_PRIME:
        return key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    if compression in (None, kinds.EC_PUBLIC_KEY_TYPE_UNCOMPRESSED):
        return point
    if compression == kinds.EC_PUBLIC_KEY_TYPE_X9_62_HYBRID:
        return bytes((6 | point[-1] & 1,)) + point[1:]
    raise KmipError(Cause.KEY_COMPRESSION_TYPE_NOT_SUPPORTED, "the curve is over a prime field")


def _not_montgomery(curve: RecommendedCurve) -> None:
    # The specification does not say in which byte order D holds the scalar of RFC 7748, so it is not guessed.
    if curve in (RecommendedCurve.CURVE25519, RecommendedCurve.CURVE448):
        raise KmipError(Cause.KEY_FORMAT_TYPE_NOT_SUPPORTED, f"private keys on {curve.text} have no transparent form")


def _dh_group(parameters: diffie_hellman.DHParameters) -> dict[str, Value]:
    group = parameters.parameter_numbers()
    if group.q is None:
        return {"p": group.p, "g": group.g}
    return {"p": group.p, "q": group.q, "g": group.g, "j": (group.p - 1) // group.q}


def _rsa_private(fields: Fields) -> rsa.RSAPrivateNumbers:
    """KMIP 2.1 §3.7: Private Exponent, or P and Q, or both prime exponents are enough."""
    n, d, e = number(fields, "modulus"), maybe(fields, "private_exponent"), maybe(fields, "public_exponent")
    p, q = maybe(fields, "p"), maybe(fields, "q")
    dp, dq = maybe(fields, "prime_exponent_p"), maybe(fields, "prime_exponent_q")
    if p is None or q is None:
        if p is not None or q is not None:
            p = p or q
            assert p is not None
            q = n // p if p > 1 and n % p == 0 else None
        elif d is not None:
            e = e or _exponent(n, d)
            p, q = _factors(n, e * d - 1)
        elif dp is not None and dq is not None:
            # e*dp = 1 mod p-1, so p divides 2^(e*dp-1) - 1 while q does not (but for a freak, caught below).
            p = next((f for x in ((e,) if e else _COMMON_EXPONENTS) if 1 < (f := _common(n, x * dp - 1)) < n), None)
            q = n // p if p else None
        else:
            raise _wrong("one of Private Exponent, P and Q, or both Prime Exponents must be present")
    if p is None or q is None or p * q != n or p < 3 or q < 3:
        raise _wrong("the numbers do not belong together")
    order = lcm(p - 1, q - 1)
    if e is None:
        if d is not None:
            e = pow(d, -1, order)
        else:
            e = next((x for x in _COMMON_EXPONENTS if dp is not None and x * dp % (p - 1) == 1), None)
            if e is None:
                raise _wrong("the public exponent is missing")
    d = d or pow(e, -1, order)
    return rsa.RSAPrivateNumbers(
        p=p,
        q=q,
        d=d,
        dmp1=dp or d % (p - 1),
        dmq1=dq or d % (q - 1),
        iqmp=maybe(fields, "crt_coefficient") or pow(q, -1, p),
        public_numbers=rsa.RSAPublicNumbers(e, n),
    )


def _exponent(n: int, d: int) -> int:
    """The public exponent of (n, d) when it is one of the common ones."""
    if n & 1:
        for e in _COMMON_EXPONENTS:
            if pow(2, e * d, n) == 2:
                return e
    raise _wrong("the public exponent is missing")


def _common(n: int, multiple: int) -> int:
    """gcd(2^multiple - 1, n): a factor whose order divides `multiple`."""
    return gcd(pow(2, multiple, n) - 1, n)


def _factors(n: int, multiple: int) -> tuple[int, int]:
    """The two primes of n from a multiple of lambda(n) (FIPS 186-4 / SP 800-56B appendix C). Bounded: 20 bases."""
    # A prime modulus passes every test below without ever yielding a factor; it is refused for the price of one power.
    if n.bit_length() > _MAX_FACTORED_BITS:
        raise _wrong("P and Q must be present for a modulus of this size")
    if n % 2 == 0 or pow(2, n - 1, n) == 1 or pow(3, multiple, n) != 1:
        raise _wrong("the numbers do not belong together")
    twos = (multiple & -multiple).bit_length() - 1
    odd = multiple >> twos
    for base in _BASES:
        root = pow(base, odd, n)
        for _ in range(twos):
            square = root * root % n
            if square == 1 and root not in (1, n - 1):
                p = gcd(root - 1, n)
                return max(p, n // p), min(p, n // p)
            root = square
    raise _wrong("the prime factors cannot be found")
