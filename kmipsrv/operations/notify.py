"""Notify (KMIP 2.1 §6.2.2, 1.4 §5.1): the server tells an endpoint which attributes of an object have changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Self

from kmipsrv.domain.notices import Notice
from kmipsrv.domain.settings import Settings
from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import to_client
from kmipsrv.spec.attribute_codec import AttributeInstance, AttributeReferences, SpreadAttributes
from kmipsrv.spec.attributes import Key
from kmipsrv.spec.enums import Operation
from kmipsrv.spec.schema import structure
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.types import Identifier, wire
from kmipsrv.spec.versions import V2_0, Version
from kmipsrv.ttlv.codec import Item


class Changes(SpreadAttributes):
    """New values, and in `deleted` (attribute, index) what is gone: in 1.x "the Attribute structure […] SHALL NOT contain the
    Attribute Value field", in 2.x an Attribute Reference where no instance is left."""

    __slots__ = ("deleted",)

    def __init__(self) -> None:
        super().__init__()
        self.deleted: list[tuple[Key, int]] = []

    @classmethod
    def tags(cls, row_tag: Tag, version: Version) -> Sequence[int]:
        return (Tag.ATTRIBUTES, Tag.ATTRIBUTE_REFERENCE) if version >= V2_0 else (Tag.ATTRIBUTE,)

    @classmethod
    def read_items(cls, items: list[Item], version: Version) -> Self:
        if version >= V2_0:
            given = [item for item in items if item[0] == Tag.ATTRIBUTES]
            changes = super().read_items(given, version) if given else cls()
            rest = [item for item in items if item[0] != Tag.ATTRIBUTES]
            changes.deleted = [(key, 0) for key in AttributeReferences.read_items(rest, version).keys]
            return changes
        changes = cls()
        for item in items:
            found = AttributeInstance.read_items([item], version)
            if found.value is None:
                changes.deleted.append((found.key, found.index or 0))
            else:
                changes.add(found.key, found.value, found.index)
        return changes

    def write_items(self, tag: Tag, version: Version) -> list[Item]:
        items = super().write_items(tag, version)
        if version >= V2_0:
            gone = dict.fromkeys(key for key, _ in self.deleted if key not in self)
            return [*items, *AttributeReferences([*gone], []).write_items(tag, version)]
        for key, index in self.deleted:
            items += AttributeInstance(key, index, None).write_items(Tag.ATTRIBUTE, version)
        return items


@structure
class NotifyRequest:
    unique_identifier: Identifier
    changes: Annotated[Changes, wire(Tag.ATTRIBUTE)]


def _on(settings: Settings) -> bool:
    return any(endpoint.notify for endpoint in settings.endpoints)


@to_client(Operation.NOTIFY, when=_on)
def notify(ctx: Context, notice: Notice) -> NotifyRequest:
    changes = Changes()
    if notice.changed is not None:
        changes.update(notice.changed)
    changes.deleted = list(notice.deleted)
    return NotifyRequest(unique_identifier=notice.unique_identifier, changes=changes)
