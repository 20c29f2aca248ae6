"""The attributes of a Locate request: like any attributes, but a structure may be given in part (KMIP 2.1 §6.1.28).

"When an attribute that is defined as a structure is specified, all of the structure fields are not REQUIRED to be
specified." So a term keeps the items it came as; every one of them has been checked to be a field of the structure, of the
right type and, for an enumeration, a known value: a malformed term is an error, never a term that matches everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec.attribute_codec import key_of_name
from kmipsrv.spec.attributes import ATTRIBUTES, LINK_TAGS, Key
from kmipsrv.spec.schema import StructureCodec, codec_for, plan, tag_name
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V2_0, V3_0, Version
from kmipsrv.ttlv.codec import ENUMERATION, NAME_REFERENCE, REFERENCE, STRUCTURE, TEXT_STRING, Item


@dataclass(frozen=True, slots=True)
class Term:
    """One attribute to be matched: its key, and its value as an item's type and value."""

    key: Key
    kind: int
    value: Any


class SearchTerms(list[Term]):
    """The field Attribute* (1.x) or Attributes (2.x) of a Locate request."""

    @classmethod
    def tags(cls, row_tag: Tag, version: Version) -> Sequence[int]:
        return (Tag.ATTRIBUTES,) if version >= V2_0 else (Tag.ATTRIBUTE, Tag.TEMPLATE_ATTRIBUTE)

    @classmethod
    def read_items(cls, items: list[Item], version: Version) -> Self:
        terms = cls()
        for tag, kind, value in items:
            if kind != STRUCTURE:
                raise KmipError(Cause.INVALID_DATA_TYPE, f"{tag_name(tag)} is not a structure")
            if tag == Tag.ATTRIBUTES:
                if len(items) > 1:
                    raise KmipError(Cause.INVALID_MESSAGE, "Attributes is given more than once")
                terms.extend(_term_2x(item, version) for item in value)
            elif tag == Tag.TEMPLATE_ATTRIBUTE:  # FortiOS wraps its attributes so
                terms.extend(
                    _term_1x(fields, version) for inner, inner_kind, fields in value if _attribute(inner, inner_kind)
                )
            else:
                terms.append(_term_1x(value, version))
        return terms

    def write_items(self, tag: Tag, version: Version) -> list[Item]:
        raise TypeError("search terms are read only")


def _attribute(tag: int, kind: int) -> bool:
    if tag != Tag.ATTRIBUTE or kind != STRUCTURE:
        raise KmipError(Cause.INVALID_FIELD, f"{tag_name(tag)} has no place in a Template-Attribute")
    return True


def _term_1x(fields: list[Item], version: Version) -> Term:
    names = [value for tag, kind, value in fields if tag == Tag.ATTRIBUTE_NAME and kind == TEXT_STRING]
    values = [(kind, value) for tag, kind, value in fields if tag == Tag.ATTRIBUTE_VALUE]
    known = (Tag.ATTRIBUTE_NAME, Tag.ATTRIBUTE_INDEX, Tag.ATTRIBUTE_VALUE)
    if len(names) != 1 or len(values) != 1 or any(tag not in known for tag, _, _ in fields):
        raise KmipError(Cause.INVALID_MESSAGE, "an Attribute has one Attribute Name and one Attribute Value")
    return _checked(key_of_name(names[0], version), *values[0], version)


def _term_2x(item: Item, version: Version) -> Term:
    tag, kind, value = item
    if tag == Tag.ATTRIBUTE:
        if kind != STRUCTURE:
            raise KmipError(Cause.INVALID_DATA_TYPE, "Attribute is not a structure")
        found = {inner: (inner_kind, content) for inner, inner_kind, content in value}
        try:
            vendor, name = found[Tag.VENDOR_IDENTIFICATION], found[Tag.ATTRIBUTE_NAME]
            content = found[Tag.ATTRIBUTE_VALUE]
        except KeyError:
            raise KmipError(Cause.MISSING_DATA, "a vendor attribute has a vendor, a name and a value") from None
        if len(value) != 3 or vendor[0] != TEXT_STRING or name[0] != TEXT_STRING:
            raise KmipError(Cause.INVALID_MESSAGE, "a vendor attribute has a vendor, a name and a value")
        return Term((vendor[1], name[1]), *content)
    link = LINK_TAGS.get(tag) if version >= V3_0 else None  # type: ignore[call-overload]
    if link is not None:
        if kind not in (REFERENCE, NAME_REFERENCE, TEXT_STRING):
            raise KmipError(Cause.INVALID_DATA_TYPE, f"{tag_name(tag)} is not a Reference")
        fields = [(Tag.LINK_TYPE, ENUMERATION, int(link)), (Tag.LINKED_OBJECT_IDENTIFIER, TEXT_STRING, value)]
        return Term(Tag.LINK, STRUCTURE, fields)
    row = ATTRIBUTES.get(tag)  # type: ignore[call-overload]
    if row is None or not row.exists_in(version):
        raise KmipError(Cause.INVALID_ATTRIBUTE, f"{tag_name(tag)} is no attribute of KMIP {version}")
    return _checked(row.tag, kind, value, version)


def _checked(key: Key, kind: int, value: Any, version: Version) -> Term:
    if isinstance(key, Tag):
        if key is Tag.NAME and version >= V3_0 and kind == TEXT_STRING:
            return Term(key, STRUCTURE, [(Tag.NAME_VALUE, TEXT_STRING, value)])
        codec = codec_for(ATTRIBUTES[key].kind, version)
        if isinstance(codec, StructureCodec):
            _check_part(codec.cls, kind, value, key, version)
        else:
            value = codec.read(kind, value, key)
    return Term(key, kind, value)


def _check_part(cls: type[Any], kind: int, items: Any, tag: int, version: Version) -> None:
    """Whether the items are some of the structure's fields. Raises KmipError."""
    if kind != STRUCTURE:
        raise KmipError(Cause.INVALID_DATA_TYPE, f"{tag_name(tag)} is not a structure")
    readers = plan(cls, version).readers
    for inner, inner_kind, value in items:
        field = readers.get(inner)
        if field is None:
            raise KmipError(Cause.INVALID_FIELD, f"{tag_name(inner)} has no place in {tag_name(tag)}")
        if isinstance(field.codec, StructureCodec):
            _check_part(field.codec.cls, inner_kind, value, inner, version)
        else:
            field.codec.read(inner_kind, value, inner)
