"""Errors of the operations that make a new object."""

from __future__ import annotations

from collections.abc import Callable

from kmipsrv.spec.enums import CryptographicAlgorithm as A
from kmipsrv.spec.enums import KeyFormatType
from kmipsrv.spec.enums import Operation as O  # noqa: N817
from kmipsrv.spec.enums import ResultReason as R
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V2_0
from kmipsrv.ttlv.codec import (
    DATE_TIME,
    ENUMERATION,
    INTEGER,
    STRUCTURE,
    TEXT_STRING,
    Item,
)
from tests.harness import Client, attribute_1x, name_value, uid_item
from tests.operations.cryptography import KEY, PAST, block
from tests.operations.errors.table import (
    LIMIT,
    Provoke,
    on,
    row,
    send,
    template,
)
from tests.operations.requests import (
    Bench,
    aes,
    derivation,
    split,
)


def key_pair(client: Client, *more: Item) -> list[Item]:
    given = [
        (Tag.CRYPTOGRAPHIC_ALGORITHM, ENUMERATION, int(A.EC)),
        (Tag.CRYPTOGRAPHIC_LENGTH, INTEGER, 256),
        *more,
    ]
    return [client.attributes(*given, tag_1x=Tag.COMMON_TEMPLATE_ATTRIBUTE)]


def joining(b: Bench) -> list[Item]:
    parts = b.made("parts", lambda: " ".join(b.parts())).split()
    return [(Tag.OBJECT_TYPE, ENUMERATION, 2), *map(uid_item, parts[:2])]


def importing(client: Client, uid: str, *more: Item, material: bytes = KEY) -> list[Item]:
    """The payload of an Import of an AES key."""
    given = [(Tag.CRYPTOGRAPHIC_USAGE_MASK, INTEGER, 12), *more]
    body: Item = (Tag.SYMMETRIC_KEY, STRUCTURE, block(KeyFormatType.RAW, material, A.AES, 8 * len(material)))
    if client.version >= V2_0:
        return [uid_item(uid), (Tag.OBJECT_TYPE, ENUMERATION, 2), (Tag.ATTRIBUTES, STRUCTURE, given), body]
    return [uid_item(uid), *(attribute_1x(*each) for each in given), body]


# operation -> its payload with these attributes for the new object.
MAKING: dict[O, Callable[[Bench, tuple[Item, ...]], list[Item]]] = {
    O.CREATE: lambda b, more: [(Tag.OBJECT_TYPE, ENUMERATION, 2), aes(b.client, *more)],
    O.CREATE_KEY_PAIR: lambda b, more: key_pair(b.client, *more),
    O.REGISTER: lambda b, more: b.client.key(KEY, *more),
    O.DERIVE_KEY: lambda b, more: [*derivation(b.key), aes(b.client, *more)],
    O.CREATE_SPLIT_KEY: lambda b, more: [*split(b.key), b.client.attributes(*more)],
    O.JOIN_SPLIT_KEY: lambda b, more: [*joining(b), aes(b.client, *more)],
    O.IMPORT: lambda b, more: importing(b.client, "imported", *more),
}
_TEMPLATES = (Tag.TEMPLATE_ATTRIBUTE, Tag.COMMON_TEMPLATE_ATTRIBUTE)


def making(operation: O, *more: Item) -> Provoke:
    return lambda b: b.refused(operation, *MAKING[operation](b, more))


def taking_a_name(operation: O) -> Provoke:
    def provoke(b: Bench) -> R:
        assert b.named
        return b.refused(operation, *MAKING[operation](b, ((Tag.NAME, STRUCTURE, name_value("taken")),)))

    return provoke


def with_template(operation: O, *, archived: bool) -> Provoke:
    def provoke(b: Bench) -> R:
        if archived:
            template(b, archived=True)
        name: Item = (Tag.NAME, STRUCTURE, name_value("template"))
        payload = MAKING[operation](b, ())
        given = [(t, k, [name, *v]) if t in _TEMPLATES else (t, k, v) for t, k, v in payload]
        return b.refused(operation, *given)

    return provoke


_BACKWARDS: tuple[Item, ...] = ((Tag.ACTIVATION_DATE, DATE_TIME, PAST), (Tag.DEACTIVATION_DATE, DATE_TIME, PAST - 1))
NAMESPACE: Item = (
    Tag.APPLICATION_SPECIFIC_INFORMATION,
    STRUCTURE,
    [(Tag.APPLICATION_NAMESPACE, TEXT_STRING, "ssl")],
)
NO_NAMESPACE = R.APPLICATION_NAMESPACE_NOT_SUPPORTED
CROWD = tuple((Tag.OBJECT_GROUP, TEXT_STRING, f"group {n}") for n in range(LIMIT + 1))
_TWO = tuple((Tag.CONTACT_INFORMATION, TEXT_STRING, text) for text in ("me", "you"))
for each in MAKING:
    taken = R.NON_UNIQUE_NAME_ATTRIBUTE
    row(each, "a Name that another object has", R.INVALID_FIELD, taken, taking_a_name(each))
    value = R.INVALID_FIELD if each is O.DERIVE_KEY else R.INVALID_ATTRIBUTE_VALUE
    row(each, "dates in the wrong order", R.INVALID_FIELD, value, making(each, *_BACKWARDS))
    row(each, "too many instances", R.INDEX_OUT_OF_BOUNDS, R.SERVER_LIMIT_EXCEEDED, making(each, *CROWD))
    row(each, "no Application Data", NO_NAMESPACE, NO_NAMESPACE, making(each, NAMESPACE))
    row(each, "something that is no attribute", None, R.INVALID_ATTRIBUTE, making(each, (Tag.BATCH_COUNT, INTEGER, 1)))
    row(each, "two values of one", R.INVALID_FIELD, R.ATTRIBUTE_SINGLE_VALUED, making(each, *_TWO))
    if each is O.IMPORT:
        continue
    initial: Item = (Tag.INITIAL_DATE, DATE_TIME, PAST)
    row(each, "a read-only attribute", R.PERMISSION_DENIED, R.ATTRIBUTE_READ_ONLY, making(each, initial))
    row(each, "a Template that is not there", R.ITEM_NOT_FOUND, None, with_template(each, archived=False))
    row(each, "an archived Template", R.OBJECT_ARCHIVED, None, with_template(each, archived=True))

# The new object cannot be stored as the masks ask for: 2.x.
_MASKS = {
    O.CREATE: (Tag.PROTECTION_STORAGE_MASKS, R.PROTECTION_STORAGE_UNAVAILABLE),
    O.REGISTER: (Tag.PROTECTION_STORAGE_MASKS, R.PROTECTION_STORAGE_UNAVAILABLE),
    O.CREATE_SPLIT_KEY: (Tag.PROTECTION_STORAGE_MASKS, R.PROTECTION_STORAGE_UNAVAILABLE),
    O.JOIN_SPLIT_KEY: (Tag.PROTECTION_STORAGE_MASKS, R.PROTECTION_STORAGE_UNAVAILABLE),
}
HARDWARE: list[Item] = [(Tag.PROTECTION_STORAGE_MASK, INTEGER, 2)]
for each, (tag, reason) in _MASKS.items():
    row(
        each,
        "no such storage",
        None,
        reason,
        lambda b, o=each, t=tag: b.refused(o, *MAKING[o](b, ()), (t, STRUCTURE, HARDWARE)),  # type: ignore[misc]
    )
for tag, reason in (
    (Tag.PRIVATE_PROTECTION_STORAGE_MASKS, R.PRIVATE_PROTECTION_STORAGE_UNAVAILABLE),
    (Tag.PUBLIC_PROTECTION_STORAGE_MASKS, R.PUBLIC_PROTECTION_STORAGE_UNAVAILABLE),
):
    masks: Item = (tag, STRUCTURE, HARDWARE)
    row(
        O.CREATE_KEY_PAIR,
        tag.text,
        None,
        reason,
        send(O.CREATE_KEY_PAIR, lambda b, m=masks: [*key_pair(b.client), m]),  # type: ignore[misc]
    )
    row(O.RE_KEY_KEY_PAIR, tag.text, None, reason, on(O.RE_KEY_KEY_PAIR, lambda b: b.private, masks))
_STORAGE: Item = (Tag.PROTECTION_STORAGE_MASKS, STRUCTURE, HARDWARE)
row(O.RE_KEY, "no such storage", None, R.PROTECTION_STORAGE_UNAVAILABLE, on(O.RE_KEY, lambda b: b.key, _STORAGE))
row(O.CERTIFY, "no such storage", None, R.PROTECTION_STORAGE_UNAVAILABLE, on(O.CERTIFY, lambda b: b.public, _STORAGE))
row(
    O.RE_CERTIFY,
    "no such storage",
    None,
    R.PROTECTION_STORAGE_UNAVAILABLE,
    on(O.RE_CERTIFY, lambda b: b.certificate, _STORAGE),
)
