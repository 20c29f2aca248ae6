"""Recover (KMIP 2.1 §6.1.42): an archived object is on-line again. One that never was archived already is."""

from __future__ import annotations

from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import operation
from kmipsrv.spec.enums import Operation, UniqueIdentifier
from kmipsrv.spec.schema import structure
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.types import Identifier


@structure
class RecoverRequest:
    unique_identifier: Identifier | None = None


@structure
class RecoverResponse:
    unique_identifier: Identifier


@operation(Operation.RECOVER)
def recover(ctx: Context, request: RecoverRequest) -> RecoverResponse:
    obj = ctx.object(request.unique_identifier, archived=True)
    if obj.archived:
        # "The server SHALL delete this attribute whenever a Recover operation is performed" (§4.5).
        obj.attributes.set(Tag.ARCHIVE_DATE, None)
        obj.touch(ctx.now)
        ctx.save(obj)
    # "The ID Placeholder is obtained from […] Locate, and Recover operations" (§6.1).
    ctx.remember(UniqueIdentifier.ID_PLACEHOLDER, obj.unique_identifier)
    return RecoverResponse(unique_identifier=obj.unique_identifier)
