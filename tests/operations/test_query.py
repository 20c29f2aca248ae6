"""Query: every answer comes from what the server obeys (KMIP 2.1 §6.1.40)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kmipsrv.domain.ports import Keyring
from kmipsrv.domain.settings import Settings
from kmipsrv.operations._registry import OPERATIONS
from kmipsrv.spec.enums import ObjectType, Operation, ProfileName, QueryFunction, ResultReason
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V1_0, V1_2, V1_3, V1_4, V2_0, V2_1, Version
from kmipsrv.ttlv.codec import ENUMERATION, STRUCTURE, TEXT_STRING, Item
from tests.harness import Answer, Client, Clock, make_engine


def ask(client: Client, *functions: QueryFunction) -> Answer:
    return client.ok(Operation.QUERY, *(_function(each) for each in functions))


def _function(function: QueryFunction) -> Item:
    return Tag.QUERY_FUNCTION, ENUMERATION, int(function)


def fields(items: list[Item]) -> dict[int, Any]:
    return {tag: value for tag, _, value in items}


@pytest.mark.parametrize("version", list(Version))
def test_lists_exactly_the_operations_that_it_serves(client: Client, version: Version) -> None:
    speaker = client.at(version)
    listed = set(ask(speaker, QueryFunction.QUERY_OPERATIONS).values(Tag.OPERATION))
    assert listed == {row.operation for row in OPERATIONS.values() if row.exists_in(version) and not row.advertised}
    for code in Operation:
        answer = speaker.call(code)
        assert (answer.reason is ResultReason.OPERATION_NOT_SUPPORTED) == (code not in listed), code


@pytest.mark.parametrize("version", list(Version))
def test_lists_the_object_types_of_the_version(client: Client, version: Version) -> None:
    listed = ask(client.at(version), QueryFunction.QUERY_OBJECTS).values(Tag.OBJECT_TYPE)
    assert (ObjectType.TEMPLATE in listed) == (version <= V2_0)
    assert (ObjectType.PGP_KEY in listed) == (version >= V1_2)
    assert (ObjectType.CERTIFICATE_REQUEST in listed) == (version >= V2_0)


def test_server_information_is_empty_before_2_0(client: Client) -> None:
    old = ask(client.at(V1_0), QueryFunction.QUERY_SERVER_INFORMATION)
    assert old.one(Tag.VENDOR_IDENTIFICATION) == "kmipsrv"
    assert old.one(Tag.SERVER_INFORMATION) == []
    new = ask(client.at(V2_0), QueryFunction.QUERY_SERVER_INFORMATION)
    assert fields(new.one(Tag.SERVER_INFORMATION))[Tag.PRODUCT_NAME] == "kmipsrv"


def test_claims_no_validation_extension_or_namespace(client: Client) -> None:
    answer = ask(
        client,
        QueryFunction.QUERY_VALIDATIONS,
        QueryFunction.QUERY_EXTENSION_LIST,
        QueryFunction.QUERY_EXTENSION_MAP,
        QueryFunction.QUERY_APPLICATION_NAMESPACES,
        QueryFunction.QUERY_ATTESTATION_TYPES,
    )
    assert answer.payload == []


def test_profiles_of_the_https_door_need_the_door(tmp_path: Path, keyring: Keyring, clock: Clock) -> None:
    def names(settings: Settings, version: Version) -> set[int]:
        folder = tmp_path / f"{settings.https}-{version}"
        folder.mkdir()
        engine = make_engine(folder, keyring, clock, settings)
        found = ask(Client(engine, version), QueryFunction.QUERY_PROFILES).values(Tag.PROFILE_INFORMATION)
        engine.store.close()
        return {fields(each)[Tag.PROFILE_NAME] for each in found}

    assert ProfileName.XML_SERVER_KMIP_V1_2 in names(Settings(https=True), V1_4)
    without = names(Settings(), V1_4)
    assert ProfileName.XML_SERVER_KMIP_V1_2 not in without
    assert ProfileName.SYMMETRIC_KEY_LIFECYCLE_SERVER_KMIP_V1_0 in without
    assert not any("Client" in ProfileName(code).text for code in without)
    assert ProfileName.SYMMETRIC_KEY_LIFECYCLE_SERVER in names(Settings(), V2_1)


def test_capabilities_leave_out_what_the_version_does_not_know(client: Client) -> None:
    old = fields(ask(client.at(V1_3), QueryFunction.QUERY_CAPABILITIES).one(Tag.CAPABILITY_INFORMATION))
    new = fields(ask(client.at(V2_1), QueryFunction.QUERY_CAPABILITIES).one(Tag.CAPABILITY_INFORMATION))
    assert Tag.BATCH_UNDO_CAPABILITY not in old
    assert new[Tag.BATCH_UNDO_CAPABILITY] is True
    assert new[Tag.QUANTUM_SAFE_CAPABILITY] is False
    assert new[Tag.ATTESTATION_CAPABILITY] is False


def test_a_function_of_a_later_version_is_refused(client: Client) -> None:
    assert client.at(V1_0).refused(Operation.QUERY, _function(QueryFunction.QUERY_RNGS)) is ResultReason.INVALID_FIELD
    assert client.refused(Operation.QUERY) is ResultReason.INVALID_MESSAGE


def test_an_object_group_has_to_exist(client: Client) -> None:
    speaker = client.at(V2_1)

    def groups(name: str) -> Item:
        return Tag.OBJECT_GROUPS, STRUCTURE, [(Tag.OBJECT_GROUP, TEXT_STRING, name)]

    payload = _function(QueryFunction.QUERY_DEFAULTS_INFORMATION), groups("red")
    assert speaker.refused(Operation.QUERY, *payload) is ResultReason.UNKNOWN_OBJECT_GROUP
    speaker.create((Tag.OBJECT_GROUP, TEXT_STRING, "red"))
    assert speaker.ok(Operation.QUERY, *payload).one(Tag.DEFAULTS_INFORMATION) == []
