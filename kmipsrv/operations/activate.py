"""Activate (KMIP 2.1 §6.1.1)."""

from __future__ import annotations

from kmipsrv.domain.managed_object import ManagedObject
from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import operation
from kmipsrv.spec.enums import ObjectType, Operation
from kmipsrv.spec.schema import structure
from kmipsrv.spec.types import Identifier


@structure
class ActivateRequest:
    unique_identifier: Identifier | None = None


@structure
class ActivateResponse:
    unique_identifier: Identifier


@operation(Operation.ACTIVATE)
def activate(ctx: Context, request: ActivateRequest) -> ActivateResponse:
    obj = ctx.object(request.unique_identifier)
    require_lifecycle(obj)
    obj.activate(ctx.now)
    ctx.save(obj)
    return ActivateResponse(unique_identifier=obj.unique_identifier)


def require_lifecycle(obj: ManagedObject) -> None:
    """ "Unique Identifier specifies a template or other object that is not able to be activated" (1.4 §11.20)."""
    if obj.object_type is ObjectType.TEMPLATE:
        raise KmipError(Cause.INVALID_OBJECT_TYPE, "a Template has no state")
