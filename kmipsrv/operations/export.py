"""Export (KMIP 2.1 §6.1.18; since 1.4): an object in the manner of Get, together with all its attributes."""

from __future__ import annotations

from typing import Annotated

from kmipsrv.domain.lifecycle import DESTROYED
from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import operation
from kmipsrv.operations.get import GetRequest, exported, template
from kmipsrv.spec.attribute_codec import SpreadAttributes
from kmipsrv.spec.enums import ObjectType, Operation, UniqueIdentifier
from kmipsrv.spec.objects import AnyObject
from kmipsrv.spec.schema import structure
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.types import Identifier, wire
from kmipsrv.spec.versions import V1_4


@structure
class ExportResponse:
    object_type: ObjectType
    unique_identifier: Identifier
    attributes: Annotated[SpreadAttributes, wire(Tag.ATTRIBUTES)]
    managed_object: Annotated[AnyObject | None, wire(Tag.SYMMETRIC_KEY)] = None


@operation(Operation.EXPORT, since=V1_4)
def export(ctx: Context, request: GetRequest) -> ExportResponse:
    """ "If the Managed Object has been Destroyed then the key material […] SHALL not be returned in the response"."""
    obj = ctx.object(request.unique_identifier)
    value: AnyObject | None = None
    if obj.object_type is ObjectType.TEMPLATE:
        value = template(ctx, obj, request)
    elif obj.state(ctx.now) not in DESTROYED:
        value = ctx.released(obj, exported(ctx, obj, request))
    attributes = SpreadAttributes()
    attributes.update(obj.all_attributes(ctx.now))
    ctx.served(obj)
    ctx.remember(UniqueIdentifier.ID_PLACEHOLDER, obj.unique_identifier)
    return ExportResponse(
        object_type=obj.object_type if value is None else value.kind,
        unique_identifier=obj.unique_identifier,
        attributes=attributes,
        managed_object=value,
    )
