"""Alembic's environment: run the revisions on the connection, and in the transaction, of `store/migrate.py`."""

from __future__ import annotations

from alembic import context

from kmipsrv.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
