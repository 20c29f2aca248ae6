"""The item types of TTLV as annotations of structure fields: the class body of a structure is its table.

`Integer | None` is an optional Integer; an enumeration, a mask or a structure class stands for itself; `list[X]` repeats.
`Annotated[X, since(V1_2)]` and its companions say what the plain annotation cannot.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from kmipsrv.spec.enums import Data, UniqueIdentifier
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V1_0, Version
from kmipsrv.ttlv import codec


@dataclass(frozen=True, slots=True)
class Kind:
    """The TTLV item type of an annotated Python type."""

    code: int


Integer = Annotated[int, Kind(codec.INTEGER)]
LongInteger = Annotated[int, Kind(codec.LONG_INTEGER)]
BigInteger = Annotated[int, Kind(codec.BIG_INTEGER)]
Boolean = Annotated[bool, Kind(codec.BOOLEAN)]
AnyEnumeration = Annotated[int, Kind(codec.ENUMERATION)]  # the standard names no values
TextString = Annotated[str, Kind(codec.TEXT_STRING)]
ByteString = Annotated[bytes, Kind(codec.BYTE_STRING)]
DateTime = Annotated[int, Kind(codec.DATE_TIME)]  # seconds since the epoch
DateTimeExtended = Annotated[int, Kind(codec.DATE_TIME_EXTENDED)]  # microseconds since the epoch
Interval = Annotated[int, Kind(codec.INTERVAL)]  # seconds


@dataclass(frozen=True, slots=True)
class IdentifierKind:
    """A unique identifier (2.1 §4.58): Text String; from 2.0 on also an Enumeration that names a batch item or an
    Integer that counts one; from 3.0 on an Identifier or, in links, a Reference."""

    code_3_0: int


class NameReference(str):
    """A reference by Name instead of by unique identifier (3.0)."""

    __slots__ = ()


Identifier = Annotated[str | int | UniqueIdentifier, IdentifierKind(codec.IDENTIFIER)]
Reference = Annotated[str | int | UniqueIdentifier, IdentifierKind(codec.REFERENCE)]


@dataclass(frozen=True, slots=True)
class DataKind:
    """Data (2.1 §7.9): a Byte String; from 2.0 on also an Enumeration that names the operation of an earlier batch item
    whose output is meant, or an Integer that counts the outputs."""


DataOrReference = Annotated[bytes | int | Data, DataKind()]


@dataclass(frozen=True, slots=True)
class AnyKind:
    """The field is kept as the item it came as: (type, value)."""


AnyItem = Annotated[tuple[int, Any], AnyKind()]


@dataclass(frozen=True, slots=True)
class Row:
    """What a field's annotation says beside its type: tag and versions of one wire form."""

    tag: Tag | None = None  # None: the tag that has the field's name
    since: Version = V1_0
    until: Version | None = None
    early: bool = False  # read, though never written, in versions before `since` (a real client sends it)
    late: bool = False  # read, though never written, in versions after `until`


def since(version: Version, until: Version | None = None, *, early: bool = False) -> Row:
    return Row(since=version, until=until, early=early)


def until(version: Version, *, late: bool = False) -> Row:
    return Row(until=version, late=late)


def wire(tag: Tag, since: Version = V1_0, until: Version | None = None, *, early: bool = False) -> Row:
    """The field has another tag than its name, in these versions."""
    return Row(tag, since, until, early)
