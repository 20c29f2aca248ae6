"""A real SoftHSM2 token in a temporary directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from kmipsrv.domain.binding import Binding
from kmipsrv.domain.grant import Grant, Purpose
from kmipsrv.keyring.provision import KeyringSettings, initialise

BINDING = Binding("u1", 2, "tenant", "CN=owner", "policy", sensitive=True, extractable=False)


def grant(binding: Binding = BINDING, purpose: Purpose = Purpose.EXPORT) -> Grant:
    """What the gate would give for `binding`."""
    return Grant(binding.unique_identifier, binding.owner, purpose, binding.policy)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def settings(state: Path) -> KeyringSettings:
    return initialise(state).settings
