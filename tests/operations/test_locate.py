"""Locate: what is found, in which order, and what is an error (KMIP 2.1 §6.1.28)."""

from __future__ import annotations

import pytest

from kmipsrv.spec.enums import Operation, ResultReason, StorageStatusMask
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V1_0, V1_3, V1_4, V2_1, Version
from kmipsrv.ttlv.codec import BOOLEAN, BYTE_STRING, DATE_TIME, ENUMERATION, INTEGER, STRUCTURE, TEXT_STRING, Item
from tests.harness import BOB, Client, Clock, attribute_1x, name_value, named_1x, uid_item, vendor_attribute


def many(client: Client, count: int) -> list[str]:
    """Keys made one after the other; the newest comes first."""
    return [client.create((Tag.OBJECT_GROUP, TEXT_STRING, "g")) for _ in range(count)][::-1]


def test_newest_first_within_offset_and_maximum_with_the_total(client: Client) -> None:
    made = many(client, 7)
    assert client.locate() == made
    answer = client.ok(Operation.LOCATE, (Tag.MAXIMUM_ITEMS, INTEGER, 3), (Tag.OFFSET_ITEMS, INTEGER, 2))
    assert answer.values(Tag.UNIQUE_IDENTIFIER) == made[2:5]
    assert answer.one(Tag.LOCATED_ITEMS) == 7


def test_a_1_0_client_that_sends_offset_items_is_told_the_total(client: Client) -> None:
    made = many(client.at(V1_0), 3)
    page = client.at(V1_0).ok(Operation.LOCATE, (Tag.MAXIMUM_ITEMS, INTEGER, 2), (Tag.OFFSET_ITEMS, INTEGER, 2))
    assert page.values(Tag.UNIQUE_IDENTIFIER) == made[2:]
    assert page.one(Tag.LOCATED_ITEMS) == 3
    assert client.at(V1_0).ok(Operation.LOCATE).values(Tag.LOCATED_ITEMS) == []


def test_1_3_pages_from_the_oldest_on(client: Client) -> None:
    made = many(client.at(V1_3), 5)
    page = client.at(V1_3).ok(Operation.LOCATE, (Tag.MAXIMUM_ITEMS, INTEGER, 2), (Tag.OFFSET_ITEMS, INTEGER, 1))
    assert page.values(Tag.UNIQUE_IDENTIFIER) == made[::-1][1:3]


@pytest.mark.parametrize("version", [V1_0, V1_4, V2_1])
def test_by_name_group_type_algorithm_and_length(client: Client, version: Version) -> None:
    client = client.at(version)
    first = client.create((Tag.NAME, STRUCTURE, name_value("first")), (Tag.OBJECT_GROUP, TEXT_STRING, "g"))
    second = client.create((Tag.OBJECT_GROUP, TEXT_STRING, "g"), length=128)
    assert client.locate((Tag.NAME, STRUCTURE, name_value("first"))) == [first]
    assert client.locate((Tag.NAME, STRUCTURE, name_value("firs"))) == []
    assert client.locate((Tag.OBJECT_GROUP, TEXT_STRING, "g")) == [second, first]
    assert client.locate((Tag.OBJECT_TYPE, ENUMERATION, 2)) == [second, first]
    assert client.locate((Tag.OBJECT_TYPE, ENUMERATION, 4)) == []
    assert client.locate((Tag.CRYPTOGRAPHIC_ALGORITHM, ENUMERATION, 3), (Tag.CRYPTOGRAPHIC_LENGTH, INTEGER, 128)) == [
        second
    ]
    assert client.locate((Tag.UNIQUE_IDENTIFIER, TEXT_STRING, first)) == [first]


def test_structures_may_be_given_in_part(client: Client) -> None:
    uid = client.create((Tag.NAME, STRUCTURE, name_value("n")))
    assert client.locate((Tag.NAME, STRUCTURE, [(Tag.NAME_VALUE, TEXT_STRING, "n")])) == [uid]
    assert client.locate((Tag.NAME, STRUCTURE, [(Tag.NAME_TYPE, ENUMERATION, 1)])) == [uid]
    assert client.locate((Tag.NAME, STRUCTURE, [(Tag.NAME_TYPE, ENUMERATION, 2)])) == []
    link = [(Tag.LINK_TYPE, ENUMERATION, 0x107), (Tag.LINKED_OBJECT_IDENTIFIER, TEXT_STRING, "other")]
    client.ok(Operation.ADD_ATTRIBUTE, uid_item(uid), attribute_1x(Tag.LINK, STRUCTURE, link))
    assert client.locate((Tag.LINK, STRUCTURE, link[1:])) == [uid]
    assert client.locate((Tag.LINK, STRUCTURE, [(Tag.LINK_TYPE, ENUMERATION, 0x106), link[1]])) == []


def test_all_fields_of_a_structure_must_be_of_one_instance(client: Client) -> None:
    uid = client.create()
    for space, data in (("a", "1"), ("b", "2")):
        value = [(Tag.APPLICATION_NAMESPACE, TEXT_STRING, space), (Tag.APPLICATION_DATA, TEXT_STRING, data)]
        term = attribute_1x(Tag.APPLICATION_SPECIFIC_INFORMATION, STRUCTURE, value)
        client.ok(Operation.ADD_ATTRIBUTE, uid_item(uid), term)

    def found(space: str, data: str) -> list[str]:
        value = [(Tag.APPLICATION_NAMESPACE, TEXT_STRING, space), (Tag.APPLICATION_DATA, TEXT_STRING, data)]
        return client.locate((Tag.APPLICATION_SPECIFIC_INFORMATION, STRUCTURE, value))

    assert found("a", "1") == found("b", "2") == [uid]
    assert found("a", "2") == []


def test_usage_mask_is_an_and(client: Client) -> None:
    both, one = client.create(mask=12), client.create(mask=4)
    assert client.locate((Tag.CRYPTOGRAPHIC_USAGE_MASK, INTEGER, 4)) == [one, both]
    assert client.locate((Tag.CRYPTOGRAPHIC_USAGE_MASK, INTEGER, 12)) == [both]
    assert client.locate((Tag.CRYPTOGRAPHIC_USAGE_MASK, INTEGER, 12 | 1)) == []


def test_one_date_is_a_moment_and_two_are_a_range(client: Client, clock: Clock) -> None:
    made = []
    for _ in range(3):
        made.append(client.create())
        clock.advance(10)
    start = 1_800_000_000
    for tag in (Tag.INITIAL_DATE, Tag.ORIGINAL_CREATION_DATE):  # a column, and one that is compared afterwards
        assert client.locate((tag, DATE_TIME, start + 10)) == [made[1]]
        assert client.locate((tag, DATE_TIME, start + 5)) == []
        assert client.locate((tag, DATE_TIME, start + 20), (tag, DATE_TIME, start + 10)) == [made[2], made[1]]
    client.ok(Operation.ADD_ATTRIBUTE, uid_item(made[0]), named_1x("x-When", DATE_TIME, 500))
    when = [named_1x("x-When", DATE_TIME, moment) for moment in (400, 600)]
    assert client.ok(Operation.LOCATE, *when).values(Tag.UNIQUE_IDENTIFIER) == [made[0]]
    when = [named_1x("x-When", DATE_TIME, moment) for moment in (600, 700)]
    assert client.ok(Operation.LOCATE, *when).values(Tag.UNIQUE_IDENTIFIER) == []


def test_an_attribute_that_nobody_has_finds_nothing(client: Client) -> None:
    client.create()
    assert client.ok(Operation.LOCATE, named_1x("x-Nobody", TEXT_STRING, "has")).values(Tag.UNIQUE_IDENTIFIER) == []
    assert client.locate((Tag.CONTACT_INFORMATION, TEXT_STRING, "nobody")) == []
    assert client.at(V2_1).locate(vendor_attribute("acme", "a", INTEGER, 1)) == []


@pytest.mark.parametrize(
    ("term", "reason"),
    [
        (named_1x("Nonsense", TEXT_STRING, "x"), ResultReason.INVALID_FIELD),
        (named_1x("State", TEXT_STRING, "Active"), ResultReason.INVALID_MESSAGE),
        (named_1x("State", ENUMERATION, 77), ResultReason.INVALID_FIELD),
        (named_1x("Name", STRUCTURE, [(Tag.LINK_TYPE, ENUMERATION, 1)]), ResultReason.INVALID_FIELD),
        (named_1x("Name", TEXT_STRING, "n"), ResultReason.INVALID_MESSAGE),
        ((Tag.ATTRIBUTE, STRUCTURE, [(Tag.ATTRIBUTE_NAME, TEXT_STRING, "State")]), ResultReason.INVALID_MESSAGE),
        ((Tag.MAXIMUM_ITEMS, INTEGER, -1), ResultReason.INVALID_FIELD),
    ],
)
def test_a_malformed_term_is_an_error_never_everything(client: Client, term: Item, reason: ResultReason) -> None:
    client.create()
    assert client.refused(Operation.LOCATE, term) is reason


def test_storage_status(client: Client) -> None:
    alive, gone = client.create(), client.create()
    client.ok(Operation.DESTROY, uid_item(gone))

    def stored(mask: int) -> list[str]:
        return client.locate(more=[(Tag.STORAGE_STATUS_MASK, INTEGER, mask)])

    assert client.locate() == stored(StorageStatusMask.ON_LINE_STORAGE) == [alive]
    assert stored(StorageStatusMask.DESTROYED_STORAGE) == [gone]
    assert stored(StorageStatusMask.DESTROYED_STORAGE | StorageStatusMask.ON_LINE_STORAGE) == [gone, alive]
    assert stored(StorageStatusMask.ARCHIVAL_STORAGE) == stored(0) == []


def test_digests_and_flags(client: Client) -> None:
    one = client.register_key(bytes(16))
    two = client.register_key(bytes(32))
    digest = client.ok(Operation.GET_ATTRIBUTES, uid_item(one), (Tag.ATTRIBUTE_NAME, TEXT_STRING, "Digest"))
    (fields,) = [value for tag, _, value in digest.one(Tag.ATTRIBUTE) if tag == Tag.ATTRIBUTE_VALUE]
    (octets,) = [value for tag, _, value in fields if tag == Tag.DIGEST_VALUE]
    assert client.locate((Tag.DIGEST, STRUCTURE, [(Tag.DIGEST_VALUE, BYTE_STRING, octets)])) == [one]
    assert client.locate((Tag.DIGEST, STRUCTURE, [(Tag.HASHING_ALGORITHM, ENUMERATION, 6)])) == [two, one]
    client.ok(Operation.GET, uid_item(one))
    assert client.locate((Tag.FRESH, BOOLEAN, True)) == [two]
    assert client.locate((Tag.FRESH, BOOLEAN, False)) == [one]


def test_usage_limits_are_lower_bounds(client: Client) -> None:
    def limits(total: int) -> tuple[Tag, int, list[Item]]:
        fields: list[Item] = [(Tag.USAGE_LIMITS_TOTAL, 3, total), (Tag.USAGE_LIMITS_UNIT, ENUMERATION, 1)]
        return Tag.USAGE_LIMITS, STRUCTURE, fields

    small, large = client.create(limits(10)), client.create(limits(100))
    assert client.locate(limits(5)) == [large, small]
    assert client.locate(limits(50)) == [large]
    assert client.locate(limits(500)) == []


def test_fortios_puts_its_attributes_into_a_template_attribute(client: Client) -> None:
    uid = client.create((Tag.NAME, STRUCTURE, name_value("vpn")))
    client.create()
    inside: Item = (Tag.TEMPLATE_ATTRIBUTE, STRUCTURE, [attribute_1x(Tag.NAME, STRUCTURE, name_value("vpn"))])
    assert client.ok(Operation.LOCATE, inside).values(Tag.UNIQUE_IDENTIFIER) == [uid]


def test_not_yours_is_not_there(client: Client) -> None:
    uid = client.create((Tag.NAME, STRUCTURE, name_value("mine")))
    bob = client.as_(BOB)
    assert bob.locate() == bob.locate((Tag.NAME, STRUCTURE, name_value("mine"))) == []
    for operation in (Operation.GET, Operation.GET_ATTRIBUTES, Operation.ACTIVATE, Operation.DESTROY, Operation.CHECK):
        theirs, nobodys = (bob.call(operation, uid_item(name)) for name in (uid, "no-such-object"))
        assert (theirs.reason, theirs.message, theirs.payload) == (nobodys.reason, nobodys.message, nobodys.payload)
    assert client.state(uid) == 1
