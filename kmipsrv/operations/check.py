"""Check (KMIP 2.1 §6.1.7): may the object be used so?"""

from __future__ import annotations

from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import operation
from kmipsrv.spec.enums import CryptographicUsageMask, ObjectType, Operation
from kmipsrv.spec.schema import structure
from kmipsrv.spec.structures import UsageLimits
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.types import Identifier, Interval, LongInteger


@structure
class CheckRequest:
    unique_identifier: Identifier | None = None
    usage_limits_count: LongInteger | None = None
    cryptographic_usage_mask: CryptographicUsageMask | None = None
    lease_time: Interval | None = None


@structure
class CheckResponse:
    unique_identifier: Identifier


@operation(Operation.CHECK)
def check(ctx: Context, request: CheckRequest) -> CheckResponse:
    """A denial is a failed item here: the attributes that caused it cannot travel with an error (docs/errata.md)."""
    obj = ctx.object(request.unique_identifier)
    if obj.object_type is ObjectType.TEMPLATE:
        raise KmipError(Cause.ILLEGAL_OBJECT_TYPE, "a Template cannot be checked")
    obj.require_alive(ctx.now)
    ctx.placeholder = None  # "the server empties the ID Placeholder" when it denies
    mask = request.cryptographic_usage_mask
    if mask is not None and mask & obj.usage_mask != mask:
        raise KmipError(
            Cause.INCOMPATIBLE_CRYPTOGRAPHIC_USAGE_MASK, "the Cryptographic Usage Mask does not permit that"
        )
    limits: UsageLimits | None = obj.attributes.get(Tag.USAGE_LIMITS)
    count = request.usage_limits_count
    if count is not None and limits is not None and count > (limits.usage_limits_count or 0):
        raise KmipError(Cause.USAGE_LIMIT_EXCEEDED, "the Usage Limits do not leave that much")
    lease = obj.attributes.get(Tag.LEASE_TIME, ctx.settings.lease_time)
    if request.lease_time is not None and request.lease_time > lease:
        raise KmipError(Cause.PERMISSION_DENIED, "no lease is granted for that long")
    ctx.placeholder = obj.unique_identifier
    return CheckResponse(unique_identifier=obj.unique_identifier)
