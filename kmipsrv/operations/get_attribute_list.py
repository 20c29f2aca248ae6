"""Get Attribute List (KMIP 2.1 §6.1.21)."""

from __future__ import annotations

from typing import Annotated

from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import operation
from kmipsrv.spec.attribute_codec import AttributeReferences
from kmipsrv.spec.enums import Operation
from kmipsrv.spec.schema import structure
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.types import Identifier, wire


@structure
class GetAttributeListRequest:
    unique_identifier: Identifier | None = None


@structure
class GetAttributeListResponse:
    unique_identifier: Identifier
    attribute_reference: Annotated[AttributeReferences, wire(Tag.ATTRIBUTE_REFERENCE)]


@operation(Operation.GET_ATTRIBUTE_LIST)
def get_attribute_list(ctx: Context, request: GetAttributeListRequest) -> GetAttributeListResponse:
    obj = ctx.object(request.unique_identifier, archived=True)
    found = obj.all_attributes(ctx.now)
    links = [link.link_type for link in found.values(Tag.LINK)]
    names = AttributeReferences(list(found), [], links)
    return GetAttributeListResponse(unique_identifier=obj.unique_identifier, attribute_reference=names)
