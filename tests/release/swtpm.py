"""A software TPM (`swtpm`) on a Unix socket, with an attestation key and a recipient's key, as a machine would have them."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from kmipsrv.client.tpm import Tpm

TOOLS: Final = ("swtpm", "tpm2_quote")
ATTESTATION_KEY: Final = "0x81010002"  # persistent handles: no tool leaves anything in the TPM's few slots
RECIPIENT_KEY: Final = "0x81010003"
START: Final = 10.0  # seconds


def missing() -> list[str]:
    """The programs that are not there."""
    return [tool for tool in TOOLS if shutil.which(tool) is None]


class SoftwareTpm(Tpm):
    """`with SoftwareTpm() as tpm:` - a fresh TPM that is gone afterwards."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="swtpm-"))  # short: a socket's path has 108 bytes
        self._socket = self._folder / "tpm"
        super().__init__(f"swtpm:path={self._socket}")

    def __enter__(self) -> Self:
        (self._folder / "state").mkdir()
        control = self._folder / "tpm.ctrl"  # where the tools look for it
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    "swtpm",
                    "socket",
                    "--tpm2",
                    f"--tpmstate=dir={self._folder / 'state'}",
                    f"--server=type=unixio,path={self._socket}",
                    f"--ctrl=type=unixio,path={control}",
                    "--flags=not-need-init,startup-clear",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            deadline = time.monotonic() + START
            while not (self._socket.exists() and control.exists()):
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"swtpm does not start: {(self._folder / 'log').read_text()}")
                time.sleep(0.01)
            self._provision()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(START)
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def extend(self, index: int, digest: bytes) -> None:
        """Something more was measured into a PCR of the SHA-256 bank."""
        self.run("tpm2_pcrextend", f"{index}:sha256={digest.hex()}")

    def pcr(self, index: int) -> str:
        """A PCR of the SHA-256 bank, in hexadecimal."""
        out = self._folder / "pcr"
        self.run("tpm2_pcrread", "-Q", f"sha256:{index}", "-o", out)
        return out.read_bytes().hex()

    def _provision(self) -> None:
        """What enrolment does on a machine: an attestation key under the endorsement key, an RSA key that decrypts."""
        ek, ak, primary, recipient = (self._folder / name for name in ("ek", "ak", "primary", "recipient"))
        self._tool("tpm2_createek", "-Q", "-c", ek, "-G", "rsa")
        self._tool("tpm2_createak", "-Q", "-C", ek, "-c", ak, "-G", "ecc", "-g", "sha256", "-s", "ecdsa")
        self._tool("tpm2_evictcontrol", "-Q", "-C", "o", "-c", ak, ATTESTATION_KEY)
        self._tool("tpm2_createprimary", "-Q", "-C", "o", "-c", primary)
        attributes = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|decrypt"
        parts = ("-u", self._folder / "public", "-r", self._folder / "private")
        self._tool("tpm2_create", "-Q", "-C", primary, "-G", "rsa2048", "-a", attributes, *parts, "-c", recipient)
        self._tool("tpm2_evictcontrol", "-Q", "-C", "o", "-c", recipient, RECIPIENT_KEY)

    def _tool(self, *command: object) -> None:
        """A tool that leaves something loaded: there is no resource manager in front of this TPM."""
        self.run(*command)
        for kind in ("-t", "-l", "-s"):
            self.run("tpm2_flushcontext", kind)
