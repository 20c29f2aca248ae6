"""Set Defaults (KMIP 2.1 §6.1.53)."""

from __future__ import annotations

from kmipsrv.domain.creation import check_client_attributes
from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import operation
from kmipsrv.spec.defaults import DefaultsInformation
from kmipsrv.spec.enums import Operation
from kmipsrv.spec.schema import structure
from kmipsrv.spec.versions import V2_1


@structure
class SetDefaultsRequest:
    defaults_information: DefaultsInformation | None = None


@structure
class SetDefaultsResponse:
    pass


@operation(Operation.SET_DEFAULTS, since=V2_1)
def set_defaults(ctx: Context, request: SetDefaultsRequest) -> SetDefaultsResponse:
    """ "If no Defaults Information is supplied, the semantic is to remove all Object Defaults"."""
    defaults = request.defaults_information.object_defaults if request.defaults_information is not None else []
    if len(defaults) > ctx.settings.attribute_instances:
        raise KmipError(Cause.INVALID_FIELD, "too many Object Defaults")
    for each in defaults:
        types = each.object_types.object_type if each.object_types is not None else []
        if (each.object_type is None) == (not types):
            raise KmipError(Cause.INVALID_FIELD, "Object Defaults name either an Object Type or Object Types")
        for kind in types if each.object_type is None else [each.object_type]:
            check_client_attributes(each.attributes, kind, ctx.settings)
    ctx.set_rules(defaults=defaults)
    return SetDefaultsResponse()
