"""Deactivate (KMIP 3.0): an Active object is Deactivated, with a Deactivation Reason instead of a Revocation Reason."""

from __future__ import annotations

from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import operation
from kmipsrv.operations.activate import require_lifecycle
from kmipsrv.spec.enums import DeactivationReasonCode, Operation
from kmipsrv.spec.schema import structure
from kmipsrv.spec.structures import DeactivationReason
from kmipsrv.spec.types import Identifier
from kmipsrv.spec.versions import V3_0


@structure
class DeactivateRequest:
    unique_identifier: Identifier | None = None
    deactivation_reason: DeactivationReason | None = None


@structure
class DeactivateResponse:
    unique_identifier: Identifier


@operation(Operation.DEACTIVATE, since=V3_0)
def deactivate(ctx: Context, request: DeactivateRequest) -> DeactivateResponse:
    obj = ctx.object(request.unique_identifier)
    require_lifecycle(obj)
    unspecified = DeactivationReason(deactivation_reason_code=DeactivationReasonCode.UNSPECIFIED)
    obj.deactivate(request.deactivation_reason or unspecified, ctx.now)
    ctx.save(obj)
    return DeactivateResponse(unique_identifier=obj.unique_identifier)
