"""Errors of the attribute operations, leases, usage and state."""

from __future__ import annotations

from collections.abc import Callable

from kmipsrv.spec.enums import Operation as O  # noqa: N817
from kmipsrv.spec.enums import ResultReason as R
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V2_0
from kmipsrv.ttlv.codec import (
    DATE_TIME,
    ENUMERATION,
    INTEGER,
    LONG_INTEGER,
    STRUCTURE,
    TEXT_STRING,
    Item,
)
from tests.harness import name_value, uid_item
from tests.operations.cryptography import PAST
from tests.operations.errors.making import (
    CROWD,
    NAMESPACE,
    NO_NAMESPACE,
)
from tests.operations.errors.table import (
    LIMIT,
    Provoke,
    limited,
    on,
    row,
    send,
)
from tests.operations.requests import (
    Bench,
    new_attribute,
    reference,
)

# Get Attributes, Locate
row(
    O.GET_ATTRIBUTES,
    "an attribute named twice",
    R.INVALID_MESSAGE,
    R.INVALID_MESSAGE,
    lambda b: b.on(
        O.GET_ATTRIBUTES, b.key, reference(b.client, Tag.OBJECT_GROUP), reference(b.client, Tag.OBJECT_GROUP)
    ),
)


def locating(b: Bench) -> list[Item]:
    if b.client.version >= V2_0:
        return [(Tag.ATTRIBUTES, STRUCTURE, [(Tag.BATCH_COUNT, INTEGER, 1)])]
    fields: list[Item] = [(Tag.ATTRIBUTE_NAME, TEXT_STRING, "Nonsense"), (Tag.ATTRIBUTE_VALUE, INTEGER, 1)]
    return [(Tag.ATTRIBUTE, STRUCTURE, fields)]


row(O.LOCATE, "something that is no attribute", R.INVALID_FIELD, R.INVALID_ATTRIBUTE, send(O.LOCATE, locating))

# Attributes
CONTACT = (Tag.CONTACT_INFORMATION, TEXT_STRING, "me")


def changing(operation: O, of: Callable[[Bench], str], tag: int, kind: int, value: object) -> Provoke:
    return lambda b: b.refused(operation, uid_item(of(b)), new_attribute(b.client, tag, kind, value))


def contacted(b: Bench) -> str:
    return b.client.create(CONTACT)


STATE = (Tag.INITIAL_DATE, DATE_TIME, PAST)
row(
    O.ADD_ATTRIBUTE,
    "read-only",
    R.PERMISSION_DENIED,
    R.READ_ONLY_ATTRIBUTE,
    changing(O.ADD_ATTRIBUTE, lambda b: b.key, *STATE),
)
row(
    O.ADD_ATTRIBUTE,
    "a value beside another",
    R.ILLEGAL_OPERATION,
    R.ATTRIBUTE_SINGLE_VALUED,
    changing(O.ADD_ATTRIBUTE, contacted, *CONTACT),
)
row(
    O.ADD_ATTRIBUTE,
    "not for this object",
    R.PERMISSION_DENIED,
    None,
    changing(
        O.ADD_ATTRIBUTE,
        lambda b: b.key,
        Tag.CRYPTOGRAPHIC_DOMAIN_PARAMETERS,
        STRUCTURE,
        [(Tag.RECOMMENDED_CURVE, ENUMERATION, 4)],
    ),
)


def crowded(b: Bench) -> str:
    return b.client.create(*CROWD[:LIMIT])


row(
    O.ADD_ATTRIBUTE,
    "one instance too many",
    R.INDEX_OUT_OF_BOUNDS,
    R.SERVER_LIMIT_EXCEEDED,
    changing(O.ADD_ATTRIBUTE, crowded, Tag.OBJECT_GROUP, TEXT_STRING, "another"),
)
row(
    O.ADD_ATTRIBUTE,
    "an Attribute Index",
    R.INVALID_FIELD,
    None,
    lambda b: b.refused(
        O.ADD_ATTRIBUTE,
        uid_item(b.key),
        (
            Tag.ATTRIBUTE,
            STRUCTURE,
            [
                (Tag.ATTRIBUTE_NAME, TEXT_STRING, "Object Group"),
                (Tag.ATTRIBUTE_INDEX, INTEGER, 1),
                (Tag.ATTRIBUTE_VALUE, TEXT_STRING, "group"),
            ],
        ),
    ),
)
for each in (O.ADD_ATTRIBUTE, O.MODIFY_ATTRIBUTE):
    owner = (
        contacted if each is O.ADD_ATTRIBUTE else (lambda b: b.client.create((Tag.NAME, STRUCTURE, name_value("x"))))
    )

    def renaming(b: Bench, o: O = each, of: Callable[[Bench], str] = owner) -> R:
        assert b.named
        return b.refused(o, uid_item(of(b)), new_attribute(b.client, Tag.NAME, STRUCTURE, name_value("taken")))

    row(each, "a Name that another object has", R.ILLEGAL_OPERATION, R.NON_UNIQUE_NAME_ATTRIBUTE, renaming)
row(
    O.ADD_ATTRIBUTE,
    "no Application Data",
    NO_NAMESPACE,
    None,
    changing(O.ADD_ATTRIBUTE, lambda b: b.key, *NAMESPACE),
)
row(
    O.ADD_ATTRIBUTE,
    "something that is no attribute",
    None,
    R.INVALID_ATTRIBUTE,
    changing(O.ADD_ATTRIBUTE, lambda b: b.key, Tag.BATCH_COUNT, INTEGER, 1),
)
row(
    O.MODIFY_ATTRIBUTE,
    "no such attribute yet",
    R.INVALID_FIELD,
    R.ATTRIBUTE_NOT_FOUND,
    changing(O.MODIFY_ATTRIBUTE, lambda b: b.key, *CONTACT),
)
row(
    O.MODIFY_ATTRIBUTE,
    "read-only",
    R.PERMISSION_DENIED,
    R.ATTRIBUTE_READ_ONLY,
    changing(O.MODIFY_ATTRIBUTE, lambda b: b.key, *STATE),
)
row(
    O.DELETE_ATTRIBUTE,
    "read-only",
    R.PERMISSION_DENIED,
    R.ATTRIBUTE_READ_ONLY,
    lambda b: b.refused(O.DELETE_ATTRIBUTE, uid_item(b.key), reference(b.client, Tag.INITIAL_DATE)),
)
row(
    O.DELETE_ATTRIBUTE,
    "no such attribute",
    R.ITEM_NOT_FOUND,
    R.ATTRIBUTE_NOT_FOUND,
    on(O.DELETE_ATTRIBUTE, lambda b: b.key),
)
row(
    O.SET_ATTRIBUTE,
    "read-only",
    None,
    R.READ_ONLY_ATTRIBUTE,
    changing(O.SET_ATTRIBUTE, lambda b: b.key, *STATE),
)

# Leases and usage
row(O.OBTAIN_LEASE, "destroyed", R.PERMISSION_DENIED, R.PERMISSION_DENIED, on(O.OBTAIN_LEASE, lambda b: b.destroyed))
row(
    O.GET_USAGE_ALLOCATION,
    "no Usage Limits",
    R.ILLEGAL_OPERATION,
    R.ATTRIBUTE_NOT_FOUND,
    on(O.GET_USAGE_ALLOCATION, lambda b: b.key),
)
row(
    O.GET_USAGE_ALLOCATION,
    "no count",
    R.INVALID_MESSAGE,
    R.INVALID_MESSAGE,
    send(O.GET_USAGE_ALLOCATION, lambda b: [uid_item(b.key)]),
)
row(
    O.GET_USAGE_ALLOCATION,
    "more than is left",
    R.PERMISSION_DENIED,
    R.PERMISSION_DENIED,
    send(O.GET_USAGE_ALLOCATION, lambda b: [uid_item(limited(b)), (Tag.USAGE_LIMITS_COUNT, LONG_INTEGER, 2)]),
)

# State
row(
    O.REVOKE,
    "no such reason",
    R.INVALID_FIELD,
    None,
    send(
        O.REVOKE,
        lambda b: [
            uid_item(b.key),
            (Tag.REVOCATION_REASON, STRUCTURE, [(Tag.REVOCATION_REASON_CODE, ENUMERATION, 99)]),
        ],
    ),
)
row(O.DESTROY, "destroyed", R.PERMISSION_DENIED, R.OBJECT_DESTROYED, on(O.DESTROY, lambda b: b.destroyed))
