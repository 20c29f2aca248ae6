"""The JSON encoding (KMIP Additional Message Encodings 1.0 §4): items to and from one object each."""

from __future__ import annotations

import json
from typing import Any, Final, NoReturn

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
    INTERVAL,
    LONG_INTEGER,
    MAX_DEPTH,
    MAX_ITEMS,
    STRUCTURE,
    TYPE_NAMES,
    Item,
    big_integer,
)
from kmipsrv.ttlv.names import Group, Names

_PROPERTIES: Final = frozenset(("tag", "name", "type", "value"))
_NUMBERS: Final = frozenset((INTEGER, LONG_INTEGER, BIG_INTEGER, ENUMERATION, INTERVAL))
_EXACT: Final = 1 << 52  # "any values >= 2^52 must be represented as hex strings" (§4.1.6.5)


def decode(data: bytes, names: Names, *, max_depth: int = MAX_DEPTH, max_items: int = MAX_ITEMS) -> Item:
    """The item that a JSON text is. Raises TTLVError."""
    try:
        text = data.decode("utf-8-sig")
        tree = json.loads(text, object_pairs_hook=_object, parse_float=_no_number, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise TTLVError(f"not JSON: {_place(error)}") from None
    return _Reader(names, max_items).item(tree, "", max_depth)


def _place(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} in line {error.lineno}"
    return "nested too deeply" if isinstance(error, RecursionError) else "not UTF-8, or a number too long"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise TTLVError("an object with a property twice")
    return found


def _no_number(text: str) -> NoReturn:
    raise TTLVError(f"{text[:64]} is no number that KMIP has")


class _Reader:
    def __init__(self, names: Names, max_items: int) -> None:
        self.names, self.left = names, max_items

    def item(self, tree: Any, selected: str, depth: int) -> Item:
        if not isinstance(tree, dict) or not isinstance(tree.get("tag"), str):
            raise TTLVError("an item is an object with a `tag`")
        unknown = tree.keys() - _PROPERTIES
        if unknown:
            raise TTLVError(f"{min(unknown)[:64]!r} is no property of an item")
        self.left -= 1
        if self.left < 0:
            raise TTLVError("too many items")
        if depth < 0:
            raise TTLVError("structures nested too deeply")
        tag = scalars.read_tag(tree["tag"], self.names)
        name = tree.get("type", TYPE_NAMES[STRUCTURE])
        kind = scalars.read_type(name if isinstance(name, str) else "")
        value = tree.get("value")
        if kind != STRUCTURE:
            return tag, kind, self.scalar(kind, value, self.names.group(tag, selected))
        value = [] if value is None else value  # "value is an Array containing sub-items, or may be null" (§4.1.6.2)
        if not isinstance(value, list):
            raise TTLVError("a structure's value is an array")
        inner = next((each["value"] for each in value if self.selects(each)), selected)
        return tag, STRUCTURE, [self.item(each, inner, depth - 1) for each in value]

    def selects(self, tree: Any) -> bool:
        """Whether this is the item that says what its siblings are about."""
        if not isinstance(tree, dict) or not isinstance(tree.get("tag"), str):
            return False
        return scalars.read_tag(tree["tag"], self.names) == self.names.selector and isinstance(tree.get("value"), str)

    def scalar(self, kind: int, value: Any, group: Group | None) -> Any:
        if isinstance(value, str):
            return scalars.read(kind, value, group)
        if isinstance(value, bool) and kind == BOOLEAN:
            return value
        if isinstance(value, int) and not isinstance(value, bool) and kind in _NUMBERS:
            return value if kind == BIG_INTEGER else scalars.integer(kind, value)
        raise TTLVError(f"{TYPE_NAMES[kind]} cannot have this value")


def encode(item: Item, names: Names) -> bytes:
    """The JSON text of an item."""
    return (json.dumps(_tree(item, "", names), ensure_ascii=False, separators=(",", ":")) + "\n").encode()


def _tree(item: Item, selected: str, names: Names) -> dict[str, Any]:
    tag, kind, value = item
    name = names.tag_name(tag) or f"0x{tag:06X}"
    if kind != STRUCTURE:
        return {"tag": name, "type": TYPE_NAMES[kind], "value": _value(kind, value, names.group(tag, selected))}
    inner = next((text for child, _, text in value if child == names.selector and isinstance(text, str)), "")
    return {"tag": name, "value": [_tree(child, inner, names) for child in value]}


def _value(kind: int, value: Any, group: Group | None) -> Any:
    if kind == BYTE_STRING:
        return value.hex()
    if kind == BIG_INTEGER:
        return "0x" + big_integer(value).hex()
    if kind == ENUMERATION:
        return scalars.enumeration(value, group)
    if kind in (DATE_TIME, DATE_TIME_EXTENDED):
        return scalars.date(kind, value)
    if kind == INTEGER and group is not None and group.mask:
        return scalars.mask(value, group, "|")
    if kind == LONG_INTEGER and abs(value) >= _EXACT:
        return f"0x{value & (1 << 64) - 1:016x}"
    return value
