"""Create (KMIP 2.1 §6.1.8): a symmetric key, or Secret Data."""

from __future__ import annotations

from typing import Annotated, Any

from kmipsrv.crypto import keygen
from kmipsrv.domain.creation import NewObject, check_client_attributes, seal_body
from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._context import Context
from kmipsrv.operations._key_material import converted
from kmipsrv.operations._registry import operation
from kmipsrv.operations._storage_masks import check_storage_masks
from kmipsrv.spec.attribute_bag import AttributeBag
from kmipsrv.spec.attribute_codec import Attributes
from kmipsrv.spec.enums import (
    CryptographicAlgorithm,
    KeyFormatType,
    ObjectType,
    Operation,
    SecretDataType,
    UniqueIdentifier,
)
from kmipsrv.spec.objects import KeyBlock, SecretData, SymmetricKey, plain_key_value
from kmipsrv.spec.schema import structure
from kmipsrv.spec.structures import ProtectionStorageMasks
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.types import Identifier, since, wire
from kmipsrv.spec.versions import V1_0, V1_4, V2_0


@structure
class CreateRequest:
    object_type: ObjectType
    attributes: Annotated[Attributes, wire(Tag.TEMPLATE_ATTRIBUTE, V1_0, V1_4), wire(Tag.ATTRIBUTES, V2_0)]
    protection_storage_masks: Annotated[ProtectionStorageMasks | None, since(V2_0)] = None


@structure
class CreateResponse:
    object_type: ObjectType
    unique_identifier: Identifier


@operation(Operation.CREATE)
def create(ctx: Context, request: CreateRequest) -> CreateResponse:
    kind = request.object_type
    if kind not in (ObjectType.SYMMETRIC_KEY, ObjectType.SECRET_DATA):
        raise KmipError(Cause.INVALID_OBJECT_TYPE, f"a {kind.text} cannot be created")
    bag = ctx.requested(request.attributes)
    ctx.apply_defaults(bag, kind)
    check_client_attributes(bag, kind, ctx.settings)
    check_storage_masks(ctx.settings, request.protection_storage_masks)
    new = NewObject(kind, bag, ctx.settings, generated=True)
    seal_body(new, _generate(ctx, kind, bag))
    obj = ctx.insert(new)
    ctx.remember(UniqueIdentifier.CREATE, obj.unique_identifier)
    return CreateResponse(object_type=kind, unique_identifier=obj.unique_identifier)


def _generate(ctx: Context, kind: ObjectType, bag: AttributeBag) -> SymmetricKey | SecretData:
    if kind is ObjectType.SYMMETRIC_KEY:
        return generate_symmetric_key(ctx, bag)
    # A password of random octets, as TC-CREATE-SD-1 has it.
    length = required_attribute(bag, Tag.CRYPTOGRAPHIC_LENGTH)
    if length % 8 or not 0 < length <= 8 * ctx.settings.maximum_random_bytes:
        raise KmipError(Cause.INVALID_ATTRIBUTE_VALUE, "Cryptographic Length is not that of any Secret Data")
    block = KeyBlock(key_format_type=KeyFormatType.OPAQUE, key_value=plain_key_value(ctx.random(length // 8)))
    return SecretData(secret_data_type=SecretDataType.PASSWORD, key_block=in_requested_format(kind, block, bag))


def generate_symmetric_key(ctx: Context, bag: AttributeBag) -> SymmetricKey:
    """A new key as the attributes ask for it. Raises KmipError."""
    length = required_attribute(bag, Tag.CRYPTOGRAPHIC_LENGTH)
    algorithm = required_attribute(bag, Tag.CRYPTOGRAPHIC_ALGORITHM)
    block = raw_block(keygen.generate_symmetric(algorithm, length, ctx.random), algorithm, length)
    return SymmetricKey(key_block=in_requested_format(ObjectType.SYMMETRIC_KEY, block, bag))


def in_requested_format(kind: ObjectType, block: KeyBlock, bag: AttributeBag) -> KeyBlock:
    """ "The server SHALL comply with the client's requested format or SHALL fail the request" (2.1 §4.26)."""
    return converted(kind, block, bag.get(Tag.KEY_FORMAT_TYPE), None)


def raw_block(material: bytes, algorithm: CryptographicAlgorithm, length: int) -> KeyBlock:
    """The Key Block of a symmetric key's octets; `length` in bits."""
    return KeyBlock(
        key_format_type=KeyFormatType.RAW,
        key_value=plain_key_value(material),
        cryptographic_algorithm=algorithm,
        cryptographic_length=length,
    )


def required_attribute(bag: AttributeBag, tag: Tag) -> Any:
    """An attribute that a Create request SHALL include (1.4 §4.1 Table 162). Raises KmipError(INVALID_FIELD)."""
    value = bag.get(tag)
    if value is None:
        raise KmipError(Cause.INVALID_FIELD, f"{tag.text} is missing")
    return value
