"""The table of multi-part operations: bound to its owner, bounded in number and size, forgotten in time."""

from __future__ import annotations

import os

import pytest

from kmipsrv.domain.streams import Owner, Stream, Streams
from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec.enums import Operation

ALICE: Owner = ("d", "alice", "alice", "")
BOB: Owner = ("d", "bob", "bob", "")


def stream(owner: Owner = ALICE, held: int = 0) -> Stream:
    return Stream(owner, Operation.ENCRYPT, "uid", None, object(), held)


def make(maximum: int = 3, held: int = 100) -> Streams:
    return Streams(maximum, held, os.urandom, lifetime=10)


def refused(table: Streams, given: Stream, now: int = 0) -> Cause:
    with pytest.raises(KmipError) as caught:
        table.keep(given, now)
    return caught.value.cause


def missing(table: Streams, correlation: bytes, owner: Owner, operation: Operation, now: int = 0) -> Cause:
    with pytest.raises(KmipError) as caught:
        table.take(correlation, owner, operation, now)
    return caught.value.cause


def test_a_stream_is_taken_by_its_owner_for_its_operation() -> None:
    table, given = make(), stream()
    value = table.keep(given, 0)
    assert len(value) == 24
    assert missing(table, value, BOB, Operation.ENCRYPT) is Cause.INVALID_CORRELATION_VALUE
    assert missing(table, value, ALICE, Operation.DECRYPT) is Cause.INVALID_CORRELATION_VALUE
    assert missing(table, bytes(24), ALICE, Operation.ENCRYPT) is Cause.INVALID_CORRELATION_VALUE
    assert table.take(value, ALICE, Operation.ENCRYPT, 0) is given
    assert missing(table, value, ALICE, Operation.ENCRYPT) is Cause.INVALID_CORRELATION_VALUE


def test_the_correlation_value_stays_from_part_to_part() -> None:
    table, given = make(), stream()
    value = table.keep(given, 0)
    assert table.keep(table.take(value, ALICE, Operation.ENCRYPT, 5), 5) == value


def test_values_are_not_repeated() -> None:
    table = make(50)
    assert len({table.keep(stream(), 0) for _ in range(50)}) == 50


def test_each_owner_has_so_many() -> None:
    table = make(2)
    first = table.keep(stream(), 0)
    table.keep(stream(), 0)
    assert refused(table, stream()) is Cause.SERVER_LIMIT_EXCEEDED
    table.keep(stream(BOB), 0)
    table.end(first)
    table.keep(stream(), 0)


def test_the_process_has_so_many() -> None:
    table = make(1)
    for number in range(16):
        table.keep(stream(("d", str(number), "o", "")), 0)
    assert refused(table, stream()) is Cause.SERVER_LIMIT_EXCEEDED


def test_what_streams_hold_is_bounded_for_an_owner_and_for_the_process() -> None:
    table = make(held=100)
    value = table.keep(stream(held=60), 0)
    assert refused(table, stream(held=41)) is Cause.SERVER_LIMIT_EXCEEDED
    table.keep(stream(held=40), 0)
    table.end(value)
    table.keep(stream(held=60), 0)
    for number in range(15):
        table.keep(stream(("d", str(number), "o", ""), held=100), 0)
    assert refused(table, stream(BOB, held=1)) is Cause.SERVER_LIMIT_EXCEEDED


def test_a_stream_ends_when_nobody_asks_for_it() -> None:
    table = make(1)
    value = table.keep(stream(), 0)
    value = table.keep(table.take(value, ALICE, Operation.ENCRYPT, 9), 9)
    assert missing(table, value, ALICE, Operation.ENCRYPT, 19) is Cause.INVALID_CORRELATION_VALUE
    assert len(table) == 0
    table.keep(stream(), 19)  # and makes room


def test_its_representation_shows_neither_value_nor_state() -> None:
    given = stream()
    value = make().keep(given, 0)
    assert value.hex() not in repr(given)
    assert repr(given) == "<Stream of Encrypt>"
