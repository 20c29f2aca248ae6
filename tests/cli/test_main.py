"""The group: what is listed, what is loaded, and what a failure looks like."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kmipsrv import __version__
from kmipsrv.cli import main
from kmipsrv.identity.password import Passwords
from tests.cli.conftest import Runner


def test_version(kmipsrv: Runner) -> None:
    assert kmipsrv("--version") == (0, f"kmipsrv {__version__}\n", "")


def test_help_lists_the_commands_whose_modules_are_there(kmipsrv: Runner) -> None:
    text = kmipsrv("--help").out
    folder = Path(main.__file__).parent
    for name in main.COMMANDS:
        there = (folder / f"{name.replace('-', '_')}.py").exists()
        assert (f"  {name} " in text) is there
    assert kmipsrv("bogus").code == 2


def test_every_command_loads_and_explains_itself(kmipsrv: Runner) -> None:
    folder = Path(main.__file__).parent
    names = [name for name in main.COMMANDS if (folder / f"{name.replace('-', '_')}.py").exists()]
    assert len(names) >= 5
    for name in names:
        run = kmipsrv(name, "--help")
        assert run.code == 0
        assert f"kmipsrv {name}" in run.out


def test_the_version_loads_no_room() -> None:
    code = (
        "import sys; from kmipsrv.cli.main import run; code = run(['--version']);"
        "print(sorted(m for m in sys.modules if m.split('.')[0] in ('cryptography', 'sqlalchemy', 'pkcs11', 'yaml')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == f"kmipsrv {__version__}\n[]\n"


def test_a_failure_is_one_line(kmipsrv: Runner, tmp_path: Path) -> None:
    run = kmipsrv("doctor", "-c", tmp_path)
    assert run.code == 1
    run = kmipsrv("client-cert", "-c", tmp_path / "none.yaml", "a", "--out", tmp_path)
    assert run.code == 78
    assert run.err == (
        f"kmipsrv: {tmp_path}/none.yaml: cannot be read (No such file or directory); `kmipsrv init DIR` makes one\n"
    )


def test_an_unexpected_error_shows_no_text_of_its_own(
    kmipsrv: Runner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(_path: Path) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr("kmipsrv.cli.client_cert.load", broken)
    run = kmipsrv("client-cert", "-c", "x", "a", "--out", tmp_path)
    assert run.code == 1
    assert run.err.startswith("kmipsrv: unexpected error: RuntimeError at ")
    assert "secret" not in run.err
    assert len(run.err.splitlines()) == 1


def test_hash_password_makes_a_record_that_the_server_takes(kmipsrv: Runner) -> None:
    run = kmipsrv("hash-password", "--password", "password1")
    assert run.code == 0
    Passwords({"Fred": run.out.strip()}, b"s" * 32).check("Fred", "password1")
    assert "password1" not in run.out
