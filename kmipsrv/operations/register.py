"""Register (KMIP 2.1 §6.1.43)."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from kmipsrv.crypto import formats, keygen
from kmipsrv.domain.creation import NewObject, check_client_attributes, seal_body, set_algorithm
from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._certificate_attributes import describe_certificate
from kmipsrv.operations._context import Context
from kmipsrv.operations._key_material import digest_in_default_format, material_of
from kmipsrv.operations._pkcs12 import opened
from kmipsrv.operations._registry import operation
from kmipsrv.operations._storage_masks import check_storage_masks
from kmipsrv.operations._stored_keys import check_size
from kmipsrv.spec.attribute_bag import AttributeBag
from kmipsrv.spec.attribute_codec import Attributes, SpreadAttributes, dump
from kmipsrv.spec.enums import CryptographicUsageMask, KeyFormatType, LinkType, ObjectType, Operation, UniqueIdentifier
from kmipsrv.spec.objects import AnyObject, KeyBlock
from kmipsrv.spec.schema import structure
from kmipsrv.spec.structures import Link, ProtectionStorageMasks
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.types import Identifier, since, wire
from kmipsrv.spec.versions import V1_0, V1_4, V2_0, Version
from kmipsrv.ttlv.codec import BYTE_STRING, STRUCTURE, Item

_PAIR_TYPES = (ObjectType.PRIVATE_KEY, ObjectType.PUBLIC_KEY)


@structure
class RegisterRequest:
    object_type: ObjectType
    attributes: Annotated[Attributes | None, wire(Tag.TEMPLATE_ATTRIBUTE, V1_0, V1_4), wire(Tag.ATTRIBUTES, V2_0)] = (
        None
    )
    managed_object: Annotated[AnyObject | None, wire(Tag.SYMMETRIC_KEY)] = None
    protection_storage_masks: Annotated[ProtectionStorageMasks | None, since(V2_0)] = None


@structure
class RegisterResponse:
    unique_identifier: Identifier


@operation(Operation.REGISTER)
def register(ctx: Context, request: RegisterRequest) -> RegisterResponse:
    kind, given = request.object_type, request.managed_object
    if given is None:
        raise KmipError(Cause.MISSING_DATA, "the object is missing")
    if given.kind is not kind:
        raise KmipError(Cause.INVALID_OBJECT_TYPE, f"the object is not a {kind.text}")
    check_storage_masks(ctx.settings, request.protection_storage_masks)
    bag = ctx.requested(request.attributes)
    new = NewObject(kind, bag, ctx.settings)
    if kind is ObjectType.TEMPLATE:
        inner = given.body.instances(Tag.NAME)
        if (Tag.NAME in bag) == bool(inner):
            # "a new Template object containing a Name attribute with the Template structure": Invalid Field (1.4 §11.4);
            # 1.0's cases have it there and nowhere else.
            raise KmipError(Cause.INVALID_FIELD, "a Template has a Name, in one place")
        for _, name in inner:
            bag.add(Tag.NAME, name)
        check_client_attributes(given.body, kind, ctx.settings)
        new.encoded = dump(given.body)
    else:
        describe(ctx, new, given.body)
    check_client_attributes(bag, kind, ctx.settings)
    obj = ctx.insert(new)
    ctx.remember(UniqueIdentifier.REGISTER, obj.unique_identifier)
    return RegisterResponse(unique_identifier=obj.unique_identifier)


def describe(ctx: Context, new: NewObject, body: Any) -> None:
    """Complete a new object from the body that a client gave: its seal, and what the material says of itself.

    Raises KmipError for material that contradicts itself or the attributes."""
    block: KeyBlock | None = getattr(body, "key_block", None)
    if block is not None and block.key_format_type is KeyFormatType.PKCS_12 and block.key_wrapping_data is None:
        body = opened(ctx, new, body)
        block = body.key_block
    if block is not None:
        block = _settled_block(new, block, ctx.version)
        body = replace(body, key_block=block)
        _describe_key(new, block)
    elif new.object_type is ObjectType.CERTIFICATE:
        describe_certificate(new, body)
    elif new.object_type is ObjectType.OPAQUE_OBJECT:
        new.server.set(Tag.OPAQUE_DATA_TYPE, body.opaque_data_type)
    seal_body(new, body)


def _settled_block(new: NewObject, block: KeyBlock, version: Version) -> KeyBlock:
    """The Key Block without the attributes that its Key Value may carry; they become the object's."""
    if block.key_value is None:
        # "Key Value […] MAY be omitted […] if the Key Value Location attribute is given" (1.2 §2.1.3).
        if Tag.KEY_VALUE_LOCATION not in new.attributes:
            raise KmipError(Cause.INVALID_FIELD, "neither Key Value nor Key Value Location is given")
        new.server.set(Tag.KEY_VALUE_PRESENT, False)
        return block
    kind, fields = block.key_value
    if kind == BYTE_STRING:
        if block.key_wrapping_data is None:
            raise KmipError(Cause.INVALID_FIELD, "an encoded Key Value without Key Wrapping Data")
        _link_wrapping_key(new, block)
        return block
    if kind != STRUCTURE:
        raise KmipError(Cause.INVALID_DATA_TYPE, "Key Value is neither a structure nor a Byte String")
    _link_wrapping_key(new, block)  # TC-WRAP-1-14: wrapped octets in a Key Material
    material: list[Item] = [item for item in fields if item[0] == Tag.KEY_MATERIAL]
    rest = [item for item in fields if item[0] != Tag.KEY_MATERIAL]
    if rest:
        inner = SpreadAttributes.read_items(rest, version)
        for key in inner:
            if key not in new.attributes:
                new.attributes.update(_only(inner, key))
    return replace(block, key_value=(STRUCTURE, material))


def _link_wrapping_key(new: NewObject, block: KeyBlock) -> None:
    """Wrapping Key Link: to the key that a wrapped key was wrapped with (2.1 §4.31)."""
    data = block.key_wrapping_data
    information = None if data is None else data.encryption_key_information
    if information is not None and isinstance(information.unique_identifier, str):
        link = Link(link_type=LinkType.WRAPPING_KEY_LINK, linked_object_identifier=information.unique_identifier)
        new.attributes.add(Tag.LINK, link)


def _only(bag: AttributeBag, key: Any) -> AttributeBag:
    one = AttributeBag()
    for index, value in bag.instances(key):
        one.add(key, value, index)
    return one


def _describe_key(new: NewObject, block: KeyBlock) -> None:
    """Cryptographic Algorithm and Length: of the Key Block, else of the material, else of the attributes."""
    kind, bag = new.object_type, new.attributes
    if (block.cryptographic_algorithm is None) != (
        block.cryptographic_length is None
    ) and kind is not ObjectType.SECRET_DATA:
        raise KmipError(Cause.INVALID_FIELD, "Cryptographic Algorithm and Cryptographic Length are given together")
    set_algorithm(new, block.cryptographic_algorithm, block.cryptographic_length)
    if Tag.CRYPTOGRAPHIC_USAGE_MASK not in bag:
        # libmongocrypt and others leave it out for Secret Data; an object always has one (2.1 §4.17).
        bag.set(Tag.CRYPTOGRAPHIC_USAGE_MASK, CryptographicUsageMask(0))
    if block.key_wrapping_data is not None or block.key_value is None:
        return
    material = material_of(block)
    if kind in _PAIR_TYPES:
        found = formats.describe(kind, block.key_format_type, material)
        if found is not None:
            check_size(found, new.settings)
            digest_in_default_format(new, block, found.recommended_curve)
            set_algorithm(new, found.algorithm, found.length)
            if block.cryptographic_length is not None and block.cryptographic_length != found.length:
                raise KmipError(Cause.INVALID_FIELD, "Cryptographic Length is not that of the material")
    elif kind is ObjectType.SYMMETRIC_KEY:
        octets = formats.symmetric_bytes(material)
        algorithm = block.cryptographic_algorithm or bag.get(Tag.CRYPTOGRAPHIC_ALGORITHM)
        length = block.cryptographic_length or bag.get(Tag.CRYPTOGRAPHIC_LENGTH)
        if algorithm is not None and length is not None:
            keygen.check_symmetric(algorithm, length, octets)
        else:
            set_algorithm(new, None, keygen.symmetric_length(algorithm, octets))
    elif kind is ObjectType.SECRET_DATA and isinstance(material, bytes):
        new.server.set(Tag.CRYPTOGRAPHIC_LENGTH, block.cryptographic_length or 8 * len(material))
