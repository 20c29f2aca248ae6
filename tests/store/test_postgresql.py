"""What only several transactions at once, and a server that goes away, can show."""

# ruff: noqa: PT012 (an error is expected to pass through a whole unit of work)

from __future__ import annotations

import os
import threading
from pathlib import Path

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from kmipsrv.domain.ports import IndexRow
from kmipsrv.domain.search import AllOf, Indexed
from kmipsrv.errors import Cause, ConfigError, KmipError, StoreConflict, StoreUnavailable
from kmipsrv.store import migrate
from kmipsrv.store.postgresql import PostgreSQLStore
from kmipsrv.store.tables import metadata
from tests.store.conftest import OWNER, make


def test_a_transaction_that_was_overtaken_is_a_conflict(postgresql: PostgreSQLStore) -> None:
    with postgresql.work() as work:
        work.insert(make("u"))
    with pytest.raises(StoreConflict), postgresql.work() as work:
        obj = work.find(OWNER, "u")
        assert obj is not None
        with postgresql.work() as other:
            theirs = other.find(OWNER, "u")
            assert theirs is not None
            other.update(theirs, index=False)
        work.write("kind", "key", b"value")
        work.update(obj, index=False)
    with postgresql.work() as work:
        assert work.read("kind", "key") is None


def test_a_deadlock_is_a_conflict_of_one(postgresql: PostgreSQLStore) -> None:
    with postgresql.work() as work:
        work.write("kind", "a", b"0")
        work.write("kind", "b", b"0")
    meet = threading.Barrier(2)
    outcomes: list[str] = []

    def write(first: str, second: str) -> None:
        try:
            with postgresql.work() as work:
                work.write("kind", first, b"1")
                meet.wait(10)
                work.write("kind", second, b"1")
            outcomes.append("done")
        except StoreConflict:
            outcomes.append("conflict")

    threads = [threading.Thread(target=write, args=names) for names in ("ab", "ba")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["conflict", "done"]


def test_many_threads_intern_the_same_keys(postgresql: PostgreSQLStore) -> None:
    outcomes: list[str] = []

    def write(name: str) -> None:
        for number in range(20):
            while True:
                try:
                    with postgresql.work() as work:
                        work.insert(make(f"{name}{number}", index=[IndexRow(f"k{number}", 0, "", name)]))
                    break
                except StoreConflict:
                    outcomes.append("again")
        outcomes.append("done")

    threads = [threading.Thread(target=write, args=[name]) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("done") == 4
    with postgresql.work() as work:
        assert work.locate(OWNER, AllOf(()), 0, 0) == (80, [])
        assert all(work.locate(OWNER, Indexed(f"k{number}"), 0, None)[0] == 4 for number in range(20))


def test_a_failed_statement_cannot_be_committed_over(postgresql: PostgreSQLStore) -> None:
    """PostgreSQL answers COMMIT of a failed transaction with ROLLBACK, and no error."""
    with pytest.raises(StoreUnavailable), postgresql.work() as work:
        work.insert(make("u", names=["n"]))
        with pytest.raises(KmipError) as refused:
            work.insert(make("v", names=["n"]))
        assert refused.value.cause is Cause.NON_UNIQUE_NAME_ATTRIBUTE
    with postgresql.work() as work:
        assert work.locate(OWNER, AllOf(()), 0, None) == (0, [])


def test_lost_connections_are_replaced(postgresql: PostgreSQLStore, conninfo: str) -> None:
    with psycopg.connect(conninfo, autocommit=True) as other:
        kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'kmipsrv'"
        with pytest.raises(StoreUnavailable), postgresql.work() as work:
            work.insert(make("u"))
            other.execute(kill)
            with pytest.raises(StoreUnavailable), work.savepoint():
                work.insert(make("v"))
            with pytest.raises(StoreUnavailable):
                work.find(OWNER, "u")
        with postgresql.work() as work:
            assert work.locate(OWNER, AllOf(()), 0, None) == (0, [])
        with pytest.raises(StoreUnavailable), postgresql.work() as work:
            work.insert(make("u"))
            other.execute(kill)
        with postgresql.work() as work:
            assert work.find(OWNER, "u") is None


def test_a_text_that_postgresql_cannot_hold_fails_its_item_only(postgresql: PostgreSQLStore) -> None:
    with postgresql.work() as work:
        work.insert(make("u"))
        with pytest.raises(KmipError) as refused, work.savepoint():
            work.insert(make("v", names=["a\0b"]))
        assert refused.value.cause is Cause.INVALID_FIELD
    with postgresql.work() as work:
        assert work.locate(OWNER, AllOf(()), 0, None) == (1, ["u"])


def test_a_commit_is_on_the_disk(postgresql: PostgreSQLStore) -> None:
    connection, database = postgresql._take()
    assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)
    postgresql._give_back(connection, database)


def test_a_server_that_is_not_there_is_said_without_the_password(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="check that it runs") as caught:
        PostgreSQLStore(f"host={tmp_path} user=kmipsrv password=secret dbname=x")
    assert "secret" not in str(caught.value)


def test_the_store_refuses_to_work_in_a_forked_child(postgresql: PostgreSQLStore) -> None:
    child = os.fork()
    if child == 0:
        try:
            with postgresql.work():
                os._exit(1)
        except RuntimeError:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def test_the_revisions_lead_to_the_tables(postgresql: PostgreSQLStore, conninfo: str) -> None:
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(conninfo))
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_nodes_that_start_together_upgrade_one_by_one(conninfo: str) -> None:
    failures: list[BaseException] = []

    def start() -> None:
        try:
            PostgreSQLStore(conninfo).close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_an_interrupted_upgrade_leaves_nothing(conninfo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = migrate._upgrade

    def interrupted(connection: object) -> None:
        whole(connection)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(migrate, "_upgrade", interrupted)
    with pytest.raises(KeyboardInterrupt):
        PostgreSQLStore(conninfo)
    with psycopg.connect(conninfo) as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)
