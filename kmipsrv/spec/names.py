"""The standard's names for the readable encodings (KMIP Additional Message Encodings 1.0 §4.1.3): `NAMES`."""

from __future__ import annotations

import inspect
from collections.abc import Iterable

from kmipsrv.spec import enums
from kmipsrv.spec.attributes import BY_NAME
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import Named, NamedFlag
from kmipsrv.ttlv.names import Group, loose

# Tags whose enumeration has another name than they have.
_OTHERS: dict[Tag, type[Named]] = {
    Tag.MASK_GENERATOR_HASHING_ALGORITHM: enums.HashingAlgorithm,
    Tag.PASSWORD_SALT_ALGORITHM: enums.HashingAlgorithm,
    Tag.EXTENSION_TYPE: enums.ItemType,
    Tag.LINKED_OBJECT_IDENTIFIER: enums.UniqueIdentifier,
}
# Key material, what it is made of, what it protects, and what proves who somebody is.
_SECRETS = (
    *(Tag.KEY_VALUE, Tag.KEY_MATERIAL, Tag.OPAQUE_DATA_VALUE, Tag.DATA, Tag.DERIVATION_DATA),
    *(Tag.PASSWORD, Tag.ONE_TIME_PASSWORD, Tag.HASHED_PASSWORD, Tag.SERVER_HASHED_PASSWORD, Tag.TICKET_VALUE),
    *(Tag.PASSWORD_SALT, Tag.SALTED_PASSWORD, Tag.OTP_SEED, Tag.HASHED_USERNAME_PASSWORD),
    *(Tag.PKCS_11_INPUT_PARAMETERS, Tag.PKCS_11_OUTPUT_PARAMETERS),
)


def _group(members: Iterable[Named | NamedFlag | Tag], *, mask: bool = False) -> Group:
    members = list(members)
    codes = {loose(each.camel): int(each) for each in reversed(members)}
    codes |= {each.camel: int(each) for each in reversed(members)}
    return Group({int(each): each.camel for each in members}, codes, mask)


class StandardNames:
    """`ttlv.names.Names` out of the generated tables."""

    selector: int = int(Tag.ATTRIBUTE_NAME)
    secrets: frozenset[int] = frozenset(int(tag) for tag in _SECRETS)

    def __init__(self) -> None:
        self._tags = _group(Tag)
        by_name = {loose(tag.camel): int(tag) for tag in Tag}
        self._groups: dict[int, Group] = {int(Tag.ATTRIBUTE_REFERENCE): self._tags}
        for name, cls in inspect.getmembers(enums, inspect.isclass):
            if issubclass(cls, (Named, NamedFlag)) and loose(name) in by_name:
                self._groups[by_name[loose(name)]] = _group(cls, mask=issubclass(cls, NamedFlag))
        for tag, cls in _OTHERS.items():
            self._groups[int(tag)] = _group(cls)

    def tag(self, name: str) -> int | None:
        found = self._tags.codes.get(name)
        return self._tags.codes.get(loose(name)) if found is None else found

    def tag_name(self, tag: int) -> str | None:
        return self._tags.names.get(tag)

    def group(self, tag: int, selected: str) -> Group | None:
        """ "<AttributeValue type="Enumeration">": the Attribute Name beside it says which enumeration."""
        if tag == Tag.ATTRIBUTE_VALUE:
            row = BY_NAME.get(selected)
            return None if row is None else self._groups.get(row.tag)
        return self._groups.get(tag)


NAMES = StandardNames()
