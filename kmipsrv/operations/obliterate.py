"""Obliterate (KMIP 3.0): the object and all that is known of it go; nothing tells that it was there."""

from __future__ import annotations

from kmipsrv.domain.lifecycle import DESTROYED
from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import operation
from kmipsrv.spec.enums import Operation
from kmipsrv.spec.schema import structure
from kmipsrv.spec.types import Identifier
from kmipsrv.spec.versions import V3_0


@structure
class ObliterateRequest:
    unique_identifier: Identifier | None = None


@structure
class ObliterateResponse:
    pass


@operation(Operation.OBLITERATE, since=V3_0)
def obliterate(ctx: Context, request: ObliterateRequest) -> ObliterateResponse:
    obj = ctx.object(request.unique_identifier)
    if obj.state(ctx.now) not in DESTROYED:
        obj.destroy(ctx.now)  # what may not be destroyed (an Active key) may not be obliterated
    ctx.work.purge(obj.stored)
    return ObliterateResponse()
