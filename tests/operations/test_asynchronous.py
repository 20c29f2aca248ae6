"""Asynchronous requests (KMIP 2.1 §§6.1.5, 6.1.38, 6.1.39, 6.1.41, 9.2; 1.4 §6.7), over restarts too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from kmipsrv.domain.ports import Keyring
from kmipsrv.engine.engine import Engine
from kmipsrv.operations._asynchronous import DELAY
from kmipsrv.spec.enums import (
    AsynchronousIndicator,
    BatchErrorContinuationOption,
    CancellationResult,
    Operation,
    ProcessingStage,
    ResultReason,
    ResultStatus,
)
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V1_2, V2_0, V2_1
from kmipsrv.ttlv.codec import BOOLEAN, BYTE_STRING, ENUMERATION, STRUCTURE, Item, decode
from tests.harness import BOB, Answer, Client, Clock, make_engine, option, uid_item

MANDATORY: Item = (Tag.ASYNCHRONOUS_INDICATOR, ENUMERATION, int(AsynchronousIndicator.MANDATORY))
OPTIONAL: Item = (Tag.ASYNCHRONOUS_INDICATOR, ENUMERATION, int(AsynchronousIndicator.OPTIONAL))
ABLE: Item = (Tag.ASYNCHRONOUS_INDICATOR, BOOLEAN, True)
KEY = bytes(range(32))


def submit(client: Client, items: Sequence[tuple[int, list[Item]]], *header: Item) -> list[bytes]:
    """The Correlation Values of a message all of whose items are pending."""
    frame = client.raw(client.frame(items, *header))
    assert frame is not None
    _, _, (_, *batch) = decode(frame)
    values = []
    for _, _, fields in batch:
        found = {tag: value for tag, _, value in fields}
        assert found[Tag.RESULT_STATUS] == ResultStatus.OPERATION_PENDING, found
        assert Tag.RESPONSE_PAYLOAD not in found
        values.append(found[Tag.ASYNCHRONOUS_CORRELATION_VALUE])
    return values


def poll(client: Client, value: bytes) -> Answer:
    return client.call(Operation.POLL, correlation(value))


def correlation(value: bytes) -> Item:
    return Tag.ASYNCHRONOUS_CORRELATION_VALUE, BYTE_STRING, value


def locate(client: Client) -> list[Item]:
    return [] if client.version < V2_0 else [(Tag.ATTRIBUTES, STRUCTURE, [])]


def create(client: Client) -> list[Item]:
    return client.key(KEY)


@pytest.fixture
def alice(client: Client) -> Client:
    return client.at(V2_1)


def test_1_x_locate_waits_when_the_client_is_able_to(client: Client) -> None:
    old = client.at(V1_2)
    uid = old.create()
    (value,) = submit(old, [(Operation.LOCATE, [])], ABLE)
    answer = poll(old, value)
    assert (answer.operation, answer.status, answer.uid) == (Operation.LOCATE, ResultStatus.SUCCESS, uid)
    assert poll(old, value).reason is ResultReason.ITEM_NOT_FOUND


def test_other_operations_of_an_able_client_are_done_at_once(client: Client) -> None:
    old = client.at(V1_2)
    (answer,) = old.batch([(Operation.REGISTER, create(old))], ABLE)
    assert answer.status is ResultStatus.SUCCESS
    able = old.batch([(Operation.LOCATE, []), (Operation.GET, [])], ABLE)
    assert [each.status for each in able] == [ResultStatus.SUCCESS] * 2


def test_mandatory_postpones_everything_and_keeps_the_placeholder(alice: Client) -> None:
    values = submit(alice, [(Operation.REGISTER, create(alice)), (Operation.GET, [])], MANDATORY)
    assert alice.locate() == []
    got = poll(alice, values[1])
    assert (got.operation, got.status) == (Operation.GET, ResultStatus.SUCCESS)
    assert alice.locate() == [poll(alice, values[0]).uid] == [got.uid]


def test_requests_and_results_survive_a_restart_and_are_sealed(
    tmp_path: Path, keyring: Keyring, clock: Clock, engine: Engine, alice: Client
) -> None:
    first, second = submit(alice, [(Operation.REGISTER, create(alice)), (Operation.GET, [])], MANDATORY)
    engine.store.close()
    assert KEY not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    again = make_engine(tmp_path, keyring, clock)
    restarted = Client(again, V2_1)
    uid = poll(restarted, first).uid
    again.store.close()
    assert KEY not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    last = make_engine(tmp_path, keyring, clock)
    assert poll(Client(last, V2_1), second).uid == uid
    last.store.close()


def test_what_nobody_polls_for_is_done_in_time(alice: Client, clock: Clock) -> None:
    (value,) = submit(alice, [(Operation.REGISTER, create(alice))], MANDATORY)
    assert alice.locate() == []
    clock.advance(DELAY)
    alice.as_(BOB).ok(Operation.PING)
    (uid,) = alice.locate()
    assert poll(alice, value).uid == uid


def test_cancel(alice: Client) -> None:
    def outcome(value: bytes) -> CancellationResult:
        answer = alice.ok(Operation.CANCEL, correlation(value))
        assert answer.one(Tag.ASYNCHRONOUS_CORRELATION_VALUE) == value
        return CancellationResult(answer.one(Tag.CANCELLATION_RESULT))

    (value,) = submit(alice, [(Operation.REGISTER, create(alice))], MANDATORY)
    assert outcome(value) is CancellationResult.CANCELED
    assert poll(alice, value).reason is ResultReason.OPERATION_CANCELED_BY_REQUESTER
    assert alice.locate() == []
    (done,) = submit(alice, [(Operation.REGISTER, create(alice))], MANDATORY)
    alice.ok(Operation.PROCESS, correlation(done))
    assert outcome(done) is CancellationResult.COMPLETED
    (failed,) = submit(alice, [(Operation.GET, [uid_item("absent")])], MANDATORY)
    alice.ok(Operation.PROCESS, correlation(failed))
    assert outcome(failed) is CancellationResult.FAILED
    assert outcome(bytes(18)) is CancellationResult.UNAVAILABLE
    assert outcome(b"x") is CancellationResult.UNAVAILABLE


def test_process_and_query(alice: Client) -> None:
    one, two = submit(alice, [(Operation.REGISTER, create(alice)), (Operation.GET, [])], MANDATORY)

    def shown(*criteria: Item) -> list[tuple[bytes, Operation, ProcessingStage]]:
        found = alice.ok(Operation.QUERY_ASYNCHRONOUS_REQUESTS, *criteria).values(Tag.ASYNCHRONOUS_REQUEST)
        rows = [{tag: value for tag, _, value in each} for each in found]
        return [
            (
                row[Tag.ASYNCHRONOUS_CORRELATION_VALUE],
                Operation(row[Tag.OPERATION]),
                ProcessingStage(row[Tag.PROCESSING_STAGE]),
            )
            for row in rows
        ]

    waiting = ProcessingStage.SUBMITTED
    assert shown() == [(one, Operation.REGISTER, waiting), (two, Operation.GET, waiting)]
    assert shown((Tag.OPERATIONS, STRUCTURE, [(Tag.OPERATION, ENUMERATION, int(Operation.GET))])) == [
        (two, Operation.GET, waiting)
    ]
    assert shown((Tag.ASYNCHRONOUS_CORRELATION_VALUES, STRUCTURE, [correlation(one)])) == [
        (one, Operation.REGISTER, waiting)
    ]
    assert alice.ok(Operation.PROCESS, correlation(one)).payload == []
    assert [stage for _, _, stage in shown()] == [ProcessingStage.COMPLETED] * 2
    assert alice.refused(Operation.PROCESS, correlation(one)) is ResultReason.DUPLICATE_PROCESS_REQUEST
    poll(alice, one)
    assert [value for value, _, _ in shown()] == [two]


def test_a_failed_item_stops_those_behind_it(alice: Client) -> None:
    items = [(Operation.GET, [uid_item("absent")]), (Operation.REGISTER, create(alice))]
    one, two = submit(alice, items, MANDATORY)
    assert poll(alice, one).reason is ResultReason.OBJECT_NOT_FOUND
    assert poll(alice, two).reason is ResultReason.OPERATION_CANCELED_BY_REQUESTER
    one, two = submit(alice, items, MANDATORY, option(BatchErrorContinuationOption.CONTINUE))
    assert poll(alice, two).status is ResultStatus.SUCCESS


def test_requests_are_their_owners(alice: Client) -> None:
    (value,) = submit(alice, [(Operation.LOCATE, locate(alice))], OPTIONAL)
    bob = alice.as_(BOB)
    assert poll(bob, value).reason is ResultReason.INVALID_ASYNCHRONOUS_CORRELATION_VALUE
    assert bob.ok(Operation.QUERY_ASYNCHRONOUS_REQUESTS).payload == []
    assert bob.refused(Operation.PROCESS, correlation(value)) is ResultReason.INVALID_ASYNCHRONOUS_CORRELATION_VALUE
    assert poll(alice, value).status is ResultStatus.SUCCESS


def test_what_cannot_wait_is_refused(alice: Client) -> None:
    (answer,) = alice.batch([(Operation.POLL, [correlation(bytes(18))])], MANDATORY)
    assert answer.reason is ResultReason.INVALID_FIELD
    undo = option(BatchErrorContinuationOption.UNDO)
    answers = alice.batch([(Operation.LOCATE, locate(alice))] * 2, MANDATORY, undo)
    assert {each.reason for each in answers} == {ResultReason.FEATURE_NOT_SUPPORTED}
    (malformed,) = alice.batch([(Operation.REGISTER, [])], MANDATORY)
    assert malformed.reason is ResultReason.INVALID_MESSAGE
