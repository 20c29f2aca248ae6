"""Set Endpoint Role (KMIP 2.1 §6.1.54): "the role of server for subsequent requests […] over the current […] channel".

This server stays the server: it accepts that role, and refuses to become the client of whoever connects to it.
"""

from __future__ import annotations

from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import operation
from kmipsrv.spec.enums import EndpointRole, Operation
from kmipsrv.spec.schema import structure
from kmipsrv.spec.versions import V2_0


@structure
class SetEndpointRoleRequest:
    endpoint_role: EndpointRole


@structure
class SetEndpointRoleResponse:
    endpoint_role: EndpointRole


@operation(Operation.SET_ENDPOINT_ROLE, since=V2_0)
def set_endpoint_role(ctx: Context, request: SetEndpointRoleRequest) -> SetEndpointRoleResponse:
    if request.endpoint_role is not EndpointRole.SERVER:
        raise KmipError(Cause.PERMISSION_DENIED, "this server does not take the client's role on a connection")
    return SetEndpointRoleResponse(endpoint_role=EndpointRole.SERVER)
