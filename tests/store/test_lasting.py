"""What outlives a rollback, what is added once, and the rows of the audit trail; on every database."""

# ruff: noqa: PT012 (an error is expected to pass through a whole unit of work)

from __future__ import annotations

import pytest

from kmipsrv.domain.ports import Store
from kmipsrv.errors import Cause, KmipError
from tests.store.conftest import OWNER, make


class Spoiled(Exception):
    """What a test throws through a savepoint."""


def test_what_lasts_outlives_every_savepoint_around_it(any_store: Store) -> None:
    with any_store.work() as work:
        with pytest.raises(Spoiled), work.savepoint():
            work.write("kind", "outer", b"gone")
            with pytest.raises(Spoiled), work.savepoint():
                work.insert(make("u"))
                with work.lasting():
                    work.write("kind", "kept", b"1")
                    assert work.add("once", "a", b"2")
                work.append_audit(1, b"body", b"hash")
                work.write("kind", "inner", b"gone")
                raise Spoiled
            assert work.read("kind", "kept") == b"1"
            assert not work.add("once", "a", b"3")
            raise Spoiled
        assert work.read("kind", "kept") == b"1"
    with any_store.work() as work:
        assert work.find(OWNER, "u") is None
        assert [work.read("kind", key) for key in ("outer", "inner", "kept")] == [None, None, b"1"]
        assert work.read("once", "a") == b"2"
        assert work.audit(0, 10) == [(1, b"body", b"hash")]


def test_the_last_of_several_lasting_writes_stands(any_store: Store) -> None:
    with any_store.work() as work:
        with work.lasting():
            work.write("kind", "counter", b"1")
        with pytest.raises(Spoiled), work.savepoint():
            with work.lasting():
                work.write("kind", "counter", b"2")
                work.write("kind", "counter", b"3")
            raise Spoiled
        with work.savepoint():
            pass
    with any_store.work() as work:
        assert work.read("kind", "counter") == b"3"


def test_what_lasts_does_not_outlive_the_transaction(any_store: Store) -> None:
    with pytest.raises(Spoiled), any_store.work() as work:
        with work.lasting():
            work.write("kind", "key", b"1")
        raise Spoiled
    with any_store.work() as work:
        assert work.read("kind", "key") is None


def test_an_error_inside_undoes_the_item_and_keeps_what_lasts(any_store: Store) -> None:
    with any_store.work() as work:
        work.insert(make("u", names=["taken"]))
    with any_store.work() as work:
        with pytest.raises(KmipError) as refused, work.savepoint():
            work.append_audit(1, b"body", b"hash")
            work.insert(make("v", names=["taken"]))
        assert refused.value.cause is Cause.NON_UNIQUE_NAME_ATTRIBUTE
        assert work.audit_head() == (1, b"hash")
    with any_store.work() as work:
        assert work.audit_head() == (1, b"hash")
        assert work.find(OWNER, "v") is None


def test_the_trail_is_read_in_order(any_store: Store) -> None:
    with any_store.work() as work:
        assert work.audit_head() == (0, b"")
        work.lock()
        for number in (2, 1, 3):
            work.append_audit(number, bytes([number]), b"hash")
    with any_store.work() as work:
        assert [number for number, _, _ in work.audit(0, 10)] == [1, 2, 3]
        assert [number for number, _, _ in work.audit(1, 2)] == [2]
        assert work.audit(3, 10) == []
