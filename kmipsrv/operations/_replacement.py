"""What Re-key, Re-key Key Pair and Re-certify have in common: a new object takes the place of an old one, which stays as it
is but for its Name (KMIP 2.1 §6.1.45-47; the tables "Computing New Dates from Offset" and "Attribute Requirements").
"""

from __future__ import annotations

from kmipsrv.domain.creation import combined
from kmipsrv.domain.managed_object import ManagedObject
from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._context import Context
from kmipsrv.operations._links import link_to
from kmipsrv.spec.attribute_bag import AttributeBag
from kmipsrv.spec.enums import LinkType, ObjectType
from kmipsrv.spec.tags import Tag

# Attributes that are not copied: the rows of tables 299, 304 and 309 (Name has a rule of its own), what §4 says SHALL be
# worked out anew, and what belongs to the old material or to its life rather than to its role.
_NOT_COPIED = frozenset(
    (
        Tag.NAME,
        Tag.INITIAL_DATE,
        Tag.DESTROY_DATE,
        Tag.COMPROMISE_OCCURRENCE_DATE,
        Tag.COMPROMISE_DATE,
        Tag.REVOCATION_REASON,
        Tag.DEACTIVATION_REASON,
        Tag.DIGEST,
        Tag.LINK,
        Tag.LAST_CHANGE_DATE,
        Tag.RANDOM_NUMBER_GENERATOR,
        Tag.ORIGINAL_CREATION_DATE,
        Tag.ARCHIVE_DATE,
        Tag.FRESH,
        Tag.KEY_FORMAT_TYPE,
        Tag.KEY_VALUE_PRESENT,
        Tag.KEY_VALUE_LOCATION,
        Tag.ALWAYS_SENSITIVE,
        Tag.NEVER_EXTRACTABLE,
        Tag.ROTATE_DATE,
        Tag.ROTATE_LATEST,
        Tag.CERTIFY_COUNTER,
        Tag.DECRYPT_COUNTER,
        Tag.ENCRYPT_COUNTER,
        Tag.SIGN_COUNTER,
        Tag.SIGNATURE_VERIFY_COUNTER,
    )
)
_FOLLOWING = (Tag.PROCESS_START_DATE, Tag.PROTECT_STOP_DATE, Tag.DEACTIVATION_DATE)


def replaceable(ctx: Context, obj: ManagedObject, kind: ObjectType) -> None:
    """Whether the object can be replaced. Raises KmipError(INVALID_OBJECT_TYPE | OBJECT_DESTROYED |
    KEY_VALUE_NOT_PRESENT)."""
    if obj.object_type is not kind:
        raise KmipError(Cause.INVALID_OBJECT_TYPE, f"the object is not a {kind.text}")
    obj.require_alive(ctx.now)
    if obj.stored.sealed is None or obj.attributes.get(Tag.KEY_VALUE_PRESENT) is False:
        raise KmipError(Cause.KEY_VALUE_NOT_PRESENT, "the Key Value is not on this server")


def replacement_attributes(
    old: ManagedObject, asked: AttributeBag, offset: int | None, now: int, *, names_last: bool = False
) -> AttributeBag:
    """The attributes of the new object: copied from the old one, overruled by those of the request; its Names are the old
    one's, then the request's, or with `names_last` the other way round. `offset` in seconds.

    Raises KmipError(INVALID_MESSAGE | ILLEGAL_OPERATION)."""
    copied = AttributeBag()
    for key in old.attributes:
        if key not in _NOT_COPIED:
            for _, value in old.attributes.instances(key):
                copied.add(key, value)
    for _, name in old.attributes.instances(Tag.NAME):
        copied.add(Tag.NAME, name)
    if offset is not None:
        _shift_dates(copied, asked, offset, now)
    bag = combined(copied, asked)
    if names_last:
        names = bag.values(Tag.NAME)
        taken_over = old.attributes.values(Tag.NAME)
        bag.remove(Tag.NAME)
        for name in [*(each for each in names if each not in taken_over), *taken_over]:
            bag.add(Tag.NAME, name)
    # §4.50: the count of "ReKey, ReKeyKeyPair, or ReCertify operations that have occurred in order to create this".
    bag.set(Tag.ROTATE_GENERATION, (old.attributes.get(Tag.ROTATE_GENERATION) or 0) + 1)
    bag.set(Tag.ROTATE_LATEST, True)
    bag.set(Tag.ROTATE_DATE, now)
    return bag


def _shift_dates(bag: AttributeBag, asked: AttributeBag, offset: int, now: int) -> None:
    """AT2 = IT2 + Offset; the other dates keep their distance from the Activation Date."""
    if any(tag in asked for tag in (Tag.ACTIVATION_DATE, *_FOLLOWING)):
        # "Offset field is not permitted to be specified at the same time as any of the [dates]": Invalid Message (1.4 §11.5).
        raise KmipError(Cause.INVALID_MESSAGE, "an Offset goes with no date")
    before = bag.get(Tag.ACTIVATION_DATE)
    after = now + offset
    for tag in _FOLLOWING:
        date = bag.get(tag)
        if date is None:
            continue
        if before is None:
            # "An offset cannot be used to specify new […] Date attribute values since no Activation Date has been specified
            # for the existing key": Illegal Operation (1.4 §11.5).
            raise KmipError(Cause.ILLEGAL_OPERATION, "the existing object has dates but no Activation Date")
        shifted = date + after - before
        if not -(1 << 63) <= shifted < 1 << 63:
            raise KmipError(Cause.INVALID_FIELD, f"the Offset moves {tag.text} out of its range")
        bag.set(tag, shifted)
    bag.set(Tag.ACTIVATION_DATE, after)


def retire(ctx: Context, old: ManagedObject, new_identifier: str) -> None:
    """The old object loses its Names to the new one and points to it; to be done before the new one is stored."""
    attributes = old.attributes
    attributes.remove(Tag.NAME)
    attributes.add(Tag.LINK, link_to(LinkType.REPLACEMENT_OBJECT_LINK, new_identifier))
    attributes.set(Tag.ROTATE_LATEST, False)
    old.touch(ctx.now)
    ctx.save(old)
