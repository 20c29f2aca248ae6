"""Join Split Key (KMIP 2.1 §6.1.27, §13.1; since 1.2): the key that parts were made of."""

from __future__ import annotations

from typing import Annotated, Any

from kmipsrv.crypto import formats, keygen, splitkey
from kmipsrv.domain.creation import NewObject, check_client_attributes, seal_body, set_algorithm
from kmipsrv.domain.grant import Purpose
from kmipsrv.domain.managed_object import Flag, ManagedObject
from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._context import Context
from kmipsrv.operations._key_material import key_value_of
from kmipsrv.operations._registry import operation
from kmipsrv.operations._secret_octets import inherited_policy, octets
from kmipsrv.operations._storage_masks import check_storage_masks
from kmipsrv.operations._stored_keys import unwrapped
from kmipsrv.operations.create import in_requested_format, raw_block
from kmipsrv.operations.create_key_pair import stored_format
from kmipsrv.operations.create_split_key import SPLITTABLE
from kmipsrv.spec.attribute_codec import Attributes
from kmipsrv.spec.enums import KeyFormatType, ObjectType, Operation, SecretDataType, UniqueIdentifier
from kmipsrv.spec.objects import KeyBlock, PrivateKey, SecretData, SplitKey, SymmetricKey, plain_key_value
from kmipsrv.spec.schema import structure
from kmipsrv.spec.structures import ProtectionStorageMasks
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.types import Identifier, since, wire
from kmipsrv.spec.versions import V1_0, V1_2, V1_4, V2_0


@structure
class JoinSplitKeyRequest:
    object_type: ObjectType
    unique_identifier: list[Identifier]
    secret_data_type: SecretDataType | None = None
    attributes: Annotated[Attributes | None, wire(Tag.TEMPLATE_ATTRIBUTE, V1_0, V1_4), wire(Tag.ATTRIBUTES, V2_0)] = (
        None
    )
    protection_storage_masks: Annotated[ProtectionStorageMasks | None, since(V2_0)] = None


@structure
class JoinSplitKeyResponse:
    unique_identifier: Identifier


@operation(Operation.JOIN_SPLIT_KEY, since=V1_2)
def join_split_key(ctx: Context, request: JoinSplitKeyRequest) -> JoinSplitKeyResponse:
    kind = request.object_type
    if kind not in SPLITTABLE:
        raise KmipError(Cause.INVALID_OBJECT_TYPE, f"parts are not joined to a {kind.text}")
    if request.secret_data_type is not None and kind is not ObjectType.SECRET_DATA:
        raise KmipError(Cause.INVALID_FIELD, f"a {kind.text} has no Secret Data Type")
    if len(request.unique_identifier) > ctx.settings.maximum_split_key_parts:
        raise KmipError(Cause.SERVER_LIMIT_EXCEEDED, "too many parts")
    check_storage_masks(ctx.settings, request.protection_storage_masks)
    objects = [_part(ctx, uid) for uid in request.unique_identifier]
    bag = ctx.requested(request.attributes)
    check_client_attributes(bag, kind, ctx.settings)
    # A part that may not leave in clear is not let out by way of the whole.
    for tag, flag, strict in ((Tag.SENSITIVE, Flag.SENSITIVE, True), (Tag.EXTRACTABLE, Flag.EXTRACTABLE, False)):
        if any(obj.flag(flag) is strict for obj in objects):
            bag.set(tag, strict)
    new = NewObject(kind, bag, ctx.settings, generated=False, policy=inherited_policy(objects))
    parts: list[SplitKey] = [ctx.body(obj, Purpose.USE) for obj in objects]
    secret = _joined(ctx, objects, parts)
    obj = ctx.insert(seal_body(new, _body(new, secret, parts[0].key_block, request.secret_data_type)))
    ctx.remember(UniqueIdentifier.JOIN_SPLIT_KEY, obj.unique_identifier)
    return JoinSplitKeyResponse(unique_identifier=obj.unique_identifier)


def _part(ctx: Context, reference: Any) -> ManagedObject:
    obj = ctx.object(reference)
    if obj.object_type is not ObjectType.SPLIT_KEY:
        raise KmipError(Cause.INVALID_OBJECT_TYPE, "the object is not a Split Key")
    obj.require_alive(ctx.now)
    return obj


def _joined(ctx: Context, objects: list[ManagedObject], parts: list[SplitKey]) -> bytes:
    """The secret. Raises KmipError(CRYPTOGRAPHIC_FAILURE) for too few parts or parts of different keys."""
    first = parts[0]
    scheme = splitkey.Scheme(
        first.split_key_method,
        first.split_key_parts,
        first.split_key_threshold,
        first.prime_field_size,
        first.split_key_polynomial,
        max_parts=ctx.settings.maximum_split_key_parts,
    )
    shares: dict[int, bytes] = {}
    for part in parts:
        described = (
            part.split_key_method,
            part.split_key_parts,
            part.split_key_threshold,
            part.prime_field_size,
            part.split_key_polynomial,
        )
        if described != (scheme.method, scheme.parts, scheme.threshold, scheme.prime_field_size, scheme.polynomial):
            raise KmipError(Cause.CRYPTOGRAPHIC_FAILURE, "the parts do not belong to the same split key")
        share = octets(unwrapped(ctx, part.key_block))
        if shares.setdefault(part.key_part_identifier, share) != share:
            raise KmipError(Cause.CRYPTOGRAPHIC_FAILURE, "two different parts have the same Key Part Identifier")
    return splitkey.join(shares, scheme, length=_length(objects[0]))


def _length(part: ManagedObject) -> int | None:
    """The bytes of the whole, where the part knows them: a prime field does not keep leading zeros."""
    bits, algorithm = part.attributes.get(Tag.CRYPTOGRAPHIC_LENGTH), part.attributes.get(Tag.CRYPTOGRAPHIC_ALGORITHM)
    if bits is None or (algorithm is not None and algorithm not in keygen.SYMMETRIC_LENGTHS):
        return None
    return int(bits) // 8 if algorithm is None else keygen.key_bytes(algorithm, bits)


def _body(
    new: NewObject, secret: bytes, part: KeyBlock, secret_data_type: SecretDataType | None
) -> SymmetricKey | SecretData | PrivateKey:
    bag = new.attributes
    if new.object_type is ObjectType.SECRET_DATA:
        block = KeyBlock(key_format_type=KeyFormatType.RAW, key_value=plain_key_value(secret))
        new.server.set(Tag.CRYPTOGRAPHIC_LENGTH, 8 * len(secret))
        block = in_requested_format(new.object_type, block, bag)
        return SecretData(secret_data_type=secret_data_type or SecretDataType.SEED, key_block=block)
    if new.object_type is ObjectType.PRIVATE_KEY:
        key = formats.load_private(KeyFormatType.PKCS_8, secret)
        facts = formats.facts(key)
        set_algorithm(new, facts.algorithm, facts.length)
        form = bag.get(Tag.KEY_FORMAT_TYPE) or stored_format(ObjectType.PRIVATE_KEY, facts.algorithm)
        block = KeyBlock(
            key_format_type=form,
            key_value=key_value_of(form, formats.dump_private(key, form)),
            cryptographic_algorithm=facts.algorithm,
            cryptographic_length=facts.length,
        )
        return PrivateKey(key_block=block)
    set_algorithm(new, part.cryptographic_algorithm, part.cryptographic_length)
    algorithm = part.cryptographic_algorithm or bag.get(Tag.CRYPTOGRAPHIC_ALGORITHM)
    if algorithm is None:
        raise KmipError(Cause.INVALID_FIELD, "Cryptographic Algorithm is missing")
    length = bag.get(Tag.CRYPTOGRAPHIC_LENGTH, part.cryptographic_length)
    if length is None:
        length = keygen.symmetric_length(algorithm, secret)
    keygen.check_symmetric(algorithm, length, secret)
    return SymmetricKey(key_block=in_requested_format(new.object_type, raw_block(secret, algorithm, length), bag))
