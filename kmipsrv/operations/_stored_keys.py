"""A stored object -> the key to compute with: material through the gate, unwrapped where it was registered wrapped, parsed.

Nothing here leaves the server: whoever returns key material (Get, Export) opens it for that purpose.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

from kmipsrv.crypto import certificates, formats, keywrap
from kmipsrv.crypto.failures import failure
from kmipsrv.crypto.keywrap import WrappingKey
from kmipsrv.crypto.parameters import Parameters
from kmipsrv.domain.grant import Purpose
from kmipsrv.domain.managed_object import ManagedObject
from kmipsrv.domain.settings import Settings
from kmipsrv.errors import Cause, KmipError, TTLVError
from kmipsrv.operations._context import Context, Reference
from kmipsrv.operations._key_material import material_of
from kmipsrv.operations._key_use import SIGNATURE_VERIFY, UNWRAP, UNWRAP_MAC, Use, parameters_of, usable
from kmipsrv.spec.enums import CryptographicAlgorithm, EncodingOption, LinkType, ObjectType
from kmipsrv.spec.objects import KeyBlock, key_material, plain_key_value
from kmipsrv.spec.structures import EncryptionKeyInformation, MACSignatureKeyInformation
from kmipsrv.spec.tags import Tag
from kmipsrv.ttlv.codec import BYTE_STRING, STRUCTURE, decode

Key = bytes | formats.PrivateKey | formats.PublicKey
K = TypeVar("K", bound=formats.PrivateKey | formats.PublicKey)
KeyInformation = EncryptionKeyInformation | MACSignatureKeyInformation

_A: Final = CryptographicAlgorithm
_BOUNDED: Final = frozenset((_A.RSA, _A.DSA, _A.DH))  # the algorithms whose sizes a client chooses freely
_MAXIMUM_WRAPPERS: Final = 4  # a key wrapped by a key wrapped by a key …


def open_key(ctx: Context, obj: ManagedObject, *, wrappers: int = 0) -> Key:
    """The key of a symmetric key, secret data, public or private key, or certificate object. Raises KmipError.

    `wrappers` counts the keys that have been unwrapped on the way here."""
    kind, body = obj.object_type, ctx.body(obj, Purpose.USE)
    if kind is ObjectType.CERTIFICATE:
        return _bounded(certificates.public_key(body.certificate_value), ctx.settings)
    block: KeyBlock = body.key_block
    wrapped = block.key_wrapping_data is not None
    if wrapped:
        block = unwrapped(ctx, block, wrappers=wrappers)
    return parse(ctx.settings, obj, block, check=wrapped)


# What a Use (operations/_key_use.py) lets through, told to the type checker: the object's type decides the key's.


def open_encrypting(ctx: Context, obj: ManagedObject) -> bytes | formats.PublicKey:
    return cast("bytes | formats.PublicKey", open_key(ctx, obj))


def open_decrypting(ctx: Context, obj: ManagedObject) -> bytes | formats.PrivateKey:
    return cast("bytes | formats.PrivateKey", open_key(ctx, obj))


def open_signing(ctx: Context, obj: ManagedObject) -> formats.PrivateKey:
    return cast("formats.PrivateKey", open_key(ctx, obj))


def open_verifying(ctx: Context, obj: ManagedObject) -> formats.PublicKey:
    return cast("formats.PublicKey", open_key(ctx, obj))


def open_secret(ctx: Context, obj: ManagedObject) -> bytes:
    return cast("bytes", open_key(ctx, obj))


def parse(settings: Settings, obj: ManagedObject, block: KeyBlock, *, check: bool) -> Key:
    """The key in an unwrapped Key Block of this object. `check`: the material has not been looked at before."""
    material, form = material_of(block), block.key_format_type
    if obj.object_type in (ObjectType.SYMMETRIC_KEY, ObjectType.SECRET_DATA):
        return formats.symmetric_bytes(material)
    algorithm = block.cryptographic_algorithm or obj.attributes.get(Tag.CRYPTOGRAPHIC_ALGORITHM)
    domain = obj.attributes.get(Tag.CRYPTOGRAPHIC_DOMAIN_PARAMETERS)
    curve = None if domain is None else domain.recommended_curve
    if obj.object_type is ObjectType.PRIVATE_KEY:
        private = formats.load_private(form, material, algorithm=algorithm, curve=curve, check=check)
        return _bounded(private, settings)
    if obj.object_type is ObjectType.PUBLIC_KEY:
        return _bounded(formats.load_public(form, material, algorithm=algorithm, curve=curve), settings)
    raise KmipError(Cause.INVALID_OBJECT_TYPE, f"a {obj.object_type.text} is no key to compute with")


def algorithm_of(obj: ManagedObject, key: Key, parameters: Parameters) -> CryptographicAlgorithm:
    """What a key is for: its object's Cryptographic Algorithm; secret data has none, there the parameters say it."""
    if not isinstance(key, bytes):
        return formats.facts(key).algorithm
    found = obj.stored.cryptographic_algorithm or parameters.cryptographic_algorithm
    if found is None:
        raise KmipError(Cause.BAD_CRYPTOGRAPHIC_PARAMETERS, "no Cryptographic Algorithm is known for this object")
    return CryptographicAlgorithm(found)


def require_cipher(obj: ManagedObject, algorithm: CryptographicAlgorithm) -> None:
    """Raises KmipError(INVALID_OBJECT_TYPE): secret data encrypts and decrypts as a One Time Pad (TC-OTP-1) or not."""
    if obj.object_type is ObjectType.SECRET_DATA and algorithm is not _A.ONE_TIME_PAD:
        raise KmipError(Cause.INVALID_OBJECT_TYPE, "Secret Data cannot be used for this, unless it is a One Time Pad")


def _bounded(key: K, settings: Settings) -> K:
    """The key, if its size is within the bounds. Raises KmipError(SERVER_LIMIT_EXCEEDED)."""
    check_size(formats.facts(key), settings)
    return key


def check_size(found: formats.Facts, settings: Settings) -> None:
    """Raises KmipError(SERVER_LIMIT_EXCEEDED) for a key whose size would take the server's time."""
    longest = settings.maximum_rsa_bits if found.algorithm is _A.RSA else settings.maximum_dh_bits
    if found.algorithm in _BOUNDED and found.length > longest:
        raise KmipError(Cause.SERVER_LIMIT_EXCEEDED, f"{found.algorithm.text} keys of at most {longest} bits are taken")


# ---------------------------------------------------------------------------------------------------------- unwrapping


def wrapping_object(find: Callable[[], ManagedObject]) -> ManagedObject:
    """What `find` finds, a wrapping key: what is wrong with it is told apart from what is wrong with the wrapped one."""
    try:
        return find()
    except KmipError as error:
        cause = _WRAPPING_CAUSES.get(error.cause)
        if cause is None:
            raise
        raise KmipError(cause, "the wrapping key: " + error.message) from error


_WRAPPING_CAUSES: Final = {
    Cause.OBJECT_NOT_FOUND: Cause.WRAPPING_OBJECT_NOT_FOUND,
    Cause.OBJECT_ARCHIVED: Cause.WRAPPING_OBJECT_ARCHIVED,
    Cause.OBJECT_DESTROYED: Cause.WRAPPING_OBJECT_DESTROYED,
}


def other_half(ctx: Context, obj: ManagedObject, kind: ObjectType, link: LinkType) -> ManagedObject:
    """The key pair's half that is needed where the other one is named: "the Private Key (or its corresponding Public
    Key)" (§3.3). The object itself when it is no `kind` or has no such Link."""
    if obj.object_type is not kind:
        return obj
    links = (each for each in obj.attributes.values(Tag.LINK) if each.link_type is link)
    found = next(links, None)
    return obj if found is None else ctx.object(found.linked_object_identifier)


def unwrapped(ctx: Context, block: KeyBlock, *, wrappers: int = 0) -> KeyBlock:
    """A wrapped Key Block in clear, by wrapping keys that the caller has here. Raises KmipError.

    The attributes that were wrapped with the material stay behind: the object has its own."""
    data = block.key_wrapping_data
    if data is None:
        return block
    if wrappers >= _MAXIMUM_WRAPPERS:
        raise KmipError(Cause.SERVER_LIMIT_EXCEEDED, f"more than {_MAXIMUM_WRAPPERS} keys are wrapped in one another")
    encryption = authentication = None
    if data.encryption_key_information is not None:
        encryption = _unwrapping_key(ctx, data.encryption_key_information, UNWRAP, wrappers)
    if data.mac_signature_key_information is not None:
        authentication = _verifying_key(ctx, data.mac_signature_key_information, wrappers)
    value = keywrap.unwrap(
        data.wrapping_method,
        wrapped_bytes(block),
        encryption=encryption,
        authentication=authentication,
        iv=data.iv_counter_nonce,
        mac_signature=data.mac_signature,
        allow_legacy=ctx.settings.allow_legacy_algorithms,
    )
    return KeyBlock(
        key_format_type=block.key_format_type,
        key_compression_type=block.key_compression_type,
        key_value=_decoded(value, data.encoding_option),
        cryptographic_algorithm=block.cryptographic_algorithm,
        cryptographic_length=block.cryptographic_length,
    )


def wrapped_bytes(block: KeyBlock) -> bytes:
    """The wrapped octets: a Byte String Key Value, or as TC-WRAP-1-14 has it the Key Material inside one."""
    if block.key_value is not None and block.key_value[0] == BYTE_STRING:
        octets: bytes = block.key_value[1]
        return octets
    found = key_material(block)
    if not isinstance(found, bytes):
        raise KmipError(Cause.INVALID_FIELD, "the wrapped Key Material is no Byte String")
    return found


def _decoded(value: bytes, option: EncodingOption | None) -> tuple[int, Any]:
    """The Key Value out of its Encoding Option; absent, it is TTLV. Raises KmipError(CRYPTOGRAPHIC_FAILURE)."""
    if option is EncodingOption.NO_ENCODING:
        return plain_key_value(value)
    try:
        tag, kind, fields = decode(value)
    except TTLVError:
        raise failure("unwrap: what was wrapped is no Key Value") from None
    if tag != Tag.KEY_VALUE or kind != STRUCTURE:
        raise failure("unwrap: what was wrapped is no Key Value")
    return STRUCTURE, [item for item in fields if item[0] == Tag.KEY_MATERIAL]


def _unwrapping_key(ctx: Context, information: KeyInformation, use: Use, wrappers: int) -> WrappingKey:
    reference: Reference = information.unique_identifier

    def find() -> ManagedObject:
        named = ctx.object(reference)
        half = other_half(ctx, named, ObjectType.PUBLIC_KEY, LinkType.PRIVATE_KEY_LINK)
        return usable(ctx, half.unique_identifier, use)

    return wrapping_key(ctx, wrapping_object(find), information, wrappers=wrappers + 1)


def _verifying_key(ctx: Context, information: KeyInformation, wrappers: int) -> WrappingKey:
    reference: Reference = information.unique_identifier

    def find() -> ManagedObject:
        named = ctx.object(reference)
        half = other_half(ctx, named, ObjectType.PRIVATE_KEY, LinkType.PUBLIC_KEY_LINK)
        symmetric = half.object_type is ObjectType.SYMMETRIC_KEY
        return usable(ctx, half.unique_identifier, UNWRAP_MAC if symmetric else SIGNATURE_VERIFY)

    return wrapping_key(ctx, wrapping_object(find), information, wrappers=wrappers + 1)


def wrapping_key(ctx: Context, obj: ManagedObject, information: KeyInformation, *, wrappers: int = 0) -> WrappingKey:
    """The key of a Key Information, opened, with the Cryptographic Parameters that go with it."""
    parameters = parameters_of(information.cryptographic_parameters, obj)
    key = open_key(ctx, obj, wrappers=wrappers)
    return WrappingKey(algorithm_of(obj, key, parameters), key, parameters)
