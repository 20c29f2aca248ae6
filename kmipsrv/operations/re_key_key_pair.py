"""Re-key Key Pair (KMIP 2.1 §6.1.47; since 1.1): a new key pair takes the place of an old one."""

from __future__ import annotations

from typing import Annotated

from kmipsrv.domain.creation import check_client_attributes, check_dates, combined
from kmipsrv.domain.managed_object import ManagedObject
from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._context import Context
from kmipsrv.operations._links import link_to, linked
from kmipsrv.operations._registry import operation
from kmipsrv.operations._replacement import replaceable, replacement_attributes, retire
from kmipsrv.operations._storage_masks import check_storage_masks
from kmipsrv.operations.create_key_pair import generate, insert_pair
from kmipsrv.spec.attribute_bag import AttributeBag
from kmipsrv.spec.attribute_codec import Attributes
from kmipsrv.spec.enums import LinkType, ObjectType, Operation, UniqueIdentifier
from kmipsrv.spec.schema import structure
from kmipsrv.spec.structures import ProtectionStorageMasks
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.types import Identifier, Interval, since, wire
from kmipsrv.spec.versions import V1_0, V1_1, V1_4, V2_0


@structure
class ReKeyKeyPairRequest:
    private_key_unique_identifier: Identifier | None = None
    offset: Interval | None = None
    common: Annotated[
        Attributes | None, wire(Tag.COMMON_TEMPLATE_ATTRIBUTE, V1_0, V1_4), wire(Tag.COMMON_ATTRIBUTES, V2_0)
    ] = None
    private: Annotated[
        Attributes | None, wire(Tag.PRIVATE_KEY_TEMPLATE_ATTRIBUTE, V1_0, V1_4), wire(Tag.PRIVATE_KEY_ATTRIBUTES, V2_0)
    ] = None
    public: Annotated[
        Attributes | None, wire(Tag.PUBLIC_KEY_TEMPLATE_ATTRIBUTE, V1_0, V1_4), wire(Tag.PUBLIC_KEY_ATTRIBUTES, V2_0)
    ] = None
    common_protection_storage_masks: Annotated[ProtectionStorageMasks | None, since(V2_0)] = None
    private_protection_storage_masks: Annotated[ProtectionStorageMasks | None, since(V2_0)] = None
    public_protection_storage_masks: Annotated[ProtectionStorageMasks | None, since(V2_0)] = None


@structure
class ReKeyKeyPairResponse:
    private_key_unique_identifier: Identifier
    public_key_unique_identifier: Identifier


@operation(Operation.RE_KEY_KEY_PAIR, since=V1_1)
def re_key_key_pair(ctx: Context, request: ReKeyKeyPairRequest) -> ReKeyKeyPairResponse:
    old_private = ctx.object(request.private_key_unique_identifier)
    replaceable(ctx, old_private, ObjectType.PRIVATE_KEY)
    old_public = _public_half(ctx, old_private)
    check_storage_masks(
        ctx.settings, request.common_protection_storage_masks, Cause.PRIVATE_PROTECTION_STORAGE_UNAVAILABLE
    )
    check_storage_masks(
        ctx.settings, request.private_protection_storage_masks, Cause.PRIVATE_PROTECTION_STORAGE_UNAVAILABLE
    )
    check_storage_masks(
        ctx.settings, request.public_protection_storage_masks, Cause.PUBLIC_PROTECTION_STORAGE_UNAVAILABLE
    )
    common = ctx.requested(request.common)
    private = _attributes(ctx, old_private, combined(common, ctx.requested(request.private)), request.offset)
    public = _attributes(ctx, old_public, combined(common, ctx.requested(request.public)), request.offset)
    ctx.effort.key_pair(private.get(Tag.CRYPTOGRAPHIC_ALGORITHM))
    key = generate(ctx.settings, private, public)
    new_private, new_public = ctx.new_identifier(), ctx.new_identifier()
    retire(ctx, old_private, new_private)
    retire(ctx, old_public, new_public)
    insert_pair(
        ctx,
        key,
        private,
        public,
        (new_private, new_public),
        (old_private.stored.policy, old_public.stored.policy),
    )
    ctx.remember(UniqueIdentifier.RE_KEY_KEY_PAIR_PUBLIC_KEY, new_public)
    ctx.remember(UniqueIdentifier.RE_KEY_KEY_PAIR_PRIVATE_KEY, new_private)
    ctx.remember(UniqueIdentifier.RE_KEY_KEY_PAIR, new_private)
    return ReKeyKeyPairResponse(private_key_unique_identifier=new_private, public_key_unique_identifier=new_public)


def _public_half(ctx: Context, private: ManagedObject) -> ManagedObject:
    """The public key that the private key is linked to. Raises KmipError(INVALID_OBJECT_TYPE) where there is none."""
    for uid in linked(private.attributes, LinkType.PUBLIC_KEY_LINK):
        public = ctx.object(uid)
        replaceable(ctx, public, ObjectType.PUBLIC_KEY)
        return public
    raise KmipError(Cause.INVALID_OBJECT_TYPE, "the Private Key is not linked to a Public Key: there is no key pair")


def _attributes(ctx: Context, old: ManagedObject, asked: AttributeBag, offset: int | None) -> AttributeBag:
    check_client_attributes(asked, old.object_type, ctx.settings)
    bag = replacement_attributes(old, asked, offset, ctx.now)
    check_dates(bag)
    bag.add(Tag.LINK, link_to(LinkType.REPLACED_OBJECT_LINK, old.unique_identifier))
    return bag
