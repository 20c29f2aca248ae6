"""`kmipsrv serve` as a process: a real client, signals, systemd, and every way in which it does not start."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from kmip import enums
from kmip.pie.client import ProxyKmipClient

from kmipsrv.cli.doctor import Level, examine
from tests.cli.conftest import Runner
from tests.cli.test_doctor import NOW, edit

PROGRAM = "import sys; from kmipsrv.cli.main import run; sys.exit(run(sys.argv[1:]))"


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-c", PROGRAM, *(str(argument) for argument in arguments)]


@pytest.fixture
def state(tmp_path: Path, kmipsrv: Runner) -> Path:
    directory = tmp_path / "state"
    assert kmipsrv("init", directory).code == 0
    return directory


@contextmanager
def serving(state: Path, *arguments: str, **environ: str) -> Iterator[tuple[subprocess.Popen[str], int, list[str]]]:
    """The process, its port, and what it printed before it was ready."""
    server = subprocess.Popen(
        command("serve", "-c", state / "kmipsrv.yaml", "--listen", "127.0.0.1:0", *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environ},
    )
    assert server.stdout is not None
    try:
        lines: list[str] = []
        while "another client" not in (lines or [""])[-1]:
            lines.append(server.stdout.readline())
            assert lines[-1], server.communicate()
        yield server, int(re.findall(r"KMIP over TLS on 127\.0\.0\.1:(\d+)", "".join(lines))[0]), lines
    finally:
        server.kill()
        server.communicate()


def client(state: Path, port: int) -> ProxyKmipClient:
    certs = state / "certs"
    return ProxyKmipClient(
        hostname="127.0.0.1",
        port=port,
        cert=str(certs / "client.pem"),
        key=str(certs / "client.key"),
        ca=str(certs / "ca.pem"),
        kmip_version=enums.KMIPVersion.KMIP_1_4,
        config_file=os.devnull,
    )


def test_a_client_finds_its_key_again_after_a_restart(state: Path) -> None:
    with serving(state) as (server, port, lines):
        assert "".join(lines).startswith("kmipsrv 0.")
        assert f"{state}/certs/client.pem" in "".join(lines)
        with client(state, port) as connection:
            uid = connection.create(enums.CryptographicAlgorithm.AES, 256)
            key = connection.get(uid).value
        server.send_signal(signal.SIGTERM)
        out, _ = server.communicate(timeout=20)
        assert server.returncode == 0
        assert out.endswith("kmipsrv: stopped\n")
    started = time.monotonic()
    with serving(state) as (_, port, _):
        assert time.monotonic() - started < 10  # on a machine that is busy with other tests; alone it is under a second
        with client(state, port) as connection:
            assert connection.get(uid).value == key


def test_the_process_cannot_be_dumped(state: Path) -> None:
    with serving(state) as (server, _, _):
        limits = Path(f"/proc/{server.pid}/limits").read_text("utf-8")
        assert re.search(r"Max core file size +0 +0 ", limits)
        mode = next(path for path in state.glob("kmipsrv.db")).stat().st_mode
        assert mode & 0o077 == 0


def test_systemd_is_told_when_it_is_ready_and_when_it_stops(state: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(20)
        with serving(state, NOTIFY_SOCKET=str(tmp_path / "notify")) as (server, port, _):
            assert systemd.recv(1000) == f"READY=1\nSTATUS=KMIP over TLS on 127.0.0.1:{port}".encode()
            server.send_signal(signal.SIGTERM)
            assert systemd.recv(1000) == b"STOPPING=1"
            assert server.wait(20) == 0


def test_doctor_knows_the_running_server(state: Path) -> None:
    with serving(state) as (_, port, _):
        edit(state, listen=f"127.0.0.1:{port}")
        findings = list(examine(state / "kmipsrv.yaml", NOW))
    assert [finding for finding in findings if finding.level is not Level.GOOD] == []
    assert findings[-1].text == "this server is serving there"


def test_a_denied_client_is_out_after_sighup(state: Path) -> None:
    """Its open connection is closed at the next request."""
    with serving(state) as (server, port, _), client(state, port) as connection:
        connection.create(enums.CryptographicAlgorithm.AES, 256)
        certificate = x509.load_pem_x509_certificate((state / "certs/client.pem").read_bytes())
        tls = yaml.safe_load((state / "kmipsrv.yaml").read_text("utf-8"))["tls"]
        edit(state, tls={**tls, "denied": [certificate.fingerprint(hashes.SHA256()).hex(":").upper()]})
        server.send_signal(signal.SIGHUP)

        def ask() -> None:
            for _ in range(200):
                connection.locate()
                time.sleep(0.05)

        with pytest.raises((OSError, EOFError)):
            ask()
        connection.proxy.socket.close()  # PyKMIP leaves a broken one open


def fails(state: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        command("serve", "-c", state / "kmipsrv.yaml", *arguments),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert len(done.stderr.splitlines()) == 1
    return done.returncode, done.stderr


def test_a_taken_port_is_one_clear_line(state: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        code, line = fails(state, "--listen", f"127.0.0.1:{other.getsockname()[1]}")
    assert code == 78
    assert "Address already in use; stop what is there or choose another port" in line


def test_another_token_than_the_databases_is_refused(state: Path, tmp_path: Path, kmipsrv: Runner) -> None:
    with serving(state) as (server, _, _):
        server.send_signal(signal.SIGTERM)  # so that nothing is left in the journal, which is not copied below
        assert server.wait(20) == 0
    other = tmp_path / "other"
    assert kmipsrv("init", other).code == 0
    shutil.copy(state / "kmipsrv.db", other)
    code, line = fails(other, "--listen", "127.0.0.1:0")
    assert code == 78
    assert "its master key is not the one that sealed the database; restore the token" in line


def altered(file: Path, statement: str) -> None:
    with sqlite3.connect(file) as connection:
        assert connection.execute(statement).rowcount > 0
    connection.close()


def test_sealed_records_without_their_check_record(state: Path, tmp_path: Path, kmipsrv: Runner) -> None:
    """A database without objects is not new when it holds own keys: no other master key is let in."""
    assert kmipsrv("release", "key", "-c", state / "kmipsrv.yaml").code == 0  # makes the check record and the own keys
    altered(state / "kmipsrv.db", "DELETE FROM records WHERE kind = 'check'")
    other = tmp_path / "other"
    assert kmipsrv("init", other).code == 0
    shutil.copy(state / "kmipsrv.db", other)
    for directory in (other, state):
        code, line = fails(directory, "--listen", "127.0.0.1:0")
        assert (code, "but not the record that tells which one; restore the backup" in line) == (78, True)
    found = [one for one in examine(state / "kmipsrv.yaml", NOW) if one.level is Level.ERROR]
    assert ["is gone" in one.text for one in found] == [True]


def test_own_keys_that_do_not_open(state: Path, kmipsrv: Runner) -> None:
    assert kmipsrv("release", "key", "-c", state / "kmipsrv.yaml").code == 0
    altered(
        state / "kmipsrv.db",
        "UPDATE records SET value = (SELECT value FROM records WHERE kind = 'check') WHERE key = 'signing'",
    )
    code, line = fails(state, "--listen", "127.0.0.1:0")
    assert (code, "own keys in it do not open" in line, "from one backup" in line) == (78, True, True)
    found = [one for one in examine(state / "kmipsrv.yaml", NOW) if one.level is Level.ERROR]
    assert [one.subject for one in found] == ["own key signing"]


def test_what_is_no_database_is_one_clear_line(state: Path) -> None:
    (state / "kmipsrv.db").write_bytes(b"not a database" * 100)
    code, line = fails(state, "--listen", "127.0.0.1:0")
    assert (code, line.endswith("is damaged, or none at all: restore it from the backup\n")) == (78, True)


@pytest.mark.parametrize(
    ("what", "broken", "told"),
    [
        ("token/tokens", None, "token/tokens is not there: restore the token's folder from the backup"),
        ("token/softhsm2.conf", None, "softhsm2.conf cannot be read (FileNotFoundError): restore the token's folder"),
        ("token/pin", None, "token/pin cannot be read (FileNotFoundError): restore it from the backup"),
        ("token/pin", "987654321", "refuses the PIN (PinIncorrect): write the right one into the PIN file"),
        ("token/pin", "1", "refuses the PIN"),
    ],
)
def test_what_is_wrong_with_the_token_is_said_once_with_its_mend(
    state: Path, what: str, broken: str | None, told: str
) -> None:
    edit(state, listen="127.0.0.1:0")
    if broken is None:
        (state / what).rename(state / "elsewhere")
    else:
        (state / what).write_text(broken, "utf-8")
    code, line = fails(state, "--listen", "127.0.0.1:0")
    assert code == 78
    assert told in line
    found = [one for one in examine(state / "kmipsrv.yaml", NOW) if one.level is not Level.GOOD]
    assert len(found) == 1
    assert found[0].mend


@pytest.mark.parametrize("lost", ["token/pin", "token/seals", "token/tokens", "certs/server.key", "certs/ca.pem"])
def test_without_one_of_its_files_it_does_not_start(state: Path, lost: str) -> None:
    (state / lost).rename(state / "elsewhere")
    code, line = fails(state, "--listen", "127.0.0.1:0")
    assert code == 78
    assert line.startswith("kmipsrv: ")


def test_a_wrong_address_is_a_wrong_command_line(state: Path, kmipsrv: Runner) -> None:
    run = kmipsrv("serve", "-c", state / "kmipsrv.yaml", "--listen", "5696")
    assert run.code == 2
    assert "use HOST:PORT" in run.err
