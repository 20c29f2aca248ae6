"""Fixtures that every test may use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kmipsrv.domain.ports import Keyring
from kmipsrv.engine.engine import Engine
from kmipsrv.keyring import provision
from tests.harness import Client, Clock, make_engine

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of conformance material beside the checkout; tests that need it are skipped where it is absent."""
    folder = ROOT.parent / "shared"
    if not (folder / "README.md").exists():
        pytest.skip("the conformance material (../shared) is not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def keyring(tmp_path_factory: pytest.TempPathFactory) -> Keyring:
    """The envelope on a SoftHSM token of this test run."""
    made = provision.initialise(tmp_path_factory.mktemp("token"))
    return provision.open_keyring(made.settings)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def engine(tmp_path: Path, keyring: Keyring, clock: Clock) -> Iterator[Engine]:
    """An engine with default settings on an empty store."""
    made = make_engine(tmp_path, keyring, clock)
    yield made
    made.store.close()


@pytest.fixture
def client(engine: Engine) -> Client:
    return Client(engine)
