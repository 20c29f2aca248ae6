"""Add Attribute (KMIP 2.1 §6.1.2)."""

from __future__ import annotations

from typing import Annotated

from kmipsrv.domain import attribute_changes
from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import operation
from kmipsrv.spec.attribute_codec import AttributeInstance
from kmipsrv.spec.enums import Operation
from kmipsrv.spec.schema import structure
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.types import Identifier, wire
from kmipsrv.spec.versions import V1_0, V1_4, V2_0


@structure
class AddAttributeRequest:
    unique_identifier: Identifier | None = None
    attribute: Annotated[AttributeInstance, wire(Tag.ATTRIBUTE, V1_0, V1_4), wire(Tag.NEW_ATTRIBUTE, V2_0)]


@structure
class AddAttributeResponse:
    unique_identifier: Identifier
    attribute: Annotated[AttributeInstance, wire(Tag.ATTRIBUTE, V1_0, V1_4)]


@operation(Operation.ADD_ATTRIBUTE)
def add_attribute(ctx: Context, request: AddAttributeRequest) -> AddAttributeResponse:
    obj = ctx.object(request.unique_identifier)
    new = request.attribute
    if new.index:
        # "New attribute contains Attribute Index": Invalid Field (1.4 §11.15); 0 is what PyKMIP always sends.
        raise KmipError(Cause.INVALID_FIELD, "a new attribute has no Attribute Index yet")
    value = required_value(new)
    index = attribute_changes.add(obj, new.key, value, ctx.settings, ctx.now)
    ctx.save(obj)
    shown = AttributeInstance(new.key, index, dict(obj.attributes.instances(new.key))[index])
    return AddAttributeResponse(unique_identifier=obj.unique_identifier, attribute=shown)


def required_value(instance: AttributeInstance) -> object:
    """The value of an attribute in a request. Raises KmipError(MISSING_DATA)."""
    if instance.value is None:
        raise KmipError(Cause.MISSING_DATA, "Attribute Value is missing")
    return instance.value
