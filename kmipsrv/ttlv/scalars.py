"""The values of the XML and JSON encodings as text (KMIP Additional Message Encodings 1.0 §4.1.6, §6.1.6)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from kmipsrv.errors import TTLVError
from kmipsrv.ttlv.codec import (
    BIG_INTEGER,
    BOOLEAN,
    BYTE_STRING,
    DATE_TIME,
    DATE_TIME_EXTENDED,
    ENUMERATION,
    INTEGER,
    INTERVAL,
    LONG_INTEGER,
    TAG_SPACES,
    TYPE_NAMES,
)
from kmipsrv.ttlv.names import Group, Names, loose

TYPES: Final = {name: code for code, name in TYPE_NAMES.items()}

_BITS: Final = {INTEGER: 32, LONG_INTEGER: 64, ENUMERATION: 32, BOOLEAN: 64, DATE_TIME: 64, INTERVAL: 32}
_SIGNED: Final = frozenset((INTEGER, LONG_INTEGER, DATE_TIME, DATE_TIME_EXTENDED))
_HEX = re.compile(r"0x([0-9A-Fa-f]+)")
_DECIMAL = re.compile(r"[+-]?[0-9]{1,20}")
_BYTES = re.compile(r"(?:[0-9A-Fa-f]{2})*")
_TAG = re.compile(r"0?x([0-9A-Fa-f]{6})")
# "'-'? yyyy '-' mm '-' dd 'T' hh ':' mm ':' ss ('.' s+)? ((('+' | '-') hh ':' mm) | 'Z')?" (§4.1.6.11)
_DATE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]+))?(Z|[+-][0-9]{2}:[0-9]{2})?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def read_tag(text: str, names: Names) -> int:
    """A tag's name or "0x" and six digits -> its code. Raises TTLVError."""
    match = _TAG.fullmatch(text)
    code = int(match[1], 16) if match else names.tag(text)
    if code is None or code >> 16 not in TAG_SPACES:
        raise TTLVError(f"{text[:64]!r} is no tag")
    return code


def read_type(text: str) -> int:
    """A type's name -> its code. Raises TTLVError."""
    if text not in TYPES:
        raise TTLVError(f"{text[:64]!r} is no item type")
    return TYPES[text]


def integer(kind: int, value: int) -> int:
    """`value` if the type can hold it. Raises TTLVError."""
    bits = _BITS.get(kind, 64)
    low, high = (-(1 << bits - 1), 1 << bits - 1) if kind in _SIGNED else (0, 1 << bits)
    if not low <= value < high:
        raise TTLVError(f"{value} is no {TYPE_NAMES[kind]}")
    return value


def read(kind: int, text: str, group: Group | None) -> Any:
    """The text of a value that is not a structure -> the value. Raises TTLVError."""
    if kind == BYTE_STRING:
        return _octets(text)
    if kind == BIG_INTEGER:
        octets = _octets(text.removeprefix("0x"))
        if not octets or len(octets) % 8:
            raise TTLVError(f"a Big Integer of {len(octets)} bytes")
        return int.from_bytes(octets, "big", signed=True)
    if kind == ENUMERATION:
        return integer(kind, _code(text, group))
    if kind == BOOLEAN:
        return _boolean(text)
    if kind in (DATE_TIME, DATE_TIME_EXTENDED):
        match = _HEX.fullmatch(text)
        return _signed(kind, match[1]) if match else integer(kind, _date(kind, text))
    if kind in (INTEGER, LONG_INTEGER, INTERVAL):
        if _DECIMAL.fullmatch(text):
            return integer(kind, int(text))
        if kind == INTEGER and group is not None and group.mask:
            return _mask(text, group)
        match = _HEX.fullmatch(text)
        if match is None:
            raise TTLVError(f"{text[:64]!r} is no {TYPE_NAMES[kind]}")
        return _signed(kind, match[1])
    return text


def _octets(text: str) -> bytes:
    if not _BYTES.fullmatch(text):
        raise TTLVError("a Byte String that is not pairs of hexadecimal digits")
    return bytes.fromhex(text)


def _signed(kind: int, digits: str) -> int:
    """ "the values for -1, 0, 1 are represented as 0xffffffff, 0x00000000, 0x00000001" (§4.1.1)."""
    bits = _BITS.get(kind, 64)
    value = int(digits, 16) if len(digits) * 4 <= bits else -1
    if value < 0:
        raise TTLVError(f"{len(digits)} hexadecimal digits are too many for {TYPE_NAMES[kind]}")
    if kind in _SIGNED and value >> (bits - 1):
        value -= 1 << bits
    return value


def _code(text: str, group: Group | None) -> int:
    match = _HEX.fullmatch(text)
    if match:
        return int(match[1], 16) if len(match[1]) <= 8 else -1
    found = None
    if group is not None:
        found = group.codes.get(text)
        if found is None:
            found = group.codes.get(loose(text))
    if found is None:
        raise TTLVError(f"{text[:64]!r} is no value of this enumeration")
    return found


def _mask(text: str, group: Group) -> int:
    """Names and hexadecimal numbers, with spaces (XML) or bars (JSON) between them."""
    value = 0
    for part in re.split(r"[\s|]+", text):
        if part:
            value |= integer(ENUMERATION, _code(part, group))
    return value - (1 << 32) if value >> 31 else value


def _boolean(text: str) -> bool:
    match = _HEX.fullmatch(text)
    if match and len(match[1]) <= 16 and int(match[1], 16) < 2:
        return int(match[1], 16) == 1
    if text in ("true", "1"):
        return True
    if text in ("false", "0"):
        return False
    raise TTLVError(f"{text[:64]!r} is no Boolean")


def _date(kind: int, text: str) -> int:
    """xsd:dateTime -> seconds or microseconds since the epoch; without a zone it is UTC. Fractions of a second "should be
    ignored (truncated)", but for the type that has them."""
    match = _DATE.fullmatch(text)
    if match is None:
        raise TTLVError(f"{text[:64]!r} is no {TYPE_NAMES[kind]}")
    try:
        moment = datetime.fromisoformat(match[1] + ("+00:00" if match[3] in (None, "Z") else match[3]))
        microseconds = (moment - _EPOCH) // _MICROSECOND
    except (ValueError, OverflowError):
        raise TTLVError(f"{text[:64]!r} is no {TYPE_NAMES[kind]}") from None
    if kind == DATE_TIME:
        return microseconds // 1_000_000
    return microseconds + int((match[2] or "")[:6].ljust(6, "0"))


def date(kind: int, value: int) -> str:
    """The text of a Date-Time; hexadecimal beyond the years 1 to 9999."""
    try:
        moment = _EPOCH + timedelta(microseconds=value if kind == DATE_TIME_EXTENDED else value * 1_000_000)
    except OverflowError:
        return f"0x{value & (1 << 64) - 1:016x}"
    return moment.isoformat(timespec="microseconds" if kind == DATE_TIME_EXTENDED else "seconds")


def enumeration(value: int, group: Group | None) -> str:
    """The name of an enumeration's value, else its number."""
    name = group.names.get(value) if group is not None else None
    return f"0x{value:08x}" if name is None else name


def mask(value: int, group: Group, separator: str) -> str:
    """The names of a mask's bits; what has no name is a number."""
    parts = [name for bit, name in sorted(group.names.items()) if value & bit]
    rest = value & 0xFFFFFFFF & ~sum(bit for bit in group.names if value & bit)
    return separator.join([*parts, f"0x{rest:08x}"] if rest or not parts else parts)
