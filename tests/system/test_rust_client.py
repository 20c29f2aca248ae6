"""A client in another language: tests/clients/rust, on the crate kmip-protocol, against a server process.

It is built when `cargo` is there; elsewhere the test is skipped and says so.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from tests.conftest import ROOT
from tests.system.conftest import ServerProcess

SOURCE = ROOT / "tests" / "clients" / "rust"
BUILD = 600.0  # seconds, downloads included

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(BUILD + 60),
    pytest.mark.skipif(shutil.which("cargo") is None, reason="cargo is not installed: the Rust client is not tested"),
]


@pytest.fixture(scope="module")
def program() -> Path:
    """The client, built from the pinned crates; what was built before is used again."""
    subprocess.run(["cargo", "build", "--quiet", "--manifest-path", SOURCE / "Cargo.toml"], check=True, timeout=BUILD)
    return SOURCE / "target" / "debug" / "kmip-client"


def test_a_signer_s_session(program: Path, server: ServerProcess) -> None:
    files = [str(path) for path in (server.ca, server.certificate, server.key)]
    done = subprocess.run(
        [program, "localhost", str(server.port), *files], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert (said["vendor"], said["signs"], said["random"], said["algorithm"]) == ("kmipsrv", "true", "32", "Some(RSA)")
    assert said["active"].startswith("Operation Destroy failed")
    assert said["missing"].startswith("Operation Get failed")
    public = load_der_public_key(bytes.fromhex(said["public"]))
    assert isinstance(public, rsa.RSAPublicKey)
    public.verify(bytes.fromhex(said["signature"]), b"a zone", padding.PKCS1v15(), hashes.SHA256())
