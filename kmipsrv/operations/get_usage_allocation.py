"""Get Usage Allocation (KMIP 2.1 §6.1.23): the client takes a share of a key's Usage Limits, to protect data on its own.

The count is written in the transaction that answers, so the same units are never handed out twice.
"""

from __future__ import annotations

from dataclasses import replace

from kmipsrv.domain.managed_object import ManagedObject
from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import operation
from kmipsrv.spec.enums import CryptographicUsageMask, ObjectType, Operation, State
from kmipsrv.spec.schema import structure
from kmipsrv.spec.structures import UsageLimits
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.types import Identifier, LongInteger

_M = CryptographicUsageMask
# "able to be used for applying protection (e.g., symmetric keys for encryption, private keys for signing, etc.)": what of
# the Cryptographic Usage Mask protects, for each Object Type.
_PROTECTS = {
    ObjectType.SYMMETRIC_KEY: _M.ENCRYPT | _M.WRAP_KEY | _M.MAC_GENERATE | _M.SIGN,
    ObjectType.PUBLIC_KEY: _M.ENCRYPT | _M.WRAP_KEY,
    ObjectType.PRIVATE_KEY: _M.SIGN | _M.CERTIFICATE_SIGN | _M.CRL_SIGN,
    ObjectType.CERTIFICATE: _M.ENCRYPT | _M.WRAP_KEY,
}


@structure
class GetUsageAllocationRequest:
    unique_identifier: Identifier | None = None
    usage_limits_count: LongInteger


@structure
class GetUsageAllocationResponse:
    unique_identifier: Identifier


@operation(Operation.GET_USAGE_ALLOCATION)
def get_usage_allocation(ctx: Context, request: GetUsageAllocationRequest) -> GetUsageAllocationResponse:
    obj = ctx.object(request.unique_identifier)
    wanted = request.usage_limits_count
    if wanted <= 0:
        raise KmipError(Cause.INVALID_FIELD, "Usage Limits Count is not positive")
    _check_protects(obj, ctx.now)
    limits: UsageLimits | None = obj.attributes.get(Tag.USAGE_LIMITS)
    if limits is None:
        raise KmipError(Cause.ATTRIBUTE_NOT_FOUND, "the object has no Usage Limits")
    left = (limits.usage_limits_count or 0) - wanted
    if left < 0:
        raise KmipError(Cause.USAGE_LIMIT_EXCEEDED, "the Usage Limits do not leave that much")
    obj.attributes.set(Tag.USAGE_LIMITS, replace(limits, usage_limits_count=left))
    obj.touch(ctx.now)
    ctx.save(obj)
    return GetUsageAllocationResponse(unique_identifier=obj.unique_identifier)


def _check_protects(obj: ManagedObject, now: int) -> None:
    """Raises KmipError(INVALID_OBJECT_TYPE | PERMISSION_DENIED)."""
    protecting = _PROTECTS.get(obj.object_type, _M(0)) & obj.usage_mask
    if not protecting:
        raise KmipError(Cause.INVALID_OBJECT_TYPE, "the object is not one that protects anything")
    # "The operation SHALL only be requested during the time that protection is enabled for these objects (i.e., after the
    # Activation Date and before the Protect Stop Date)."
    stop = obj.stored.protect_stop_date
    if obj.state(now) is not State.ACTIVE or (stop is not None and stop <= now):
        raise KmipError(Cause.PERMISSION_DENIED, "the object cannot be used to protect at this time")
