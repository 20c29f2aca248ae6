"""A reader of Protocol Buffers (encoding: protobuf.dev, "Wire format"): field numbers to numbers and byte strings.

Enough for one message type of one attestation agent; groups and unknown wire types are refused, every length is checked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
_MAX_FIELDS: Final = 4096


@dataclass(slots=True)
class Message:
    """The fields of one message, in their order."""

    numbers: dict[int, list[int]] = field(default_factory=dict)
    strings: dict[int, list[bytes]] = field(default_factory=dict)

    def octets(self, number: int) -> list[bytes]:
        return self.strings.get(number, [])

    def octet(self, number: int) -> bytes:
        """The one byte string of a singular field; an absent one is empty. Raises ValueError where it stands twice."""
        values = self.octets(number)
        if len(values) > 1:
            raise ValueError("protobuf: a singular field stands twice")
        return values[0] if values else b""

    def number(self, number: int) -> int:
        values = self.numbers.get(number, [])
        if len(values) > 1:
            raise ValueError("protobuf: a singular field stands twice")
        return values[0] if values else 0


def parse(data: bytes) -> Message:
    """All fields of a message. Raises ValueError."""
    message = Message()
    offset = count = 0
    while offset < len(data):
        count += 1
        if count > _MAX_FIELDS:
            raise ValueError("protobuf: too many fields")
        key, offset = _varint(data, offset)
        number, wire_type = key >> 3, key & 7
        if number == 0:
            raise ValueError("protobuf: field number 0")
        if wire_type == VARINT:
            value, offset = _varint(data, offset)
            message.numbers.setdefault(number, []).append(value)
            continue
        if wire_type == LENGTH:
            size, offset = _varint(data, offset)
        elif wire_type in (FIXED32, FIXED64):
            size = 4 if wire_type == FIXED32 else 8
        else:
            raise ValueError("protobuf: unknown wire type")
        if size > len(data) - offset:
            raise ValueError("protobuf: truncated")
        if wire_type == LENGTH:
            message.strings.setdefault(number, []).append(data[offset : offset + size])
        offset += size
    return message


def _varint(data: bytes, offset: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if offset >= len(data) or shift > 63:
            raise ValueError("protobuf: malformed number")
        octet = data[offset]
        offset += 1
        value |= (octet & 0x7F) << shift
        if not octet & 0x80:
            return value, offset
        shift += 7
