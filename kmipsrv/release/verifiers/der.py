"""A reader of ASN.1 DER elements (X.690 §8.1, §10): just enough for what the certificate library does not give out.

It is used for the parts of a certificate over which its signature runs, and for the vendors' own extensions. Only
single-byte tags and definite lengths in their shortest form are read; anything else is a `ValueError`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, OBJECT_IDENTIFIER = 0x01, 0x02, 0x03, 0x04, 0x06
UTF8_STRING, PRINTABLE_STRING, IA5_STRING = 0x0C, 0x13, 0x16
ENUMERATED, SEQUENCE, SET = 0x0A, 0x30, 0x31


@dataclass(frozen=True, slots=True)
class Element:
    """One element: `data[start:end]` is all of it, `data[content:end]` its content."""

    data: bytes
    tag: int
    start: int
    content: int
    end: int

    @property
    def value(self) -> bytes:
        return self.data[self.content : self.end]

    @property
    def encoded(self) -> bytes:
        return self.data[self.start : self.end]

    def children(self) -> Iterator[Element]:
        """The elements inside a constructed one, in order."""
        offset = self.content
        while offset < self.end:
            child = read(self.data, offset, self.end)
            yield child
            offset = child.end


def read(data: bytes, offset: int = 0, limit: int | None = None) -> Element:
    """The element that begins at `offset` and ends at or before `limit`; raises ValueError."""
    limit = len(data) if limit is None else limit
    if offset + 2 > limit:
        raise ValueError("DER: truncated header")
    tag, length, content = data[offset], data[offset + 1], offset + 2
    if tag & 0x1F == 0x1F:
        raise ValueError("DER: multi-byte tag")
    if length & 0x80:
        size = length & 0x7F
        if not 1 <= size <= 4 or content + size > limit:
            raise ValueError("DER: length is indefinite, too long or truncated")
        length = int.from_bytes(data[content : content + size], "big")
        content += size
        # X.690 §10.1: "The definite form of length encoding shall be used, encoded in the minimum number of octets."
        if length < 0x80 or length >> (8 * (size - 1)) == 0:
            raise ValueError("DER: length is not in its shortest form")
    if content + length > limit:
        raise ValueError("DER: truncated content")
    return Element(data, tag, offset, content, content + length)


def read_all(data: bytes) -> Element:
    """The one element that `data` consists of; trailing bytes are refused."""
    element = read(data)
    if element.end != len(data):
        raise ValueError("DER: trailing bytes")
    return element


def integer(element: Element) -> int:
    """The value of an INTEGER (X.690 §8.3) or ENUMERATED."""
    if element.tag not in (INTEGER, ENUMERATED) or element.content == element.end:
        raise ValueError("DER: not an integer")
    return int.from_bytes(element.value, "big", signed=True)


def object_identifier(element: Element) -> str:
    """The dotted form of an OBJECT IDENTIFIER (X.690 §8.19)."""
    if element.tag != OBJECT_IDENTIFIER or element.content == element.end or element.value[-1] & 0x80:
        raise ValueError("DER: not an object identifier")
    arcs: list[int] = []
    arc = 0
    for octet in element.value:
        arc = arc << 7 | octet & 0x7F
        if not octet & 0x80:
            arcs.append(arc)
            arc = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(str(number) for number in (first, arcs[0] - 40 * first, *arcs[1:]))
