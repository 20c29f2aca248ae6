"""Get Constraints (KMIP 2.1 §6.1.22)."""

from __future__ import annotations

from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import operation
from kmipsrv.spec.defaults import Constraints
from kmipsrv.spec.enums import Operation
from kmipsrv.spec.schema import structure
from kmipsrv.spec.versions import V2_1


@structure
class GetConstraintsRequest:
    pass


@structure
class GetConstraintsResponse:
    constraints: Constraints


@operation(Operation.GET_CONSTRAINTS, since=V2_1)
def get_constraints(ctx: Context, request: GetConstraintsRequest) -> GetConstraintsResponse:
    return GetConstraintsResponse(constraints=Constraints(constraint=ctx.rules.constraints))
