"""Logout (KMIP 2.1 §6.1.31): the end of a ticket."""

from __future__ import annotations

from kmipsrv.domain import ticket as tickets
from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import operation
from kmipsrv.spec import structures as s
from kmipsrv.spec.enums import Operation
from kmipsrv.spec.schema import structure
from kmipsrv.spec.versions import V2_0


@structure
class LogoutRequest:
    ticket: s.Ticket


@structure
class LogoutResponse:
    pass


@operation(Operation.LOGOUT, since=V2_0)
def logout(ctx: Context, request: LogoutRequest) -> LogoutResponse:
    value = request.ticket.ticket_value
    found = tickets.find(ctx.work, value)
    if found is None or found.owner != ctx.identity.owner:
        raise KmipError(Cause.INVALID_TICKET, "the ticket is not valid")
    tickets.forget(ctx.work, value)
    return LogoutResponse()
