"""One transaction (`domain.ports.Work`), the same for every database.

Rule 1. Nothing is begun before it is needed: the first statement begins reading, the first write begins writing, and a
savepoint reaches the database only when something is written inside it. A group of reads issues none.

Rule 2. When a transaction turns from reading to writing, a database with snapshots would refuse it if another process has
written since. So reading ends there and writing begins anew. What was read before may have changed in between: that is what
an object's revision tells, which `update` and `purge` compare.

Rule 3. What is written inside `lasting` outlives the savepoints around it: after a rollback to one it is written again.

Rule 4. After an error of the database nobody believes that the transaction still stands. One that is gone, or may be, is
broken: every further call and its end raise `StoreUnavailable`, so that no half of a group is ever committed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from sqlalchemy import Dialect

from kmipsrv.domain.ports import StoredObject
from kmipsrv.domain.records import NOT_AUTHENTICATED, RecordSeal
from kmipsrv.domain.search import Expression
from kmipsrv.errors import KmipError, StoreConflict, StoreUnavailable
from kmipsrv.store.locate import INTEGERS, search
from kmipsrv.store.statements import (
    Statements,
    changed_values,
    identity_values,
    index_values,
    inserted_values,
)

IDLE, READING, WRITING, BROKEN = range(4)

MAX_KNOWN_KEYS: Final = 100_000  # interned keys that a process remembers


class Cursor(Protocol):
    """What is used of a driver's cursor (PEP 249)."""

    def execute(self, sql: str, parameters: Any = ...) -> Any: ...

    def executemany(self, sql: str, parameters: Any) -> Any: ...

    def fetchall(self) -> list[Any]: ...


@dataclass(slots=True)
class Database:
    """One connection and what differs between databases."""

    cursor: Cursor
    dialect: Dialect
    statements: Statements
    errors: tuple[type[Exception], ...]  # all that the driver raises
    begin_reading: str
    begin_writing: str
    upgrade: bool  # whether a reading transaction must end before writing begins
    stands: Callable[[], bool]  # whether a transaction is open still
    committed: Callable[[], bool]  # whether the COMMIT just executed was one: PostgreSQL may answer with a rollback
    translate: Callable[[Exception], KmipError]
    seal: RecordSeal | None = None  # of records; None until `Store.authenticate`
    known_keys: dict[tuple[str, str, str], int] = field(default_factory=dict)  # interned and committed


class SqlWork:
    """See `domain.ports.Work`. Entered and left by its store."""

    __slots__ = ("_database", "_interned", "_lasts", "_mode", "_outlive", "_savepoints", "_statements")

    def __init__(self, database: Database) -> None:
        self._database = database
        self._statements = database.statements
        self._mode = IDLE
        self._savepoints: list[_Savepoint] = []
        self._interned: dict[tuple[str, str, str], int] = {}
        self._lasts = False  # whether we are inside `lasting`
        self._outlive: list[tuple[str, Sequence[Any]]] = []  # what was written there

    # -- the transaction --

    def commit(self) -> None:
        """Make it durable. Raises StoreUnavailable when that failed or an earlier error broke the transaction."""
        if self._mode == BROKEN:
            self.roll_back()
            raise StoreUnavailable
        if self._mode != IDLE:
            try:
                self._database.cursor.execute("COMMIT")
            except self._database.errors as error:
                result = self._database.translate(error)
                self.roll_back()
                raise result if isinstance(result, StoreUnavailable) else StoreUnavailable() from error
            if not self._database.committed():
                self._mode = BROKEN
                raise StoreUnavailable
            if self._interned:
                known = self._database.known_keys
                if len(known) + len(self._interned) > MAX_KNOWN_KEYS:
                    known.clear()
                known.update(self._interned)
        self._mode = IDLE

    def roll_back(self) -> None:
        """Undo everything. Never raises: where the database cannot answer it has undone everything itself."""
        if self._mode != IDLE:
            try:
                if self._mode != BROKEN or self._database.stands():
                    self._database.cursor.execute("ROLLBACK")
            except self._database.errors:
                pass
        self._mode = BROKEN

    def savepoint(self) -> AbstractContextManager[None]:
        """See `domain.ports.Work`."""
        return _Savepoint(self)

    @contextmanager
    def lasting(self) -> Iterator[None]:
        """See `domain.ports.Work` (rule 3)."""
        before, self._lasts = self._lasts, True
        try:
            yield
        finally:
            self._lasts = before

    def lock(self) -> None:
        """See `domain.ports.Work`."""
        try:
            self._begin_writing()
        except self._database.errors as error:
            raise self._translated(error) from error

    # -- objects --

    def find(self, owner: str, unique_identifier: str) -> StoredObject | None:
        """See `domain.ports.Work`."""
        rows = self._read(self._statements.find, (owner, unique_identifier))
        return StoredObject(*rows[0]) if rows else None

    def insert(self, obj: StoredObject) -> None:
        """See `domain.ports.Work`. After an error the savepoint around it must be left by the exception."""
        rows = self._write(self._statements.insert, inserted_values(obj))
        obj.key = rows[0][0]
        self._add_index(obj)

    def update(self, obj: StoredObject, *, index: bool) -> None:
        """See `domain.ports.Work`. Raises StoreConflict when the row is not what `find` had read."""
        given = (*changed_values(obj), obj.revision + 1, obj.key, obj.revision, *identity_values(obj))
        if not self._write(self._statements.update, given):
            raise self._conflict()
        obj.revision += 1
        if index:
            self._write(self._statements.clear_index, (obj.key,))
            self._write(self._statements.clear_names, (obj.key,))
            self._add_index(obj)

    def purge(self, obj: StoredObject) -> None:
        """See `domain.ports.Work`. Raises StoreConflict when the row is not what `find` had read."""
        if not self._write(self._statements.purge, (obj.key, obj.revision)):
            raise self._conflict()

    def holds_objects(self) -> bool:
        """See `domain.ports.Store`."""
        return bool(self._read(self._statements.any_object, ())[0][0])

    def named(self, owner: str, name: str) -> str | None:
        """See `domain.ports.Work`."""
        rows = self._read(self._statements.named, (owner, name))
        return rows[0][0] if rows else None

    # -- searches --

    def locate(self, owner: str, where: Expression, offset: int, limit: int | None) -> tuple[int, list[str]]:
        """See `domain.ports.Work`."""
        statements, values = search(self._database.dialect, owner, where)
        values["offset"] = offset = min(max(offset, 0), INTEGERS[-1])
        values["limit"] = INTEGERS[-1] if limit is None else min(limit, INTEGERS[-1])
        found: list[str] = []
        if values["limit"] > 0:
            found = [row[0] for row in self._read(statements.page.sql, statements.page.bind(values))]
            if (found or not offset) and len(found) < values["limit"]:
                return offset + len(found), found  # the last page tells how many there are
        return self._read(statements.total.sql, statements.total.bind(values))[0][0], found

    def scan(self, owner: str, where: Expression) -> Iterator[StoredObject]:
        """See `domain.ports.Work`. Only keys are fetched at once, so that the caller may write between two objects."""
        statements, values = search(self._database.dialect, owner, where)
        for parameters in self._read(statements.keys.sql, statements.keys.bind(values)):
            rows = self._read(self._statements.find_key, parameters)
            if rows:
                yield StoredObject(*rows[0])

    # -- records --

    def read(self, kind: str, key: str) -> bytes | None:
        """See `domain.ports.Work`."""
        rows = self._read(self._statements.read, (kind, key))
        return self._opened(kind, key, rows[0][1], rows[0][0]) if rows else None

    def write(self, kind: str, key: str, value: bytes, *, owner: str = "", expires: int | None = None) -> None:
        """See `domain.ports.Work`: a record that is there is replaced."""
        self._write(self._statements.write, (kind, key, owner, self._sealed(kind, key, owner, value), expires))

    def remove(self, kind: str, key: str) -> bool:
        """See `domain.ports.Work`: -> whether it was there."""
        return bool(self._write(self._statements.remove, (kind, key)))

    def records(self, kind: str, owner: str) -> Sequence[tuple[str, bytes]]:
        """See `domain.ports.Work`: (key, value), by key."""
        rows = self._read(self._statements.records, (kind, owner))
        return [(key, self._opened(kind, key, owner, value)) for key, value in rows]

    def holds(self, kind: str) -> bool:
        """See `domain.ports.Work`."""
        return bool(self._read(self._statements.holds, (kind,))[0][0])

    def add(self, kind: str, key: str, value: bytes, *, owner: str = "", expires: int | None = None) -> bool:
        """See `domain.ports.Work`: -> whether it is new."""
        return bool(
            self._write(self._statements.add, (kind, key, owner, self._sealed(kind, key, owner, value), expires))
        )

    def expire(self, now: int) -> None:
        """Remove the records whose time has passed."""
        self._write(self._statements.expire, (now,))

    # -- the audit trail --

    def audit_head(self) -> tuple[int, bytes]:
        """See `domain.ports.Work`."""
        rows = self._read(self._statements.audit_head, ())
        return (int(rows[0][0]), _octets(rows[0][1])) if rows else (0, b"")

    def append_audit(self, number: int, body: bytes, digest: bytes) -> None:
        """See `domain.ports.Work`."""
        with self.lasting():
            self._write(self._statements.append_audit, (number, body, digest))

    def audit(self, after: int, last: int) -> Sequence[tuple[int, bytes, bytes]]:
        """See `domain.ports.Work`."""
        rows = self._read(self._statements.audit, (after, last))
        return [(int(number), _octets(body), _octets(digest)) for number, body, digest in rows]

    # -- inside --

    def _sealed(self, kind: str, key: str, owner: str, value: bytes) -> bytes:
        return value if kind in NOT_AUTHENTICATED else self._seal(kind).make(kind, key, owner, value)

    def _opened(self, kind: str, key: str, owner: str, stored: bytes) -> bytes:
        return stored if kind in NOT_AUTHENTICATED else self._seal(kind).open(kind, key, owner, stored)

    def _seal(self, kind: str) -> RecordSeal:
        if self._database.seal is None:
            raise RuntimeError(
                f"records of the kind {kind!r} need the key that authenticates them: see Store.authenticate"
            )
        return self._database.seal

    def _add_index(self, obj: StoredObject) -> None:
        assert obj.key is not None
        if obj.index:
            rows = [
                index_values(obj.key, position, self._intern(obj.owner, row.key, row.path), row.instance, row.value)
                for position, row in enumerate(obj.index)
            ]
            self._write_many(self._statements.add_index, rows)
        if obj.names:
            self._write_many(self._statements.add_name, [(obj.owner, name, obj.key) for name in obj.names])

    def _intern(self, owner: str, key: str, path: str) -> int:
        triple = (owner, key, path)
        number = self._database.known_keys.get(triple) or self._interned.get(triple)
        if number is None:
            rows = self._read(self._statements.interned, triple)
            if not rows:
                self._write(self._statements.intern, triple)
                rows = self._read(self._statements.interned, triple)
            number = self._interned[triple] = int(rows[0][0])
        return number

    def _read(self, sql: str, parameters: Sequence[Any]) -> list[Any]:
        database = self._database
        try:
            if self._mode == IDLE:
                database.cursor.execute(database.begin_reading)
                self._mode = READING
            elif self._mode == BROKEN:
                raise StoreUnavailable
            database.cursor.execute(sql, parameters)
            return database.cursor.fetchall()
        except database.errors as error:
            raise self._translated(error) from error

    def _write(self, sql: str, parameters: Sequence[Any]) -> list[Any]:
        """-> the rows of a RETURNING clause."""
        database = self._database
        try:
            self._begin_writing()
            database.cursor.execute(sql, parameters)
            rows = database.cursor.fetchall()
            if self._lasts:
                self._outlive.append((sql, parameters))
            return rows
        except database.errors as error:
            raise self._translated(error) from error

    def _write_many(self, sql: str, parameters: Sequence[Sequence[Any]]) -> None:
        database = self._database
        try:
            self._begin_writing()
            database.cursor.executemany(sql, parameters)
        except database.errors as error:
            raise self._translated(error) from error

    def _begin_writing(self) -> None:
        """Rules 1 and 2. Raises the driver's errors."""
        if self._mode == BROKEN:
            raise StoreUnavailable
        database = self._database
        if self._mode != WRITING:
            if self._mode == READING and database.upgrade:
                database.cursor.execute("COMMIT")
                self._mode = IDLE
            if self._mode == IDLE:
                database.cursor.execute(database.begin_writing)
            self._mode = WRITING
        for depth, savepoint in enumerate(self._savepoints):
            if not savepoint.set:
                database.cursor.execute(f"SAVEPOINT s{depth}")
                savepoint.set = True

    def _leave(self, savepoint: _Savepoint, failed: bool) -> None:
        self._savepoints.pop()
        if self._mode == BROKEN and not failed:
            raise StoreUnavailable
        if not savepoint.set or self._mode == BROKEN:
            return
        name = f"s{len(self._savepoints)}"
        try:
            if failed:
                self._interned.clear()  # what was interned inside is gone, and asking again costs little
                self._database.cursor.execute(f"ROLLBACK TO SAVEPOINT {name}")
            self._database.cursor.execute(f"RELEASE SAVEPOINT {name}")
            if failed:
                for sql, parameters in self._outlive[savepoint.outlived :]:
                    self._database.cursor.execute(sql, parameters)
                    self._database.cursor.fetchall()
        except self._database.errors as error:
            raise self._translated(error) from error

    def _translated(self, error: Exception) -> KmipError:
        """Rule 4, and the driver's table."""
        result = self._database.translate(error)
        if isinstance(result, StoreUnavailable) or (self._mode != IDLE and not self._database.stands()):
            self.roll_back()
            return result if isinstance(result, StoreUnavailable) else StoreUnavailable()
        return result

    def _conflict(self) -> KmipError:
        self.roll_back()
        return StoreConflict()


def _octets(value: Any) -> bytes:
    """The octets of a value that was written as octets; whoever wrote something else there did not write that."""
    return bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode("utf-8", "replace")


class _Savepoint:
    """One frame of the stack; `set` once the database knows it."""

    __slots__ = ("_work", "outlived", "set")

    def __init__(self, work: SqlWork) -> None:
        self._work = work
        self.set = False
        self.outlived = len(work._outlive)

    def __enter__(self) -> None:
        self._work._savepoints.append(self)

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._work._leave(self, failed=kind is not None)
