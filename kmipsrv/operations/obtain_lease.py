"""Obtain Lease (KMIP 2.1 §6.1.35)."""

from __future__ import annotations

from kmipsrv.domain.lifecycle import DESTROYED
from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import operation
from kmipsrv.spec.enums import Operation, State
from kmipsrv.spec.schema import structure
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.types import DateTime, Identifier, Interval


@structure
class ObtainLeaseRequest:
    unique_identifier: Identifier | None = None


@structure
class ObtainLeaseResponse:
    unique_identifier: Identifier
    lease_time: Interval
    last_change_date: DateTime


@operation(Operation.OBTAIN_LEASE)
def obtain_lease(ctx: Context, request: ObtainLeaseRequest) -> ObtainLeaseResponse:
    """The Lease Time is the object's own, 0 where the server is configured to let objects without a time limit.

    A lease is refused for an object that is compromised or destroyed."""
    obj = ctx.object(request.unique_identifier)
    attributes = obj.attributes
    if obj.state(ctx.now) in (*DESTROYED, State.COMPROMISED):
        # "a new lease is not permitted to be issued for the specified cryptographic object": Permission Denied (1.4 §11.18);
        # TC-95 has it for a compromised one.
        raise KmipError(Cause.PERMISSION_DENIED, "no lease is given for a compromised or destroyed object")
    return ObtainLeaseResponse(
        unique_identifier=obj.unique_identifier,
        lease_time=attributes.get(Tag.LEASE_TIME, ctx.settings.lease_time),
        last_change_date=attributes.get(Tag.LAST_CHANGE_DATE),
    )
