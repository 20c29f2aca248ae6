"""Get Attributes (KMIP 2.1 §6.1.20)."""

from __future__ import annotations

from typing import Annotated

from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import operation
from kmipsrv.spec.attribute_codec import AttributeReferences, SpreadAttributes
from kmipsrv.spec.enums import Operation
from kmipsrv.spec.schema import structure
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.types import Identifier, wire


@structure
class GetAttributesRequest:
    unique_identifier: Identifier | None = None
    attribute_reference: Annotated[AttributeReferences | None, wire(Tag.ATTRIBUTE_REFERENCE)] = None


@structure
class GetAttributesResponse:
    unique_identifier: Identifier
    attributes: Annotated[SpreadAttributes, wire(Tag.ATTRIBUTES)]


@operation(Operation.GET_ATTRIBUTES)
def get_attributes(ctx: Context, request: GetAttributesRequest) -> GetAttributesResponse:
    obj = ctx.object(request.unique_identifier, archived=True)
    found = obj.all_attributes(ctx.now)
    wanted = request.attribute_reference
    answer = SpreadAttributes()
    if wanted is None:
        answer.update(found)
    else:
        names = [*wanted.keys, *wanted.unknown, *wanted.links]
        if len(set(names)) < len(names):
            # "The same Attribute Name SHALL NOT be present more than once in a request": Invalid Message (1.4 §11.13).
            raise KmipError(Cause.INVALID_MESSAGE, "an attribute is named more than once")
        # "If a specified attribute does not exist […], then it SHALL NOT be present in the returned response": also one that
        # the server does not know, as vCenter asks for.
        for key in wanted.keys:
            for index, value in found.instances(key):
                if key is not Tag.LINK or not wanted.links or value.link_type in wanted.links:
                    answer.add(key, value, index)
    return GetAttributesResponse(unique_identifier=obj.unique_identifier, attributes=answer)
