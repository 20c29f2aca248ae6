"""Interop, Log, Ping, Set Endpoint Role (KMIP 2.1 §§6.1.26, 6.1.29, 6.1.36, 6.1.54)."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from kmipsrv.domain.ports import Keyring
from kmipsrv.domain.settings import Settings
from kmipsrv.spec.enums import EndpointRole, InteropFunction, Operation, ResultReason
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V2_0, V2_1
from kmipsrv.ttlv.codec import ENUMERATION, TEXT_STRING, Item
from tests.harness import BOB, Client, Clock, make_engine


def interop(function: InteropFunction) -> list[Item]:
    return [(Tag.INTEROP_FUNCTION, ENUMERATION, function), (Tag.INTEROP_IDENTIFIER, TEXT_STRING, "case")]


def test_interop_is_not_there_in_production(client: Client) -> None:
    answer = client.at(V2_0).refused(Operation.INTEROP, *interop(InteropFunction.BEGIN))
    assert answer is ResultReason.OPERATION_NOT_SUPPORTED


def test_interop_reset_removes_what_is_the_callers(tmp_path: Path, keyring: Keyring, clock: Clock) -> None:
    engine = make_engine(tmp_path, keyring, clock, Settings(interop=True))
    alice = Client(engine, V2_1)
    bob = alice.as_(BOB)
    mine, his = alice.create(), bob.create()
    alice.ok(Operation.INTEROP, *interop(InteropFunction.BEGIN))
    assert alice.locate() == [mine]
    alice.ok(Operation.INTEROP, *interop(InteropFunction.RESET))
    assert alice.locate() == []
    assert bob.locate() == [his]
    alice.ok(Operation.INTEROP, *interop(InteropFunction.END))
    engine.store.close()


def test_log_writes_one_line_whatever_the_client_says(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    speaker = client.at(V2_0)
    with caplog.at_level(logging.INFO):
        assert speaker.ok(Operation.LOG, (Tag.LOG_MESSAGE, TEXT_STRING, "a\nERROR forged \x1b[2J")).payload == []
    (record,) = [each for each in caplog.records if each.name.endswith("operations.log")]
    assert "\n" not in record.getMessage()
    assert "\\n" in record.getMessage()
    long: Item = (Tag.LOG_MESSAGE, TEXT_STRING, "a" * 5000)
    assert speaker.refused(Operation.LOG, long) is ResultReason.INVALID_FIELD
    assert speaker.refused(Operation.LOG) is ResultReason.INVALID_MESSAGE


def test_ping_answers(client: Client) -> None:
    assert client.at(V2_1).ok(Operation.PING).payload == []
    assert client.at(V2_0).refused(Operation.PING) is ResultReason.OPERATION_NOT_SUPPORTED


def test_the_server_stays_the_server(client: Client) -> None:
    speaker = client.at(V2_0)
    server: Item = (Tag.ENDPOINT_ROLE, ENUMERATION, EndpointRole.SERVER)
    assert speaker.ok(Operation.SET_ENDPOINT_ROLE, server).payload == [server]
    other: Item = (Tag.ENDPOINT_ROLE, ENUMERATION, EndpointRole.CLIENT)
    assert speaker.refused(Operation.SET_ENDPOINT_ROLE, other) is ResultReason.PERMISSION_DENIED
