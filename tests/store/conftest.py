"""Stores to test with, and objects to put in. PostgreSQL is Debian's, started here on a socket of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from kmipsrv.domain.ports import Store, StoredObject
from kmipsrv.store.postgresql import PostgreSQLStore
from kmipsrv.store.sqlite import SQLiteStore

OWNER = "CN=owner"
RECORDS_KEY = bytes(32)


def make(unique_identifier: str, owner: str = OWNER, **given: Any) -> StoredObject:
    """A small object; `given` are further fields."""
    fields: dict[str, Any] = {"object_type": 2, "tenant": "tenant", "attributes": b"attributes", "initial_date": 1000}
    return StoredObject(unique_identifier=unique_identifier, owner=owner, **fields | given)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "objects.db"


@pytest.fixture
def store(path: Path) -> Iterator[SQLiteStore]:
    opened = SQLiteStore(path)
    opened.authenticate(RECORDS_KEY)
    yield opened
    opened.close()


def _program(name: str) -> str | None:
    found = shutil.which(name) or next(map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{name}")), None)
    return found and str(Path(found).resolve())


@pytest.fixture(scope="session")
def cluster() -> Iterator[Path]:
    """The folder of a running server's socket. Only sockets in that folder are listened on."""
    initdb, postgres = _program("initdb"), _program("postgres")
    if initdb is None or postgres is None:
        pytest.skip("PostgreSQL is not installed (Debian: postgresql): its store is not tested")
    user = None
    if os.geteuid() == 0:  # PostgreSQL does not run as root
        try:
            user = pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("there is no user 'postgres' to run PostgreSQL as: its store is not tested")
    folder = Path(tempfile.mkdtemp(prefix="kmipsrv-pg-"))
    try:
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
        name = user and user.pw_name
        data = folder / "data"
        subprocess.run(
            [initdb, "--no-sync", "-A", "trust", "-U", "kmipsrv", "-E", "UTF8", "-D", data],
            check=True,
            user=name,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            timeout=60,
        )
        arguments: list[str | Path] = [postgres, "-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"]
        with (folder.parent / f"{folder.name}.log").open("wb") as log:
            process = subprocess.Popen(arguments, user=name, cwd=folder, stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(host=str(folder), user="kmipsrv", dbname="postgres").close()
                break
            except psycopg.OperationalError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield folder
        process.terminate()
        process.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        (folder.parent / f"{folder.name}.log").unlink(missing_ok=True)


@pytest.fixture
def conninfo(cluster: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database of its own for each test."""
    name = f"test_{os.getpid()}_{time.monotonic_ns()}"
    with psycopg.connect(host=str(cluster), user="kmipsrv", dbname="postgres", autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}"')  # type: ignore[call-overload,arg-type,unused-ignore]
        yield f"host={cluster} user=kmipsrv dbname={name}"
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')  # type: ignore[call-overload,arg-type,unused-ignore]


@pytest.fixture
def postgresql(conninfo: str) -> Iterator[PostgreSQLStore]:
    opened = PostgreSQLStore(conninfo)
    opened.authenticate(RECORDS_KEY)
    yield opened
    opened.close()


@pytest.fixture(params=["store", "postgresql"], ids=["sqlite", "postgresql"])
def any_store(request: pytest.FixtureRequest) -> Store:
    """Each kind of store: what holds here holds for both."""
    found: Store = request.getfixturevalue(request.param)
    return found
