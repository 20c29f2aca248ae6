"""Keys for clients of older versions than their makers': what an answer of a version may not contain is left out or said in
older terms, so that "a 1.x client never sees a 2.x field".

A Key Format Type that the version lacks is replaced by the encoded one that every version has; so is EC by ECDSA; an
algorithm that the version has no name for is not named, which the Key Block permits.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from kmipsrv.domain.managed_object import ManagedObject
from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec.attribute_codec import expressible
from kmipsrv.spec.enums import CryptographicAlgorithm as A
from kmipsrv.spec.enums import KeyFormatType, ObjectType
from kmipsrv.spec.objects import KeyBlock
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import Version

_OLDEST_FORM = {ObjectType.PRIVATE_KEY: KeyFormatType.PKCS_8, ObjectType.PUBLIC_KEY: KeyFormatType.X_509}
_FORM = Tag.KEY_FORMAT_TYPE.to_bytes(3, "big") + b"\x05\x00\x00\x00\x04"


def check_type(kind: ObjectType, version: Version) -> None:
    """Whether the version has objects of this type at all. Raises KmipError(INVALID_OBJECT_TYPE)."""
    if not kind.exists_in(version):
        raise KmipError(Cause.INVALID_OBJECT_TYPE, f"KMIP {version} has no {kind.text} objects")


def check_expressible(kind: ObjectType, body: Any, version: Version) -> None:
    """Whether the version has words for the rest of an object, such as a Split Key Method. Raises KmipError."""
    parts = [getattr(body, each.name) for each in fields(body) if each.name != "key_block"]
    if not expressible(parts, version):
        raise KmipError(Cause.KEY_FORMAT_TYPE_NOT_SUPPORTED, f"KMIP {version} has no words for this {kind.text}")


def fits(obj: ManagedObject, encoded: bytes, version: Version) -> bool:
    """Whether the version has names for what the encoded object's Key Block says of itself. Cheap: nothing is decoded."""
    algorithm = obj.stored.cryptographic_algorithm
    if algorithm is not None and not A(algorithm).exists_in(version):
        return False
    at = encoded.find(_FORM)
    if at < 0:
        return True
    start = at + len(_FORM)
    return KeyFormatType(int.from_bytes(encoded[start : start + 4], "big")).exists_in(version)


def form_for(kind: ObjectType, block: KeyBlock, asked: KeyFormatType | None, version: Version) -> KeyFormatType | None:
    """The Key Format Type to convert to: what is asked for, or what the version has where it lacks the block's own."""
    if asked is not None or block.key_format_type.exists_in(version):
        return asked
    return _OLDEST_FORM.get(kind, KeyFormatType.RAW)


def named_for(block: KeyBlock, version: Version) -> KeyBlock:
    """The Key Block with a Cryptographic Algorithm that the version has, or without one."""
    algorithm = block.cryptographic_algorithm
    if algorithm is None or algorithm.exists_in(version):
        return block
    if algorithm is A.EC:
        return replace(block, cryptographic_algorithm=A.ECDSA)
    return replace(block, cryptographic_algorithm=None, cryptographic_length=None)
