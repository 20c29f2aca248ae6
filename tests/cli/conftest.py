"""Running the command line in this process, and one state directory that tests may look at but not change."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from kmipsrv.cli.main import run


class Run(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


Runner = Callable[..., Run]


@pytest.fixture
def kmipsrv(capfd: pytest.CaptureFixture[str]) -> Iterator[Runner]:
    """`kmipsrv("init", path)`: run a command; the umask, which commands change, is put back."""
    umask = os.umask(0o022)

    def runner(*arguments: object) -> Run:
        code = run([str(argument) for argument in arguments])
        return Run(code, *capfd.readouterr())

    yield runner
    os.umask(umask)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory from `kmipsrv init`, on a real SoftHSM token. Read only: it is everybody's."""
    directory = tmp_path_factory.mktemp("made") / "state"
    umask = os.umask(0o022)
    try:
        assert run(["init", str(directory)]) == 0
    finally:
        os.umask(umask)
    return directory


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    """A copy of that directory, without its token, to break things in."""
    directory = tmp_path / "copy"
    directory.mkdir(mode=0o700)
    (directory / "certs").mkdir(mode=0o700)
    for file in [made / "kmipsrv.yaml", *(made / "certs").iterdir()]:
        target = directory / file.relative_to(made)
        target.write_bytes(file.read_bytes())
        target.chmod(0o600)
    return directory
