"""The request messages: KMIP 1.2, which both servers speak. Create is the same bytes for both; Get differs by the identifier."""

from __future__ import annotations

from pathlib import Path

from kmipsrv.spec.enums import CryptographicAlgorithm, CryptographicUsageMask, ObjectType, Operation
from kmipsrv.spec.tags import Tag
from kmipsrv.ttlv.codec import ENUMERATION, INTEGER, STRUCTURE, TEXT_STRING, Item, decode, encode


def message(operation: Operation, payload: list[Item]) -> bytes:
    """One Request Message with one Batch Item."""
    version = [(Tag.PROTOCOL_VERSION_MAJOR, INTEGER, 1), (Tag.PROTOCOL_VERSION_MINOR, INTEGER, 2)]
    header = [(Tag.PROTOCOL_VERSION, STRUCTURE, version), (Tag.BATCH_COUNT, INTEGER, 1)]
    item = [(Tag.OPERATION, ENUMERATION, int(operation)), (Tag.REQUEST_PAYLOAD, STRUCTURE, payload)]
    fields = [(Tag.REQUEST_HEADER, STRUCTURE, header), (Tag.BATCH_ITEM, STRUCTURE, item)]
    return encode((Tag.REQUEST_MESSAGE, STRUCTURE, fields))


def create() -> bytes:
    """Create of an AES-256 key for Encrypt and Decrypt."""
    usage = CryptographicUsageMask.ENCRYPT | CryptographicUsageMask.DECRYPT
    attributes = [
        _attribute("Cryptographic Algorithm", ENUMERATION, int(CryptographicAlgorithm.AES)),
        _attribute("Cryptographic Length", INTEGER, 256),
        _attribute("Cryptographic Usage Mask", INTEGER, int(usage)),
    ]
    kind = Tag.OBJECT_TYPE, ENUMERATION, int(ObjectType.SYMMETRIC_KEY)
    return message(Operation.CREATE, [kind, (Tag.TEMPLATE_ATTRIBUTE, STRUCTURE, attributes)])


def get(unique_identifier: str) -> bytes:
    """Get of an object as it is."""
    return message(Operation.GET, [(Tag.UNIQUE_IDENTIFIER, TEXT_STRING, unique_identifier)])


def created(answer: bytes) -> str:
    """The Unique Identifier in the answer to a Create. Raises ValueError for any other answer."""
    _, _, (_, (_, _, item)) = decode(answer)
    payload = {tag: value for tag, _, value in item}.get(Tag.RESPONSE_PAYLOAD, [])
    (found,) = [value for tag, _, value in payload if tag == Tag.UNIQUE_IDENTIFIER]
    return str(found)


def write(path: Path, messages: list[bytes]) -> Path:
    """The file that the load reads."""
    path.write_bytes(b"".join(messages))
    return path


def _attribute(name: str, kind: int, value: int) -> Item:
    fields = [(Tag.ATTRIBUTE_NAME, TEXT_STRING, name), (Tag.ATTRIBUTE_VALUE, kind, value)]
    return Tag.ATTRIBUTE, STRUCTURE, fields
