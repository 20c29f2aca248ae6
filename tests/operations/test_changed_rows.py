"""Rows that somebody who can write to the database has changed: no guard is loosened, and the answer is always the same."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from kmipsrv.spec.attribute_bag import AttributeBag
from kmipsrv.spec.attribute_codec import RELEASE_POLICY, dump, load
from kmipsrv.spec.enums import Operation as O  # noqa: N817
from kmipsrv.spec.enums import ResultReason as R
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V2_1
from kmipsrv.ttlv.codec import BOOLEAN, BYTE_STRING, DATE_TIME, ENUMERATION, LONG_INTEGER, STRUCTURE, TEXT_STRING, Item
from tests.harness import Client, uid_item

GUARDED: tuple[Item, ...] = ((Tag.SENSITIVE, BOOLEAN, True), (Tag.EXTRACTABLE, BOOLEAN, False))
LIMITED: Item = (
    Tag.USAGE_LIMITS,
    STRUCTURE,
    [
        (Tag.USAGE_LIMITS_TOTAL, LONG_INTEGER, 100),
        (Tag.USAGE_LIMITS_COUNT, LONG_INTEGER, 100),
        (Tag.USAGE_LIMITS_UNIT, ENUMERATION, 1),
    ],
)
CBC: Item = (
    Tag.CRYPTOGRAPHIC_PARAMETERS,
    STRUCTURE,
    [(Tag.BLOCK_CIPHER_MODE, ENUMERATION, 1), (Tag.PADDING_METHOD, ENUMERATION, 3), (Tag.RANDOM_IV, BOOLEAN, True)],
)


@pytest.fixture
def row(tmp_path: Path) -> Callable[..., None]:
    """Sets columns of an object's row behind the server's back."""

    def change(uid: str, **columns: Any) -> None:
        with closing(sqlite3.connect(tmp_path / "objects.db")) as database:
            for name, value in columns.items():
                database.execute(f"UPDATE objects SET {name} = ? WHERE unique_identifier = ?", (value, uid))
            database.commit()

    return change


@pytest.fixture
def bag(tmp_path: Path) -> Callable[[str], AttributeBag]:
    """The attributes in an object's row."""

    def read(uid: str) -> AttributeBag:
        with closing(sqlite3.connect(tmp_path / "objects.db")) as database:
            query = "SELECT attributes FROM objects WHERE unique_identifier = ?"
            ((data,),) = database.execute(query, (uid,)).fetchall()
        return load(data)

    return read


CHANGES: list[Callable[[AttributeBag], None]] = [
    lambda bag: bag.set(Tag.SENSITIVE, False),
    lambda bag: bag.set(Tag.SENSITIVE, None),
    lambda bag: bag.set(Tag.EXTRACTABLE, True),
    lambda bag: bag.set(RELEASE_POLICY, (TEXT_STRING, "sha256:0")),
]


@pytest.mark.parametrize("change", CHANGES)
def test_no_change_of_attributes_loosens_a_guard(
    client: Client, row: Callable[..., None], bag: Callable[[str], AttributeBag], change: Callable[[AttributeBag], None]
) -> None:
    alice = client.at(V2_1)
    uid = alice.create(*GUARDED)
    changed = bag(uid)
    change(changed)
    row(uid, attributes=dump(changed))
    assert alice.refused(O.ACTIVATE, uid_item(uid)) is R.CRYPTOGRAPHIC_FAILURE  # which saves
    assert alice.refused(O.GET_ATTRIBUTES, uid_item(uid)) is R.CRYPTOGRAPHIC_FAILURE
    get = alice.call(O.GET, uid_item(uid))
    assert get.reason is not None
    assert get.payload == []


def test_what_agrees_in_attributes_and_columns_does_not_fit_the_seal(
    client: Client, row: Callable[..., None], bag: Callable[[str], AttributeBag]
) -> None:
    alice = client.at(V2_1)
    uid = alice.create(*GUARDED)
    changed = bag(uid)
    changed.set(Tag.SENSITIVE, False)
    changed.set(Tag.EXTRACTABLE, True)
    row(uid, attributes=dump(changed), flags=4)
    alice.call(O.ACTIVATE, uid_item(uid))
    assert alice.refused(O.GET, uid_item(uid)) is R.CRYPTOGRAPHIC_FAILURE


def test_neither_serving_nor_spending_loosens_a_guard(
    client: Client, row: Callable[..., None], bag: Callable[[str], AttributeBag]
) -> None:
    """Both write the row back without sealing anew: `Fresh` at the first Get, the Usage Limits at every Encrypt."""
    alice = client.at(V2_1)
    fresh, limited = alice.create(), alice.create((Tag.ACTIVATION_DATE, DATE_TIME, 1), LIMITED)
    encrypt = uid_item(limited), CBC, (Tag.DATA, BYTE_STRING, bytes(16))
    alice.ok(O.ENCRYPT, *encrypt)
    for uid in (fresh, limited):
        changed = bag(uid)
        changed.set(Tag.SENSITIVE, True)
        row(uid, attributes=dump(changed))
    assert alice.refused(O.GET, uid_item(fresh)) is R.CRYPTOGRAPHIC_FAILURE
    assert alice.refused(O.ENCRYPT, *encrypt) is R.CRYPTOGRAPHIC_FAILURE


@pytest.mark.parametrize(
    "columns",
    [
        {"attributes": b""},
        {"attributes": b"\x00\xff"},
        {"attributes": b"\x42\x00\x94" * 40},
        {"attributes": dump(AttributeBag())},
        {"attributes": "text"},
        {"object_type": 99},
        {"object_type": 0},
    ],
)
def test_what_cannot_be_read_cannot_be_opened(
    client: Client, row: Callable[..., None], columns: dict[str, Any]
) -> None:
    alice = client.at(V2_1)
    uid = alice.create(*GUARDED)
    row(uid, **columns)
    more = (Tag.NEW_ATTRIBUTE, STRUCTURE, [(Tag.CONTACT_INFORMATION, TEXT_STRING, "me")])
    assert alice.refused(O.GET_ATTRIBUTES, uid_item(uid)) is R.CRYPTOGRAPHIC_FAILURE
    assert alice.refused(O.MODIFY_ATTRIBUTE, uid_item(uid), more) is R.CRYPTOGRAPHIC_FAILURE
    for operation in (O.ACTIVATE, O.DESTROY):
        assert alice.call(operation, uid_item(uid)).reason in (R.CRYPTOGRAPHIC_FAILURE, R.PERMISSION_DENIED)
