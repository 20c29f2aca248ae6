"""Import (KMIP 2.1 §6.1.25; since 1.4): an object with its foreign Unique Identifier and all its attributes.

"The attribute rules for each attribute for 'Initially set by' and 'When implicitly set' SHALL NOT be enforced as all
attributes MUST be set to the supplied values": what the client supplies stands, what it leaves out is added as for a
registered object. State is worked out from the dates, so a supplied one has to agree with the supplied dates. Unique
identifiers are unique for each owner: an import can neither find nor replace what is another's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from kmipsrv.domain.creation import SERVER_VENDOR, NewObject, check_dates, check_value
from kmipsrv.domain.lifecycle import Dates, effective_state
from kmipsrv.domain.managed_object import ManagedObject
from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import operation
from kmipsrv.operations._stored_keys import unwrapped
from kmipsrv.operations.register import describe
from kmipsrv.spec.attribute_bag import AttributeBag
from kmipsrv.spec.attribute_codec import SpreadAttributes
from kmipsrv.spec.attributes import ATTRIBUTES, key_name
from kmipsrv.spec.enums import KeyWrapType, ObjectType, Operation, UniqueIdentifier
from kmipsrv.spec.objects import AnyObject, KeyBlock
from kmipsrv.spec.schema import structure
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.types import Boolean, Identifier, wire
from kmipsrv.spec.versions import V1_4

_MAXIMUM_IDENTIFIER = 256  # characters


@structure
class ImportRequest:
    unique_identifier: Identifier
    object_type: ObjectType | None = None  # 1.4 tells it by the object alone
    replace_existing: Boolean | None = None
    key_wrap_type: KeyWrapType | None = None
    attributes: Annotated[SpreadAttributes | None, wire(Tag.ATTRIBUTES)] = None
    managed_object: Annotated[AnyObject, wire(Tag.SYMMETRIC_KEY)]


@structure
class ImportResponse:
    unique_identifier: Identifier


@operation(Operation.IMPORT, since=V1_4)
def import_object(ctx: Context, request: ImportRequest) -> ImportResponse:
    kind, uid = request.managed_object.kind, request.unique_identifier
    if request.object_type not in (None, kind) or kind is ObjectType.TEMPLATE:
        raise KmipError(Cause.INVALID_FIELD, f"a {kind.text} cannot be imported as that")
    if not isinstance(uid, str) or not 0 < len(uid) <= _MAXIMUM_IDENTIFIER:
        raise KmipError(Cause.INVALID_FIELD, f"a Unique Identifier has 1 to {_MAXIMUM_IDENTIFIER} characters")
    supplied, derived = _supplied(request.attributes or AttributeBag(), kind, ctx)
    _check_derived(derived, kind, uid)
    policy = _make_room(ctx, uid, replace_existing=bool(request.replace_existing))
    new = NewObject(kind, supplied.copy(), ctx.settings, policy=policy)
    describe(ctx, new, _body(ctx, request))
    form = supplied.get(Tag.KEY_FORMAT_TYPE)
    if form not in (None, new.key_format) and kind is not ObjectType.CERTIFICATE:
        raise KmipError(Cause.INVALID_ATTRIBUTE_VALUE, "Key Format Type is not that of the object")
    new.server.update(supplied)
    obj = ctx.insert(new, uid)
    _check_state(derived.get(Tag.STATE), obj, ctx.now)
    ctx.remember(UniqueIdentifier.IMPORT, uid)
    return ImportResponse(unique_identifier=uid)


def _supplied(bag: AttributeBag, kind: ObjectType, ctx: Context) -> tuple[AttributeBag, AttributeBag]:
    """-> (the attributes to be kept, those that are worked out). Raises KmipError."""
    kept, derived = AttributeBag(), AttributeBag()
    for key in bag:
        values = bag.values(key)
        if len(values) > ctx.settings.attribute_instances:
            raise KmipError(Cause.SERVER_LIMIT_EXCEEDED, f"too many instances of {key_name(key)}")
        if isinstance(key, Tag):
            row = ATTRIBUTES[key]
            if len(values) > 1 and not row.many:
                raise KmipError(Cause.ATTRIBUTE_SINGLE_VALUED, f"{row.name} has one value only")
            if row.objects is not None and kind not in row.objects:
                raise KmipError(Cause.UNSUPPORTED_ATTRIBUTE, f"{kind.text} objects have no {row.name}")
            for value in values:
                check_value(key, value)
        elif key[0] == SERVER_VENDOR:
            raise KmipError(Cause.ATTRIBUTE_READ_ONLY, "the attributes of vendor 'y' are the server's")
        # Each server has its own rule for the Short Unique Identifier: a supplied one is kept.
        worked_out = isinstance(key, Tag) and ATTRIBUTES[key].derived and key is not Tag.SHORT_UNIQUE_IDENTIFIER
        target = derived if worked_out else kept
        for index, value in bag.instances(key):
            target.add(key, value, index)
    # This server's storage is what it is, wherever the object came from.
    kept.remove(Tag.PROTECTION_STORAGE_MASK)
    if Tag.DESTROY_DATE in kept:
        raise KmipError(Cause.INVALID_ATTRIBUTE_VALUE, "a destroyed object has nothing to import")
    check_dates(kept)
    return kept, derived


def _check_derived(derived: AttributeBag, kind: ObjectType, uid: str) -> None:
    """What is worked out here cannot be set to something else. Raises KmipError(INVALID_ATTRIBUTE_VALUE)."""
    for tag, value in ((Tag.UNIQUE_IDENTIFIER, uid), (Tag.OBJECT_TYPE, kind)):
        if derived.get(tag, value) != value:
            raise KmipError(Cause.INVALID_ATTRIBUTE_VALUE, f"{tag.text} is not that of the request")


def _check_state(state: Any, obj: ManagedObject, now: int) -> None:
    """A supplied State is the one that the dates give now, or gave when the object was last changed."""
    dates: Dates = obj.stored
    moments = (now, obj.attributes.get(Tag.LAST_CHANGE_DATE, now), obj.attributes.get(Tag.INITIAL_DATE, now))
    if state is not None and state not in {effective_state(dates, moment) for moment in moments}:
        raise KmipError(Cause.INVALID_ATTRIBUTE_VALUE, "State is not what the dates say")


def _make_room(ctx: Context, uid: str, *, replace_existing: bool) -> str:
    """Remove the object that is to be replaced. -> the release policy that guarded it, which stays in force: its own, or
    that of the configuration's rule.

    Raises KmipError(OBJECT_ALREADY_EXISTS | OBJECT_ARCHIVED)."""
    if ctx.work.find(ctx.identity.owner, uid) is None:
        return ""
    if not replace_existing:
        raise KmipError(Cause.OBJECT_ALREADY_EXISTS, "an object has this Unique Identifier already")
    old = ctx.object(uid)
    policy = old.stored.policy or ctx.appraisal.rule(old.stored.tenant, old.labels)
    ctx.work.purge(old.stored)
    return policy


def _body(ctx: Context, request: ImportRequest) -> Any:
    """The object, unwrapped "if Not Wrapped", otherwise "as provided". Raises KmipError(INVALID_FIELD | …)."""
    body = request.managed_object.body
    block: KeyBlock | None = getattr(body, "key_block", None)
    if request.key_wrap_type is None:
        return body
    if block is None or block.key_wrapping_data is None:
        raise KmipError(Cause.INVALID_FIELD, "Key Wrap Type is given for an object that is not wrapped")
    if request.key_wrap_type is KeyWrapType.NOT_WRAPPED:
        return replace(body, key_block=unwrapped(ctx, block))
    return body
