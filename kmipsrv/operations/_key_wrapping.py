"""Key wrapping (KMIP 2.1 §7.18 Key Wrapping Specification, §3.3 Key Wrapping Data; 1.4 §2.1.5, §2.1.6).

A Key Wrapping Specification makes a Key Block whose Key Value is a Byte String. What it names is found and judged like the
key of any cryptographic operation, and its Cryptographic Parameters SHALL "match one of the instances of the Cryptographic
Parameters attribute of the corresponding key".
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final

from kmipsrv.crypto import keywrap
from kmipsrv.crypto.keywrap import WrappingKey
from kmipsrv.domain.managed_object import ManagedObject
from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._context import Context
from kmipsrv.operations._key_use import SIGN, WRAP, WRAP_MAC, parameters_of, require, spend
from kmipsrv.operations._stored_keys import KeyInformation, algorithm_of, open_key, other_half, wrapping_object
from kmipsrv.spec.attribute_bag import AttributeBag
from kmipsrv.spec.attribute_codec import SpreadAttributes, key_of_name
from kmipsrv.spec.enums import EncodingOption, LinkType, ObjectType, WrappingMethod
from kmipsrv.spec.objects import KeyBlock, key_material, plain_key_value
from kmipsrv.spec.structures import (
    CryptographicParameters,
    EncryptionKeyInformation,
    KeyWrappingData,
    KeyWrappingSpecification,
    MACSignatureKeyInformation,
)
from kmipsrv.spec.tags import Tag
from kmipsrv.ttlv.codec import BYTE_STRING, STRUCTURE, Item, encode

HIDES: Final = frozenset(
    (WrappingMethod.ENCRYPT, WrappingMethod.ENCRYPT_THEN_MAC_SIGN, WrappingMethod.MAC_SIGN_THEN_ENCRYPT)
)
"""The Wrapping Methods after which nobody reads the key: MAC/sign alone leaves it in clear."""

_PARAMETERS: Final = tuple(field.name for field in fields(CryptographicParameters))


def wrapped(
    ctx: Context, obj: ManagedObject, block: KeyBlock, wanted: KeyWrappingSpecification, *, inside: bool = False
) -> KeyBlock:
    """The Key Block of `obj`, in clear, wrapped as the client wants it. Raises KmipError.

    `inside`: put the wrapped octets into a Key Material, as TC-WRAP-3-14 has it for a key that came so."""
    value = _encoded(ctx, obj, block, wanted)
    encryption = authentication = None
    if wanted.encryption_key_information is not None:
        encryption = _encryption_key(ctx, wanted.encryption_key_information, len(value))
    if wanted.mac_signature_key_information is not None:
        authentication = _authentication_key(ctx, wanted.mac_signature_key_information, len(value))
    made = keywrap.wrap(
        wanted.wrapping_method,
        value,
        encryption=encryption,
        authentication=authentication,
        random=ctx.random,
        allow_legacy=ctx.settings.allow_legacy_algorithms,
    )
    plain = wanted.encoding_option is EncodingOption.NO_ENCODING
    return KeyBlock(
        key_format_type=block.key_format_type,
        key_compression_type=block.key_compression_type,
        key_value=plain_key_value(made.data) if inside and plain else (BYTE_STRING, made.data),
        cryptographic_algorithm=block.cryptographic_algorithm,
        cryptographic_length=block.cryptographic_length,
        key_wrapping_data=KeyWrappingData(
            wrapping_method=wanted.wrapping_method,
            encryption_key_information=_settled(ctx, EncryptionKeyInformation, wanted.encryption_key_information),
            mac_signature_key_information=_settled(
                ctx, MACSignatureKeyInformation, wanted.mac_signature_key_information
            ),
            mac_signature=made.mac_signature,
            iv_counter_nonce=made.iv,
            encoding_option=wanted.encoding_option,
        ),
    )


def _settled(ctx: Context, kind: Any, information: KeyInformation | None) -> Any:
    """The Key Information for whoever unwraps: the same, its key named by its own Unique Identifier."""
    if information is None:
        return None
    return kind(
        unique_identifier=ctx.resolve(information.unique_identifier),
        cryptographic_parameters=information.cryptographic_parameters,
    )


# ---------------------------------------------------------------------------------------------------- what is wrapped


def _encoded(ctx: Context, obj: ManagedObject, block: KeyBlock, wanted: KeyWrappingSpecification) -> bytes:
    """What is wrapped: the TTLV-encoded Key Value, attributes included, or "the wrapped un-encoded value of the Byte
    String Key Material field". Raises KmipError(ENCODING_OPTION_ERROR | KEY_VALUE_NOT_PRESENT)."""
    material = key_material(block)
    if wanted.encoding_option is EncodingOption.NO_ENCODING:
        if wanted.attribute_name:
            raise KmipError(Cause.ENCODING_OPTION_ERROR, "with No Encoding the Key Value SHALL NOT contain attributes")
        if not isinstance(material, bytes):
            raise KmipError(Cause.ENCODING_OPTION_ERROR, "No Encoding needs a Key Material that is a Byte String")
        return material
    _, content = plain_key_value(material)
    items: list[Item] = content + _attributes(ctx, obj, wanted.attribute_name)
    return encode((Tag.KEY_VALUE, STRUCTURE, items))


def _attributes(ctx: Context, obj: ManagedObject, names: list[str]) -> list[Item]:
    """The attributes of these names, "associated and encapsulated with the key material", as the version writes them."""
    if not names:
        return []
    has, chosen = obj.all_attributes(ctx.now), SpreadAttributes()
    for name in names:
        key = key_of_name(name, ctx.version)
        if key not in chosen:
            _take(has, chosen, key)
    return chosen.write_items(Tag.ATTRIBUTE, ctx.version) if len(chosen) else []


def _take(has: AttributeBag, chosen: AttributeBag, key: Any) -> None:
    for index, value in has.instances(key):
        chosen.add(key, value, index)


# ---------------------------------------------------------------------------------------------------- the keys


def _encryption_key(ctx: Context, information: EncryptionKeyInformation, octets: int) -> WrappingKey:
    obj = wrapping_object(lambda: _alive(ctx, ctx.object(information.unique_identifier)))
    require(obj, WRAP, ctx.now)
    return _opened(ctx, obj, information, octets)


def _authentication_key(ctx: Context, information: MACSignatureKeyInformation, octets: int) -> WrappingKey:
    """ "Either the Unique Identifier of the Symmetric Key used to MAC, or of the Private Key (or its corresponding Public
    Key) used to sign"."""

    def find() -> ManagedObject:
        named = ctx.object(information.unique_identifier)
        return _alive(ctx, other_half(ctx, named, ObjectType.PUBLIC_KEY, LinkType.PRIVATE_KEY_LINK))

    obj = wrapping_object(find)
    require(obj, WRAP_MAC if obj.object_type is ObjectType.SYMMETRIC_KEY else SIGN, ctx.now)
    return _opened(ctx, obj, information, octets)


def _alive(ctx: Context, obj: ManagedObject) -> ManagedObject:
    obj.require_alive(ctx.now)
    return obj


def _opened(ctx: Context, obj: ManagedObject, information: KeyInformation, octets: int) -> WrappingKey:
    parameters = parameters_of(_matching(obj, information.cryptographic_parameters))
    spend(ctx, obj, octets)
    key = open_key(ctx, obj)
    return WrappingKey(algorithm_of(obj, key, parameters), key, parameters)


def _matching(obj: ManagedObject, given: CryptographicParameters | None) -> CryptographicParameters:
    """The Cryptographic Parameters to wrap with: those given, if an instance of the key's has all of them, else the first.

    "If the corresponding key does not have any Cryptographic Parameters attribute, or if no match is found, then an error
    is returned." Raises KmipError(BAD_CRYPTOGRAPHIC_PARAMETERS)."""
    own: list[CryptographicParameters] = obj.attributes.values(Tag.CRYPTOGRAPHIC_PARAMETERS)
    if given is None and own:
        return own[0]
    for each in own:
        if given is not None and all(getattr(given, n) in (None, getattr(each, n)) for n in _PARAMETERS):
            return given
    raise KmipError(
        Cause.BAD_CRYPTOGRAPHIC_PARAMETERS, "the wrapping key's own Cryptographic Parameters do not match the request's"
    )
