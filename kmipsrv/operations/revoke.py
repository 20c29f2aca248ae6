"""Revoke (KMIP 2.1 §6.1.44)."""

from __future__ import annotations

from kmipsrv.domain.managed_object import COMPROMISED
from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import operation
from kmipsrv.operations.activate import require_lifecycle
from kmipsrv.spec.enums import Operation
from kmipsrv.spec.schema import structure
from kmipsrv.spec.structures import RevocationReason
from kmipsrv.spec.types import DateTime, Identifier


@structure
class RevokeRequest:
    unique_identifier: Identifier | None = None
    revocation_reason: RevocationReason
    compromise_occurrence_date: DateTime | None = None


@structure
class RevokeResponse:
    unique_identifier: Identifier


@operation(Operation.REVOKE)
def revoke(ctx: Context, request: RevokeRequest) -> RevokeResponse:
    obj = ctx.object(request.unique_identifier)
    require_lifecycle(obj)
    reason, occurrence = request.revocation_reason, request.compromise_occurrence_date
    if occurrence is not None and occurrence > ctx.now:
        raise KmipError(Cause.INVALID_FIELD, "Compromise Occurrence Date lies in the future")
    # "SHALL NOT be specified for other Revocation Reason enumerations" – but the cases TC-95 and SKLC-M send it with any,
    # and Percona sends 0: it is passed over where it has no meaning.
    obj.revoke(reason, occurrence if reason.revocation_reason_code in COMPROMISED else None, ctx.now)
    ctx.save(obj)
    return RevokeResponse(unique_identifier=obj.unique_identifier)
