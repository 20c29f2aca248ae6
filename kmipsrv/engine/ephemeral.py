"""Ephemeral (KMIP 2.1 §8.3): what of an item's answer does not go to the client; later items may still refer to it.

"Indicates that the Data output of the operation should not be returned to the client." A Boolean in 2.0 and 2.1; 3.0 has
an enumeration, whose members name what stays behind.
"""

from __future__ import annotations

from typing import Any, Final

from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec.enums import Ephemeral
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V3_0, Version
from kmipsrv.ttlv.codec import BOOLEAN, ENUMERATION, Item

_WITHHELD: Final[dict[Ephemeral, frozenset[int]]] = {
    Ephemeral.DATA: frozenset((Tag.DATA, Tag.MAC_DATA, Tag.SIGNATURE_DATA)),  # what Data may refer to: §11.13
    Ephemeral.UNIQUE_IDENTIFIER: frozenset(
        (Tag.UNIQUE_IDENTIFIER, Tag.PRIVATE_KEY_UNIQUE_IDENTIFIER, Tag.PUBLIC_KEY_UNIQUE_IDENTIFIER)
    ),
    Ephemeral.EMPTY: frozenset(Tag),
}


def ephemeral(field: tuple[int, Any] | None, version: Version) -> Ephemeral | None:
    """The Ephemeral field of a batch item, None for an answer that is returned whole. Raises KmipError."""
    if field is None:
        return None
    kind, value = field
    if version < V3_0 and kind == BOOLEAN:
        return Ephemeral.DATA if value else None
    if version < V3_0 or kind != ENUMERATION:
        raise KmipError(Cause.INVALID_DATA_TYPE, "Ephemeral has not the type that this version gives it")
    if value not in set(Ephemeral):
        raise KmipError(Cause.UNKNOWN_ENUMERATION, f"0x{value:08X} is no Ephemeral this server knows")
    return Ephemeral(value)


def withheld(payload: list[Item], what: Ephemeral | None) -> list[Item]:
    """The response payload without what stays behind."""
    return payload if what is None else [item for item in payload if item[0] not in _WITHHELD[what]]
