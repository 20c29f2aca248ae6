"""`scripts/demo-release`: the story of one gated key. Each step says what must happen; the run fails where it does not."""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmark.servers import Kmipsrv, kmipsrv

from demonstration.page import page
from kmipsrv.client import (
    AttestationRequired,
    Client,
    Evidence,
    OperationFailed,
    ProtocolFailure,
    Recipient,
    connect,
    get_attested,
    material,
)
from kmipsrv.client.tpm import Tpm, TpmAttester, TpmFailure
from kmipsrv.operations.get import GetRequest
from kmipsrv.release.recipient import NotReleased
from kmipsrv.release.statements import key_id, load_public_key
from kmipsrv.spec.attested_release import EVIDENCE_TYPES
from kmipsrv.spec.attribute_codec import RELEASE_POLICY
from kmipsrv.spec.enums import CryptographicAlgorithm, CryptographicUsageMask, Operation, ResultReason
from kmipsrv.ttlv.codec import TEXT_STRING
from tests.release.swtpm import ATTESTATION_KEY, RECIPIENT_KEY, SoftwareTpm

ROOT = Path(__file__).resolve().parent.parent.parent
PCRS = {"sha256": [0, 7, 16]}
WIDTH = 110


class Unexpected(Exception):
    """Something else happened than the demonstration says."""


def step(title: str, text: str = "") -> None:
    print(f"\n== {title}")
    if text:
        tell(textwrap.fill(text, WIDTH))


def tell(text: str) -> None:
    print(textwrap.indent(text.rstrip(), "   "), flush=True)


def refused(reason: ResultReason, call: Callable[[], object]) -> OperationFailed:
    """The refusal of a call that must fail for this reason."""
    try:
        call()
    except OperationFailed as failed:
        if failed.reason is not reason:
            raise Unexpected(f"the server refuses with «{failed}» instead of {reason.text}") from failed
        tell(f"-> refused: {reason.text}: {failed.message}")
        return failed
    raise Unexpected(f"the server gave what it must refuse with {reason.text}")


def must(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Unexpected(otherwise)


def command(*words: str) -> str:
    """A command of kmipsrv, shown -> what it printed."""
    tell(f"$ kmipsrv {' '.join(Path(word).name if '/' in word else word for word in words)}")
    return subprocess.run(kmipsrv(*words), check=True, capture_output=True, text=True, timeout=60).stdout


class Machine:
    """The confidential machine: a TPM, a key in it that releases are wrapped to, a connection to the server."""

    types = ("tpm",)

    def __init__(self, tpm: Tpm, client: Client, certificate: bytes, server_key: bytes) -> None:
        self._attester = TpmAttester(tpm, ATTESTATION_KEY, PCRS)
        self._client, self._certificate = client, certificate
        self.recipient = Recipient(
            tpm.public_key(RECIPIENT_KEY),
            lambda ciphertext: tpm.decrypt(RECIPIENT_KEY, ciphertext),
            load_public_key(server_key),
        )
        self.last: Evidence | None = None

    def evidence(self, nonce: bytes, report_data: bytes) -> Evidence:
        tell(f"the server's nonce is {nonce.hex()}")
        self.last = self._attester.evidence(nonce, report_data)
        tell(f"the TPM quotes PCRs {PCRS['sha256']} over it: {len(self.last.content)} bytes of evidence")
        return self.last

    def get(self, uid: str) -> bytes:
        return material(get_attested(self._client, uid, self, self._certificate, self.recipient))


class Replaying:
    """An attester that has nothing but somebody's old evidence."""

    types = ("tpm",)

    def __init__(self, old: Evidence) -> None:
        self._old = old

    def evidence(self, nonce: bytes, report_data: bytes) -> Evidence:
        return self._old


def policy_of(tpm: SoftwareTpm) -> dict[str, Any]:
    """This machine as it is now; the key wrapped to a key that its quote covers."""
    leaves = [{"claim": f"/pcrs/sha256/{index}", "equals": tpm.pcr(index)} for index in PCRS["sha256"]]
    return {
        "description": "the machine with the enrolled TPM, booted as it should be",
        "allOf": [{"authority": "tpm", "allOf": leaves}],
        "conditions": {"maxEvidenceAge": 60, "requireKeyBinding": True},
    }


def story(tpm: SoftwareTpm, client: Client, machine: Machine, certificate: bytes) -> Iterator[str]:
    """All that is asked of the server; yields what each of its decisions was about, in order."""
    step("Somebody creates a key under a release policy", "The PCRs as they are now, and a key to wrap to:")
    policy = policy_of(tpm)
    tell(json.dumps(policy, indent=2))
    usage = CryptographicUsageMask.ENCRYPT | CryptographicUsageMask.DECRYPT
    attributes = [(RELEASE_POLICY, (TEXT_STRING, json.dumps(policy)))]
    uid = client.create(CryptographicAlgorithm.AES, 256, usage, name="disk key", attributes=attributes)
    tell(f"-> {uid}")

    step("Its owner asks for it like any client", "Ownership is not enough any longer.")
    refused(ResultReason.PERMISSION_DENIED, lambda: client.get(uid))
    yield "Get by a client that cannot attest"

    step("A client that can attest asks", "The answer's header has a nonce and the types of evidence that could do.")
    asked = client.message(
        Operation.GET, GetRequest(unique_identifier=uid), capable=True, types=[EVIDENCE_TYPES["tpm"]]
    )
    challenge = refused(ResultReason.ATTESTATION_REQUIRED, lambda: client.send(asked, Operation.GET))
    must(isinstance(challenge, AttestationRequired), "Attestation Required came without a nonce")
    assert isinstance(challenge, AttestationRequired)
    must(challenge.types == ("tpm",), f"the server would take {challenge.types}")
    tell(f"-> Attestation Types: {', '.join(challenge.types)}")
    tell(f"-> Nonce Value: {challenge.nonce.nonce_value.hex()}")
    yield "Get by a client that could attest"

    step("The machine attests", "The quote covers the nonce, the machine's key in the TPM, and its certificate.")
    key = machine.get(uid)
    must(len(key) == 32, "the released key has another length")
    tell("-> released, wrapped to the TPM's key by RSA-OAEP, signed by the server; unwrapped inside the TPM")
    tell(f"-> SHA-256 of the key: {hashlib.sha256(key).hexdigest()}")
    yield "Get: asked for evidence"
    yield "Get with evidence: released"

    step("It asks again", "A fresh nonce, a fresh quote, another wrapping, the same key.")
    must(machine.get(uid) == key, "the key is another one now")
    tell("-> the same key")
    yield "Get: asked for evidence"
    yield "Get with evidence: released again"

    step("A thief replays the machine's evidence", "The nonce inside it is not the one that the thief was given.")
    assert machine.last is not None
    thief = Replaying(machine.last)
    refused(ResultReason.ATTESTATION_FAILED, lambda: get_attested(client, uid, thief, certificate, machine.recipient))
    yield "Get by a thief: asked for evidence"
    yield "Get by a thief, with evidence that was used before"

    step(
        "Something else is measured into PCR 16",
        "tpm2_pcrextend: the machine is not what the policy asks for any more.",
    )
    tpm.extend(16, hashlib.sha256(b"an unexpected kernel module").digest())
    tell(f"PCR 16 is {tpm.pcr(16)} now")
    refused(ResultReason.PERMISSION_DENIED, lambda: machine.get(uid))
    yield "Get: asked for evidence"
    yield "Get after PCR 16 has changed"


def boot(tpm: SoftwareTpm) -> None:
    """What a machine's firmware and loader do before anything else: they measure what they start."""
    for index, what in ((0, b"firmware 1.2"), (7, b"Secure Boot is on"), (16, b"kernel 6.1")):
        tpm.extend(index, hashlib.sha256(what).digest())


def demonstrate(folder: Path, tpm: SoftwareTpm) -> list[tuple[str, Mapping[str, Any]]]:
    """The whole demonstration -> (heading, audit record) of each decision."""
    boot(tpm)
    server = Kmipsrv(folder / "state")
    file = str(server.state / "kmipsrv.yaml")
    step("The operator enrols the machine's attestation key", "It comes from the TPM; nothing in evidence is believed.")
    (folder / "ak.pem").write_bytes(tpm.public_key(ATTESTATION_KEY, "pem"))
    tell(command("attest", "import", "-c", file, "tpm", str(folder / "ak.pem")))
    step("The machine gets to know the server's signing key", "It believes no release without that signature.")
    server_key = command("release", "key", "-c", file).encode()
    key_file = folder / "server.pem"
    key_file.write_bytes(server_key)
    tell(key_id(load_public_key(server_key)))
    certificate = server.certificate.read_bytes()
    with server, connect("127.0.0.1", server.port, server.certificate, server.key, server.ca) as client:
        headings = list(story(tpm, client, Machine(tpm, client, certificate, server_key), certificate))

    step("The audit trail", "One record for each decision, each bound to the one before it, the last one signed.")
    tell(command("audit", "verify", "-c", file, "--key", str(key_file)))
    tell(command("release", "replay", "-c", file))
    found = [json.loads(line) for line in command("audit", "show", "-c", file).splitlines()]
    decisions = [record for record in found if record.get("kind") == "release"]
    must(len(decisions) == len(headings), f"{len(decisions)} decisions are on record, there were {len(headings)}")
    for heading, record in zip(headings, decisions, strict=True):
        tell(f"{record['outcome']:10}  {heading}" + (f": {record['reason']}" if record["reason"] else ""))
    return list(zip(headings, decisions, strict=True))


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/demo-release", description="A key that leaves only into a machine that proves what it runs."
    )
    parser.add_argument("--out", type=Path, default=ROOT / "demo-release", help="where decision.html is left")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="kmipsrv-demo-") as folder, SoftwareTpm() as tpm:
            decisions = demonstrate(Path(folder), tpm)
    except (Unexpected, NotReleased, OperationFailed, ProtocolFailure, TpmFailure) as error:
        print(f"\ndemo-release: NOT as expected: {error}", file=sys.stderr)
        return 1
    options.out.mkdir(parents=True, exist_ok=True)
    made = options.out / "decision.html"
    lead = "What the release gate decided about one key, as its audit trail has it: each policy leaf by leaf."
    made.write_text(page("A key and its release policy", lead, decisions), encoding="utf-8")
    step("All as expected", f"The decisions, leaf by leaf: {made}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
