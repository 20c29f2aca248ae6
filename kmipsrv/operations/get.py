"""Get (KMIP 2.1 §6.1.19)."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from kmipsrv.domain.grant import Purpose
from kmipsrv.domain.managed_object import Flag, ManagedObject
from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._context import Context
from kmipsrv.operations._key_material import converted
from kmipsrv.operations._key_wrapping import HIDES, wrapped
from kmipsrv.operations._pkcs12 import contained, private_key_of
from kmipsrv.operations._registry import operation
from kmipsrv.operations._stored_keys import unwrapped
from kmipsrv.operations._version_fit import check_expressible, check_type, fits, form_for, named_for
from kmipsrv.spec.enums import (
    CryptographicAlgorithm,
    CryptographicUsageMask,
    KeyCompressionType,
    KeyFormatType,
    KeyWrapType,
    LinkType,
    ObjectType,
    Operation,
)
from kmipsrv.spec.objects import AnyObject, KeyBlock, decode_object
from kmipsrv.spec.schema import structure
from kmipsrv.spec.structures import KeyWrappingSpecification
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.types import Identifier, since, wire
from kmipsrv.spec.versions import V1_4
from kmipsrv.ttlv.codec import STRUCTURE


@structure
class GetRequest:
    unique_identifier: Identifier | None = None
    key_format_type: KeyFormatType | None = None
    key_wrap_type: Annotated[KeyWrapType | None, since(V1_4)] = None
    key_compression_type: KeyCompressionType | None = None
    key_wrapping_specification: KeyWrappingSpecification | None = None


@structure
class GetResponse:
    object_type: ObjectType
    unique_identifier: Identifier
    managed_object: Annotated[AnyObject, wire(Tag.SYMMETRIC_KEY)]


@operation(Operation.GET)
def get(ctx: Context, request: GetRequest) -> GetResponse:
    obj = ctx.object(request.unique_identifier)
    shown = template(ctx, obj, request) if obj.object_type is ObjectType.TEMPLATE else exported(ctx, obj, request)
    shown = ctx.released(obj, shown)
    ctx.served(obj)
    return GetResponse(object_type=shown.kind, unique_identifier=obj.unique_identifier, managed_object=shown)


def template(ctx: Context, obj: ManagedObject, request: GetRequest) -> AnyObject:
    """ "This field SHALL NOT be specified if the requested object is a Template" (1.4 §4.11). Raises KmipError."""
    if request.key_wrapping_specification is not None or request.key_wrap_type is not None:
        raise KmipError(Cause.ILLEGAL_OPERATION, "a Template cannot be wrapped")
    if request.key_format_type is not None or request.key_compression_type is not None:
        raise KmipError(Cause.KEY_FORMAT_TYPE_NOT_SUPPORTED, "a Template has no Key Format Type")
    return AnyObject(obj.object_type, ctx.template_content(obj))


def exported(ctx: Context, obj: ManagedObject, request: GetRequest) -> AnyObject:
    """The object as the client asks for it: format, compression, wrapping. Raises KmipError."""
    if request.key_format_type is KeyFormatType.PKCS_12:
        obj = private_key_of(ctx, obj)
    kind, wrapping = obj.object_type, request.key_wrapping_specification
    check_type(kind, ctx.version)
    obj.require_alive(ctx.now)
    if not obj.flag(Flag.EXTRACTABLE):
        raise KmipError(Cause.NOT_EXTRACTABLE, "the object is not Extractable")
    if obj.stored.cryptographic_algorithm == CryptographicAlgorithm.ONE_TIME_PAD:
        _check_pad(obj)
    sensitive = obj.flag(Flag.SENSITIVE) and not ctx.recipient  # what is released to an attested key leaves wrapped
    if sensitive:
        _check_sensitive(obj, request)
    if request.key_format_type is KeyFormatType.PKCS_12:
        if wrapping is not None or request.key_compression_type is not None:
            raise KmipError(
                Cause.KEY_FORMAT_TYPE_NOT_SUPPORTED, "a PKCS#12 container is neither wrapped nor compressed"
            )
        return AnyObject(ObjectType.PRIVATE_KEY, contained(ctx, obj))
    encoded = ctx.open(obj, Purpose.EXPORT)
    plain = request.key_format_type is None and request.key_compression_type is None and request.key_wrap_type is None
    if (
        plain
        and wrapping is None
        and not sensitive
        and kind is not ObjectType.SPLIT_KEY
        and _WRAPPED not in encoded
        and fits(obj, encoded, ctx.version)
    ):
        return AnyObject(kind, encoded)  # what was sealed is what is sent
    body = decode_object(encoded)
    check_expressible(kind, body, ctx.version)
    if not hasattr(body, "key_block"):
        if request.key_format_type is not None or request.key_compression_type is not None:
            raise KmipError(Cause.KEY_FORMAT_TYPE_NOT_SUPPORTED, f"a {kind.text} has no Key Format Type")
        if wrapping is not None:
            raise KmipError(Cause.ILLEGAL_OPERATION, f"a {kind.text} cannot be wrapped")
        if sensitive:
            raise _sensitive()
        return AnyObject(kind, body)
    return AnyObject(kind, replace(body, key_block=_shown(ctx, obj, body.key_block, request)))


def _shown(ctx: Context, obj: ManagedObject, block: KeyBlock, request: GetRequest) -> KeyBlock:
    """The Key Block unwrapped, converted and wrapped, as far as the client asks for it. Raises KmipError."""
    wrapping, wrap_type = request.key_wrapping_specification, request.key_wrap_type
    data, inside = block.key_wrapping_data, False
    if data is not None:
        inside = block.key_value is not None and block.key_value[0] == STRUCTURE
        if wrapping is not None and wrap_type is KeyWrapType.AS_REGISTERED:
            raise KmipError(Cause.KEY_WRAP_TYPE_NOT_SUPPORTED, "a key is not wrapped anew and as it was registered")
        if wrapping is not None or wrap_type is KeyWrapType.NOT_WRAPPED:
            block, data = unwrapped(ctx, block), None
    hidden = wrapping is not None or (data is not None and data.wrapping_method in HIDES)
    if obj.flag(Flag.SENSITIVE) and not hidden:
        raise _sensitive()  # a Wrapping Key Link alone does not wrap anything
    domain = obj.attributes.get(Tag.CRYPTOGRAPHIC_DOMAIN_PARAMETERS)
    curve = domain.recommended_curve if domain is not None else None
    form = form_for(obj.object_type, block, request.key_format_type, ctx.version)
    block = named_for(converted(obj.object_type, block, form, request.key_compression_type, curve), ctx.version)
    return block if wrapping is None else wrapped(ctx, obj, block, wrapping, inside=inside)


_WRAPPED = Tag.KEY_WRAPPING_DATA.to_bytes(3, "big") + b"\x01"  # its contents differ between versions


def _sensitive() -> KmipError:
    # "If True then […] SHALL NOT be retrieved in plaintext" (2.1 §4.55).
    return KmipError(Cause.SENSITIVE, "the object is Sensitive: it leaves wrapped or not at all")


def _check_pad(obj: ManagedObject) -> None:
    """TC-OTP-4 refuses the Get of a pad that the server computes with: outside, it would be used a second time."""
    if not obj.usage_mask & CryptographicUsageMask.EXPORT:
        raise KmipError(Cause.PERMISSION_DENIED, "a One Time Pad leaves if its Cryptographic Usage Mask says Export")


def _check_sensitive(obj: ManagedObject, request: GetRequest) -> None:
    """Whether a Sensitive object can leave at all, before it is opened: wrapped now, or still as it was registered."""
    wrapping = request.key_wrapping_specification
    if wrapping is not None:
        if wrapping.wrapping_method not in HIDES:
            raise _sensitive()
        return
    as_registered = request.key_wrap_type is not KeyWrapType.NOT_WRAPPED
    links = (link.link_type for link in obj.attributes.values(Tag.LINK))
    if not as_registered or request.key_format_type is not None or LinkType.WRAPPING_KEY_LINK not in links:
        raise _sensitive()
