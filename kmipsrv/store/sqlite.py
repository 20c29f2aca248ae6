"""The store in one SQLite file, which several worker processes may share (one writes at a time, readers never wait).

WAL with `synchronous=FULL`: a commit is on the disk when it returns. The driver's own transaction handling is switched off
(`isolation_level=None`); `work.py` says BEGIN, BEGIN IMMEDIATE, SAVEPOINT and COMMIT itself. A writer waits up to
`BUSY_TIMEOUT` for another process's, then the whole group fails with `StoreConflict`.

`secure_delete`: what is destroyed is overwritten in the file, not only unlinked.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.dialects import sqlite as dialects
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from kmipsrv.domain.ports import Work
from kmipsrv.domain.records import RecordSeal
from kmipsrv.errors import Cause, ConfigError, KmipError, StoreConflict, StoreUnavailable
from kmipsrv.store.migrate import upgrade
from kmipsrv.store.statements import compile_statements
from kmipsrv.store.work import Database, SqlWork

BUSY_TIMEOUT: Final = 10.0  # seconds
PRAGMAS: Final = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA secure_delete=ON",
    "PRAGMA trusted_schema=OFF",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA cache_size=-65536",  # KiB
)

UNIQUE: Final = {
    "object_names.": (Cause.NON_UNIQUE_NAME_ATTRIBUTE, "another object has this Name"),
    "objects.owner, objects.unique_identifier": (Cause.OBJECT_ALREADY_EXISTS, "the Unique Identifier is taken"),
}
"""Constraints that clients can hit: what SQLite says after "UNIQUE constraint failed: ", and what it means."""

TAKEN: Final = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}

REFUSED: Final = {
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_TOOBIG,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_RANGE,
    sqlite3.SQLITE_INTERRUPT,
}
"""Primary result codes that fail one statement. Every other code (full, I/O, corrupt, read-only …) breaks the transaction."""


DAMAGED: Final = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)


def translate(error: Exception) -> KmipError:
    """The one table of this driver's errors. The text of `error` is for the log only."""
    if isinstance(error, OverflowError):
        return KmipError(Cause.NUMERIC_RANGE, "a number has more than 64 bits")
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # the driver refused before the database saw anything: a value it cannot bind
        return KmipError(Cause.GENERAL_FAILURE, "the object store refused a value")
    primary = code & 0xFF
    if code in (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY):
        for constraint, (cause, message) in UNIQUE.items():
            if constraint in str(error):
                return KmipError(cause, message)
    if primary in TAKEN:
        return StoreConflict()
    if primary in REFUSED:
        return KmipError(Cause.GENERAL_FAILURE, "the object store refused a value")
    return StoreUnavailable()


def sqlite_engine(path: Path) -> Engine:
    """An engine whose connections have the pragmas and leave transactions to the caller."""
    engine = create_engine(
        f"sqlite:///{path}",
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
        connect_args={"timeout": BUSY_TIMEOUT, "check_same_thread": False, "cached_statements": 256},
    )

    @event.listens_for(engine, "connect")
    def connected(connection: sqlite3.Connection, _: Any) -> None:
        for pragma in PRAGMAS:
            connection.execute(pragma).fetchall()

    return engine


class SQLiteStore:
    """`domain.ports.Store` on one file. Open it after the fork; one thread at a time uses it."""

    def __init__(self, path: Path) -> None:
        """Open, make or upgrade the file. Raises ConfigError with the mend."""
        try:
            # Made here and not by SQLite, so that nobody else can ever read it; its -wal and -shm take the mode over.
            os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
            self._engine = sqlite_engine(path)
            upgrade(self._engine)
            pooled = self._engine.raw_connection()
            self._connection: sqlite3.Connection = pooled.driver_connection  # type: ignore[assignment]
            pooled.detach()  # ours for good, and closed by `close`
        except (OSError, sqlite3.Error, SQLAlchemyError) as error:
            cause = getattr(error, "orig", None) or error  # what the driver says, without SQLAlchemy's words around it
            if getattr(cause, "sqlite_errorcode", 0) & 0xFF in DAMAGED:
                raise ConfigError(
                    f"the database {path} is damaged, or none at all: restore it from the backup"
                ) from error
            raise ConfigError(
                f"the database {path} cannot be opened ({cause}): check path, permissions, space"
            ) from error
        connection = self._connection
        dialect = dialects.dialect(paramstyle="qmark")
        self._database = Database(
            cursor=connection.cursor(),
            dialect=dialect,
            statements=compile_statements(dialect),
            errors=(sqlite3.Error, OverflowError),
            begin_reading="BEGIN",
            begin_writing="BEGIN IMMEDIATE",
            upgrade=True,
            stands=lambda: connection.in_transaction,
            committed=lambda: True,
            translate=translate,
        )
        self._lock = threading.Lock()
        self._process = os.getpid()

    def work(self) -> AbstractContextManager[Work]:
        """See `domain.ports.Store`. Raises StoreUnavailable when the transaction could not be kept."""
        return _Unit(self)

    def authenticate(self, key: bytes) -> None:
        """See `domain.ports.Store`."""
        self._database.seal = RecordSeal(key)

    def holds_objects(self) -> bool:
        """See `domain.ports.Store`."""
        with _Unit(self) as work:
            return work.holds_objects()

    def close(self) -> None:
        """See `domain.ports.Store`."""
        with self._lock:
            self._connection.close()
            self._engine.dispose()


class _Unit:
    """`with store.work() as work`."""

    __slots__ = ("_store", "_work")

    def __init__(self, store: SQLiteStore) -> None:
        self._store = store
        self._work = SqlWork(store._database)

    def __enter__(self) -> SqlWork:
        store = self._store
        if store._process != os.getpid():
            raise RuntimeError("a SQLite connection does not survive a fork: open the store after it")
        if not store._lock.acquire(blocking=False):
            raise RuntimeError("one unit of work at a time")
        return self._work

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._work.commit()
            else:
                self._work.roll_back()
        finally:
            self._store._lock.release()
