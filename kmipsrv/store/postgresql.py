"""The store in a PostgreSQL database that several nodes share.

Every unit of work is one REPEATABLE READ transaction on a connection of its own; connections are kept for the next one. What
another transaction has overtaken raises `StoreConflict` (SQLSTATE 40001 and 40P01), and the caller begins again. A connection
that is lost during COMMIT leaves it open whether the work is done: that is `StoreUnavailable`, and nobody tries again.

`synchronous_commit` is switched on whatever the server's default: a commit is on the disk when it returns.
"""

from __future__ import annotations

import os
import threading
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Final

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import create_engine
from sqlalchemy.dialects.postgresql import psycopg as dialects
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from kmipsrv.domain.ports import Work
from kmipsrv.domain.records import RecordSeal
from kmipsrv.errors import Cause, ConfigError, KmipError, StoreConflict, StoreUnavailable
from kmipsrv.store.migrate import upgrade
from kmipsrv.store.statements import compile_statements
from kmipsrv.store.work import Database, SqlWork

CONNECT_TIMEOUT: Final = 5  # seconds
SESSION: Final = {
    "synchronous_commit": "on",
    "lock_timeout": "10s",
    "statement_timeout": "60s",
    "idle_in_transaction_session_timeout": "120s",
}
BEGIN: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ"

UNIQUE: Final = {
    "pk_object_names": (Cause.NON_UNIQUE_NAME_ATTRIBUTE, "another object has this Name"),
    "uq_objects_owner_unique_identifier": (Cause.OBJECT_ALREADY_EXISTS, "the Unique Identifier is taken"),
}
"""Constraints that clients can hit, and what they mean."""

OVERTAKEN: Final = {"40001", "40P01", "55P03"}  # serialization failure, deadlock, lock not available in time
UNSEEN: Final = "fk_object_index_key"  # another transaction has interned the key since this one began
SAME_NUMBER: Final = "pk_audit"  # another transaction has appended to the audit trail since this one began
OUT_OF_RANGE: Final = "22003"
REFUSED: Final = {"22", "23"}  # classes: data exception, integrity constraint violation; they fail one statement


def translate(error: Exception) -> KmipError:
    """The one table of this driver's errors. The text of `error` is for the log only."""
    if isinstance(error, OverflowError):
        return KmipError(Cause.NUMERIC_RANGE, "a number has more than 64 bits")
    state = getattr(error, "sqlstate", None)
    if state is None:
        if isinstance(error, psycopg.DataError):  # the driver refused before the database saw anything: a zero byte
            return KmipError(Cause.INVALID_FIELD, "a text may not contain the character U+0000")
        return StoreUnavailable()
    if state in OVERTAKEN:
        return StoreConflict()
    if isinstance(error, psycopg.errors.UniqueViolation) and error.diag.constraint_name == SAME_NUMBER:
        return StoreConflict()
    if isinstance(error, psycopg.errors.ForeignKeyViolation) and error.diag.constraint_name == UNSEEN:
        return StoreConflict()
    if state == OUT_OF_RANGE:
        return KmipError(Cause.NUMERIC_RANGE, "a number has more than 64 bits")
    if isinstance(error, psycopg.errors.UniqueViolation) and error.diag.constraint_name in UNIQUE:
        cause, message = UNIQUE[error.diag.constraint_name]
        return KmipError(cause, message)
    if state[:2] in REFUSED:
        return KmipError(Cause.GENERAL_FAILURE, "the object store refused a value")
    return StoreUnavailable()


class _Cursor:
    """A cursor that has no rows where there are none to have; psycopg's own raises."""

    __slots__ = ("_cursor", "execute", "executemany")

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor
        self.execute = cursor.execute
        self.executemany = cursor.executemany

    def fetchall(self) -> list[Any]:
        return self._cursor.fetchall() if self._cursor.description is not None else []


class PostgreSQLStore:
    """`domain.ports.Store` on a connection string (libpq's words or URL). Open it after the fork; any thread uses it."""

    def __init__(self, conninfo: str) -> None:
        """Connect, and make or upgrade the tables. Raises ConfigError with the mend; it never shows the password."""
        self._conninfo = conninfo
        self._dialect = dialects.dialect(paramstyle="format")  # type: ignore[no-untyped-call]
        self._statements = compile_statements(self._dialect)
        self._seal: RecordSeal | None = None
        self._known_keys: dict[tuple[str, str, str], int] = {}
        self._idle: list[tuple[psycopg.Connection[Any], Database]] = []
        self._lock = threading.Lock()
        self._process = os.getpid()
        engine = create_engine(
            "postgresql+psycopg://", creator=self._connect, poolclass=NullPool, isolation_level="AUTOCOMMIT"
        )
        try:
            upgrade(engine)
        except (psycopg.Error, SQLAlchemyError) as error:
            raise ConfigError(
                f"the PostgreSQL database cannot be opened ({type(error).__name__}): check that it runs, its address, the "
                "user and the password"
            ) from error
        finally:
            engine.dispose()

    def work(self) -> AbstractContextManager[Work]:
        """See `domain.ports.Store`. Raises StoreConflict, StoreUnavailable."""
        return _Unit(self)

    def authenticate(self, key: bytes) -> None:
        """See `domain.ports.Store`."""
        with self._lock:
            self._seal = RecordSeal(key)
            for _, database in self._idle:
                database.seal = self._seal

    def holds_objects(self) -> bool:
        """See `domain.ports.Store`."""
        with _Unit(self) as work:
            return work.holds_objects()

    def close(self) -> None:
        """See `domain.ports.Store`."""
        with self._lock:
            for connection, _ in self._idle:
                connection.close()
            self._idle.clear()

    def _connect(self) -> psycopg.Connection[Any]:
        options = " ".join(f"-c {name}={value}" for name, value in SESSION.items())
        return psycopg.connect(
            self._conninfo,
            autocommit=True,  # work.py says BEGIN and COMMIT itself
            connect_timeout=CONNECT_TIMEOUT,
            options=options,
            application_name="kmipsrv",
        )

    def _take(self) -> tuple[psycopg.Connection[Any], Database]:
        if self._process != os.getpid():
            raise RuntimeError("a database connection does not survive a fork: open the store after it")
        with self._lock:
            if self._idle:
                return self._idle.pop()
        try:
            connection = self._connect()
        except psycopg.Error as error:
            raise StoreUnavailable from error
        status = connection.info
        cursor = connection.cursor()
        database = Database(
            cursor=_Cursor(cursor),
            dialect=self._dialect,
            statements=self._statements,
            errors=(psycopg.Error, OverflowError),
            begin_reading=BEGIN,
            begin_writing=BEGIN,
            upgrade=False,
            stands=lambda: status.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR),
            committed=lambda: cursor.statusmessage == "COMMIT",
            translate=translate,
            seal=self._seal,
            known_keys=self._known_keys,
        )
        return connection, database

    def _give_back(self, connection: psycopg.Connection[Any], database: Database) -> None:
        if connection.closed or connection.info.transaction_status != TransactionStatus.IDLE:
            connection.close()
            return
        with self._lock:
            self._idle.append((connection, database))


class _Unit:
    """`with store.work() as work`."""

    __slots__ = ("_connection", "_database", "_store", "_work")

    def __init__(self, store: PostgreSQLStore) -> None:
        self._store = store

    def __enter__(self) -> SqlWork:
        self._connection, self._database = self._store._take()
        self._work = SqlWork(self._database)
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
            self._store._give_back(self._connection, self._database)
