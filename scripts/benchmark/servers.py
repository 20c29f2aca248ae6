"""What the load is put on. Each server is a process group of its own on a port of its own, and gone when its `with` is left.

All use the certificates that `kmipsrv init` made. PyKMIP's server runs as released, with its defaults but for what says so.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

HERE = Path(__file__).resolve().parent
START = 30.0  # seconds until a server must take connections


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def kmipsrv(*arguments: str) -> list[str]:
    return [str(Path(sys.executable).with_name("kmipsrv")), *arguments]


def initialise(state: Path) -> None:
    """`kmipsrv init`: token, master key, certificates."""
    subprocess.run(kmipsrv("init", str(state)), check=True, capture_output=True, timeout=60)


class Server:
    """A process that serves TLS on 127.0.0.1. `about` says what must be known to judge its figures."""

    def __init__(self, name: str, state: Path, about: str) -> None:
        self.name, self.about = name, about
        self.state = state  # whose certificates are used
        self.port = free_port()
        certs = state / "certs"
        self.ca, self.certificate, self.key = certs / "ca.pem", certs / "client.pem", certs / "client.key"
        self._log = state / f"{re.sub(r'[^a-z0-9]+', '-', name.lower())}.log"

    def command(self) -> list[str]:
        raise NotImplementedError

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + START
        while True:
            try:
                self.connect().close()
            except OSError as error:
                if self._process.poll() is None and time.monotonic() < deadline:
                    time.sleep(0.05)
                    continue
                self.stop()
                said = self._log.read_text(errors="replace").strip()[-2000:]
                raise RuntimeError(f"{self.name} does not serve ({error}): {said}") from error
            return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """The whole process group, workers included; nothing it holds is wanted any longer."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()

    def connect(self) -> ssl.SSLSocket:
        context = ssl.create_default_context(cafile=self.ca)
        context.check_hostname = False
        context.load_cert_chain(self.certificate, self.key)
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=START)
        try:
            return context.wrap_socket(plain)
        except BaseException:
            plain.close()
            raise

    def ask(self, requests: list[bytes]) -> list[bytes]:
        """The answers to some requests, one after the other."""
        answers = []
        with self.connect() as connection, connection.makefile("rwb") as stream:
            for request in requests:
                stream.write(request)
                stream.flush()
                header = stream.read(8)
                answers.append(header + stream.read(int.from_bytes(header[4:8], "big")))
        return answers


class Kmipsrv(Server):
    """This server as `kmipsrv init` and `kmipsrv serve` make it, with as many workers as are asked for."""

    def __init__(self, state: Path, workers: int = 1) -> None:
        about = "TLS 1.3; SQLite in WAL mode, synchronous=FULL; every object sealed by SoftHSM2"
        super().__init__(f"kmipsrv, {workers} worker{'s' * (workers > 1)}", state, about)
        initialise(state)
        self._file = state / "kmipsrv.yaml"
        with self._file.open("a") as file:
            file.write(f"workers: {workers}\n")

    def command(self) -> list[str]:
        return kmipsrv("serve", "-c", str(self._file), "--listen", f"127.0.0.1:{self.port}")


class PyKMIP(Server):
    """PyKMIP 0.11.0's server: one process, a thread for each connection, one lock around the engine."""

    def __init__(self, state: Path) -> None:
        about = (
            "TLS 1.2, the newest it has; SQLite with its defaults (rollback journal, synchronous=FULL); keys in clear; "
            "logging of errors only, where its default logs each request"
        )
        super().__init__("PyKMIP 0.11.0", state, about)

    def command(self) -> list[str]:
        return [sys.executable, str(HERE / "pykmip_server.py"), str(self.port), str(self.state)]


class Echo(Server):
    """Answers every request with the same bytes: what TLS, the event loop and the load cost by themselves."""

    def __init__(self, state: Path, answer: bytes) -> None:
        super().__init__("TLS echo", state, "uvloop, TLS 1.3, no work at all")
        self._answer = state / "echo.bin"
        self._answer.write_bytes(answer)

    def command(self) -> list[str]:
        return [sys.executable, str(HERE / "echo.py"), str(self.port), str(self.state), str(self._answer)]
