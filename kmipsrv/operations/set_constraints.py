"""Set Constraints (KMIP 2.1 §6.1.52): what objects that are made from now on have to be."""

from __future__ import annotations

from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import operation
from kmipsrv.spec.defaults import Constraints
from kmipsrv.spec.enums import Operation
from kmipsrv.spec.schema import structure
from kmipsrv.spec.versions import V2_1


@structure
class SetConstraintsRequest:
    constraints: Constraints | None = None  # TC-MD-24: without them all are lifted, as Set Defaults has it


@structure
class SetConstraintsResponse:
    pass


@operation(Operation.SET_CONSTRAINTS, since=V2_1)
def set_constraints(ctx: Context, request: SetConstraintsRequest) -> SetConstraintsResponse:
    constraints = request.constraints.constraint if request.constraints is not None else []
    if len(constraints) > ctx.settings.attribute_instances:
        raise KmipError(Cause.INVALID_FIELD, "too many Constraints")
    if any(not each.attributes for each in constraints):
        raise KmipError(Cause.INVALID_FIELD, "a Constraint without Attributes demands nothing")
    ctx.set_rules(constraints=constraints)
    return SetConstraintsResponse()
