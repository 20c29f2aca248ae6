"""Create Split Key (KMIP 2.1 §6.1.10, §13.1; since 1.2): the parts of a key, each an object of its own."""

from __future__ import annotations

from typing import Annotated, Any

from kmipsrv.crypto import splitkey
from kmipsrv.domain.creation import NewObject, check_client_attributes, combined, seal_body
from kmipsrv.domain.managed_object import ManagedObject
from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._context import Context
from kmipsrv.operations._key_material import converted, material_of
from kmipsrv.operations._registry import operation
from kmipsrv.operations._secret_octets import key_block, octets
from kmipsrv.operations._storage_masks import check_storage_masks
from kmipsrv.operations.create import generate_symmetric_key
from kmipsrv.spec.attribute_bag import AttributeBag
from kmipsrv.spec.attribute_codec import Attributes
from kmipsrv.spec.enums import (
    KeyFormatType,
    ObjectType,
    Operation,
    SplitKeyMethod,
    SplitKeyPolynomial,
    UniqueIdentifier,
)
from kmipsrv.spec.objects import KeyBlock, SplitKey, plain_key_value
from kmipsrv.spec.schema import structure
from kmipsrv.spec.structures import ProtectionStorageMasks
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.types import BigInteger, Identifier, Integer, since, wire
from kmipsrv.spec.versions import V1_0, V1_2, V1_4, V2_0, V3_0

_OF_THE_KEY = (
    Tag.CRYPTOGRAPHIC_ALGORITHM,
    Tag.CRYPTOGRAPHIC_LENGTH,
    Tag.CRYPTOGRAPHIC_USAGE_MASK,
    Tag.SENSITIVE,
    Tag.EXTRACTABLE,
)
SPLITTABLE = (ObjectType.SYMMETRIC_KEY, ObjectType.SECRET_DATA, ObjectType.PRIVATE_KEY)


@structure
class CreateSplitKeyRequest:
    object_type: ObjectType
    unique_identifier: Identifier | None = None
    split_key_parts: Integer
    split_key_threshold: Integer
    split_key_method: SplitKeyMethod
    prime_field_size: BigInteger | None = None
    split_key_polynomial: Annotated[SplitKeyPolynomial | None, since(V3_0)] = None
    attributes: Annotated[Attributes, wire(Tag.TEMPLATE_ATTRIBUTE, V1_0, V1_4), wire(Tag.ATTRIBUTES, V2_0)]
    protection_storage_masks: Annotated[ProtectionStorageMasks | None, since(V2_0)] = None


@structure
class CreateSplitKeyResponse:
    unique_identifier: list[Identifier]


@operation(Operation.CREATE_SPLIT_KEY, since=V1_2)
def create_split_key(ctx: Context, request: CreateSplitKeyRequest) -> CreateSplitKeyResponse:
    """Object Type is Split Key in the conformance cases TC-SJ; that of the key to be split is understood as well."""
    kind = request.object_type
    if kind is not ObjectType.SPLIT_KEY and kind not in SPLITTABLE:
        raise KmipError(Cause.INVALID_OBJECT_TYPE, f"a {kind.text} cannot be split")
    check_storage_masks(ctx.settings, request.protection_storage_masks)
    asked = ctx.requested(request.attributes)
    check_client_attributes(asked, ObjectType.SPLIT_KEY, ctx.settings)
    if request.unique_identifier is None:
        block, policy, bag = generate_symmetric_key(ctx, asked).key_block, "", asked
        secret = octets(block)
    else:
        base = _base(ctx, request)
        block, policy, bag = key_block(ctx, base), base.stored.policy, _inherited(base, asked)
        secret = _secret(base.object_type, block)
    scheme = splitkey.Scheme(
        request.split_key_method,
        request.split_key_parts,
        request.split_key_threshold,
        request.prime_field_size,
        request.split_key_polynomial,
        max_parts=ctx.settings.maximum_split_key_parts,
    )
    identifiers: list[Any] = []
    for number, part in enumerate(splitkey.split(secret, scheme, ctx.random), 1):
        body = SplitKey(
            split_key_parts=scheme.parts,
            key_part_identifier=number,
            split_key_threshold=scheme.threshold,
            split_key_method=scheme.method,
            prime_field_size=scheme.prime_field_size,
            split_key_polynomial=scheme.polynomial,
            key_block=KeyBlock(
                key_format_type=KeyFormatType.RAW,
                key_value=plain_key_value(part),
                cryptographic_algorithm=block.cryptographic_algorithm,
                cryptographic_length=block.cryptographic_length,
            ),
        )
        new = NewObject(ObjectType.SPLIT_KEY, bag, ctx.settings, generated=True, policy=policy)
        identifiers.append(ctx.insert(seal_body(new, body)).unique_identifier)
    for uid in reversed(identifiers):
        ctx.remember(UniqueIdentifier.CREATE_SPLIT_KEY, uid, placeholder=uid == identifiers[0])
    return CreateSplitKeyResponse(unique_identifier=identifiers)


def _base(ctx: Context, request: CreateSplitKeyRequest) -> ManagedObject:
    """The object to be split. Raises KmipError."""
    base = ctx.object(request.unique_identifier)
    base.require_alive(ctx.now)
    if base.object_type not in SPLITTABLE:
        raise KmipError(Cause.INVALID_OBJECT_TYPE, f"a {base.object_type.text} cannot be split")
    if request.object_type not in (ObjectType.SPLIT_KEY, base.object_type):
        raise KmipError(Cause.INVALID_FIELD, f"the object is not a {request.object_type.text}")
    return base


def _inherited(base: ManagedObject, asked: AttributeBag) -> AttributeBag:
    """ "If the attributes supplied in the request do not match those of the key supplied, the attributes of the key take
    precedence": what a part could be used for to get at the key is the key's."""
    bag = combined(asked, None)
    for tag in _OF_THE_KEY:
        bag.set(tag, base.attributes.get(tag))
    return bag


def _secret(kind: ObjectType, block: KeyBlock) -> bytes:
    """The octets to be split: a private key's are its PKCS#8 encoding, from which Join Split Key can tell what it is."""
    if kind is not ObjectType.PRIVATE_KEY:
        return octets(block)
    material = material_of(converted(kind, block, KeyFormatType.PKCS_8, None))
    assert isinstance(material, bytes)
    return material
