"""Errors of Create, Register, Re-key, Certify, Derive Key, split keys and their kin."""

from __future__ import annotations

from collections.abc import Callable

from kmipsrv.crypto import pkcs12
from kmipsrv.spec.enums import CryptographicAlgorithm as A
from kmipsrv.spec.enums import KeyFormatType, LinkType, ObjectType, SecretDataType
from kmipsrv.spec.enums import Operation as O  # noqa: N817
from kmipsrv.spec.enums import ResultReason as R
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V2_0
from kmipsrv.ttlv.codec import (
    BYTE_STRING,
    DATE_TIME,
    ENUMERATION,
    INTEGER,
    INTERVAL,
    STRUCTURE,
    TEXT_STRING,
    Item,
)
from tests.harness import uid_item
from tests.operations.cryptography import ACTIVE, KEY, block, parameters
from tests.operations.errors.making import (
    NAMESPACE,
    NO_NAMESPACE,
    joining,
    key_pair,
    making,
)
from tests.operations.errors.table import (
    LIMIT,
    Provoke,
    on,
    registered,
    row,
    send,
)
from tests.operations.requests import (
    Bench,
    aes,
    derivation,
    link,
    request_pem,
    rsa_key,
    split,
)

# Create, Create Key Pair, Register
row(
    O.CREATE,
    "an Object Type that cannot be created",
    R.INVALID_FIELD,
    R.INVALID_OBJECT_TYPE,
    send(O.CREATE, lambda b: [(Tag.OBJECT_TYPE, ENUMERATION, 8), aes(b.client)]),
)
row(
    O.CREATE,
    "an attribute that is a key pair's",
    R.INVALID_FIELD,
    R.UNSUPPORTED_ATTRIBUTE,
    making(O.CREATE, (Tag.CRYPTOGRAPHIC_DOMAIN_PARAMETERS, STRUCTURE, [(Tag.RECOMMENDED_CURVE, ENUMERATION, 4)])),
)
row(
    O.REGISTER,
    "an Object Type that is not the object's",
    R.INVALID_FIELD,
    R.INVALID_OBJECT_TYPE,
    send(O.REGISTER, lambda b: [(Tag.OBJECT_TYPE, ENUMERATION, 7), *b.client.key(KEY)[1:]]),
)
row(
    O.REGISTER,
    "no such Object Type",
    R.INVALID_FIELD,
    None,
    send(O.REGISTER, lambda b: [(Tag.OBJECT_TYPE, ENUMERATION, 99), *b.client.key(KEY)[1:]]),
)


def container(b: Bench, *links: str) -> list[Item]:
    """A Register of something in Key Format Type PKCS#12."""
    given = [link(LinkType.PKCS_12_PASSWORD_LINK, uid) for uid in links]
    return [
        (Tag.OBJECT_TYPE, ENUMERATION, int(ObjectType.PRIVATE_KEY)),
        b.client.attributes((Tag.CRYPTOGRAPHIC_USAGE_MASK, INTEGER, 1), *given),
        (Tag.PRIVATE_KEY, STRUCTURE, block(KeyFormatType.PKCS_12, make_container())),
    ]


def make_container(password: bytes = b"password") -> bytes:
    return pkcs12.dump(rsa_key(), None, (), password)


row(O.REGISTER, "PKCS#12 without a password", R.INVALID_FIELD, R.INVALID_FIELD, send(O.REGISTER, container))
row(
    O.REGISTER,
    "PKCS#12 whose password is a seed",
    R.INVALID_FIELD,
    R.INVALID_FIELD,
    send(O.REGISTER, lambda b: container(b, b.secret(kind=SecretDataType.SEED))),
)
row(
    O.REGISTER,
    "PKCS#12 with another password",
    R.CRYPTOGRAPHIC_FAILURE,
    R.BAD_PASSWORD,
    send(O.REGISTER, lambda b: container(b, b.secret(b"guess"))),
)

# Re-key, Re-key Key Pair, Re-certify, Certify, Validate
OFFSET: Item = (Tag.OFFSET, INTERVAL, 10)


def dated(b: Bench) -> str:
    """A key with a Deactivation Date but no Activation Date."""
    return b.client.create((Tag.DEACTIVATION_DATE, DATE_TIME, 2_000_000_000))


row(
    O.RE_KEY,
    "an Offset and a date",
    R.INVALID_MESSAGE,
    R.INVALID_MESSAGE,
    lambda b: b.on(O.RE_KEY, b.key, OFFSET, b.client.attributes(ACTIVE)),
)
row(O.RE_KEY, "an Offset without a date", R.ILLEGAL_OPERATION, R.INVALID_FIELD, on(O.RE_KEY, dated, OFFSET))
row(O.RE_KEY, "destroyed", R.PERMISSION_DENIED, None, on(O.RE_KEY, lambda b: b.destroyed))
row(
    O.RE_KEY,
    "no Application Data",
    NO_NAMESPACE,
    None,
    lambda b: b.on(O.RE_KEY, b.key, b.client.attributes(NAMESPACE)),
)


def common(b: Bench, *items: Item) -> Item:
    return b.client.attributes(*items, tag_1x=Tag.COMMON_TEMPLATE_ATTRIBUTE)


row(
    O.RE_KEY_KEY_PAIR,
    "an Offset and a date",
    R.INVALID_MESSAGE,
    R.INVALID_MESSAGE,
    lambda b: b.on(O.RE_KEY_KEY_PAIR, b.private, OFFSET, common(b, ACTIVE)),
)
row(
    O.RE_KEY_KEY_PAIR,
    "no Application Data",
    NO_NAMESPACE,
    None,
    lambda b: b.on(O.RE_KEY_KEY_PAIR, b.private, common(b, NAMESPACE)),
)


def dated_private_key(b: Bench) -> str:
    late: Item = (Tag.DEACTIVATION_DATE, DATE_TIME, 2_000_000_000)
    made = b.client.ok(O.CREATE_KEY_PAIR, *key_pair(b.client, late))
    uid = made.one(Tag.PRIVATE_KEY_UNIQUE_IDENTIFIER)
    assert isinstance(uid, str)
    return uid


row(
    O.RE_KEY_KEY_PAIR,
    "an Offset without a date",
    R.ILLEGAL_OPERATION,
    R.INVALID_FIELD,
    on(O.RE_KEY_KEY_PAIR, dated_private_key, OFFSET),
)


def without_value(b: Bench, kind: ObjectType, form: KeyFormatType, algorithm: A, length: int) -> str:
    location: Item = (
        Tag.KEY_VALUE_LOCATION,
        STRUCTURE,
        [(Tag.KEY_VALUE_LOCATION_VALUE, TEXT_STRING, "a safe"), (Tag.KEY_VALUE_LOCATION_TYPE, ENUMERATION, 1)],
    )
    fields: list[Item] = [
        (Tag.KEY_FORMAT_TYPE, ENUMERATION, int(form)),
        (Tag.CRYPTOGRAPHIC_ALGORITHM, ENUMERATION, int(algorithm)),
        (Tag.CRYPTOGRAPHIC_LENGTH, INTEGER, length),
    ]
    return registered(b, kind, [(Tag.KEY_BLOCK, STRUCTURE, fields)], location)


def absent_private(b: Bench) -> str:
    return without_value(b, ObjectType.PRIVATE_KEY, KeyFormatType.PKCS_1, A.RSA, 2048)


def absent_public(b: Bench) -> str:
    return without_value(b, ObjectType.PUBLIC_KEY, KeyFormatType.PKCS_1, A.RSA, 2048)


def absent_hmac(b: Bench) -> str:
    return without_value(b, ObjectType.SYMMETRIC_KEY, KeyFormatType.RAW, A.HMAC_SHA256, 256)


for each, of in {
    O.RE_KEY_KEY_PAIR: absent_private,
    O.SIGN: absent_private,
    O.SIGNATURE_VERIFY: absent_public,
    O.MAC: absent_hmac,
    O.MAC_VERIFY: absent_hmac,
}.items():
    row(each, "no Key Value", R.KEY_VALUE_NOT_PRESENT, R.KEY_VALUE_NOT_PRESENT, on(each, of))


def csr(b: Bench, value: bytes) -> list[Item]:
    tag = Tag.CERTIFICATE_REQUEST_VALUE if b.client.version >= V2_0 else Tag.CERTIFICATE_REQUEST
    return [(Tag.CERTIFICATE_REQUEST_TYPE, ENUMERATION, 3), (tag, BYTE_STRING, value)]


def certifying(operation: O, value: bytes, of: Callable[[Bench], str]) -> Provoke:
    return lambda b: b.refused(operation, uid_item(of(b)), *csr(b, value))


for each, subject in ((O.CERTIFY, lambda b: b.public), (O.RE_CERTIFY, lambda b: b.certificate)):
    garbage = b"-----BEGIN CERTIFICATE REQUEST-----"
    row(each, "no Certificate Request", R.INVALID_FIELD, R.INVALID_CSR, certifying(each, garbage, subject))
    wants = request_pem("authority", ca=True)
    row(each, "a request for an authority", R.INVALID_FIELD, R.INVALID_CSR, certifying(each, wants, subject))
    row(
        each,
        "no Application Data",
        NO_NAMESPACE,
        None,
        lambda b, o=each, s=subject: b.refused(o, uid_item(s(b)), b.client.attributes(NAMESPACE)),  # type: ignore[misc]
    )
row(
    O.RE_CERTIFY,
    "an Offset and a date",
    R.INVALID_MESSAGE,
    R.INVALID_MESSAGE,
    lambda b: b.on(O.RE_CERTIFY, b.certificate, OFFSET, b.client.attributes(ACTIVE)),
)
row(O.VALIDATE, "no certificate at all", R.INVALID_MESSAGE, R.INVALID_MESSAGE, send(O.VALIDATE, lambda b: []))

# Derive Key
PBKDF2 = 1


def deriving(*fields: Item, method: int, length: int = 128) -> Provoke:
    return lambda b: b.refused(O.DERIVE_KEY, *derivation(b.key, *fields, method=method), aes(b.client, length=length))


row(
    O.DERIVE_KEY,
    "PBKDF2 without a salt",
    R.INVALID_FIELD,
    R.BAD_CRYPTOGRAPHIC_PARAMETERS,
    deriving((Tag.ITERATION_COUNT, INTEGER, 1), method=PBKDF2),
)
row(
    O.DERIVE_KEY,
    "a hash that is not served",
    R.INVALID_FIELD,
    R.UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS,
    deriving(parameters(hashing_algorithm=1), method=2),
)
row(
    O.DERIVE_KEY,
    "longer than the hash",
    R.CRYPTOGRAPHIC_FAILURE,
    R.CRYPTOGRAPHIC_FAILURE,
    deriving(parameters(hashing_algorithm=4), method=2, length=256),
)
row(
    O.DERIVE_KEY,
    "data given twice",
    R.INVALID_MESSAGE,
    R.INVALID_MESSAGE,
    deriving(parameters(hashing_algorithm=6), (Tag.DERIVATION_DATA, BYTE_STRING, b"data"), method=2),
)
row(O.DERIVE_KEY, "no such method", R.INVALID_FIELD, R.INVALID_FIELD, deriving(method=99))

# Create Split Key, Join Split Key
row(
    O.CREATE_SPLIT_KEY,
    "a threshold of one",
    R.INVALID_FIELD,
    R.BAD_CRYPTOGRAPHIC_PARAMETERS,
    send(O.CREATE_SPLIT_KEY, lambda b: [*split(b.key, threshold=1), b.client.attributes()]),
)
row(
    O.CREATE_SPLIT_KEY,
    "nothing to split",
    R.CRYPTOGRAPHIC_FAILURE,
    R.CRYPTOGRAPHIC_FAILURE,
    send(O.CREATE_SPLIT_KEY, lambda b: [*split(b.secret(b"")), b.client.attributes()]),
)
row(
    O.CREATE_SPLIT_KEY,
    "more parts than the server makes",
    None,
    R.SERVER_LIMIT_EXCEEDED,
    send(O.CREATE_SPLIT_KEY, lambda b: [*split(b.key, parts=LIMIT + 1), b.client.attributes()]),
)
row(
    O.CREATE_SPLIT_KEY,
    "a new RSA key",
    R.INVALID_FIELD,
    R.UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS,
    send(
        O.CREATE_SPLIT_KEY,
        lambda b: [
            *split(None),
            b.client.attributes(
                (Tag.CRYPTOGRAPHIC_ALGORITHM, ENUMERATION, int(A.RSA)), (Tag.CRYPTOGRAPHIC_LENGTH, INTEGER, 2048)
            ),
        ],
    ),
)
row(
    O.JOIN_SPLIT_KEY,
    "fewer parts than the threshold",
    R.CRYPTOGRAPHIC_FAILURE,
    R.CRYPTOGRAPHIC_FAILURE,
    send(O.JOIN_SPLIT_KEY, lambda b: [*joining(b)[:2], aes(b.client)]),
)


def senseless_part(b: Bench) -> str:
    fields: list[Item] = [
        (Tag.SPLIT_KEY_PARTS, INTEGER, 2),
        (Tag.KEY_PART_IDENTIFIER, INTEGER, 1),
        (Tag.SPLIT_KEY_THRESHOLD, INTEGER, 1),
        (Tag.SPLIT_KEY_METHOD, ENUMERATION, 1),
        *block(KeyFormatType.RAW, KEY),
    ]
    return registered(b, ObjectType.SPLIT_KEY, fields)


row(
    O.JOIN_SPLIT_KEY,
    "parts that contradict themselves",
    R.INVALID_FIELD,
    R.BAD_CRYPTOGRAPHIC_PARAMETERS,
    send(
        O.JOIN_SPLIT_KEY,
        lambda b: [(Tag.OBJECT_TYPE, ENUMERATION, 2), uid_item(senseless_part(b)), aes(b.client)],
    ),
)
