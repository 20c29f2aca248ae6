"""Objects, names, records, savepoints: what a unit of work promises."""

# ruff: noqa: PT012 (an error is expected to pass through a whole unit of work)

from __future__ import annotations

import resource
import sqlite3
import stat
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from kmipsrv.domain.ports import IndexRow, Store, StoredObject
from kmipsrv.domain.search import AllOf, Indexed
from kmipsrv.errors import Cause, KmipError, StoreConflict, StoreUnavailable
from kmipsrv.store.sqlite import SQLiteStore
from kmipsrv.store.work import SqlWork
from tests.store.conftest import OWNER, make


class Spoiled(Exception):
    """What a test throws through a savepoint."""


def traced(store: SQLiteStore) -> list[str]:
    """The statements that reach SQLite from now on."""
    seen: list[str] = []
    store._connection.set_trace_callback(seen.append)
    return seen


def test_every_field_comes_back(any_store: Store) -> None:
    values: dict[str, Any] = {field.name: number for number, field in enumerate(fields(StoredObject), 10)}
    texts = {"unique_identifier": "u", "owner": OWNER, "tenant": "t", "policy": "p"}
    rest: dict[str, Any] = {
        "attributes": b"a\0",
        "sealed": b"\xff\0s",
        "key": None,
        "revision": 0,
        "index": [],
        "names": [],
    }
    obj = StoredObject(**values | texts | rest)
    with any_store.work() as work:
        work.insert(obj)
    with any_store.work() as work:
        assert work.find(OWNER, "u") == obj
    assert obj.key is not None


def test_nothing_is_found_of_another_owner(any_store: Store) -> None:
    with any_store.work() as work:
        work.insert(make("u", names=["n"]))
        work.insert(make("u", owner="CN=other", names=["n"]))  # both unique per owner
        assert work.find("CN=third", "u") is None
        assert work.named("CN=third", "n") is None
        found = work.find("CN=other", "u")
        assert found is not None
        assert found.owner == "CN=other"


def test_update_writes_back_and_counts_revisions(any_store: Store) -> None:
    with any_store.work() as work:
        work.insert(make("u", names=["old"], index=[IndexRow("x", 0, "", "old")]))
        obj = work.find(OWNER, "u")
        assert obj is not None
        obj.sealed, obj.destroy_date, obj.names = None, 77, ["new"]
        obj.index = [IndexRow("x", 0, "", "new")]
        work.update(obj, index=True)
        again = work.find(OWNER, "u")
        assert again is not None
        assert (again.sealed, again.destroy_date, again.revision) == (None, 77, 1)
        assert (work.named(OWNER, "old"), work.named(OWNER, "new")) == (None, "u")
        assert work.locate(OWNER, Indexed("x", (("", "old"),)), 0, None) == (0, [])
        assert work.locate(OWNER, Indexed("x", (("", "new"),)), 0, None) == (1, ["u"])


def test_update_without_index_leaves_names_and_index(any_store: Store) -> None:
    with any_store.work() as work:
        work.insert(make("u", names=["n"], index=[IndexRow("x", 0, "", 5)]))
        obj = work.find(OWNER, "u")
        assert obj is not None
        work.update(obj, index=False)
        assert work.named(OWNER, "n") == "u"
        assert work.locate(OWNER, Indexed("x", low=5, high=5), 0, None) == (1, ["u"])


def test_names_are_freed_by_an_update_without_names(any_store: Store) -> None:
    with any_store.work() as work:
        work.insert(make("u", names=["n"]))
        obj = work.find(OWNER, "u")
        assert obj is not None
        work.update(obj, index=True)
        work.insert(make("v", names=["n"]))
        assert work.named(OWNER, "n") == "v"


def test_a_taken_name_and_a_taken_identifier_are_told_apart(any_store: Store) -> None:
    with any_store.work() as work:
        work.insert(make("u", names=["n"]))
        with pytest.raises(KmipError) as refused, work.savepoint():
            work.insert(make("v", names=["n"]))
        assert refused.value.cause is Cause.NON_UNIQUE_NAME_ATTRIBUTE
        with pytest.raises(KmipError) as refused, work.savepoint():
            work.insert(make("u"))
        assert refused.value.cause is Cause.OBJECT_ALREADY_EXISTS
        with pytest.raises(KmipError) as refused, work.savepoint():
            work.insert(make("w", names=["m", "m"]))
        assert refused.value.cause is Cause.NON_UNIQUE_NAME_ATTRIBUTE
    with any_store.work() as work:
        assert work.locate(OWNER, AllOf(()), 0, None) == (1, ["u"])


def test_a_stale_revision_undoes_the_whole_work(any_store: Store) -> None:
    with any_store.work() as work:
        work.insert(make("u"))
    with any_store.work() as work:
        first, second = work.find(OWNER, "u"), work.find(OWNER, "u")
    assert first is not None
    assert second is not None
    with any_store.work() as work:
        work.update(first, index=False)
    with pytest.raises(StoreConflict), any_store.work() as work:
        work.insert(make("v"))
        work.update(second, index=False)
    with any_store.work() as work:
        assert work.find(OWNER, "v") is None


def test_identity_columns_are_not_rewritten(any_store: Store) -> None:
    with any_store.work() as work:
        work.insert(make("u"))
        obj = work.find(OWNER, "u")
    assert obj is not None
    obj.owner = "CN=other"
    with pytest.raises(StoreConflict), any_store.work() as work:
        work.update(obj, index=False)


def test_purge_takes_everything_along(store: SQLiteStore) -> None:
    obj = make("u", names=["n"], index=[IndexRow("x", 0, "", "v"), IndexRow("y", 0, "p", b"\0")])
    with store.work() as work:
        work.insert(obj)
    with store.work() as work:
        work.purge(obj)
    for table in ("objects", "object_index", "object_names"):
        assert store._connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    with pytest.raises(StoreConflict), store.work() as work:
        work.purge(obj)


def test_an_overtaken_purge_is_refused(any_store: Store) -> None:
    with any_store.work() as work:
        work.insert(make("u"))
    with any_store.work() as work:
        first, second = work.find(OWNER, "u"), work.find(OWNER, "u")
    assert first is not None
    assert second is not None
    with any_store.work() as work:
        work.update(first, index=False)
    with pytest.raises(StoreConflict), any_store.work() as work:
        work.purge(second)
    with any_store.work() as work:
        found = work.find(OWNER, "u")
        assert found is not None
        assert found.revision == first.revision
        work.purge(first)


def test_an_empty_store_knows_that_it_is_empty(any_store: Store) -> None:
    assert any_store.holds_objects() is False
    with any_store.work() as work:
        work.write("kind", "key", b"value")
    assert any_store.holds_objects() is False
    with any_store.work() as work:
        assert (work.holds("kind"), work.holds("another")) == (True, False)
        work.insert(make("u", owner="CN=anybody"))
    assert any_store.holds_objects() is True


def test_records(any_store: Store) -> None:
    with any_store.work() as work:
        assert work.read("ticket", "a") is None
        work.write("ticket", "a", b"1", owner=OWNER, expires=50)
        work.write("ticket", "b", b"2", owner=OWNER)
        work.write("ticket", "c", b"3", owner="CN=other")
        work.write("user", "a", b"4", owner=OWNER)
        work.write("ticket", "a", b"5", owner=OWNER, expires=60)
        assert work.read("ticket", "a") == b"5"
        assert work.records("ticket", OWNER) == [("a", b"5"), ("b", b"2")]
        assert work.remove("ticket", "b") is True
        assert work.remove("ticket", "b") is False
    with any_store.work() as work:
        assert isinstance(work, SqlWork)
        work.expire(59)
        assert work.read("ticket", "a") == b"5"
        work.expire(60)
        assert work.read("ticket", "a") is None
        assert work.read("user", "a") == b"4"


def test_an_exception_undoes_the_work(any_store: Store) -> None:
    with pytest.raises(Spoiled), any_store.work() as work:
        work.insert(make("u", index=[IndexRow("x", 0, "", 1)]))
        raise Spoiled
    with any_store.work() as work:
        assert work.find(OWNER, "u") is None
        work.insert(make("u", index=[IndexRow("x", 0, "", 1)]))  # the key that was interned is interned again
        assert work.locate(OWNER, Indexed("x"), 0, None) == (1, ["u"])


def test_savepoints_nest_and_undo_only_themselves(any_store: Store) -> None:
    with any_store.work() as work:
        with work.savepoint():
            work.insert(make("a"))
            with pytest.raises(Spoiled), work.savepoint():
                work.insert(make("b", index=[IndexRow("k", 0, "", 1)]))
                with work.savepoint():
                    work.insert(make("c"))
                raise Spoiled
            work.insert(make("d", index=[IndexRow("k", 0, "", 1)]))
        with pytest.raises(Spoiled), work.savepoint():
            work.insert(make("e"))
            raise Spoiled
    with any_store.work() as work:
        assert sorted(work.locate(OWNER, AllOf(()), 0, None)[1]) == ["a", "d"]
        assert work.locate(OWNER, Indexed("k"), 0, None) == (1, ["d"])


def test_a_group_of_reads_issues_no_savepoint(store: SQLiteStore) -> None:
    with store.work() as work:
        work.insert(make("u"))
    seen = traced(store)
    with store.work() as work:
        for _ in range(3):
            with work.savepoint():
                assert work.find(OWNER, "u") is not None
    assert [line.split()[0] for line in seen] == ["BEGIN", "SELECT", "SELECT", "SELECT", "COMMIT"]


def test_an_unused_work_touches_nothing(store: SQLiteStore) -> None:
    seen = traced(store)
    with store.work() as work, work.savepoint():
        pass
    assert seen == []


def test_a_write_after_a_read_begins_anew_and_at_once(store: SQLiteStore) -> None:
    seen = traced(store)
    with store.work() as work, work.savepoint(), work.savepoint():
        work.find(OWNER, "u")
        work.write("kind", "key", b"value")
        work.write("kind", "key", b"value")
    words = [" ".join(line.split()[:2]) for line in seen if not line.startswith(("SELECT", "INSERT", "--"))]
    expected = ["BEGIN", "COMMIT", "BEGIN IMMEDIATE", "SAVEPOINT s0", "SAVEPOINT s1"]
    assert words == [*expected, "RELEASE SAVEPOINT", "RELEASE SAVEPOINT", "COMMIT"]


def test_a_transaction_that_sqlite_has_undone_fails_as_a_whole(store: SQLiteStore) -> None:
    """SQLITE_FULL rolls the transaction back; what follows must not be committed in its stead."""
    store._connection.execute("PRAGMA cache_size=-64")  # so that pages spill before the commit
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count={pages + 20}").fetchall()
    with pytest.raises(StoreUnavailable), store.work() as work:
        work.insert(make("before"))
        with pytest.raises(StoreUnavailable), work.savepoint():
            work.insert(make("big", sealed=bytes(1 << 20)))
        with pytest.raises(StoreUnavailable), work.savepoint():
            work.insert(make("after"))
    with store.work() as work:
        assert work.locate(OWNER, AllOf(()), 0, None) == (0, [])
        work.insert(make("small"))


def test_a_commit_that_finds_the_disk_full_fails_the_work(store: SQLiteStore, path: Path) -> None:
    """The write-ahead log may not grow: writes are cached and the COMMIT is what fails."""
    with store.work() as work:
        work.insert(make("before"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    room = path.with_name(path.name + "-wal").stat().st_size + 4096
    with pytest.raises(StoreUnavailable), store.work() as work:
        for number in range(100):
            work.insert(make(str(number)))
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
        try:
            work.commit()  # type: ignore[attr-defined]
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with store.work() as work:
        assert work.locate(OWNER, AllOf(()), 0, None) == (1, ["before"])
        work.insert(make("after"))
    assert store._connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_an_error_that_somebody_swallowed_still_fails_the_commit(store: SQLiteStore) -> None:
    store._connection.execute("PRAGMA query_only=ON")
    with pytest.raises(StoreUnavailable), store.work() as work:
        try:
            work.insert(make("u"))
        except StoreUnavailable:
            pass
    store._connection.execute("PRAGMA query_only=OFF")
    with store.work() as work:
        work.insert(make("u"))


def test_no_text_of_the_database_reaches_the_client(store: SQLiteStore) -> None:
    with store.work() as work:
        with pytest.raises(KmipError) as refused, work.savepoint():
            work.insert(make("u", flags=2**63))
        assert refused.value.cause is Cause.NUMERIC_RANGE
        with pytest.raises(KmipError) as refused, work.savepoint():
            work.insert(make("u", attributes=None))
        assert refused.value.cause is Cause.GENERAL_FAILURE
        assert "objects" not in refused.value.message
        assert isinstance(refused.value.__cause__, sqlite3.IntegrityError)


def test_one_unit_of_work_at_a_time(store: SQLiteStore) -> None:
    with store.work(), pytest.raises(RuntimeError, match="one unit"), store.work():
        pytest.fail("a second unit of work was begun")


def test_only_the_owner_may_read_the_files(store: SQLiteStore, path: Path) -> None:
    with store.work() as work:
        work.insert(make("u"))
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {"objects.db": 0o600, "objects.db-wal": 0o600, "objects.db-shm": 0o600}


def test_the_file_is_safe_and_durable(store: SQLiteStore) -> None:
    expected = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1, "busy_timeout": 10000}
    found = {name: store._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in expected}
    assert found == expected
