"""Get, Add, Modify, Set and Delete Attribute, in 1.x and 2.x terms, and what the rules forbid."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from kmipsrv.spec.attributes import ATTRIBUTES
from kmipsrv.spec.enums import ObjectType, Operation, ResultReason
from kmipsrv.spec.schema import IdentifierCodec, PlainCodec, codec_for
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V1_0, V1_1, V1_4, V2_0, V2_1, V3_0, Version
from kmipsrv.ttlv.codec import (
    BOOLEAN,
    DATE_TIME,
    DATE_TIME_EXTENDED,
    ENUMERATION,
    INTEGER,
    INTERVAL,
    LONG_INTEGER,
    STRUCTURE,
    TEXT_STRING,
    Item,
)
from tests.harness import BOB, Client, Clock, attribute_1x, name_value, named_1x, uid_item, vendor_attribute


def names(client: Client, uid: str) -> list[Any]:
    answer = client.ok(Operation.GET_ATTRIBUTE_LIST, uid_item(uid))
    return answer.values(Tag.ATTRIBUTE_REFERENCE) or answer.values(Tag.ATTRIBUTE_NAME)


def get(client: Client, uid: str) -> dict[str, Any]:
    return client.ok(Operation.GET_ATTRIBUTES, uid_item(uid)).attributes()


def add(client: Client, uid: str, tag: Tag, kind: int, value: Any) -> list[Item]:
    if client.version >= V2_0:
        payload: Item = (Tag.NEW_ATTRIBUTE, STRUCTURE, [(tag, kind, value)])
    else:
        payload = attribute_1x(tag, kind, value)
    return client.ok(Operation.ADD_ATTRIBUTE, uid_item(uid), payload).payload


def test_an_object_has_what_it_shall_always_have(client: Client) -> None:
    uid = client.create()
    found = get(client.at(V2_1), uid)
    assert found["State"] == 1
    assert found["Object Type"] == ObjectType.SYMMETRIC_KEY
    assert found["Initial Date"] == found["Last Change Date"] == found["Original Creation Date"] == 1_800_000_000
    assert found["Fresh"] is True
    assert (found["Sensitive"], found["Always Sensitive"]) == (False, False)
    assert (found["Extractable"], found["Never Extractable"]) == (True, False)
    assert found["Key Format Type"] == 1
    assert len(found["Short Unique Identifier"]) == 16


@pytest.mark.parametrize("version", Version)
def test_no_version_sees_an_attribute_that_it_does_not_have(client: Client, version: Version) -> None:
    uid = client.at(V2_1).create(
        (Tag.DESCRIPTION, TEXT_STRING, "a key"),
        (Tag.QUANTUM_SAFE, BOOLEAN, True),
        vendor_attribute("acme", "colour", TEXT_STRING, "blue"),
    )
    listed = names(client.at(version), uid)
    known = {row.tag for row in ATTRIBUTES.values() if row.exists_in(version)}
    if version >= V2_0:
        assert {each for each in listed if isinstance(each, int)} <= known
        assert Tag.QUANTUM_SAFE in listed
    else:
        assert set(listed) <= {tag.text for tag in known}
        assert ("Description" in listed) == (version >= V1_4)
        assert ("Fresh" in listed) == (version >= V1_1)


def test_asking_for_an_attribute_that_is_not_there_is_no_error(client: Client) -> None:
    uid = client.create()
    wanted = [(Tag.ATTRIBUTE_NAME, TEXT_STRING, name) for name in ("x-Product_Version", "Nonsense", "State")]
    answer = client.ok(Operation.GET_ATTRIBUTES, uid_item(uid), *wanted)
    assert answer.attributes() == {"State": 1}


def test_naming_an_attribute_twice_is_an_invalid_message(client: Client) -> None:
    uid = client.create()
    state: Item = (Tag.ATTRIBUTE_NAME, TEXT_STRING, "State")
    assert client.refused(Operation.GET_ATTRIBUTES, uid_item(uid), state, state) is ResultReason.INVALID_MESSAGE


def test_attribute_indices_stay_when_others_go(client: Client) -> None:
    uid = client.create()
    for text in ("a", "b", "c"):
        add(client, uid, Tag.OBJECT_GROUP, TEXT_STRING, text)
    client.ok(
        Operation.DELETE_ATTRIBUTE,
        uid_item(uid),
        (Tag.ATTRIBUTE_NAME, TEXT_STRING, "Object Group"),
        (Tag.ATTRIBUTE_INDEX, INTEGER, 1),
    )
    assert groups(client, uid) == [(0, "a"), (2, "c")]
    assert add(client, uid, Tag.OBJECT_GROUP, TEXT_STRING, "d")[1][2][1] == (Tag.ATTRIBUTE_INDEX, INTEGER, 3)
    modified = [
        (Tag.ATTRIBUTE_NAME, TEXT_STRING, "Object Group"),
        (Tag.ATTRIBUTE_INDEX, INTEGER, 2),
        (Tag.ATTRIBUTE_VALUE, TEXT_STRING, "C"),
    ]
    client.ok(Operation.MODIFY_ATTRIBUTE, uid_item(uid), (Tag.ATTRIBUTE, STRUCTURE, modified))
    assert groups(client, uid) == [(0, "a"), (2, "C"), (3, "d")]
    gone = [modified[0], (Tag.ATTRIBUTE_INDEX, INTEGER, 1), modified[2]]
    reason = client.refused(Operation.MODIFY_ATTRIBUTE, uid_item(uid), (Tag.ATTRIBUTE, STRUCTURE, gone))
    assert reason is ResultReason.ITEM_NOT_FOUND


def groups(client: Client, uid: str) -> list[tuple[int, str]]:
    wanted: Item = (Tag.ATTRIBUTE_NAME, TEXT_STRING, "Object Group")
    found = []
    for attribute in client.ok(Operation.GET_ATTRIBUTES, uid_item(uid), wanted).values(Tag.ATTRIBUTE):
        fields = {tag: value for tag, _, value in attribute}
        found.append((fields.get(Tag.ATTRIBUTE_INDEX, 0), fields[Tag.ATTRIBUTE_VALUE]))
    return found


def test_2x_names_an_instance_by_its_value(client: Client) -> None:
    client = client.at(V2_1)
    uid = client.create()
    for text in ("a", "b"):
        add(client, uid, Tag.OBJECT_GROUP, TEXT_STRING, text)

    def change(current: str | None, new: str) -> list[Item]:
        fields: list[Item] = [uid_item(uid)]
        if current is not None:
            fields.append((Tag.CURRENT_ATTRIBUTE, STRUCTURE, [(Tag.OBJECT_GROUP, TEXT_STRING, current)]))
        return [*fields, (Tag.NEW_ATTRIBUTE, STRUCTURE, [(Tag.OBJECT_GROUP, TEXT_STRING, new)])]

    client.ok(Operation.MODIFY_ATTRIBUTE, *change("b", "B"))
    assert groups(client.at(V1_4), uid) == [(0, "a"), (1, "B")]
    assert client.refused(Operation.MODIFY_ATTRIBUTE, *change(None, "x")) is ResultReason.ATTRIBUTE_INSTANCE_NOT_FOUND
    assert client.refused(Operation.MODIFY_ATTRIBUTE, *change("z", "x")) is ResultReason.ATTRIBUTE_INSTANCE_NOT_FOUND
    one: Item = (Tag.CURRENT_ATTRIBUTE, STRUCTURE, [(Tag.OBJECT_GROUP, TEXT_STRING, "a")])
    client.ok(Operation.DELETE_ATTRIBUTE, uid_item(uid), one)
    assert groups(client.at(V1_4), uid) == [(1, "B")]
    every: Item = (Tag.ATTRIBUTE_REFERENCE, ENUMERATION, int(Tag.OBJECT_GROUP))
    client.ok(Operation.DELETE_ATTRIBUTE, uid_item(uid), every)
    assert client.refused(Operation.DELETE_ATTRIBUTE, uid_item(uid), every) is ResultReason.ATTRIBUTE_NOT_FOUND


VALUES = [
    (TEXT_STRING, "blue"),
    (INTEGER, -7),
    (LONG_INTEGER, 1 << 40),
    (BOOLEAN, True),
    (DATE_TIME, 1_700_000_000),
    (INTERVAL, 60),
    (ENUMERATION, 3),
    (STRUCTURE, [(0x540001, TEXT_STRING, "inside"), (0x540002, INTEGER, 1)]),
    (DATE_TIME_EXTENDED, 1_700_000_000_000_001),
]


@pytest.mark.parametrize(("kind", "value"), VALUES)
def test_custom_attributes_of_every_type_in_both_worlds(client: Client, kind: int, value: Any) -> None:
    uid = client.create()
    client.ok(Operation.ADD_ATTRIBUTE, uid_item(uid), named_1x("x-Colour", kind, value))
    wanted = [(Tag.VENDOR_IDENTIFICATION, TEXT_STRING, "x"), (Tag.ATTRIBUTE_NAME, TEXT_STRING, "Colour")]
    answer = client.at(V2_1).ok(Operation.GET_ATTRIBUTES, uid_item(uid), (Tag.ATTRIBUTE_REFERENCE, STRUCTURE, wanted))
    assert answer.one(Tag.ATTRIBUTES) == [vendor_attribute("x", "Colour", kind, value)]
    assert client.at(V2_1).locate(vendor_attribute("x", "Colour", kind, value)) == [uid]


def example(tag: Tag) -> tuple[int, Any] | None:
    """Some value of a scalar attribute."""
    codec = codec_for(ATTRIBUTES[tag].kind, V3_0)
    if isinstance(codec, PlainCodec):
        defaults: dict[int, Any] = {TEXT_STRING: "x", 8: b"x", BOOLEAN: True}
        return codec.code, defaults.get(codec.code, 1)
    if isinstance(codec, IdentifierCodec):
        return TEXT_STRING, "x"
    if hasattr(codec, "values"):
        return ENUMERATION, next(iter(codec.values))
    return (INTEGER, 1) if hasattr(codec, "mask") else None


@pytest.mark.parametrize(
    "tag", [row.tag for row in ATTRIBUTES.values() if not set("CS") & set(row.rules) and example(row.tag)]
)
def test_what_is_the_servers_to_set_is_nobody_elses(client: Client, tag: Tag) -> None:
    client = client.at(next(v for v in (V2_1, V3_0, V1_4) if ATTRIBUTES[tag].exists_in(v)))
    uid = client.create()
    value = example(tag)
    assert value is not None
    payload: Item = (
        (Tag.NEW_ATTRIBUTE, STRUCTURE, [(tag, *value)]) if client.version >= V2_0 else attribute_1x(tag, *value)
    )
    reasons = {ResultReason.READ_ONLY_ATTRIBUTE, ResultReason.PERMISSION_DENIED}
    assert client.refused(Operation.ADD_ATTRIBUTE, uid_item(uid), payload) in reasons


def test_the_servers_vendor_is_read_only(client: Client) -> None:
    uid = client.create()
    reason = client.refused(Operation.ADD_ATTRIBUTE, uid_item(uid), named_1x("y-Server", TEXT_STRING, "x"))
    assert reason is ResultReason.PERMISSION_DENIED


@pytest.mark.parametrize(
    ("version", "reason"), [(V1_4, ResultReason.PERMISSION_DENIED), (V2_1, ResultReason.WRONG_KEY_LIFECYCLE_STATE)]
)
def test_the_activation_date_is_fixed_once_the_object_is_active(
    client: Client, version: Version, reason: ResultReason
) -> None:
    client = client.at(version)
    uid = client.create()
    client.ok(Operation.ACTIVATE, uid_item(uid))
    new = (Tag.ACTIVATION_DATE, DATE_TIME, 1_900_000_000)
    payload: Item = (Tag.NEW_ATTRIBUTE, STRUCTURE, [new]) if version >= V2_0 else attribute_1x(*new)
    assert client.refused(Operation.MODIFY_ATTRIBUTE, uid_item(uid), payload) is reason


def test_dates_take_effect_when_they_are_reached(client: Client, clock: Clock) -> None:
    uid = client.create(
        (Tag.ACTIVATION_DATE, DATE_TIME, clock.now + 10), (Tag.DEACTIVATION_DATE, DATE_TIME, clock.now + 20)
    )
    states = []
    for _ in range(4):
        states.append(client.state(uid))
        found = [state for state in range(1, 7) if client.locate((Tag.STATE, ENUMERATION, state)) == [uid]]
        assert found == states[-1:]
        clock.advance(7)
    assert states == [1, 1, 2, 3]


def test_dates_in_the_wrong_order_are_refused(client: Client, clock: Clock) -> None:
    payload = client.attributes(
        (Tag.CRYPTOGRAPHIC_ALGORITHM, ENUMERATION, 3),
        (Tag.CRYPTOGRAPHIC_LENGTH, INTEGER, 256),
        (Tag.ACTIVATION_DATE, DATE_TIME, clock.now + 10),
        (Tag.DEACTIVATION_DATE, DATE_TIME, clock.now + 5),
    )
    assert client.refused(Operation.CREATE, (Tag.OBJECT_TYPE, ENUMERATION, 2), payload) is ResultReason.INVALID_FIELD


@pytest.mark.parametrize(("level", "shown"), [(logging.INFO, False), (logging.DEBUG, True)])
def test_a_refusal_is_logged_without_its_trace(
    client: Client, caplog: pytest.LogCaptureFixture, level: int, shown: bool
) -> None:
    name = (Tag.NAME, STRUCTURE, name_value("disk 1"))
    client.create(name)
    with caplog.at_level(level, "kmipsrv.engine"):
        client.refused(
            Operation.CREATE,
            (Tag.OBJECT_TYPE, ENUMERATION, 2),
            client.attributes(
                (Tag.CRYPTOGRAPHIC_ALGORITHM, ENUMERATION, 3), (Tag.CRYPTOGRAPHIC_LENGTH, INTEGER, 256), name
            ),
        )
    (record,) = [one for one in caplog.records if "Create failed" in one.getMessage()]
    assert bool(record.exc_info) is shown


def test_names_are_unique_for_each_owner_and_free_again_after_destroy(client: Client) -> None:
    name = (Tag.NAME, STRUCTURE, name_value("disk 1"))
    first = client.create(name)
    bobs = client.as_(BOB).create(name)
    for version, reason in ((V1_0, ResultReason.INVALID_FIELD), (V2_1, ResultReason.NON_UNIQUE_NAME_ATTRIBUTE)):
        speaker = client.at(version)
        attributes = speaker.attributes(
            (Tag.CRYPTOGRAPHIC_ALGORITHM, ENUMERATION, 3), (Tag.CRYPTOGRAPHIC_LENGTH, INTEGER, 256), name
        )
        assert speaker.refused(Operation.CREATE, (Tag.OBJECT_TYPE, ENUMERATION, 2), attributes) is reason
    other = client.create()
    assert (
        client.refused(Operation.ADD_ATTRIBUTE, uid_item(other), attribute_1x(*name)) is ResultReason.ILLEGAL_OPERATION
    )
    client.ok(Operation.DESTROY, uid_item(first))
    second = client.create(name)
    assert client.locate(name) == [second]
    assert client.as_(BOB).locate(name) == [bobs]


def test_set_attribute_adds_or_modifies_but_never_chooses(client: Client) -> None:
    client = client.at(V2_1)
    uid = client.create()

    def set_(tag: Tag, kind: int, value: Any) -> Item:
        return Tag.NEW_ATTRIBUTE, STRUCTURE, [(tag, kind, value)]

    for text in ("one", "two"):
        client.ok(Operation.SET_ATTRIBUTE, uid_item(uid), set_(Tag.DESCRIPTION, TEXT_STRING, text))
        assert get(client, uid)["Description"] == text
    for text in ("a", "b"):
        add(client, uid, Tag.OBJECT_GROUP, TEXT_STRING, text)
    reason = client.refused(Operation.SET_ATTRIBUTE, uid_item(uid), set_(Tag.OBJECT_GROUP, TEXT_STRING, "c"))
    assert reason is ResultReason.MULTI_VALUED_ATTRIBUTE
    reason = client.refused(Operation.SET_ATTRIBUTE, uid_item(uid), set_(Tag.STATE, ENUMERATION, 2))
    assert reason is ResultReason.READ_ONLY_ATTRIBUTE


def test_always_sensitive_and_never_extractable_remember(client: Client) -> None:
    client = client.at(V2_1)
    uid = client.create((Tag.SENSITIVE, BOOLEAN, True), (Tag.EXTRACTABLE, BOOLEAN, False))
    found = get(client, uid)
    assert (found["Always Sensitive"], found["Never Extractable"]) == (True, True)
    for tag, value in (
        (Tag.SENSITIVE, False),
        (Tag.EXTRACTABLE, True),
        (Tag.SENSITIVE, True),
        (Tag.EXTRACTABLE, False),
    ):
        client.ok(Operation.SET_ATTRIBUTE, uid_item(uid), (Tag.NEW_ATTRIBUTE, STRUCTURE, [(tag, BOOLEAN, value)]))
    found = get(client, uid)
    assert (found["Sensitive"], found["Extractable"]) == (True, False)
    assert (found["Always Sensitive"], found["Never Extractable"]) == (False, False)
    assert client.refused(Operation.GET, uid_item(uid)) is ResultReason.NOT_EXTRACTABLE


def test_application_data_is_not_made_up(client: Client) -> None:
    uid = client.create()
    alone = attribute_1x(
        Tag.APPLICATION_SPECIFIC_INFORMATION, STRUCTURE, [(Tag.APPLICATION_NAMESPACE, TEXT_STRING, "ssl")]
    )
    reason = client.refused(Operation.ADD_ATTRIBUTE, uid_item(uid), alone)
    assert reason is ResultReason.APPLICATION_NAMESPACE_NOT_SUPPORTED
