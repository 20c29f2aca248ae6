"""Login (KMIP 2.1 §6.1.30): a ticket that authenticates later requests. `issue` is Delegated Login's too."""

from __future__ import annotations

from kmipsrv.domain import ticket as tickets
from kmipsrv.domain.ticket import Ticket
from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import operation
from kmipsrv.spec import structures as s
from kmipsrv.spec.enums import Operation, TicketType, UsageLimitsUnit
from kmipsrv.spec.schema import structure
from kmipsrv.spec.types import AnyItem, Integer
from kmipsrv.spec.versions import V2_0
from kmipsrv.ttlv.codec import DATE_TIME, INTERVAL


@structure
class LoginRequest:
    lease_time: AnyItem | None = None  # "Interval or Date Time"
    request_count: Integer | None = None
    usage_limits: s.UsageLimits | None = None


@structure
class LoginResponse:
    ticket: s.Ticket


@operation(Operation.LOGIN, since=V2_0)
def login(ctx: Context, request: LoginRequest) -> LoginResponse:
    return LoginResponse(ticket=issue(ctx, request, rights=None))


def issue(ctx: Context, request: LoginRequest, rights: str | None) -> s.Ticket:
    """A new ticket of the caller's. TC-LOGIN: a Lease Time or Request Count of zero sets no limit of the client's; the
    server's own longest Lease Time always holds. Raises KmipError."""
    identity = ctx.identity
    if identity.ticket:
        # Else a ticket would outlive its count, its lease and its rights.
        raise KmipError(Cause.PERMISSION_DENIED, "a ticket is not obtained with a ticket")
    count = request.request_count
    if count is not None and count < 0:
        raise KmipError(Cause.INVALID_FIELD, "a negative Request Count")
    value = ctx.random(tickets.SIZE)
    ticket = Ticket(
        owner=identity.owner,
        tenant=identity.tenant,
        bearer=identity.bearer if rights is None else "",
        user=identity.user,
        requests=count or None,
        operations=_operations(request.usage_limits),
        expires=_expires(ctx, request.lease_time),
        rights=rights,
    )
    tickets.keep(ctx.work, value, ticket)
    return s.Ticket(ticket_type=TicketType.LOGIN, ticket_value=value)


def _operations(limits: s.UsageLimits | None) -> int | None:
    """ "The usage limits for operations performed": how many, for a client counts them as objects."""
    if limits is None:
        return None
    if limits.usage_limits_unit is not UsageLimitsUnit.OBJECT or limits.usage_limits_count not in (
        None,
        limits.usage_limits_total,
    ):
        raise KmipError(Cause.INVALID_FIELD, "a ticket's Usage Limits are a Total of Objects")
    if limits.usage_limits_total < 1:
        raise KmipError(Cause.INVALID_FIELD, "Usage Limits of nothing")
    return limits.usage_limits_total


def _expires(ctx: Context, lease: tuple[int, int] | None) -> int:
    longest = ctx.now + ctx.settings.ticket_time
    if lease is None:
        return longest
    kind, value = lease
    if kind not in (INTERVAL, DATE_TIME):
        raise KmipError(Cause.INVALID_DATA_TYPE, "Lease Time is neither an Interval nor a Date-Time")
    until = value if kind == DATE_TIME else ctx.now + value if value else longest
    if until <= ctx.now:
        raise KmipError(Cause.INVALID_FIELD, "the Lease Time is over already")
    return min(until, longest)
