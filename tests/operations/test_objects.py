"""Create, Create Key Pair, Register and Get: object types, key formats, what the material says of itself."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from kmipsrv.domain import managed_object
from kmipsrv.spec.attribute_bag import AttributeBag
from kmipsrv.spec.enums import KeyFormatType as F
from kmipsrv.spec.enums import ObjectType, Operation, RecommendedCurve, ResultReason
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V1_0, V1_2, V1_4, V2_0, V2_1, Version
from kmipsrv.ttlv.codec import (
    BIG_INTEGER,
    BOOLEAN,
    BYTE_STRING,
    DATE_TIME,
    ENUMERATION,
    INTEGER,
    STRUCTURE,
    TEXT_STRING,
    Item,
)
from tests.harness import Client, Clock, name_value, uid_item

RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
S = serialization


def private(key: Any, form: S.PrivateFormat) -> bytes:
    octets = key.private_bytes(S.Encoding.DER, form, S.NoEncryption())
    assert isinstance(octets, bytes)
    return octets


def public(key: Any, form: S.PublicFormat) -> bytes:
    octets = key.public_key().public_bytes(S.Encoding.DER, form)
    assert isinstance(octets, bytes)
    return octets


def block(form: F, material: bytes | list[Item], algorithm: int | None = None, length: int | None = None) -> Item:
    kind = BYTE_STRING if isinstance(material, bytes) else STRUCTURE
    fields: list[Item] = [
        (Tag.KEY_FORMAT_TYPE, ENUMERATION, int(form)),
        (Tag.KEY_VALUE, STRUCTURE, [(Tag.KEY_MATERIAL, kind, material)]),
    ]
    if algorithm is not None:
        fields += [(Tag.CRYPTOGRAPHIC_ALGORITHM, ENUMERATION, algorithm), (Tag.CRYPTOGRAPHIC_LENGTH, INTEGER, length)]
    return Tag.KEY_BLOCK, STRUCTURE, fields


def payload(client: Client, kind: ObjectType, fields: list[Item], *attributes: Item) -> list[Item]:
    mask = (Tag.CRYPTOGRAPHIC_USAGE_MASK, INTEGER, 3)
    return [
        (Tag.OBJECT_TYPE, ENUMERATION, int(kind)),
        client.attributes(mask, *attributes),
        (Tag[kind.name], STRUCTURE, fields),
    ]


def register(client: Client, kind: ObjectType, fields: list[Item], *attributes: Item) -> str:
    return client.ok(Operation.REGISTER, *payload(client, kind, fields, *attributes)).uid


def got(client: Client, uid: str, *options: Item) -> tuple[F, Any]:
    """-> (Key Format Type, Key Material) of a Get."""
    answer = client.ok(Operation.GET, uid_item(uid), *options)
    (fields,) = [
        value
        for tag, _, value in answer.payload
        if tag in {Tag[kind.name] for kind in ObjectType if kind.name in Tag.__members__}
    ]
    found = {tag: value for tag, _, value in next(value for tag, _, value in fields if tag == Tag.KEY_BLOCK)}
    return F(found[Tag.KEY_FORMAT_TYPE]), found[Tag.KEY_VALUE][0][2]


PRIVATE_FORMS: list[tuple[Any, F, bytes]] = [
    (RSA_KEY, F.PKCS_1, private(RSA_KEY, S.PrivateFormat.TraditionalOpenSSL)),
    (RSA_KEY, F.PKCS_8, private(RSA_KEY, S.PrivateFormat.PKCS8)),
    (EC_KEY, F.ECPRIVATE_KEY, private(EC_KEY, S.PrivateFormat.TraditionalOpenSSL)),
    (EC_KEY, F.PKCS_8, private(EC_KEY, S.PrivateFormat.PKCS8)),
]


@pytest.mark.parametrize("version", [V1_0, V1_4, V2_1])
@pytest.mark.parametrize(("key", "form", "material"), PRIVATE_FORMS)
def test_a_private_key_comes_back_as_registered_and_as_asked(
    client: Client, version: Version, key: Any, form: F, material: bytes
) -> None:
    client = client.at(version)
    uid = register(client, ObjectType.PRIVATE_KEY, [block(form, material)])
    assert got(client, uid) == (form, material)
    for other_key, other, expected in PRIVATE_FORMS:
        if other_key is key:
            assert got(client, uid, (Tag.KEY_FORMAT_TYPE, ENUMERATION, int(other))) == (other, expected)
    wanted: Item = (Tag.KEY_FORMAT_TYPE, ENUMERATION, int(F.TRANSPARENT_DSA_PRIVATE_KEY))
    assert client.refused(Operation.GET, uid_item(uid), wanted) is ResultReason.KEY_FORMAT_TYPE_NOT_SUPPORTED


def test_transparent_keys_are_converted_too(client: Client) -> None:
    numbers = RSA_KEY.private_numbers()
    fields: list[Item] = [
        (Tag.MODULUS, BIG_INTEGER, numbers.public_numbers.n),
        (Tag.PRIVATE_EXPONENT, BIG_INTEGER, numbers.d),
        (Tag.PUBLIC_EXPONENT, BIG_INTEGER, numbers.public_numbers.e),
        (Tag.P, BIG_INTEGER, numbers.p),
        (Tag.Q, BIG_INTEGER, numbers.q),
    ]
    uid = register(client, ObjectType.PRIVATE_KEY, [block(F.TRANSPARENT_RSA_PRIVATE_KEY, fields)])
    assert got(client, uid) == (F.TRANSPARENT_RSA_PRIVATE_KEY, fields)
    wanted: Item = (Tag.KEY_FORMAT_TYPE, ENUMERATION, int(F.PKCS_8))
    assert got(client, uid, wanted) == (F.PKCS_8, private(RSA_KEY, S.PrivateFormat.PKCS8))
    key = register(
        client,
        ObjectType.SYMMETRIC_KEY,
        [block(F.TRANSPARENT_SYMMETRIC_KEY, [(Tag.KEY, BYTE_STRING, bytes(16))], 3, 128)],
    )
    assert got(client, key, (Tag.KEY_FORMAT_TYPE, ENUMERATION, int(F.RAW))) == (F.RAW, bytes(16))


def test_a_public_keys_formats(client: Client) -> None:
    x509 = public(EC_KEY, S.PublicFormat.SubjectPublicKeyInfo)
    uid = register(client, ObjectType.PUBLIC_KEY, [block(F.X_509, x509)])
    form, fields = got(client, uid, (Tag.KEY_FORMAT_TYPE, ENUMERATION, int(F.TRANSPARENT_EC_PUBLIC_KEY)))
    assert form is F.TRANSPARENT_EC_PUBLIC_KEY
    assert fields[0] == (Tag.RECOMMENDED_CURVE, ENUMERATION, int(RecommendedCurve.P_256))
    rsa_uid = register(client, ObjectType.PUBLIC_KEY, [block(F.PKCS_1, public(RSA_KEY, S.PublicFormat.PKCS1))])
    wanted: Item = (Tag.KEY_FORMAT_TYPE, ENUMERATION, int(F.X_509))
    assert got(client, rsa_uid, wanted)[1] == public(RSA_KEY, S.PublicFormat.SubjectPublicKeyInfo)


def test_the_material_says_algorithm_length_and_digest(client: Client) -> None:
    material = private(RSA_KEY, S.PrivateFormat.PKCS8)
    uid = register(client.at(V2_1), ObjectType.PRIVATE_KEY, [block(F.PKCS_8, material)])
    found = client.at(V2_1).ok(Operation.GET_ATTRIBUTES, uid_item(uid)).attributes()
    assert (found["Cryptographic Algorithm"], found["Cryptographic Length"]) == (4, 2048)
    digest = {tag: value for tag, _, value in found["Digest"]}
    assert digest[Tag.DIGEST_VALUE] == hashlib.sha256(material).digest()
    assert digest[Tag.KEY_FORMAT_TYPE] == F.PKCS_8


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (ObjectType.PRIVATE_KEY, [block(F.PKCS_8, b"\x30\x03\x02\x01\x00")]),
        (ObjectType.PRIVATE_KEY, [block(F.PKCS_8, private(RSA_KEY, S.PrivateFormat.PKCS8), 4, 4096)]),
        (ObjectType.SYMMETRIC_KEY, [block(F.RAW, bytes(16), 3, 256)]),
        (ObjectType.SYMMETRIC_KEY, [block(F.RAW, bytes(17), 3, 136)]),
        (ObjectType.SYMMETRIC_KEY, [block(F.RAW, [(Tag.KEY, BYTE_STRING, bytes(16))], 3, 128)]),
        (ObjectType.SYMMETRIC_KEY, [block(F.TRANSPARENT_SYMMETRIC_KEY, bytes(16), 3, 128)]),
        (ObjectType.SYMMETRIC_KEY, [(Tag.KEY_BLOCK, STRUCTURE, [(Tag.KEY_FORMAT_TYPE, ENUMERATION, 1)])]),
    ],
)
def test_material_that_contradicts_itself_is_refused(client: Client, kind: ObjectType, fields: list[Item]) -> None:
    reason = client.refused(Operation.REGISTER, *payload(client, kind, fields))
    assert reason in (ResultReason.INVALID_FIELD, ResultReason.INVALID_MESSAGE, ResultReason.CRYPTOGRAPHIC_FAILURE)
    assert client.locate() == []


def test_the_object_must_be_of_the_object_type(client: Client) -> None:
    items = payload(client, ObjectType.PUBLIC_KEY, [block(F.RAW, bytes(16), 3, 128)])
    items[2] = (Tag.SYMMETRIC_KEY, *items[2][1:])
    assert client.refused(Operation.REGISTER, *items) is ResultReason.INVALID_FIELD
    assert client.refused(Operation.REGISTER, *items[:2]) is ResultReason.INVALID_MESSAGE


@pytest.mark.parametrize("version", [V1_0, V1_2, V2_0])
def test_opaque_objects_and_secret_data(client: Client, version: Version) -> None:
    client = client.at(version)
    opaque: list[Item] = [
        (Tag.OPAQUE_DATA_TYPE, ENUMERATION, 0x80000001),
        (Tag.OPAQUE_DATA_VALUE, BYTE_STRING, b"anything"),
    ]
    items: list[Item] = [
        (Tag.OBJECT_TYPE, ENUMERATION, int(ObjectType.OPAQUE_OBJECT)),
        client.attributes((Tag.NAME, STRUCTURE, name_value("opaque"))),
        (Tag.OPAQUE_OBJECT, STRUCTURE, opaque),
    ]
    uid = client.ok(Operation.REGISTER, *items).uid
    assert client.ok(Operation.GET, uid_item(uid)).one(Tag.OPAQUE_OBJECT) == opaque
    secret: list[Item] = [(Tag.SECRET_DATA_TYPE, ENUMERATION, 2), block(F.OPAQUE, bytes(96))]
    # MongoDB's driver gives a usage mask of 0 and no name.
    items = [
        (Tag.OBJECT_TYPE, ENUMERATION, int(ObjectType.SECRET_DATA)),
        client.attributes((Tag.CRYPTOGRAPHIC_USAGE_MASK, INTEGER, 0)),
        (Tag.SECRET_DATA, STRUCTURE, secret),
    ]
    uid = client.ok(Operation.REGISTER, *items).uid
    assert got(client, uid) == (F.OPAQUE, bytes(96))


def test_a_split_keys_parts_are_kept(client: Client) -> None:
    fields: list[Item] = [
        (Tag.SPLIT_KEY_PARTS, INTEGER, 3),
        (Tag.KEY_PART_IDENTIFIER, INTEGER, 1),
        (Tag.SPLIT_KEY_THRESHOLD, INTEGER, 2),
        (Tag.SPLIT_KEY_METHOD, ENUMERATION, 1),
        block(F.RAW, bytes(16), 3, 128),
    ]
    uid = register(client, ObjectType.SPLIT_KEY, fields)
    assert client.ok(Operation.GET, uid_item(uid)).one(Tag.SPLIT_KEY) == fields


@pytest.mark.parametrize("version", [V1_0, V2_1])
def test_pairs_are_linked_and_belong_together(client: Client, version: Version) -> None:
    client = client.at(version)
    common = client.attributes(
        (Tag.CRYPTOGRAPHIC_ALGORITHM, ENUMERATION, 4),
        (Tag.CRYPTOGRAPHIC_LENGTH, INTEGER, 2048),
        tag_1x=Tag.COMMON_TEMPLATE_ATTRIBUTE,
    )
    answer = client.ok(Operation.CREATE_KEY_PAIR, common)
    private_uid, public_uid = (
        answer.one(Tag.PRIVATE_KEY_UNIQUE_IDENTIFIER),
        answer.one(Tag.PUBLIC_KEY_UNIQUE_IDENTIFIER),
    )
    key = S.load_der_private_key(got(client, private_uid, (Tag.KEY_FORMAT_TYPE, ENUMERATION, int(F.PKCS_8)))[1], None)
    octets = got(client, public_uid, (Tag.KEY_FORMAT_TYPE, ENUMERATION, int(F.X_509)))[1]
    assert public(key, S.PublicFormat.SubjectPublicKeyInfo) == octets
    link = [(Tag.LINK_TYPE, ENUMERATION, 0x102), (Tag.LINKED_OBJECT_IDENTIFIER, TEXT_STRING, public_uid)]
    assert client.locate((Tag.LINK, STRUCTURE, link)) == [private_uid]


@pytest.mark.parametrize("curve", [RecommendedCurve.P_256, RecommendedCurve.P_384, RecommendedCurve.P_521])
def test_elliptic_pairs(client: Client, curve: RecommendedCurve) -> None:
    domain: Item = (Tag.CRYPTOGRAPHIC_DOMAIN_PARAMETERS, STRUCTURE, [(Tag.RECOMMENDED_CURVE, ENUMERATION, int(curve))])
    common = client.attributes(
        (Tag.CRYPTOGRAPHIC_ALGORITHM, ENUMERATION, 6), domain, tag_1x=Tag.COMMON_TEMPLATE_ATTRIBUTE
    )
    uid = client.ok(Operation.CREATE_KEY_PAIR, common).one(Tag.PRIVATE_KEY_UNIQUE_IDENTIFIER)
    found = client.ok(Operation.GET_ATTRIBUTES, uid_item(uid)).attributes()
    assert found["Cryptographic Length"] == int(curve.name.removeprefix("P_"))
    key = S.load_der_private_key(got(client, uid, (Tag.KEY_FORMAT_TYPE, ENUMERATION, int(F.PKCS_8)))[1], None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)


def test_two_creates_never_give_the_same_key(client: Client) -> None:
    keys = {got(client, client.create())[1] for _ in range(20)}
    assert len(keys) == 20
    assert all(len(key) == 32 for key in keys)


@pytest.mark.parametrize("length", [0, 1, 127, 1024, -8])
def test_impossible_lengths(client: Client, length: int) -> None:
    attributes = client.attributes(
        (Tag.CRYPTOGRAPHIC_ALGORITHM, ENUMERATION, 3), (Tag.CRYPTOGRAPHIC_LENGTH, INTEGER, length)
    )
    reason = client.refused(Operation.CREATE, (Tag.OBJECT_TYPE, ENUMERATION, 2), attributes)
    assert reason in (ResultReason.INVALID_FIELD, ResultReason.CRYPTOGRAPHIC_FAILURE)


def test_rsa_lengths_are_bounded(client: Client) -> None:
    common = client.attributes(
        (Tag.CRYPTOGRAPHIC_ALGORITHM, ENUMERATION, 4),
        (Tag.CRYPTOGRAPHIC_LENGTH, INTEGER, 1 << 20),
        tag_1x=Tag.COMMON_TEMPLATE_ATTRIBUTE,
    )
    assert client.refused(Operation.CREATE_KEY_PAIR, common) is ResultReason.INDEX_OUT_OF_BOUNDS
    assert client.at(V2_1).locate() == []


def test_sensitive_objects_leave_wrapped_or_not_at_all(client: Client) -> None:
    client = client.at(V2_1)
    uid = client.create((Tag.SENSITIVE, BOOLEAN, True))
    assert client.refused(Operation.GET, uid_item(uid)) is ResultReason.SENSITIVE


def test_get_in_every_state(client: Client, clock: Clock) -> None:
    """Get needs no Active object; a destroyed one has no material."""
    uid = client.create()
    before = got(client, uid)
    client.ok(Operation.ACTIVATE, uid_item(uid))
    assert got(client, uid) == before
    reason: Item = (Tag.REVOCATION_REASON, STRUCTURE, [(Tag.REVOCATION_REASON_CODE, ENUMERATION, 2)])
    client.ok(Operation.REVOKE, uid_item(uid), reason, (Tag.COMPROMISE_OCCURRENCE_DATE, DATE_TIME, clock.now - 5))
    assert client.state(uid) == 4
    assert got(client, uid) == before
    client.ok(Operation.DESTROY, uid_item(uid))
    assert client.state(uid) == 6
    assert client.refused(Operation.GET, uid_item(uid)) is ResultReason.ITEM_NOT_FOUND
    assert client.refused(Operation.DESTROY, uid_item(uid)) is ResultReason.PERMISSION_DENIED


def test_templates_of_1x(client: Client) -> None:
    inside = [
        client.attributes((Tag.CRYPTOGRAPHIC_ALGORITHM, ENUMERATION, 3), (Tag.CRYPTOGRAPHIC_LENGTH, INTEGER, 192))[2]
    ]
    client.ok(
        Operation.REGISTER,
        (Tag.OBJECT_TYPE, ENUMERATION, int(ObjectType.TEMPLATE)),
        client.attributes((Tag.NAME, STRUCTURE, name_value("aes-192"))),
        (Tag.TEMPLATE, STRUCTURE, inside[0]),
    )
    name: Item = (Tag.NAME, STRUCTURE, name_value("aes-192"))
    mask = client.attributes((Tag.CRYPTOGRAPHIC_USAGE_MASK, INTEGER, 12))[2]
    items: list[Item] = [(Tag.OBJECT_TYPE, ENUMERATION, 2), (Tag.TEMPLATE_ATTRIBUTE, STRUCTURE, [name, *mask])]
    uid = client.ok(Operation.CREATE, *items).uid
    assert len(got(client, uid)[1]) == 24
    missing: Item = (Tag.NAME, STRUCTURE, name_value("no such template"))
    items[1] = (Tag.TEMPLATE_ATTRIBUTE, STRUCTURE, [missing, *mask])
    assert client.refused(Operation.CREATE, *items) is ResultReason.ITEM_NOT_FOUND


def test_what_lies_in_the_store_is_sealed(client: Client) -> None:
    secret = os.urandom(32)
    uid = client.register_key(secret)
    with client.engine.store.work() as work:
        stored = work.find(client.identity.owner, uid)
    assert stored is not None
    assert stored.sealed is not None
    assert secret not in stored.sealed
    assert secret not in stored.attributes


def test_a_plain_get_is_served_from_the_row_alone(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hot path: one row and one unseal; the attributes are not decoded."""
    uid = client.create()
    client.ok(Operation.GET, uid_item(uid))  # the first one makes it no longer Fresh

    def decoded(_: bytes) -> AttributeBag:
        raise AssertionError("the attributes were decoded")

    monkeypatch.setattr(managed_object, "load", decoded)
    assert client.ok(Operation.GET, uid_item(uid)).values(Tag.SYMMETRIC_KEY)
