"""Delegated Login (KMIP 2.1 §6.1.12): a ticket for somebody else, limited to the Rights that are given with it."""

from __future__ import annotations

from kmipsrv.domain import ticket as tickets
from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import operation
from kmipsrv.operations.login import LoginRequest, LoginResponse, issue
from kmipsrv.spec import structures as s
from kmipsrv.spec.enums import Operation
from kmipsrv.spec.schema import structure
from kmipsrv.spec.types import AnyItem, Integer
from kmipsrv.spec.versions import V2_0


@structure
class DelegatedLoginRequest:
    lease_time: AnyItem | None = None
    request_count: Integer | None = None
    usage_limits: s.UsageLimits | None = None
    rights: s.Rights


@operation(Operation.DELEGATED_LOGIN, since=V2_0)
def delegated_login(ctx: Context, request: DelegatedLoginRequest) -> LoginResponse:
    rights = request.rights.right
    if not rights or len(rights) > ctx.settings.attribute_instances:
        raise KmipError(Cause.INVALID_FIELD, "the Rights are none, or too many")
    if any(right.usage_limits is not None for right in rights):
        raise KmipError(Cause.FEATURE_NOT_SUPPORTED, "Usage Limits are the ticket's, not a single Right's")
    for right in rights:
        objects = right.objects.unique_identifier if right.objects is not None else []
        if not all(isinstance(each, str) for each in objects):
            raise KmipError(Cause.INVALID_FIELD, "the Objects of a Right are Unique Identifiers")
    limits = LoginRequest(
        lease_time=request.lease_time, request_count=request.request_count, usage_limits=request.usage_limits
    )
    return LoginResponse(ticket=issue(ctx, limits, tickets.make_rights(request.rights)))
