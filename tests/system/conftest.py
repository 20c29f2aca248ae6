"""A whole server process on a state directory of its own, reached over TLS."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kmipsrv.cli.main import run
from kmipsrv.ttlv.codec import Item, decode

DEADLINE = 20.0  # seconds for anything that has to happen


class ServerProcess:
    """`kmipsrv serve` as a child process."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.port = self.https_port = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.seconds_to_serve = 0.0

    def start(self, *options: str) -> None:
        """Start it and wait until it listens."""
        log = self.state / "serve.log"
        started = time.monotonic()
        with log.open("ab") as output:
            offset = output.tell()
            command = [sys.executable, "-m", "kmipsrv", "serve", "-c", str(self.state / "kmipsrv.yaml")]
            self.process = subprocess.Popen(
                [*command, "--listen", "127.0.0.1:0", *options], stdout=output, stderr=subprocess.STDOUT
            )
        while True:
            text = log.read_bytes()[offset:].decode()
            if found := re.search(r"KMIP over TLS on 127\.0\.0\.1:(\d+)", text):
                self.port = int(found[1])
                if https := re.search(r"HTTPS on 127\.0\.0\.1:(\d+)", text):
                    self.https_port = int(https[1])
                self.seconds_to_serve = time.monotonic() - started
                return
            if self.process.poll() is not None or time.monotonic() - started > DEADLINE:
                raise RuntimeError(f"the server did not start:\n{text}")
            time.sleep(0.005)

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(DEADLINE)

    def stop(self) -> int:
        """SIGTERM. -> exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE)

    @property
    def ca(self) -> Path:
        return self.state / "certs" / "ca.pem"

    @property
    def certificate(self) -> Path:
        return self.state / "certs" / "client.pem"

    @property
    def key(self) -> Path:
        return self.state / "certs" / "client.key"

    def connect(self) -> Connection:
        context = ssl.create_default_context(cafile=str(self.ca))
        context.load_cert_chain(self.certificate, self.key)
        raw = socket.create_connection(("127.0.0.1", self.port), DEADLINE)
        return Connection(context.wrap_socket(raw, server_hostname="localhost"))


class Connection:
    """One client connection that sends frames and reads answers."""

    def __init__(self, tls: ssl.SSLSocket) -> None:
        self.tls = tls

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.tls.close()

    def send(self, frame: bytes) -> None:
        self.tls.sendall(frame)

    def receive(self) -> Item:
        """The next answer. Raises ConnectionError when the server has gone."""
        head = self._read(8)
        return decode(head + self._read(int.from_bytes(head[4:], "big")))

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self.tls.recv(count - len(data))
            if not part:
                raise ConnectionError("the server closed the connection")
            data += part
        return data


@pytest.fixture(scope="session")
def initialised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `kmipsrv init` makes."""
    state = tmp_path_factory.mktemp("system") / "state"
    umask = os.umask(0o022)
    try:
        assert run(["init", str(state)]) == 0
    finally:
        os.umask(umask)
    return state


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A running server of this module's own."""
    state = tmp_path_factory.mktemp("server") / "state"
    umask = os.umask(0o022)
    try:
        assert run(["init", str(state)]) == 0
    finally:
        os.umask(umask)
    made = ServerProcess(state)
    made.start()
    yield made
    with contextlib.suppress(ProcessLookupError):
        made.stop()
