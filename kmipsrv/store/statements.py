"""The statements that every request uses, written with SQLAlchemy Core and compiled once for a database.

What comes out is SQL text with positional parameters for the driver itself: a call costs the driver's time only. Each row
here says the order of its parameters, and the compiler's own order is compared with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, Final

from sqlalchemy import BindParameter, Dialect, bindparam, delete, exists, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.expression import Executable

from kmipsrv.domain.ports import StoredObject
from kmipsrv.store.tables import attribute_keys, audit, object_index, object_names, objects, records

COLUMN_OF_FIELD: Final = {
    field.name: objects.c["id" if field.name == "key" else field.name]
    for field in fields(StoredObject)
    if field.name not in ("index", "names")
}
"""Fields of StoredObject, in their order, and where they lie."""

ROW: Final = tuple(COLUMN_OF_FIELD.values())  # select these, and StoredObject(*row) is the object

INSERTED: Final = tuple(name for name in COLUMN_OF_FIELD if name != "key")
IDENTITY: Final = ("unique_identifier", "object_type", "owner", "tenant")  # never change
CHANGED: Final = tuple(name for name in INSERTED if name not in IDENTITY and name != "revision")

RECORD: Final = ("kind", "key", "owner", "value", "expires")

inserted_values = attrgetter(*INSERTED)
changed_values = attrgetter(*CHANGED)
identity_values = attrgetter(*IDENTITY)


@dataclass(frozen=True, slots=True)
class Statements:
    """SQL text for one database. The comment is the order of the parameters."""

    find: str  # owner, unique_identifier
    find_key: str  # id
    insert: str  # INSERTED -> id
    update: str  # CHANGED, revision + 1, id, revision, IDENTITY -> id
    purge: str  # id, revision -> id
    any_object: str
    add_index: str  # object, position, key, instance, text, number, blob
    clear_index: str  # object
    add_name: str  # owner, name, object
    clear_names: str  # object
    named: str  # owner, name
    intern: str  # owner, key, path
    interned: str  # owner, key, path -> id
    read: str  # kind, key
    write: str  # kind, key, owner, value, expires
    remove: str  # kind, key -> key
    records: str  # kind, owner
    holds: str  # kind
    expire: str  # now
    add: str  # kind, key, owner, value, expires -> key
    audit_head: str
    append_audit: str  # number, body, hash
    audit: str  # after, last


def compile_statements(dialect: Dialect) -> Statements:
    """Compile all of them for a dialect whose parameters are positional."""
    insert = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}[dialect.name]
    o, n, r, k, a = objects.c, object_names.c, records.c, attribute_keys.c, audit.c
    p = bindparam

    def compiled(statement: Executable, *order: str) -> str:
        result = statement.compile(dialect=dialect)  # type: ignore[attr-defined]
        if tuple(result.positiontup or ()) != order:
            raise AssertionError(f"{result} takes {result.positiontup}, not {order}")
        return str(result)

    def into(table: Any, *names: str) -> Any:
        return insert(table).values({name: p(name) for name in names})

    write = into(records, *RECORD)
    new: dict[str, BindParameter[Any]] = {name: p("new_" + name) for name in (*CHANGED, "revision")}
    unchanged = [objects.c[name] == p("old_" + name) for name in ("id", "revision", *IDENTITY)]
    return Statements(
        find=compiled(
            select(*ROW).where(o.owner == p("owner"), o.unique_identifier == p("unique_identifier")),
            "owner",
            "unique_identifier",
        ),
        find_key=compiled(select(*ROW).where(o.id == p("id")), "id"),
        insert=compiled(into(objects, *INSERTED).returning(o.id), *INSERTED),
        update=compiled(
            update(objects).values(new).where(*unchanged).returning(o.id),
            *(bind.key for bind in new.values()),
            *("old_" + name for name in ("id", "revision", *IDENTITY)),
        ),
        any_object=compiled(select(exists(select(objects.c.id)))),
        purge=compiled(
            delete(objects).where(o.id == p("id"), o.revision == p("revision")).returning(o.id), "id", "revision"
        ),
        add_index=compiled(into(object_index, *INDEX_ROW), *INDEX_ROW),
        clear_index=compiled(delete(object_index).where(object_index.c.object == p("object")), "object"),
        add_name=compiled(into(object_names, "owner", "name", "object"), "owner", "name", "object"),
        clear_names=compiled(delete(object_names).where(n.object == p("object")), "object"),
        named=compiled(
            select(o.unique_identifier)
            .join_from(object_names, objects, n.object == o.id)
            .where(n.owner == p("owner"), n.name == p("name")),
            "owner",
            "name",
        ),
        intern=compiled(into(attribute_keys, "owner", "key", "path").on_conflict_do_nothing(), "owner", "key", "path"),
        interned=compiled(
            select(k.id).where(k.owner == p("owner"), k.key == p("key"), k.path == p("path")), "owner", "key", "path"
        ),
        read=compiled(select(r.value, r.owner).where(r.kind == p("kind"), r.key == p("key")), "kind", "key"),
        write=compiled(
            write.on_conflict_do_update(
                index_elements=["kind", "key"],
                set_={name: write.excluded[name] for name in ("owner", "value", "expires")},
            ),
            *RECORD,
        ),
        remove=compiled(delete(records).where(r.kind == p("kind"), r.key == p("key")).returning(r.key), "kind", "key"),
        records=compiled(
            select(r.key, r.value).where(r.kind == p("kind"), r.owner == p("owner")).order_by(r.key), "kind", "owner"
        ),
        holds=compiled(select(exists(select(r.key).where(r.kind == p("kind")))), "kind"),
        expire=compiled(delete(records).where(r.expires <= p("now")), "now"),
        add=compiled(into(records, *RECORD).on_conflict_do_nothing().returning(r.key), *RECORD),
        audit_head=compiled(select(a.number, a.hash).where(a.number == select(func.max(a.number)).scalar_subquery())),
        append_audit=compiled(into(audit, "number", "body", "hash"), "number", "body", "hash"),
        audit=compiled(
            select(a.number, a.body, a.hash).where(a.number > p("after"), a.number <= p("last")).order_by(a.number),
            "after",
            "last",
        ),
    )


INDEX_ROW: Final = ("object", "position", "key", "instance", "text", "number", "blob")


def index_values(object_key: int, position: int, key: int, instance: int, value: int | str | bytes) -> Sequence[Any]:
    """The parameters of `add_index`, the value in the column of its type."""
    if isinstance(value, str):
        return object_key, position, key, instance, value, None, None
    if isinstance(value, bytes):
        return object_key, position, key, instance, None, None, value
    return object_key, position, key, instance, None, int(value), None
