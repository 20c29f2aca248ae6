"""The named elliptic curves: Recommended Curve (KMIP 2.1 §11.45) to length, kind and the library's curve."""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from kmipsrv.crypto.failures import unsupported
from kmipsrv.spec.enums import RecommendedCurve as C

_LIBRARY: Final[dict[C, ec.EllipticCurve]] = {
    C.P_192: ec.SECP192R1(),
    C.P_224: ec.SECP224R1(),
    C.P_256: ec.SECP256R1(),
    C.P_384: ec.SECP384R1(),
    C.P_521: ec.SECP521R1(),
    C.SECP256K1: ec.SECP256K1(),
    C.BRAINPOOLP256R1: ec.BrainpoolP256R1(),
    C.BRAINPOOLP384R1: ec.BrainpoolP384R1(),
    C.BRAINPOOLP512R1: ec.BrainpoolP512R1(),
}
_BY_NAME: Final[dict[str, C]] = {curve.name: number for number, curve in _LIBRARY.items()}
_DEFAULT: Final[dict[int, C]] = {192: C.P_192, 224: C.P_224, 256: C.P_256, 384: C.P_384, 521: C.P_521}


def _bits(curve: C) -> int:
    """The curve's size in bits is the number of three digits in its name (P-256, SECT163R1, ANSIX9C2PNB208W1)."""
    digits = "".join(c if c.isdigit() else " " for c in curve.text).split()
    return next(int(d) for d in digits if len(d) == 3)


BITS: Final[dict[C, int]] = {
    curve: _bits(curve) for curve in C if curve not in (C.CURVE25519, C.CURVE448)
} | {C.CURVE25519: 256, C.CURVE448: 448}  # fmt: skip
"""Curve -> Cryptographic Length in bits (the bit length of parameter Q; KMIP 2.1 §6.1.9)."""

GENERATED: Final = frozenset(_LIBRARY) | {C.CURVE25519, C.CURVE448}
"""The curves on which this server computes; the library has no binary-field and no shorter curves."""


def library_curve(curve: C) -> ec.EllipticCurve:
    """The library's Weierstrass curve, or Unsupported Cryptographic Parameters."""
    found = _LIBRARY.get(curve)
    if found is None:
        raise unsupported(f"the curve {curve.text} is not available on this server")
    return found


def of_library(curve: ec.EllipticCurve) -> C:
    """The Recommended Curve of a library curve."""
    return _BY_NAME[curve.name]


def default_for(length: int) -> C:
    """The NIST prime curve of that Cryptographic Length, for requests that name no curve."""
    found = _DEFAULT.get(length)
    if found is None:
        raise unsupported(f"no curve of {length} bits is available; name a Recommended Curve")
    return found
