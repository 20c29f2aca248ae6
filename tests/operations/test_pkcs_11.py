"""PKCS#11 (KMIP 2.1 §6.1.37): what is served is served, what is not is said."""

from __future__ import annotations

import pytest

from kmipsrv.operations.pkcs_11 import ALREADY_INITIALIZED, ARGUMENTS_BAD, NOT_INITIALIZED, NOT_SUPPORTED, OK
from kmipsrv.spec.enums import Operation, ResultReason
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V2_0, V2_1, V3_0
from kmipsrv.ttlv.codec import BYTE_STRING, ENUMERATION, INTEGER, TEXT_STRING, Item
from tests.harness import BOB, Answer, Client

INITIALIZE, FINALIZE, GET_INFO, GET_SLOT_LIST = 1, 2, 3, 5


def call(client: Client, function: int, session: bytes | None = None, *more: Item) -> Answer:
    fields: list[Item] = [(Tag.PKCS_11_FUNCTION, ENUMERATION, function)]
    if session is not None:
        fields.append((Tag.CORRELATION_VALUE, BYTE_STRING, session))
    return client.ok(Operation.PKCS_11, *fields, *more)


def code(answer: Answer) -> int:
    value = answer.one(Tag.PKCS_11_RETURN_CODE)
    assert isinstance(value, int)
    return value


def parameters(value: bytes) -> Item:
    return Tag.PKCS_11_INPUT_PARAMETERS, BYTE_STRING, value


@pytest.fixture
def speaker(client: Client) -> Client:
    return client.at(V2_1)


def test_a_session_from_beginning_to_end(speaker: Client) -> None:
    begun = call(speaker, INITIALIZE, None, parameters(b"\x01"))
    session = begun.one(Tag.CORRELATION_VALUE)
    assert code(begun) == OK
    info = call(speaker, GET_INFO, session).one(Tag.PKCS_11_OUTPUT_PARAMETERS)
    assert len(info) == 76
    assert info[:2] == bytes((2, 40))
    assert info[2:34] == b"kmipsrv".ljust(32)
    assert code(call(speaker, INITIALIZE, session)) == ALREADY_INITIALIZED
    assert code(call(speaker, GET_SLOT_LIST, session)) == NOT_SUPPORTED
    assert code(call(speaker.as_(BOB), GET_INFO, session)) == NOT_INITIALIZED
    assert code(call(speaker, FINALIZE, session, parameters(b"\x01"))) == ARGUMENTS_BAD
    assert code(call(speaker, FINALIZE, session)) == OK
    assert code(call(speaker, GET_INFO, session)) == NOT_INITIALIZED
    assert code(call(speaker, GET_INFO)) == NOT_INITIALIZED


def test_3_0_returns_the_correlation_value(speaker: Client) -> None:
    new = speaker.at(V3_0)
    session = call(new, INITIALIZE).one(Tag.CORRELATION_VALUE)
    assert call(new, GET_INFO, session).values(Tag.CORRELATION_VALUE) == [session]
    assert call(speaker, GET_INFO, session).values(Tag.CORRELATION_VALUE) == []


def test_refusals(speaker: Client) -> None:
    assert code(call(speaker, INITIALIZE, None, parameters(b"\x05"))) == ARGUMENTS_BAD
    for wrong in ((ENUMERATION, 0), (ENUMERATION, 93), (INTEGER, 1)):
        reason = speaker.refused(Operation.PKCS_11, (Tag.PKCS_11_FUNCTION, *wrong))
        assert reason is ResultReason.PKCS_11_INVALID_FUNCTION
    other: Item = (Tag.PKCS_11_INTERFACE, TEXT_STRING, "Vendor X")
    function: Item = (Tag.PKCS_11_FUNCTION, ENUMERATION, INITIALIZE)
    assert speaker.refused(Operation.PKCS_11, other, function) is ResultReason.PKCS_11_INVALID_INTERFACE
    assert speaker.at(V2_0).refused(Operation.PKCS_11, function) is ResultReason.OPERATION_NOT_SUPPORTED
