"""CBOR (RFC 8949) and COSE_Sign1 (RFC 9052 §4.2) as attestation uses them: strict, and bounded before anything is built.

`decode` first walks the bytes: depth, number of items and every length are checked, lengths and numbers must be in their
shortest form (§4.2.1), and indefinite lengths, floats and unknown simple values are refused. Only then does the library
build values, and what it built is checked for duplicate map keys. The order of map keys is not demanded: real documents
do not have it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from kmipsrv.release.refusal import Refused
from kmipsrv.release.verifiers.certificate import PublicKey

MAX_DEPTH: Final = 16
MAX_ITEMS: Final = 4096
MAX_TAG: Final = 0xFFFF

COSE_SIGN1_TAG: Final = 18

# COSE algorithm (RFC 9053 §2.1) -> curve, hash, bytes of r and of s
ALGORITHMS: Final = {
    -7: (ec.SECP256R1, hashes.SHA256, 32),
    -35: (ec.SECP384R1, hashes.SHA384, 48),
    -36: (ec.SECP521R1, hashes.SHA512, 66),
}
_CURVES: Final = {1: (ec.SECP256R1, 32), 2: (ec.SECP384R1, 48), 3: (ec.SECP521R1, 66)}  # RFC 9053 §7.1


def decode(data: bytes) -> Any:
    """The one item that `data` consists of. Raises ValueError."""
    entries = _Walk(data).run()
    try:
        value = cbor2.loads(data)
    except (cbor2.CBORDecodeError, TypeError, RecursionError) as error:  # TypeError: a map key that cannot be one
        raise ValueError("CBOR: malformed") from error
    if _entries(value) != entries:
        raise ValueError("CBOR: a map key stands twice")
    return value


class _Walk:
    """One pass over the encoding; counts the entries of all maps."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.offset = 0
        self.items = 0
        self.entries = 0

    def run(self) -> int:
        self.item(0)
        if self.offset != len(self.data):
            raise ValueError("CBOR: trailing bytes")
        return self.entries

    def item(self, depth: int) -> None:
        self.items += 1
        if depth > MAX_DEPTH or self.items > MAX_ITEMS:
            raise ValueError("CBOR: nested too deeply or too many items")
        if self.offset >= len(self.data):
            raise ValueError("CBOR: truncated")
        initial = self.data[self.offset]
        self.offset += 1
        major, info = initial >> 5, initial & 0x1F
        if major == 7:
            if info not in (20, 21, 22):  # false, true, null
                raise ValueError("CBOR: a simple value or float that does not belong here")
            return
        argument = self.argument(info)
        if major in (2, 3):
            if argument > len(self.data) - self.offset:
                raise ValueError("CBOR: truncated")
            self.offset += argument
        elif major == 4:
            self.content(argument, depth)
        elif major == 5:
            self.entries += argument
            self.content(2 * argument, depth)
        elif major == 6:
            if argument > MAX_TAG:
                raise ValueError("CBOR: unknown tag")
            self.item(depth + 1)

    def content(self, count: int, depth: int) -> None:
        if count > len(self.data) - self.offset:  # every item has at least one byte
            raise ValueError("CBOR: truncated")
        for _ in range(count):
            self.item(depth + 1)

    def argument(self, info: int) -> int:
        if info < 24:
            return info
        if info > 27:
            raise ValueError("CBOR: indefinite length")
        size = 1 << info - 24
        value = int.from_bytes(self.data[self.offset : self.offset + size], "big")
        if size > len(self.data) - self.offset:
            raise ValueError("CBOR: truncated")
        self.offset += size
        if value < 24 or (size > 1 and value >> 4 * size == 0):
            raise ValueError("CBOR: not in its shortest form")
        return value


def _entries(value: Any) -> int:
    """The entries of all maps in a decoded value. A key that stood twice is missing in the count."""
    if isinstance(value, Mapping):
        return len(value) + sum(_entries(key) + _entries(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return sum(map(_entries, value))
    if isinstance(value, cbor2.CBORTag):
        return _entries(value.value)
    return 0


@dataclass(frozen=True, slots=True)
class Sign1:
    """A COSE_Sign1: the algorithm that its protected header names, and its parts."""

    algorithm: int
    protected: bytes
    payload: bytes
    signature: bytes


def parse_sign1(value: Any) -> Sign1:
    """[protected, unprotected, payload, signature], tagged 18 or not. Raises ValueError."""
    if isinstance(value, cbor2.CBORTag):
        if value.tag != COSE_SIGN1_TAG:
            raise ValueError("COSE: not a COSE_Sign1")
        value = value.value
    if not isinstance(value, list | tuple) or len(value) != 4:
        raise ValueError("COSE: not a COSE_Sign1")
    protected, unprotected, payload, signature = value
    if not all(isinstance(part, bytes) for part in (protected, payload, signature)):
        raise ValueError("COSE: not a COSE_Sign1")
    if not isinstance(unprotected, Mapping):
        raise ValueError("COSE: the unprotected header is not a map")
    header = decode(protected)
    # The algorithm counts only where it is protected; a `crit` header names what must be understood and is not here
    if not isinstance(header, Mapping) or not isinstance(header.get(1), int) or 2 in header:
        raise ValueError("COSE: the protected header names no algorithm, or something critical")
    return Sign1(header[1], protected, payload, signature)


def verify_sign1(message: Sign1, key: PublicKey, step: str) -> None:
    """ECDSA over the Sig_structure (RFC 9052 §4.4) with empty external data. Raises Refused(step)."""
    row = ALGORITHMS.get(message.algorithm)
    if row is None:
        raise Refused(step, "the signature algorithm is not allowed")
    curve, algorithm, size = row
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, curve):
        raise Refused(step, "the signature algorithm does not fit the key")
    if len(message.signature) != 2 * size:
        raise Refused(step, "the signature has the wrong size")
    r, s = int.from_bytes(message.signature[:size], "big"), int.from_bytes(message.signature[size:], "big")
    signed = cbor2.dumps(["Signature1", message.protected, b"", message.payload])
    try:
        key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(algorithm()))
    except InvalidSignature as error:
        raise Refused(step, "the signature does not verify") from error


def key_of_cose(value: Any) -> ec.EllipticCurvePublicKey:
    """An EC2 COSE_Key (RFC 9053 §7.1.1) with both coordinates. Raises ValueError."""
    if not isinstance(value, Mapping) or value.get(1) != 2:
        raise ValueError("COSE: not an EC2 key")
    curve_identifier, x, y = (value.get(label) for label in (-1, -2, -3))
    row = _CURVES.get(curve_identifier) if isinstance(curve_identifier, int) else None
    if row is None or not isinstance(x, bytes) or not isinstance(y, bytes):
        raise ValueError("COSE: not an EC2 key with two coordinates")
    curve, size = row
    if len(x) != size or len(y) != size:
        raise ValueError("COSE: a coordinate has the wrong size")
    return ec.EllipticCurvePublicKey.from_encoded_point(curve(), b"\x04" + x + y)
