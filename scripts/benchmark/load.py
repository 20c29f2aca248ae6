"""One round of load -> what came of it. The load is load.c, compiled here, or client.py where that is not possible."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.servers import Server

HERE = Path(__file__).resolve().parent
WARM = 0.3  # seconds before answers count
LIMIT = 30.0  # seconds a round may take longer than it should


@dataclass
class Round:
    """What one server did with one kind of request at one number of connections; rounds add up."""

    seconds: float = 0.0
    failures: int = 0
    tls: str = ""
    latencies: array[int] = field(default_factory=lambda: array("I"))  # microseconds

    def add(self, other: Round) -> None:
        self.seconds += other.seconds
        self.failures += other.failures
        self.tls = other.tls
        self.latencies.extend(other.latencies)

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    def percentile(self, share: float) -> float:
        """The latency in milliseconds that `share` of the answers did not exceed."""
        ordered = sorted(self.latencies)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)] / 1000 if ordered else 0.0

    def summary(self) -> dict[str, Any]:
        return {
            "answers": len(self.latencies),
            "failures": self.failures,
            "seconds": round(self.seconds, 3),
            "per_second": round(self.rate, 1),
            "p50_ms": round(self.percentile(0.50), 3),
            "p99_ms": round(self.percentile(0.99), 3),
            "tls": self.tls,
        }


class Load:
    """The command that makes load. `name` says which it is."""

    def __init__(self, folder: Path, *, python: bool = False) -> None:
        """Compile load.c into `folder` if there is a compiler and OpenSSL's headers, unless `python` is wanted."""
        program = folder / "load"
        compiler = None if python else shutil.which("cc")
        self.name, self._command = "client.py (uvloop)", [sys.executable, str(HERE / "client.py")]
        if compiler is not None:
            flags = ["-std=gnu11", "-O2", "-o", str(program), str(HERE / "load.c"), "-lssl", "-lcrypto"]
            if subprocess.run([compiler, *flags], capture_output=True, check=False).returncode == 0:
                self.name, self._command = "load.c (epoll, OpenSSL)", [str(program)]

    def run(self, server: Server, connections: int, seconds: float, requests: Path) -> Round:
        """Drive `server` with the messages of `requests` for `seconds`. Raises RuntimeError when it could not."""
        files = [str(each) for each in (server.ca, server.certificate, server.key)]
        arguments = ["127.0.0.1", str(server.port), *files, str(connections), str(WARM), str(seconds), str(requests)]
        done = subprocess.run(
            [*self._command, *arguments], capture_output=True, check=False, timeout=seconds + WARM + LIMIT
        )
        if done.returncode:
            raise RuntimeError(f"the load on {server.name} failed: {done.stderr.decode(errors='replace').strip()}")
        line, _, octets = done.stdout.partition(b"\n")
        said = json.loads(line)
        latencies = array("I")
        latencies.frombytes(octets)
        return Round(said["seconds"], said["failures"], said["tls"], latencies)
