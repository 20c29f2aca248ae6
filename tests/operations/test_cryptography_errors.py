"""The error tables of the cryptographic operations, row by row: KMIP 1.4 §§11.30-11.38 and 11.12, 2.1 "Error Handling"."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from kmipsrv.spec.enums import (
    BlockCipherMode,
    HashingAlgorithm,
    KeyFormatType,
    KeyValueLocationType,
    ObjectType,
    Operation,
    PaddingMethod,
)
from kmipsrv.spec.enums import CryptographicAlgorithm as A
from kmipsrv.spec.enums import CryptographicUsageMask as M
from kmipsrv.spec.enums import ResultReason as R
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V1_4, V2_1, Version
from kmipsrv.ttlv.codec import BYTE_STRING, ENUMERATION, INTEGER, STRUCTURE, TEXT_STRING, Item
from tests.harness import Client, uid_item
from tests.operations.cryptography import (
    EVERYTHING,
    active_key,
    block,
    correlation,
    data,
    iv,
    parameters,
    register,
    rsa_pair,
)

CBC = parameters(block_cipher_mode=BlockCipherMode.CBC)

HMAC = parameters(cryptographic_algorithm=A.HMAC_SHA256)
PKCS1 = parameters(padding_method=PaddingMethod.PKCS1_V1_5, hashing_algorithm=HashingAlgorithm.SHA_256)
SIGNATURE: Item = (Tag.SIGNATURE_DATA, BYTE_STRING, b"x")
MAC: Item = (Tag.MAC_DATA, BYTE_STRING, b"x")

# A request that succeeds with the right key.
REQUESTS: dict[Operation, list[Item]] = {
    Operation.ENCRYPT: [CBC, data(bytes(16)), iv(bytes(16))],
    Operation.DECRYPT: [CBC, data(bytes(16)), iv(bytes(16))],
    Operation.SIGN: [PKCS1, data(b"x")],
    Operation.SIGNATURE_VERIFY: [PKCS1, data(b"x"), SIGNATURE],
    Operation.MAC: [HMAC, data(b"x")],
    Operation.MAC_VERIFY: [HMAC, data(b"x"), MAC],
}
# What a key of the right kind does not fit: "Cryptographic error during …".
FAILING: dict[Operation, list[Item]] = {
    Operation.ENCRYPT: [CBC, data(b"no whole block"), iv(bytes(16))],
    Operation.DECRYPT: [CBC, data(b"no whole block"), iv(bytes(16))],
}


@lru_cache
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def right_key(client: Client, code: Operation) -> str:
    """A key that the operation can use."""
    if code in (Operation.SIGN, Operation.SIGNATURE_VERIFY):
        private, public = rsa_pair(client, rsa_key(), masks=(M.SIGN, M.VERIFY))
        return private if code is Operation.SIGN else public
    return active_key(client)


def absent_key(client: Client, code: Operation) -> str:
    """The right kind of key, whose Key Value is elsewhere (1.2 §2.1.3)."""
    asymmetric = code in (Operation.SIGN, Operation.SIGNATURE_VERIFY)
    kind = {Operation.SIGN: ObjectType.PRIVATE_KEY, Operation.SIGNATURE_VERIFY: ObjectType.PUBLIC_KEY}.get(
        code, ObjectType.SYMMETRIC_KEY
    )
    fields: list[Item] = [
        (Tag.KEY_FORMAT_TYPE, ENUMERATION, int(KeyFormatType.PKCS_1 if asymmetric else KeyFormatType.RAW)),
        (Tag.CRYPTOGRAPHIC_ALGORITHM, ENUMERATION, int(A.RSA if asymmetric else A.AES)),
        (Tag.CRYPTOGRAPHIC_LENGTH, INTEGER, 2048 if asymmetric else 128),
    ]
    location: list[Item] = [
        (Tag.KEY_VALUE_LOCATION_VALUE, TEXT_STRING, "in the vault"),
        (Tag.KEY_VALUE_LOCATION_TYPE, ENUMERATION, int(KeyValueLocationType.UNINTERPRETED_TEXT_STRING)),
    ]
    mask = EVERYTHING | M.SIGN | M.VERIFY
    body: list[Item] = [(Tag.KEY_BLOCK, STRUCTURE, fields)]
    return register(client, kind, body, (Tag.KEY_VALUE_LOCATION, STRUCTURE, location), mask=mask)


def archived(client: Client, code: Operation) -> str:
    uid = right_key(client, code)
    client.ok(Operation.ARCHIVE, uid_item(uid))
    return uid


def opaque(client: Client, code: Operation) -> str:
    body: list[Item] = [(Tag.OPAQUE_DATA_TYPE, ENUMERATION, 1 << 31), (Tag.OPAQUE_DATA_VALUE, BYTE_STRING, b"x")]
    return register(client, ObjectType.OPAQUE_OBJECT, body, mask=EVERYTHING | M.SIGN | M.VERIFY)


def useless(client: Client, code: Operation) -> str:
    """The right kind of key, but not for this."""
    if code is Operation.SIGN:
        return rsa_pair(client, rsa_key(), masks=(M.DECRYPT, M.ENCRYPT))[0]
    if code is Operation.SIGNATURE_VERIFY:
        return rsa_pair(client, rsa_key(), masks=(M.DECRYPT, M.ENCRYPT))[1]
    return active_key(client, mask=M.DERIVE_KEY)


# (row, key, reason at 1.4, reason at 2.1)
ROWS: list[tuple[str, Callable[[Client, Operation], str], R, R]] = [
    ("no object", lambda client, code: "none", R.ITEM_NOT_FOUND, R.OBJECT_NOT_FOUND),
    ("not a key", opaque, R.PERMISSION_DENIED, R.INVALID_OBJECT_TYPE),
    ("not for this", useless, R.PERMISSION_DENIED, R.INCOMPATIBLE_CRYPTOGRAPHIC_USAGE_MASK),
    ("archived", archived, R.OBJECT_ARCHIVED, R.OBJECT_ARCHIVED),
    ("no Key Value", absent_key, R.KEY_VALUE_NOT_PRESENT, R.KEY_VALUE_NOT_PRESENT),
]


@pytest.mark.parametrize("version", [V1_4, V2_1])
@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
@pytest.mark.parametrize("code", list(REQUESTS))
def test_the_object(
    client: Client, code: Operation, row: tuple[str, Callable[[Client, Operation], str], R, R], version: Version
) -> None:
    _, key, old, new = row
    uid = key(client, code)
    expected = old if version < V2_1 else new
    assert client.at(version).refused(code, uid_item(uid), *REQUESTS[code]) is expected


@pytest.mark.parametrize("code", list(REQUESTS))
def test_the_same_request_with_the_right_key_succeeds(client: Client, code: Operation) -> None:
    client.ok(code, uid_item(right_key(client, code)), *REQUESTS[code])


@pytest.mark.parametrize("version", [V1_4, V2_1])
@pytest.mark.parametrize("code", [*REQUESTS, Operation.HASH])
def test_no_outstanding_operation_has_the_correlation_value(client: Client, code: Operation, version: Version) -> None:
    expected = R.ITEM_NOT_FOUND if version < V2_1 else R.INVALID_CORRELATION_VALUE
    assert client.at(version).refused(code, data(b"x"), correlation(os.urandom(24))) is expected


@pytest.mark.parametrize("code", list(FAILING))
def test_a_cryptographic_error(client: Client, code: Operation) -> None:
    uid = active_key(client)
    for version in (V1_4, V2_1):
        assert client.at(version).refused(code, uid_item(uid), *FAILING[code]) is R.CRYPTOGRAPHIC_FAILURE


def test_a_missing_initialization_vector(client: Client) -> None:
    """CS-BC-M-11 has Invalid Message at every version; the table of 2.1 names Missing Initialization Vector."""
    uid = active_key(client)
    for version in (V1_4, V2_1):
        assert client.at(version).refused(Operation.DECRYPT, uid_item(uid), CBC, data(bytes(16))) is R.INVALID_MESSAGE


def test_parameters_that_cannot_be(client: Client) -> None:
    uid, new = active_key(client), client.at(V2_1)
    unsupported = parameters(block_cipher_mode=BlockCipherMode.PCBC)
    expected = R.UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS
    assert new.refused(Operation.ENCRYPT, uid_item(uid), unsupported, data(b"x"), iv(bytes(16))) is expected
    assert client.refused(Operation.ENCRYPT, uid_item(uid), unsupported, data(b"x")) is R.INVALID_FIELD
    foreign = parameters(block_cipher_mode=BlockCipherMode.CBC, hashing_algorithm=HashingAlgorithm.SHA_256)
    assert new.refused(Operation.ENCRYPT, uid_item(uid), foreign, data(bytes(16)), iv(bytes(16))) is expected
    other = parameters(block_cipher_mode=BlockCipherMode.CBC, cryptographic_algorithm=A.CAMELLIA)
    wrong = new.refused(Operation.ENCRYPT, uid_item(uid), other, data(bytes(16)), iv(bytes(16)))
    assert wrong is R.BAD_CRYPTOGRAPHIC_PARAMETERS


def test_fields_of_the_other_kind_of_key(client: Client) -> None:
    """RSA has neither IV nor tag: what has no meaning is refused."""
    private, public = rsa_pair(client, rsa_key(), masks=(M.DECRYPT, M.ENCRYPT))
    oaep, new = parameters(padding_method=PaddingMethod.OAEP), client.at(V2_1)
    expected = R.BAD_CRYPTOGRAPHIC_PARAMETERS
    assert new.refused(Operation.ENCRYPT, uid_item(public), oaep, data(b"x"), iv(b"x")) is expected
    tag: Item = (Tag.AUTHENTICATED_ENCRYPTION_TAG, BYTE_STRING, bytes(16))
    assert new.refused(Operation.DECRYPT, uid_item(private), oaep, data(b"x"), tag) is expected
    assert new.refused(Operation.DECRYPT, uid_item(private), oaep, data(b"x")) is R.CRYPTOGRAPHIC_FAILURE
    assert new.refused(Operation.ENCRYPT, uid_item(public), oaep, data(bytes(5000))) is R.CRYPTOGRAPHIC_FAILURE


def test_an_archived_wrapping_key(client: Client) -> None:
    rfc3394 = parameters(block_cipher_mode=BlockCipherMode.NIST_KEY_WRAP)
    uid, wrapper = active_key(client), active_key(client, rfc3394)
    client.ok(Operation.ARCHIVE, uid_item(wrapper))
    wanted: list[Item] = [
        (Tag.WRAPPING_METHOD, ENUMERATION, 1),
        (Tag.ENCRYPTION_KEY_INFORMATION, STRUCTURE, [uid_item(wrapper), rfc3394]),
    ]
    specification: Item = (Tag.KEY_WRAPPING_SPECIFICATION, STRUCTURE, wanted)
    assert client.refused(Operation.GET, uid_item(uid), specification) is R.OBJECT_ARCHIVED
    assert client.at(V2_1).refused(Operation.GET, uid_item(uid), specification) is R.WRAPPING_OBJECT_ARCHIVED


def test_what_cannot_be_wrapped(client: Client) -> None:
    """1.4 §4.11: the specification "SHALL NOT be specified if the requested object is a Template"."""
    rfc3394 = parameters(block_cipher_mode=BlockCipherMode.NIST_KEY_WRAP)
    wrapper = active_key(client, rfc3394)
    template = client.ok(
        Operation.REGISTER,
        (Tag.OBJECT_TYPE, ENUMERATION, int(ObjectType.TEMPLATE)),
        client.attributes((Tag.NAME, STRUCTURE, [(Tag.NAME_VALUE, TEXT_STRING, "t"), (Tag.NAME_TYPE, ENUMERATION, 1)])),
        (Tag.TEMPLATE, STRUCTURE, []),
    ).uid
    wanted: list[Item] = [
        (Tag.WRAPPING_METHOD, ENUMERATION, 1),
        (Tag.ENCRYPTION_KEY_INFORMATION, STRUCTURE, [uid_item(wrapper), rfc3394]),
    ]
    specification: Item = (Tag.KEY_WRAPPING_SPECIFICATION, STRUCTURE, wanted)
    for uid in (template, opaque(client, Operation.GET)):
        assert client.refused(Operation.GET, uid_item(uid), specification) is R.ILLEGAL_OPERATION
    form: Item = (Tag.KEY_FORMAT_TYPE, ENUMERATION, int(KeyFormatType.RAW))
    assert client.refused(Operation.GET, uid_item(template), form) is R.KEY_FORMAT_TYPE_NOT_SUPPORTED


def test_a_public_key_in_each_of_its_forms_verifies(client: Client) -> None:
    private, _ = rsa_pair(client, rsa_key(), masks=(M.SIGN, M.VERIFY))
    made = client.ok(Operation.SIGN, uid_item(private), PKCS1, data(b"x")).one(Tag.SIGNATURE_DATA)
    info = rsa_key().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    uid = register(client, ObjectType.PUBLIC_KEY, block(KeyFormatType.X_509, info, A.RSA, 2048), mask=M.VERIFY)
    signature: Item = (Tag.SIGNATURE_DATA, BYTE_STRING, made)
    answer = client.ok(Operation.SIGNATURE_VERIFY, uid_item(uid), PKCS1, data(b"x"), signature)
    assert answer.one(Tag.VALIDITY_INDICATOR) == 1


def test_a_pad_needs_the_policy_and_stays(client: Client) -> None:
    body: list[Item] = [(Tag.SECRET_DATA_TYPE, ENUMERATION, 1), *block(KeyFormatType.OPAQUE, b"pad")]
    algorithm: Item = (Tag.CRYPTOGRAPHIC_ALGORITHM, ENUMERATION, int(A.ONE_TIME_PAD))
    uid = register(client, ObjectType.SECRET_DATA, body, algorithm, mask=M.ENCRYPT)
    expected = R.UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS
    assert client.at(V2_1).refused(Operation.ENCRYPT, uid_item(uid), data(b"abc")) is expected
    assert client.refused(Operation.GET, uid_item(uid)) is R.PERMISSION_DENIED
    free = register(client, ObjectType.SECRET_DATA, body, algorithm, mask=M.EXPORT)
    client.ok(Operation.GET, uid_item(free))
