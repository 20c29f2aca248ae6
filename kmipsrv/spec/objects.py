"""Managed objects and key blocks (KMIP 2.1 §§2, 3; 1.x §2.1-2.2), and the transparent key structures (2.1 §5 ff.).

A Key Value stays the item it came as: a Byte String when it is wrapped, a structure when it is not. `KeyValue` binds the
structure, `key_material_class` says what a transparent Key Material of a Key Format Type looks like.
"""

from __future__ import annotations

from typing import Annotated, Any

from kmipsrv.spec import enums as e
from kmipsrv.spec.enums import KeyFormatType as F
from kmipsrv.spec.schema import structure
from kmipsrv.spec.structures import KeyWrappingData
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.types import AnyEnumeration, AnyItem, BigInteger, ByteString, Integer, since, wire
from kmipsrv.spec.versions import V3_0
from kmipsrv.ttlv.codec import BYTE_STRING, STRUCTURE, Item


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
OBJECT_TAGS: dict[e.ObjectType, Tag] = {kind: Tag[kind.name] for kind in OBJECT_CLASSES}


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


@structure
class KeyMaterialOnly:
    """A Key Value without attributes: what the server keeps."""

    key_material: Annotated[AnyItem, wire(Tag.KEY_MATERIAL)]


def key_value_item(material: bytes | list[Item]) -> tuple[int, Any]:
    """The plaintext Key Value of a Key Block around octets or the fields of a transparent key."""
    kind = BYTE_STRING if isinstance(material, bytes) else STRUCTURE
    return STRUCTURE, [(Tag.KEY_MATERIAL, kind, material)]
