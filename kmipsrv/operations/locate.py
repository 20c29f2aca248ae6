"""Locate (KMIP 2.1 §6.1.28)."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated

from kmipsrv.domain.managed_object import Flag
from kmipsrv.domain.matching import Rest, search
from kmipsrv.domain.search import AllOf, Compare, Expression
from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._context import Context
from kmipsrv.operations._object_groups import all_found, group_of, make_fresh, next_member
from kmipsrv.operations._registry import operation
from kmipsrv.spec.enums import ObjectGroupMember, Operation, StorageStatusMask, UniqueIdentifier
from kmipsrv.spec.schema import structure
from kmipsrv.spec.search_codec import SearchTerms
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.types import Identifier, Integer, since, wire
from kmipsrv.spec.versions import V1_0, V1_1, V1_3

# 2.0 and later text and the 1.4 cases: "most recently created object first". 1.0-1.3 fix no order, and TC-OFFSET of 1.3
# pages from the oldest on.
OLDEST_FIRST = frozenset((V1_3,))


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
    limit = min(ctx.settings.locate_items, ctx.settings.locate_items if maximum is None else maximum)
    member = request.object_group_member
    if member is ObjectGroupMember.GROUP_MEMBER_DEFAULT:
        total, page = next_member(ctx, group_of(request.attributes), where, rest)
    elif member is ObjectGroupMember.GROUP_MEMBER_FRESH:
        group = group_of(request.attributes)
        where = AllOf((where, Compare("flags", "mask", int(Flag.FRESH))))
        total, page = _found(ctx, where, rest, offset, limit, oldest_first=True)
        if not total and make_fresh(ctx, group):
            total, page = _found(ctx, where, rest, offset, limit, oldest_first=True)
    else:
        total, page = _found(ctx, where, rest, offset, limit, oldest_first=ctx.version in OLDEST_FIRST)
    # "If a single Unique Identifier is returned to the client, then the server SHALL copy [it] into the ID Placeholder";
    # "If [it] matches more than one object, and the Maximum Items value is omitted […] or […] larger than one, then the
    # server SHALL empty the ID Placeholder".
    if len(page) == 1 and (total == 1 or maximum == 1):
        ctx.remember(UniqueIdentifier.LOCATE, page[0])
    counted = request.offset_items is not None or ctx.version >= V1_3
    return LocateResponse(located_items=total if counted else None, unique_identifier=list(page))


def _found(
    ctx: Context, where: Expression, rest: list[Rest], offset: int, limit: int, *, oldest_first: bool
) -> tuple[int, list[str]]:
    """-> (number of hits, those within offset and limit)."""
    owner = ctx.identity.owner
    if rest:
        found = all_found(ctx, where, rest)
        found = found[::-1] if oldest_first else found
        return len(found), found[offset : offset + limit]
    if not oldest_first:
        return ctx.work.locate(owner, where, offset, limit)
    total, _ = ctx.work.locate(owner, where, 0, 0)
    count = max(0, min(limit, total - offset))
    _, page = ctx.work.locate(owner, where, max(0, total - offset - count), count)
    return total, page[::-1]
