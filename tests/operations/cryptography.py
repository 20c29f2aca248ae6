"""Requests of the cryptographic operations, and a few keys, for their tests."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from kmipsrv.spec.enums import CryptographicAlgorithm as A
from kmipsrv.spec.enums import CryptographicUsageMask as M
from kmipsrv.spec.enums import KeyFormatType, ObjectType, Operation
from kmipsrv.spec.tags import Tag
from kmipsrv.ttlv.codec import BOOLEAN, BYTE_STRING, DATE_TIME, ENUMERATION, INTEGER, LONG_INTEGER, STRUCTURE, Item
from tests.harness import Client

KEY = bytes.fromhex("0123456789abcdef0123456789abcdef")
PAST = 1_700_000_000
EVERYTHING = M.ENCRYPT | M.DECRYPT | M.MAC_GENERATE | M.MAC_VERIFY | M.WRAP_KEY | M.UNWRAP_KEY


def parameters(**fields: int) -> Item:
    """Cryptographic Parameters; lengths are Integers, `random_iv` a Boolean, everything else an enumeration."""
    items: list[Item] = []
    for name, value in fields.items():
        kind = INTEGER if name.endswith(("_length", "_value", "_field")) else ENUMERATION
        items.append((Tag[name.upper()], BOOLEAN if name == "random_iv" else kind, value))
    return Tag.CRYPTOGRAPHIC_PARAMETERS, STRUCTURE, items


def data(value: bytes) -> Item:
    return Tag.DATA, BYTE_STRING, value


def iv(value: bytes) -> Item:
    return Tag.IV_COUNTER_NONCE, BYTE_STRING, value


INIT: Item = (Tag.INIT_INDICATOR, BOOLEAN, True)
FINAL: Item = (Tag.FINAL_INDICATOR, BOOLEAN, True)
ACTIVE: Item = (Tag.ACTIVATION_DATE, DATE_TIME, PAST)


def correlation(value: bytes) -> Item:
    return Tag.CORRELATION_VALUE, BYTE_STRING, value


def active_key(client: Client, *attributes: Item, material: bytes = KEY, mask: int = EVERYTHING) -> str:
    """An AES key that may be used at once."""
    return client.register_key(material, ACTIVE, *attributes, mask=mask)


def register(
    client: Client,
    kind: ObjectType,
    body: Sequence[Item],
    *attributes: Item,
    mask: int = 0,
) -> str:
    """An active object of any type."""
    given = client.attributes((Tag.CRYPTOGRAPHIC_USAGE_MASK, INTEGER, mask), ACTIVE, *attributes)
    return client.ok(
        Operation.REGISTER, (Tag.OBJECT_TYPE, ENUMERATION, int(kind)), given, (Tag[kind.name], STRUCTURE, list(body))
    ).uid


def block(form: KeyFormatType, material: bytes, algorithm: A | None = None, length: int | None = None) -> list[Item]:
    """The body of an object that is nothing but a Key Block."""
    fields: list[Item] = [
        (Tag.KEY_FORMAT_TYPE, ENUMERATION, int(form)),
        (Tag.KEY_VALUE, STRUCTURE, [(Tag.KEY_MATERIAL, BYTE_STRING, material)]),
    ]
    if algorithm is not None:
        fields += [
            (Tag.CRYPTOGRAPHIC_ALGORITHM, ENUMERATION, int(algorithm)),
            (Tag.CRYPTOGRAPHIC_LENGTH, INTEGER, length),
        ]
    return [(Tag.KEY_BLOCK, STRUCTURE, fields)]


def rsa_pair(client: Client, key: rsa.RSAPrivateKey, *attributes: Item, masks: tuple[int, int]) -> tuple[str, str]:
    """-> the unique identifiers of (private key, public key)."""
    private = key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
    bits = key.key_size
    return (
        register(
            client,
            ObjectType.PRIVATE_KEY,
            block(KeyFormatType.PKCS_1, private, A.RSA, bits),
            *attributes,
            mask=masks[0],
        ),
        register(
            client, ObjectType.PUBLIC_KEY, block(KeyFormatType.PKCS_1, public, A.RSA, bits), *attributes, mask=masks[1]
        ),
    )


def usage_limits(total: int, unit: int) -> Item:
    fields: list[Item] = [
        (Tag.USAGE_LIMITS_TOTAL, LONG_INTEGER, total),
        (Tag.USAGE_LIMITS_UNIT, ENUMERATION, unit),
    ]
    return Tag.USAGE_LIMITS, STRUCTURE, fields
