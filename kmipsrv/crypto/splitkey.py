"""Splitting and joining secrets (KMIP 2.1 §13.1 Split Key Algorithms; 3.0 Split Key Polynomial).

XOR needs every part; the polynomial methods are Shamir's, with the secret at x = 0 and part i at x = i. A field GF(2^8) is
that of its polynomial: 285 is what the conformance cases (TC-SJ-2, TC-SJ-3) and the 2.x texts have, 283 is FIPS 197's and
what the 1.x texts have for GF(2^16). GF(2^16) is GF(2^8)[y]/(y^2 + y + {3A}), a byte pair (u, v) standing for uy + v.

Of the product the texts print the constant part as "(ru + svm)", which contradicts the modulus and their own formula of the
inverse; it is sv + rum here.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kmipsrv.crypto.failures import bad, failure, unsupported
from kmipsrv.crypto.padding import Random
from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec.enums import SplitKeyMethod, SplitKeyPolynomial

_S: Final = SplitKeyMethod
DEFAULT_POLYNOMIAL: Final = SplitKeyPolynomial.POLYNOMIAL_285
_POLYNOMIALS: Final = {SplitKeyPolynomial.POLYNOMIAL_283: 283, SplitKeyPolynomial.POLYNOMIAL_285: 285}
_M: Final = 0x3A
_MAX_PRIME_BITS: Final = 4096


@dataclass(frozen=True, slots=True)
class Scheme:
    """How a secret is split: method, number of parts, how many rebuild it, and what the method's field needs.

    `max_parts` and `max_secret` (bytes) bound the work. Raises Bad Cryptographic Parameters when contradictory.
    """

    method: SplitKeyMethod
    parts: int
    threshold: int
    prime_field_size: int | None = None
    polynomial: SplitKeyPolynomial | None = None
    max_parts: int = 64
    max_secret: int = 8192

    def __post_init__(self) -> None:
        if self.parts > self.max_parts:
            raise KmipError(Cause.SERVER_LIMIT_EXCEEDED, f"a key is split into at most {self.max_parts} parts")
        if not 2 <= self.threshold <= self.parts:
            raise bad("the split key threshold is between 2 and the number of parts")
        if self.method == _S.XOR and self.threshold != self.parts:
            raise bad("with XOR the split key threshold is the number of parts")
        if (self.prime_field_size is not None) != (self.method == _S.POLYNOMIAL_SHARING_PRIME_FIELD):
            raise bad("the prime field size belongs to the method Polynomial Sharing Prime Field, which needs it")
        if self.polynomial is not None and self.method not in _BINARY_FIELDS:
            raise bad("the polynomial belongs to the methods in a field of characteristic 2")
        # x = 0 is the secret, so a field of 256 elements has room for 255 parts.
        if self.method == _S.POLYNOMIAL_SHARING_GF_28 and self.parts > 255:
            raise bad("GF(2^8) has room for 255 parts")


_BINARY_FIELDS: Final = frozenset({_S.POLYNOMIAL_SHARING_GF_28, _S.POLYNOMIAL_SHARING_GF_216})


def split(secret: bytes, scheme: Scheme, random: Random) -> list[bytes]:
    """The Key Material of parts 1 to n, in order."""
    if not secret:
        raise failure("there is nothing to split")
    if len(secret) > scheme.max_secret:
        raise KmipError(Cause.SERVER_LIMIT_EXCEEDED, f"secrets of at most {scheme.max_secret} bytes are split")
    if scheme.method == _S.XOR:
        parts = [random(len(secret)) for _ in range(scheme.parts - 1)]
        return [*parts, functools.reduce(_xor, parts, secret)]
    identifiers = range(1, scheme.parts + 1)
    if scheme.method == _S.POLYNOMIAL_SHARING_PRIME_FIELD:
        prime = _prime(scheme, len(secret), random)
        terms = [int.from_bytes(secret, "big"), *(_below(prime, random) for _ in range(scheme.threshold - 1))]
        size = (prime.bit_length() + 7) // 8
        return [_evaluate_prime(terms, x, prime).to_bytes(size, "big") for x in identifiers]
    field = _field(scheme)
    field.check(secret)
    coefficients = [secret, *(random(len(secret)) for _ in range(scheme.threshold - 1))]
    return [field.evaluate(coefficients, x) for x in identifiers]


def join(parts: Mapping[int, bytes], scheme: Scheme, *, length: int | None = None) -> bytes:
    """The secret of parts by their Key Part Identifiers; Cryptographic Failure when they are too few or do not agree.

    `length` is the secret's in bytes, which a prime field does not keep (leading zeros); without it the number is written
    in as few bytes as it needs.
    """
    # TC-SJ-1 to TC-SJ-4: fewer parts than the threshold are a Cryptographic Failure.
    if len(parts) < scheme.threshold:
        raise failure(f"{scheme.threshold} parts are needed to join the split key")
    if any(not 1 <= identifier <= scheme.parts for identifier in parts):
        raise failure("a key part identifier is between 1 and the number of parts")
    if len({len(part) for part in parts.values()}) != 1 or not next(iter(parts.values())):
        raise failure("the parts are not of the same length")
    if scheme.method == _S.XOR:
        return functools.reduce(_xor, parts.values())
    chosen = dict(sorted(parts.items())[: scheme.threshold])
    others = {x: part for x, part in parts.items() if x not in chosen}
    if scheme.method == _S.POLYNOMIAL_SHARING_PRIME_FIELD:
        return _join_prime(chosen, others, scheme, length)
    field = _field(scheme)
    field.check(next(iter(parts.values())))
    if any(field.interpolate(chosen, x) != part for x, part in others.items()):
        raise failure("the parts do not belong to the same split key")
    return field.interpolate(chosen, 0)


def _xor(left: bytes, right: bytes) -> bytes:
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).to_bytes(len(left), "big")


class _Field8:
    """GF(2^8) on strings of bytes: every byte is shared by itself."""

    def __init__(self, polynomial: int) -> None:
        self.rows = [bytes(_multiply(a, b, polynomial) for b in range(256)) for a in range(256)]
        self.inverse = [0, *(row.index(1) for row in self.rows[1:])]

    def check(self, data: bytes) -> None:
        pass

    def evaluate(self, coefficients: Sequence[bytes], x: int) -> bytes:
        """The polynomial with these coefficients (constant first) at x, by Horner's rule."""
        row = self.rows[x]
        return functools.reduce(lambda sum_, term: _xor(sum_.translate(row), term), reversed(coefficients))

    def interpolate(self, shares: Mapping[int, bytes], at: int) -> bytes:
        """The value at `at` of the polynomial through the shares (Lagrange)."""
        out = bytes(len(next(iter(shares.values()))))
        for x, share in shares.items():
            weight = 1
            for other in shares:
                if other != x:
                    weight = self.rows[weight][self.rows[at ^ other][self.inverse[x ^ other]]]
            out = _xor(out, share.translate(self.rows[weight]))
        return out


class _Field16:
    """GF(2^16) on strings of byte pairs: u at the even places, v at the odd ones."""

    def __init__(self, small: _Field8) -> None:
        self.small = small

    def check(self, data: bytes) -> None:
        if len(data) % 2:
            raise bad("GF(2^16) splits whole pieces of 16 bits")

    def product(self, factor: int, data: bytes) -> bytes:
        """Every pair of `data` times the element `factor` (r << 8 | s)."""
        rows, r, s = self.small.rows, factor >> 8, factor & 0xFF
        u, v = data[::2], data[1::2]
        ru = u.translate(rows[r])
        out = bytearray(len(data))
        # (ry + s)(uy + v) = (ru + rv + su) y + (sv + ru m), for y^2 = y + m
        out[::2] = _xor(_xor(ru, v.translate(rows[r])), u.translate(rows[s]))
        out[1::2] = _xor(v.translate(rows[s]), ru.translate(rows[_M]))
        return bytes(out)

    def multiply(self, a: int, b: int) -> int:
        return int.from_bytes(self.product(a, b.to_bytes(2, "big")), "big")

    def invert(self, a: int) -> int:
        rows, u, v = self.small.rows, a >> 8, a & 0xFF
        d = self.small.inverse[rows[u ^ v][v] ^ rows[_M][rows[u][u]]]
        return rows[u][d] << 8 | rows[u ^ v][d]

    def evaluate(self, coefficients: Sequence[bytes], x: int) -> bytes:
        return functools.reduce(lambda sum_, term: _xor(self.product(x, sum_), term), reversed(coefficients))

    def interpolate(self, shares: Mapping[int, bytes], at: int) -> bytes:
        out = bytes(len(next(iter(shares.values()))))
        for x, share in shares.items():
            weight = 1
            for other in shares:
                if other != x:
                    weight = self.multiply(weight, self.multiply(at ^ other, self.invert(x ^ other)))
            out = _xor(out, self.product(weight, share))
        return out


def _multiply(a: int, b: int, polynomial: int) -> int:
    out = 0
    while b:
        if b & 1:
            out ^= a
        a <<= 1
        if a & 0x100:
            a ^= polynomial
        b >>= 1
    return out


@functools.cache
def _field8(polynomial: int) -> _Field8:
    return _Field8(polynomial)


def _field(scheme: Scheme) -> _Field8 | _Field16:
    if scheme.method not in _BINARY_FIELDS:
        raise unsupported(f"the split key method {scheme.method.text} is not available on this server")
    small = _field8(_POLYNOMIALS[scheme.polynomial or DEFAULT_POLYNOMIAL])
    return small if scheme.method == _S.POLYNOMIAL_SHARING_GF_28 else _Field16(small)


def _prime(scheme: Scheme, size: int, random: Random) -> int:
    """The prime of the field, checked: "Prime Field Size is a prime bigger than 2^L", L bits being the secret's."""
    prime = scheme.prime_field_size
    assert prime is not None  # Scheme
    if prime.bit_length() > _MAX_PRIME_BITS:
        raise KmipError(Cause.SERVER_LIMIT_EXCEEDED, f"prime fields of at most {_MAX_PRIME_BITS} bits are used")
    if prime <= scheme.parts or prime >> (size * 8) == 0:
        raise bad("the prime field size must be bigger than any secret of this length")
    _check_prime(prime, random)
    return prime


def _check_prime(candidate: int, random: Random) -> None:
    """Miller-Rabin (FIPS 186-5 §B.3.1), sixteen random bases: a composite passes with probability below 2^-32."""
    odd = candidate - 1
    twos = (odd & -odd).bit_length() - 1
    odd >>= twos
    for _ in range(16):
        root = pow(_below(candidate - 3, random) + 2, odd, candidate)
        if root in (1, candidate - 1):
            continue
        for _ in range(twos - 1):
            root = root * root % candidate
            if root == candidate - 1:
                break
        else:
            raise bad("the prime field size is not a prime")


def _below(bound: int, random: Random) -> int:
    """A uniform number below `bound`: 128 bits more than it has, so that the remainder shows no bias."""
    return int.from_bytes(random((bound.bit_length() + 7) // 8 + 16), "big") % bound


def _evaluate_prime(coefficients: Sequence[int], x: int, prime: int) -> int:
    return functools.reduce(lambda sum_, term: (sum_ * x + term) % prime, reversed(coefficients))


def _interpolate_prime(shares: Mapping[int, int], at: int, prime: int) -> int:
    out = 0
    for x, share in shares.items():
        above, below = 1, 1
        for other in shares:
            if other != x:
                above, below = above * (at - other) % prime, below * (x - other) % prime
        try:
            out += share * above * pow(below, -1, prime)
        except ValueError as error:
            raise bad("the prime field size is not a prime") from error
    return out % prime


def _join_prime(chosen: Mapping[int, bytes], others: Mapping[int, bytes], scheme: Scheme, length: int | None) -> bytes:
    prime = scheme.prime_field_size
    assert prime is not None  # Scheme
    if not scheme.parts < prime or prime.bit_length() > _MAX_PRIME_BITS:
        raise bad("the prime field size does not fit the parts")
    shares = {x: int.from_bytes(part, "big") for x, part in chosen.items()}
    for x, part in others.items():
        if _interpolate_prime(shares, x, prime) != int.from_bytes(part, "big"):
            raise failure("the parts do not belong to the same split key")
    secret = _interpolate_prime(shares, 0, prime)
    needed = (secret.bit_length() + 7) // 8
    if length is not None and needed > length:
        raise failure("the parts do not belong to the same split key")
    return secret.to_bytes(length if length is not None else max(needed, 1), "big")
