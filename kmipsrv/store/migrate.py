"""Bring a database to the schema that this code knows; Alembic's revisions are package data beside this file.

A fresh database is made, an older one is upgraded in one transaction, one that a newer version has made is refused with what
to do. In the usual case, where nothing is to be done, one SELECT finds that out and Alembic is not even imported.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, inspect, text

from kmipsrv.errors import ConfigError

MIGRATIONS: Final = Path(__file__).parent / "migrations"
HEAD: Final = "0002"
"""The newest revision in `migrations/versions`; a test compares."""

BEGIN: Final = {"sqlite": "BEGIN IMMEDIATE", "postgresql": "BEGIN"}
LOCK: Final = {"postgresql": "SELECT pg_advisory_xact_lock(5696)"}  # processes that start together upgrade one by one


def upgrade(engine: Engine) -> None:
    """Make or upgrade the schema. Raises ConfigError when the database is newer than the code or another program's."""
    with engine.connect() as connection:
        if revision(connection) == HEAD:
            return
        connection.exec_driver_sql(BEGIN[engine.dialect.name])
        try:
            if lock := LOCK.get(engine.dialect.name):
                connection.exec_driver_sql(lock)
            _upgrade(connection)
        except BaseException:
            connection.exec_driver_sql("ROLLBACK")
            raise
        connection.exec_driver_sql("COMMIT")


def revision(connection: Connection) -> str | None:
    """The revision that the database is at; None for one without any table of ours."""
    inspector = inspect(connection)
    if not inspector.has_table("alembic_version"):
        if inspector.get_table_names():
            raise ConfigError("the database holds another program's tables: give kmipsrv a database of its own")
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from alembic.util.exc import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    at = revision(connection)
    if at == HEAD:  # another process was first
        return
    if at is not None:
        try:
            ScriptDirectory.from_config(config).get_revision(at)
        except CommandError as error:
            raise ConfigError(
                f"the database is at revision {at}, which is newer than this version of kmipsrv ({HEAD}): install the "
                "version that wrote it, or restore the backup made before the upgrade"
            ) from error
    command.upgrade(config, "head")
