"""Modify Attribute (KMIP 2.1 §6.1.34)."""

from __future__ import annotations

from typing import Annotated

from kmipsrv.domain import attribute_changes
from kmipsrv.domain.managed_object import ManagedObject
from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import operation
from kmipsrv.operations.add_attribute import required_value
from kmipsrv.spec.attribute_codec import AttributeInstance
from kmipsrv.spec.attributes import Key, key_name
from kmipsrv.spec.enums import Operation
from kmipsrv.spec.schema import structure
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.types import Identifier, since, wire
from kmipsrv.spec.versions import V1_0, V1_4, V2_0


@structure
class ModifyAttributeRequest:
    unique_identifier: Identifier | None = None
    current_attribute: Annotated[AttributeInstance | None, since(V2_0)] = None
    attribute: Annotated[AttributeInstance, wire(Tag.ATTRIBUTE, V1_0, V1_4), wire(Tag.NEW_ATTRIBUTE, V2_0)]


@structure
class ModifyAttributeResponse:
    unique_identifier: Identifier
    attribute: Annotated[AttributeInstance, wire(Tag.ATTRIBUTE, V1_0, V1_4)]


@operation(Operation.MODIFY_ATTRIBUTE)
def modify_attribute(ctx: Context, request: ModifyAttributeRequest) -> ModifyAttributeResponse:
    obj = ctx.object(request.unique_identifier)
    new, current = request.attribute, request.current_attribute
    if current is not None and current.key != new.key:
        raise KmipError(Cause.INVALID_FIELD, "Current Attribute and New Attribute are not the same attribute")
    value = required_value(new)
    attribute_changes.check_client_attribute_change(obj, new.key, "M")
    index = new.index if new.index is not None else instance_index(obj, new.key, current)
    attribute_changes.modify(obj, new.key, index, value, ctx.now)
    ctx.save(obj)
    shown = AttributeInstance(new.key, index, value)
    return ModifyAttributeResponse(unique_identifier=obj.unique_identifier, attribute=shown)


def instance_index(obj: ManagedObject, key: Key, current: AttributeInstance | None) -> int:
    """The instance that a 2.x Current Attribute means; without one, the only instance there is.

    Raises KmipError(ATTRIBUTE_NOT_FOUND | ATTRIBUTE_INSTANCE_NOT_FOUND | MULTI_VALUED_ATTRIBUTE)."""
    found = obj.attributes.instances(key)
    if not found:
        raise KmipError(Cause.ATTRIBUTE_NOT_FOUND, f"the object has no {key_name(key)}")
    if current is None:
        if len(found) > 1:
            raise KmipError(Cause.ATTRIBUTE_INSTANCE_NOT_FOUND, f"{key_name(key)} has several instances: name one")
        return found[0][0]
    for index, value in found:
        if value == current.value:
            return index
    raise KmipError(Cause.ATTRIBUTE_INSTANCE_NOT_FOUND, f"{key_name(key)} has no such instance")
