"""The wire forms of attributes. This module alone knows that 1.x speaks Template-Attribute, Attribute Name and Attribute
Index (1.4 §2.1.1, §2.1.8), 2.x Attributes, Attribute Reference, Current and New Attribute (2.1 §5, §6), and that 3.0
writes Name as a Text String and every Link Type as an attribute of its own.

Custom attributes: what 1.x calls `x-NAME` (the client's) and `y-NAME` (the server's) is NAME of the vendor `x` or `y` in 2.x
(2.1 §4.60). An attribute of another vendor has no name in 1.x and is not shown there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Self

from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec import enums as e
from kmipsrv.spec.attribute_bag import AttributeBag
from kmipsrv.spec.attributes import ATTRIBUTES, BY_NAME, LINK_TAGS, LINK_TYPES, Attribute, Key, attribute
from kmipsrv.spec.schema import Codec, codec_for, plan, tag_name
from kmipsrv.spec.structures import Link, Name
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.types import Reference
from kmipsrv.spec.versions import NEWEST, V2_0, V3_0, Named, Version
from kmipsrv.ttlv.codec import (
    DATE_TIME_EXTENDED,
    ENUMERATION,
    IDENTIFIER,
    INTEGER,
    NAME_REFERENCE,
    REFERENCE,
    STRUCTURE,
    TEXT_STRING,
    Item,
    decode_all,
    encode,
)

_CUSTOM = {"x-": "x", "y-": "y"}
RELEASE_POLICY: Final = ("kmipsrv", "Release Policy")
"""The vendor attribute by which an object is put under a release policy: its id, or when it is given also its text."""
_NAMED: Final[dict[str, Key]] = {"x-kmipsrv-Release-Policy": RELEASE_POLICY}  # vendor attributes that 1.x can name
_NAMES: Final = {key: name for name, key in _NAMED.items()}
_codecs: dict[tuple[Tag, Version], Codec] = {}


def _codec(row: Attribute, version: Version) -> Codec:
    found = _codecs.get((row.tag, version))
    if found is None:
        found = _codecs[row.tag, version] = codec_for(row.kind, version)
    return found


# ---------------------------------------------------------------------------------------------------- names of keys


def key_of_name(name: str, version: Version) -> Key:
    """A 1.x Attribute Name -> key. Raises KmipError(INVALID_ATTRIBUTE) for what the version does not have."""
    row = BY_NAME.get(name)
    if row is not None and row.exists_in(version):
        return row.tag
    if name in _NAMED:
        return _NAMED[name]
    vendor = _CUSTOM.get(name[:2])
    if vendor is None:
        raise KmipError(Cause.INVALID_ATTRIBUTE, f"{name!r} is no attribute of KMIP {version}")
    return vendor, name[2:]


def name_of_key(key: Key, version: Version) -> str | None:
    """key -> 1.x Attribute Name, None when 1.x has none for it."""
    if isinstance(key, Tag):
        row = ATTRIBUTES[key]
        return row.name if row.exists_in(version) else None
    vendor, name = key
    return f"{vendor}-{name}" if vendor in ("x", "y") else _NAMES.get(key)


# --------------------------------------------------------------------------------------------------- single values


def _read_value(row: Attribute, kind: int, value: Any, version: Version) -> Any:
    if row.tag is Tag.NAME and version >= V3_0 and kind == TEXT_STRING:
        return Name(name_value=value, name_type=e.NameType.UNINTERPRETED_TEXT_STRING)
    return _codec(row, version).read(kind, value, row.tag)


def _read_1x(items: list[Item], version: Version) -> tuple[Key, int | None, Any]:
    """The fields of an Attribute structure -> (key, index, value or None)."""
    name: str | None = None
    index: int | None = None
    content: tuple[int, Any] | None = None
    for tag, kind, value in items:
        if tag == Tag.ATTRIBUTE_NAME and kind == TEXT_STRING and name is None:
            name = value
        elif tag == Tag.ATTRIBUTE_INDEX and kind == INTEGER and index is None:
            index = value
        elif tag == Tag.ATTRIBUTE_VALUE and content is None:
            content = kind, value
        else:
            raise KmipError(Cause.INVALID_FIELD, f"{tag_name(tag)} has no place in an Attribute")
    if name is None:
        raise KmipError(Cause.MISSING_DATA, "Attribute Name is missing in an Attribute")
    if index is not None and index < 0:
        raise KmipError(Cause.INDEX_OUT_OF_BOUNDS, "a negative Attribute Index")
    key = key_of_name(name, version)
    if content is None:
        return key, index, None
    return key, index, _read_value(ATTRIBUTES[key], *content, version) if isinstance(key, Tag) else content


def _write_1x(key: Key, index: int, value: Any, version: Version) -> Item | None:
    """-> an Attribute item, None when the version has no such attribute. Index 0 is left out, as its default."""
    name = name_of_key(key, version)
    if name is None:
        return None
    items: list[Item] = [(Tag.ATTRIBUTE_NAME, TEXT_STRING, name)]
    if index:
        items.append((Tag.ATTRIBUTE_INDEX, INTEGER, index))
    if value is not None:
        content = _codec(ATTRIBUTES[key], version).write(value) if isinstance(key, Tag) else value
        items.append((Tag.ATTRIBUTE_VALUE, *content))
    return Tag.ATTRIBUTE, STRUCTURE, items


def _read_2x(item: Item, version: Version) -> tuple[Key, Any]:
    """One child of an Attributes structure -> (key, value)."""
    tag, kind, value = item
    if tag == Tag.ATTRIBUTE:
        return _read_vendor(kind, value)
    if version >= V3_0 and (link := LINK_TAGS.get(tag)):  # type: ignore[call-overload]
        if kind not in (REFERENCE, NAME_REFERENCE, TEXT_STRING):
            raise KmipError(Cause.INVALID_DATA_TYPE, f"{tag_name(tag)} is not a Reference")
        return Tag.LINK, Link(link_type=link, linked_object_identifier=value)
    row = ATTRIBUTES.get(tag)  # type: ignore[call-overload]
    if row is None or not row.exists_in(version):
        raise KmipError(Cause.INVALID_ATTRIBUTE, f"{tag_name(tag)} is no attribute of KMIP {version}")
    return row.tag, _read_value(row, kind, value, version)


def _read_vendor(kind: int, items: Any) -> tuple[Key, Any]:
    """Vendor Attribute (2.1 §4.60)."""
    if kind != STRUCTURE:
        raise KmipError(Cause.INVALID_DATA_TYPE, "Attribute is not a structure")
    fields: dict[int, tuple[int, Any]] = {}
    for tag, inner, value in items:
        if tag in fields or tag not in (Tag.VENDOR_IDENTIFICATION, Tag.ATTRIBUTE_NAME, Tag.ATTRIBUTE_VALUE):
            raise KmipError(Cause.INVALID_FIELD, f"{tag_name(tag)} has no place in an Attribute")
        fields[tag] = inner, value
    for tag in (Tag.VENDOR_IDENTIFICATION, Tag.ATTRIBUTE_NAME):
        if tag not in fields:
            raise KmipError(Cause.MISSING_DATA, f"{tag.text} is missing in an Attribute")
        if fields[tag][0] != TEXT_STRING:
            raise KmipError(Cause.INVALID_DATA_TYPE, f"{tag.text} is not a Text String")
    vendor, name = fields[Tag.VENDOR_IDENTIFICATION][1], fields[Tag.ATTRIBUTE_NAME][1]
    return _NAMED.get(f"{vendor}-{name}", (vendor, name)), fields.get(Tag.ATTRIBUTE_VALUE)


def _write_2x(key: Key, value: Any, version: Version) -> Item | None:
    if not isinstance(key, Tag):
        vendor, name = key
        items = [(Tag.VENDOR_IDENTIFICATION, TEXT_STRING, vendor), (Tag.ATTRIBUTE_NAME, TEXT_STRING, name)]
        return Tag.ATTRIBUTE, STRUCTURE, [*items, (Tag.ATTRIBUTE_VALUE, *value)] if value is not None else items
    if version >= V3_0:
        if key is Tag.NAME:
            return key, TEXT_STRING, value.name_value
        if key is Tag.LINK:
            tag = LINK_TYPES.get(value.link_type)
            return None if tag is None else (tag, *codec_for(Reference, version).write(value.linked_object_identifier))
    row = ATTRIBUTES[key]
    if not row.exists_in(version):
        return None
    return key, *_codec(row, version).write(value)


# -------------------------------------------------------------------------------------------- whole bags, as fields


def _required(value: Any, key: Key) -> Any:
    if value is None:
        raise KmipError(Cause.MISSING_DATA, f"{key.text if isinstance(key, Tag) else key} has no Attribute Value")
    return value


class Attributes(AttributeBag):
    """The field Template-Attribute (1.x) or Attributes (2.x) of a payload. `templates`: names of 1.x Templates."""

    __slots__ = ("templates",)

    def __init__(self) -> None:
        super().__init__()
        self.templates: list[Name] = []

    @classmethod
    def tags(cls, row_tag: Tag, version: Version) -> Sequence[int]:
        return (row_tag,)

    @classmethod
    def read_items(cls, items: list[Item], version: Version) -> Self:
        if len(items) > 1:
            raise KmipError(Cause.INVALID_FIELD, f"{tag_name(items[0][0])} is given more than once")
        tag, kind, value = items[0]
        if kind != STRUCTURE:
            raise KmipError(Cause.INVALID_DATA_TYPE, f"{tag_name(tag)} is not a structure")
        return cls.from_items(value, version)

    @classmethod
    def from_items(cls, items: list[Item], version: Version) -> Self:
        """The content of the structure -> a bag."""
        bag = cls()
        if version >= V2_0:
            for item in items:
                key, value = _read_2x(item, version)
                bag.add(key, _required(value, key))
            return bag
        for tag, kind, value in items:
            if tag == Tag.NAME:  # "Name is the Name attribute of the Template object" (1.4 §2.1.8)
                bag.templates.append(codec_for(Name, version).read(kind, value, tag))
            elif tag == Tag.ATTRIBUTE and kind == STRUCTURE:
                key, index, value = _read_1x(value, version)
                if any(index == known for known, _ in bag.instances(key)):
                    raise KmipError(Cause.INVALID_FIELD, "two instances of an attribute with one Attribute Index")
                bag.add(key, _required(value, key), index)
            else:
                raise KmipError(Cause.INVALID_FIELD, f"{tag_name(tag)} has no place in a Template-Attribute")
        return bag

    def write_items(self, tag: Tag, version: Version) -> list[Item]:
        return [(tag, STRUCTURE, attribute_items(self, version))]


def attribute_items(bag: AttributeBag, version: Version) -> list[Item]:
    """The attributes as `version` writes them, one after the other: 1.x Attribute structures, or 2.x values. What the version
    has no words for is left out."""
    said = [(k, i, _in_older_words(v, version)) for k, i, v in bag.items() if expressible(v, version)]
    if version >= V2_0:
        found = [_write_2x(key, value, version) for key, _, value in said]
    else:
        found = [_write_1x(key, index, value, version) for key, index, value in said]
    return [item for item in found if item is not None]


def expressible(value: Any, version: Version) -> bool:
    """Whether the version has every enumeration value and item type that is in an attribute's value or a structure."""
    if isinstance(value, Named):
        return value.exists_in(version) or value in _OLDER_WORDS
    if isinstance(value, list):
        return all(expressible(each, version) for each in value)
    if isinstance(value, tuple):  # an item's type and value
        kind, content = value
        if _TYPES_SINCE.get(kind, version) > version:
            return False
        return kind != STRUCTURE or all(expressible(item[1:], version) for item in content)
    if not hasattr(value, "__dataclass_fields__"):
        return True
    written = plan(type(value), version).writers
    return all(expressible(getattr(value, each.name), version) for each in written)


def _in_older_words(value: Any, version: Version) -> Any:
    return _OLDER_WORDS.get(value, value) if isinstance(value, Named) and not value.exists_in(version) else value


# EC is an algorithm since 1.2; before, its keys went by the name of their use.
_OLDER_WORDS: Final[dict[Named, Named]] = {e.CryptographicAlgorithm.EC: e.CryptographicAlgorithm.ECDSA}
_TYPES_SINCE: Final = {DATE_TIME_EXTENDED: V2_0, IDENTIFIER: V3_0, REFERENCE: V3_0, NAME_REFERENCE: V3_0}


class SpreadAttributes(Attributes):
    """A payload field that is repeated Attribute items in 1.x (with a Template-Attribute around them from some clients) and one
    Attributes structure in 2.x."""

    __slots__ = ()

    @classmethod
    def tags(cls, row_tag: Tag, version: Version) -> Sequence[int]:
        return (Tag.ATTRIBUTES,) if version >= V2_0 else (Tag.ATTRIBUTE, Tag.TEMPLATE_ATTRIBUTE)

    @classmethod
    def read_items(cls, items: list[Item], version: Version) -> Self:
        if version >= V2_0:
            return super().read_items(items, version)
        spread: list[Item] = []
        for item in items:
            # Locate of FortiOS puts its attributes into a Template-Attribute.
            spread += item[2] if item[0] == Tag.TEMPLATE_ATTRIBUTE and item[1] == STRUCTURE else [item]
        return cls.from_items(spread, version)

    def write_items(self, tag: Tag, version: Version) -> list[Item]:
        items = attribute_items(self, version)
        return [(Tag.ATTRIBUTES, STRUCTURE, items)] if version >= V2_0 else items


@dataclass(slots=True)
class AttributeInstance:
    """One attribute in an Add, Modify, Set, Adjust or Delete Attribute: 1.x Attribute; 2.x the content of Current or New
    Attribute. `index` is None in 2.x, which names an instance by its value."""

    key: Key
    index: int | None
    value: Any

    @classmethod
    def tags(cls, row_tag: Tag, version: Version) -> Sequence[int]:
        return (row_tag,)

    @classmethod
    def read_items(cls, items: list[Item], version: Version) -> Self:
        tag, kind, value = items[0]
        if len(items) > 1:
            raise KmipError(Cause.INVALID_FIELD, f"{tag_name(tag)} is given more than once")
        if kind != STRUCTURE:
            raise KmipError(Cause.INVALID_DATA_TYPE, f"{tag_name(tag)} is not a structure")
        if version < V2_0:
            key, index, content = _read_1x(value, version)
            return cls(key, index or 0, content)  # "if omitted, then it SHALL be assumed to be 0" (1.4 §2.1.1)
        if len(value) != 1:
            raise KmipError(Cause.INVALID_FIELD, f"{tag_name(tag)} holds {len(value)} attributes instead of one")
        key, content = _read_2x(value[0], version)
        return cls(key, None, content)

    def write_items(self, tag: Tag, version: Version) -> list[Item]:
        if version < V2_0:
            item = _write_1x(self.key, self.index or 0, self.value, version)
            return [] if item is None else [item]
        item = _write_2x(self.key, self.value, version)
        return [] if item is None else [(tag, STRUCTURE, [item])]


@dataclass(slots=True)
class AttributeReferences:
    """Names of attributes: 1.x Attribute Name, 2.x Attribute Reference (2.1 §5.3). What the version does not have is kept
    in `unknown`, because Get Attributes passes over it."""

    keys: list[Key]
    unknown: list[str]
    links: list[e.LinkType] = field(default_factory=list)  # 3.0 names each Link Type by itself; none: all of them
    index: int | None = None  # of the instance meant where no index is given: 0 in 1.x, all of them in 2.x

    @classmethod
    def tags(cls, row_tag: Tag, version: Version) -> Sequence[int]:
        return (Tag.ATTRIBUTE_REFERENCE,) if version >= V2_0 else (Tag.ATTRIBUTE_NAME,)

    @classmethod
    def read_items(cls, items: list[Item], version: Version) -> Self:
        references = cls([], [], index=0 if version < V2_0 else None)
        for tag, kind, value in items:
            if version < V2_0:
                if kind != TEXT_STRING:
                    raise KmipError(Cause.INVALID_DATA_TYPE, "Attribute Name is not a Text String")
                try:
                    references.keys.append(key_of_name(value, version))
                except KmipError:
                    references.unknown.append(value)
            elif kind == ENUMERATION:
                references._add_tag(value, version)
            elif kind == STRUCTURE:
                references.keys.append(_read_vendor(kind, value)[0])
            else:
                raise KmipError(Cause.INVALID_DATA_TYPE, f"{tag_name(tag)} is neither an Enumeration nor a structure")
        return references

    def _add_tag(self, code: int, version: Version) -> None:
        row = ATTRIBUTES.get(code)  # type: ignore[call-overload]
        if row is not None and row.exists_in(version):
            self.keys.append(row.tag)
        elif version >= V3_0 and code in LINK_TAGS:
            self.links.append(LINK_TAGS[Tag(code)])
            if len(self.links) == 1:
                self.keys.append(Tag.LINK)
        else:
            self.unknown.append(tag_name(code))

    def write_items(self, tag: Tag, version: Version) -> list[Item]:
        items: list[Item] = []
        for key in self.keys:
            if version < V2_0:
                name = name_of_key(key, version)
                if name is not None:
                    items.append((Tag.ATTRIBUTE_NAME, TEXT_STRING, name))
            elif not isinstance(key, Tag):
                vendor, name = key
                fields = [(Tag.VENDOR_IDENTIFICATION, TEXT_STRING, vendor), (Tag.ATTRIBUTE_NAME, TEXT_STRING, name)]
                items.append((Tag.ATTRIBUTE_REFERENCE, STRUCTURE, fields))
            elif key is Tag.LINK and version >= V3_0:
                tags = dict.fromkeys(LINK_TYPES[link] for link in self.links if link in LINK_TYPES)
                items += [(Tag.ATTRIBUTE_REFERENCE, ENUMERATION, int(each)) for each in tags]
            elif ATTRIBUTES[key].exists_in(version):
                items.append((Tag.ATTRIBUTE_REFERENCE, ENUMERATION, int(key)))
        return items


# ------------------------------------------------------------------------------------------ the form in the database


def dump(bag: AttributeBag) -> bytes:
    """The canonical encoding: what 2.1 would write, whatever a version knows of it; an Attribute Index stands before an
    instance whose index is not the next one."""
    encoded: list[bytes] = []
    for key in bag:
        expected = 0
        for index, value in bag.instances(key):
            if index != expected:
                encoded.append(encode((Tag.ATTRIBUTE_INDEX, INTEGER, index)))
            expected = index + 1
            encoded.append(_dump_number(key, value) if isinstance(value, int) else _dump_value(key, value))
    return b"".join(encoded)


def _dump_value(key: Key, value: Any) -> bytes:
    if isinstance(key, Tag):
        return encode((key, *_codec(ATTRIBUTES[key], _STORED).write(value)))
    item = _write_2x(key, value, _STORED)
    assert item is not None
    return encode(item)


# Codes, flags, lengths and, within a second, dates: most objects that are made have the same ones.
_dump_number = lru_cache(maxsize=1024)(_dump_value)


def load(data: bytes) -> AttributeBag:
    """What `dump` wrote."""
    bag = AttributeBag()
    index: int | None = None
    for tag, kind, value in decode_all(data):
        if tag == Tag.ATTRIBUTE_INDEX:
            index = value
            continue
        if tag == Tag.ATTRIBUTE:
            key, content = _read_vendor(kind, value)
            bag.add(key, content, index)
        else:
            row = attribute(Tag(tag))
            bag.add(row.tag, _codec(row, _STORED).read(kind, value, tag), index)
        index = None
    return bag


_STORED = (
    NEWEST  # every field of every structure; Name and Link stay structures because their codecs are asked directly
)
