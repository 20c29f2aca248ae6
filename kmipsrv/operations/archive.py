"""Archive (KMIP 2.1 §6.1.4). This server's archive is its store: an archived object has an Archive Date and is refused to
every operation that needs it on-line, until Recover.
"""

from __future__ import annotations

from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import operation
from kmipsrv.spec.enums import Operation
from kmipsrv.spec.schema import structure
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.types import Identifier


@structure
class ArchiveRequest:
    unique_identifier: Identifier | None = None


@structure
class ArchiveResponse:
    unique_identifier: Identifier


@operation(Operation.ARCHIVE)
def archive(ctx: Context, request: ArchiveRequest) -> ArchiveResponse:
    obj = ctx.object(request.unique_identifier)  # "Object is already archived": Object Archived (1.4 §11.23)
    obj.attributes.set(Tag.ARCHIVE_DATE, ctx.now)
    obj.touch(ctx.now)
    ctx.save(obj)
    return ArchiveResponse(unique_identifier=obj.unique_identifier)
