"""Create Group (KMIP 3.0)."""

from __future__ import annotations

from typing import Annotated

from kmipsrv.operations._accounts import make
from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import operation
from kmipsrv.spec.attribute_codec import Attributes
from kmipsrv.spec.enums import ObjectType, Operation, UniqueIdentifier
from kmipsrv.spec.schema import structure
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.types import Identifier, wire
from kmipsrv.spec.versions import V3_0


@structure
class CreateGroupRequest:
    attributes: Annotated[Attributes | None, wire(Tag.ATTRIBUTES, V3_0)] = None


@structure
class CreateGroupResponse:
    unique_identifier: Identifier


@operation(Operation.CREATE_GROUP, since=V3_0)
def create_group(ctx: Context, request: CreateGroupRequest) -> CreateGroupResponse:
    uid = make(ctx, ObjectType.GROUP, request.attributes, UniqueIdentifier.CREATE_GROUP)
    return CreateGroupResponse(unique_identifier=uid)
