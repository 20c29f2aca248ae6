"""The few lines of DER (X.690) that the library does not offer: reading and building of tag-length-value.

Used to bound work that an encoding asks for before the library does it (`iterations`) and to write EC public keys with
a compressed or hybrid point. Input is hostile: depth and count are bounded, and a malformed encoding raises.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from kmipsrv.errors import Cause, KmipError

INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
OID: Final = 0x06
SEQUENCE: Final = 0x30

_MAX_DEPTH: Final = 24


def malformed(what: str = "the encoding") -> KmipError:
    return KmipError(Cause.INVALID_FIELD, f"{what} is not valid DER")


def elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The (tag, contents) pairs that follow each other in `data`; raises Invalid Field when they do not fill it."""
    at, end = 0, len(data)
    while at < end:
        if end - at < 2 or data[at] & 0x1F == 0x1F:
            raise malformed()
        tag, length = data[at], data[at + 1]
        at += 2
        if length & 0x80:
            size = length & 0x7F
            if not 1 <= size <= 4 or end - at < size:
                raise malformed()
            length = int.from_bytes(data[at : at + size], "big")
            at += size
        if end - at < length:
            raise malformed()
        yield tag, data[at : at + length]
        at += length


def children(data: bytes, tag: int = SEQUENCE) -> list[tuple[int, bytes]]:
    """The elements inside the single element `data`, which must have the tag given."""
    outer = list(elements(data))
    if len(outer) != 1 or outer[0][0] != tag:
        raise malformed()
    return list(elements(outer[0][1]))


def encode(tag: int, contents: bytes) -> bytes:
    """One element in DER."""
    length = len(contents)
    if length < 0x80:
        return bytes((tag, length)) + contents
    size = (length.bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + length.to_bytes(size, "big") + contents


def subject_public_key_info(algorithm: bytes, point: bytes) -> bytes:
    """SubjectPublicKeyInfo (RFC 5280 §4.1) of an encoded AlgorithmIdentifier and an EC point (RFC 5480 §2.2)."""
    return encode(SEQUENCE, algorithm + encode(BIT_STRING, b"\0" + point))


def walk(data: bytes, depth: int = 0) -> Iterator[tuple[int, bytes]]:
    """Every element of `data`, outside in, those inside OCTET STRINGs that hold DER included."""
    if depth > _MAX_DEPTH:
        raise malformed()
    for tag, contents in elements(data):
        yield tag, contents
        if tag & 0x20:
            yield from walk(contents, depth + 1)
        elif tag == OCTET_STRING and contents[:1] == b"\x30":
            try:
                inside = list(elements(contents))
            except KmipError:
                continue  # an octet string that only looks like DER
            if len(inside) == 1:
                yield from walk(contents, depth + 1)
