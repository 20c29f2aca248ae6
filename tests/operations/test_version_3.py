"""What KMIP 3.0 adds: Create User, Group and Credential, Obliterate, Deactivate, references by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kmipsrv.domain.identity import Identity
from kmipsrv.domain.ports import Keyring
from kmipsrv.engine.engine import Engine
from kmipsrv.spec.enums import CredentialType, Operation, ResultReason, State
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V2_1, V3_0
from kmipsrv.ttlv.codec import (
    DATE_TIME,
    ENUMERATION,
    IDENTIFIER,
    NAME_REFERENCE,
    REFERENCE,
    STRUCTURE,
    TEXT_STRING,
    Item,
)
from tests.harness import ALICE, Client, Clock, make_engine

ADMINISTRATOR: Identity = replace(ALICE, administrator=True)


@pytest.fixture
def engine(tmp_path: Path, keyring: Keyring, clock: Clock) -> Iterator[Engine]:
    made = make_engine(tmp_path, keyring, clock)
    yield made
    made.store.close()


@pytest.fixture
def root(engine: Engine) -> Client:
    return Client(engine, V3_0, ADMINISTRATOR)


def uid(value: str) -> Item:
    return Tag.UNIQUE_IDENTIFIER, IDENTIFIER, value


def attributes(*items: Item) -> Item:
    return Tag.ATTRIBUTES, STRUCTURE, list(items)


def credential(password: str = "password1") -> list[Item]:
    return [
        (Tag.CREDENTIAL_TYPE, ENUMERATION, int(CredentialType.PASSWORD)),
        attributes(),
        (Tag.PASSWORD_CREDENTIAL, STRUCTURE, [(Tag.PASSWORD, TEXT_STRING, password)]),
    ]


def test_users_groups_and_credentials(root: Client, tmp_path: Path) -> None:
    made = root.ok(Operation.CREATE_CREDENTIAL, *credential("a very secret word")).uid
    link: Item = (Tag.CREDENTIAL_LINK, REFERENCE, made)
    group = root.ok(Operation.CREATE_GROUP, attributes((Tag.NAME, TEXT_STRING, "people"))).uid
    user = root.ok(Operation.CREATE_USER, attributes(link, (Tag.NAME, TEXT_STRING, "somebody"))).uid
    assert set(root.locate()) == {made, group, user}
    assert root.locate(link) == [user]
    assert b"a very secret word" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert root.refused(Operation.GET, uid(made)) is ResultReason.NOT_EXTRACTABLE
    assert root.refused(Operation.GET, uid(user)) is not None
    named: Item = (Tag.GROUP_LINK, NAME_REFERENCE, "people")
    member = root.ok(Operation.CREATE_USER, attributes(named)).uid
    shown = root.ok(Operation.GET_ATTRIBUTES, uid(member)).one(Tag.ATTRIBUTES)
    assert named in shown


def test_links_lead_somewhere(root: Client) -> None:
    absent = attributes((Tag.CREDENTIAL_LINK, REFERENCE, "absent"))
    assert root.refused(Operation.CREATE_USER, absent) is ResultReason.OBJECT_NOT_FOUND
    key = attributes((Tag.CREDENTIAL_LINK, REFERENCE, root.at(V2_1).create()))
    assert root.refused(Operation.CREATE_USER, key) is ResultReason.INVALID_ATTRIBUTE_VALUE


def test_only_an_administrator_makes_them(root: Client) -> None:
    alice = root.as_(ALICE)
    for operation, payload in (
        (Operation.CREATE_CREDENTIAL, credential()),
        (Operation.CREATE_USER, [attributes()]),
        (Operation.CREATE_GROUP, [attributes()]),
    ):
        assert alice.refused(operation, *payload) is ResultReason.NOT_AUTHORISED
        assert root.at(V2_1).refused(operation, *payload) is ResultReason.OPERATION_NOT_SUPPORTED


def test_a_credential_is_what_its_type_says(root: Client) -> None:
    wrong = credential()
    wrong[0] = (Tag.CREDENTIAL_TYPE, ENUMERATION, int(CredentialType.DEVICE))
    assert root.refused(Operation.CREATE_CREDENTIAL, *wrong) is ResultReason.INVALID_FIELD
    assert root.refused(Operation.CREATE_CREDENTIAL, wrong[0]) is ResultReason.INVALID_FIELD
    wrong[0] = (Tag.CREDENTIAL_TYPE, ENUMERATION, int(CredentialType.TICKET))
    assert root.refused(Operation.CREATE_CREDENTIAL, *wrong) is ResultReason.FEATURE_NOT_SUPPORTED


def test_obliterate_leaves_nothing(root: Client, clock: Clock) -> None:
    made = root.at(V2_1).create(
        (Tag.NAME, STRUCTURE, [(Tag.NAME_VALUE, TEXT_STRING, "n"), (Tag.NAME_TYPE, ENUMERATION, 1)])
    )
    assert root.ok(Operation.OBLITERATE, uid(made)).payload == []
    assert root.refused(Operation.GET_ATTRIBUTES, uid(made)) is ResultReason.ITEM_NOT_FOUND
    assert root.locate() == []
    active = root.at(V2_1).create((Tag.ACTIVATION_DATE, DATE_TIME, clock.now))
    assert root.refused(Operation.OBLITERATE, uid(active)) is ResultReason.WRONG_KEY_LIFECYCLE_STATE


def test_deactivate(root: Client, clock: Clock) -> None:
    active = root.at(V2_1).create((Tag.ACTIVATION_DATE, DATE_TIME, clock.now))
    root.ok(Operation.DEACTIVATE, uid(active))
    assert root.at(V2_1).state(active) == State.DEACTIVATED
    shown = {tag: value for tag, _, value in root.ok(Operation.GET_ATTRIBUTES, uid(active)).one(Tag.ATTRIBUTES)}
    assert shown[Tag.DEACTIVATION_DATE] == clock.now
    assert shown[Tag.DEACTIVATION_REASON] == [(Tag.DEACTIVATION_REASON_CODE, ENUMERATION, 1)]
    assert root.refused(Operation.DEACTIVATE, uid(active)) is ResultReason.WRONG_KEY_LIFECYCLE_STATE
