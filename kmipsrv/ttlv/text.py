"""Items as indented lines for people. What the vocabulary calls secret is left out unless asked for."""

from __future__ import annotations

from typing import Any

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
    STRUCTURE,
    TYPE_NAMES,
    Item,
)
from kmipsrv.ttlv.names import Group, Names

_NUMBERS = frozenset((INTEGER, LONG_INTEGER, BIG_INTEGER, INTERVAL))


def pretty(item: Item, names: Names, *, show_secrets: bool = False) -> str:
    """One line per item, two spaces per structure around it. Everything inside a secret tag is secret."""
    lines: list[str] = []
    _write(item, "", names, lines, "", hide=False, show=show_secrets)
    return "\n".join(lines)


def _write(item: Item, selected: str, names: Names, lines: list[str], indent: str, *, hide: bool, show: bool) -> None:
    tag, kind, value = item
    name = names.tag_name(tag) or f"0x{tag:06X}"
    hide = not show and (hide or tag in names.secrets)
    if kind == STRUCTURE:
        lines.append(f"{indent}{name}")
        inner = next((text for child, _, text in value if child == names.selector and isinstance(text, str)), "")
        for child in value:
            _write(child, inner, names, lines, indent + "  ", hide=hide, show=show)
    else:
        shown = _hidden(kind, value) if hide else _shown(kind, value, names.group(tag, selected))
        lines.append(f"{indent}{name} ({TYPE_NAMES[kind]}): {shown}")


def _hidden(kind: int, value: Any) -> str:
    return f"<{len(value)} bytes hidden>" if kind == BYTE_STRING else "<hidden>"


def _shown(kind: int, value: Any, group: Group | None) -> str:
    if kind == BYTE_STRING:
        return str(value.hex()) or "(empty)"
    if kind == ENUMERATION:
        return f"{scalars.enumeration(value, group)}"
    if kind in (DATE_TIME, DATE_TIME_EXTENDED):
        return scalars.date(kind, value)
    if kind == INTEGER and group is not None and group.mask:
        return scalars.mask(value, group, " | ")
    if kind == BOOLEAN:
        return "true" if value else "false"
    return str(value) if kind in _NUMBERS else quoted(value)


def quoted(text: str) -> str:
    """A text in quotes, without the characters that would move a terminal's cursor."""
    return '"' + "".join(map(_character, text)) + '"'


def _character(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    return character if character.isprintable() else character.encode("unicode_escape").decode()
