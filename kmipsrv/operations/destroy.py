"""Destroy (KMIP 2.1 §6.1.15)."""

from __future__ import annotations

from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import operation
from kmipsrv.spec.enums import ObjectType, Operation
from kmipsrv.spec.schema import structure
from kmipsrv.spec.types import Identifier


@structure
class DestroyRequest:
    unique_identifier: Identifier | None = None


@structure
class DestroyResponse:
    unique_identifier: Identifier


@operation(Operation.DESTROY)
def destroy(ctx: Context, request: DestroyRequest) -> DestroyResponse:
    obj = ctx.object(request.unique_identifier)
    if obj.object_type is ObjectType.TEMPLATE:
        ctx.work.purge(obj.stored)  # attributes are all a Template is
    else:
        obj.destroy(ctx.now)
        ctx.save(obj)
    return DestroyResponse(unique_identifier=obj.unique_identifier)
