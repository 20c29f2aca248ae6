"""What a batch may ask for in all: slow work is counted over the items of a message, and done where nobody waits for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from kmipsrv.crypto import keygen, pkcs12
from kmipsrv.crypto.iterations import Iterations
from kmipsrv.engine.engine import Engine
from kmipsrv.operations._asynchronous import DELAY
from kmipsrv.spec.enums import (
    BatchErrorContinuationOption,
    CryptographicAlgorithm,
    KeyFormatType,
    LinkType,
    Operation,
    ResultReason,
    ResultStatus,
)
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V2_1
from kmipsrv.ttlv.codec import BYTE_STRING, ENUMERATION, INTEGER, STRUCTURE, TEXT_STRING, Item
from tests.harness import Client, Clock, option
from tests.operations.cryptography import block
from tests.operations.errors.keys import make_container
from tests.operations.requests import Bench, aes, derivation
from tests.operations.test_asynchronous import MANDATORY, create, poll, submit

CONTINUE = option(BatchErrorContinuationOption.CONTINUE)
LIMIT = ResultReason.SERVER_LIMIT_EXCEEDED


@pytest.fixture
def client(engine: Engine) -> Client:
    return Client(engine, V2_1)


def limited(client: Client, **bounds: Any) -> None:
    client.engine.take(replace(client.engine.settings, **bounds))


def reasons(client: Client, items: Sequence[tuple[int, list[Item]]]) -> list[ResultReason | None]:
    return [answer.reason for answer in client.batch(items, CONTINUE)]


def pair(algorithm: CryptographicAlgorithm, length: int) -> tuple[int, list[Item]]:
    described: list[Item] = [
        (Tag.CRYPTOGRAPHIC_ALGORITHM, ENUMERATION, int(algorithm)),
        (Tag.CRYPTOGRAPHIC_LENGTH, INTEGER, length),
        (Tag.CRYPTOGRAPHIC_USAGE_MASK, INTEGER, 3),
    ]
    return Operation.CREATE_KEY_PAIR, [(Tag.COMMON_ATTRIBUTES, STRUCTURE, described)]


RSA = pair(CryptographicAlgorithm.RSA, 2048)


def test_iterations_are_those_of_the_whole_message(client: Client) -> None:
    base = Bench(client).secret()
    limited(client, maximum_pbkdf2_iterations=5)
    fields: list[Item] = [(Tag.SALT, BYTE_STRING, b"salt"), (Tag.ITERATION_COUNT, INTEGER, 2)]
    item = (Operation.DERIVE_KEY, [*derivation(base, *fields, method=1), aes(client)])
    assert reasons(client, [item] * 3) == [None, None, LIMIT]
    assert reasons(client, [item] * 2) == [None, None], "another message has its own"


def test_containers_cost_iterations_too(client: Client) -> None:
    container = make_container()
    spent = Iterations(1_000_000)
    pkcs12.load(container, b"password", iterations=spent)
    link: Item = (
        Tag.LINK,
        STRUCTURE,
        [
            (Tag.LINK_TYPE, ENUMERATION, int(LinkType.PKCS_12_PASSWORD_LINK)),
            (Tag.LINKED_OBJECT_IDENTIFIER, TEXT_STRING, Bench(client).secret()),
        ],
    )
    key: Item = (Tag.PRIVATE_KEY, STRUCTURE, block(KeyFormatType.PKCS_12, container))
    described = client.attributes((Tag.CRYPTOGRAPHIC_USAGE_MASK, INTEGER, 1), link)
    item = (Operation.REGISTER, [(Tag.OBJECT_TYPE, ENUMERATION, 4), described, key])
    limited(client, maximum_pbkdf2_iterations=2 * (1_000_000 - spent.left))
    assert reasons(client, [item] * 3) == [None, None, LIMIT]


def test_key_pairs_are_counted_wherever_they_are_made(client: Client) -> None:
    limited(client, maximum_key_pairs=1)
    assert reasons(client, [RSA, RSA]) == [None, LIMIT]
    first = client.ok(*_items(RSA)).one(Tag.PRIVATE_KEY_UNIQUE_IDENTIFIER)
    renewed: tuple[int, list[Item]] = (
        Operation.RE_KEY_KEY_PAIR,
        [(Tag.PRIVATE_KEY_UNIQUE_IDENTIFIER, TEXT_STRING, first)],
    )
    assert reasons(client, [RSA, renewed]) == [None, LIMIT]
    assert reasons(client, [renewed]) == [None]


def test_quick_key_pairs_are_not_counted(client: Client) -> None:
    limited(client, maximum_key_pairs=0)
    assert reasons(client, [pair(CryptographicAlgorithm.EC, 256)] * 3) == [None] * 3


def test_an_asynchronous_key_pair_is_not_generated_again(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has been made beside the queue, so the request is processed at once: in the queue it would hold everybody up."""
    generated: list[object] = []
    real = keygen.generate_pair

    def generate(*asked: Any, **more: Any) -> object:
        generated.append(asked)
        return real(*asked, **more)

    monkeypatch.setattr(keygen, "generate_pair", generate)
    values = submit(client, [RSA, RSA], MANDATORY)
    assert len(generated) == 2
    assert len(client.locate()) == 4
    answers = [poll(client, value) for value in values]
    assert all(answer.status is ResultStatus.SUCCESS for answer in answers)
    assert {uid for answer in answers for _, _, uid in answer.payload} == set(client.locate())


def test_waiting_requests_are_processed_one_by_one(client: Client, clock: Clock) -> None:
    for _ in range(3):
        submit(client, [(Operation.REGISTER, create(client))], MANDATORY)
    clock.advance(DELAY)
    counts = []
    for _ in range(4):
        client.ok(Operation.PING)
        with client.engine.store.work() as work:
            counts.append(len(work.records("asynchronous waiting", "")))
    assert counts == [2, 1, 0, 0]


def _items(request: tuple[int, list[Item]]) -> tuple[Any, ...]:
    operation, payload = request
    return operation, *payload
