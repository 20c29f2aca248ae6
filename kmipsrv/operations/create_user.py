"""Create User (KMIP 3.0)."""

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
class CreateUserRequest:
    attributes: Annotated[Attributes | None, wire(Tag.ATTRIBUTES, V3_0)] = None


@structure
class CreateUserResponse:
    unique_identifier: Identifier


@operation(Operation.CREATE_USER, since=V3_0)
def create_user(ctx: Context, request: CreateUserRequest) -> CreateUserResponse:
    uid = make(ctx, ObjectType.USER, request.attributes, UniqueIdentifier.CREATE_USER)
    return CreateUserResponse(unique_identifier=uid)
