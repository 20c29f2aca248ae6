"""Adjust Attribute, each row of its error table included (KMIP 2.1 §6.1.3, Table 172)."""

from __future__ import annotations

from typing import Any

import pytest

from kmipsrv.spec.enums import AdjustmentType, Operation, ResultReason
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V1_4, V2_0, V2_1
from kmipsrv.ttlv.codec import BOOLEAN, DATE_TIME, ENUMERATION, INTEGER, INTERVAL, TEXT_STRING, Item
from tests.harness import Client, name_value, uid_item, vendor_attribute

UP, DOWN, NEGATE = AdjustmentType.INCREMENT, AdjustmentType.DECREMENT, AdjustmentType.NEGATE


def adjust(uid: str, attribute: Tag, how: AdjustmentType, by: tuple[int, Any] | None = None) -> list[Item]:
    items: list[Item] = [
        uid_item(uid),
        (Tag.ATTRIBUTE_REFERENCE, ENUMERATION, int(attribute)),
        (Tag.ADJUSTMENT_TYPE, ENUMERATION, how),
    ]
    return items if by is None else [*items, (Tag.ADJUSTMENT_VALUE, *by)]


def vendor(uid: str, name: str, how: AdjustmentType) -> list[Item]:
    reference = [(Tag.VENDOR_IDENTIFICATION, TEXT_STRING, "x"), (Tag.ATTRIBUTE_NAME, TEXT_STRING, name)]
    return [uid_item(uid), (Tag.ATTRIBUTE_REFERENCE, 1, reference), (Tag.ADJUSTMENT_TYPE, ENUMERATION, how)]


@pytest.fixture
def speaker(client: Client) -> Client:
    return client.at(V2_1)


def shown(speaker: Client, uid: str, name: str) -> Any:
    return speaker.ok(Operation.GET_ATTRIBUTES, uid_item(uid)).attributes().get(name)


@pytest.mark.parametrize(
    ("how", "by", "after"),
    [(UP, None, 101), (DOWN, None, 99), (UP, (INTEGER, 10), 110), (DOWN, (INTERVAL, 100), 0)],
)
def test_counts(speaker: Client, how: AdjustmentType, by: tuple[int, Any] | None, after: int) -> None:
    uid = speaker.create((Tag.PROTECTION_PERIOD, INTERVAL, 100))
    assert speaker.ok(Operation.ADJUST_ATTRIBUTE, *adjust(uid, Tag.PROTECTION_PERIOD, how, by)).payload == [
        uid_item(uid)
    ]
    assert shown(speaker, uid, "Protection Period") == after


def test_an_absent_number_was_zero_and_an_absent_boolean_false(speaker: Client) -> None:
    uid = speaker.create()
    speaker.ok(Operation.ADJUST_ATTRIBUTE, *adjust(uid, Tag.PROTECTION_PERIOD, UP, (INTEGER, 7)))
    assert shown(speaker, uid, "Protection Period") == 7
    speaker.ok(Operation.ADJUST_ATTRIBUTE, *adjust(uid, Tag.QUANTUM_SAFE, NEGATE))
    assert shown(speaker, uid, "Quantum Safe") is True


def test_vendor_attributes(speaker: Client) -> None:
    uid = speaker.create(vendor_attribute("x", "count", INTEGER, 5), vendor_attribute("x", "flag", BOOLEAN, True))
    speaker.ok(Operation.ADJUST_ATTRIBUTE, *vendor(uid, "count", NEGATE))
    speaker.ok(Operation.ADJUST_ATTRIBUTE, *vendor(uid, "flag", NEGATE))
    assert shown(speaker, uid, "Attribute") is not None
    assert speaker.locate(vendor_attribute("x", "count", INTEGER, -5)) == [uid]
    assert speaker.locate(vendor_attribute("x", "flag", BOOLEAN, False)) == [uid]
    assert speaker.refused(Operation.ADJUST_ATTRIBUTE, *vendor(uid, "absent", UP)) is ResultReason.ATTRIBUTE_NOT_FOUND


def test_refusals(speaker: Client) -> None:
    uid = speaker.create(
        (Tag.NAME, 1, name_value("one")),
        (Tag.NAME, 1, name_value("two")),
        (Tag.PROTECTION_PERIOD, INTERVAL, 1),
        (Tag.ACTIVATION_DATE, DATE_TIME, 1_700_000_000),
    )

    def refused(attribute: Tag, how: AdjustmentType, by: tuple[int, Any] | None = None) -> ResultReason:
        return speaker.refused(Operation.ADJUST_ATTRIBUTE, *adjust(uid, attribute, how, by))

    assert refused(Tag.NAME, UP) is ResultReason.MULTI_VALUED_ATTRIBUTE
    assert refused(Tag.PROTECTION_LEVEL, UP) is ResultReason.INVALID_DATA_TYPE
    assert refused(Tag.PROTECTION_PERIOD, NEGATE) is ResultReason.INVALID_DATA_TYPE
    assert refused(Tag.PROTECTION_PERIOD, UP, (TEXT_STRING, "1")) is ResultReason.INVALID_DATA_TYPE
    assert refused(Tag.PROTECTION_PERIOD, DOWN, (INTEGER, 2)) is ResultReason.NUMERIC_RANGE
    assert refused(Tag.INITIAL_DATE, UP) is ResultReason.READ_ONLY_ATTRIBUTE
    assert refused(Tag.ACTIVATION_DATE, UP) is ResultReason.WRONG_KEY_LIFECYCLE_STATE
    assert refused(Tag.QUANTUM_SAFE, UP) is ResultReason.INVALID_DATA_TYPE
    assert refused(Tag.KEY_MATERIAL, UP) is ResultReason.UNSUPPORTED_ATTRIBUTE
    absent = adjust("absent", Tag.PROTECTION_PERIOD, UP)
    assert speaker.refused(Operation.ADJUST_ATTRIBUTE, *absent) is ResultReason.ITEM_NOT_FOUND
    assert speaker.at(V1_4).refused(Operation.ADJUST_ATTRIBUTE) is ResultReason.OPERATION_NOT_SUPPORTED
    assert speaker.at(V2_0).ok(Operation.ADJUST_ATTRIBUTE, *adjust(uid, Tag.PROTECTION_PERIOD, UP)).uid == uid
