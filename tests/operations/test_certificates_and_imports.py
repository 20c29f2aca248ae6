"""Certify, Validate, PKCS#12, Export and Import."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12

from kmipsrv.spec.enums import CryptographicAlgorithm as A
from kmipsrv.spec.enums import KeyFormatType, LinkType, ObjectType, ResultReason, ValidityIndicator
from kmipsrv.spec.enums import Operation as O  # noqa: N817
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V1_0, V1_4, V2_1
from kmipsrv.ttlv.codec import BOOLEAN, BYTE_STRING, DATE_TIME, ENUMERATION, INTEGER, STRUCTURE, TEXT_STRING, Item
from tests.harness import BOB, Client, uid_item
from tests.operations.cryptography import ACTIVE, KEY, block
from tests.operations.errors.keys import make_container
from tests.operations.errors.making import importing
from tests.operations.requests import ALL, PAYLOAD, REPLACE, Bench, link, new_attribute, private_pkcs1, request_pem
from tests.operations.test_replacement import links, material, shown

NOW = 1_800_000_000


@pytest.fixture
def bench(client: Client) -> Bench:
    return Bench(client.at(V2_1))


def certificate(client: Client, uid: str) -> x509.Certificate:
    found: dict[int, Any] = {tag: value for tag, _, value in client.ok(O.GET, uid_item(uid)).one(Tag.CERTIFICATE)}
    return x509.load_der_x509_certificate(found[Tag.CERTIFICATE_VALUE])


def validity(client: Client, *uids: str) -> int:
    found = client.ok(O.VALIDATE, *map(uid_item, uids)).one(Tag.VALIDITY_INDICATOR)
    assert isinstance(found, int)
    return found


def test_the_certificate_is_what_was_asked_for(bench: Bench) -> None:
    client = bench.client
    payload = [
        uid_item(bench.public),
        (Tag.CERTIFICATE_REQUEST_TYPE, ENUMERATION, 3),
        (Tag.CERTIFICATE_REQUEST_VALUE, BYTE_STRING, request_pem("holder")),
        client.attributes((Tag.CRYPTOGRAPHIC_USAGE_MASK, INTEGER, 3), (Tag.DEACTIVATION_DATE, DATE_TIME, NOW + 99)),
    ]
    uid = client.ok(O.CERTIFY, *payload).uid
    made = certificate(client, uid)
    assert made.subject.rfc4514_string() == "CN=holder"
    assert int(made.not_valid_after_utc.timestamp()) == NOW + 99
    assert made.extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    found = shown(client, uid)
    assert (found["Certificate Subject CN"], found["Cryptographic Length"]) == ("holder", 2048)
    assert links(client, uid) == {LinkType.PUBLIC_KEY_LINK: bench.public}
    assert validity(client, uid) == ValidityIndicator.VALID
    assert shown(client.at(V1_0), uid)["Certificate Subject"][0][2] == "CN=holder"


def test_a_subject_may_be_given_by_attributes(bench: Bench) -> None:
    client = bench.client
    given = client.attributes(
        (Tag.CERTIFICATE_TYPE, ENUMERATION, 1),
        (Tag.CERTIFICATE_SUBJECT_CN, TEXT_STRING, "somebody"),
        (Tag.CERTIFICATE_SUBJECT_O, TEXT_STRING, "acme"),
    )
    uid = client.ok(O.CERTIFY, uid_item(bench.public), given).uid
    assert certificate(client, uid).subject.rfc4514_string() == "CN=somebody,O=acme"


def test_one_authority_for_a_domain_and_not_that_of_tls(bench: Bench) -> None:
    first, second = (certificate(bench.client, bench.client.ok(O.CERTIFY, *_public(bench)).uid) for _ in range(2))
    assert first.issuer == second.issuer
    assert first.serial_number != second.serial_number
    assert "kmipsrv certification authority of default" in first.issuer.rfc4514_string()


def _public(bench: Bench) -> list[Item]:
    return PAYLOAD[O.CERTIFY](bench.client, bench.public)


def test_a_certificate_of_another_authority_is_unknown(bench: Bench, client: Client) -> None:
    other = Bench(client.at(V2_1).as_(BOB))
    assert validity(bench.client, bench.certificate) == ValidityIndicator.VALID
    assert other.refused(O.VALIDATE, uid_item(bench.certificate)) is ResultReason.OBJECT_NOT_FOUND
    late: Item = (Tag.VALIDITY_DATE, DATE_TIME, NOW + 400 * 86400)
    answer = bench.client.ok(O.VALIDATE, uid_item(bench.certificate), late)
    assert answer.one(Tag.VALIDITY_INDICATOR) == ValidityIndicator.INVALID


def test_a_container_becomes_a_key_and_is_made_again(bench: Bench) -> None:
    client = bench.client
    password = bench.secret()
    given = client.attributes(
        (Tag.CRYPTOGRAPHIC_USAGE_MASK, INTEGER, 1), link(LinkType.PKCS_12_PASSWORD_LINK, password)
    )
    body: Item = (Tag.PRIVATE_KEY, STRUCTURE, block(KeyFormatType.PKCS_12, make_container()))
    uid = client.ok(O.REGISTER, (Tag.OBJECT_TYPE, ENUMERATION, 4), given, body).uid
    found = shown(client, uid)
    assert (found["Cryptographic Algorithm"], found["Cryptographic Length"]) == (A.RSA, 2048)
    client.ok(
        O.ADD_ATTRIBUTE,
        uid_item(uid),
        new_attribute(client, *link(LinkType.PKCS_12_CERTIFICATE_LINK, bench.certificate)),
    )
    wanted: Item = (Tag.KEY_FORMAT_TYPE, ENUMERATION, int(KeyFormatType.PKCS_12))
    ((_, _, fields),) = client.ok(O.GET, uid_item(uid), wanted).one(Tag.PRIVATE_KEY)
    value = {tag: content for tag, _, content in fields}[Tag.KEY_VALUE]
    key, own, chain = pkcs12.load_key_and_certificates(value[0][2], b"password")
    assert key is not None
    assert own == certificate(client, bench.certificate)
    assert chain == []


def test_a_fork_in_the_chain_is_refused(bench: Bench) -> None:
    client = bench.client
    given = client.attributes(
        (Tag.CRYPTOGRAPHIC_USAGE_MASK, INTEGER, 1),
        link(LinkType.PKCS_12_PASSWORD_LINK, bench.secret()),
        link(LinkType.PKCS_12_CERTIFICATE_LINK, bench.certificate),
        link(LinkType.PKCS_12_CERTIFICATE_LINK, "another"),
    )
    body: Item = (Tag.PRIVATE_KEY, STRUCTURE, block(KeyFormatType.PKCS_1, private_pkcs1(), A.RSA, 2048))
    uid = client.ok(O.REGISTER, (Tag.OBJECT_TYPE, ENUMERATION, 4), given, body).uid
    wanted: Item = (Tag.KEY_FORMAT_TYPE, ENUMERATION, int(KeyFormatType.PKCS_12))
    assert client.refused(O.GET, uid_item(uid), wanted) is ResultReason.KEY_FORMAT_TYPE_NOT_SUPPORTED


def test_what_is_exported_can_be_imported(bench: Bench) -> None:
    client = bench.client
    old = client.register_key(KEY, ACTIVE, (Tag.COMMENT, TEXT_STRING, "from afar"), mask=int(ALL))
    exported = client.ok(O.EXPORT, uid_item(old))
    attributes = [item for item in exported.one(Tag.ATTRIBUTES) if item[0] != Tag.UNIQUE_IDENTIFIER]
    body: Item = (Tag.SYMMETRIC_KEY, STRUCTURE, exported.one(Tag.SYMMETRIC_KEY))
    kind: Item = (Tag.OBJECT_TYPE, ENUMERATION, int(ObjectType.SYMMETRIC_KEY))
    other = client.as_(BOB)
    assert other.ok(O.IMPORT, uid_item(old), kind, (Tag.ATTRIBUTES, STRUCTURE, attributes), body).uid == old
    assert shown(other, old) == shown(client, old) | {"Fresh": True}  # which the first one was when it was exported
    assert material(other, old) == material(client, old) == KEY


def test_importing_replaces_only_when_told(bench: Bench) -> None:
    client = bench.client
    client.ok(O.IMPORT, *importing(client, "mine"))
    assert client.refused(O.IMPORT, *importing(client, "mine")) is ResultReason.OBJECT_ALREADY_EXISTS
    *head, attributes, body = importing(client, "mine", material=KEY[::-1])
    client.ok(O.IMPORT, *head, REPLACE, attributes, body)
    assert material(client, "mine") == KEY[::-1]
    client.at(V1_4).ok(O.IMPORT, *importing(client.at(V1_4), "of 1.4"))
    assert client.as_(BOB).refused(O.GET, uid_item("mine")) is ResultReason.OBJECT_NOT_FOUND


@pytest.mark.parametrize(
    "contradiction",
    [
        (Tag.STATE, ENUMERATION, 2),
        (Tag.UNIQUE_IDENTIFIER, TEXT_STRING, "another"),
        (Tag.OBJECT_TYPE, ENUMERATION, 1),
        (Tag.KEY_FORMAT_TYPE, ENUMERATION, 7),
        (Tag.DESTROY_DATE, DATE_TIME, 1),
    ],
)
def test_contradictions_are_not_imported(bench: Bench, contradiction: Item) -> None:
    reason = bench.refused(O.IMPORT, *importing(bench.client, "mine", contradiction))
    assert reason is ResultReason.INVALID_ATTRIBUTE_VALUE


def test_supplied_attributes_stand(bench: Bench) -> None:
    client = bench.client
    given: list[Item] = [
        (Tag.INITIAL_DATE, DATE_TIME, 5),
        (Tag.LAST_CHANGE_DATE, DATE_TIME, 6),
        (Tag.FRESH, BOOLEAN, False),
        (Tag.ALWAYS_SENSITIVE, BOOLEAN, False),
        (Tag.SENSITIVE, BOOLEAN, True),
    ]
    client.ok(O.IMPORT, *importing(client, "mine", *given))
    found = shown(client, "mine")
    assert (found["Initial Date"], found["Last Change Date"], found["Fresh"]) == (5, 6, False)
    assert client.refused(O.EXPORT, uid_item("mine")) is ResultReason.SENSITIVE


def test_a_destroyed_object_is_exported_without_its_material(bench: Bench) -> None:
    answer = bench.client.ok(O.EXPORT, uid_item(bench.destroyed))
    assert answer.values(Tag.SYMMETRIC_KEY) == []
    assert answer.attributes()["State"] == 5
