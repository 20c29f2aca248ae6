"""A key goes from a server process into a machine with a software TPM: the example does it, over TLS."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kmipsrv.cli.main import run
from kmipsrv.client import OperationFailed, connect
from kmipsrv.operations.query import QueryRequest
from kmipsrv.release.policy import parse
from kmipsrv.spec.attribute_codec import RELEASE_POLICY
from kmipsrv.spec.enums import (
    AttestationType,
    CryptographicAlgorithm,
    CryptographicUsageMask,
    Operation,
    QueryFunction,
    ResultReason,
)
from kmipsrv.ttlv.codec import TEXT_STRING
from tests.conftest import ROOT
from tests.release import swtpm
from tests.release.swtpm import ATTESTATION_KEY, RECIPIENT_KEY, SoftwareTpm
from tests.system.conftest import DEADLINE, ServerProcess

pytestmark = pytest.mark.skipif(bool(swtpm.missing()), reason=f"not installed: {', '.join(swtpm.missing())}")


@pytest.fixture(scope="module")
def tpm() -> Iterator[SoftwareTpm]:
    with SoftwareTpm() as running:
        yield running


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory, tpm: SoftwareTpm) -> Iterator[ServerProcess]:
    """A server where the TPM's attestation key is pinned, and one approver is enrolled."""
    folder = tmp_path_factory.mktemp("gated")
    server = ServerProcess(folder / "state")
    config = str(server.state / "kmipsrv.yaml")
    assert run(["init", str(server.state)]) == 0
    (folder / "ak.pem").write_bytes(tpm.public_key(ATTESTATION_KEY, "pem"))
    assert run(["attest", "import", "-c", config, "tpm", str(folder / "ak.pem")]) == 0
    assert run(["release", "keygen", str(folder / "ada")]) == 0
    with Path(config).open("a") as file:
        file.write(f"release:\n  approvers:\n    - id: ada\n      key: {folder}/ada.pub\n")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def server_key(gated: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `kmipsrv release key` prints, while the server runs."""
    command = [sys.executable, "-m", "kmipsrv", "release", "key", "-c", str(gated.state / "kmipsrv.yaml")]
    printed = subprocess.run(command, capture_output=True, check=True, timeout=30).stdout
    file = tmp_path_factory.mktemp("key") / "server.pem"
    file.write_bytes(printed)
    return file


def create(server: ServerProcess, tpm: SoftwareTpm, **conditions: object) -> tuple[str, str]:
    """A key for this machine as it is now, nobody else gets it -> its unique identifier, its policy's id."""
    leaves = [{"claim": f"/pcrs/sha256/{index}", "equals": tpm.pcr(index)} for index in (0, 16)]
    policy = {
        "allOf": [{"authority": "tpm", "allOf": leaves}],
        "conditions": {"requireKeyBinding": True, **conditions},
    }
    attributes = [(RELEASE_POLICY, (TEXT_STRING, json.dumps(policy)))]
    with connect("localhost", server.port, server.certificate, server.key, server.ca) as client:
        uid = client.create(CryptographicAlgorithm.AES, 256, CryptographicUsageMask.ENCRYPT, attributes=attributes)
        with pytest.raises(OperationFailed) as refusal:
            client.get(uid)
    assert refusal.value.reason is ResultReason.PERMISSION_DENIED
    return uid, parse(json.dumps(policy)).id


def example(server: ServerProcess, tpm: SoftwareTpm, server_key: Path, uid: str, *more: str) -> tuple[int, str]:
    command = [sys.executable, str(ROOT / "scripts/examples/attested_get.py"), uid, "--server-key", str(server_key)]
    command += [
        "--state",
        str(server.state),
        "--port",
        str(server.port),
        "--tcti",
        str(tpm.tcti),
        "--pcrs",
        "0,16",
        *more,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout.strip() or done.stderr


def test_the_key_comes_to_the_machine_until_it_changes(
    gated: ServerProcess, tpm: SoftwareTpm, server_key: Path
) -> None:
    uid, _ = create(gated, tpm)
    code, key = example(gated, tpm, server_key, uid)
    assert (code, len(key)) == (0, 64), key
    assert example(gated, tpm, server_key, uid, "--recipient-key", RECIPIENT_KEY) == (0, key)
    tpm.extend(16, bytes(32))
    code, said = example(gated, tpm, server_key, uid)
    assert code != 0
    assert "Permission Denied" in said
    assert key not in said


def test_after_a_restart_the_same_machine_gets_the_same_key(
    gated: ServerProcess, tpm: SoftwareTpm, server_key: Path
) -> None:
    uid, _ = create(gated, tpm)
    code, key = example(gated, tpm, server_key, uid)
    assert code == 0, key
    gated.kill()
    gated.start()
    assert example(gated, tpm, server_key, uid) == (0, key)


def test_a_release_waits_for_its_approval(
    gated: ServerProcess, tpm: SoftwareTpm, server_key: Path, tmp_path: Path
) -> None:
    uid, policy = create(gated, tpm, approvals={"m": 1, "of": ["ada"]})
    code, said = example(gated, tpm, server_key, uid)
    assert code != 0
    assert "Permission Denied" in said
    facts = ["--object", uid, "--policy", policy, "--requester", "default:CN=client", "--expires", "2099-01-01"]
    key = str(gated.state.parent / "ada.key")
    signed = str(tmp_path / "approval")
    assert run(["release", "approve", "--key", key, "--as", "ada", *facts, "--out", signed]) == 0
    assert run(["release", "submit", "-c", str(gated.state / "kmipsrv.yaml"), signed]) == 0
    code, said = example(gated, tpm, server_key, uid)
    assert (code, len(said)) == (0, 64), said
    other, _ = create(gated, tpm, approvals={"m": 1, "of": ["ada"]})  # approved is one object, not its policy
    assert example(gated, tpm, server_key, other)[0] != 0


def test_what_is_pinned_while_the_server_runs_counts_from_sighup_on(tpm: SoftwareTpm, tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "state")
    assert run(["init", str(server.state)]) == 0
    server.start()
    query = QueryRequest(query_function=[QueryFunction.QUERY_ATTESTATION_TYPES])
    with connect("localhost", server.port, server.certificate, server.key, server.ca) as client:
        assert client.call(Operation.QUERY, query).attestation_type == []
        (tmp_path / "ak.pem").write_bytes(tpm.public_key(ATTESTATION_KEY, "pem"))
        config = str(server.state / "kmipsrv.yaml")
        assert run(["attest", "import", "-c", config, "tpm", str(tmp_path / "ak.pem")]) == 0
        assert client.call(Operation.QUERY, query).attestation_type == []
        assert server.process is not None
        server.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + DEADLINE
        while not (found := client.call(Operation.QUERY, query).attestation_type) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert found == [AttestationType.TPM_QUOTE]
    assert server.stop() == 0
