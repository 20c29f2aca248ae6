"""`kmipsrv rotate-master-key`, on a real SoftHSM token."""

from __future__ import annotations

from pathlib import Path

import pytest

from kmipsrv.app import keyring_settings
from kmipsrv.cli.doctor import Level, examine
from kmipsrv.config import load
from kmipsrv.errors import KmipError
from kmipsrv.keyring import provision
from kmipsrv.keyring.counter import FileCounter
from kmipsrv.keyring.envelope import Envelope, Record
from kmipsrv.keyring.master import MAX_SEALS
from tests.cli.conftest import Runner
from tests.cli.test_doctor import NOW, edit


@pytest.fixture
def state(tmp_path: Path, kmipsrv: Runner) -> Path:
    assert kmipsrv("init", tmp_path / "state").code == 0
    edit(tmp_path / "state", listen="127.0.0.1:0")
    return tmp_path / "state"


def opened(state: Path) -> Envelope:
    return provision.open_keyring(keyring_settings(load(state / "kmipsrv.yaml")))


def test_the_new_version_seals_and_the_old_one_opens(state: Path, kmipsrv: Runner) -> None:
    old = opened(state).check_record()
    run = kmipsrv("rotate-master-key", "-c", state / "kmipsrv.yaml")
    assert (run.code, "made version 2 of the master key" in run.out) == (0, True)
    keyring = opened(state)
    new = keyring.check_record()
    assert (Record.decode(old).version, Record.decode(new).version) == (1, 2)
    keyring.verify_check(old)
    keyring.verify_check(new)


def test_a_lost_seal_counter_begins_anew(state: Path, kmipsrv: Runner) -> None:
    """What had been sealed is unknown: the old version seals no more, not even in a server that still runs."""
    running = opened(state)
    old = running.check_record()
    (state / "token/seals").unlink()
    troubles = [one for one in examine(state / "kmipsrv.yaml", NOW) if one.level is not Level.GOOD]
    assert ["rotate-master-key" in one.mend for one in troubles] == [True]
    run = kmipsrv("rotate-master-key", "-c", state / "kmipsrv.yaml")
    assert (run.code, "which was missing" in run.out) == (0, True)
    assert FileCounter(state / "token/seals").reserved() == {1: MAX_SEALS}
    assert (state / "token/seals").stat().st_mode & 0o777 == 0o600
    with pytest.raises(KmipError, match="used up"):
        FileCounter(state / "token/seals").take(1)
    keyring = opened(state)
    assert Record.decode(keyring.check_record()).version == 2
    keyring.verify_check(old)
