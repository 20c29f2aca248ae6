"""Between the items of a Key Block and the crypto room: material as octets or as a mapping of a transparent key's fields."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from kmipsrv.crypto import formats
from kmipsrv.domain.creation import NewObject, material_digest
from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec.enums import CryptographicAlgorithm, KeyCompressionType, KeyFormatType, ObjectType, RecommendedCurve
from kmipsrv.spec.objects import TRANSPARENT, KeyBlock, key_material, plain_key_value
from kmipsrv.spec.schema import bind, unbind
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import NEWEST

Material = bytes | dict[str, int | bytes]


def material_of(block: KeyBlock) -> Material:
    """The unwrapped material of a Key Block. Raises KmipError(KEY_VALUE_NOT_PRESENT | INVALID_MESSAGE | INVALID_FIELD)."""
    found = key_material(block)
    structure = TRANSPARENT.get(block.key_format_type)
    if isinstance(found, bytes):
        if structure is not None:
            raise KmipError(Cause.INVALID_FIELD, f"the Key Material of {block.key_format_type.text} is a structure")
        return found
    if structure is None:
        raise KmipError(Cause.INVALID_FIELD, f"the Key Material of {block.key_format_type.text} is a Byte String")
    bound = bind(structure, found, NEWEST)
    values = {each.name: getattr(bound, each.name) for each in fields(structure)}
    return {name: value for name, value in values.items() if value is not None}


def key_value_of(form: KeyFormatType, material: Material) -> tuple[int, Any]:
    """The Key Value of material in a Key Format Type."""
    if isinstance(material, bytes):
        return plain_key_value(material)
    return plain_key_value(unbind(TRANSPARENT[form](**material), NEWEST))


def digest_in_default_format(new: NewObject, block: KeyBlock, curve: RecommendedCurve | None = None) -> None:
    """ "[…] as well as a digest in the default KMIP Key Format Type for that type of key and the algorithm requested (if a
    non-default value is specified)" (2.1 §4.26). A key that the server cannot convert has the one digest."""
    algorithm = block.cryptographic_algorithm or new.attributes.get(Tag.CRYPTOGRAPHIC_ALGORITHM)
    form = formats.default_format(new.object_type, algorithm, curve)
    if form is block.key_format_type or block.key_wrapping_data is not None:
        return
    try:
        other = converted(new.object_type, block, form, None, curve)
    except KmipError:
        return
    new.default_digest = form, material_digest(key_material(other))


def converted(
    kind: ObjectType,
    block: KeyBlock,
    wanted: KeyFormatType | None,
    compression: KeyCompressionType | None,
    curve: RecommendedCurve | None = None,
) -> KeyBlock:
    """The Key Block in another Key Format Type or Key Compression Type.

    Raises KmipError(KEY_FORMAT_TYPE_NOT_SUPPORTED | KEY_COMPRESSION_TYPE_NOT_SUPPORTED | KEY_VALUE_NOT_PRESENT).
    """
    form = block.key_format_type
    wanted = wanted or form
    if block.key_wrapping_data is not None:
        if wanted is not form or compression not in (None, block.key_compression_type):
            raise KmipError(Cause.KEY_FORMAT_TYPE_NOT_SUPPORTED, "a wrapped key cannot be converted")
        return block
    if wanted is form and compression is None:
        return block
    algorithm: CryptographicAlgorithm | None = block.cryptographic_algorithm
    material = material_of(block)
    if kind is ObjectType.PUBLIC_KEY:
        material = formats.convert_public(
            material, form, wanted, compression=compression, algorithm=algorithm, curve=curve
        )
    elif compression is not None:
        raise KmipError(Cause.KEY_COMPRESSION_TYPE_NOT_SUPPORTED, "only EC public keys can be compressed")
    elif kind is ObjectType.PRIVATE_KEY:
        material = formats.convert_private(material, form, wanted, algorithm=algorithm, curve=curve)
    else:
        material = formats.convert_symmetric(material, form, wanted)
    return KeyBlock(
        key_format_type=wanted,
        key_compression_type=compression or block.key_compression_type,
        key_value=key_value_of(wanted, material),
        cryptographic_algorithm=algorithm,
        cryptographic_length=block.cryptographic_length,
    )
