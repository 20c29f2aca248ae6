"""Locate (KMIP 2.1 §6.1.28)."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated

from kmipsrv.domain.managed_object import Flag, ManagedObject
from kmipsrv.domain.matching import search
from kmipsrv.domain.search import AllOf, Compare
from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import operation
from kmipsrv.spec.enums import ObjectGroupMember, Operation, StorageStatusMask, UniqueIdentifier
from kmipsrv.spec.schema import structure
from kmipsrv.spec.search_codec import SearchTerms
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.types import Identifier, Integer, since, wire
from kmipsrv.spec.versions import V1_0, V1_1, V1_3


@structure
class LocateRequest:
    maximum_items: Integer | None = None
    # libkmip (every Percona product) sends this field of 1.3 in 1.0 messages.
    offset_items: Annotated[Integer | None, since(V1_3, early=True)] = None
    storage_status_mask: StorageStatusMask | None = None
    object_group_member: Annotated[ObjectGroupMember | None, since(V1_1)] = None
    attributes: Annotated[SearchTerms, wire(Tag.ATTRIBUTES)] = field(default_factory=SearchTerms)


@structure
class LocateResponse:
    # Given to whoever sent Offset Items, at any version: libkmip pages by it.
    located_items: Annotated[Integer | None, wire(Tag.LOCATED_ITEMS, V1_0)] = None
    unique_identifier: list[Identifier] = field(default_factory=list)


@operation(Operation.LOCATE)
def locate(ctx: Context, request: LocateRequest) -> LocateResponse:
    maximum, offset = request.maximum_items, request.offset_items or 0
    if offset < 0 or (maximum is not None and maximum < 0):
        raise KmipError(Cause.INVALID_FIELD, "a negative number of items")
    ctx.placeholder = None
    where, rest = search(request.attributes, request.storage_status_mask, ctx.now)
    if request.object_group_member is not None:
        where = AllOf((where, _member(request)))
    limit = min(ctx.settings.locate_items, ctx.settings.locate_items if maximum is None else maximum)
    if rest:
        found = [
            stored.unique_identifier
            for stored in ctx.work.scan(ctx.identity.owner, where)
            if all(holds(obj) for obj in (ManagedObject(stored),) for holds in rest)
        ]
        total, page = len(found), found[offset : offset + limit]
    else:
        total, page = ctx.work.locate(ctx.identity.owner, where, offset, limit)
    # "If a single Unique Identifier is returned to the client, then the server SHALL copy [it] into the ID Placeholder";
    # "If [it] matches more than one object, and the Maximum Items value is omitted […] or […] larger than one, then the
    # server SHALL empty the ID Placeholder".
    if len(page) == 1 and (total == 1 or maximum == 1):
        ctx.remember(UniqueIdentifier.LOCATE, page[0])
    counted = request.offset_items is not None or ctx.version >= V1_3
    return LocateResponse(located_items=total if counted else None, unique_identifier=list(page))


def _member(request: LocateRequest) -> Compare:
    """Object Group Member goes with an Object Group: its fresh objects (2.1 §11.33)."""
    if all(term.key is not Tag.OBJECT_GROUP for term in request.attributes):
        raise KmipError(Cause.INVALID_FIELD, "Object Group Member without an Object Group")
    if request.object_group_member is ObjectGroupMember.GROUP_MEMBER_FRESH:
        return Compare("flags", "mask", int(Flag.FRESH))
    raise KmipError(Cause.FEATURE_NOT_SUPPORTED, "no default member of an Object Group is defined")
