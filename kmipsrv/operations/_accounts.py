"""What Create User, Create Group and Create Credential (KMIP 3.0) have in common.

They are an administrator's (`administrator` of a user in the configuration). What they make are objects like others,
sealed, the administrator's own. Who may authenticate is decided by the configuration alone.
"""

from __future__ import annotations

from kmipsrv.domain.creation import NewObject, check_client_attributes, seal_body
from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._context import Context
from kmipsrv.spec.attribute_codec import Attributes
from kmipsrv.spec.enums import ObjectType, UniqueIdentifier
from kmipsrv.spec.objects import CREDENTIAL_CLASSES
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.types import NameReference


def require_administrator(ctx: Context) -> None:
    """Raises KmipError(NOT_AUTHORISED)."""
    if not ctx.identity.administrator:
        raise KmipError(Cause.NOT_AUTHORISED, "users, groups and credentials are an administrator's to make")


def make(
    ctx: Context, kind: ObjectType, attributes: Attributes | None, made: UniqueIdentifier, body: object = None
) -> str:
    """A new object of this type. -> its unique identifier. Raises KmipError."""
    require_administrator(ctx)
    bag = ctx.requested(attributes)
    check_client_attributes(bag, kind, ctx.settings)
    for key in (Tag.CREDENTIAL_LINK, Tag.GROUP_LINK):
        for reference in bag.values(key):
            _require_target(ctx, key, reference)
    new = NewObject(kind, bag, ctx.settings)
    if body is not None:
        seal_body(new, body)
        bag.set(Tag.EXTRACTABLE, kind is ObjectType.CERTIFICATE)  # a credential does not leave again
    obj = ctx.insert(new)
    ctx.remember(made, obj.unique_identifier)
    return obj.unique_identifier


def _require_target(ctx: Context, key: Tag, reference: str) -> None:
    """A link must lead to an object of the caller's and of the right type. Raises KmipError."""
    uid = ctx.work.named(ctx.identity.owner, reference) if isinstance(reference, NameReference) else reference
    kind = ctx.object(uid or reference).object_type
    if kind not in ((ObjectType.GROUP,) if key is Tag.GROUP_LINK else CREDENTIAL_CLASSES):
        raise KmipError(Cause.INVALID_ATTRIBUTE_VALUE, f"a {key.text} does not lead to a {kind.text}")
