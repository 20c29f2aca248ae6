"""Structures as tables: one class per KMIP structure, one line per field, compiled once per version into a plan.

Tag = the field's name unless its annotation says otherwise; item type = the annotation; order of lines = order on the
wire; a field without a default is required. A version's plan knows only the fields of that version, so nothing newer
than the request is ever written, without a test anywhere.

Reading is liberal in order (no structure's meaning depends on it) and strict in everything else: an unknown field, a wrong
type, a missing or repeated field raise KmipError.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any, Protocol, TypeVar, dataclass_transform

from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec.enums import Data, UniqueIdentifier
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.types import AnyKind, DataKind, IdentifierKind, Kind, NameReference, Row
from kmipsrv.spec.versions import V2_0, V3_0, Named, NamedFlag, Version
from kmipsrv.ttlv.codec import (
    BYTE_STRING,
    ENUMERATION,
    IDENTIFIER,
    INTEGER,
    NAME_REFERENCE,
    REFERENCE,
    STRUCTURE,
    TEXT_STRING,
    TYPE_NAMES,
    Item,
)

T = TypeVar("T")


class Codec(Protocol):
    """Reads and writes the values of one field in one version."""

    def read(self, kind: int, value: Any, tag: int) -> Any:
        """The value of one item. Raises KmipError."""

    def write(self, value: Any) -> tuple[int, Any]:
        """-> (item type, item value)."""


class Custom(Protocol):
    """A field type with a wire form of its own (spec/attribute_codec.py): it may use several tags and items."""

    @classmethod
    def tags(cls, row_tag: Tag, version: Version) -> Sequence[int]: ...

    @classmethod
    def read_items(cls, items: list[Item], version: Version) -> Any: ...

    def write_items(self, tag: Tag, version: Version) -> list[Item]: ...


@dataclass_transform(kw_only_default=True)
def structure(cls: type[T]) -> type[T]:
    """Class decorator: a slotted, keyword-only dataclass whose fields are the structure's table."""
    return dataclass(kw_only=True, slots=True)(cls)


def tag_name(tag: int) -> str:
    try:
        return Tag(tag).text
    except ValueError:
        return f"0x{tag:06X}"


def _wrong_type(tag: int, kind: int) -> KmipError:
    return KmipError(Cause.INVALID_DATA_TYPE, f"{tag_name(tag)} cannot be of type {TYPE_NAMES.get(kind, kind)}")


class PlainCodec:
    """A scalar whose Python value is the item's."""

    def __init__(self, code: int) -> None:
        self.code = code

    def read(self, kind: int, value: Any, tag: int) -> Any:
        if kind != self.code:
            raise _wrong_type(tag, kind)
        return value

    def write(self, value: Any) -> tuple[int, Any]:
        return self.code, value


class EnumCodec:
    def __init__(self, enumeration: type[Named]) -> None:
        self.enumeration = enumeration
        self.values = enumeration._value2member_map_

    def read(self, kind: int, value: Any, tag: int) -> Any:
        if kind != ENUMERATION:
            raise _wrong_type(tag, kind)
        member = self.values.get(value)
        if member is None:
            raise KmipError(Cause.UNKNOWN_ENUMERATION, f"0x{value:08X} is no {tag_name(tag)} this server knows")
        return member

    def write(self, value: Any) -> tuple[int, Any]:
        return ENUMERATION, int(value)


class MaskCodec:
    def __init__(self, mask: type[NamedFlag]) -> None:
        self.mask = mask

    def read(self, kind: int, value: Any, tag: int) -> Any:
        if kind != INTEGER:
            raise _wrong_type(tag, kind)
        return self.mask(value & 0xFFFFFFFF)

    def write(self, value: Any) -> tuple[int, Any]:
        value = int(value)
        return INTEGER, value - (1 << 32) if value >> 31 else value


class IdentifierCodec:
    def __init__(self, version: Version, code_3_0: int) -> None:
        self.version = version
        self.text = code_3_0 if version >= V3_0 else TEXT_STRING

    def read(self, kind: int, value: Any, tag: int) -> Any:
        if kind in (TEXT_STRING, IDENTIFIER, REFERENCE):
            return value
        if kind == NAME_REFERENCE:
            return NameReference(value)
        if self.version < V2_0:
            raise _wrong_type(tag, kind)
        if kind == ENUMERATION:
            try:
                return UniqueIdentifier(value)
            except ValueError:
                raise KmipError(Cause.UNKNOWN_ENUMERATION, f"0x{value:08X} is no Unique Identifier") from None
        if kind == INTEGER:
            return value
        raise _wrong_type(tag, kind)

    def write(self, value: Any) -> tuple[int, Any]:
        if isinstance(value, UniqueIdentifier):
            return ENUMERATION, int(value)
        if isinstance(value, NameReference):
            return (NAME_REFERENCE if self.version >= V3_0 else TEXT_STRING), str(value)
        return (self.text, value) if isinstance(value, str) else (INTEGER, value)


class DataCodec:
    def __init__(self, version: Version) -> None:
        self.version = version

    def read(self, kind: int, value: Any, tag: int) -> Any:
        if kind == BYTE_STRING:
            return value
        if self.version < V2_0 or kind not in (ENUMERATION, INTEGER):
            raise _wrong_type(tag, kind)
        if kind == INTEGER:
            return value
        try:
            return Data(value)
        except ValueError:
            raise KmipError(Cause.UNKNOWN_ENUMERATION, f"0x{value:08X} is no Data this server knows") from None

    def write(self, value: Any) -> tuple[int, Any]:
        if isinstance(value, bytes):
            return BYTE_STRING, value
        return (ENUMERATION if isinstance(value, Data) else INTEGER), int(value)


class AnyCodec:
    def read(self, kind: int, value: Any, tag: int) -> Any:
        return kind, value

    def write(self, value: Any) -> tuple[int, Any]:
        kind, content = value
        return kind, content


class StructureCodec:
    def __init__(self, cls: type[Any], version: Version) -> None:
        self.cls, self.version = cls, version

    def read(self, kind: int, value: Any, tag: int) -> Any:
        if kind != STRUCTURE:
            raise _wrong_type(tag, kind)
        return bind(self.cls, value, self.version)

    def write(self, value: Any) -> tuple[int, Any]:
        return STRUCTURE, unbind(value, self.version)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a plan."""

    name: str
    tag: Tag
    codec: Codec
    many: bool
    required: bool
    custom: type[Custom] | None
    written: bool


class Plan:
    """How one class is read and written in one version."""

    __slots__ = ("cls", "readers", "required", "writers")

    def __init__(self, cls: type[Any], version: Version) -> None:
        self.cls = cls
        self.readers: dict[int, Field] = {}
        self.writers: list[Field] = []
        self.required: list[Field] = []
        for field in compile_fields(cls, version):
            if field.custom:
                self.readers.update(dict.fromkeys(field.custom.tags(field.tag, version), field))
            else:
                self.readers[field.tag] = field
            if field.written:
                self.writers.append(field)
                if field.required:
                    self.required.append(field)


_plans: dict[tuple[type[Any], Version], Plan] = {}


def plan(cls: type[Any], version: Version) -> Plan:
    found = _plans.get((cls, version))
    if found is None:
        found = _plans[cls, version] = Plan(cls, version)
    return found


def bind(cls: type[T], items: list[Item], version: Version) -> T:
    """The structure `cls` out of its items, as `version` has it. Raises KmipError."""
    found = _plans.get((cls, version)) or plan(cls, version)
    readers = found.readers
    values: dict[str, Any] = {}
    gathered: dict[str, list[Item]] | None = None
    for item in items:
        tag, kind, value = item
        field = readers.get(tag)
        if field is None:
            raise KmipError(Cause.INVALID_FIELD, f"{tag_name(tag)} has no place in {cls.__name__} of KMIP {version}")
        if field.custom:
            if gathered is None:
                gathered = {}
            gathered.setdefault(field.name, []).append(item)
        elif field.many:
            values.setdefault(field.name, []).append(field.codec.read(kind, value, tag))
        elif field.name in values:
            # "The same field is contained in a header/batch item/payload more than once": Invalid Message (1.4 §11.1).
            raise KmipError(Cause.INVALID_MESSAGE, f"{tag_name(tag)} is given more than once")
        else:
            values[field.name] = field.codec.read(kind, value, tag)
    if gathered is not None:
        for name, parts in gathered.items():
            custom = readers[parts[0][0]].custom
            assert custom is not None
            values[name] = custom.read_items(parts, version)
    for field in found.required:
        if field.name not in values:
            raise KmipError(Cause.MISSING_DATA, f"{field.tag.text} is missing in {cls.__name__}")
    return cls(**values)


def unbind(obj: Any, version: Version) -> list[Item]:
    """The items of a structure as `version` has it; what the version does not know is left out."""
    cls = obj.__class__
    found = _plans.get((cls, version)) or plan(cls, version)
    items: list[Item] = []
    for field in found.writers:
        value = getattr(obj, field.name)
        if value is None:
            continue
        if field.custom:
            items += value.write_items(field.tag, version)
        elif field.many:
            write = field.codec.write
            items += [(field.tag, *write(each)) for each in value]
        else:
            items.append((field.tag, *field.codec.write(value)))
    return items


def compile_fields(cls: type[Any], version: Version) -> list[Field]:
    """The rows of `cls` that `version` reads or writes, in wire order."""
    hints = typing.get_type_hints(cls, include_extras=True)
    out = []
    for field in fields(cls):
        rows, inner, many = _take_apart(hints[field.name])
        required = field.default is MISSING and field.default_factory is MISSING
        for row in rows or [Row()]:
            written = row.since <= version and (row.until is None or version <= row.until)
            if not (written or (row.early and version < row.since) or (row.late and version >= row.since)):
                continue
            tag = row.tag or Tag[field.name.upper()]
            custom = inner if isinstance(inner, type) and hasattr(inner, "read_items") else None
            codec = AnyCodec() if custom else codec_for(inner, version)
            out.append(Field(field.name, tag, codec, many, required, custom, written))
    return out


def _take_apart(annotation: Any) -> tuple[list[Row], Any, bool]:
    """An annotation -> (its rows, the type of one value, whether it repeats)."""
    rows: list[Row] = []
    many = False
    while True:
        origin = typing.get_origin(annotation)
        if origin is typing.Annotated:
            found = [m for m in annotation.__metadata__ if isinstance(m, Row)]
            if len(found) < len(annotation.__metadata__):
                return rows + found, annotation, many
            rows += found
            annotation = annotation.__origin__
        elif origin in (typing.Union, types.UnionType):
            (annotation,) = [a for a in typing.get_args(annotation) if a is not types.NoneType]
        elif origin is list:
            many = True
            (annotation,) = typing.get_args(annotation)
        else:
            return rows, annotation, many


def codec_for(annotation: Any, version: Version) -> Codec:
    """The codec of one value's annotation."""
    if typing.get_origin(annotation) is typing.Annotated:
        for mark in annotation.__metadata__:
            if isinstance(mark, Kind):
                return PlainCodec(mark.code)
            if isinstance(mark, IdentifierKind):
                return IdentifierCodec(version, mark.code_3_0)
            if isinstance(mark, DataKind):
                return DataCodec(version)
            if isinstance(mark, AnyKind):
                return AnyCodec()
    if isinstance(annotation, type):
        if issubclass(annotation, NamedFlag):
            return MaskCodec(annotation)
        if issubclass(annotation, Named):
            return EnumCodec(annotation)
        return StructureCodec(annotation, version)
    raise TypeError(f"{annotation!r} is no field type")
