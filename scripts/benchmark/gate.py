"""What the release gate costs: the verification of evidence on one core, and its part of a Get that nothing guards.

The evidence is made by the attesters of the tests, which sign as real hardware does: an SNP report with its chain of
certificates (RSA-4096 and P-384), a TPM quote by an RSA-2048 attestation key. Processor time: what else runs on the machine
does not count.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from benchmark import requests
from benchmark.floors import rate
from kmipsrv.domain.grant import Purpose
from kmipsrv.domain.identity import Identity
from kmipsrv.domain.settings import Settings
from kmipsrv.engine.attestation import attestation_of
from kmipsrv.engine.call import Call, Peer
from kmipsrv.engine.engine import Engine
from kmipsrv.engine.gating import open_gate
from kmipsrv.engine.ports import CertificateOnly
from kmipsrv.keyring import provision
from kmipsrv.release.endorsements import Endorsements
from kmipsrv.release.evidence import verify
from kmipsrv.release.gate import GateSettings
from kmipsrv.spec.messages import request_parts
from kmipsrv.spec.versions import V1_2
from kmipsrv.store.sqlite import SQLiteStore
from kmipsrv.ttlv.codec import decode
from tests.release.verifiers.attesters import Made, make_snp
from tests.release.verifiers.pki import NOW
from tests.release.verifiers.tpm_attesters import make_tpm

GROUP = 32  # requests that wait together, as under load
TPM, SNP = "verify a TPM 2.0 quote", "verify an SEV-SNP report"
GET, SHARE = "a Get that nothing guards", "the gate's part of it"
VERIFICATION_GOAL = 3.0  # milliseconds
SHARE_GOAL = 5.0  # per cent of the rest


def measure(folder: Path, seconds: float) -> dict[str, float]:
    """Milliseconds of processor time by name; `seconds` for each."""
    return {
        TPM: _verification("tpm", make_tpm(), seconds),
        SNP: _verification("snp", make_snp(), seconds),
        **_get(folder, seconds),
    }


def remarks(measured: dict[str, float]) -> list[str]:
    """What the figures mean."""
    share = 100 * measured[SHARE] / (measured[GET] - measured[SHARE])
    lines = [f"Gate: {share:.1f} % on top of a Get that nothing guards ({_goal(share, SHARE_GOAL)} %)"]
    lines += [
        f"Gate: {name} in {measured[name]:.2f} ms ({_goal(measured[name], VERIFICATION_GOAL)} ms)"
        for name in (TPM, SNP)
    ]
    return lines


def _goal(value: float, most: float) -> str:
    return f"goal: {'reached' if value < most else 'NOT reached'}, less than {most:.0f}"


def _verification(kind: str, made: Made, seconds: float) -> float:
    endorsements = Endorsements.parse(made.endorsements)
    return _milliseconds(lambda: verify(kind, made.evidence, endorsements, NOW), seconds)


def _get(folder: Path, seconds: float) -> dict[str, float]:
    """A whole Get in this process, on a real token and a real store; and all that the gate does for it, alone."""
    folder.mkdir(mode=0o700)
    keyring = provision.open_keyring(provision.initialise(folder).settings)
    store = SQLiteStore(folder / "gate.db")
    gate = open_gate(GateSettings(), store, keyring, os.urandom)
    engine = Engine(
        store=store,
        keyring=keyring,
        gate=gate,
        settings=Settings(),
        authenticator=CertificateOnly(),
        clock=time.time,
        random=os.urandom,
    )
    identity = Identity(domain="default", name="CN=benchmark", owner="default:CN=benchmark")
    peer = Peer(identity, "127.0.0.1", public_key=bytes(91))
    (answer,) = engine.answer([Call(requests.create(), peer)])
    assert answer is not None
    uid = requests.created(answer)
    call = Call(requests.get(uid), peer)
    header, items = request_parts(decode(call.frame), V1_2)
    with store.work() as work:
        stored = work.find(identity.owner, uid)
        assert stored is not None

        def gated() -> None:
            appraisal = gate.appraisal(attestation_of(call, header, items, [], identity, V1_2, 0), work)
            appraisal.check(uid)
            appraisal.authorize(stored, Purpose.EXPORT, lambda: ((), ()))
            appraisal.challenge()

        part = _milliseconds(gated, seconds)
    whole = _milliseconds(lambda: engine.answer([call] * GROUP), seconds) / GROUP
    store.close()
    return {GET: whole, SHARE: part}


def _milliseconds(call: Callable[[], object], seconds: float) -> float:
    """Processor time of one call."""
    calls = 0

    def counted() -> None:
        nonlocal calls
        calls += 1
        call()

    counted()  # imports and caches
    before, calls = time.process_time(), 0
    rate(counted, seconds)
    return 1000 * (time.process_time() - before) / calls
