"""A client of an old version never sees anything newer: every tag, enumeration value and item type in the answers to that
version's requests exists in it, whatever rich objects a client of the newest version has made.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from kmipsrv.operations._registry import OPERATIONS, WholeAnswer
from kmipsrv.spec import attributes, enums, messages, objects, structures
from kmipsrv.spec.enums import CryptographicAlgorithm as A
from kmipsrv.spec.enums import DerivationMethod, KeyFormatType, LinkType, ObjectType, QueryFunction, ResultStatus
from kmipsrv.spec.enums import Operation as O  # noqa: N817
from kmipsrv.spec.schema import EnumCodec, compile_fields
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V2_0, V2_1, V3_0, Named, Version
from kmipsrv.ttlv.codec import (
    BOOLEAN,
    BYTE_STRING,
    DATE_TIME_EXTENDED,
    ENUMERATION,
    IDENTIFIER,
    INTEGER,
    NAME_REFERENCE,
    REFERENCE,
    STRUCTURE,
    TEXT_STRING,
    Item,
    decode,
)
from tests.harness import Client, name_value, uid_item, vendor_attribute
from tests.operations.cryptography import ACTIVE, block
from tests.operations.requests import ALL, PAYLOAD, Bench, aes, derivation, link, request_pem

# Item types and the versions that brought them (2.1 §10.1.2 and 3.0).
ITEM_TYPES = {DATE_TIME_EXTENDED: V2_0, IDENTIFIER: V3_0, REFERENCE: V3_0, NAME_REFERENCE: V3_0}

# Seen in spite of the enumerations, and why.
KNOWN_EXCEPTIONS = {
    # 1.1 brought the operation; vCenter and others send it in a 1.0 message.
    (Version.V1_0, "Operation: Discover Versions is of 1.1"),
    # 2.0 has no Templates any more, but its conformance cases list them in Query.
    (Version.V2_0, "ObjectType: Template is of 1.0"),
}


def enumerations() -> dict[int, type[Named]]:
    """Tag -> the enumeration of its values, out of every structure's table."""
    found: dict[int, type[Named]] = {row.tag: row.kind for row in attributes.ATTRIBUTES.values() if _is_enum(row.kind)}
    modules = (structures, objects, messages)
    classes = [c for module in modules for c in vars(module).values() if _is_table(c, module.__name__)]
    classes += [c for row in OPERATIONS.values() for c in (row.request, row.response) if _is_table(c)]
    for cls in classes:
        for version in Version:
            for field in compile_fields(cls, version):
                if isinstance(field.codec, EnumCodec):
                    found[field.tag] = field.codec.enumeration
    return found


def _is_enum(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Named)


def _is_table(each: object, module: str = "") -> bool:
    """Whether a class is a structure's table, of this module if it is named."""
    if not isinstance(each, type) or not hasattr(each, "__dataclass_fields__"):
        return False
    return not hasattr(each, "read_items") and each is not WholeAnswer and module in ("", each.__module__)


def newer(item: Item, version: Version, known: dict[int, type[Named]], path: str = "") -> Iterator[str]:
    """What in an item the version does not have."""
    tag, kind, value = item
    here = f"{path}/{Tag(tag).camel}"
    if not Tag(tag).exists_in(version):
        yield f"{here}: the tag is of {Tag(tag).since}"
    if ITEM_TYPES.get(kind, version) > version:
        yield f"{here}: item type {kind}"
    if kind == STRUCTURE:
        named = {t: v for t, _, v in value}
        attribute = attributes.BY_NAME.get(named.get(Tag.ATTRIBUTE_NAME, ""))
        for inner in value:
            if inner[0] == Tag.ATTRIBUTE_VALUE and attribute is not None:
                yield from newer((attribute.tag, *inner[1:]), version, known, here)
            else:
                yield from newer(inner, version, known, here)
    elif tag == Tag.ATTRIBUTE_NAME and (row := attributes.BY_NAME.get(value)) and not row.exists_in(version):
        yield f"{here}: {value} is of {row.since}"
    elif kind == ENUMERATION and tag in known:
        member: Any = known[tag](value)
        what = f"{Tag(tag).camel}: {member.text} is of {member.since}"
        if not member.exists_in(version) and (version, what) not in KNOWN_EXCEPTIONS:
            yield f"{path}/{what}"


@pytest.fixture
def rich(client: Client) -> list[str]:
    """Objects with everything that the newest structures offer, made by a client of 2.1."""
    bench = Bench(client.at(V2_1))
    maker = bench.client
    everything: list[Item] = [
        (Tag.NAME, STRUCTURE, name_value("rich")),
        (Tag.DESCRIPTION, TEXT_STRING, "a key"),
        (Tag.COMMENT, TEXT_STRING, "no comment"),
        (Tag.SENSITIVE, BOOLEAN, False),
        (Tag.QUANTUM_SAFE, BOOLEAN, True),
        (Tag.NIST_KEY_TYPE, ENUMERATION, 6),
        (Tag.PROTECTION_LEVEL, ENUMERATION, 1),
        (Tag.PKCS_12_FRIENDLY_NAME, TEXT_STRING, "alias"),
        (
            Tag.CRYPTOGRAPHIC_PARAMETERS,
            STRUCTURE,
            [
                (Tag.BLOCK_CIPHER_MODE, ENUMERATION, 9),
                (Tag.CRYPTOGRAPHIC_ALGORITHM, ENUMERATION, int(A.CHACHA20)),
                (Tag.IV_LENGTH, INTEGER, 96),
                (Tag.SALT_LENGTH, INTEGER, 8),
                (Tag.MASK_GENERATOR, ENUMERATION, 1),
            ],
        ),
        link(LinkType.PKCS_12_PASSWORD_LINK, "somewhere"),
        link(LinkType.WRAPPING_KEY_LINK, "somewhere"),
        vendor_attribute("acme", "colour", TEXT_STRING, "blue"),
        vendor_attribute("x", "when", DATE_TIME_EXTENDED, 1),
        ACTIVE,
    ]
    keys = [
        maker.create(*everything),
        *_pair(maker, A.EC, KeyFormatType.TRANSPARENT_EC_PRIVATE_KEY, KeyFormatType.TRANSPARENT_EC_PUBLIC_KEY),
        *_pair(maker, A.ED25519, KeyFormatType.PKCS_8, KeyFormatType.X_509),
        bench.private,
        bench.public,
        bench.certificate,
        bench.opaque,
        bench.secret(),
        *bench.parts(),
        maker.ok(O.RE_KEY, uid_item(bench.key)).uid,
        maker.ok(
            O.DERIVE_KEY,
            *derivation(
                bench.secret(),
                (Tag.SALT, BYTE_STRING, b"salt"),
                method=int(DerivationMethod.HKDF),
            ),
            aes(maker),
        ).uid,
        _chacha(maker),
        _request(maker),
    ]
    return [*keys, bench.key]


def _pair(client: Client, algorithm: A, private: KeyFormatType, public: KeyFormatType) -> list[str]:
    attributes_of = {
        Tag.COMMON_ATTRIBUTES: [(Tag.CRYPTOGRAPHIC_ALGORITHM, ENUMERATION, int(algorithm)), ACTIVE],
        Tag.PRIVATE_KEY_ATTRIBUTES: [(Tag.KEY_FORMAT_TYPE, ENUMERATION, int(private))],
        Tag.PUBLIC_KEY_ATTRIBUTES: [(Tag.KEY_FORMAT_TYPE, ENUMERATION, int(public))],
    }
    made = client.ok(O.CREATE_KEY_PAIR, *((tag, STRUCTURE, items) for tag, items in attributes_of.items()))
    return [made.one(Tag.PRIVATE_KEY_UNIQUE_IDENTIFIER), made.one(Tag.PUBLIC_KEY_UNIQUE_IDENTIFIER)]


def _chacha(client: Client) -> str:
    body = block(KeyFormatType.RAW, bytes(32), A.CHACHA20, 256)
    given = client.attributes((Tag.CRYPTOGRAPHIC_USAGE_MASK, INTEGER, int(ALL)))
    return client.ok(O.REGISTER, (Tag.OBJECT_TYPE, ENUMERATION, 2), given, (Tag.SYMMETRIC_KEY, STRUCTURE, body)).uid


def _request(client: Client) -> str:
    body: list[Item] = [
        (Tag.CERTIFICATE_REQUEST_TYPE, ENUMERATION, 3),
        (Tag.CERTIFICATE_REQUEST_VALUE, BYTE_STRING, request_pem()),
    ]
    kind = (Tag.OBJECT_TYPE, ENUMERATION, int(ObjectType.CERTIFICATE_REQUEST))
    return client.ok(O.REGISTER, kind, client.attributes(), (Tag.CERTIFICATE_REQUEST, STRUCTURE, body)).uid


LOOKS = (O.GET, O.EXPORT, O.GET_ATTRIBUTES, O.GET_ATTRIBUTE_LIST, O.CHECK, O.OBTAIN_LEASE)
CHANGES = (O.RE_KEY, O.RE_KEY_KEY_PAIR, O.RE_CERTIFY, O.ENCRYPT, O.SIGN, O.MAC, O.ARCHIVE, O.RECOVER, O.DESTROY)


@pytest.mark.parametrize("version", Version)
def test_no_answer_holds_anything_newer(client: Client, rich: list[str], version: Version) -> None:
    known = enumerations()
    speaker = client.at(version)
    answered = 0
    for operation in (each for each in (*LOOKS, *CHANGES) if OPERATIONS[each].exists_in(version)):
        for uid in rich:
            frame = speaker.frame([(operation, PAYLOAD[operation](speaker, uid))])
            answer = speaker.raw(frame)
            assert answer is not None
            assert list(newer(decode(answer), version, known)) == [], operation.camel
            status = decode(answer)[2][1][2]
            answered += (Tag.RESULT_STATUS, ENUMERATION, int(ResultStatus.SUCCESS)) in status
    assert answered > 40


@pytest.mark.parametrize("version", Version)
def test_query_and_locate_tell_nothing_newer(client: Client, rich: list[str], version: Version) -> None:
    assert rich
    known = enumerations()
    speaker = client.at(version)
    functions: list[Item] = [(Tag.QUERY_FUNCTION, ENUMERATION, int(f)) for f in QueryFunction if f.exists_in(version)]
    for operation, payload in ((O.QUERY, functions), (O.LOCATE, []), (O.DISCOVER_VERSIONS, [])):
        if OPERATIONS[operation].exists_in(version):
            answer = speaker.raw(speaker.frame([(operation, payload)]))
            assert answer is not None
            assert list(newer(decode(answer), version, known)) == [], operation.camel


def test_the_check_finds_what_is_newer() -> None:
    known = enumerations()
    item: Item = (Tag.RESPONSE_PAYLOAD, STRUCTURE, [(Tag.CRYPTOGRAPHIC_ALGORITHM, ENUMERATION, int(A.CHACHA20))])
    assert list(newer(item, Version.V1_0, known))
    assert not list(newer(item, Version.V2_1, known))
    assert list(newer((Tag.TICKET, STRUCTURE, []), Version.V1_4, known))
    assert list(newer((Tag.INITIAL_DATE, DATE_TIME_EXTENDED, 1), Version.V1_4, known))
    assert enums.LinkType in known.values()
