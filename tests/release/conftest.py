"""Engines behind a gate. Properties are judged by what they find, not by how busy the machine is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from kmipsrv.domain.ports import Keyring
from tests.attested import START, gated_engines
from tests.harness import Client, Clock

settings.register_profile("release", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("release")


@pytest.fixture
def clock() -> Clock:
    return Clock(START)


@pytest.fixture
def start(tmp_path: Path, keyring: Keyring, clock: Clock) -> Iterator[Callable[..., Client]]:
    with gated_engines(tmp_path, keyring, clock) as started:
        yield started


@pytest.fixture
def client(start: Callable[..., Client]) -> Client:
    return start()
