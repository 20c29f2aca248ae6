"""Errors that only 2.x has, and those of its operations."""

from __future__ import annotations

from collections.abc import Callable

from kmipsrv.spec.enums import Operation as O  # noqa: N817
from kmipsrv.spec.enums import ResultReason as R
from kmipsrv.spec.tags import Tag
from kmipsrv.ttlv.codec import (
    BYTE_STRING,
    DATE_TIME,
    ENUMERATION,
    INTEGER,
    STRUCTURE,
    TEXT_STRING,
    Item,
)
from tests.harness import name_value, uid_item
from tests.operations.cryptography import ACTIVE, KEY, PAST
from tests.operations.errors.attributes import changing, contacted, crowded
from tests.operations.errors.making import (
    NAMESPACE,
    NO_NAMESPACE,
)
from tests.operations.errors.table import (
    Provoke,
    row,
    send,
)
from tests.operations.requests import (
    PAYLOAD,
    Bench,
    new_attribute,
)

# What only 2.x has

NEW_STATE = (Tag.ACTIVATION_DATE, DATE_TIME, PAST)


def revoked(b: Bench) -> str:
    uid = b.client.register_key(KEY, ACTIVE)
    b.client.ok(O.REVOKE, *PAYLOAD[O.REVOKE](b.client, uid))
    return uid


LATE = (Tag.PROTECT_STOP_DATE, DATE_TIME, 2_000_000_000)
row(
    O.ADD_ATTRIBUTE,
    "a date after the end",
    None,
    R.WRONG_KEY_LIFECYCLE_STATE,
    changing(O.ADD_ATTRIBUTE, revoked, *LATE),
)
for each in (O.MODIFY_ATTRIBUTE, O.SET_ATTRIBUTE):
    row(
        each,
        "Activation Date of an active key",
        None,
        R.WRONG_KEY_LIFECYCLE_STATE,
        changing(each, lambda b: b.key, *NEW_STATE),
    )


def current(tag: Tag, kind: int, value: object) -> Item:
    return Tag.CURRENT_ATTRIBUTE, STRUCTURE, [(tag, kind, value)]


NO_GROUP = (Tag.OBJECT_GROUP, TEXT_STRING, "none of them")
row(
    O.MODIFY_ATTRIBUTE,
    "no such instance",
    None,
    R.ATTRIBUTE_INSTANCE_NOT_FOUND,
    lambda b: b.refused(
        O.MODIFY_ATTRIBUTE, uid_item(crowded(b)), current(*NO_GROUP), new_attribute(b.client, *NO_GROUP)
    ),
)
row(
    O.DELETE_ATTRIBUTE,
    "no such instance",
    None,
    R.ATTRIBUTE_INSTANCE_NOT_FOUND,
    send(O.DELETE_ATTRIBUTE, lambda b: [uid_item(crowded(b)), current(*NO_GROUP)]),
)
row(
    O.DELETE_ATTRIBUTE,
    "something that is no attribute",
    None,
    R.INVALID_ATTRIBUTE,
    send(O.DELETE_ATTRIBUTE, lambda b: [uid_item(b.key), current(Tag.BATCH_COUNT, INTEGER, 1)]),
)
row(
    O.MODIFY_ATTRIBUTE,
    "no Application Data",
    NO_NAMESPACE,
    None,
    changing(
        O.MODIFY_ATTRIBUTE,
        lambda b: b.client.create(
            (
                Tag.APPLICATION_SPECIFIC_INFORMATION,
                STRUCTURE,
                [(Tag.APPLICATION_NAMESPACE, TEXT_STRING, "ssl"), (Tag.APPLICATION_DATA, TEXT_STRING, "host")],
            )
        ),
        *NAMESPACE,
    ),
)
row(
    O.SET_ATTRIBUTE,
    "an attribute with several instances",
    None,
    R.MULTI_VALUED_ATTRIBUTE,
    changing(O.SET_ATTRIBUTE, crowded, *NO_GROUP),
)
row(
    O.SET_ATTRIBUTE,
    "an empty Name",
    None,
    R.INVALID_ATTRIBUTE_VALUE,
    changing(O.SET_ATTRIBUTE, lambda b: b.key, Tag.NAME, STRUCTURE, name_value("")),
)


def setting_a_name(b: Bench) -> R:
    assert b.named
    return b.refused(
        O.SET_ATTRIBUTE, uid_item(b.key), new_attribute(b.client, Tag.NAME, STRUCTURE, name_value("taken"))
    )


row(O.SET_ATTRIBUTE, "a Name that another object has", None, R.NON_UNIQUE_NAME_ATTRIBUTE, setting_a_name)


def adjusting(of: Callable[[Bench], str], tag: Tag, adjustment: int) -> Provoke:
    """1 Increment, 2 Decrement, 3 Negate."""
    return lambda b: b.refused(
        O.ADJUST_ATTRIBUTE,
        uid_item(of(b)),
        (Tag.ATTRIBUTE_REFERENCE, ENUMERATION, int(tag)),
        (Tag.ADJUSTMENT_TYPE, ENUMERATION, adjustment),
    )


for what, of, tag, adjustment, reason in (
    ("a text", contacted, Tag.CONTACT_INFORMATION, 1, R.INVALID_DATA_TYPE),
    ("an attribute with several instances", crowded, Tag.OBJECT_GROUP, 1, R.MULTI_VALUED_ATTRIBUTE),
    ("below nothing", lambda b: b.key, Tag.PROTECTION_PERIOD, 2, R.NUMERIC_RANGE),
    ("read-only", lambda b: b.key, Tag.INITIAL_DATE, 1, R.READ_ONLY_ATTRIBUTE),
    ("something that is no attribute", lambda b: b.key, Tag.BATCH_COUNT, 1, R.UNSUPPORTED_ATTRIBUTE),
    ("Activation Date of an active key", lambda b: b.key, Tag.ACTIVATION_DATE, 1, R.WRONG_KEY_LIFECYCLE_STATE),
):
    row(O.ADJUST_ATTRIBUTE, what, None, reason, adjusting(of, tag, adjustment))

_CORRELATION: Item = (Tag.ASYNCHRONOUS_CORRELATION_VALUE, BYTE_STRING, b"nobody's")
for each in (O.POLL, O.PROCESS):
    lost = R.INVALID_ASYNCHRONOUS_CORRELATION_VALUE
    row(each, "no such request", R.ITEM_NOT_FOUND, lost, send(each, lambda b: [_CORRELATION]))
row(
    O.LOGOUT,
    "no such ticket",
    None,
    R.INVALID_TICKET,
    send(
        O.LOGOUT,
        lambda b: [
            (Tag.TICKET, STRUCTURE, [(Tag.TICKET_TYPE, ENUMERATION, 1), (Tag.TICKET_VALUE, BYTE_STRING, b"none")])
        ],
    ),
)
row(
    O.QUERY,
    "no such Object Group",
    None,
    R.UNKNOWN_OBJECT_GROUP,
    send(
        O.QUERY,
        lambda b: [
            (Tag.QUERY_FUNCTION, ENUMERATION, 1),
            (Tag.OBJECT_GROUPS, STRUCTURE, [(Tag.OBJECT_GROUP, TEXT_STRING, "nobody's")]),
        ],
    ),
)
row(
    O.PKCS_11,
    "no such interface",
    None,
    R.PKCS_11_INVALID_INTERFACE,
    send(
        O.PKCS_11,
        lambda b: [(Tag.PKCS_11_INTERFACE, TEXT_STRING, "acme"), (Tag.PKCS_11_FUNCTION, ENUMERATION, 1)],
    ),
)
row(
    O.PKCS_11,
    "no such function",
    None,
    R.PKCS_11_INVALID_FUNCTION,
    send(O.PKCS_11, lambda b: [(Tag.PKCS_11_FUNCTION, ENUMERATION, 9999)]),
)
