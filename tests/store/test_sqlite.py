"""One file, several processes: upgrades, crashes, writers at once."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from kmipsrv.domain.search import AllOf
from kmipsrv.errors import ConfigError
from kmipsrv.store.migrate import HEAD, MIGRATIONS
from kmipsrv.store.sqlite import SQLiteStore, sqlite_engine
from kmipsrv.store.tables import metadata
from tests.store.conftest import OWNER, make

ROOT = Path(__file__).resolve().parents[2]

WRITER = """
import sys
from pathlib import Path
from kmipsrv.store.sqlite import SQLiteStore
from tests.store.conftest import RECORDS_KEY, make

path, name, rounds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
store = SQLiteStore(path)
store.authenticate(RECORDS_KEY)
for number in range(rounds):
    with store.work() as work:
        if name != "crash":
            counter = int(work.read("counter", "c") or b"0")  # a read that turns into a write
        with work.savepoint():
            work.insert(make(f"{name}{number}", names=[f"{name}{number}"]))
    print(number, flush=True)
"""


def writer(path: Path, name: str, rounds: int) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", WRITER, str(path), name, str(rounds)]
    return subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_write_at_once(path: Path) -> None:
    """Also on a file that neither of them finds: both make it, one waits."""
    writers = [writer(path, name, 200) for name in "ab"]
    for process in writers:
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")
    store = SQLiteStore(path)
    with store.work() as work:
        assert work.locate(OWNER, AllOf(()), 0, 0) == (400, [])
    store.close()


def test_what_was_acknowledged_survives_kill_9(path: Path) -> None:
    process = writer(path, "crash", 1_000_000)
    assert process.stdout is not None
    acknowledged = -1
    deadline = time.monotonic() + 30
    while acknowledged < 50 and time.monotonic() < deadline:
        acknowledged = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate(timeout=30)
    complete = [int(line) for line in rest.splitlines(keepends=True) if line.endswith("\n")]
    acknowledged = max([acknowledged, *complete])
    assert acknowledged >= 50
    store = SQLiteStore(path)
    with store.work() as work:
        total, found = work.locate(OWNER, AllOf(()), 0, None)
        assert total >= acknowledged + 1
        assert {f"crash{number}" for number in range(acknowledged + 1)} <= set(found)
        assert all(work.named(OWNER, name) == name for name in found)
    assert store._connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    store.close()


def test_a_reader_sees_one_moment_and_a_late_writer_still_writes(path: Path) -> None:
    """With a plain deferred transaction the write would be SQLITE_BUSY_SNAPSHOT."""
    ours, theirs = SQLiteStore(path), SQLiteStore(path)
    with ours.work() as work:
        assert work.find(OWNER, "a") is None
        with theirs.work() as other:
            other.insert(make("a"))
        assert work.find(OWNER, "a") is None
        work.insert(make("b"))
        assert work.find(OWNER, "a") is not None
    with theirs.work() as other:
        assert other.locate(OWNER, AllOf(()), 0, None) == (2, ["b", "a"])
    ours.close()
    theirs.close()


def test_the_store_refuses_to_work_in_a_forked_child(store: SQLiteStore) -> None:
    child = os.fork()
    if child == 0:
        try:
            with store.work():
                os._exit(1)
        except RuntimeError:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


# --- the schema ------------------------------------------------------------------------------------------------------


def test_the_newest_revision_is_the_one_that_the_code_expects() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


def test_the_revisions_lead_to_the_tables(store: SQLiteStore, path: Path) -> None:
    with sqlite_engine(path).connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    fresh = sqlite_engine(path.with_name("fresh.db"))
    metadata.create_all(fresh)
    with fresh.connect() as connection:
        meant = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    made = store._connection.execute("SELECT sql FROM sqlite_master WHERE tbl_name <> 'alembic_version' AND sql <> ''")

    def lines(rows: Iterable[Sequence[str]]) -> list[str]:
        """Of the CREATE statements, in an order that does not depend on theirs."""
        return sorted(line.strip(" ,)") for row in rows for line in row[0].splitlines())

    assert lines(made) == lines([tuple(row) for row in meant])


def test_an_opened_file_is_left_as_it_is(store: SQLiteStore, path: Path) -> None:
    with store.work() as work:
        work.insert(make("u"))
    again = SQLiteStore(path)
    with again.work() as work:
        assert work.find(OWNER, "u") is not None
    again.close()


def test_a_file_without_tables_is_made(path: Path) -> None:
    path.touch()
    SQLiteStore(path).close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(HEAD,)]
    connection.close()


def test_an_interrupted_upgrade_leaves_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import kmipsrv.store.migrate as migrate

    monkeypatch.setattr(migrate, "HEAD", "9999")
    whole = migrate._upgrade

    def interrupted(connection: object) -> None:
        whole(connection)  # type: ignore[arg-type]
        raise OSError("power cut")

    monkeypatch.setattr(migrate, "_upgrade", interrupted)
    with pytest.raises(ConfigError, match="power cut"):
        SQLiteStore(path)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    connection.close()


def test_a_newer_file_is_refused_with_what_to_do(path: Path) -> None:
    SQLiteStore(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(ConfigError, match=r"revision 9999, which is newer .* install the version that wrote it"):
        SQLiteStore(path)


def test_another_programs_file_is_refused(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    with pytest.raises(ConfigError, match="another program"):
        SQLiteStore(path)


def test_what_is_no_database_is_refused(path: Path) -> None:
    path.write_bytes(b"garbage" * 1000)
    with pytest.raises(ConfigError, match="is damaged, or none at all: restore it"):
        SQLiteStore(path)
    assert path.read_bytes() == b"garbage" * 1000


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be opened"):
        SQLiteStore(tmp_path / "missing" / "objects.db")
