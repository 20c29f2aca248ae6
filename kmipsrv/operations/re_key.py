"""Re-key (KMIP 2.1 §6.1.46): a new symmetric key takes the place of an old one."""

from __future__ import annotations

from typing import Annotated

from kmipsrv.domain.creation import NewObject, check_client_attributes, check_dates, seal_body
from kmipsrv.operations._context import Context
from kmipsrv.operations._links import link_to
from kmipsrv.operations._registry import operation
from kmipsrv.operations._replacement import replaceable, replacement_attributes, retire
from kmipsrv.operations._storage_masks import check_storage_masks
from kmipsrv.operations.create import generate_symmetric_key
from kmipsrv.spec.attribute_codec import Attributes
from kmipsrv.spec.enums import LinkType, ObjectType, Operation, UniqueIdentifier
from kmipsrv.spec.schema import structure
from kmipsrv.spec.structures import ProtectionStorageMasks
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.types import Identifier, Interval, since, wire
from kmipsrv.spec.versions import V1_0, V1_4, V2_0


@structure
class ReKeyRequest:
    unique_identifier: Identifier | None = None
    offset: Interval | None = None
    attributes: Annotated[Attributes | None, wire(Tag.TEMPLATE_ATTRIBUTE, V1_0, V1_4), wire(Tag.ATTRIBUTES, V2_0)] = (
        None
    )
    protection_storage_masks: Annotated[ProtectionStorageMasks | None, since(V2_0)] = None


@structure
class ReKeyResponse:
    unique_identifier: Identifier


@operation(Operation.RE_KEY)
def re_key(ctx: Context, request: ReKeyRequest) -> ReKeyResponse:
    old = ctx.object(request.unique_identifier)
    replaceable(ctx, old, ObjectType.SYMMETRIC_KEY)
    check_storage_masks(ctx.settings, request.protection_storage_masks)
    asked = ctx.requested(request.attributes)
    check_client_attributes(asked, ObjectType.SYMMETRIC_KEY, ctx.settings)
    bag = replacement_attributes(old, asked, request.offset, ctx.now)
    check_dates(bag)
    bag.add(Tag.LINK, link_to(LinkType.REPLACED_OBJECT_LINK, old.unique_identifier))
    unique_identifier = ctx.new_identifier()
    new = NewObject(ObjectType.SYMMETRIC_KEY, bag, ctx.settings, generated=True, policy=old.stored.policy)
    seal_body(new, generate_symmetric_key(ctx, bag))
    retire(ctx, old, unique_identifier)
    ctx.insert(new, unique_identifier)
    ctx.remember(UniqueIdentifier.RE_KEY, unique_identifier)
    return ReKeyResponse(unique_identifier=unique_identifier)
