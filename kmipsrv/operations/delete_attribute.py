"""Delete Attribute (KMIP 2.1 §6.1.13)."""

from __future__ import annotations

from typing import Annotated

from kmipsrv.domain import attribute_changes
from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import operation
from kmipsrv.operations.modify_attribute import instance_index
from kmipsrv.spec.attribute_codec import AttributeInstance, AttributeReferences
from kmipsrv.spec.attributes import Key
from kmipsrv.spec.enums import Operation
from kmipsrv.spec.schema import structure
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.types import Identifier, Integer, since, until, wire
from kmipsrv.spec.versions import V1_0, V1_4, V2_0


@structure
class DeleteAttributeRequest:
    """1.x names the attribute and its index (0 if omitted); 2.x gives the instance's value or a reference to all."""

    unique_identifier: Identifier | None = None
    attribute_reference: Annotated[AttributeReferences | None, wire(Tag.ATTRIBUTE_REFERENCE, V1_0)] = None
    attribute_index: Annotated[Integer | None, until(V1_4)] = None
    current_attribute: Annotated[AttributeInstance | None, since(V2_0)] = None


@structure
class DeleteAttributeResponse:
    unique_identifier: Identifier
    attribute: Annotated[AttributeInstance | None, wire(Tag.ATTRIBUTE, V1_0, V1_4)] = None


@operation(Operation.DELETE_ATTRIBUTE)
def delete_attribute(ctx: Context, request: DeleteAttributeRequest) -> DeleteAttributeResponse:
    obj = ctx.object(request.unique_identifier)
    key, index = _named(request)
    current = request.current_attribute
    attribute_changes.check_client_attribute_change(obj, key, "D")
    if current is not None:
        index = instance_index(obj, key, current)
    value = next((each for number, each in obj.attributes.instances(key) if number == index), None)
    attribute_changes.delete(obj, key, index, ctx.now)
    ctx.save(obj)
    shown = AttributeInstance(key, index, value)
    return DeleteAttributeResponse(unique_identifier=obj.unique_identifier, attribute=shown)


def _named(request: DeleteAttributeRequest) -> tuple[Key, int | None]:
    """-> (attribute, index of its instance). Raises KmipError(MISSING_DATA | ATTRIBUTE_NOT_FOUND | INVALID_MESSAGE)."""
    if request.current_attribute is not None:
        return request.current_attribute.key, None
    reference = request.attribute_reference
    if reference is None:
        raise KmipError(Cause.MISSING_DATA, "the attribute to delete is not named")
    if reference.unknown:
        raise KmipError(Cause.ATTRIBUTE_NOT_FOUND, f"{reference.unknown[0]!r} is no attribute of this version")
    if len(reference.keys) != 1:
        raise KmipError(Cause.INVALID_MESSAGE, "exactly one attribute can be deleted at a time")
    return reference.keys[0], reference.index if request.attribute_index is None else request.attribute_index
