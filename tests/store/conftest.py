"""Stores to test with, and objects to put in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kmipsrv.domain.ports import StoredObject
from kmipsrv.store.sqlite import SQLiteStore

OWNER = "CN=owner"


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
    yield opened
    opened.close()
