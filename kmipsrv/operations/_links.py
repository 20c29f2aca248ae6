"""Links between objects (KMIP 2.1 §4.31), as the operations that set them need them."""

from __future__ import annotations

from kmipsrv.spec.attribute_bag import AttributeBag
from kmipsrv.spec.enums import LinkType
from kmipsrv.spec.structures import Link
from kmipsrv.spec.tags import Tag


def link_to(kind: LinkType, unique_identifier: str) -> Link:
    return Link(link_type=kind, linked_object_identifier=unique_identifier)


def linked(attributes: AttributeBag, kind: LinkType) -> list[str]:
    """The unique identifiers that the Links of a kind point to."""
    return [
        link.linked_object_identifier
        for link in attributes.values(Tag.LINK)
        if link.link_type is kind and isinstance(link.linked_object_identifier, str)
    ]


def replace_link(attributes: AttributeBag, kind: LinkType, unique_identifier: str) -> None:
    """The only Link of a kind."""
    for index, link in attributes.instances(Tag.LINK):
        if link.link_type is kind:
            attributes.remove(Tag.LINK, index)
    attributes.add(Tag.LINK, link_to(kind, unique_identifier))
