"""Fixtures of the edge's tests."""

from __future__ import annotations

import pytest

from tests.server.harness import World
from tests.server.pki import Certified


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def alice(world: World) -> Certified:
    return world.ca.issue("CN=alice")


@pytest.fixture(scope="session")
def bob(world: World) -> Certified:
    return world.ca.issue("CN=bob")
