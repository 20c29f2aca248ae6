"""Ping (KMIP 2.1 §6.1.36): "used to determine if a server is alive and responding"."""

from __future__ import annotations

from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import operation
from kmipsrv.spec.enums import Operation
from kmipsrv.spec.schema import structure
from kmipsrv.spec.versions import V2_1


@structure
class PingRequest:
    pass


@structure
class PingResponse:
    pass


@operation(Operation.PING, since=V2_1)
def ping(ctx: Context, request: PingRequest) -> PingResponse:
    return PingResponse()
