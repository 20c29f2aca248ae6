"""The scripts: what is there already is not done again, and `scripts/serve` serves."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT

SCRIPTS = ROOT / "scripts"
SHELL = [path for path in SCRIPTS.iterdir() if path.is_file() and path.read_bytes().startswith(b"#!/bin/sh")]


@pytest.fixture(scope="session")
def set_up() -> None:
    if not (ROOT / ".venv/stamp-requirements-dev.txt").exists():
        pytest.skip("these tests look at an environment that scripts/setup --dev has made")


@pytest.mark.parametrize("script", [*SHELL, ROOT / ".ci/run"], ids=lambda path: path.name)
def test_the_shell_can_read_it(script: Path) -> None:
    shell = script.read_text("utf-8").splitlines()[0].rpartition("/")[2].split()[-1]
    subprocess.run([shell, "-n", script], check=True, timeout=10)
    assert script.stat().st_mode & 0o111


def test_setup_does_nothing_the_second_time(set_up: None) -> None:
    subprocess.run([SCRIPTS / "setup", "--dev"], check=True, timeout=100)
    started = time.monotonic()
    again = subprocess.run([SCRIPTS / "setup", "--dev"], check=True, timeout=60, capture_output=True, text=True)
    assert (again.stdout, again.stderr) == ("", "")
    assert time.monotonic() - started < 10
    plain = subprocess.run([SCRIPTS / "setup"], check=True, timeout=60, capture_output=True, text=True)
    assert plain.stdout == ""  # what the tests need covers what the server needs


@pytest.mark.parametrize("arguments", [["setup", "--bogus"], ["serve", "--port"], ["serve", "--state"]])
def test_a_wrong_argument_shows_the_usage(arguments: list[str]) -> None:
    done = subprocess.run(
        [SCRIPTS / arguments[0], *arguments[1:]], capture_output=True, text=True, timeout=10, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("usage: scripts/")


@pytest.mark.parametrize("name", ["fuzz", "readme"])
def test_another_python_is_told_which_one_to_use(name: str) -> None:
    done = subprocess.run(  # -S: no packages, as under the system's Python
        [sys.executable, "-S", SCRIPTS / name, "--check"], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"run scripts/setup --dev, then .venv/bin/python scripts/{name}" in done.stderr


def test_fuzz_says_what_it_takes() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPTS / "fuzz", "--help"], capture_output=True, text=True, timeout=60, check=True
    )
    assert "messages" in done.stdout


def test_serve_makes_a_state_directory_once_and_serves_it(set_up: None, tmp_path: Path) -> None:
    for first in (True, False):
        with subprocess.Popen(
            [SCRIPTS / "serve", "--state", tmp_path / "state", "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,  # it must work from anywhere
        ) as server:
            assert server.stdout is not None
            lines: list[str] = []
            while "another client" not in (lines or [""])[-1]:
                lines.append(server.stdout.readline())
                assert lines[-1], server.communicate()
            assert any(line.startswith("init: made ") for line in lines) is first
            port = int(re.findall(r"KMIP over TLS on 127\.0\.0\.1:(\d+)", "".join(lines))[0])
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            server.send_signal(signal.SIGTERM)  # `exec`: the script's process is the server's
            assert server.wait(20) == 0
