"""What the process does to itself, its log lines, and what it tells systemd."""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kmipsrv.cli import process
from kmipsrv.config import Logging


@pytest.fixture(autouse=True)
def _root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(capture=False)


def test_a_hardened_process_dumps_no_core_and_writes_private_files(tmp_path: Path) -> None:
    code = (
        "import ctypes, os, pathlib, resource; from kmipsrv.cli.process import harden; harden();"
        "pathlib.Path('f').touch();"
        "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE),"
        "oct(os.stat('f').st_mode & 0o777));"
        "files = resource.getrlimit(resource.RLIMIT_NOFILE); print(files[0] == files[1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True, cwd=tmp_path
    )
    assert done.stdout == "0 (0, 0) 0o600\nTrue\n"


def test_a_text_line_cannot_be_forged(capfd: pytest.CaptureFixture[str]) -> None:
    process.set_up_logging(Logging())
    logging.getLogger("kmipsrv.engine").info("a\nb %s", "\r\\", extra={"correlation": "c1"})
    line = capfd.readouterr().err
    assert line.endswith("info    engine: a\\nb \\r\\\\ correlation='c1'\n")
    assert line.count("\n") == 1


def test_a_json_line_is_an_object(capfd: pytest.CaptureFixture[str]) -> None:
    process.set_up_logging(Logging(format="json", level="debug"))
    try:
        raise ValueError("x")
    except ValueError:
        logging.getLogger("kmipsrv.engine").exception("failed %d", 3, extra={"correlation": "c1"})
    line = json.loads(capfd.readouterr().err)
    assert line["message"] == "failed 3"
    assert (line["level"], line["logger"], line["correlation"]) == ("error", "kmipsrv.engine", "c1")
    assert "ValueError: x" in line["traceback"]


def test_the_level_is_kept_and_the_database_is_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    process.set_up_logging(Logging(level="warning"))
    logging.getLogger("kmipsrv").info("no")
    process.set_up_logging(Logging(level="debug"))
    logging.getLogger("kmipsrv").debug("yes")
    logging.getLogger("sqlalchemy.engine").info("SELECT secret")
    err = capfd.readouterr().err
    assert "yes" in err
    assert "no\n" not in err
    assert "SELECT" not in err


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_told(tmp_path: Path, abstract: bool) -> None:
    path = f"@kmipsrv-{tmp_path}"[:100] if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(path.replace("@", "\0", 1) if abstract else path)
        systemd.settimeout(5)
        assert process.notify("READY=1", {"NOTIFY_SOCKET": path})
        assert systemd.recv(100) == b"READY=1"


def test_without_systemd_nothing_happens(tmp_path: Path) -> None:
    assert not process.notify("READY=1", {})
    assert not process.notify("READY=1", {"NOTIFY_SOCKET": "relative"})
    assert not process.notify("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "nobody")})
