"""Re-key, Re-key Key Pair and Re-certify: what the new object takes over, and what stays with the old one."""

from __future__ import annotations

from typing import Any

import pytest

from kmipsrv.spec.enums import KeyFormatType, LinkType, ResultReason
from kmipsrv.spec.enums import Operation as O  # noqa: N817
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V1_2, V2_1
from kmipsrv.ttlv.codec import BOOLEAN, DATE_TIME, ENUMERATION, INTEGER, INTERVAL, STRUCTURE, TEXT_STRING, Item
from tests.harness import BOB, Client, Clock, name_value, uid_item
from tests.operations.cryptography import KEY
from tests.operations.errors.making import key_pair
from tests.operations.requests import ALL, Bench

NOW = 1_800_000_000
DATES = (Tag.ACTIVATION_DATE, Tag.PROCESS_START_DATE, Tag.PROTECT_STOP_DATE, Tag.DEACTIVATION_DATE)


@pytest.fixture
def maker(client: Client) -> Client:
    return client.at(V2_1)


def shown(client: Client, uid: str) -> dict[str, Any]:
    return client.ok(O.GET_ATTRIBUTES, uid_item(uid)).attributes()


def links(client: Client, uid: str) -> dict[int, str]:
    wanted: Item = (Tag.ATTRIBUTE_REFERENCE, ENUMERATION, int(Tag.LINK))
    answer = client.ok(O.GET_ATTRIBUTES, uid_item(uid), wanted)
    found = [value for tag, _, value in answer.one(Tag.ATTRIBUTES) if tag == Tag.LINK]
    return {kind: target for (_, _, kind), (_, _, target) in found}


def material(client: Client, uid: str) -> bytes:
    ((_, _, fields),) = client.ok(O.GET, uid_item(uid)).one(Tag.SYMMETRIC_KEY)
    value = {tag: content for tag, _, content in fields}[Tag.KEY_VALUE]
    octets: bytes = value[0][2]
    return octets


def test_the_new_key_takes_over_name_and_attributes(maker: Client) -> None:
    old = maker.create((Tag.NAME, STRUCTURE, name_value("key")), (Tag.CONTACT_INFORMATION, TEXT_STRING, "me"), mask=4)
    before = material(maker, old)
    new = maker.ok(O.RE_KEY, uid_item(old)).uid
    assert maker.locate((Tag.NAME, STRUCTURE, name_value("key"))) == [new]
    found = shown(maker, new)
    assert (found["Contact Information"], found["Cryptographic Usage Mask"]) == ("me", 4)
    assert (found["Rotate Generation"], found["Rotate Latest"]) == (1, True)
    assert links(maker, new) == {LinkType.REPLACED_OBJECT_LINK: old}
    assert links(maker, old) == {LinkType.REPLACEMENT_OBJECT_LINK: new}
    assert "Name" not in shown(maker, old)
    assert material(maker, old) == before != material(maker, new)


def test_dates_keep_their_distance_from_the_offset(maker: Client, clock: Clock) -> None:
    given = [(tag, DATE_TIME, NOW + 100 * number) for number, tag in enumerate(DATES, 1)]
    old = maker.create(*given)
    clock.advance(1000)
    new = shown(maker, maker.ok(O.RE_KEY, uid_item(old), (Tag.OFFSET, INTERVAL, 60)).uid)
    assert [new[tag.text] for tag in DATES] == [NOW + 1060, NOW + 1160, NOW + 1260, NOW + 1360]
    assert new["Initial Date"] == NOW + 1000
    copied = shown(maker, maker.ok(O.RE_KEY, uid_item(old)).uid)
    assert [copied[tag.text] for tag in DATES] == [value for _, _, value in given]


def test_usage_limits_begin_anew_and_revocation_is_not_inherited(maker: Client) -> None:
    bench = Bench(maker)
    limits: Item = (
        Tag.USAGE_LIMITS,
        STRUCTURE,
        [(Tag.USAGE_LIMITS_TOTAL, 3, 10), (Tag.USAGE_LIMITS_UNIT, ENUMERATION, 2)],
    )
    old = maker.register_key(KEY, (Tag.ACTIVATION_DATE, DATE_TIME, NOW - 9), limits, mask=int(ALL))
    maker.ok(O.GET_USAGE_ALLOCATION, uid_item(old), (Tag.USAGE_LIMITS_COUNT, 3, 7))
    assert bench.refused(O.GET_USAGE_ALLOCATION, uid_item(old), (Tag.USAGE_LIMITS_COUNT, 3, 4))
    maker.ok(
        O.REVOKE,
        uid_item(old),
        (Tag.REVOCATION_REASON, STRUCTURE, [(Tag.REVOCATION_REASON_CODE, ENUMERATION, 2)]),
    )
    new = shown(maker, maker.ok(O.RE_KEY, uid_item(old)).uid)
    assert {tag: value for tag, _, value in new["Usage Limits"]}[Tag.USAGE_LIMITS_COUNT] == 10
    assert new["State"] == 2
    assert "Revocation Reason" not in new


def test_a_sensitive_key_stays_sensitive(maker: Client) -> None:
    old = maker.create((Tag.SENSITIVE, BOOLEAN, True), (Tag.EXTRACTABLE, BOOLEAN, False))
    new = maker.ok(O.RE_KEY, uid_item(old)).uid
    assert maker.refused(O.GET, uid_item(new)) is ResultReason.NOT_EXTRACTABLE


def test_another_clients_key_is_not_there(maker: Client) -> None:
    old = maker.create()
    assert maker.as_(BOB).refused(O.RE_KEY, uid_item(old)) is ResultReason.OBJECT_NOT_FOUND


def test_both_halves_of_a_pair_are_replaced(maker: Client) -> None:
    made = maker.ok(O.CREATE_KEY_PAIR, *key_pair(maker))
    old = made.one(Tag.PRIVATE_KEY_UNIQUE_IDENTIFIER), made.one(Tag.PUBLIC_KEY_UNIQUE_IDENTIFIER)
    replaced = maker.ok(O.RE_KEY_KEY_PAIR, (Tag.PRIVATE_KEY_UNIQUE_IDENTIFIER, TEXT_STRING, old[0]))
    private, public = (
        replaced.one(Tag.PRIVATE_KEY_UNIQUE_IDENTIFIER),
        replaced.one(Tag.PUBLIC_KEY_UNIQUE_IDENTIFIER),
    )
    assert links(maker, private) == {LinkType.PUBLIC_KEY_LINK: public, LinkType.REPLACED_OBJECT_LINK: old[0]}
    assert links(maker, public) == {LinkType.PRIVATE_KEY_LINK: private, LinkType.REPLACED_OBJECT_LINK: old[1]}
    assert links(maker, old[1])[LinkType.REPLACEMENT_OBJECT_LINK] == public


def test_a_renewed_certificate_takes_the_place_of_the_old_one(maker: Client) -> None:
    bench = Bench(maker)
    old = bench.certificate
    new = maker.ok(O.RE_CERTIFY, uid_item(old)).uid
    assert links(maker, new) == {LinkType.REPLACED_OBJECT_LINK: old, LinkType.PUBLIC_KEY_LINK: bench.public}
    assert links(maker, bench.public)[LinkType.CERTIFICATE_LINK] == new
    assert links(maker, old)[LinkType.REPLACEMENT_OBJECT_LINK] == new
    first, second = shown(maker, old), shown(maker, new)
    assert first["X.509 Certificate Subject"] == second["X.509 Certificate Subject"]
    assert first["X.509 Certificate Identifier"] != second["X.509 Certificate Identifier"]


def test_a_requested_format_is_complied_with(maker: Client) -> None:
    wanted: Item = (Tag.KEY_FORMAT_TYPE, ENUMERATION, int(KeyFormatType.TRANSPARENT_SYMMETRIC_KEY))
    uid = maker.create(wanted)
    assert shown(maker, uid)["Key Format Type"] == KeyFormatType.TRANSPARENT_SYMMETRIC_KEY
    impossible: Item = (Tag.KEY_FORMAT_TYPE, ENUMERATION, int(KeyFormatType.PKCS_8))
    given = [
        (Tag.CRYPTOGRAPHIC_ALGORITHM, ENUMERATION, 3),
        (Tag.CRYPTOGRAPHIC_LENGTH, INTEGER, 128),
        (Tag.CRYPTOGRAPHIC_USAGE_MASK, INTEGER, 4),
        impossible,
    ]
    reason = maker.refused(O.CREATE, (Tag.OBJECT_TYPE, ENUMERATION, 2), maker.attributes(*given))
    assert reason is ResultReason.KEY_FORMAT_TYPE_NOT_SUPPORTED


def test_archived_objects_come_back(client: Client) -> None:
    speaker = client.at(V1_2)
    uid = speaker.create((Tag.NAME, STRUCTURE, name_value("away")))
    speaker.ok(O.ARCHIVE, uid_item(uid))
    assert speaker.refused(O.GET, uid_item(uid)) is ResultReason.OBJECT_ARCHIVED
    assert "Archive Date" in shown(speaker, uid)
    assert speaker.locate((Tag.NAME, STRUCTURE, name_value("away"))) == []
    speaker.ok(O.RECOVER, uid_item(uid))
    assert "Archive Date" not in shown(speaker, uid)
    assert speaker.ok(O.GET, uid_item(uid)).uid == uid
    assert speaker.ok(O.OBTAIN_LEASE, uid_item(uid)).one(Tag.LEASE_TIME) == 3600
