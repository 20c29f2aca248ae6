"""The TTLV encoding (KMIP 2.1 §9.1, 3.0 item types included): `decode` bytes into an item, `encode` an item into bytes.

An item is a plain tuple `(tag, type, value)`; tuples are what CPython makes and takes apart fastest. Values: Structure
list of items; Integer, Long Integer, Big Integer, Enumeration, Interval int; Boolean bool; Text String str; Byte String
bytes; Date-Time int (seconds since the epoch), Date-Time Extended int (microseconds).
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import Any, Final

from kmipsrv.errors import TTLVError

Item = tuple[int, int, Any]

STRUCTURE: Final = 0x01
INTEGER: Final = 0x02
LONG_INTEGER: Final = 0x03
BIG_INTEGER: Final = 0x04
ENUMERATION: Final = 0x05
BOOLEAN: Final = 0x06
TEXT_STRING: Final = 0x07
BYTE_STRING: Final = 0x08
DATE_TIME: Final = 0x09
INTERVAL: Final = 0x0A
DATE_TIME_EXTENDED: Final = 0x0B
IDENTIFIER: Final = 0x0C  # 3.0; as Text String
REFERENCE: Final = 0x0D  # 3.0; as Text String
NAME_REFERENCE: Final = 0x0E  # 3.0; as Text String
ENCODED: Final = 0xFF  # never on the wire: the value is a whole item, encoded already

TYPE_NAMES: Final = {
    STRUCTURE: "Structure",
    INTEGER: "Integer",
    LONG_INTEGER: "LongInteger",
    BIG_INTEGER: "BigInteger",
    ENUMERATION: "Enumeration",
    BOOLEAN: "Boolean",
    TEXT_STRING: "TextString",
    BYTE_STRING: "ByteString",
    DATE_TIME: "DateTime",
    INTERVAL: "Interval",
    DATE_TIME_EXTENDED: "DateTimeExtended",
    IDENTIFIER: "Identifier",
    REFERENCE: "Reference",
    NAME_REFERENCE: "NameReference",
}
# "The Tag is a three-byte binary unsigned integer": 42 tags are the standard's, 54 extensions (§9.1.1.1).
TAG_SPACES: Final = (0x42, 0x54)
MAX_DEPTH: Final = 32  # the deepest message of the conformance cases nests 9 structures
MAX_ITEMS: Final = 100_000  # in one message: 800 kB of headers

# The fixed-length types: length, reader.
_FIXED: Final = {
    INTEGER: (4, Struct(">i").unpack_from),
    LONG_INTEGER: (8, Struct(">q").unpack_from),
    ENUMERATION: (4, Struct(">I").unpack_from),
    BOOLEAN: (8, Struct(">Q").unpack_from),
    DATE_TIME: (8, Struct(">q").unpack_from),
    INTERVAL: (4, Struct(">I").unpack_from),
    DATE_TIME_EXTENDED: (8, Struct(">q").unpack_from),
}
_TEXTS: Final = frozenset((TEXT_STRING, IDENTIFIER, REFERENCE, NAME_REFERENCE))
_head = Struct(">II").unpack_from
_PADDING: Final = tuple(bytes(-n % 8) for n in range(8))


def decode(data: bytes, *, max_depth: int = MAX_DEPTH, max_items: int = MAX_ITEMS) -> Item:
    """One item that fills `data` exactly. Raises TTLVError for anything else."""
    items, left = _read(data, 0, len(data), max_depth, max_items)
    del left
    if len(items) != 1:
        raise TTLVError(f"{len(items)} items where one is expected")
    return items[0]


def decode_all(data: bytes, *, max_depth: int = MAX_DEPTH, max_items: int = MAX_ITEMS) -> list[Item]:
    """The items that fill `data` exactly, possibly none: the content of a structure."""
    return _read(data, 0, len(data), max_depth, max_items)[0]


def _read(data: bytes, at: int, end: int, depth: int, left: int) -> tuple[list[Item], int]:
    """-> (the items between `at` and `end`, how many more the message may have)."""
    if depth < 0:
        raise TTLVError("structures nested too deeply")
    items: list[Item] = []
    while at < end:
        if end - at < 8:
            raise TTLVError(f"truncated item header at byte {at}")
        word, length = _head(data, at)
        tag, kind = word >> 8, word & 0xFF
        if word >> 24 not in TAG_SPACES:
            raise TTLVError(f"0x{tag:06X} at byte {at} is no tag")
        at += 8
        left -= 1
        if left < 0:
            raise TTLVError("too many items")
        stop = at + length
        if stop > end:
            raise TTLVError(f"0x{tag:06X}: length {length} reaches beyond its structure")
        if kind == STRUCTURE:
            value: Any
            value, left = _read(data, at, stop, depth - 1, left)
        elif kind in _FIXED:
            size, unpack = _FIXED[kind]
            if length != size:
                raise TTLVError(f"0x{tag:06X}: {TYPE_NAMES[kind]} of {length} bytes")
            (value,) = unpack(data, at)
            if kind == BOOLEAN:
                # "encoded as an eight-byte value that SHALL either contain the hex value 0…0 or 0…1" (§9.1.1.4)
                if value > 1:
                    raise TTLVError(f"0x{tag:06X}: a Boolean that is neither 0 nor 1")
                value = value == 1
        elif kind in _TEXTS:
            try:
                value = data[at:stop].decode()
            except UnicodeDecodeError:
                raise TTLVError(f"0x{tag:06X}: Text String is not UTF-8") from None
        elif kind == BYTE_STRING:
            value = data[at:stop]
        elif kind == BIG_INTEGER:
            # "Big Integers SHALL be padded with leading sign-extended bytes […] to a multiple of eight" (§9.1.1.3)
            if length & 7 or not length:
                raise TTLVError(f"0x{tag:06X}: Big Integer of {length} bytes")
            value = int.from_bytes(data[at:stop], "big", signed=True)
        else:
            raise TTLVError(f"0x{tag:06X}: unknown item type 0x{kind:02X}")
        rest = -length & 7
        if rest:
            # "padding […] SHALL be filled with zero" (§9.1.1.4)
            if stop + rest > end or data[stop : stop + rest] != _PADDING[length & 7]:
                raise TTLVError(f"0x{tag:06X}: padding missing or not zero")
            stop += rest
        at = stop
        items.append((tag, kind, value))
    return items, left


# The fixed-length types once more: length, writer of header, value and padding.
_WHOLE: Final = {
    INTEGER: (4, Struct(">IIi4x").pack),
    LONG_INTEGER: (8, Struct(">IIq").pack),
    ENUMERATION: (4, Struct(">III4x").pack),
    BOOLEAN: (8, Struct(">IIQ").pack),
    DATE_TIME: (8, Struct(">IIq").pack),
    INTERVAL: (4, Struct(">III4x").pack),
    DATE_TIME_EXTENDED: (8, Struct(">IIq").pack),
}
_pack_head = Struct(">II").pack


def encode(item: Item) -> bytes:
    """The bytes of one item. Values outside their type's range raise struct.error or OverflowError: a server's fault,
    never a client's."""
    tag, kind, value = item
    word = tag << 8 | kind
    if kind in _WHOLE:
        length, pack = _WHOLE[kind]
        return pack(word, length, value)
    if kind == STRUCTURE:
        body = b"".join([encode(each) for each in value])
        return _pack_head(word, len(body)) + body
    if kind == ENCODED:
        return value  # type: ignore[no-any-return]
    if kind in _TEXTS:
        body = value.encode()
    elif kind == BYTE_STRING:
        body = value
    elif kind == BIG_INTEGER:
        body = big_integer(value)
    else:
        raise ValueError(f"no item type {kind}")
    return _pack_head(word, len(body)) + body + _PADDING[len(body) & 7]


def encode_all(items: Iterable[Item]) -> bytes:
    """The bytes of several items one after the other."""
    return b"".join([encode(each) for each in items])


def big_integer(value: int) -> bytes:
    """The shortest two's complement of `value` that is a multiple of eight bytes long."""
    size = (value if value >= 0 else ~value).bit_length() // 8 + 1
    return value.to_bytes(size + (-size & 7), "big", signed=True)
