"""The XML encoding (KMIP Additional Message Encodings 1.0 §6): items to and from one element each.

Parsed by expat, event by event, with the bounds of the binary encoding; a document type declaration, and with it every
entity but XML's own five, is refused.
"""

from __future__ import annotations

import re
from typing import Any, Final
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from kmipsrv.errors import TTLVError
from kmipsrv.ttlv import scalars
from kmipsrv.ttlv.codec import (
    BIG_INTEGER,
    BOOLEAN,
    BYTE_STRING,
    DATE_TIME,
    DATE_TIME_EXTENDED,
    ENUMERATION,
    INTEGER,
    MAX_DEPTH,
    MAX_ITEMS,
    STRUCTURE,
    TYPE_NAMES,
    Item,
    big_integer,
)
from kmipsrv.ttlv.names import Group, Names

NAMESPACE: Final = "urn:oasis:tc:kmip:xmlns"
GENERAL: Final = "TTLV"  # the element that has its tag as an attribute
_ATTRIBUTES: Final = frozenset(("tag", "name", "type", "value"))
_SPACE = re.compile(r"[ \t\r\n]*")
_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # XML 1.0 §2.2


class _Element:
    __slots__ = ("children", "kind", "tag", "text")

    def __init__(self, tag: int, kind: int, text: str | None) -> None:
        self.tag, self.kind, self.text = tag, kind, text
        self.children: list[_Element] = []


class _Reader:
    """Builds the elements while expat calls."""

    def __init__(self, names: Names, max_depth: int, max_items: int) -> None:
        self.names, self.depth, self.left = names, max_depth, max_items
        self.open: list[_Element] = []
        self.root: _Element | None = None

    def start(self, name: str, attributes: dict[str, str]) -> None:
        namespace, _, local = name.rpartition("}")
        if namespace not in ("", NAMESPACE):
            raise TTLVError(f"the namespace {namespace[:64]!r} is not KMIP's")
        unknown = attributes.keys() - _ATTRIBUTES
        if unknown:
            raise TTLVError(f"{min(unknown)[:64]!r} is no attribute of an item")
        if (local == GENERAL) != ("tag" in attributes):
            raise TTLVError(f"the element {GENERAL} alone has an attribute `tag`")
        kind = scalars.read_type(attributes.get("type", TYPE_NAMES[STRUCTURE]))
        element = _Element(scalars.read_tag(attributes.get("tag", local), self.names), kind, attributes.get("value"))
        self.left -= 1
        if self.left < 0:
            raise TTLVError("too many items")
        if len(self.open) > self.depth:
            raise TTLVError("structures nested too deeply")
        if self.open:
            if self.open[-1].kind != STRUCTURE:
                raise TTLVError("an item within an item that is not a structure")
            self.open[-1].children.append(element)
        else:
            self.root = element
        self.open.append(element)

    def end(self, name: str) -> None:
        self.open.pop()

    def text(self, data: str) -> None:
        if not _SPACE.fullmatch(data):
            raise TTLVError("text beside the elements")

    def refuse(self, *_: Any) -> None:
        raise TTLVError("document type declarations are refused")


def decode(data: bytes, names: Names, *, max_depth: int = MAX_DEPTH, max_items: int = MAX_ITEMS) -> Item:
    """The item that an XML document is. Raises TTLVError."""
    reader = _Reader(names, max_depth, max_items)
    parser = expat.ParserCreate(namespace_separator="}")
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = reader.refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise TTLVError(f"not XML: {expat.ErrorString(error.code)} in line {error.lineno}") from None
    except (LookupError, ValueError):  # an encoding that Python does not know, or not for this
        raise TTLVError("not XML: its encoding is not known") from None
    assert reader.root is not None  # expat has found no error, so there is a root
    return _item(reader.root, "", names)


def _item(element: _Element, selected: str, names: Names) -> Item:
    if element.kind == STRUCTURE:
        if element.text is not None:
            raise TTLVError("a structure with a value")
        inner = next((child.text or "" for child in element.children if child.tag == names.selector), selected)
        return element.tag, STRUCTURE, [_item(child, inner, names) for child in element.children]
    if element.text is None:
        raise TTLVError("an item without a value")
    return element.tag, element.kind, scalars.read(element.kind, element.text, names.group(element.tag, selected))


def encode(item: Item, names: Names) -> bytes:
    """The document of an item. Raises TTLVError for text that XML has no characters for."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>']
    _write(item, "", names, lines, "")
    return ("\n".join(lines) + "\n").encode()


def _write(item: Item, selected: str, names: Names, lines: list[str], indent: str) -> None:
    tag, kind, value = item
    name = names.tag_name(tag)
    head = f'{GENERAL} tag="0x{tag:06X}"' if name is None else name
    if kind != STRUCTURE:
        text = _text(kind, value, names.group(tag, selected))
        lines.append(f'{indent}<{head} type="{TYPE_NAMES[kind]}" value={_quoted(text)}/>')
    elif not value:
        lines.append(f"{indent}<{head}/>")
    else:
        inner = next((text for child, _, text in value if child == names.selector and isinstance(text, str)), "")
        lines.append(f"{indent}<{head}>")
        for child in value:
            _write(child, inner, names, lines, indent + "  ")
        lines.append(f"{indent}</{name or GENERAL}>")


def _quoted(text: str) -> str:
    if _NO_XML.search(text):
        raise TTLVError("a Text String with characters that XML does not have")
    return quoteattr(text)


def _text(kind: int, value: Any, group: Group | None) -> str:
    if kind == BYTE_STRING:
        return str(value.hex())
    if kind == BIG_INTEGER:
        return big_integer(value).hex()
    if kind == BOOLEAN:
        return "true" if value else "false"
    if kind == ENUMERATION:
        return scalars.enumeration(value, group)
    if kind in (DATE_TIME, DATE_TIME_EXTENDED):
        return scalars.date(kind, value)
    if kind == INTEGER and group is not None and group.mask:
        return scalars.mask(value, group, " ")
    return str(value)
