"""Set Attribute (KMIP 2.1 §6.1.51): add the attribute, or modify its only instance."""

from __future__ import annotations

from typing import Annotated

from kmipsrv.domain import attribute_changes
from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import operation
from kmipsrv.operations.add_attribute import required_value
from kmipsrv.spec.attribute_codec import AttributeInstance
from kmipsrv.spec.attributes import key_name
from kmipsrv.spec.enums import Operation
from kmipsrv.spec.schema import structure
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.types import Identifier, wire
from kmipsrv.spec.versions import V2_0


@structure
class SetAttributeRequest:
    unique_identifier: Identifier | None = None
    attribute: Annotated[AttributeInstance, wire(Tag.NEW_ATTRIBUTE, V2_0)]


@structure
class SetAttributeResponse:
    unique_identifier: Identifier


@operation(Operation.SET_ATTRIBUTE, since=V2_0)
def set_attribute(ctx: Context, request: SetAttributeRequest) -> SetAttributeResponse:
    obj = ctx.object(request.unique_identifier)
    key, value = request.attribute.key, required_value(request.attribute)
    found = obj.attributes.instances(key)
    if len(found) > 1:
        raise KmipError(Cause.MULTI_VALUED_ATTRIBUTE, f"{key_name(key)} has several instances")
    if found:
        attribute_changes.modify(obj, key, found[0][0], value, ctx.now)
    else:
        attribute_changes.add(obj, key, value, ctx.settings, ctx.now)
    ctx.save(obj)
    return SetAttributeResponse(unique_identifier=obj.unique_identifier)
