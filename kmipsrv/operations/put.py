"""Put (KMIP 2.1 §6.2.3, 1.4 §5.2): the server pushes a new object to an endpoint.

The object is opened when it is sent, through the gate, and leaves in the form and under the rules of a Get that asks for
nothing special: what is Sensitive, not Extractable, destroyed or archived by then does not leave. Neither does an object under
a release policy: an endpoint is not asked for evidence.
"""

from __future__ import annotations

from typing import Annotated

from kmipsrv.domain.notices import Notice
from kmipsrv.domain.settings import Settings
from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import to_client
from kmipsrv.operations.get import GetRequest, exported, template
from kmipsrv.spec.attribute_codec import SpreadAttributes
from kmipsrv.spec.enums import ObjectType, Operation, PutFunction
from kmipsrv.spec.objects import AnyObject
from kmipsrv.spec.schema import structure
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.types import Identifier, wire


@structure
class PutRequest:
    unique_identifier: Identifier
    put_function: PutFunction
    replaced_unique_identifier: Identifier | None = None
    managed_object: Annotated[AnyObject, wire(Tag.SYMMETRIC_KEY)]
    attributes: Annotated[SpreadAttributes | None, wire(Tag.ATTRIBUTES)] = None


def _on(settings: Settings) -> bool:
    return any(endpoint.put for endpoint in settings.endpoints)


@to_client(Operation.PUT, when=_on)
def put(ctx: Context, notice: Notice) -> PutRequest:
    """Raises KmipError for what does not leave, now or ever."""
    obj = ctx.object(notice.unique_identifier)
    if not obj.object_type.exists_in(ctx.version):
        raise KmipError(Cause.INVALID_OBJECT_TYPE, f"KMIP {ctx.version} has no {obj.object_type.text}")
    if obj.stored.policy:
        raise KmipError(Cause.PERMISSION_DENIED, "the object has a release policy")
    as_it_is = GetRequest(unique_identifier=obj.unique_identifier)
    shown = template(ctx, obj, as_it_is) if obj.object_type is ObjectType.TEMPLATE else exported(ctx, obj, as_it_is)
    ctx.finish()
    attributes = SpreadAttributes()
    attributes.update(obj.all_attributes(ctx.now))
    return PutRequest(
        unique_identifier=obj.unique_identifier,
        put_function=PutFunction.NEW if notice.replaced is None else PutFunction.REPLACE,
        replaced_unique_identifier=notice.replaced,
        managed_object=shown,
        attributes=attributes,
    )
