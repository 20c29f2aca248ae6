"""Derive Key (KMIP 2.1 §6.1.14, §7.12): a Symmetric Key or Secret Data from keys and Secret Data that the server has.

The first object is the derivation key; a second one is Secret Data with the derivation data, or for the method Asymmetric
Key the other half of an agreement. The work is bounded by `Settings.maximum_pbkdf2_iterations`, for a message's items
together, and by the longest output.
"""

from __future__ import annotations

from typing import Annotated, Any

from kmipsrv.crypto import formats, kdf, keygen
from kmipsrv.crypto.parameters import Parameters
from kmipsrv.domain.creation import NewObject, check_client_attributes, seal_body
from kmipsrv.domain.managed_object import ManagedObject
from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._context import Context
from kmipsrv.operations._key_use import parameters_of
from kmipsrv.operations._links import link_to
from kmipsrv.operations._registry import operation
from kmipsrv.operations._secret_octets import inherited_policy, key_block, octets
from kmipsrv.operations._stored_keys import open_key
from kmipsrv.operations.create import in_requested_format, raw_block
from kmipsrv.spec.attribute_bag import AttributeBag
from kmipsrv.spec.attribute_codec import Attributes
from kmipsrv.spec.enums import (
    CryptographicUsageMask,
    DerivationMethod,
    KeyFormatType,
    LinkType,
    ObjectType,
    Operation,
    SecretDataType,
    State,
    UniqueIdentifier,
)
from kmipsrv.spec.objects import KeyBlock, SecretData, SymmetricKey, plain_key_value
from kmipsrv.spec.schema import structure
from kmipsrv.spec.structures import DerivationParameters
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.types import Identifier, wire
from kmipsrv.spec.versions import V1_0, V1_4, V2_0

# The methods that derive from a key or from data, never from both.
_ONE_INPUT = frozenset((DerivationMethod.PBKDF2, DerivationMethod.HASH))
_SECRET = (ObjectType.SYMMETRIC_KEY, ObjectType.SECRET_DATA)


@structure
class DeriveKeyRequest:
    object_type: ObjectType
    unique_identifier: list[Identifier]
    derivation_method: DerivationMethod
    derivation_parameters: DerivationParameters
    attributes: Annotated[Attributes, wire(Tag.TEMPLATE_ATTRIBUTE, V1_0, V1_4), wire(Tag.ATTRIBUTES, V2_0)]


@structure
class DeriveKeyResponse:
    unique_identifier: Identifier


@operation(Operation.DERIVE_KEY)
def derive_key(ctx: Context, request: DeriveKeyRequest) -> DeriveKeyResponse:
    kind, method = request.object_type, request.derivation_method
    if kind not in _SECRET:
        raise KmipError(Cause.INVALID_OBJECT_TYPE, f"a {kind.text} cannot be derived")
    if not method.exists_in(ctx.version):
        raise KmipError(Cause.INVALID_FIELD, f"KMIP {ctx.version} has no Derivation Method {method.text}")
    bases = _bases(ctx, request.unique_identifier)
    bag = ctx.requested(request.attributes)
    check_client_attributes(bag, kind, ctx.settings)
    length = _length(kind, bag)
    limits = kdf.Limits(ctx.effort.iterations.left, ctx.settings.maximum_random_bytes)
    parameters = parameters_of(request.derivation_parameters.cryptographic_parameters)
    if method is DerivationMethod.ASYMMETRIC_KEY:
        _refuse_data(request.derivation_parameters)
        derived = kdf.agree(*_pair(ctx, bases), parameters, length, limits)
    else:
        given = _derivation(ctx, method, bases, request.derivation_parameters, parameters)
        derived = kdf.derive(method, given, length, limits)
        ctx.effort.iterations.spend(kdf.iterations(method, given, length))
    for base in bases:
        bag.add(Tag.LINK, link_to(LinkType.DERIVATION_BASE_OBJECT_LINK, base.unique_identifier))
    new = NewObject(kind, bag, ctx.settings, generated=True, policy=inherited_policy(bases))
    obj = ctx.insert(seal_body(new, _body(kind, derived, bag)))
    for base in bases:
        base.attributes.add(Tag.LINK, link_to(LinkType.DERIVED_KEY_LINK, obj.unique_identifier))
        base.touch(ctx.now)
        ctx.save(base)
    ctx.remember(UniqueIdentifier.DERIVE_KEY, obj.unique_identifier)
    return DeriveKeyResponse(unique_identifier=obj.unique_identifier)


def _bases(ctx: Context, identifiers: list[Any]) -> list[ManagedObject]:
    """The objects derived from, each able to be. Raises KmipError."""
    if any(each is UniqueIdentifier.ID_PLACEHOLDER for each in identifiers):
        # "the current value of the ID Placeholder SHALL NOT be used in place of a Unique Identifier in this operation"
        raise KmipError(Cause.INVALID_FIELD, "Derive Key does not take the ID Placeholder")
    bases = [ctx.object(each) for each in identifiers]
    if len(bases) > 2 or len({obj.unique_identifier for obj in bases}) < len(bases):
        raise KmipError(Cause.INVALID_FIELD, "keys are derived from one object, or from two different ones")
    for obj in bases:
        if obj.object_type not in (*_SECRET, ObjectType.PRIVATE_KEY, ObjectType.PUBLIC_KEY):
            raise KmipError(Cause.INVALID_OBJECT_TYPE, f"no key is derived from a {obj.object_type.text}")
        obj.require_alive(ctx.now)
        if not obj.usage_mask & CryptographicUsageMask.DERIVE_KEY:
            raise KmipError(
                Cause.INCOMPATIBLE_CRYPTOGRAPHIC_USAGE_MASK, "the Cryptographic Usage Mask does not permit derivation"
            )
        if obj.state(ctx.now) is not State.ACTIVE:
            raise KmipError(Cause.WRONG_KEY_LIFECYCLE_STATE, "a key that is derived from has to be Active")
    return bases


def _length(kind: ObjectType, bag: AttributeBag) -> int:
    """The length of the derived octets in bytes. Raises KmipError(INVALID_FIELD | INVALID_ATTRIBUTE_VALUE)."""
    bits, algorithm = bag.get(Tag.CRYPTOGRAPHIC_LENGTH), bag.get(Tag.CRYPTOGRAPHIC_ALGORITHM)
    if bits is None:
        raise KmipError(Cause.INVALID_FIELD, "Cryptographic Length is missing")
    if kind is ObjectType.SYMMETRIC_KEY:
        if algorithm is None:
            raise KmipError(Cause.INVALID_FIELD, "Cryptographic Algorithm is missing")
        return keygen.key_bytes(algorithm, bits)
    if bits % 8 or bits <= 0:
        raise KmipError(Cause.INVALID_ATTRIBUTE_VALUE, "Cryptographic Length is not that of whole bytes")
    return int(bits // 8)


def _derivation(
    ctx: Context,
    method: DerivationMethod,
    bases: list[ManagedObject],
    given: DerivationParameters,
    parameters: Parameters,
) -> kdf.Derivation:
    """What the method gets. Raises KmipError."""
    for obj in bases:
        if obj.object_type not in _SECRET:
            raise KmipError(Cause.INVALID_OBJECT_TYPE, f"{method.text} derives from secret keys and Secret Data")
    data = tuple(given.derivation_data)
    if data and (len(bases) > 1 or method in _ONE_INPUT):
        # "If both are provided, then an error SHALL be returned" (§7.12): Invalid Message (1.4 §11.7).
        raise KmipError(Cause.INVALID_MESSAGE, "Derivation Data are given twice: by value and by an object")
    if len(bases) > 1:
        if bases[1].object_type is not ObjectType.SECRET_DATA or method in _ONE_INPUT:
            raise KmipError(Cause.INVALID_FIELD, f"{method.text} does not derive from these two objects")
        data = (octets(key_block(ctx, bases[1])),)
    block = key_block(ctx, bases[0])
    return kdf.Derivation(
        key=octets(block),
        key_algorithm=block.cryptographic_algorithm or bases[0].attributes.get(Tag.CRYPTOGRAPHIC_ALGORITHM),
        parameters=parameters,
        data=data,
        iv=given.initialization_vector,
        salt=given.salt,
        iteration_count=given.iteration_count,
        allow_legacy=ctx.settings.allow_legacy_algorithms,
    )


def _refuse_data(given: DerivationParameters) -> None:
    if (
        given.derivation_data
        or given.initialization_vector is not None
        or given.salt is not None
        or given.iteration_count is not None
    ):
        raise KmipError(Cause.BAD_CRYPTOGRAPHIC_PARAMETERS, "an agreement of keys takes Cryptographic Parameters only")


def _pair(ctx: Context, bases: list[ManagedObject]) -> tuple[formats.PrivateKey, formats.PublicKey]:
    """The private and the public key of an agreement, in either order. Raises KmipError."""
    by_kind = {obj.object_type: obj for obj in bases}
    if set(by_kind) != {ObjectType.PRIVATE_KEY, ObjectType.PUBLIC_KEY}:
        raise KmipError(Cause.INVALID_OBJECT_TYPE, "Asymmetric Key derives from a Private Key and a Public Key")
    private: Any = open_key(ctx, by_kind[ObjectType.PRIVATE_KEY])
    public: Any = open_key(ctx, by_kind[ObjectType.PUBLIC_KEY])
    return private, public


def _body(kind: ObjectType, derived: bytes, bag: AttributeBag) -> SymmetricKey | SecretData:
    if kind is ObjectType.SYMMETRIC_KEY:
        algorithm, length = bag.get(Tag.CRYPTOGRAPHIC_ALGORITHM), bag.get(Tag.CRYPTOGRAPHIC_LENGTH)
        return SymmetricKey(key_block=in_requested_format(kind, raw_block(derived, algorithm, length), bag))
    block = KeyBlock(key_format_type=KeyFormatType.RAW, key_value=plain_key_value(derived))
    return SecretData(secret_data_type=SecretDataType.SEED, key_block=in_requested_format(kind, block, bag))
