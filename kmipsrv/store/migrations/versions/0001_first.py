"""The first schema. A revision is history: it says the tables as they were, and `tables.py` what they are now."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
DATES = (
    "initial_date",
    "activation_date",
    "process_start_date",
    "protect_stop_date",
    "deactivation_date",
    "compromise_date",
    "destroy_date",
    "archive_date",
    "last_change_date",
)


def upgrade() -> None:
    objects = op.create_table(
        "objects",
        sa.Column("unique_identifier", sa.Text, nullable=False),
        sa.Column("object_type", sa.BigInteger, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("attributes", sa.LargeBinary, nullable=False),
        sa.Column("sealed", sa.LargeBinary),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("flags", sa.BigInteger, nullable=False),
        sa.Column("cryptographic_algorithm", sa.BigInteger),
        sa.Column("cryptographic_length", sa.BigInteger),
        sa.Column("cryptographic_usage_mask", sa.BigInteger),
        *(sa.Column(name, sa.BigInteger) for name in DATES),
        sa.Column("id", KEY),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_objects"),
        sa.UniqueConstraint("owner", "unique_identifier", name="uq_objects_owner_unique_identifier"),
    )
    op.create_index(
        "ix_objects_newest",
        "objects",
        [objects.c.owner, objects.c.initial_date.desc(), objects.c.id.desc()],
    )
    op.create_table(
        "attribute_keys",
        sa.Column("id", KEY),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_attribute_keys"),
        sa.UniqueConstraint("owner", "key", "path", name="uq_attribute_keys_owner_key_path"),
    )
    object_index = op.create_table(
        "object_index",
        sa.Column("object", KEY),
        sa.Column("position", KEY),
        sa.Column("key", KEY, nullable=False),
        sa.Column("instance", sa.BigInteger, nullable=False),
        sa.Column("text", sa.Text),
        sa.Column("number", sa.BigInteger),
        sa.Column("blob", sa.LargeBinary),
        sa.PrimaryKeyConstraint("object", "position", name="pk_object_index"),
        sa.ForeignKeyConstraint(["object"], ["objects.id"], name="fk_object_index_object", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["key"], ["attribute_keys.id"], name="fk_object_index_key"),
        sqlite_with_rowid=False,
    )
    for name in ("text", "number", "blob"):
        given = object_index.c[name].is_not(None)
        op.create_index(
            f"ix_object_index_{name}",
            "object_index",
            ["key", name, "object", "instance"],
            sqlite_where=given,
            postgresql_where=given,
        )
    op.create_table(
        "object_names",
        sa.Column("owner", sa.Text),
        sa.Column("name", sa.Text),
        sa.Column("object", KEY, nullable=False),
        sa.PrimaryKeyConstraint("owner", "name", name="pk_object_names"),
        sa.ForeignKeyConstraint(["object"], ["objects.id"], name="fk_object_names_object", ondelete="CASCADE"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_object_names_object", "object_names", ["object"])
    op.create_table(
        "records",
        sa.Column("kind", sa.Text),
        sa.Column("key", sa.Text),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sa.Column("expires", sa.BigInteger),
        sa.PrimaryKeyConstraint("kind", "key", name="pk_records"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_records_kind_owner", "records", ["kind", "owner"])
