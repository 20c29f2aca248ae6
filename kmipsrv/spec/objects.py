"""Managed objects and key blocks (KMIP 2.1 §§2, 3; 1.x §2.1-2.2), and the transparent key structures (2.1 §5 ff.).

A Key Value stays the item it came as: a Byte String when it is wrapped, a structure when it is not. `KeyValue` binds the
structure, `key_material_class` says what a transparent Key Material of a Key Format Type looks like.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Self

from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec import enums as e
from kmipsrv.spec.attribute_codec import Attributes, attribute_items
from kmipsrv.spec.enums import KeyFormatType as F
from kmipsrv.spec.schema import bind, structure, unbind
from kmipsrv.spec.structures import KeyWrappingData
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.types import AnyEnumeration, AnyItem, BigInteger, ByteString, Integer, TextString, since
from kmipsrv.spec.versions import NEWEST, V3_0, Version
from kmipsrv.ttlv.codec import BYTE_STRING, ENCODED, STRUCTURE, Item, decode, encode


@structure
class KeyBlock:
    """Key Block (2.1 §3.1). Cryptographic Length in bits."""

    key_format_type: e.KeyFormatType
    key_compression_type: e.KeyCompressionType | None = None
    key_value: AnyItem | None = None
    cryptographic_algorithm: e.CryptographicAlgorithm | None = None
    cryptographic_length: Integer | None = None
    key_wrapping_data: KeyWrappingData | None = None


@structure
class Certificate:
    """Certificate (2.1 §2.1)."""

    certificate_type: e.CertificateType
    certificate_value: ByteString


@structure
class CertificateRequest:
    """Certificate Request (2.1 §2.2)."""

    certificate_request_type: e.CertificateRequestType
    certificate_request_value: ByteString


@structure
class OpaqueObject:
    """Opaque Object (2.1 §2.3). The standard names no Opaque Data Type."""

    opaque_data_type: AnyEnumeration
    opaque_data_value: ByteString


@structure
class PGPKey:
    """PGP Key (2.1 §2.4)."""

    pgp_key_version: Integer
    key_block: KeyBlock


@structure
class PrivateKey:
    """Private Key (2.1 §2.5)."""

    key_block: KeyBlock


@structure
class PublicKey:
    """Public Key (2.1 §2.6)."""

    key_block: KeyBlock


@structure
class SecretData:
    """Secret Data (2.1 §2.7)."""

    secret_data_type: e.SecretDataType
    key_block: KeyBlock


@structure
class SplitKey:
    """Split Key (2.1 §2.8)."""

    split_key_parts: Integer
    key_part_identifier: Integer
    split_key_threshold: Integer
    split_key_method: e.SplitKeyMethod
    prime_field_size: BigInteger | None = None
    split_key_polynomial: Annotated[e.SplitKeyPolynomial | None, since(V3_0)] = None
    key_block: KeyBlock


@structure
class SymmetricKey:
    """Symmetric Key (2.1 §2.9)."""

    key_block: KeyBlock


@structure
class PasswordCredential:
    """Password Credential (3.0). The published tables name its fields and not their types: `Password` is as in a
    Credential, the others are kept as they come."""

    password: TextString | None = None
    password_salt: AnyItem | None = None
    password_salt_algorithm: AnyItem | None = None
    salted_password: AnyItem | None = None
    password_link: AnyItem | None = None


@structure
class DeviceCredential:
    """Device Credential (3.0)."""

    device_serial_number: TextString | None = None
    password: TextString | None = None
    device_identifier: TextString | None = None
    network_identifier: TextString | None = None
    machine_identifier: TextString | None = None
    media_identifier: TextString | None = None


@structure
class OTPCredential:
    """One Time Password Credential (3.0)."""

    otp_algorithm: e.OTPAlgorithm | None = None
    otp_digest: AnyItem | None = None
    otp_serial: AnyItem | None = None
    otp_seed: AnyItem | None = None
    otp_interval: AnyItem | None = None
    otp_digits: AnyItem | None = None
    otp_counter: AnyItem | None = None


@structure
class HashedPasswordCredential:
    """Hashed Password Credential (3.0)."""

    hashed_password_username: TextString | None = None
    hashing_algorithm: e.HashingAlgorithm | None = None
    hashed_password: AnyItem | None = None
    hashed_username_password: AnyItem | None = None


OBJECT_CLASSES: dict[e.ObjectType, type[Any]] = {
    e.ObjectType.CERTIFICATE: Certificate,
    e.ObjectType.SYMMETRIC_KEY: SymmetricKey,
    e.ObjectType.PUBLIC_KEY: PublicKey,
    e.ObjectType.PRIVATE_KEY: PrivateKey,
    e.ObjectType.SPLIT_KEY: SplitKey,
    e.ObjectType.SECRET_DATA: SecretData,
    e.ObjectType.OPAQUE_OBJECT: OpaqueObject,
    e.ObjectType.PGP_KEY: PGPKey,
    e.ObjectType.CERTIFICATE_REQUEST: CertificateRequest,
}
# Objects of 3.0 that Create Credential makes, and nothing else: no client gets them back.
CREDENTIAL_CLASSES: dict[e.ObjectType, type[Any]] = {
    e.ObjectType.PASSWORD_CREDENTIAL: PasswordCredential,
    e.ObjectType.DEVICE_CREDENTIAL: DeviceCredential,
    e.ObjectType.ONE_TIME_PASSWORD_CREDENTIAL: OTPCredential,
    e.ObjectType.HASHED_PASSWORD_CREDENTIAL: HashedPasswordCredential,
    e.ObjectType.CERTIFICATE: Certificate,
}
CREDENTIAL_TAGS: dict[e.ObjectType, Tag] = {
    e.ObjectType.PASSWORD_CREDENTIAL: Tag.PASSWORD_CREDENTIAL,
    e.ObjectType.DEVICE_CREDENTIAL: Tag.DEVICE_CREDENTIAL,
    e.ObjectType.ONE_TIME_PASSWORD_CREDENTIAL: Tag.OTP_CREDENTIAL,
    e.ObjectType.HASHED_PASSWORD_CREDENTIAL: Tag.HASHED_PASSWORD_CREDENTIAL,
    e.ObjectType.CERTIFICATE: Tag.CERTIFICATE,
}
OBJECT_TAGS: dict[e.ObjectType, Tag] = {kind: Tag[kind.name] for kind in (*OBJECT_CLASSES, e.ObjectType.TEMPLATE)}


@structure
class TransparentSymmetricKey:
    """Transparent Symmetric Key (2.1 §3.4)."""

    key: ByteString


@structure
class TransparentDSAPrivateKey:
    p: BigInteger
    q: BigInteger
    g: BigInteger
    x: BigInteger


@structure
class TransparentDSAPublicKey:
    p: BigInteger
    q: BigInteger
    g: BigInteger
    y: BigInteger


@structure
class TransparentRSAPrivateKey:
    """Transparent RSA Private Key: Modulus and what determines the key (2.1 §3.4, table 22)."""

    modulus: BigInteger
    private_exponent: BigInteger | None = None
    public_exponent: BigInteger | None = None
    p: BigInteger | None = None
    q: BigInteger | None = None
    prime_exponent_p: BigInteger | None = None
    prime_exponent_q: BigInteger | None = None
    crt_coefficient: BigInteger | None = None


@structure
class TransparentRSAPublicKey:
    modulus: BigInteger
    public_exponent: BigInteger


@structure
class TransparentDHPrivateKey:
    p: BigInteger
    q: BigInteger | None = None
    g: BigInteger
    j: BigInteger | None = None
    x: BigInteger


@structure
class TransparentDHPublicKey:
    p: BigInteger
    q: BigInteger | None = None
    g: BigInteger
    j: BigInteger | None = None
    y: BigInteger


@structure
class TransparentECPrivateKey:
    """Transparent EC Private Key; its 1.x forms for ECDSA, ECDH and ECMQV are the same structure."""

    recommended_curve: e.RecommendedCurve
    d: BigInteger


@structure
class TransparentECPublicKey:
    recommended_curve: e.RecommendedCurve
    q_string: ByteString


TRANSPARENT: dict[F, type[Any]] = {
    F.TRANSPARENT_SYMMETRIC_KEY: TransparentSymmetricKey,
    F.TRANSPARENT_DSA_PRIVATE_KEY: TransparentDSAPrivateKey,
    F.TRANSPARENT_DSA_PUBLIC_KEY: TransparentDSAPublicKey,
    F.TRANSPARENT_RSA_PRIVATE_KEY: TransparentRSAPrivateKey,
    F.TRANSPARENT_RSA_PUBLIC_KEY: TransparentRSAPublicKey,
    F.TRANSPARENT_DH_PRIVATE_KEY: TransparentDHPrivateKey,
    F.TRANSPARENT_DH_PUBLIC_KEY: TransparentDHPublicKey,
    F.TRANSPARENT_ECDSA_PRIVATE_KEY: TransparentECPrivateKey,
    F.TRANSPARENT_ECDSA_PUBLIC_KEY: TransparentECPublicKey,
    F.TRANSPARENT_ECDH_PRIVATE_KEY: TransparentECPrivateKey,
    F.TRANSPARENT_ECDH_PUBLIC_KEY: TransparentECPublicKey,
    F.TRANSPARENT_ECMQV_PRIVATE_KEY: TransparentECPrivateKey,
    F.TRANSPARENT_ECMQV_PUBLIC_KEY: TransparentECPublicKey,
    F.TRANSPARENT_EC_PRIVATE_KEY: TransparentECPrivateKey,
    F.TRANSPARENT_EC_PUBLIC_KEY: TransparentECPublicKey,
}


class AnyObject:
    """The payload field "Any Object" (2.1 §2): exactly one managed object. `body` is an instance of its class, the
    attributes of a 1.x Template, or the encoded object, which is written as it is."""

    __slots__ = ("body", "kind")

    def __init__(self, kind: e.ObjectType, body: Any) -> None:
        self.kind, self.body = kind, body

    @classmethod
    def tags(cls, row_tag: Tag, version: Version) -> Sequence[int]:
        return [tag for kind, tag in OBJECT_TAGS.items() if kind.exists_in(version)]

    @classmethod
    def read_items(cls, items: list[Item], version: Version) -> Self:
        if len(items) > 1:
            raise KmipError(Cause.INVALID_MESSAGE, "more than one object is given")
        tag, item_kind, fields = items[0]
        if item_kind != STRUCTURE:
            raise KmipError(Cause.INVALID_DATA_TYPE, f"{Tag(tag).text} is not a structure")
        kind = e.ObjectType[Tag(tag).name]
        if kind is e.ObjectType.TEMPLATE:
            return cls(kind, Attributes.from_items(fields, version))
        return cls(kind, bind(OBJECT_CLASSES[kind], fields, version))

    def write_items(self, tag: Tag, version: Version) -> list[Item]:
        if isinstance(self.body, bytes):
            return [(OBJECT_TAGS[self.kind], ENCODED, self.body)]
        if self.kind is e.ObjectType.TEMPLATE:
            return [(OBJECT_TAGS[self.kind], STRUCTURE, attribute_items(self.body, version))]
        return [(OBJECT_TAGS[self.kind], STRUCTURE, unbind(self.body, version))]


class CredentialObject(AnyObject):
    """The credential of Create Credential (3.0)."""

    __slots__ = ()

    @classmethod
    def tags(cls, row_tag: Tag, version: Version) -> Sequence[int]:
        return list(CREDENTIAL_TAGS.values())

    @classmethod
    def read_items(cls, items: list[Item], version: Version) -> Self:
        if len(items) > 1:
            raise KmipError(Cause.INVALID_MESSAGE, "more than one credential is given")
        tag, item_kind, fields = items[0]
        if item_kind != STRUCTURE:
            raise KmipError(Cause.INVALID_DATA_TYPE, f"{Tag(tag).text} is not a structure")
        (kind,) = [each for each, known in CREDENTIAL_TAGS.items() if known == tag]
        return cls(kind, bind(CREDENTIAL_CLASSES[kind], fields, version))


def encode_object(kind: e.ObjectType, body: Any) -> bytes:
    """The canonical bytes of an object: what is sealed."""
    return encode(((OBJECT_TAGS | CREDENTIAL_TAGS)[kind], STRUCTURE, unbind(body, NEWEST)))


def decode_object(data: bytes) -> Any:
    """What `encode_object` wrote -> an instance of the object's class."""
    tag, _, fields = decode(data)
    return bind(OBJECT_CLASSES[e.ObjectType[Tag(tag).name]], fields, NEWEST)


def plain_key_value(material: bytes | list[Item]) -> tuple[int, Any]:
    """The Key Value of a Key Block around octets, or around the fields of a transparent key."""
    kind = BYTE_STRING if isinstance(material, bytes) else STRUCTURE
    return STRUCTURE, [(Tag.KEY_MATERIAL, kind, material)]


def key_material(block: KeyBlock) -> bytes | list[Item]:
    """The material of a Key Block whose Key Value is not wrapped: octets, or the fields of a transparent key.

    Raises KmipError(KEY_VALUE_NOT_PRESENT | INVALID_MESSAGE).
    """
    if block.key_value is None:
        raise KmipError(Cause.KEY_VALUE_NOT_PRESENT, "the Key Value is not on this server")
    kind, fields = block.key_value
    found = [item for item in fields if item[0] == Tag.KEY_MATERIAL] if kind == STRUCTURE else []
    if len(found) != 1 or found[0][1] not in (BYTE_STRING, STRUCTURE):
        raise KmipError(Cause.INVALID_MESSAGE, "the Key Value has no Key Material")
    material: bytes | list[Item] = found[0][2]
    return material
