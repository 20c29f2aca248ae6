"""The schema. Unique identifiers are for the outside; inside, rows hang on integer keys.

`objects` holds in one row all that Get needs. `object_index` holds what no column does (custom, structured and repeated
attributes), typed so that ranges work and one row for each leaf of each instance; the attribute is an integer from
`attribute_keys`, which is made for each owner anew: so an index entry belongs to one owner without saying so, and no search
looks through another owner's rows. `object_names` keeps Names unique for each owner and frees them by itself.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

KEY: Final = BigInteger().with_variant(Integer(), "sqlite")  # SQLite makes row ids of INTEGER PRIMARY KEY only

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

# The columns stand in the order of the fields of `domain.ports.StoredObject`, where `id` is its field `key`.
objects = Table(
    "objects",
    metadata,
    Column("unique_identifier", Text, nullable=False),
    Column("object_type", BigInteger, nullable=False),
    Column("owner", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("attributes", LargeBinary, nullable=False),
    Column("sealed", LargeBinary),
    Column("policy", Text, nullable=False),
    Column("flags", BigInteger, nullable=False),
    Column("cryptographic_algorithm", BigInteger),
    Column("cryptographic_length", BigInteger),
    Column("cryptographic_usage_mask", BigInteger),
    Column("initial_date", BigInteger),
    Column("activation_date", BigInteger),
    Column("process_start_date", BigInteger),
    Column("protect_stop_date", BigInteger),
    Column("deactivation_date", BigInteger),
    Column("compromise_date", BigInteger),
    Column("destroy_date", BigInteger),
    Column("archive_date", BigInteger),
    Column("last_change_date", BigInteger),
    Column("id", KEY, primary_key=True),
    Column("revision", BigInteger, nullable=False),
    UniqueConstraint("owner", "unique_identifier"),
)

Index("ix_objects_newest", objects.c.owner, objects.c.initial_date.desc(), objects.c.id.desc())

attribute_keys = Table(
    "attribute_keys",
    metadata,
    Column("id", KEY, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("path", Text, nullable=False),
    UniqueConstraint("owner", "key", "path"),
)

object_index = Table(
    "object_index",
    metadata,
    Column("object", KEY, ForeignKey("objects.id", ondelete="CASCADE"), primary_key=True),
    Column("position", KEY, primary_key=True),  # the row's number within its object
    Column("key", KEY, ForeignKey("attribute_keys.id"), nullable=False),
    Column("instance", BigInteger, nullable=False),
    Column("text", Text),
    Column("number", BigInteger),
    Column("blob", LargeBinary),
    sqlite_with_rowid=False,
)

# One index for each type of value, with its own rows only; `object` and `instance` make it answer without the table.
for _type in ("text", "number", "blob"):
    _given = object_index.c[_type].is_not(None)
    Index(
        f"ix_object_index_{_type}",
        object_index.c.key,
        object_index.c[_type],
        object_index.c.object,
        object_index.c.instance,
        sqlite_where=_given,
        postgresql_where=_given,
    )

object_names = Table(
    "object_names",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("object", KEY, ForeignKey("objects.id", ondelete="CASCADE"), nullable=False, index=True),
    sqlite_with_rowid=False,
)

# The audit trail: numbered without a gap, each row bound to the one before it (audit/chain.py). Nothing updates or deletes it.
audit = Table(
    "audit",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)

records = Table(
    "records",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("value", LargeBinary, nullable=False),
    Column("expires", BigInteger),
    Index("ix_records_kind_owner", "kind", "owner"),
    sqlite_with_rowid=False,
)
