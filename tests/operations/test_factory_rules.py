"""Set Defaults, Set Constraints and Get Constraints: told truly, and obeyed (KMIP 2.1 §§6.1.22, 6.1.52, 6.1.53)."""

from __future__ import annotations

from kmipsrv.spec.enums import ObjectType, Operation, QueryFunction, ResultReason
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V1_4, V2_0, V2_1
from kmipsrv.ttlv.codec import ENUMERATION, INTEGER, STRUCTURE, TEXT_STRING, Item
from tests.harness import BOB, Client


def key_of(bits: int) -> list[Item]:
    return [(Tag.CRYPTOGRAPHIC_ALGORITHM, ENUMERATION, 3), (Tag.CRYPTOGRAPHIC_LENGTH, INTEGER, bits)]


def constraint(bits: int, group: str | None = None) -> Item:
    fields: list[Item] = [(Tag.OBJECT_TYPES, STRUCTURE, [(Tag.OBJECT_TYPE, ENUMERATION, ObjectType.SYMMETRIC_KEY)])]
    if group is not None:
        fields.append((Tag.OBJECT_GROUPS, STRUCTURE, [(Tag.OBJECT_GROUP, TEXT_STRING, group)]))
    return Tag.CONSTRAINT, STRUCTURE, [*fields, (Tag.ATTRIBUTES, STRUCTURE, key_of(bits))]


def test_constraints_are_kept_told_and_lifted(client: Client) -> None:
    speaker = client.at(V2_1)
    wanted: Item = (Tag.CONSTRAINTS, STRUCTURE, [constraint(256, "Group1"), constraint(192)])
    speaker.ok(Operation.SET_CONSTRAINTS, wanted)
    assert speaker.ok(Operation.GET_CONSTRAINTS).payload == [wanted]
    assert speaker.as_(BOB).ok(Operation.GET_CONSTRAINTS).one(Tag.CONSTRAINTS) == []
    speaker.ok(Operation.SET_CONSTRAINTS)
    assert speaker.ok(Operation.GET_CONSTRAINTS).one(Tag.CONSTRAINTS) == []


def test_constraints_bind_every_way_of_making_an_object(client: Client) -> None:
    speaker = client.at(V2_1)
    speaker.ok(Operation.SET_CONSTRAINTS, (Tag.CONSTRAINTS, STRUCTURE, [constraint(256, "Group1"), constraint(192)]))
    group = (Tag.OBJECT_GROUP, TEXT_STRING, "Group1")
    speaker.create(length=192)
    speaker.create(group, length=256)
    payload = (
        (Tag.OBJECT_TYPE, ENUMERATION, 2),
        speaker.attributes(*key_of(256), (Tag.CRYPTOGRAPHIC_USAGE_MASK, INTEGER, 12)),
    )
    assert speaker.refused(Operation.CREATE, *payload) is ResultReason.CONSTRAINT_VIOLATION
    assert speaker.refused(Operation.REGISTER, *speaker.key(bytes(16))) is ResultReason.CONSTRAINT_VIOLATION
    assert client.at(V1_4).refused(Operation.REGISTER, *client.key(bytes(16))) is ResultReason.PERMISSION_DENIED
    speaker.as_(BOB).create(length=128)


def test_constraints_without_demands_are_refused(client: Client) -> None:
    empty: Item = (Tag.CONSTRAINTS, STRUCTURE, [(Tag.CONSTRAINT, STRUCTURE, [])])
    assert client.at(V2_1).refused(Operation.SET_CONSTRAINTS, empty) is ResultReason.INVALID_FIELD


def defaults(*attributes: Item, kind: ObjectType = ObjectType.SYMMETRIC_KEY) -> Item:
    content: list[Item] = [(Tag.OBJECT_TYPE, ENUMERATION, kind), (Tag.ATTRIBUTES, STRUCTURE, list(attributes))]
    return Tag.DEFAULTS_INFORMATION, STRUCTURE, [(Tag.OBJECT_DEFAULTS, STRUCTURE, content)]


def test_defaults_complete_what_is_omitted(client: Client) -> None:
    speaker = client.at(V2_1)
    wanted = defaults(*key_of(192), (Tag.CRYPTOGRAPHIC_USAGE_MASK, INTEGER, 12))
    speaker.ok(Operation.SET_DEFAULTS, wanted)
    asked = speaker.ok(Operation.QUERY, (Tag.QUERY_FUNCTION, ENUMERATION, QueryFunction.QUERY_DEFAULTS_INFORMATION))
    assert asked.payload == [wanted]
    short = (Tag.OBJECT_TYPE, ENUMERATION, 2), speaker.attributes((Tag.CRYPTOGRAPHIC_LENGTH, INTEGER, 128))
    uid = speaker.ok(Operation.CREATE, *short).uid
    found = speaker.ok(Operation.GET_ATTRIBUTES, (Tag.UNIQUE_IDENTIFIER, TEXT_STRING, uid)).attributes()
    assert (found["Cryptographic Length"], found["Cryptographic Usage Mask"]) == (128, 12)
    speaker.ok(Operation.SET_DEFAULTS)
    assert speaker.refused(Operation.CREATE, *short) is ResultReason.INVALID_FIELD


def test_defaults_complete_a_key_pair(client: Client) -> None:
    speaker = client.at(V2_1)
    payload: Item = (Tag.COMMON_ATTRIBUTES, STRUCTURE, [])
    assert speaker.refused(Operation.CREATE_KEY_PAIR, payload) is ResultReason.INVALID_FIELD
    curve: Item = (Tag.CRYPTOGRAPHIC_DOMAIN_PARAMETERS, STRUCTURE, [(Tag.RECOMMENDED_CURVE, ENUMERATION, 7)])
    speaker.ok(
        Operation.SET_DEFAULTS,
        defaults((Tag.CRYPTOGRAPHIC_ALGORITHM, ENUMERATION, 6), curve, kind=ObjectType.PRIVATE_KEY),
    )
    pair = speaker.ok(Operation.CREATE_KEY_PAIR, payload)
    assert pair.one(Tag.PRIVATE_KEY_UNIQUE_IDENTIFIER) != pair.one(Tag.PUBLIC_KEY_UNIQUE_IDENTIFIER)


def test_defaults_may_not_say_what_a_client_may_not(client: Client) -> None:
    date: Item = (Tag.INITIAL_DATE, 9, 0)
    reason = client.at(V2_1).refused(Operation.SET_DEFAULTS, defaults(date))
    assert reason in (ResultReason.ATTRIBUTE_READ_ONLY, ResultReason.READ_ONLY_ATTRIBUTE)
    assert client.at(V2_0).refused(Operation.SET_DEFAULTS) is ResultReason.OPERATION_NOT_SUPPORTED
